//! The vectors written down beside the protocol, those derived by hand included.

use bytes::BytesMut;
use gantry_protocol::body::SubscriptionData;
use gantry_protocol::header::NotifyConsumerIdsChangedRequestHeader;
use gantry_protocol::header::{GetMaxOffsetRequestHeader, GetRouteInfoRequestHeader};
use gantry_protocol::{
    LanguageCode, MessageExt, MessageRecord, RemotingCommand, RequestCode, SerializeType, properties,
};

fn encoded(command: &RemotingCommand) -> String {
    let mut out = BytesMut::new();
    command.encode(&mut out).unwrap();
    hex::encode(out)
}

fn binary(command: RemotingCommand, opaque: i32) -> RemotingCommand {
    RemotingCommand {
        opaque,
        language: LanguageCode::JAVA,
        serialize_type: SerializeType::RocketMq,
        ..command
    }
}

#[test]
fn a_binary_route_request_is_javas() {
    let header = GetRouteInfoRequestHeader { topic: "CapBin".into(), ..Default::default() };
    let command = binary(RemotingCommand::request(RequestCode::GET_ROUTEINFO_BY_TOPIC, &header), 2);
    assert_eq!(
        encoded(&command),
        "0000002a010000260069000201000000020000000000000000000000110005746f7069630000000643617042696e"
    );
}

#[test]
fn a_binary_max_offset_request_has_javas_fields() {
    let header = GetMaxOffsetRequestHeader {
        topic: "CapBin".into(),
        queue_id: 0,
        committed: Some(true),
        broker_name: Some("broker-a".into()),
    };
    let command = binary(RemotingCommand::request(RequestCode::GET_MAX_OFFSET, &header), 56);
    let frame = "0000005e0100005a001e0002010000003800000000000000000000004500077175657565496400000001300009\
                 636f6d6d697474656400000004747275650005626e616d650000000862726f6b65722d610005746f70696300\
                 00000643617042696e";
    let captured = crate::captures::decode(&hex::decode(frame).unwrap()).unwrap();
    assert_eq!(captured, command);
    assert_eq!(encoded(&captured), frame.replace(char::is_whitespace, ""));
}

#[test]
fn a_binary_pull_of_our_own_language_reads_back() {
    let frame = "0000003901000035000b0c01df00000007000000000000000000000020000d636f6e73756d657247726f757000000001\
                 670005746f7069630000000174";
    let frame = frame.replace(char::is_whitespace, "");
    let command = crate::captures::decode(&hex::decode(&frame).unwrap()).unwrap();
    assert_eq!(command.request_code(), RequestCode::PULL_MESSAGE);
    assert_eq!((command.language, command.version, command.opaque), (LanguageCode::RUST, 479, 7));
    assert_eq!(command.ext_fields.iter().collect::<Vec<_>>(), [("consumerGroup", "g"), ("topic", "t")]);
    assert_eq!(encoded(&command), frame);
}

#[test]
fn a_json_push_is_javas_byte_for_byte() {
    let header = NotifyConsumerIdsChangedRequestHeader { consumer_group: "CapJoinG".into() };
    let command = RemotingCommand::request(RequestCode::NOTIFY_CONSUMER_IDS_CHANGED, &header).into_oneway();
    let command = RemotingCommand { opaque: 690, language: LanguageCode::JAVA, ..command };
    assert_eq!(encoded(&command), hex::encode(&crate::captures::at("10_join", 12).frame));
}

#[test]
fn a_heartbeat_carries_the_hashes_of_its_tags() {
    let subscription = SubscriptionData::by_tags("t", "TagA || TagB", 1).unwrap();
    assert_eq!(subscription.code_set, [2_598_919, 2_598_920]);
    assert_eq!(subscription.tags_set, ["TagA", "TagB"]);
    assert_eq!(subscription.sub_string, "TagA || TagB");
    let colliding = SubscriptionData::by_tags("t", "Aa || BB", 1).unwrap();
    assert_eq!((colliding.code_set, colliding.tags_set.len()), (vec![2112], 2));
    let all = SubscriptionData::by_tags("t", "", 1).unwrap();
    assert_eq!((all.sub_string.as_str(), all.code_set.len(), all.tags_set.len()), ("*", 0, 0));
}

#[test]
fn a_derived_record_encodes_and_reads() {
    let record = MessageRecord {
        topic: "T".into(),
        queue_id: 2,
        queue_offset: 5,
        physical_offset: 256,
        born_timestamp: 1_700_000_000_000,
        born_host: "127.0.0.1:1234".parse().unwrap(),
        store_timestamp: 1_700_000_000_001,
        store_host: "127.0.0.1:10911".parse().unwrap(),
        body: "hello".into(),
        properties: properties::encode([("TAGS", "TagA"), ("UNIQ_KEY", "X")]).into(),
        ..MessageRecord::default()
    };
    let mut out = BytesMut::new();
    record.encode(&mut out).unwrap();
    let expected = "00000076daa320a73610a686000000020000000000000000000000050000000000000100000000000000018bcfe56800\
                    7f000001000004d20000018bcfe568017f00000100002a9f0000000000000000000000000000000568656c6c6f01540015\
                    5441475301546167410\
                    2554e49515f4b4559015802";
    assert_eq!(hex::encode(&out), expected.replace(char::is_whitespace, ""));
    let message = MessageExt::decode(out.freeze()).unwrap();
    assert_eq!((message.message_id().as_str(), message.tags()), ("X", Some("TagA")));
    assert_eq!(message.offset_msg_id(), "7F00000100002A9F0000000000000100");
}

#[test]
fn ipv6_hosts_take_their_flags_and_room() {
    let record = MessageRecord {
        topic: "t".repeat(128),
        born_host: "[2001:db8::2]:1".parse().unwrap(),
        store_host: "[2001:db8::1]:10911".parse().unwrap(),
        physical_offset: 1,
        ..MessageRecord::default()
    };
    let mut out = BytesMut::new();
    record.encode(&mut out).unwrap();
    assert_eq!(out.len(), 91 + 12 + 12 + 1 + 128);
    let message = MessageExt::decode(out.freeze()).unwrap();
    assert_eq!(message.sys_flag(), 0x30);
    assert_eq!((message.born_host(), message.store_host()), (record.born_host, record.store_host));
    assert!(message.is_version_2());
    assert_eq!(message.offset_msg_id(), "20010DB800000000000000000000000100002A9F0000000000000001");
}
