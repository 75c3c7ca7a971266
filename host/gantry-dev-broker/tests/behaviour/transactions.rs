//! Prepared messages, END_TRANSACTION 37, and the broker's questions about transactions that do not end.

use std::time::Duration;

use gantry_dev_broker::{BrokerConfig, FsyncPolicy, Storage, Timing};
use gantry_protocol::header::EndTransactionRequestHeader;
use gantry_protocol::{MessageExt, RemotingCommand, RequestCode, ResponseCode, decode_all};
use serde_json::json;

use crate::client::{Client, bodies, broker, broker_with, eventually, field, in_memory, messages};

const COMMIT: i32 = 8;
const ROLLBACK: i32 = 12;
const UNKNOWN: i32 = 0;
const HALF: &str = "RMQ_SYS_TRANS_HALF_TOPIC";

/// More questions than there is time for.
const WITHOUT_END: i32 = 1_000_000;

/// A broker that asks at once, and again and again until it has asked so many times.
fn asking_at_once(times: i32) -> BrokerConfig {
    let timing = Timing {
        transaction_timeout: Duration::from_millis(50),
        transaction_check: Duration::from_millis(50),
        transaction_checks: times,
        ..Timing::default()
    };
    BrokerConfig { timing, ..in_memory() }
}

fn prepared(key: &str) -> String {
    format!("TRAN_MSG\u{1}true\u{2}PGROUP\u{1}pg\u{2}UNIQ_KEY\u{1}{key}\u{2}TAGS\u{1}A\u{2}")
}

fn end(sent: &RemotingCommand, how: i32) -> EndTransactionRequestHeader {
    let physical = i64::from_str_radix(&field(sent, "msgId")[16..], 16).unwrap();
    EndTransactionRequestHeader {
        topic: Some("t".to_owned()),
        producer_group: "pg".to_owned(),
        tran_state_table_offset: field(sent, "queueOffset").parse().unwrap(),
        commit_log_offset: physical,
        commit_or_rollback: how,
        msg_id: field(sent, "transactionId").to_owned(),
        ..EndTransactionRequestHeader::default()
    }
}

async fn ended(client: &Client, header: &EndTransactionRequestHeader) -> ResponseCode {
    client.ask(RequestCode::END_TRANSACTION, header).await.response_code()
}

async fn stored(client: &Client, topic: &str) -> Vec<MessageExt> {
    messages(&client.pull("g", topic, 0, 0).await)
}

async fn produce(client: &Client, client_id: &str, group: &str) {
    let body =
        json!({"clientID": client_id, "consumerDataSet": [], "producerDataSet": [{"groupName": group}]});
    let request = RemotingCommand::bare_request(RequestCode::HEART_BEAT).with_body(body.to_string());
    assert_eq!(client.call(request).await.code, 0);
}

#[tokio::test]
async fn a_prepared_message_is_seen_when_it_is_committed_and_only_then() {
    let (_broker, client) = broker().await;
    client.create_topic("t", 2).await;
    let sent = client.sent("t", 1, &prepared("u"), "work").await;
    assert_eq!((field(&sent, "queueId"), field(&sent, "queueOffset")), ("1", "0"));
    assert!(stored(&client, "t").await.is_empty());
    assert_eq!(ended(&client, &end(&sent, UNKNOWN)).await, ResponseCode::SUCCESS);
    assert_eq!(ended(&client, &end(&sent, COMMIT)).await, ResponseCode::SUCCESS);

    let message = messages(&client.pull("g", "t", 1, 0).await).remove(0);
    let half = stored(&client, HALF).await.remove(0);
    assert_eq!((message.sys_flag(), message.prepared_transaction_offset()), (8, half.physical_offset()));
    assert_eq!(message.property("__transactionId__"), Some("u"));
    assert_eq!((message.property("REAL_TOPIC"), message.tags()), (None, Some("A")));
    assert_eq!(
        (half.sys_flag(), half.property("REAL_TOPIC"), half.property("REAL_QID")),
        (0, Some("t"), Some("1"))
    );

    // A transaction ends once.
    assert_eq!(ended(&client, &end(&sent, COMMIT)).await, ResponseCode::SUCCESS);
    assert_eq!(messages(&client.pull("g", "t", 1, 0).await).len(), 1);
}

