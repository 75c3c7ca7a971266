//! PULL_MESSAGE 11, LITE_PULL_MESSAGE 361, and what holds and wakes them.

use std::time::Duration;

use gantry_dev_broker::{BrokerConfig, Limits, Timing};
use gantry_protocol::header::PullMessageRequestHeader;
use gantry_protocol::{RemotingCommand, RequestCode, ResponseCode};

use crate::client::{
    Client, bodies, broker, broker_with, eventually, field, in_memory, messages, pull_header, reply,
};

/// A pull that may be held.
fn long_poll(group: &str, topic: &str, offset: i64, expression: &str) -> RemotingCommand {
    let header = PullMessageRequestHeader {
        sys_flag: 6,
        subscription: Some(expression.to_owned()),
        ..pull_header(group, topic, 0, offset)
    };
    RemotingCommand::request(RequestCode::PULL_MESSAGE, &header)
}

fn quick_sweep() -> BrokerConfig {
    BrokerConfig {
        timing: Timing { hold_sweep: Duration::from_millis(50), ..Timing::default() },
        ..in_memory()
    }
}

fn assert_offsets(reply: &RemotingCommand, code: ResponseCode, remark: &str, next: i64, max: i64) {
    assert_eq!(reply.response_code(), code, "{reply:?}");
    assert_eq!(reply.remark.as_deref(), Some(remark));
    let names =
        ["nextBeginOffset", "maxOffset", "minOffset", "suggestWhichBrokerId", "topicSysFlag", "groupSysFlag"];
    let values = [next, max, 0, 0, 0, 0];
    for (name, value) in names.into_iter().zip(values) {
        assert_eq!(field(reply, name), value.to_string(), "{name}");
    }
}

async fn filled(client: &Client) {
    client.create_topic("t", 2).await;
    for (number, tag) in ["A", "B", "A"].into_iter().enumerate() {
        client.sent("t", 0, &format!("TAGS\u{1}{tag}\u{2}"), &number.to_string()).await;
    }
}

#[tokio::test]
async fn every_status_and_offset_rule_is_as_captured() {
    let (_broker, client) = broker().await;
    filled(&client).await;
    let found = client.pull("g", "t", 0, 1).await;
    assert_offsets(&found, ResponseCode::SUCCESS, "FOUND", 3, 3);
    assert_eq!(bodies(&messages(&found)), ["1", "2"]);
    let at_end = client.pull("g", "t", 0, 3).await;
    assert_offsets(&at_end, ResponseCode::PULL_NOT_FOUND, "OFFSET_OVERFLOW_ONE", 3, 3);
    let beyond = client.pull("g", "t", 0, 9999).await;
    assert_offsets(&beyond, ResponseCode::PULL_OFFSET_MOVED, "OFFSET_OVERFLOW_BADLY", 3, 3);
    let empty = client.pull("g", "t", 1, 0).await;
    assert_offsets(&empty, ResponseCode::PULL_NOT_FOUND, "NO_MESSAGE_IN_QUEUE", 0, 0);
    let empty = client.pull("g", "t", 1, 5).await;
    assert_offsets(&empty, ResponseCode::PULL_OFFSET_MOVED, "NO_MESSAGE_IN_QUEUE", 0, 0);
    let before = client.pull("g", "t", 0, -1).await;
    assert_offsets(&before, ResponseCode::PULL_OFFSET_MOVED, "OFFSET_TOO_SMALL", 0, 3);
    let bad_queue = client.pull("g", "t", 9, 0).await;
    assert_eq!(bad_queue.response_code(), ResponseCode::INVALID_PARAMETER);
    let no_topic = client.pull("g", "nowhere", 0, 0).await;
    assert_eq!(no_topic.response_code(), ResponseCode::TOPIC_NOT_EXIST);
}

#[tokio::test]
async fn tags_in_the_request_filter_by_hash() {
    let (_broker, client) = broker().await;
    filled(&client).await;
    let with = |expression: &str| PullMessageRequestHeader {
        subscription: Some(expression.to_owned()),
        ..pull_header("g", "t", 0, 0)
    };
    let found = client.ask(RequestCode::LITE_PULL_MESSAGE, &with("A || C")).await;
    assert_eq!(bodies(&messages(&found)), ["0", "2"]);
    let none = client.ask(RequestCode::PULL_MESSAGE, &with("Nothing")).await;
    assert_offsets(&none, ResponseCode::PULL_RETRY_IMMEDIATELY, "NO_MATCHED_MESSAGE", 3, 3);
}

