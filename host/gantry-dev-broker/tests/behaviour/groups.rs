//! Heartbeats, membership and its pushes.

use std::time::Duration;

use gantry_dev_broker::{BrokerConfig, Limits, Timing};
use gantry_protocol::{RemotingCommand, RequestCode, ResponseCode};
use serde_json::{Value, json};

use crate::client::{Client, broker, broker_with, field, heartbeat_body, in_memory};

const TOPIC: &[(&str, &str, i64)] = &[("t", "*", 1)];

async fn told(client: &mut Client, group: &str) {
    let push = client.pushed().await;
    assert_eq!(push.request_code(), RequestCode::NOTIFY_CONSUMER_IDS_CHANGED);
    assert!(push.is_oneway());
    assert_eq!(field(&push, "consumerGroup"), group);
}

async fn members(client: &Client, group: &str) -> Vec<String> {
    let reply = client.ask_with(RequestCode::GET_CONSUMER_LIST_BY_GROUP, &[("consumerGroup", group)]).await;
    if reply.response_code() == ResponseCode::SYSTEM_ERROR {
        assert_eq!(reply.remark, Some(format!("no consumer for this group, {group}")));
        return Vec::new();
    }
    let body: Value = serde_json::from_slice(&reply.body).unwrap();
    let mut ids: Vec<String> = serde_json::from_value(body["consumerIdList"].clone()).unwrap();
    ids.sort();
    ids
}

async fn unregister(client: &Client, client_id: &str, group: &str) {
    let fields = [("clientID", client_id), ("consumerGroup", group)];
    let reply = client.ask_with(RequestCode::UNREGISTER_CLIENT, &fields).await;
    assert_eq!(reply.response_code(), ResponseCode::SUCCESS);
}

#[tokio::test]
async fn joins_and_leaves_are_told_to_every_member_the_newcomer_included() {
    let (broker, mut one) = broker().await;
    let mut two = Client::connect(broker.local_addr()).await;
    assert!(members(&one, "g").await.is_empty());
    one.heartbeat("one", "g", TOPIC).await;
    told(&mut one, "g").await;
    two.heartbeat("two", "g", TOPIC).await;
    told(&mut one, "g").await;
    told(&mut two, "g").await;
    assert_eq!(members(&two, "g").await, ["one", "two"]);
    unregister(&two, "two", "g").await;
    told(&mut one, "g").await;
    assert_eq!(members(&one, "g").await, ["one"]);
    assert!(two.nothing_pushed());
}

#[tokio::test]
async fn the_end_of_a_connection_is_a_leave() {
    let (broker, mut one) = broker().await;
    let mut two = Client::connect(broker.local_addr()).await;
    one.heartbeat("one", "g", TOPIC).await;
    told(&mut one, "g").await;
    two.heartbeat("two", "g", TOPIC).await;
    told(&mut two, "g").await;
    told(&mut one, "g").await;
    two.shut_down().await;
    told(&mut one, "g").await;
    assert_eq!(members(&one, "g").await, ["one"]);
}

#[tokio::test]
async fn a_silent_member_is_dropped_after_two_minutes_and_its_connection_closed() {
    let timing = Timing { member_sweep: Duration::from_millis(20), ..Timing::default() };
    let (broker, mut one) = broker_with(BrokerConfig { timing, ..in_memory() }).await;
    let mut two = Client::connect(broker.local_addr()).await;
    one.heartbeat("one", "g", TOPIC).await;
    told(&mut one, "g").await;
    two.heartbeat("two", "g", TOPIC).await;
    told(&mut two, "g").await;
    told(&mut one, "g").await;
    broker.advance_clock(Duration::from_secs(100));
    one.heartbeat("one", "g", TOPIC).await;
    broker.advance_clock(Duration::from_secs(21));
    two.closed().await;
    told(&mut one, "g").await;
    assert_eq!(members(&one, "g").await, ["one"]);
    assert_eq!(broker.stats().silent, 1);
}

#[tokio::test]
async fn another_set_of_topics_is_told_but_a_newer_version_of_the_same_is_not() {
    let (_broker, mut client) = broker().await;
    client.heartbeat("c", "g", &[("t", "A", 1)]).await;
    told(&mut client, "g").await;
    client.heartbeat("c", "g", &[("t", "B", 2)]).await;
    client.heartbeat("c", "g", &[("t", "B", 2), ("u", "*", 2)]).await;
    told(&mut client, "g").await;
    client.heartbeat("c", "g", &[("t", "B", 2)]).await;
    told(&mut client, "g").await;
    client.heartbeat("c", "g", &[("t", "B", 2)]).await;
    assert!(client.nothing_pushed());
}

#[tokio::test]
async fn a_broadcasting_group_is_not_told() {
    let (_broker, mut client) = broker().await;
    let body = heartbeat_body("c", "g", "BROADCASTING", TOPIC);
    client.call(RemotingCommand::bare_request(RequestCode::HEART_BEAT).with_body(body)).await;
    assert_eq!(members(&client, "g").await, ["c"]);
    assert!(client.nothing_pushed());
}

#[tokio::test]
async fn a_group_configured_not_to_be_told_is_not() {
    let (_broker, mut client) = broker().await;
    let settings = json!({"groupName": "g", "notifyConsumerIdsChangedEnable": false}).to_string();
    let request =
        RemotingCommand::bare_request(RequestCode::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP).with_body(settings);
    assert_eq!(client.call(request).await.response_code(), ResponseCode::SUCCESS);
    client.heartbeat("c", "g", TOPIC).await;
    assert_eq!(members(&client, "g").await, ["c"]);
    assert!(client.nothing_pushed());
}

