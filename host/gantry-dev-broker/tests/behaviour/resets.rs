//! INVOKE_BROKER_TO_RESET_OFFSET 222, by the broker and by the members.

use gantry_dev_broker::{Broker, BrokerConfig};
use gantry_protocol::body::OffsetTable;
use gantry_protocol::header::PullMessageRequestHeader;
use gantry_protocol::{LanguageCode, RemotingCommand, RequestCode, ResponseCode, fastjson};

use crate::client::{
    Client, broker_with, eventually, field, in_memory, messages, pull_header, reply, with_fields,
};

/// A broker with three messages in queue 0 of `t`, and the group `g`, which has come to their end.
async fn consumed(server_side_reset: bool) -> (Broker, Client) {
    let (broker, client) = broker_with(BrokerConfig { server_side_reset, ..in_memory() }).await;
    client.create_topic("t", 2).await;
    for number in 0..3 {
        client.sent("t", 0, "", &number.to_string()).await;
    }
    client.heartbeat("c", "g", &[("t", "*", 1)]).await;
    for (queue_id, offset) in [("0", "3"), ("1", "0")] {
        let commit =
            [("consumerGroup", "g"), ("topic", "t"), ("queueId", queue_id), ("commitOffset", offset)];
        client.ask_with(RequestCode::UPDATE_CONSUMER_OFFSET, &commit).await;
    }
    (broker, client)
}

fn reset(group: &str, queue_id: &str, offset: &str, timestamp: &str, force: &str) -> RemotingCommand {
    let fields = [
        ("topic", "t"),
        ("group", group),
        ("queueId", queue_id),
        ("offset", offset),
        ("timestamp", timestamp),
        ("isForce", force),
    ];
    with_fields(RequestCode::INVOKE_BROKER_TO_RESET_OFFSET, &fields)
}

/// Offsets of queues 0 and 1.
fn offsets(body: &[u8]) -> Vec<(i32, i64)> {
    let table: OffsetTable = fastjson::from_slice(body).unwrap();
    let mut offsets: Vec<_> =
        table.offset_table.iter().map(|(queue, offset)| (queue.queue_id, *offset)).collect();
    offsets.sort_unstable();
    offsets
}

async fn committed(client: &Client) -> String {
    let fields = [("consumerGroup", "g"), ("topic", "t"), ("queueId", "0")];
    let reply = client.ask_with(RequestCode::QUERY_CONSUMER_OFFSET, &fields).await;
    field(&reply, "offset").to_owned()
}

#[tokio::test]
async fn a_reset_by_the_broker_is_told_to_the_next_pull_a_held_one_included() {
    let (broker, client) = consumed(true).await;
    let header = PullMessageRequestHeader { sys_flag: 6, ..pull_header("g", "t", 0, 3) };
    let held = client.start(RemotingCommand::request(RequestCode::PULL_MESSAGE, &header)).await;
    eventually("the pull is held", async || broker.stats().held_pulls == 1).await;
    let answer = client.call(reset("g", "-1", "-1", "0", "true")).await;
    assert_eq!(offsets(&answer.body), [(0, 0), (1, 0)]);
    let told = reply(held).await;
    assert_eq!(
        (told.response_code(), told.remark.as_deref()),
        (ResponseCode::PULL_OFFSET_MOVED, Some("OFFSET_RESET"))
    );
    assert_eq!(field(&told, "nextBeginOffset"), "0");
    assert_eq!(committed(&client).await, "0");
    // Told once: the next pull gets the messages.
    assert_eq!(messages(&client.pull("g", "t", 0, 0).await).len(), 3);
}