#[tokio::test]
async fn a_pull_stops_at_its_counts_and_bytes_but_returns_one_message() {
    let config = BrokerConfig { max_pull_count: 4, max_pull_bytes: 1000, ..in_memory() };
    let (_broker, client) = broker_with(config).await;
    client.create_topic("t", 1).await;
    for _ in 0..6 {
        client.sent("t", 0, "", "small").await;
    }
    let capped = client.pull("g", "t", 0, 0).await;
    assert_eq!((messages(&capped).len(), field(&capped, "nextBeginOffset")), (4, "4"));
    let asked = PullMessageRequestHeader { max_msg_nums: 2, ..pull_header("g", "t", 0, 0) };
    assert_eq!(messages(&client.ask(RequestCode::PULL_MESSAGE, &asked).await).len(), 2);
    let bytes = PullMessageRequestHeader { max_msg_bytes: Some(1), ..pull_header("g", "t", 0, 0) };
    assert_eq!(messages(&client.ask(RequestCode::PULL_MESSAGE, &bytes).await).len(), 1);
    client.sent("t", 0, "", &"large".repeat(1000)).await;
    assert_eq!(messages(&client.pull("g", "t", 0, 6).await).len(), 1);
}

#[tokio::test]
async fn without_a_subscription_in_the_request_the_heartbeats_is_used() {
    let (_broker, client) = broker().await;
    filled(&client).await;
    let by_heartbeat = |version| PullMessageRequestHeader {
        sys_flag: 0,
        subscription: None,
        sub_version: version,
        ..pull_header("g", "t", 0, 0)
    };
    let early = client.ask(RequestCode::PULL_MESSAGE, &by_heartbeat(1)).await;
    assert_eq!(early.response_code(), ResponseCode::SUBSCRIPTION_NOT_EXIST);
    client.heartbeat("c", "g", &[("t", "B", 5)]).await;
    let found = client.ask(RequestCode::PULL_MESSAGE, &by_heartbeat(5)).await;
    assert_eq!(bodies(&messages(&found)), ["1"]);
    let newer = client.ask(RequestCode::PULL_MESSAGE, &by_heartbeat(6)).await;
    assert_eq!(newer.response_code(), ResponseCode::SUBSCRIPTION_NOT_LATEST);
    let other = PullMessageRequestHeader { topic: "TBW102".to_owned(), ..by_heartbeat(5) };
    let unsubscribed = client.ask(RequestCode::PULL_MESSAGE, &other).await;
    assert_eq!(unsubscribed.response_code(), ResponseCode::SUBSCRIPTION_NOT_EXIST);
}

#[tokio::test]
async fn an_arrival_wakes_a_held_pull_at_once_and_others_wait_on() {
    let config = BrokerConfig {
        timing: Timing { hold_sweep: Duration::from_secs(3600), ..Timing::default() },
        ..in_memory()
    };
    let (broker, client) = broker_with(config).await;
    client.create_topic("t", 2).await;
    let held = client.start(long_poll("g", "t", 0, "A")).await;
    eventually("the pull is held", async || broker.stats().held_pulls == 1).await;
    // The connection goes on meanwhile; a message of another tag, or in another queue, wakes nobody.
    client.sent("t", 1, "TAGS\u{1}A\u{2}", "elsewhere").await;
    client.sent("t", 0, "TAGS\u{1}B\u{2}", "other").await;
    client.sent("t", 0, "TAGS\u{1}A\u{2}", "wake").await;
    let found = reply(held).await;
    assert_offsets(&found, ResponseCode::SUCCESS, "FOUND", 2, 2);
    assert_eq!(bodies(&messages(&found)), ["wake"]);
    eventually("none is held any more", async || broker.stats().held_pulls == 0).await;
}

#[tokio::test]
async fn a_held_pull_passed_by_other_messages_is_answered_by_the_sweep() {
    let (broker, client) = broker_with(quick_sweep()).await;
    client.create_topic("t", 1).await;
    let held = client.start(long_poll("g", "t", 0, "A")).await;
    eventually("the pull is held", async || broker.stats().held_pulls == 1).await;
    client.sent("t", 0, "TAGS\u{1}B\u{2}", "other").await;
    assert_offsets(&reply(held).await, ResponseCode::PULL_RETRY_IMMEDIATELY, "NO_MATCHED_MESSAGE", 1, 1);
}

