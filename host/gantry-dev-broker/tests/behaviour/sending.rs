//! SEND_MESSAGE 10, 310, 320.

use bytes::{Bytes, BytesMut};
use gantry_protocol::batch::{self, BatchItem};
use gantry_protocol::header::{SendMessageRequestHeader, SendMessageRequestHeaderV2};
use gantry_protocol::{RemotingCommand, RequestCode, ResponseCode};

use crate::client::{
    Client, bodies, broker, broker_with, field, in_memory, messages, send_header, send_request,
};

const REGION: [(&str, &str); 2] = [("MSG_REGION", "DefaultRegion"), ("TRACE_ON", "true")];

fn assert_region(reply: &RemotingCommand) {
    for (name, value) in REGION {
        assert_eq!(field(reply, name), value);
    }
}

#[tokio::test]
async fn a_send_is_stored_with_the_brokers_properties_and_answered_with_its_place() {
    let (broker, client) = broker().await;
    let reply = client.sent("orders", 2, "TAGS\u{1}A\u{2}UNIQ_KEY\u{1}u1\u{2}k\u{1}v", "hello").await;
    assert_eq!((field(&reply, "queueId"), field(&reply, "queueOffset")), ("2", "0"));
    assert_eq!(field(&reply, "transactionId"), "u1");
    assert_region(&reply);
    let stored = messages(&client.pull("g", "orders", 2, 0).await);
    let message = &stored[0];
    assert_eq!(field(&reply, "msgId"), message.offset_msg_id());
    assert_eq!(
        (message.topic(), message.queue_id(), message.born_timestamp()),
        ("orders", 2, 1_700_000_000_000)
    );
    assert_eq!(message.store_host(), broker.local_addr());
    for (name, value) in [("TAGS", "A"), ("k", "v"), ("CLUSTER", "DefaultCluster"), REGION[0], REGION[1]] {
        assert_eq!(message.property(name), Some(value), "{name}");
    }
    assert!(message.body_crc_matches());
}

#[tokio::test]
async fn a_send_without_a_unique_key_gets_one() {
    let (_broker, client) = broker().await;
    let reply = client.sent("t", 0, "", "x").await;
    let message = &messages(&client.pull("g", "t", 0, 0).await)[0];
    assert_eq!(field(&reply, "transactionId").len(), 32);
    assert_eq!(message.unique_key(), Some(field(&reply, "transactionId")));
}

#[tokio::test]
async fn the_header_of_version_1_is_taken_too() {
    let (_broker, client) = broker().await;
    let header = SendMessageRequestHeader::from(send_header("t", 0, "TAGS\u{1}A\u{2}"));
    let request = RemotingCommand::request(RequestCode::SEND_MESSAGE, &header).with_body(&b"v1"[..]);
    assert_eq!(client.call(request).await.response_code(), ResponseCode::SUCCESS);
    assert_eq!(bodies(&messages(&client.pull("g", "t", 0, 0).await)), ["v1"]);
}

#[tokio::test]
async fn an_unknown_topic_is_created_after_the_template_with_the_smaller_number_of_queues() {
    let (_broker, client) = broker().await;
    client.sent("fresh", 3, "", "x").await;
    let route = client.ask_with(RequestCode::GET_ROUTEINFO_BY_TOPIC, &[("topic", "fresh")]).await;
    let route: serde_json::Value = serde_json::from_slice(&route.body).unwrap();
    assert_eq!(route["queueDatas"][0]["writeQueueNums"], 4);
    assert_eq!(route["queueDatas"][0]["perm"], 6);
}

#[tokio::test]
async fn without_automatic_creation_an_unknown_topic_is_refused() {
    let (_broker, client) =
        broker_with(gantry_dev_broker::BrokerConfig { auto_create_topics: false, ..in_memory() }).await;
    let reply = client.send("fresh", 0, "", "x").await;
    assert_eq!(reply.response_code(), ResponseCode::TOPIC_NOT_EXIST);
    let route = client.ask_with(RequestCode::GET_ROUTEINFO_BY_TOPIC, &[("topic", "TBW102")]).await;
    assert_eq!(route.response_code(), ResponseCode::TOPIC_NOT_EXIST);
}

