//! Inner batches: topics of `queue.type` BatchCQ keep a batch as one record, which clients take apart.

use bytes::BytesMut;
use gantry_dev_broker::{BrokerConfig, FsyncPolicy, Storage};
use gantry_protocol::batch::{self, BatchItem};
use gantry_protocol::header::{ConsumerSendMsgBackRequestHeader, SendMessageRequestHeaderV2};
use gantry_protocol::{MessageExt, RemotingCommand, RequestCode, ResponseCode, sys_flag};

use crate::client::{Client, broker_with, field, in_memory, messages, pull_header, send_header};

async fn create(client: &Client) {
    let fields = [
        ("topic", "t"),
        ("readQueueNums", "1"),
        ("writeQueueNums", "1"),
        ("perm", "6"),
        ("defaultTopic", "TBW102"),
        ("attributes", "+queue.type=BatchCQ"),
    ];
    let made = client.ask_with(RequestCode::UPDATE_AND_CREATE_TOPIC, &fields).await;
    assert_eq!(made.response_code(), ResponseCode::SUCCESS, "{:?}", made.remark);
}

/// Sends a batch of these bodies; a unique key makes it an inner one.
async fn send(client: &Client, unique_key: Option<&str>, bodies: &[&str]) -> RemotingCommand {
    let items = bodies.iter().map(|body| BatchItem { body: body.as_bytes(), ..BatchItem::default() });
    let mut body = BytesMut::new();
    batch::encode(items, &mut body).unwrap();
    let properties = unique_key.map_or_else(String::new, |key| format!("UNIQ_KEY\u{1}{key}\u{2}"));
    let header = SendMessageRequestHeaderV2 { batch: Some(true), ..send_header("t", 0, &properties) };
    let request = RemotingCommand::request(RequestCode::SEND_BATCH_MESSAGE, &header);
    let reply = client.call(request.with_body(body.freeze())).await;
    assert_eq!(reply.response_code(), ResponseCode::SUCCESS, "{:?}", reply.remark);
    reply
}

/// The bodies in a record, with their offsets.
fn taken_apart(record: &MessageExt) -> Vec<(i64, String)> {
    let text = |body: &[u8]| String::from_utf8(body.to_vec()).unwrap();
    if record.sys_flag() & sys_flag::INNER_BATCH == 0 {
        return vec![(record.queue_offset(), text(&record.body().unwrap()))];
    }
    assert_ne!(record.sys_flag() & sys_flag::NEED_UNWRAP, 0);
    let body = record.body().unwrap();
    let items = batch::decode(&body).map(|item| text(item.unwrap().body));
    (record.queue_offset()..).zip(items).collect()
}

async fn read(client: &Client, offset: i64) -> (Vec<(i64, String)>, String) {
    let reply = client.pull("g", "t", 0, offset).await;
    let all = messages(&reply).iter().flat_map(taken_apart).collect();
    (all, field(&reply, "nextBeginOffset").to_owned())
}

fn numbered(from: i64, bodies: &[&str]) -> Vec<(i64, String)> {
    (from..).zip(bodies.iter().map(|body| (*body).to_owned())).collect()
}

