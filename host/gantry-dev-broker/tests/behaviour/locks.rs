//! LOCK_BATCH_MQ 41, UNLOCK_BATCH_MQ 42, and what a lock means elsewhere.

use std::time::Duration;

use gantry_dev_broker::{BrokerConfig, FsyncPolicy, Storage};
use gantry_protocol::body::{LockBatchBody, LockBatchResponseBody};
use gantry_protocol::header::ConsumerSendMsgBackRequestHeader;
use gantry_protocol::{MessageQueue, RemotingCommand, RequestCode, ResponseCode};

use crate::client::{Client, bodies, broker, broker_with, in_memory, messages};

/// Asks for these queues of topic `t`; answers those that were granted.
async fn ask(client: &Client, code: RequestCode, client_id: &str, group: &str, queues: &[i32]) -> Vec<i32> {
    let body = LockBatchBody {
        client_id: client_id.to_owned(),
        consumer_group: group.to_owned(),
        mq_set: queues.iter().map(|queue| MessageQueue::new("t", "gantry-broker", *queue)).collect(),
        only_this_broker: false,
    };
    let body = serde_json::to_vec(&body).unwrap();
    let reply = client.call(RemotingCommand::bare_request(code).with_body(body)).await;
    assert_eq!(reply.response_code(), ResponseCode::SUCCESS);
    if reply.body.is_empty() {
        return Vec::new();
    }
    let locked: LockBatchResponseBody = serde_json::from_slice(&reply.body).unwrap();
    locked.lock_ok_mq_set.iter().map(|queue| queue.queue_id).collect()
}

async fn lock(client: &Client, client_id: &str, group: &str, queues: &[i32]) -> Vec<i32> {
    ask(client, RequestCode::LOCK_BATCH_MQ, client_id, group, queues).await
}

async fn unlock(client: &Client, client_id: &str, group: &str, queues: &[i32]) {
    ask(client, RequestCode::UNLOCK_BATCH_MQ, client_id, group, queues).await;
}

const NONE: [i32; 0] = [];

#[tokio::test]
async fn a_queue_lock_is_its_holders_for_sixty_seconds() {
    let (broker, client) = broker().await;
    assert_eq!(lock(&client, "one", "g", &[0, 1]).await, [0, 1]);
    assert_eq!(lock(&client, "two", "g", &[0, 1]).await, NONE);
    unlock(&client, "one", "g", &[0]).await;
    assert_eq!(lock(&client, "two", "g", &[0, 1]).await, [0]);
    broker.advance_clock(Duration::from_secs(30));
    assert_eq!(lock(&client, "two", "g", &[1]).await, NONE);
    broker.advance_clock(Duration::from_secs(31));
    assert_eq!(lock(&client, "two", "g", &[1]).await, [1]);
}

#[tokio::test]
async fn a_renewal_lengthens_the_lease() {
    let (broker, client) = broker().await;
    lock(&client, "one", "g", &[0]).await;
    broker.advance_clock(Duration::from_secs(40));
    assert_eq!(lock(&client, "one", "g", &[0]).await, [0]);
    broker.advance_clock(Duration::from_secs(40));
    assert_eq!(lock(&client, "two", "g", &[0]).await, NONE);
}

#[tokio::test]
async fn locks_are_apart_by_group_name_whether_the_group_has_members_or_not() {
    let (_broker, client) = broker().await;
    client.heartbeat("one", "g", &[("t", "*", 1)]).await;
    assert_eq!(lock(&client, "one", "g", &[0]).await, [0]);
    // A name nobody has joined under has a table of its own.
    assert_eq!(lock(&client, "two", "nobody", &[0]).await, [0]);
    assert_eq!(lock(&client, "one", "nobody", &[0]).await, NONE);
    unlock(&client, "two", "nobody", &[0]).await;
    assert_eq!(lock(&client, "one", "nobody", &[0]).await, [0]);
    assert_eq!(lock(&client, "two", "g", &[0]).await, NONE);
}

#[tokio::test]
async fn a_lock_is_the_client_ids_whatever_the_connection() {
    let (broker, client) = broker().await;
    let other = Client::connect(broker.local_addr()).await;
    lock(&client, "one", "g", &[0, 1]).await;
    unlock(&client, "two", "g", &[0, 1]).await;
    assert_eq!(lock(&client, "two", "g", &[0, 1]).await, NONE);
    unlock(&other, "one", "g", &[1]).await;
    assert_eq!(lock(&client, "two", "g", &[0, 1]).await, [1]);
    // The end of the holder's connection frees nothing: it may be back in a moment.
    client.shut_down().await;
    client.closed().await;
    assert_eq!(lock(&other, "two", "g", &[0]).await, NONE);
    assert_eq!(lock(&other, "one", "g", &[0]).await, [0]);
}

#[tokio::test]
async fn a_restart_loses_every_lock_and_whoever_asks_first_has_it() {
    let directory = tempfile::tempdir().unwrap();
    let storage = Storage::Directory { path: directory.path().into(), fsync: FsyncPolicy::Os };
    let config = BrokerConfig { storage, ..in_memory() };
    let (broker, client) = broker_with(config.clone()).await;
    assert_eq!(lock(&client, "one", "g", &[0, 1]).await, [0, 1]);
    broker.stop().await;
    let (_broker, client) = broker_with(config).await;
    assert_eq!(lock(&client, "two", "g", &[0]).await, [0]);
    assert_eq!(lock(&client, "one", "g", &[0, 1]).await, [1]);
}

/// A message of `t`, to be given back.
async fn stored(client: &Client) -> ConsumerSendMsgBackRequestHeader {
    client.create_topic("t", 1).await;
    client.sent("t", 0, "", "back").await;
    let message = messages(&client.pull("g", "t", 0, 0).await).remove(0);
    ConsumerSendMsgBackRequestHeader {
        offset: message.physical_offset(),
        group: "g".to_owned(),
        delay_level: 1,
        origin_topic: Some("t".to_owned()),
        ..ConsumerSendMsgBackRequestHeader::default()
    }
}

#[tokio::test]
async fn while_a_group_holds_a_lock_what_is_sent_to_its_retry_topic_is_a_dead_letter() {
    let config = BrokerConfig { delay_levels: vec![Duration::from_millis(100); 18], ..in_memory() };
    let (broker, client) = broker_with(config).await;
    let send_back = stored(&client).await;
    lock(&client, "one", "g", &[0]).await;
    client.sent("%RETRY%g", 0, "RETRY_TOPIC\u{1}t\u{2}", "orderly").await;
    assert_eq!(bodies(&client.wait_for("%DLQ%g", 0, 1).await), ["orderly"]);
    // A message given back is not asked whether its group is orderly, and another group's locks say nothing.
    let reply = client.ask(RequestCode::CONSUMER_SEND_MSG_BACK, &send_back).await;
    assert_eq!(reply.response_code(), ResponseCode::SUCCESS);
    assert_eq!(bodies(&client.wait_for("%RETRY%g", 0, 1).await), ["back"]);
    client.sent("%RETRY%h", 0, "RETRY_TOPIC\u{1}t\u{2}", "other").await;
    assert_eq!(bodies(&client.wait_for("%RETRY%h", 0, 1).await), ["other"]);
    broker.advance_clock(Duration::from_secs(61));
    client.sent("%RETRY%g", 0, "RETRY_TOPIC\u{1}t\u{2}", "late").await;
    assert_eq!(bodies(&client.wait_for("%RETRY%g", 1, 1).await), ["late"]);
}
