//! Reads the captured frames; `tests/captures/INDEX.md` says what they are.

use std::path::Path;

use bytes::{Bytes, BytesMut};
use gantry_protocol::{FrameDecoder, MAX_FRAME, RemotingCommand};
use serde_json::Value;

/// One captured frame.
pub(crate) struct Captured {
    /// File and line, for messages of failing tests.
    pub(crate) place: String,
    /// Request name, or `REQUEST RESPONSE_CODE`; `None` for a frame that was malformed on purpose.
    pub(crate) name: Option<String>,
    /// The header as the capture's own parser read it.
    pub(crate) header: Value,
    /// The whole frame.
    pub(crate) frame: Vec<u8>,
}

impl Captured {
    /// The frame, decoded.
    pub(crate) fn command(&self) -> RemotingCommand {
        decode(&self.frame).unwrap_or_else(|error| panic!("{}: {error}", self.place))
    }

    /// The bytes of the header and of the body.
    pub(crate) fn split(&self) -> (&[u8], &[u8]) {
        let length = u32::from_be_bytes(self.frame[4..8].try_into().unwrap()) & 0x00FF_FFFF;
        self.frame[8..].split_at(length as usize)
    }

    /// The name of the request, also for a response.
    pub(crate) fn request_name(&self) -> &str {
        let name = self.name.as_deref().unwrap_or_default();
        name.split(' ').next().unwrap_or_default()
    }
}

/// Decodes bytes that are exactly one frame.
pub(crate) fn decode(frame: &[u8]) -> Result<RemotingCommand, gantry_protocol::FrameError> {
    let mut source = BytesMut::from(frame);
    let command = FrameDecoder::new(MAX_FRAME).decode(&mut source)?;
    assert!(source.is_empty(), "{} bytes left", source.len());
    Ok(command.expect("the frame is complete"))
}

/// Every captured frame, malformed ones included.
pub(crate) fn all() -> Vec<Captured> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    files.sort();
    files.iter().flat_map(|path| file(path)).collect()
}

/// Every captured frame that is well formed.
pub(crate) fn well_formed() -> Vec<Captured> {
    let mut frames = all();
    frames.retain(|frame| frame.name.is_some());
    frames
}

/// The frame at line `n` of a file, such as `("02_send", 78)`.
pub(crate) fn at(file: &str, n: u64) -> Captured {
    let place = format!("{file} n={n}");
    all().into_iter().find(|frame| frame.place == place).unwrap_or_else(|| panic!("no frame {place}"))
}

fn file(path: &Path) -> Vec<Captured> {
    let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| captured(&stem, line)).collect()
}

fn captured(stem: &str, line: &str) -> Captured {
    let line: Value = serde_json::from_str(line).unwrap();
    Captured {
        place: format!("{stem} n={}", line["n"]),
        name: line["code"].as_i64().and(line["name"].as_str()).map(str::to_owned),
        header: line["header"].clone(),
        frame: hex::decode(line["frame"].as_str().unwrap()).unwrap(),
    }
}

/// The stored records of every frame that carries some, with where they were found.
pub(crate) fn records() -> Vec<(String, Bytes)> {
    const CARRIERS: [&str; 8] = [
        "PULL_MESSAGE SUCCESS",
        "LITE_PULL_MESSAGE SUCCESS",
        "POP_MESSAGE SUCCESS",
        "PEEK_MESSAGE SUCCESS",
        "QUERY_MESSAGE SUCCESS",
        "VIEW_MESSAGE_BY_ID SUCCESS",
        "CHECK_TRANSACTION_STATE",
        "CONSUME_MESSAGE_DIRECTLY",
    ];
    let carries = |frame: &Captured| CARRIERS.contains(&frame.name.as_deref().unwrap_or_default());
    let frames = well_formed().into_iter().filter(carries);
    frames
        .map(|frame| (frame.place.clone(), frame.command().body))
        .filter(|(_, body)| !body.is_empty())
        .collect()
}
