//! One suite of batches through both forms of listener: what they are told is the same, and what lies in one piece is
//! handed on as it lies.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::BytesMut;
use gantry_engine::{
    Cause, ConsumeContext, ConsumeResult, Engine, EngineConfig, Grants, ListenerModule, Order,
    consume_isolated,
};
use gantry_protocol::compression::{CompressionType, compress};
use gantry_protocol::{MessageRecord, decode_all};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const CONTEXT: ConsumeContext<'static> =
    ConsumeContext { consumer_group: "group", topic: "orders", broker_name: "broker-a", queue_id: 3 };

/// The guests `tells`, which takes bytes, and `tells-records`.
fn guests() -> &'static [ListenerModule; 2] {
    static GUESTS: OnceLock<[ListenerModule; 2]> = OnceLock::new();
    GUESTS.get_or_init(|| {
        let engine = Engine::new(EngineConfig { max_instances: 8, ..EngineConfig::default() }).unwrap();
        ["tells", "tells-records"].map(|name| engine.load(&component(name), &Grants::NONE).unwrap())
    })
}

fn component(name: &str) -> Vec<u8> {
    let repository = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository.join("target"), PathBuf::from);
    let file = target.join("guests/components").join(format!("{name}.wasm"));
    std::fs::read(&file)
        .unwrap_or_else(|error| panic!("{}: {error}: run `cargo xtask guests` first", file.display()))
}

/// What a guest tells of each message.
fn told(module: &ListenerModule, batch: &Arc<dyn MessageBatch>) -> Vec<String> {
    let report =
        consume_isolated(module, &CONTEXT, batch, 0..batch.len(), Duration::from_secs(60), Order::Any);
    let reason = |outcome: gantry_engine::Outcome| match (outcome.cause, outcome.result) {
        (Cause::Answered, ConsumeResult::DeadLetter(reason)) => reason,
        other => panic!("{other:?}"),
    };
    report.outcomes.into_iter().map(reason).collect()
}

fn answer(records: &[MessageRecord]) -> Vec<MessageExt> {
    let mut bytes = BytesMut::new();
    records.iter().for_each(|record| record.encode(&mut bytes).unwrap());
    decode_all(bytes.freeze()).map(Result::unwrap).collect()
}

fn batch_of(messages: Vec<MessageExt>, head_retries: u32) -> Arc<HostBatch> {
    let (batch, corrupt) = HostBatch::new(messages.into(), head_retries, head_retries > 0);
    assert!(corrupt.is_empty());
    Arc::new(batch)
}

/// Both guests are told the same of every message, each of which is told apart from its neighbours.
fn both_are_told_the_same(batch: Arc<HostBatch>) {
    let len = batch.messages.len();
    for index in 0..=len {
        let (mut alone, mut together) = (Vec::new(), Vec::new());
        batch.user_properties(index, &mut alone);
        assert_eq!(batch.record(index, &mut together), batch.message(index));
        assert_eq!(together, alone);
    }
    let batch: Arc<dyn MessageBatch> = batch;
    let [packed, records] = guests();
    let told_packed = told(packed, &batch);
    assert_eq!(told_packed.len(), len);
    assert_eq!(told_packed, told(records, &batch));
}

fn record(number: i64) -> MessageRecord {
    MessageRecord {
        topic: "orders".into(),
        queue_offset: number,
        physical_offset: 1_000 + number,
        born_timestamp: 1_795_471_392_040,
        store_timestamp: 1_795_471_392_041,
        store_host: "192.0.2.2:10911".parse().unwrap(),
        born_host: "192.0.2.3:40000".parse().unwrap(),
        body: format!("body {number}").into(),
        properties: "TAGS\u{1}created\u{2}KEYS\u{1}a b\u{2}".into(),
        ..MessageRecord::default()
    }
}

fn packed(batch: &HostBatch, range: Range<usize>) -> Vec<u8> {
    batch.packed("orders", range, &mut Vec::new()).to_vec()
}

#[test]
fn neighbours_in_one_answer_are_handed_on_as_they_lie() {
    let messages = answer(&[record(0), record(1), record(2)]);
    let first = messages[0].record().as_ptr();
    let all: Vec<u8> = messages.iter().flat_map(|message| message.record().to_vec()).collect();
    let batch = batch_of(messages, 0);
    let mut room = Vec::new();
    let bytes = batch.packed("orders", 0..3, &mut room);
    assert_eq!((bytes, bytes.as_ptr()), (all.as_slice(), first));
    assert!(room.capacity() == 0, "nothing was copied");
    assert_eq!(packed(&batch, 1..2), batch.messages[1].record());
    assert!(packed(&batch, 1..1).is_empty());
}