#[tokio::test]
async fn an_empty_heartbeat_is_a_success_and_every_reply_tells_the_version() {
    let (_broker, client) = broker().await;
    let reply =
        client.call(RemotingCommand::bare_request(RequestCode::HEART_BEAT).with_body(&b"{}"[..])).await;
    assert_eq!(reply.response_code(), ResponseCode::SUCCESS);
    assert_eq!(field(&reply, "IS_SUPPORT_HEART_BEAT_V2"), "true");
    assert_eq!(field(&reply, "IS_SUB_CHANGE"), "true");
    let garbage =
        client.call(RemotingCommand::bare_request(RequestCode::HEART_BEAT).with_body(&b"{"[..])).await;
    assert_eq!(garbage.response_code(), ResponseCode::SYSTEM_ERROR);
}

#[tokio::test]
async fn a_heartbeat_without_subscriptions_keeps_known_ones_and_asks_for_unknown_ones() {
    let (_broker, client) = broker().await;
    client.create_topic("t", 1).await;
    let heartbeat = |without_sub: bool, client: &str| {
        let mut body: Value =
            serde_json::from_slice(&heartbeat_body(client, "g", "CLUSTERING", TOPIC)).unwrap();
        body["heartbeatFingerprint"] = json!(1_294_773_821);
        body["withoutSub"] = json!(without_sub);
        if without_sub {
            body["consumerDataSet"][0]["subscriptionDataSet"] = json!([]);
        }
        RemotingCommand::bare_request(RequestCode::HEART_BEAT).with_body(body.to_string())
    };
    let unknown = client.call(heartbeat(true, "c")).await;
    assert_eq!(field(&unknown, "IS_SUB_CHANGE"), "true");
    let full = client.call(heartbeat(false, "c")).await;
    assert_eq!(field(&full, "IS_SUB_CHANGE"), "false");
    let short = client.call(heartbeat(true, "c")).await;
    assert_eq!(field(&short, "IS_SUB_CHANGE"), "false");
    let mut pull = crate::client::pull_header("g", "t", 0, 0);
    pull.sys_flag = 0;
    let reply = client.ask(RequestCode::PULL_MESSAGE, &pull).await;
    assert_eq!(reply.response_code(), ResponseCode::PULL_NOT_FOUND);
}

/// Whoever beats, in whichever form: the group's last fingerprint counts.
#[tokio::test]
async fn another_fingerprint_than_the_groups_last_asks_for_the_subscriptions() {
    let (_broker, client) = broker().await;
    client.create_topic("t", 1).await;
    let heartbeat = |fingerprint: i32| {
        let mut body: Value = serde_json::from_slice(&heartbeat_body("c", "g", "CLUSTERING", TOPIC)).unwrap();
        body["heartbeatFingerprint"] = json!(fingerprint);
        RemotingCommand::bare_request(RequestCode::HEART_BEAT).with_body(body.to_string())
    };
    let answers =
        [(1, "false"), (1, "false"), (2, "true"), (2, "false"), (0, "true"), (2, "true"), (2, "false")];
    for (fingerprint, changed) in answers {
        let reply = client.call(heartbeat(fingerprint)).await;
        assert_eq!(field(&reply, "IS_SUB_CHANGE"), changed, "{fingerprint}");
    }
}

#[tokio::test]
async fn the_retry_topic_of_a_group_answers_before_and_after_its_first_heartbeat() {
    let (_broker, client) = broker().await;
    for _ in 0..2 {
        let route = client.ask_with(RequestCode::GET_ROUTEINFO_BY_TOPIC, &[("topic", "%RETRY%g")]).await;
        assert_eq!(route.response_code(), ResponseCode::SUCCESS);
        let route: Value = serde_json::from_slice(&route.body).unwrap();
        assert_eq!(route["queueDatas"][0]["readQueueNums"], 1);
        client.heartbeat("c", "g", TOPIC).await;
    }
    client.heartbeat("c", "h", TOPIC).await;
    let topics =
        client.call(RemotingCommand::bare_request(RequestCode::GET_ALL_TOPIC_LIST_FROM_NAMESERVER)).await;
    let topics: Value = serde_json::from_slice(&topics.body).unwrap();
    let names: Vec<String> = serde_json::from_value(topics["topicList"].clone()).unwrap();
    assert!(names.contains(&"%RETRY%g".to_owned()) && names.contains(&"%RETRY%h".to_owned()), "{names:?}");
}

#[tokio::test]
async fn members_have_a_bound() {
    let limits = Limits { members: 1, ..Limits::default() };
    let (broker, one) = broker_with(BrokerConfig { limits, ..in_memory() }).await;
    let two = Client::connect(broker.local_addr()).await;
    assert_eq!(one.heartbeat("one", "g", TOPIC).await.response_code(), ResponseCode::SUCCESS);
    assert_eq!(two.heartbeat("two", "g", TOPIC).await.response_code(), ResponseCode::SYSTEM_BUSY);
    assert_eq!(one.heartbeat("one", "g", TOPIC).await.response_code(), ResponseCode::SUCCESS);
}
