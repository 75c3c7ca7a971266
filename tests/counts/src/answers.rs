//! Pull answers as a broker's connection brings them.

use anyhow::Result;
use bytes::BytesMut;
use gantry_protocol::header::PullMessageResponseHeader;
use gantry_protocol::{MessageRecord, RemotingCommand, ResponseCode, properties};

/// Bytes of each message's body.
pub(crate) const BODY_BYTES: usize = 128;

/// The frames of `pulls` answers with `each` messages, from offset 0 of one queue on.
pub(crate) fn frames(topic: &str, pulls: usize, each: usize) -> Result<Vec<BytesMut>> {
    (0..pulls).map(|pull| frame(topic, i64::try_from(pull * each)?, i64::try_from(each)?)).collect()
}

fn frame(topic: &str, first: i64, count: i64) -> Result<BytesMut> {
    let mut body = BytesMut::new();
    for offset in first..first + count {
        record(topic, offset).encode(&mut body)?;
    }
    let header = PullMessageResponseHeader {
        next_begin_offset: first + count,
        max_offset: first + count,
        ..PullMessageResponseHeader::default()
    };
    let answer =
        RemotingCommand::response(ResponseCode::SUCCESS).with_header(&header).with_body(body.freeze());
    let mut frame = BytesMut::new();
    answer.encode(&mut frame)?;
    Ok(frame)
}

fn record(topic: &str, offset: i64) -> MessageRecord {
    let id = format!("7F0000010A2C18B4AAC2{offset:012X}");
    let properties = properties::encode([("UNIQ_KEY", id.as_str()), ("TAGS", "bench"), ("WAIT", "true")]);
    MessageRecord {
        topic: topic.to_owned(),
        queue_offset: offset,
        physical_offset: offset * 512,
        body: vec![b'x'; BODY_BYTES].into(),
        properties: properties.into(),
        ..MessageRecord::default()
    }
}
