//! Bytes nobody meant well: readers must answer with a value or an error, and come to an end.

use std::sync::OnceLock;

use bytes::{Bytes, BytesMut};
use gantry_protocol::body::{
    BatchAckMessageRequestBody, ConsumerRunningInfo, HeartbeatData, LockBatchBody, OffsetTable,
    TopicRouteData,
};
use gantry_protocol::compression::{self, CompressionType};
use gantry_protocol::message_id::{UniqueKey, parse_offset_msg_id};
use gantry_protocol::pop::{PopHandle, parse_offset_info, parse_order_count_info};
use gantry_protocol::{
    EncodeError, ExtFields, FrameDecoder, FrameError, MAX_FRAME, MessageError, MessageExt, MessageRecord,
    RecordError, RemotingCommand, RequestCode, SerializeType, batch, decode_all, fastjson, properties, tag,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::captures;

/// Decodes until the stream is used up, refused or waits for more. Each step must use bytes.
fn drain(decoder: &FrameDecoder, source: &mut BytesMut) -> usize {
    let mut count = 0;
    loop {
        let before = source.len();
        match decoder.decode(source) {
            Ok(Some(_)) => assert!(source.len() < before),
            Ok(None) | Err(_) => return count,
        }
        count += 1;
    }
}

/// Reads everything a message offers.
fn touch(message: &MessageExt) {
    let _ =
        (message.body_within(1 << 20), message.message_id(), message.tags(), message.origin_topic().len());
    let _ = (message.properties().count(), message.properties_str().len(), message.body_crc_matches());
    if let Ok(messages) = message.unwrap_inner_batch() {
        assert!(messages.len() <= message.stored_size());
    }
}

fn walk(records: Bytes) {
    let most = records.len();
    let mut count = 0;
    for message in decode_all(records) {
        let _ = message.as_ref().map(touch);
        count += 1;
    }
    assert!(count <= most);
}

fn frames() -> &'static [Vec<u8>] {
    static FRAMES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    FRAMES.get_or_init(|| captures::well_formed().into_iter().map(|frame| frame.frame).collect())
}

fn record_bodies() -> &'static [Bytes] {
    static BODIES: OnceLock<Vec<Bytes>> = OnceLock::new();
    BODIES.get_or_init(|| captures::records().into_iter().map(|(_, body)| body).collect())
}

fn json_bodies() -> &'static [Vec<u8>] {
    static BODIES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    let json = |body: &Bytes| body.starts_with(b"{") && body.len() < 2000;
    BODIES.get_or_init(|| {
        let bodies = captures::well_formed().into_iter().map(|frame| frame.command().body);
        bodies.filter(json).map(|body| body.to_vec()).collect()
    })
}

/// What is done to good bytes: a place (as a fraction) and a new byte, several times, then a cut.
fn damage() -> impl Strategy<Value = (Vec<(u16, u8)>, u16)> {
    (vec((any::<u16>(), any::<u8>()), 1..6), prop_oneof![3 => Just(u16::MAX), 1 => any::<u16>()])
}