#[tokio::test]
async fn a_reset_by_the_broker_takes_an_offset_inside_the_queue_only() {
    let (_broker, client) = consumed(true).await;
    let answer = client.call(reset("g", "0", "2", "0", "true")).await;
    assert_eq!(offsets(&answer.body), [(0, 2)]);
    assert_eq!(field(&client.pull("g", "t", 0, 3).await, "nextBeginOffset"), "2");
    let refused = client.call(reset("g", "0", "99", "0", "true")).await;
    assert_eq!(refused.response_code(), ResponseCode::SYSTEM_ERROR);
    assert_eq!(refused.remark.as_deref(), Some("Target offset 99 not in consume queue range [0-3]"));
    let refused = client.call(reset("nobody", "-1", "-1", "0", "true")).await;
    assert_eq!(refused.response_code(), ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST);
}

#[tokio::test]
async fn a_reset_by_the_members_is_pushed_to_each_of_them_and_stores_nothing() {
    let (broker, mut one) = consumed(false).await;
    let mut two = Client::connect(broker.local_addr()).await;
    two.heartbeat("two", "g", &[("t", "*", 1)]).await;
    one.pushed().await;
    one.pushed().await;
    two.pushed().await;
    let answer = one.call(reset("g", "-1", "-1", "0", "true")).await;
    assert_eq!(offsets(&answer.body), [(0, 0), (1, 0)]);
    for member in [&mut one, &mut two] {
        let push = member.pushed().await;
        assert_eq!(push.request_code(), RequestCode::RESET_CONSUMER_CLIENT_OFFSET);
        assert!(push.is_oneway());
        let fields = ["topic", "group", "queueId", "timestamp", "isForce"].map(|name| field(&push, name));
        assert_eq!(fields, ["t", "g", "-1", "0", "false"]);
        assert_eq!(push.ext_fields.get("offset"), None);
        assert_eq!(offsets(&push.body), [(0, 0), (1, 0)]);
    }
    assert_eq!(committed(&one).await, "3");
    // No pull is told: the members do it all.
    assert_eq!(one.pull("g", "t", 0, 3).await.response_code(), ResponseCode::PULL_NOT_FOUND);
}

#[tokio::test]
async fn without_force_a_reset_by_the_members_moves_nothing_forward() {
    let (_broker, mut client) = consumed(false).await;
    client.pushed().await;
    let back = [("consumerGroup", "g"), ("topic", "t"), ("queueId", "0"), ("commitOffset", "1")];
    client.ask_with(RequestCode::UPDATE_CONSUMER_OFFSET, &back).await;
    for (force, expected) in [("false", 1), ("true", 3)] {
        client.call(reset("g", "-1", "-1", "-1", force)).await;
        assert_eq!(offsets(&client.pushed().await.body), [(0, expected), (1, 0)], "force {force}");
    }
}

#[tokio::test]
async fn an_asker_in_cpp_has_a_list_pushed() {
    let (_broker, mut client) = consumed(false).await;
    client.pushed().await;
    let mut request = reset("g", "-1", "-1", "0", "true");
    request.language = LanguageCode::CPP;
    client.call(request).await;
    let push = client.pushed().await;
    assert_eq!(
        std::str::from_utf8(&push.body).unwrap(),
        r#"{"offsetTable":[{"brokerName":"gantry-broker","offset":0,"queueId":0,"topic":"t"},{"brokerName":"gantry-broker","offset":0,"queueId":1,"topic":"t"}]}"#
    );
}

#[tokio::test]
async fn a_reset_by_members_who_are_not_there_says_so() {
    let (_broker, client) = consumed(false).await;
    client.ask_with(RequestCode::UNREGISTER_CLIENT, &[("clientID", "c"), ("consumerGroup", "g")]).await;
    let refused = client.call(reset("g", "-1", "-1", "0", "true")).await;
    assert_eq!(refused.response_code(), ResponseCode::CONSUMER_NOT_ONLINE);
    let unknown = client.call(reset("nobody", "-1", "-1", "0", "true")).await;
    assert_eq!(unknown.response_code(), ResponseCode::SYSTEM_ERROR);
    assert_eq!(unknown.remark.as_deref(), Some("THe consumer group <nobody> not exist"));
}
