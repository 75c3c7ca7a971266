//! Timer messages: by delay, by time, cancelled, and over a restart.

use std::time::Duration;

use gantry_dev_broker::{BrokerConfig, FsyncPolicy, Storage};
use gantry_protocol::{RemotingCommand, RequestCode, ResponseCode};

use crate::client::{Client, bodies, broker, broker_with, field, in_memory, messages};

const DAY_MS: i64 = 24 * 3600 * 1000;

async fn recall(client: &Client, topic: &str, handle: &str) -> RemotingCommand {
    let fields = [("producerGroup", "p"), ("topic", topic), ("recallHandle", handle)];
    client.ask_with(RequestCode::RECALL_MESSAGE, &fields).await
}

/// The clock of the broker's machine, by what it stores.
async fn now_ms(client: &Client) -> i64 {
    client.create_topic("clock", 1).await;
    client.sent("clock", 0, "", "tick").await;
    messages(&client.pull("g", "clock", 0, 0).await)[0].store_timestamp()
}

#[tokio::test]
async fn timers_wait_until_they_are_due_and_say_when_that_was() {
    let (broker, client) = broker().await;
    client.create_topic("t", 1).await;
    let due_ms = now_ms(&client).await + 7200 * 1000;
    client.sent("t", 0, "TIMER_DELAY_SEC\u{1}3600\u{2}", "an hour").await;
    client.sent("t", 0, "TIMER_DELAY_MS\u{1}5400000\u{2}", "an hour and a half").await;
    client.sent("t", 0, &format!("TIMER_DELIVER_MS\u{1}{due_ms}\u{2}"), "two hours").await;
    client.sent("t", 0, "TIMER_DELIVER_MS\u{1}1\u{2}", "long ago").await;
    assert_eq!(bodies(&client.wait_for("t", 0, 1).await), ["long ago"]);
    assert_eq!(messages(&client.pull("g", "rmq_sys_wheel_timer", 0, 0).await).len(), 3);
    broker.advance_clock(Duration::from_secs(2 * 3600));
    let delivered = client.wait_for("t", 1, 3).await;
    assert_eq!(bodies(&delivered), ["an hour", "an hour and a half", "two hours"]);
    let last = &delivered[2];
    assert_eq!(last.property("TIMER_OUT_MS"), Some((due_ms / 1000 * 1000).to_string().as_str()));
    assert_eq!((last.property("REAL_TOPIC"), last.property("REAL_QID")), (Some("t"), Some("0")));
    assert!(last.property("TIMER_ENQUEUE_MS").is_some() && last.property("TIMER_DEQUEUE_MS").is_some());
}

#[tokio::test]
async fn a_timer_past_three_days_is_refused() {
    let (_broker, client) = broker().await;
    client.create_topic("t", 1).await;
    let far = now_ms(&client).await + 4 * DAY_MS;
    for property in ["TIMER_DELAY_SEC\u{1}259260\u{2}".to_owned(), format!("TIMER_DELIVER_MS\u{1}{far}\u{2}")]
    {
        let refused = client.send("t", 0, &property, "far").await;
        assert_eq!(refused.response_code(), ResponseCode::MESSAGE_ILLEGAL, "{property}");
    }
}

#[tokio::test]
async fn a_recalled_timer_is_not_delivered_and_its_neighbours_are() {
    let (broker, client) = broker().await;
    client.create_topic("t", 1).await;
    let due_ms = now_ms(&client).await + 3600 * 1000;
    let timer = |key: &str| format!("UNIQ_KEY\u{1}{key}\u{2}TIMER_DELIVER_MS\u{1}{due_ms}\u{2}");
    let recalled = client.sent("t", 0, &timer("a"), "recalled").await;
    client.sent("t", 0, &timer("b"), "kept").await;
    let cancelled = client.sent("t", 0, &timer("c"), "cancelled").await;
    let answer = recall(&client, "t", field(&recalled, "recallHandle")).await;
    assert_eq!((answer.code, field(&answer, "msgId")), (0, "a"));
    client.sent("t", 0, &format!("{}TIMER_DEL_UNIQKEY\u{1}c\u{2}", timer("d")), "0").await;
    broker.advance_clock(Duration::from_secs(3601));
    client.sent("t", 0, "TIMER_DELAY_MS\u{1}1\u{2}", "after").await;
    assert_eq!(bodies(&client.wait_for("t", 0, 2).await), ["kept", "after"]);
    let late = recall(&client, "t", field(&cancelled, "recallHandle")).await;
    assert_eq!(late.response_code(), ResponseCode::ILLEGAL_OPERATION);
}

#[tokio::test]
async fn a_handle_that_is_none_recalls_nothing() {
    let (_broker, client) = broker().await;
    client.create_topic("t", 1).await;
    client.create_topic("u", 1).await;
    let sent = client.sent("t", 0, "TIMER_DELAY_SEC\u{1}60\u{2}", "later").await;
    let handle = field(&sent, "recallHandle");
    assert_eq!(recall(&client, "u", handle).await.response_code(), ResponseCode::ILLEGAL_OPERATION);
    assert_eq!(recall(&client, "t", "djE=").await.response_code(), ResponseCode::ILLEGAL_OPERATION);
    assert_eq!(recall(&client, "none", handle).await.response_code(), ResponseCode::TOPIC_NOT_EXIST);
}

#[tokio::test]
async fn a_timer_survives_a_restart_and_a_recalled_one_stays_recalled() {
    let directory = tempfile::tempdir().unwrap();
    let storage = Storage::Directory { path: directory.path().into(), fsync: FsyncPolicy::Os };
    let config = BrokerConfig { storage, ..in_memory() };
    let (broker, client) = broker_with(config.clone()).await;
    client.create_topic("t", 1).await;
    client.sent("t", 0, "TIMER_DELAY_SEC\u{1}3600\u{2}", "later").await;
    let recalled = client.sent("t", 0, "TIMER_DELAY_SEC\u{1}3500\u{2}", "never").await;
    assert_eq!(recall(&client, "t", field(&recalled, "recallHandle")).await.code, 0);
    broker.stop().await;
    let (broker, client) = broker_with(config).await;
    broker.advance_clock(Duration::from_secs(3601));
    assert_eq!(bodies(&client.wait_for("t", 0, 1).await), ["later"]);
    broker.stop().await;
}
