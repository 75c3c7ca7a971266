use bytes::{Buf as _, Bytes, BytesMut};

use crate::binary_header::{self, BinaryHeaderError};
use crate::json_header;
use crate::{RemotingCommand, SerializeType};

/// Longest frame a RocketMQ peer accepts, in bytes, including the length field: 16 MiB.
pub const MAX_FRAME: usize = 16 * 1024 * 1024;

/// Most a partial frame makes the decoder reserve at once, so that a claimed length alone costs little.
const RESERVE_STEP: usize = 256 * 1024;

/// Cuts commands out of a byte stream.
///
/// The body of a command is a slice of the frame it came in, without a copy.
#[derive(Clone, Debug)]
pub struct FrameDecoder {
    max_frame: usize,
}

/// Bytes that are not a frame. The stream cannot be followed any further: close the connection.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The length field claims more than the decoder accepts.
    #[error("frame of {length} bytes is longer than the accepted {max}")]
    TooLong {
        /// Claimed length in bytes, including the length field.
        length: usize,
        /// The decoder's limit.
        max: usize,
    },
    /// A frame holds at least the four bytes that say how long its header is.
    #[error("frame length {length} is shorter than the 4 bytes of the header length")]
    TooShort {
        /// The length field.
        length: usize,
    },
    /// The header would end after the frame.
    #[error("header of {header} bytes does not fit a frame of {available} bytes")]
    HeaderTooLong {
        /// Claimed header length in bytes.
        header: usize,
        /// What the frame has room for.
        available: usize,
    },
    /// Neither JSON (0) nor ROCKETMQ (1).
    #[error("serialize type {kind} is neither 0 (JSON) nor 1 (ROCKETMQ)")]
    UnknownSerializeType {
        /// The type byte.
        kind: u8,
    },
    /// The JSON header is not what a command needs.
    #[error("JSON header: {0}")]
    Json(#[from] serde_json::Error),
    /// The binary header is not what a command needs.
    #[error("ROCKETMQ header: {0}")]
    Binary(#[from] BinaryHeaderError),
}

impl Default for FrameDecoder {
    fn default() -> Self {
        Self::new(MAX_FRAME)
    }
}

impl FrameDecoder {
    /// A decoder that refuses frames longer than `max_frame` bytes, the length field included.
    pub fn new(max_frame: usize) -> Self {
        Self { max_frame }
    }

    /// Bytes that are still to come of the frame `source` begins with, as far as room for them is to be made at once: what it claims to have may not
    /// be true. 0 where it is there in full, where its length is not, and where it is refused.
    pub fn missing(&self, source: &[u8]) -> usize {
        let length = source.first_chunk::<4>().map(|prefix| u32::from_be_bytes(*prefix) as usize);
        let total = length.map(|length| length.saturating_add(4)).filter(|total| *total <= self.max_frame);
        let missing = total.unwrap_or_default().saturating_sub(source.len());
        // As much again as has come, so that a long frame is moved few times.
        missing.min(RESERVE_STEP.max(source.len()))
    }

    /// Takes the next command off `source`, or `None` when its frame is not there in full yet.
    ///
    /// # Errors
    /// See [`FrameError`]. `source` then still starts with the offending frame.
    pub fn decode(&self, source: &mut BytesMut) -> Result<Option<RemotingCommand>, FrameError> {
        let Some(length) = source.first_chunk::<4>().map(|prefix| u32::from_be_bytes(*prefix) as usize)
        else {
            return Ok(None);
        };
        let total = length.saturating_add(4);
        if total > self.max_frame {
            return Err(FrameError::TooLong { length: total, max: self.max_frame });
        }
        if length < 4 {
            return Err(FrameError::TooShort { length });
        }
        if let Some(word) = source.get(4..8).and_then(|bytes| bytes.first_chunk::<4>()) {
            check_header_word(u32::from_be_bytes(*word), length - 4)?;
        }
        if source.len() < total {
            source.reserve(self.missing(source));
            return Ok(None);
        }
        // Parse before the frame is cut off, so that an error leaves the source as it was.
        let (header, body_at) = parse(source.get(4..total).unwrap_or_default())?;
        let mut frame = source.split_to(total).freeze();
        frame.advance(4 + body_at);
        // Without a body nothing holds on to the read buffer.
        let body = if frame.is_empty() { Bytes::new() } else { frame };
        Ok(Some(RemotingCommand { body, ..header }))
    }
}

fn check_header_word(word: u32, available: usize) -> Result<(SerializeType, usize), FrameError> {
    let header = (word & 0x00FF_FFFF) as usize;
    if header > available {
        return Err(FrameError::HeaderTooLong { header, available });
    }
    match word.to_be_bytes() {
        [0, ..] => Ok((SerializeType::Json, header)),
        [1, ..] => Ok((SerializeType::RocketMq, header)),
        [kind, ..] => Err(FrameError::UnknownSerializeType { kind }),
    }
}

/// Parses a frame after its length field: the command without body, and where the body starts.
fn parse(frame: &[u8]) -> Result<(RemotingCommand, usize), FrameError> {
    let Some((word, rest)) = frame.split_first_chunk::<4>() else {
        return Err(FrameError::TooShort { length: frame.len() });
    };
    let (serialize_type, length) = check_header_word(u32::from_be_bytes(*word), rest.len())?;
    let header = rest.get(..length).unwrap_or_default();
    let command = match serialize_type {
        SerializeType::Json => json_header::decode(header)?,
        SerializeType::RocketMq => binary_header::decode(header)?,
    };
    Ok((RemotingCommand { body: Bytes::new(), serialize_type, ..command }, 4 + length))
}