#[tokio::test]
async fn a_held_pull_is_answered_when_its_time_is_up() {
    let (broker, client) = broker_with(quick_sweep()).await;
    client.create_topic("t", 1).await;
    let held = client.start(long_poll("g", "t", 0, "*")).await;
    eventually("the pull is held", async || broker.stats().held_pulls == 1).await;
    broker.advance_clock(Duration::from_secs(16));
    assert_offsets(&reply(held).await, ResponseCode::PULL_NOT_FOUND, "NO_MESSAGE_IN_QUEUE", 0, 0);
}

#[tokio::test]
async fn held_pulls_have_a_bound_and_end_with_their_connection() {
    let config = BrokerConfig { limits: Limits { held_pulls: 1, ..Limits::default() }, ..in_memory() };
    let (broker, client) = broker_with(config).await;
    client.create_topic("t", 1).await;
    let other = Client::connect(broker.local_addr()).await;
    let _held = other.start(long_poll("g", "t", 0, "*")).await;
    eventually("the pull is held", async || broker.stats().held_pulls == 1).await;
    let refused = client.call(long_poll("g", "t", 0, "*")).await;
    assert_eq!(refused.response_code(), ResponseCode::PULL_NOT_FOUND);
    other.shut_down().await;
    eventually("the held pull is forgotten", async || broker.stats().held_pulls == 0).await;
}

#[tokio::test]
async fn a_pull_commits_the_offset_it_carries_when_it_says_so() {
    let (_broker, client) = broker().await;
    filled(&client).await;
    let query = [("consumerGroup", "g"), ("topic", "t"), ("queueId", "0")];
    let without = PullMessageRequestHeader { commit_offset: 2, ..pull_header("g", "t", 0, 0) };
    client.ask(RequestCode::PULL_MESSAGE, &without).await;
    assert_eq!(field(&client.ask_with(RequestCode::QUERY_CONSUMER_OFFSET, &query).await, "offset"), "0");
    let with = PullMessageRequestHeader { commit_offset: 2, sys_flag: 5, ..pull_header("g", "t", 0, 0) };
    client.ask(RequestCode::PULL_MESSAGE, &with).await;
    assert_eq!(field(&client.ask_with(RequestCode::QUERY_CONSUMER_OFFSET, &query).await, "offset"), "2");
}

#[tokio::test]
async fn records_that_left_the_cache_come_from_the_database() {
    let config = BrokerConfig { tail_cache_bytes: 1, ..in_memory() };
    let (_broker, client) = broker_with(config).await;
    filled(&client).await;
    assert_eq!(bodies(&messages(&client.pull("g", "t", 0, 0).await)), ["0", "1", "2"]);
    let header = PullMessageRequestHeader {
        subscription: Some("A".to_owned()),
        max_msg_nums: 1,
        ..pull_header("g", "t", 0, 1)
    };
    let filtered = client.ask(RequestCode::PULL_MESSAGE, &header).await;
    assert_eq!(bodies(&messages(&filtered)), ["2"]);
}

#[tokio::test]
async fn a_pull_ahead_of_its_subscription_waits_for_the_heartbeat_that_brings_it() {
    let (broker, client) = broker_with(quick_sweep()).await;
    filled(&client).await;
    client.heartbeat("c", "g", &[("t", "A", 5)]).await;
    let ahead = |version| {
        let header = PullMessageRequestHeader {
            sys_flag: 2,
            subscription: None,
            sub_version: version,
            ..pull_header("g", "t", 0, 0)
        };
        RemotingCommand::request(RequestCode::PULL_MESSAGE, &header)
    };
    let waiting = client.start(ahead(6)).await;
    let further = client.start(ahead(7)).await;
    eventually("both wait", async || broker.stats().held_pulls == 2).await;
    client.heartbeat("c", "g", &[("t", "B", 6)]).await;
    assert_eq!(bodies(&messages(&reply(waiting).await)), ["1"]);
    eventually("the other waits on", async || broker.stats().held_pulls == 1).await;
    broker.advance_clock(Duration::from_secs(6));
    assert_eq!(reply(further).await.response_code(), ResponseCode::SUBSCRIPTION_NOT_LATEST);
}
