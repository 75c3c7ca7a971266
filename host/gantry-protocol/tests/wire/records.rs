use bytes::BytesMut;
use gantry_protocol::properties::{self, keys};
use gantry_protocol::{MAGIC_V2, MessageExt, MessageRecord, batch, decode_all, message_id, names, sys_flag};

use crate::captures;

fn messages() -> Vec<(String, MessageExt)> {
    let bodies = captures::records().into_iter();
    let walk = |(place, body)| {
        let place: String = place;
        decode_all(body).map(move |message| (place.clone(), message.unwrap())).collect::<Vec<_>>()
    };
    bodies.flat_map(walk).collect()
}

#[test]
fn every_captured_record_parses_with_the_right_checksum() {
    let messages = messages();
    assert_eq!(messages.len(), 149);
    for (place, message) in &messages {
        assert!(message.body_crc_matches(), "{place}");
        assert!(message.properties_bytes().ends_with(&[2]), "{place}");
        assert_eq!(message.properties_str(), properties::encode(message.properties()), "{place}");
        let fixed = |at: usize| i64::from_be_bytes(message.record()[at..at + 8].try_into().unwrap());
        assert_eq!(message.queue_offset(), fixed(20), "{place}");
        assert_eq!(message.physical_offset(), fixed(28), "{place}");
        assert_eq!(message.store_timestamp(), fixed(56), "{place}");
    }
    assert_eq!(messages.iter().filter(|(_, message)| message.is_version_2()).count(), 1);
}

#[test]
fn every_captured_record_encodes_to_the_same_bytes() {
    for (place, message) in messages() {
        let record = MessageRecord::from(&message);
        let mut out = BytesMut::new();
        record.encode(&mut out).unwrap();
        assert_eq!(out, message.record(), "{place}");
        assert_eq!(record.encoded_len(), message.stored_size(), "{place}");
    }
}

#[test]
fn bodies_are_slices_of_the_pull_body() {
    for (_, pull) in captures::records() {
        let within = pull.as_ptr_range();
        for message in decode_all(pull.clone()).map(Result::unwrap).filter(|message| !message.is_compressed())
        {
            let body = message.body().unwrap();
            assert!(body.is_empty() || within.contains(&body.as_ptr()));
        }
    }
}

#[test]
fn the_record_of_version_2_has_its_long_topic() {
    let messages = messages();
    let (_, message) = messages.iter().find(|(_, message)| message.is_version_2()).unwrap();
    assert_eq!(message.record()[4..8], MAGIC_V2.to_be_bytes());
    assert_eq!(message.topic().len(), 250);
    assert!(names::is_retry(message.topic()));
    assert_eq!(message.stored_body(), b"long topic pop retry");
    assert_eq!(message.reconsume_times(), 1);
    assert_eq!(message.born_host().port(), 20911);
}

#[test]
fn the_first_message_tells_everything_that_was_sent() {
    let body = captures::at("02_send", 78).command().body;
    let message = decode_all(body).next().unwrap().unwrap();
    assert_eq!(
        (message.topic(), message.tags(), message.keys()),
        ("CapSend", Some("TagA"), Some("key1 key2"))
    );
    assert_eq!((message.flag(), message.sys_flag(), message.body_crc()), (7, 0, 907_060_870));
    assert_eq!(message.body().unwrap(), "hello");
    assert_eq!(message.property("color"), Some("blau"));
    assert_eq!(message.property("größe"), Some("ü€😀"));
    assert_eq!(message.property("none"), None);
    assert_eq!(message.message_id(), "C000020226024E0E2F2A760755280000");
    assert_eq!(message.offset_msg_id(), "7F000001000051AF0000000000000000");
    assert_eq!(message.born_host(), "127.0.0.1:35708".parse().unwrap());
    assert_eq!(message.store_host(), "127.0.0.1:20911".parse().unwrap());
    assert_eq!(message.stored_size(), 271);
    let key = message_id::UniqueKey::parse(message.unique_key().unwrap()).unwrap();
    let born = u64::try_from(message.born_timestamp()).unwrap();
    assert!(key.time_ms(born + 1000).abs_diff(born) < 1000);
}

#[test]
fn known_bodies_have_their_known_checksums() {
    let known = [
        ("hello", 907_060_870),
        ("plain", 421_552_847),
        (" ", 1_768_738_629),
        ("async body", 1_230_685_045),
        ("oneway body", 1_831_164_737),
        ("batch 0", 313_904_697),
        ("batch 1", 1_706_229_423),
        ("batch 2", 2_092_674_837),
        ("selector body", 410_439_548),
        ("sharding", 1_693_714_145),
        ("delay level 1", 1_535_126_977),
        ("consume ok", 1_956_397_224),
        ("retry once level 1", 415_429_412),
        ("to the DLQ", 1_557_597_132),
        ("live 0", 1_774_426_427),
        ("binary header", 367_066_216),
    ];
    let messages = messages();
    for (body, crc) in known {
        let mut found =
            messages.iter().filter(|(_, message)| message.stored_body() == body.as_bytes()).peekable();
        assert!(found.peek().is_some(), "{body:?} was captured");
        assert!(found.all(|(_, message)| message.body_crc() == crc), "{body:?}");
    }
}