#[tokio::test]
async fn a_batch_is_one_record_with_as_many_offsets_as_messages() {
    let directory = tempfile::tempdir().unwrap();
    let storage = Storage::Directory { path: directory.path().into(), fsync: FsyncPolicy::Os };
    let config = BrokerConfig { storage, ..in_memory() };
    let (broker, client) = broker_with(config.clone()).await;
    create(&client).await;
    let first = send(&client, Some("u1"), &["a", "b", "c"]).await;
    assert_eq!((field(&first, "queueOffset"), field(&first, "batchUniqId")), ("0", "u1"));
    assert_eq!(field(&first, "msgId").len(), 32, "one record, one id");
    client.sent("t", 0, "", "d").await;
    // Without a unique key, as clients before 5.0 send them, each is a record.
    let outer = send(&client, None, &["e", "f"]).await;
    assert_eq!((field(&outer, "queueOffset"), outer.ext_fields.get("batchUniqId")), ("4", None));
    let last = send(&client, Some("u2"), &["g", "h"]).await;
    assert_eq!(field(&last, "queueOffset"), "6");
    let all = ["a", "b", "c", "d", "e", "f", "g", "h"];
    assert_eq!(read(&client, 0).await, (numbered(0, &all), "8".to_owned()));
    // A pull from the middle gets the whole of the first batch, which the client has asked for a part of.
    assert_eq!(read(&client, 2).await, (numbered(0, &all), "8".to_owned()));
    broker.stop().await;

    let (broker, client) = broker_with(config).await;
    assert_eq!(read(&client, 1).await, (numbered(0, &all), "8".to_owned()), "from disk too");
    assert_eq!(read(&client, 7).await, (numbered(6, &["g", "h"]), "8".to_owned()));
    let next = send(&client, Some("u3"), &["i", "j"]).await;
    assert_eq!(field(&next, "queueOffset"), "8");
    broker.stop().await;
}

#[tokio::test]
async fn a_pull_counts_messages_and_tags_are_left_to_the_client() {
    let (_broker, client) = broker_with(in_memory()).await;
    create(&client).await;
    for key in ["u1", "u2", "u3"] {
        send(&client, Some(key), &["a", "b", "c", "d"]).await;
    }
    let mut header = pull_header("g", "t", 0, 0);
    header.max_msg_nums = 9;
    header.subscription = Some("only".to_owned());
    let reply = client.ask(RequestCode::PULL_MESSAGE, &header).await;
    assert_eq!((messages(&reply).len(), field(&reply, "nextBeginOffset")), (2, "8"));
}

#[tokio::test]
async fn a_message_of_a_batch_cannot_be_given_back() {
    let (_broker, client) = broker_with(in_memory()).await;
    create(&client).await;
    send(&client, Some("u1"), &["a", "b"]).await;
    let record = messages(&client.pull("g", "t", 0, 0).await).remove(0);
    let header = ConsumerSendMsgBackRequestHeader {
        offset: record.physical_offset(),
        group: "g".to_owned(),
        ..ConsumerSendMsgBackRequestHeader::default()
    };
    let reply = client.ask(RequestCode::CONSUMER_SEND_MSG_BACK, &header).await;
    assert_eq!(
        (reply.response_code(), reply.remark.as_deref()),
        (ResponseCode::SYSTEM_ERROR, Some("MESSAGE_ILLEGAL"))
    );
}

#[tokio::test]
async fn a_batch_popped_in_order_is_settled_as_a_whole() {
    let (_broker, client) = broker_with(in_memory()).await;
    create(&client).await;
    send(&client, Some("u1"), &["a", "b"]).await;
    client.sent("t", 0, "", "c").await;
    let pop = async || {
        let fields = [
            ("consumerGroup", "g"),
            ("topic", "t"),
            ("queueId", "0"),
            ("maxMsgNums", "2"),
            ("invisibleTime", "60000"),
            ("pollTime", "0"),
            ("bornTime", "0"),
            ("initMode", "0"),
            ("order", "true"),
        ];
        client.ask_with(RequestCode::POP_MESSAGE, &fields).await
    };
    let popped = pop().await;
    assert_eq!(messages(&popped).iter().flat_map(taken_apart).collect::<Vec<_>>(), numbered(0, &["a", "b"]));
    let handle = format!("0 {} 60000 999 0 gantry-broker 0 0", field(&popped, "popTime"));
    let ack = [
        ("consumerGroup", "g"),
        ("topic", "t"),
        ("queueId", "0"),
        ("extraInfo", handle.as_str()),
        ("offset", "0"),
    ];
    assert_eq!(client.ask_with(RequestCode::ACK_MESSAGE, &ack).await.code, 0);
    assert_eq!(taken_apart(&messages(&pop().await)[0]), numbered(2, &["c"]));
}