fn damaged(good: &[u8], (changes, cut): (Vec<(u16, u8)>, u16)) -> Vec<u8> {
    let place = |fraction: u16| good.len() * usize::from(fraction) / (usize::from(u16::MAX) + 1);
    let mut bytes = good.to_vec();
    for (at, byte) in changes {
        bytes[place(at)] = byte;
    }
    if cut < u16::MAX {
        bytes.truncate(place(cut));
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn random_bytes_are_no_frames_that_hurt(bytes in vec(any::<u8>(), 0..200), kind in 0u8..3) {
        let mut framed = (bytes.len() as u32 + 4).to_be_bytes().to_vec();
        framed.extend_from_slice(&[kind, 0, 0, bytes.len() as u8]);
        framed.extend_from_slice(&bytes);
        let decoder = FrameDecoder::new(MAX_FRAME);
        drain(&decoder, &mut BytesMut::from(&framed[..]));
        drain(&decoder, &mut BytesMut::from(&bytes[..]));
    }

    #[test]
    fn damaged_frames_are_refused_or_read(frame in 0..1656usize, damage in damage()) {
        let bytes = damaged(&frames()[frame], damage);
        drain(&FrameDecoder::new(MAX_FRAME), &mut BytesMut::from(&bytes[..]));
    }

    #[test]
    fn damaged_records_are_refused_or_read(body in any::<prop::sample::Index>(), damage in damage()) {
        walk(damaged(body.get::<Bytes>(record_bodies()), damage).into());
    }

    #[test]
    fn random_bytes_are_no_records_that_hurt(bytes in vec(any::<u8>(), 0..300)) {
        walk(bytes.clone().into());
        let items = batch::decode(&bytes).count();
        prop_assert!(items <= bytes.len());
        for kind in [CompressionType::Lz4, CompressionType::Zstd, CompressionType::Zlib] {
            let _ = compression::decompress(kind, &bytes, 1 << 20);
        }
    }

    #[test]
    fn damaged_bodies_are_refused_or_read(body in any::<prop::sample::Index>(), damage in damage()) {
        let bytes = damaged(body.get::<Vec<u8>>(json_bodies()), damage);
        let _ = fastjson::from_slice::<TopicRouteData>(&bytes);
        let _ = fastjson::from_slice::<HeartbeatData>(&bytes);
        let _ = fastjson::from_slice::<OffsetTable>(&bytes);
        let _ = fastjson::from_slice::<ConsumerRunningInfo>(&bytes);
        let _ = fastjson::from_slice::<LockBatchBody>(&bytes);
        let _ = fastjson::from_slice::<BatchAckMessageRequestBody>(&bytes);
    }

    #[test]
    fn brackets_and_quotes_in_any_order_are_refused_or_read(text in "[{}\\[\\]\":,0-9a \\\\]{0,60}") {
        let _ = fastjson::from_slice::<OffsetTable>(text.as_bytes());
        let _ = fastjson::from_slice::<serde_json::Value>(text.as_bytes());
    }

    #[test]
    fn any_text_is_read_or_refused(text in ".{0,80}") {
        let _ = (properties::parse(&text).count(), properties::get(&text, "a"));
        let _ = (tag::TagExpression::parse(&text).is_ok(), tag::hash_code(&text));
        let _ = (parse_offset_msg_id(&text).is_ok(), UniqueKey::parse(&text).is_ok());
        let _ = (PopHandle::parse(&text).is_ok(), parse_offset_info(&text).is_ok());
        let _ = parse_order_count_info(&text).is_ok();
    }
}

#[test]
fn a_frame_longer_than_the_limit_is_refused_before_it_arrives() {
    let mut source = BytesMut::from(&[0x7f, 0xff, 0xff, 0xff][..]);
    let refused = FrameDecoder::new(1024).decode(&mut source);
    assert!(matches!(refused, Err(FrameError::TooLong { max: 1024, .. })), "{refused:?}");
    let mut source = BytesMut::from(&0xffff_ffff_u32.to_be_bytes()[..]);
    assert!(matches!(FrameDecoder::default().decode(&mut source), Err(FrameError::TooLong { .. })));
}

#[test]
fn what_a_frame_still_needs_is_known_from_its_length_and_believed_by_and_by() {
    let decoder = FrameDecoder::new(MAX_FRAME);
    let missing = |claimed: u32, there: usize| {
        let mut source = claimed.to_be_bytes().to_vec();
        source.resize(there, 0);
        decoder.missing(&source)
    };
    let (step, long) = (256 << 10, 8 << 20);
    assert_eq!(
        [missing(100, 3), missing(100, 4), missing(100, 103), missing(100, 104), missing(100, 500)],
        [0, 100, 1, 0, 0]
    );
    assert_eq!([missing(long, 4), missing(long, step), missing(long, 3 * step)], [step, step, 3 * step]);
    assert_eq!(missing(u32::MAX, 4), 0, "it is refused");
}

#[test]
fn a_claimed_length_alone_reserves_little() {
    let mut source = BytesMut::from(&(MAX_FRAME as u32 - 4).to_be_bytes()[..]);
    assert!(FrameDecoder::default().decode(&mut source).unwrap().is_none());
    assert!(source.capacity() < 1 << 20, "{} bytes reserved", source.capacity());
}

#[test]
fn a_frame_too_short_for_its_header_length_is_refused() {
    let mut source = BytesMut::from(&3u32.to_be_bytes()[..]);
    assert!(matches!(FrameDecoder::default().decode(&mut source), Err(FrameError::TooShort { length: 3 })));
}

#[test]
fn more_fields_than_any_request_has_are_refused_in_both_serializations() {
    let fields: ExtFields = (0..600).map(|field| (format!("f{field}"), field)).collect();
    for serialize_type in [SerializeType::Json, SerializeType::RocketMq] {
        let command = RemotingCommand::bare_request(RequestCode::HEART_BEAT);
        let command = RemotingCommand { ext_fields: fields.clone(), serialize_type, ..command };
        let mut out = BytesMut::new();
        command.encode(&mut out).unwrap();
        let refused = FrameDecoder::default().decode(&mut out);
        assert!(matches!(refused, Err(FrameError::Json(_) | FrameError::Binary(_))), "{serialize_type:?}");
    }
}

#[test]
fn what_a_frame_cannot_say_is_an_error_and_leaves_nothing_behind() {
    let pop =
        RemotingCommand::bare_request(RequestCode::POP_MESSAGE).with_serialize_type(SerializeType::RocketMq);
    let mut out = BytesMut::from("before");
    assert_eq!(pop.encode(&mut out), Err(EncodeError::TooWide { field: "code", value: 200_050 }));
    assert_eq!(out, "before");
    let large = RemotingCommand::bare_request(RequestCode::SEND_MESSAGE).with_body(vec![0u8; MAX_FRAME]);
    assert!(matches!(large.encode(&mut out), Err(EncodeError::FrameTooLong { .. })));
    assert_eq!(out, "before");
}

#[test]
fn a_record_with_a_wrong_magic_does_not_hide_the_next() {
    let mut out = BytesMut::new();
    for topic in ["a", "b"] {
        MessageRecord { topic: topic.into(), ..MessageRecord::default() }.encode(&mut out).unwrap();
    }
    out[4] = 0;
    let results: Vec<_> = decode_all(out.freeze()).collect();
    assert!(matches!(results[0], Err(MessageError::BadMagic { at: 0, .. })), "{:?}", results[0]);
    assert_eq!(results[1].as_ref().unwrap().topic(), "b");
}

#[test]
fn a_record_with_a_wrong_size_ends_the_walk() {
    for size in [i32::MIN, -1, 0, 91, 10_000, i32::MAX] {
        let mut out = BytesMut::new();
        MessageRecord { topic: "a".into(), ..MessageRecord::default() }.encode(&mut out).unwrap();
        out[..4].copy_from_slice(&size.to_be_bytes());
        let results: Vec<_> = decode_all(out.freeze()).collect();
        assert!(results[0].is_err(), "{size}");
        assert!(results.len() <= 2, "{size}");
    }
}

#[test]
fn parts_that_do_not_fit_a_record_are_refused() {
    let long = |part: &str, length: usize| MessageRecord {
        topic: if part == "topic" { "t".repeat(length) } else { "t".into() },
        properties: if part == "properties" { vec![b'p'; length].into() } else { Bytes::new() },
        ..MessageRecord::default()
    };
    for part in ["topic", "properties"] {
        let mut out = BytesMut::new();
        assert!(long(part, 32_767).encode(&mut out).is_ok());
        out.clear();
        let refused = long(part, 32_768).encode(&mut out);
        assert!(
            matches!(refused, Err(RecordError::TooLong { length: 32_768, max: 32_767, .. })),
            "{refused:?}"
        );
        assert!(out.is_empty());
    }
}

#[test]
fn properties_that_are_not_utf_8_spoil_only_themselves() {
    let properties = b"TAGS\x01TagA\x02bad\x01\xff\xfe\x02\xff\x01x\x02KEYS\x01k\x02".to_vec();
    let record =
        MessageRecord { topic: "t".into(), properties: properties.into(), ..MessageRecord::default() };
    let mut out = BytesMut::new();
    record.encode(&mut out).unwrap();
    let message = MessageExt::decode(out.freeze()).unwrap();
    assert_eq!((message.tags(), message.keys(), message.property("bad")), (Some("TagA"), Some("k"), None));
    assert_eq!(message.properties().collect::<Vec<_>>(), [("TAGS", "TagA"), ("KEYS", "k")]);
    let mut each = Vec::new();
    message.each_property(|name, value| each.push((name, value)));
    assert_eq!(each, [("TAGS", "TagA"), ("KEYS", "k")]);
}
