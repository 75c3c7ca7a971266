//! What a message in RocketMQ's layout says here is what the protocol's codec says of it, and odd bytes do no harm.

use gantry_protocol::properties::keys;
use gantry_protocol::{MessageExt, MessageRecord, decode_all};
use proptest::collection::vec;
use proptest::prelude::*;

use super::{Packed, SYSTEM_PROPERTIES};
use std::net::SocketAddr;

fn host() -> impl Strategy<Value = SocketAddr> {
    prop_oneof![
        (any::<[u8; 4]>(), any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip.into(), port)),
        (any::<[u8; 16]>(), any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip.into(), port)),
    ]
}

/// Names among which are RocketMQ's own; values with anything in them, the separators too.
fn properties() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        Just("UNIQ_KEY".to_owned()),
        Just("TAGS".to_owned()),
        Just("KEYS".to_owned()),
        "[a-zäß中]{0,6}"
    ];
    let pair = (name, "[^\u{2}]{0,12}").prop_map(|(name, value)| format!("{name}\u{1}{value}\u{2}"));
    vec(pair, 0..6).prop_map(|pairs| pairs.concat())
}

fn record() -> impl Strategy<Value = MessageRecord> {
    let numbers = (any::<i64>(), any::<i64>(), any::<i64>(), any::<i64>(), any::<i32>());
    let topic = prop_oneof!["[a-z%_]{1,40}", "[a-z]{128,300}"];
    (host(), host(), numbers, topic, properties(), vec(any::<u8>(), 0..200)).prop_map(
        |(born_host, store_host, numbers, topic, properties, body)| MessageRecord {
            topic,
            queue_offset: numbers.0,
            physical_offset: numbers.1,
            born_timestamp: numbers.2,
            store_timestamp: numbers.3,
            reconsume_times: numbers.4,
            born_host,
            store_host,
            body: body.into(),
            properties: properties.into(),
            ..MessageRecord::default()
        },
    )
}

fn split(batch: Vec<u8>) -> Result<Vec<Packed>, String> {
    let mut messages = Vec::new();
    super::split(&batch.into(), usize::MAX, |packed| packed, &mut messages)?;
    Ok(messages)
}

fn packed(records: &[MessageRecord]) -> Vec<u8> {
    let mut bytes = bytes::BytesMut::new();
    records.iter().for_each(|record| record.encode(&mut bytes).unwrap());
    bytes.to_vec()
}

fn says_the_same(here: &Packed, there: &MessageExt) {
    assert_eq!(here.body(), there.stored_body());
    assert_eq!(here.message_id(), there.message_id());
    assert_eq!(here.property("TAGS"), there.tags());
    assert_eq!(here.property("KEYS"), there.keys());
    assert_eq!(here.reconsume_times(), there.reconsume_times().max(0).unsigned_abs());
    assert_eq!(here.queue_offset(), there.queue_offset().max(0).unsigned_abs());
    assert_eq!(here.born_timestamp(), there.born_timestamp().max(0).unsigned_abs());
    assert_eq!(here.store_timestamp(), there.store_timestamp().max(0).unsigned_abs());
    assert_eq!(here.born_host(), Some(there.born_host()));
    assert_eq!(here.store_host(), Some(there.store_host()));
    assert_eq!(here.offset_message_id(), there.offset_msg_id());
    assert_eq!(here.properties().collect::<Vec<_>>(), there.properties().collect::<Vec<_>>());
    let users: Vec<_> = there.properties().filter(|(name, _)| !keys::is_system(name)).collect();
    assert_eq!(here.user_properties().collect::<Vec<_>>(), users);
}

/// Asks everything there is to ask.
fn ask(message: &Packed) -> usize {
    let texts = [message.message_id().len(), message.offset_message_id().len(), message.body().len()];
    let numbers = [message.queue_offset(), message.born_timestamp(), message.store_timestamp()];
    let hosts = [message.born_host(), message.store_host()];
    let properties = message.properties().count() + message.user_properties().count();
    let _ = (message.property("TAGS"), message.reconsume_times(), numbers, hosts);
    texts.iter().sum::<usize>() + properties
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_message_says_what_the_codec_says(records in vec(record(), 1..8)) {
        let bytes = packed(&records);
        let there: Vec<MessageExt> = decode_all(bytes.clone().into()).map(Result::unwrap).collect();
        let here = split(bytes).unwrap();
        prop_assert_eq!(here.len(), there.len());
        for (place, (here, there)) in here.iter().zip(&there).enumerate() {
            prop_assert_eq!(usize::try_from(here.index).unwrap(), place);
            says_the_same(here, there);
        }
    }

    #[test]
    fn odd_bytes_do_no_harm(records in vec(record(), 1..4), changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..20), cut in any::<prop::sample::Index>()) {
        let mut bytes = packed(&records);
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Ok(messages) = split(bytes.clone()) {
            messages.iter().for_each(|message| { ask(message); });
        }
        bytes.truncate(cut.index(bytes.len()));
        if let Ok(messages) = split(bytes) {
            messages.iter().for_each(|message| { ask(message); });
        }
    }

    #[test]
    fn no_bytes_at_all_make_it_panic(mut bytes in vec(any::<u8>(), 0..400)) {
        let size = u32::try_from(bytes.len()).unwrap();
        if let Some(place) = bytes.get_mut(..4) {
            place.copy_from_slice(&size.to_be_bytes());
        }
        if let Ok(messages) = split(bytes) {
            messages.iter().for_each(|message| { ask(message); });
        }
    }
}

#[test]
fn a_batch_of_any_size_is_split_and_a_broken_one_is_refused() {
    let one = MessageRecord { topic: "t".into(), ..MessageRecord::default() };
    for count in [1, 2, 31, 1024] {
        assert_eq!(split(packed(&vec![one.clone(); count])).unwrap().len(), count);
    }
    assert!(split(Vec::new()).unwrap().is_empty());
    let mut bytes = packed(&[one.clone(), one]);
    bytes.pop();
    let error = split(bytes).unwrap_err();
    assert_eq!(error, "message 1 of the batch is said to have 92 bytes, where 91 are left");
}

#[test]
fn rocketmqs_own_properties_are_the_codecs() {
    assert_eq!(SYSTEM_PROPERTIES, keys::ALL);
}