#[tokio::test]
async fn a_negative_queue_id_lets_the_broker_choose() {
    let (_broker, client) = broker().await;
    client.create_topic("t", 2).await;
    let reply = client.sent("t", -1, "", "x").await;
    assert!(["0", "1"].contains(&field(&reply, "queueId")));
}

async fn refused(client: &Client, header: SendMessageRequestHeaderV2, body: Bytes) -> RemotingCommand {
    client.call(RemotingCommand::request(RequestCode::SEND_MESSAGE_V2, &header).with_body(body)).await
}

#[tokio::test]
async fn what_breaks_a_rule_is_refused_as_by_java() {
    let (_broker, client) = broker().await;
    client.create_topic("t", 2).await;
    let long_properties = format!("k\u{1}{}\u{2}", "v".repeat(32_800));
    let no_template =
        SendMessageRequestHeaderV2 { default_topic: "none".to_owned(), ..send_header("new", 0, "") };
    let cases = [
        (send_header("t", 77, ""), ResponseCode::INVALID_PARAMETER),
        (send_header(&"L".repeat(128), 0, ""), ResponseCode::INVALID_PARAMETER),
        (send_header("bad topic!", 0, ""), ResponseCode::INVALID_PARAMETER),
        (send_header("SCHEDULE_TOPIC_XXXX", 0, ""), ResponseCode::NO_PERMISSION),
        (no_template, ResponseCode::TOPIC_NOT_EXIST),
        (send_header("t", 0, &long_properties), ResponseCode::MESSAGE_ILLEGAL),
        (send_header("t", 0, "TIMER_DELAY_SEC\u{1}345600\u{2}"), ResponseCode::MESSAGE_ILLEGAL),
        (send_header("t", 0, "TIMER_DELIVER_MS\u{1}soon\u{2}"), ResponseCode::MESSAGE_ILLEGAL),
        (send_header("t", 0, "INNER_NUM\u{1}2\u{2}"), ResponseCode::MESSAGE_ILLEGAL),
        (send_header(&format!("%RETRY%{}", "g".repeat(249)), 0, ""), ResponseCode::INVALID_PARAMETER),
    ];
    for (header, code) in cases {
        let what = format!("{} {}", header.topic, header.queue_id);
        let reply = refused(&client, header, Bytes::from_static(b"x")).await;
        assert_eq!(reply.response_code(), code, "{what}: {:?}", reply.remark);
        assert_region(&reply);
    }
    let empty = refused(&client, send_header("t", 0, ""), Bytes::new()).await;
    assert_eq!(empty.response_code(), ResponseCode::SYSTEM_ERROR);
    let large = refused(&client, send_header("t", 0, ""), Bytes::from(vec![0; 4 * 1024 * 1024 + 1])).await;
    assert_eq!(large.response_code(), ResponseCode::MESSAGE_ILLEGAL);
    // Word for word what Apache's broker says.
    let said = "the message is illegal, maybe msg body or properties length not matched. msg body length limit \
                4194304B, msg properties length limit 32KB.";
    assert_eq!(large.remark.as_deref(), Some(said));
    // The broker's own properties come to the sender's, and both together must fit.
    let nearly =
        refused(&client, send_header("t", 0, &long_properties[..32_760]), Bytes::from_static(b"x")).await;
    assert_eq!(
        (nearly.response_code(), nearly.remark.as_deref()),
        (ResponseCode::MESSAGE_ILLEGAL, Some(said))
    );
}

#[tokio::test]
async fn only_the_required_fields_are_enough_and_the_queue_id_is_one_of_them() {
    let (_broker, client) = broker().await;
    client.create_topic("t", 1).await;
    let mut request = RemotingCommand::bare_request(RequestCode::SEND_MESSAGE_V2).with_body(&b"x"[..]);
    for (name, value) in
        [("a", "p"), ("b", "t"), ("c", "TBW102"), ("d", "4"), ("e", "0"), ("f", "0"), ("g", "1"), ("h", "0")]
    {
        request.ext_fields.insert(name, value);
    }
    assert_eq!(client.call(request.clone()).await.response_code(), ResponseCode::SUCCESS);
    request.ext_fields.remove("e");
    assert_eq!(client.call(request).await.response_code(), ResponseCode::SYSTEM_ERROR);
}

