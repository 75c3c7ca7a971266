use std::net::{IpAddr, SocketAddr};

use bytes::{Bytes, BytesMut};
use gantry_protocol::batch::{self, BatchItem};
use gantry_protocol::compression::{self, CompressionType};
use gantry_protocol::{
    ExtFields, FrameDecoder, LanguageCode, MAX_FRAME, MessageExt, MessageQueue, MessageRecord,
    RemotingCommand, SerializeType, body::QueueMap, decode_all, fastjson, message_id, properties, sys_flag,
};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

fn bytes(most: usize) -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..most).prop_map(Bytes::from)
}

fn command() -> impl Strategy<Value = RemotingCommand> {
    let numbers = (any::<i16>(), any::<u8>(), any::<i16>(), any::<i32>(), any::<i32>());
    let fields = btree_map(".{0,12}", ".{0,40}", 0..12);
    let remark = proptest::option::of(".{1,60}");
    (numbers, remark, fields, bytes(200), any::<bool>()).prop_map(
        |(numbers, remark, fields, body, binary)| {
            let (code, language, version, opaque, flag) = numbers;
            // A JSON header carries the language by name, so only a listed one comes back.
            let language = LanguageCode(if binary { language } else { language % 14 });
            let serialize_type = if binary { SerializeType::RocketMq } else { SerializeType::Json };
            let ext_fields: ExtFields = fields.into_iter().collect();
            let (code, version) = (i32::from(code), i32::from(version));
            RemotingCommand {
                code,
                language,
                version,
                opaque,
                flag,
                remark,
                ext_fields,
                body,
                serialize_type,
            }
        },
    )
}

fn host() -> impl Strategy<Value = SocketAddr> {
    let ip = prop_oneof![any::<[u8; 4]>().prop_map(IpAddr::from), any::<[u8; 16]>().prop_map(IpAddr::from)];
    (ip, any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip, port))
}

fn record() -> impl Strategy<Value = MessageRecord> {
    let places = (any::<i32>(), any::<i64>(), any::<i64>(), any::<i64>());
    let times = (any::<i64>(), any::<i64>(), any::<i32>());
    let parts = ("[a-zA-Z%_-]{1,200}", bytes(300), btree_map("[a-z]{1,6}", ".{1,20}", 0..6));
    (places, times, (host(), host()), any::<(i32, i32)>(), parts).prop_map(
        |(places, times, hosts, flags, parts)| {
            let hosts_v6 = sys_flag::BORN_HOST_V6 | sys_flag::STORE_HOST_V6;
            let clean = |text: String| text.replace(['\u{1}', '\u{2}'], "-");
            let pairs = parts.2.into_iter().map(|(name, value)| (name, clean(value)));
            MessageRecord {
                topic: parts.0,
                queue_id: places.0,
                flag: flags.0,
                queue_offset: places.1,
                physical_offset: places.2,
                sys_flag: flags.1 & !hosts_v6,
                born_timestamp: times.0,
                born_host: hosts.0,
                store_timestamp: times.1,
                store_host: hosts.1,
                reconsume_times: times.2,
                prepared_transaction_offset: places.3,
                body: parts.1,
                properties: properties::encode(pairs).into(),
            }
        },
    )
}

fn encode_all(commands: &[RemotingCommand]) -> BytesMut {
    let mut out = BytesMut::new();
    for command in commands {
        command.encode(&mut out).unwrap();
    }
    out
}

