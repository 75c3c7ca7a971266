//! CONSUMER_SEND_MSG_BACK 36, sends to retry topics, delays.

use std::time::Duration;

use gantry_dev_broker::BrokerConfig;
use gantry_protocol::header::{
    ConsumerSendMsgBackRequestHeader, PullMessageRequestHeader, SendMessageRequestHeaderV2,
};
use gantry_protocol::{MessageExt, RemotingCommand, RequestCode, ResponseCode};
use serde_json::json;

use crate::client::{
    Client, bodies, broker, broker_with, field, in_memory, messages, pull_header, reply, send_header,
};

/// Delay levels of 100 ms, 200 ms, ... so that tests need not wait.
fn quick_levels() -> BrokerConfig {
    BrokerConfig {
        delay_levels: (1..=18).map(|level| Duration::from_millis(100 * level)).collect(),
        ..in_memory()
    }
}

const HOUR: Duration = Duration::from_secs(3600);
const HOUR_MS: i64 = 3600 * 1000;

async fn stored(client: &Client) -> MessageExt {
    client.create_topic("t", 1).await;
    client.sent("t", 0, "TAGS\u{1}A\u{2}UNIQ_KEY\u{1}u\u{2}WAIT\u{1}true\u{2}", "work").await;
    messages(&client.pull("g", "t", 0, 0).await).remove(0)
}

fn back(message: &MessageExt, delay_level: i32) -> ConsumerSendMsgBackRequestHeader {
    ConsumerSendMsgBackRequestHeader {
        offset: message.physical_offset(),
        group: "g".to_owned(),
        delay_level,
        origin_msg_id: message.unique_key().map(str::to_owned),
        origin_topic: Some("t".to_owned()),
        max_reconsume_times: Some(16),
        ..ConsumerSendMsgBackRequestHeader::default()
    }
}

async fn send_back(client: &Client, header: &ConsumerSendMsgBackRequestHeader) -> RemotingCommand {
    client.ask(RequestCode::CONSUMER_SEND_MSG_BACK, header).await
}

fn assert_properties(message: &MessageExt, properties: &[(&str, &str)]) {
    for (name, value) in properties {
        assert_eq!(message.property(name), Some(*value), "{name}");
    }
}

#[tokio::test]
async fn a_message_sent_back_returns_in_the_retry_topic_with_its_history() {
    let (_broker, client) = broker_with(quick_levels()).await;
    let origin = stored(&client).await;
    assert_eq!(send_back(&client, &back(&origin, 1)).await.response_code(), ResponseCode::SUCCESS);
    let retry = client.wait_for("%RETRY%g", 0, 1).await.remove(0);
    assert_eq!((retry.reconsume_times(), retry.born_timestamp()), (1, origin.born_timestamp()));
    assert_eq!(retry.born_host(), origin.born_host());
    assert!(retry.store_timestamp() >= origin.store_timestamp() + 100);
    let first = origin.offset_msg_id();
    assert_properties(
        &retry,
        &[
            ("RETRY_TOPIC", "t"),
            ("ORIGIN_MESSAGE_ID", &first),
            ("WAIT", "false"),
            ("DELAY", "1"),
            ("REAL_TOPIC", "%RETRY%g"),
            ("REAL_QID", "0"),
            ("TAGS", "A"),
            ("UNIQ_KEY", "u"),
        ],
    );
    // The second retry keeps the first id, and level 0 means one level longer each time.
    assert_eq!(send_back(&client, &back(&retry, 0)).await.response_code(), ResponseCode::SUCCESS);
    let again = client.wait_for("%RETRY%g", 1, 1).await.remove(0);
    assert_eq!(again.reconsume_times(), 2);
    assert_properties(&again, &[("ORIGIN_MESSAGE_ID", &first), ("RETRY_TOPIC", "t"), ("DELAY", "4")]);
    assert_eq!(bodies(&[again]), ["work"]);
}