#[test]
fn what_does_not_lie_together_is_put_together() {
    let mut messages = answer(&[record(0), record(1), record(2)]);
    messages.remove(1);
    messages.extend(answer(&[record(3)]));
    let all: Vec<u8> = messages.iter().flat_map(|message| message.record().to_vec()).collect();
    let batch = batch_of(messages, 0);
    assert_eq!(packed(&batch, 0..3), all);
    both_are_told_the_same(batch);
}

#[test]
fn what_came_again_in_its_place_says_so() {
    let stored = MessageRecord { reconsume_times: 2, ..record(0) };
    let batch = batch_of(answer(&[stored, record(1)]), 3);
    let read: Vec<_> = decode_all(packed(&batch, 0..2).into()).map(Result::unwrap).collect();
    assert_eq!([read[0].reconsume_times(), read[1].reconsume_times()], [5, 0]);
    both_are_told_the_same(batch);
}

#[test]
fn compressed_bodies_are_inflated() {
    let kinds = [CompressionType::Zlib, CompressionType::Lz4, CompressionType::Zstd];
    let body = "again and again ".repeat(500);
    let compressed = |(number, kind): (i64, CompressionType)| MessageRecord {
        sys_flag: kind.sys_flag_bits(),
        body: compress(kind, 3, body.as_bytes()).unwrap(),
        ..record(number)
    };
    let mut records: Vec<_> = (0..).zip(kinds).map(compressed).collect();
    records.push(record(3));
    let batch = batch_of(answer(&records), 0);
    for message in decode_all(packed(&batch, 0..3).into()).map(Result::unwrap) {
        assert!(!message.is_compressed());
        assert_eq!(message.stored_body(), body.as_bytes());
    }
    both_are_told_the_same(batch);
}

#[test]
fn batches_of_every_size_are_told_alike() {
    for size in [1, 2, 33, 1024] {
        let records: Vec<_> = (0..size).map(record).collect();
        both_are_told_the_same(batch_of(answer(&records), 0));
    }
}

fn host() -> impl Strategy<Value = std::net::SocketAddr> {
    prop_oneof![
        (any::<[u8; 4]>(), any::<u16>()).prop_map(Into::into),
        (any::<[u8; 16]>(), any::<u16>()).prop_map(Into::into),
    ]
}

fn odd_record() -> impl Strategy<Value = MessageRecord> {
    let numbers = (any::<i64>(), any::<i64>(), any::<i64>(), any::<i64>(), any::<i32>());
    let topic = prop_oneof!["[a-z%_]{1,40}", "[a-z]{128,200}"];
    let name = prop_oneof![
        Just("UNIQ_KEY"),
        Just("TAGS"),
        Just("KEYS"),
        Just("RETRY_TOPIC"),
        Just("a"),
        Just("Straße")
    ];
    let property = (name, "[^\u{1}\u{2}]{0,12}").prop_map(|(name, value)| format!("{name}\u{1}{value}\u{2}"));
    let body = prop_oneof![Just(Vec::new()), vec(any::<u8>(), 1..300)];
    let kind = prop_oneof![
        4 => Just(None),
        1 => Just(Some(CompressionType::Zlib)),
        1 => Just(Some(CompressionType::Lz4)),
        1 => Just(Some(CompressionType::Zstd)),
    ];
    (host(), host(), numbers, topic, vec(property, 0..5), body, kind).prop_map(
        |(born_host, store_host, numbers, topic, properties, body, kind)| MessageRecord {
            topic,
            queue_offset: numbers.0,
            physical_offset: numbers.1,
            born_timestamp: numbers.2,
            store_timestamp: numbers.3,
            reconsume_times: numbers.4,
            sys_flag: kind.map_or(0, CompressionType::sys_flag_bits),
            born_host,
            store_host,
            body: kind.map_or_else(|| body.clone().into(), |kind| compress(kind, 3, &body).unwrap()),
            properties: properties.concat().into(),
            ..MessageRecord::default()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn whatever_is_in_them_both_are_told_the_same(records in vec(odd_record(), 1..12), retries in 0_u32..3) {
        both_are_told_the_same(batch_of(answer(&records), retries));
    }
}