proptest! {
    #[test]
    fn commands_come_back_however_the_stream_is_cut(
        commands in vec(command(), 1..5),
        cuts in vec(1usize..64, 1..20),
    ) {
        let stream = encode_all(&commands);
        let decoder = FrameDecoder::new(MAX_FRAME);
        let (mut source, mut decoded, mut at) = (BytesMut::new(), Vec::new(), 0);
        let mut cuts = cuts.iter().cycle();
        while at < stream.len() {
            let end = (at + cuts.next().unwrap()).min(stream.len());
            source.extend_from_slice(&stream[at..end]);
            at = end;
            while let Some(command) = decoder.decode(&mut source).unwrap() {
                decoded.push(command);
            }
        }
        prop_assert!(source.is_empty());
        prop_assert_eq!(decoded, commands);
    }

    #[test]
    fn records_come_back_alone_and_in_a_row(records in vec(record(), 1..4)) {
        let mut out = BytesMut::new();
        for record in &records {
            let before = out.len();
            record.encode(&mut out).unwrap();
            prop_assert_eq!(out.len() - before, record.encoded_len());
        }
        let stored = out.freeze();
        let messages: Vec<MessageExt> = decode_all(stored.clone()).map(Result::unwrap).collect();
        let mut again = BytesMut::new();
        for (message, record) in messages.iter().zip(&records) {
            prop_assert!(message.body_crc_matches());
            let back = MessageRecord::from(message);
            let hosts = sys_flag::BORN_HOST_V6 | sys_flag::STORE_HOST_V6;
            prop_assert_eq!(&MessageRecord { sys_flag: back.sys_flag & !hosts, ..back.clone() }, record);
            back.encode(&mut again).unwrap();
            let (host, offset) = message_id::parse_offset_msg_id(&message.offset_msg_id()).unwrap();
            prop_assert_eq!((host, offset), (record.store_host, record.physical_offset));
        }
        prop_assert_eq!(again, stored);
    }

    #[test]
    fn properties_come_back_as_a_map(pairs in btree_map(".{1,10}", ".{1,30}", 0..10)) {
        let separators = ['\u{1}', '\u{2}'];
        let pairs: Vec<_> = pairs
            .into_iter()
            .filter(|(name, value)| !name.contains(separators) && !value.contains(separators))
            .collect();
        let text = properties::encode(pairs.iter().map(|(name, value)| (name, value)));
        let parsed: Vec<_> = properties::parse(&text).map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        for (name, value) in &pairs {
            prop_assert_eq!(properties::check(name, value), Ok(()));
            prop_assert_eq!(properties::get(&text, name), Some(value.as_str()));
        }
        prop_assert_eq!(parsed, pairs);
    }

    #[test]
    fn a_property_is_the_last_of_its_name_that_a_walk_from_the_front_meets(
        text in "[abü\u{1}\u{2}]{0,40}",
        name in "[abü\u{1}\u{2}]{0,3}",
    ) {
        let met = properties::parse(&text).fold(None, |met, pair| if pair.0 == name { Some(pair) } else { met });
        prop_assert_eq!(properties::get(&text, &name), met.map(|(_, value)| value));
        let record = MessageRecord { properties: text.clone().into(), ..MessageRecord::default() };
        let mut out = BytesMut::new();
        record.encode(&mut out).unwrap();
        let message = MessageExt::decode(out.freeze()).unwrap();
        prop_assert_eq!(message.property(&name), met.map(|(_, value)| value));
    }

    #[test]
    fn batch_items_come_back(items in vec((any::<i32>(), bytes(60), bytes(60)), 0..6)) {
        let items: Vec<_> =
            items.iter().map(|(flag, body, properties)| BatchItem { flag: *flag, body, properties }).collect();
        let mut out = BytesMut::new();
        batch::encode(items.iter().copied(), &mut out).unwrap();
        let decoded: Vec<_> = batch::decode(&out).collect::<Result<_, _>>().unwrap();
        prop_assert_eq!(decoded, items);
    }

    #[test]
    fn compressed_bodies_come_back(body in bytes(4000)) {
        for kind in [CompressionType::Lz4, CompressionType::Zstd, CompressionType::Zlib] {
            let stored = compression::compress(kind, 5, &body).unwrap();
            let plain = compression::decompress(kind, &stored, body.len()).unwrap();
            prop_assert_eq!(&plain, &body);
        }
    }

    #[test]
    fn queue_maps_come_back(entries in vec((".{0,10}", ".{0,10}", any::<i32>(), any::<i64>()), 0..6)) {
        let map: QueueMap<i64> = entries
            .into_iter()
            .map(|(topic, broker, id, offset)| (MessageQueue::new(topic, broker, id), offset))
            .collect();
        let written = fastjson::to_vec(&map).unwrap();
        prop_assert_eq!(fastjson::from_slice::<QueueMap<i64>>(&written).unwrap(), map);
    }
}