#[tokio::test]
async fn a_negative_level_or_the_last_retry_goes_to_the_dead_letter_topic() {
    let (_broker, client) = broker_with(quick_levels()).await;
    let origin = stored(&client).await;
    send_back(&client, &back(&origin, -1)).await;
    let dead = client.wait_for("%DLQ%g", 0, 1).await.remove(0);
    assert_eq!(dead.reconsume_times(), 1);
    assert_properties(
        &dead,
        &[("DELAY", "0"), ("RETRY_TOPIC", "t"), ("ORIGIN_MESSAGE_ID", &origin.offset_msg_id())],
    );
    assert_eq!(dead.property("DLQ_ORIGIN_TOPIC"), None);
    let last = ConsumerSendMsgBackRequestHeader { max_reconsume_times: Some(0), ..back(&origin, 1) };
    send_back(&client, &last).await;
    client.wait_for("%DLQ%g", 1, 1).await;
}

#[tokio::test]
async fn a_group_without_a_limit_in_the_request_has_its_configured_one() {
    let (_broker, client) = broker_with(quick_levels()).await;
    let origin = stored(&client).await;
    let settings = json!({"groupName": "g", "retryMaxTimes": 0}).to_string();
    let request =
        RemotingCommand::bare_request(RequestCode::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP).with_body(settings);
    client.call(request).await;
    let header = ConsumerSendMsgBackRequestHeader { max_reconsume_times: None, ..back(&origin, 1) };
    send_back(&client, &header).await;
    client.wait_for("%DLQ%g", 0, 1).await;
}

#[tokio::test]
async fn sending_back_what_is_not_there_fails() {
    let (_broker, client) = broker().await;
    let origin = stored(&client).await;
    let header = ConsumerSendMsgBackRequestHeader { offset: 999_999_999, ..back(&origin, 0) };
    let reply = send_back(&client, &header).await;
    assert_eq!(reply.response_code(), ResponseCode::SYSTEM_ERROR);
    assert_eq!(reply.remark.as_deref(), Some("look message by offset failed, 999999999"));
}

#[tokio::test]
async fn a_send_to_the_retry_topic_past_its_limit_is_a_dead_letter() {
    let (_broker, client) = broker_with(quick_levels()).await;
    let retry = |times, most| {
        let header = SendMessageRequestHeaderV2 {
            reconsume_times: Some(times),
            max_reconsume_times: Some(most),
            ..send_header("%RETRY%g", 0, "RETRY_TOPIC\u{1}t\u{2}DELAY\u{1}1\u{2}")
        };
        RemotingCommand::request(RequestCode::SEND_MESSAGE_V2, &header).with_body(&b"again"[..])
    };
    assert_eq!(client.call(retry(1, 1)).await.response_code(), ResponseCode::SUCCESS);
    assert_eq!(client.wait_for("%RETRY%g", 0, 1).await[0].reconsume_times(), 1);
    assert_eq!(client.call(retry(2, 1)).await.response_code(), ResponseCode::SUCCESS);
    let dead = client.wait_for("%DLQ%g", 0, 1).await.remove(0);
    assert_eq!(dead.reconsume_times(), 2);
    assert_properties(&dead, &[("DELAY", "-1"), ("RETRY_TOPIC", "t")]);
}