#[tokio::test]
async fn a_prepared_message_that_is_rolled_back_is_never_seen() {
    let (_broker, client) = broker().await;
    client.create_topic("t", 1).await;
    let sent = client.sent("t", 0, &prepared("u"), "work").await;
    assert_eq!(ended(&client, &end(&sent, ROLLBACK)).await, ResponseCode::SUCCESS);
    assert_eq!(ended(&client, &end(&sent, COMMIT)).await, ResponseCode::SUCCESS);
    assert!(stored(&client, "t").await.is_empty());
}

#[tokio::test]
async fn a_transaction_is_ended_by_nobody_but_its_group() {
    let (_broker, client) = broker().await;
    client.create_topic("t", 1).await;
    let sent = client.sent("t", 0, &prepared("u"), "work").await;
    let good = end(&sent, COMMIT);
    let other_group = EndTransactionRequestHeader { producer_group: "other".to_owned(), ..good.clone() };
    let other_place = EndTransactionRequestHeader { tran_state_table_offset: 9, ..good.clone() };
    let nowhere = EndTransactionRequestHeader { commit_log_offset: 12_345, ..good.clone() };
    for wrong in [other_group, other_place, nowhere] {
        assert_eq!(ended(&client, &wrong).await, ResponseCode::SYSTEM_ERROR, "{wrong:?}");
    }
    assert!(stored(&client, "t").await.is_empty());
}

#[tokio::test]
async fn a_producer_is_asked_about_a_transaction_that_does_not_end() {
    let (broker, client) = broker_with(asking_at_once(WITHOUT_END)).await;
    let mut producer = Client::connect(broker.local_addr()).await;
    produce(&producer, "c", "pg").await;
    client.create_topic("t", 1).await;
    let sent = client.sent("t", 0, &prepared("u"), "work").await;
    let question = producer.pushed().await;
    assert_eq!((question.request_code(), question.is_oneway()), (RequestCode::CHECK_TRANSACTION_STATE, true));
    assert_eq!((field(&question, "topic"), field(&question, "transactionId")), (HALF, "u"));
    let shown = decode_all(question.body.clone()).next().unwrap().unwrap();
    assert_eq!((shown.topic(), shown.property("TRANSACTION_CHECK_TIMES")), ("t", Some("1")));
    let answer = EndTransactionRequestHeader {
        commit_log_offset: field(&question, "commitLogOffset").parse().unwrap(),
        tran_state_table_offset: field(&question, "tranStateTableOffset").parse().unwrap(),
        from_transaction_check: Some(true),
        ..end(&sent, COMMIT)
    };
    producer.oneway(RemotingCommand::request(RequestCode::END_TRANSACTION, &answer)).await;
    assert_eq!(bodies(&client.wait_for("t", 0, 1).await), ["work"]);
}

#[tokio::test]
async fn a_transaction_nobody_ends_is_given_up_and_can_be_found() {
    let (_broker, client) = broker_with(asking_at_once(2)).await;
    client.create_topic("t", 1).await;
    let sent = client.sent("t", 0, &prepared("u"), "work").await;
    eventually("the message is given up", async || {
        bodies(&stored(&client, "TRANS_CHECK_MAX_TIME_TOPIC").await) == ["work"]
    })
    .await;
    assert_eq!(ended(&client, &end(&sent, COMMIT)).await, ResponseCode::SUCCESS);
    assert!(stored(&client, "t").await.is_empty());
}

#[tokio::test]
async fn an_open_transaction_survives_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let storage = Storage::Directory { path: directory.path().into(), fsync: FsyncPolicy::Os };
    let quiet = BrokerConfig { storage: storage.clone(), ..in_memory() };
    let (broker, client) = broker_with(quiet).await;
    client.create_topic("t", 1).await;
    client.sent("t", 0, &prepared("u"), "work").await;
    broker.stop().await;

    let (broker, client) = broker_with(BrokerConfig { storage, ..asking_at_once(WITHOUT_END) }).await;
    let mut producer = Client::connect(broker.local_addr()).await;
    produce(&producer, "c", "pg").await;
    broker.advance_clock(Duration::from_secs(6));
    let question = producer.pushed().await;
    assert_eq!(field(&question, "transactionId"), "u");
    drop(client);
    broker.stop().await;
}