fn batch_request(topic: &str, properties: &str, items: &[(&str, &str)]) -> RemotingCommand {
    let items = items.iter().map(|(body, properties)| BatchItem {
        flag: 0,
        body: body.as_bytes(),
        properties: properties.as_bytes(),
    });
    let mut body = BytesMut::new();
    batch::encode(items, &mut body).unwrap();
    RemotingCommand::request(RequestCode::SEND_BATCH_MESSAGE, &send_header(topic, 0, properties))
        .with_body(body.freeze())
}

#[tokio::test]
async fn a_batch_becomes_records_with_their_own_properties_only() {
    let (_broker, client) = broker().await;
    client.create_topic("t", 1).await;
    client.sent("t", 0, "", "before").await;
    let items = [("one", "TAGS\u{1}A\u{2}"), ("two", "TAGS\u{1}B\u{2}UNIQ_KEY\u{1}u\u{2}")];
    let reply = client.call(batch_request("t", "", &items)).await;
    assert_eq!(reply.response_code(), ResponseCode::SUCCESS);
    assert_eq!(field(&reply, "queueOffset"), "1");
    assert_eq!(reply.ext_fields.get("transactionId"), None);
    let stored = messages(&client.pull("g", "t", 0, 1).await);
    assert_eq!(bodies(&stored), ["one", "two"]);
    let ids: Vec<String> = stored.iter().map(|message| message.offset_msg_id()).collect();
    assert_eq!(field(&reply, "msgId"), ids.join(","));
    assert_eq!(stored[0].properties().collect::<Vec<_>>(), [("TAGS", "A")]);
    assert_eq!(stored[1].properties().collect::<Vec<_>>(), [("TAGS", "B"), ("UNIQ_KEY", "u")]);
    let reply = client.call(batch_request("t", "UNIQ_KEY\u{1}whole\u{2}", &items)).await;
    assert_eq!(field(&reply, "transactionId"), "whole");
}

#[tokio::test]
async fn a_batch_to_a_retry_topic_and_a_damaged_one_are_refused() {
    let (_broker, client) = broker().await;
    let reply = client.call(batch_request("%RETRY%g", "", &[("one", "")])).await;
    assert_eq!(reply.response_code(), ResponseCode::MESSAGE_ILLEGAL);
    let damaged = RemotingCommand::request(RequestCode::SEND_BATCH_MESSAGE, &send_header("t", 0, ""))
        .with_body(&b"12345"[..]);
    assert_eq!(client.call(damaged).await.response_code(), ResponseCode::MESSAGE_ILLEGAL);
}

#[tokio::test]
async fn pipelined_sends_of_one_connection_keep_their_order() {
    let (_broker, client) = broker().await;
    client.create_topic("t", 1).await;
    let mut replies = Vec::new();
    for number in 0..200 {
        replies.push(client.start(send_request("t", 0, "", &number.to_string())).await);
    }
    for (number, reply) in replies.into_iter().enumerate() {
        let reply = crate::client::reply(reply).await;
        assert_eq!(field(&reply, "queueOffset"), number.to_string());
    }
    let stored = messages(&client.pull("g", "t", 0, 100).await);
    assert_eq!(bodies(&stored)[..3], ["100", "101", "102"]);
}

#[tokio::test]
async fn records_of_clients_on_ipv6_are_sound() {
    let listen = "[::1]:0".parse().unwrap();
    // A machine without IPv6 has no such clients.
    if std::net::TcpListener::bind::<std::net::SocketAddr>(listen).is_err() {
        return;
    }
    let (broker, client) = broker_with(gantry_dev_broker::BrokerConfig { listen, ..in_memory() }).await;
    let reply = client.sent("t", 0, "TAGS\u{1}A\u{2}", "over six").await;
    let message = messages(&client.pull("g", "t", 0, 0).await).remove(0);
    assert_eq!(message.store_host(), broker.local_addr());
    assert!(message.born_host().is_ipv6() && message.store_timestamp() > 1_700_000_000_000);
    assert_eq!(field(&reply, "msgId"), message.offset_msg_id());
    assert_eq!(field(&reply, "msgId").len(), 56);
}

#[tokio::test]
async fn a_oneway_send_is_stored_without_a_reply() {
    let (_broker, client) = broker().await;
    client.create_topic("t", 1).await;
    client.oneway(send_request("t", 0, "", "quiet")).await;
    assert_eq!(bodies(&client.wait_for("t", 0, 1).await), ["quiet"]);
}