#[test]
fn compressed_bodies_inflate_to_the_known_text() {
    let lines: String = (0..500).map(|line| format!("line {line} of the golden capture\n")).collect();
    let plain = &lines.as_bytes()[..5000];
    let cases = [("zlib", 0x301, 747_463_557), ("lz4", 0x101, 1_769_602_747), ("zstd", 0x201, 189_172_989)];
    let messages = messages();
    for (key, flag, crc) in cases {
        let found: Vec<_> = messages.iter().filter(|(_, message)| message.keys() == Some(key)).collect();
        assert!(!found.is_empty(), "{key} was captured");
        for (place, message) in found {
            assert_eq!((message.sys_flag(), message.body_crc()), (flag, crc), "{place} {key}");
            assert!(message.stored_size() < 5000, "{place} {key}");
            assert_eq!(message.body().unwrap(), plain, "{place} {key}");
            assert!(message.body_within(4999).is_err(), "{place} {key}");
        }
    }
    let raw = messages.iter().find(|(_, message)| message.stored_body() == &plain[..4000]).unwrap();
    assert_eq!((raw.1.sys_flag(), raw.1.body_crc()), (0, 348_853_473));
}

#[test]
fn a_retry_names_the_topic_it_belongs_to() {
    let messages = messages();
    let retries: Vec<_> =
        messages.iter().filter(|(_, message)| message.topic() == "%RETRY%CapPushG").collect();
    assert!(!retries.is_empty());
    for (place, message) in retries {
        assert_eq!(message.origin_topic(), "CapPush", "{place}");
        assert!(message.reconsume_times() > 0, "{place}");
        assert!(message.property(keys::ORIGIN_MESSAGE_ID).is_some_and(|id| id.len() == 32), "{place}");
    }
    let plain = messages.iter().find(|(_, message)| message.topic() == "CapSend").unwrap();
    assert_eq!(plain.1.origin_topic(), "CapSend");
}

#[test]
fn every_captured_batch_comes_apart_and_together() {
    let batches: Vec<_> = captures::well_formed()
        .into_iter()
        .filter(|frame| frame.name.as_deref() == Some("SEND_BATCH_MESSAGE"))
        .collect();
    assert_eq!(batches.len(), 4);
    for frame in batches {
        let body = frame.command().body;
        let items: Vec<_> = batch::decode(&body).collect::<Result<_, _>>().unwrap();
        assert!(items.len() >= 2, "{}", frame.place);
        let mut out = BytesMut::new();
        batch::encode(items, &mut out).unwrap();
        assert_eq!(out, body, "{}", frame.place);
    }
}

#[test]
fn offset_ids_in_answers_name_the_record_they_led_to() {
    let frame = captures::at("02_send", 78);
    let stored: Vec<_> =
        decode_all(frame.command().body).map(|message| message.unwrap().offset_msg_id()).collect();
    let sent = captures::well_formed().into_iter().filter(|frame| frame.request_name() == "SEND_MESSAGE_V2");
    let ids: Vec<_> =
        sent.filter_map(|frame| frame.command().ext_fields.get("msgId").map(str::to_owned)).collect();
    assert!(ids.contains(&stored[0]));
    for id in &ids {
        let (host, offset) = message_id::parse_offset_msg_id(id).unwrap();
        assert_eq!(&message_id::offset_msg_id(host, offset), id);
    }
}

#[test]
fn an_inner_batch_becomes_its_messages() {
    let mut body = BytesMut::new();
    for text in ["one", "two"] {
        let properties = format!("KEYS\u{1}{text}\u{2}");
        let item = batch::BatchItem { flag: 5, body: text.as_bytes(), properties: properties.as_bytes() };
        batch::encode([item], &mut body).unwrap();
    }
    let plain = body.freeze();
    let zlib = gantry_protocol::compression::CompressionType::Zlib;
    let compressed = gantry_protocol::compression::compress(zlib, 5, &plain).unwrap();
    let both = sys_flag::INNER_BATCH | sys_flag::NEED_UNWRAP;
    for (body, flag) in [(plain, both), (compressed, both | zlib.sys_flag_bits())] {
        let record = MessageRecord {
            topic: "T".into(),
            queue_offset: 40,
            sys_flag: flag,
            body,
            ..MessageRecord::default()
        };
        let mut out = BytesMut::new();
        record.encode(&mut out).unwrap();
        let batch = MessageExt::decode(out.freeze()).unwrap();
        assert!(batch.is_inner_batch());
        let messages = batch.unwrap_inner_batch().unwrap();
        let read: Vec<_> = messages
            .iter()
            .map(|m| (m.queue_offset(), m.flag(), m.topic(), m.keys(), m.body().unwrap()))
            .collect();
        let expected = [(40, 5, "T", Some("one"), "one".into()), (41, 5, "T", Some("two"), "two".into())];
        assert_eq!(read, expected);
    }
}