#[tokio::test]
async fn a_delay_level_holds_a_message_back_and_the_last_level_is_the_longest() {
    let config = BrokerConfig { delay_levels: (1..=18).map(|level| HOUR * level).collect(), ..in_memory() };
    let (broker, client) = broker_with(config).await;
    client.create_topic("t", 1).await;
    let reply = client.sent("t", 0, "DELAY\u{1}2\u{2}TAGS\u{1}A\u{2}", "later").await;
    assert_eq!(field(&reply, "queueId"), "0");
    assert_eq!(reply.ext_fields.get("recallHandle"), None);
    assert!(messages(&client.pull("g", "t", 0, 0).await).is_empty());
    let scheduled = messages(&client.pull("g", "SCHEDULE_TOPIC_XXXX", 1, 0).await).remove(0);
    broker.advance_clock(2 * HOUR);
    let delivered = client.wait_for("t", 0, 1).await.remove(0);
    assert!(delivered.store_timestamp() >= scheduled.store_timestamp() + 2 * HOUR_MS);
    assert_properties(&delivered, &[("DELAY", "2"), ("REAL_TOPIC", "t"), ("REAL_QID", "0"), ("TAGS", "A")]);
    client.sent("t", 0, "DELAY\u{1}99\u{2}", "longest").await;
    let longest = messages(&client.pull("g", "SCHEDULE_TOPIC_XXXX", 17, 0).await).remove(0);
    assert_properties(&longest, &[("DELAY", "18")]);
    client.sent("t", 0, "DELAY\u{1}0\u{2}", "now").await;
    assert_eq!(bodies(&messages(&client.pull("g", "t", 0, 1).await)), ["now"]);
}

#[tokio::test]
async fn a_delivered_message_wakes_a_held_pull() {
    let sweepless = gantry_dev_broker::Timing { hold_sweep: Duration::from_secs(3600), ..Default::default() };
    let (_broker, client) = broker_with(BrokerConfig { timing: sweepless, ..quick_levels() }).await;
    client.create_topic("t", 1).await;
    let header = PullMessageRequestHeader { sys_flag: 6, ..pull_header("g", "t", 0, 0) };
    let held = client.start(RemotingCommand::request(RequestCode::PULL_MESSAGE, &header)).await;
    client.sent("t", 0, "DELAY\u{1}2\u{2}", "later").await;
    assert_eq!(bodies(&messages(&reply(held).await)), ["later"]);
}

#[tokio::test]
async fn timer_properties_hold_a_message_back_to_the_millisecond() {
    let (broker, client) = broker().await;
    client.create_topic("t", 1).await;
    let reply = client.sent("t", 0, "TIMER_DELAY_MS\u{1}3600250\u{2}", "timer").await;
    assert!(!field(&reply, "recallHandle").is_empty());
    assert!(messages(&client.pull("g", "t", 0, 0).await).is_empty());
    let waiting = messages(&client.pull("g", "rmq_sys_wheel_timer", 0, 0).await).remove(0);
    broker.advance_clock(HOUR);
    let delivered = client.wait_for("t", 0, 1).await.remove(0);
    let waited = delivered.store_timestamp() - waiting.store_timestamp();
    assert!(waited >= HOUR_MS + 249, "{waited}");
    assert_properties(&delivered, &[("TIMER_DELAY_MS", "3600250"), ("REAL_TOPIC", "t"), ("REAL_QID", "0")]);
    for name in ["TIMER_OUT_MS", "TIMER_ENQUEUE_MS", "TIMER_DEQUEUE_MS"] {
        assert!(delivered.property(name).is_some(), "{name}");
    }
    // A time that has passed is no delay.
    client.sent("t", 0, "TIMER_DELIVER_MS\u{1}1000\u{2}", "past").await;
    assert_eq!(bodies(&messages(&client.pull("g", "t", 0, 1).await)), ["past"]);
}

#[tokio::test]
async fn a_scheduled_message_whose_topic_was_deleted_is_dropped_and_others_are_delivered() {
    let (_broker, client) = broker_with(quick_levels()).await;
    client.create_topic("gone", 1).await;
    client.create_topic("t", 1).await;
    client.sent("gone", 0, "DELAY\u{1}2\u{2}", "lost").await;
    client.sent("t", 0, "DELAY\u{1}3\u{2}", "kept").await;
    client.ask_with(RequestCode::DELETE_TOPIC_IN_BROKER, &[("topic", "gone")]).await;
    assert_eq!(bodies(&client.wait_for("t", 0, 1).await), ["kept"]);
}
