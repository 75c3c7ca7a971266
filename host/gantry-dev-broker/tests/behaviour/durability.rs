//! What survives a stop, and what survives a kill.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use gantry_dev_broker::{Broker, BrokerConfig, FsyncPolicy, Storage};
use gantry_protocol::header::PullMessageRequestHeader;
use gantry_protocol::{RemotingCommand, RequestCode, ResponseCode};
use serde_json::{Value, json};

use crate::client::{Client, bodies, broker_with, field, in_memory, messages, reply, send_request};

fn on_disk(path: &Path, fsync: FsyncPolicy) -> BrokerConfig {
    BrokerConfig {
        storage: Storage::Directory { path: path.into(), fsync },
        delay_levels: vec![Duration::from_secs(3600); 18],
        ..in_memory()
    }
}

async fn offset(client: &Client, group: &str) -> RemotingCommand {
    let fields = [("consumerGroup", group), ("topic", "t"), ("queueId", "0")];
    client.ask_with(RequestCode::QUERY_CONSUMER_OFFSET, &fields).await
}

#[tokio::test]
async fn everything_but_memberships_survives_a_stop() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, client) = broker_with(on_disk(directory.path(), FsyncPolicy::Os)).await;
    client.create_topic("t", 3).await;
    client.sent("t", 0, "TAGS\u{1}A\u{2}KEYS\u{1}k\u{2}", "one").await;
    client.sent("t", 0, "DELAY\u{1}1\u{2}", "later").await;
    let settings = json!({"groupName": "g", "retryMaxTimes": 5, "consumeEnable": false}).to_string();
    let request =
        RemotingCommand::bare_request(RequestCode::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP).with_body(settings);
    client.call(request).await;
    client.pull("h", "t", 0, 0).await;
    let commit = [("consumerGroup", "h"), ("topic", "t"), ("queueId", "0"), ("commitOffset", "1")];
    client.oneway(crate::client::with_fields(RequestCode::UPDATE_CONSUMER_OFFSET, &commit)).await;
    let last = client.sent("t", 0, "", "two").await;
    broker.stop().await;

    let (broker, client) = broker_with(on_disk(directory.path(), FsyncPolicy::Os)).await;
    let stored = messages(&client.pull("h", "t", 0, 0).await);
    assert_eq!(bodies(&stored), ["one", "two"]);
    assert_eq!(stored[1].offset_msg_id()[16..], field(&last, "msgId")[16..]);
    assert_eq!(field(&offset(&client, "h").await, "offset"), "1");
    let config = client.ask_with(RequestCode::GET_TOPIC_CONFIG, &[("topic", "t")]).await;
    assert_eq!(serde_json::from_slice::<Value>(&config.body).unwrap()["readQueueNums"], 3);
    assert_eq!(client.pull("g", "t", 0, 0).await.response_code(), ResponseCode::NO_PERMISSION);
    let found = client
        .ask_with(
            RequestCode::QUERY_MESSAGE,
            &[
                ("topic", "t"),
                ("key", "k"),
                ("maxNum", "9"),
                ("beginTimestamp", "0"),
                ("endTimestamp", "9223372036854775807"),
            ],
        )
        .await;
    assert_eq!(bodies(&messages(&found)), ["one"]);
    // The delayed message is still due, and offsets go on where they were.
    let sent = client.sent("t", 0, "", "three").await;
    assert_eq!(field(&sent, "queueOffset"), "2");
    broker.advance_clock(Duration::from_secs(3600));
    assert_eq!(bodies(&client.wait_for("t", 2, 2).await), ["three", "later"]);
    broker.stop().await;
}

/// The example program, which cargo builds beside the tests.
fn program() -> PathBuf {
    let here = std::env::current_exe().unwrap();
    let built = here.parent().and_then(Path::parent).unwrap().join("examples").join("broker");
    assert!(built.exists(), "{} is not built: run the whole crate's tests", built.display());
    built
}

struct Running {
    child: Child,
    address: SocketAddr,
}

fn run(directory: &Path, fsync: &str) -> Running {
    let mut child = Command::new(program())
        .arg(directory)
        .arg(fsync)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    Running { child, address: line.trim().parse().unwrap() }
}

/// Sends without end from a few connections; answers the acknowledged bodies when the broker dies.
async fn send_until_death(address: SocketAddr, worker: usize, padding: usize) -> Vec<String> {
    let client = Client::connect(address).await;
    let mut acknowledged = Vec::new();
    for round in 0.. {
        let mut window = Vec::new();
        for number in 0..16 {
            let body = format!("{worker}/{round}/{number}/{:padding$}", "");
            let Some(receiver) = client.try_start(send_request("t", 0, "", &body)).await else {
                return acknowledged;
            };
            window.push((body, receiver));
        }
        for (body, receiver) in window {
            match receiver.await {
                Ok(reply) if reply.response_code() == ResponseCode::SUCCESS => acknowledged.push(body),
                Ok(reply) => panic!("{:?}", reply.remark),
                Err(_) => return acknowledged,
            }
        }
    }
    acknowledged
}

async fn nothing_acknowledged_is_lost(fsync: &'static str, policy: FsyncPolicy, padding: usize) {
    let directory = tempfile::tempdir().unwrap();
    let mut acknowledged = Vec::new();
    for life in 0..3 {
        let mut running = run(directory.path(), fsync);
        if life == 0 {
            Client::connect(running.address).await.create_topic("t", 1).await;
        }
        let workers: Vec<_> = (0..3)
            .map(|worker| tokio::task::spawn(send_until_death(running.address, life * 10 + worker, padding)))
            .collect();
        let watch = Client::connect(running.address).await;
        watch.wait_for("t", acknowledged.len() as i64 + 100, 1).await;
        running.child.kill().unwrap();
        running.child.wait().unwrap();
        for worker in workers {
            acknowledged.extend(worker.await.unwrap());
        }
    }
    let (broker, client) = broker_with(on_disk(directory.path(), policy)).await;
    let mut stored = Vec::new();
    loop {
        let read = messages(&client.pull("g", "t", 0, stored.len() as i64).await);
        if read.is_empty() {
            break;
        }
        for message in &read {
            assert!(message.body_crc_matches());
            assert_eq!(message.queue_offset(), stored.len() as i64);
            stored.push(bodies(std::slice::from_ref(message)).remove(0));
        }
    }
    let stored: std::collections::HashSet<String> = stored.into_iter().collect();
    let lost: Vec<_> = acknowledged.iter().filter(|body| !stored.contains(*body)).collect();
    assert!(lost.is_empty(), "{} of {} lost, such as {:?}", lost.len(), acknowledged.len(), lost.first());
    assert!(acknowledged.len() >= 48, "{}", acknowledged.len());
    let reply_after = reply(client.start(send_request("t", 0, "", "goes on")).await).await;
    assert_eq!(reply_after.response_code(), ResponseCode::SUCCESS);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_loses_nothing_acknowledged() {
    nothing_acknowledged_is_lost("os", FsyncPolicy::Os, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_loses_nothing_acknowledged_with_a_flush_per_commit() {
    nothing_acknowledged_is_lost("every-commit", FsyncPolicy::EveryCommit, 0).await;
}

/// Such runs are in files.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_loses_nothing_acknowledged_of_large_runs() {
    nothing_acknowledged_is_lost("os", FsyncPolicy::Os, 20_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_loses_nothing_acknowledged_of_large_runs_with_a_flush_per_commit() {
    nothing_acknowledged_is_lost("every-commit", FsyncPolicy::EveryCommit, 20_000).await;
}

/// Pops up to eight messages of `t`, hidden for a minute; answers their bodies and the handles' beginning.
async fn pop(client: &Client) -> (Vec<String>, String) {
    let fields = [
        ("consumerGroup", "g"),
        ("topic", "t"),
        ("queueId", "-1"),
        ("maxMsgNums", "8"),
        ("invisibleTime", "60000"),
        ("pollTime", "0"),
        ("bornTime", "0"),
        ("initMode", "0"),
    ];
    let reply = client.ask_with(RequestCode::POP_MESSAGE, &fields).await;
    let start = format!("0 {} 60000 0 0 gantry-broker 0", field(&reply, "popTime"));
    (bodies(&messages(&reply)), start)
}

#[tokio::test]
async fn a_kill_loses_no_popped_message_and_brings_no_settled_one_back() {
    let directory = tempfile::tempdir().unwrap();
    let mut running = run(directory.path(), "os");
    let client = Client::connect(running.address).await;
    client.create_topic("t", 1).await;
    for number in 0..12 {
        client.sent("t", 0, "", &number.to_string()).await;
    }
    let (popped, handle) = pop(&client).await;
    assert_eq!(popped.len(), 8);
    for offset in 0..5 {
        let (offset, handle) = (offset.to_string(), format!("{handle} {offset}"));
        let ack = [
            ("consumerGroup", "g"),
            ("topic", "t"),
            ("queueId", "0"),
            ("extraInfo", &*handle),
            ("offset", &*offset),
        ];
        assert_eq!(client.ask_with(RequestCode::ACK_MESSAGE, &ack).await.code, 0);
    }
    running.child.kill().unwrap();
    running.child.wait().unwrap();
    let (broker, client) = broker_with(on_disk(directory.path(), FsyncPolicy::Os)).await;
    // The group's offset was written with what it popped: nothing hidden is seen, and nothing settled.
    assert_eq!(pop(&client).await.0, ["8", "9", "10", "11"]);
    broker.advance_clock(Duration::from_secs(61));
    let mut back = std::collections::BTreeSet::new();
    crate::client::eventually("what was not settled comes back", async || {
        back.extend(pop(&client).await.0);
        back.len() >= 7
    })
    .await;
    let expected: Vec<String> = ["10", "11", "5", "6", "7", "8", "9"].map(str::to_owned).to_vec();
    assert_eq!(back.into_iter().collect::<Vec<_>>(), expected);
    broker.stop().await;
}

#[tokio::test]
async fn consumer_offsets_are_written_within_a_second_without_a_stop() {
    let directory = tempfile::tempdir().unwrap();
    let mut running = run(directory.path(), "os");
    let client = Client::connect(running.address).await;
    client.create_topic("t", 1).await;
    client.sent("t", 0, "", "x").await;
    client.pull("g", "t", 0, 0).await;
    let commit = [("consumerGroup", "g"), ("topic", "t"), ("queueId", "0"), ("commitOffset", "1")];
    client.ask_with(RequestCode::UPDATE_CONSUMER_OFFSET, &commit).await;
    // The database itself is watched, from beside the broker.
    let database = directory.path().join("store.db");
    crate::client::eventually("the offset is written", async || {
        let seen = rusqlite::Connection::open(&database).and_then(|connection| {
            connection.query_row("SELECT count(*) FROM consumer_offset", [], |row| row.get::<_, i64>(0))
        });
        seen.is_ok_and(|count| count == 1)
    })
    .await;
    running.child.kill().unwrap();
    running.child.wait().unwrap();
    let (broker, client) = broker_with(on_disk(directory.path(), FsyncPolicy::Os)).await;
    assert_eq!(field(&offset(&client, "g").await, "offset"), "1");
    broker.stop().await;
}

#[tokio::test]
async fn a_store_of_another_format_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let connection = rusqlite::Connection::open(directory.path().join("store.db")).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let refused = Broker::start(on_disk(directory.path(), FsyncPolicy::Os)).await.expect_err("it started");
    assert!(
        matches!(refused, gantry_dev_broker::StartError::StoreFormat { found: 99, expected: 5, .. }),
        "{refused}"
    );
}

/// What format 2 had in place of runs.
const FORMER_TABLES: &str = "
    UPDATE commit_log SET records = substr(records, 1, length(records) - 16 * entries - 12 * keys);
    DROP INDEX commit_log_file;
    ALTER TABLE commit_log DROP COLUMN file; ALTER TABLE commit_log DROP COLUMN at;
    ALTER TABLE commit_log DROP COLUMN size; ALTER TABLE commit_log DROP COLUMN crc;
    ALTER TABLE commit_log DROP COLUMN entries; ALTER TABLE commit_log DROP COLUMN keys;
    ALTER TABLE commit_log RENAME COLUMN records TO record;
    ALTER TABLE consume_queue RENAME TO newer;
    CREATE TABLE consume_queue(
        queue INTEGER NOT NULL, position INTEGER NOT NULL, physical INTEGER NOT NULL, size INTEGER NOT NULL,
        tags INTEGER NOT NULL, stored_ms INTEGER NOT NULL, messages INTEGER NOT NULL DEFAULT 1,
        PRIMARY KEY(queue, position)) WITHOUT ROWID;
    INSERT INTO consume_queue SELECT queue, position, physical, length(record), 0, stored_ms, messages
        FROM newer JOIN commit_log USING(physical);
    DROP TABLE newer; DROP TABLE message_key;
    CREATE TABLE message_key(hash INTEGER NOT NULL, physical INTEGER NOT NULL);
    PRAGMA user_version = 2;";

/// Makes a store with two messages in the tables of an older format, changed further by `change`.
async fn older_store(directory: &Path, change: &str) {
    let (broker, client) = broker_with(on_disk(directory, FsyncPolicy::Os)).await;
    client.create_topic("t", 1).await;
    for body in ["one", "two"] {
        client.sent("t", 0, "KEYS\u{1}k\u{2}", body).await;
    }
    broker.stop().await;
    let connection = rusqlite::Connection::open(directory.join("store.db")).unwrap();
    connection.execute_batch(&format!("BEGIN; {FORMER_TABLES} {change} COMMIT;")).unwrap();
}

async fn by_key(client: &Client) -> Vec<String> {
    let fields = [
        ("topic", "t"),
        ("key", "k"),
        ("maxNum", "9"),
        ("beginTimestamp", "0"),
        ("endTimestamp", "9223372036854775807"),
    ];
    bodies(&messages(&client.ask_with(RequestCode::QUERY_MESSAGE, &fields).await))
}

#[tokio::test]
async fn a_store_of_the_first_format_is_read_on() {
    let directory = tempfile::tempdir().unwrap();
    let first = "ALTER TABLE consume_queue DROP COLUMN messages; DROP TABLE popped_in_order; PRAGMA user_version = 1;";
    older_store(directory.path(), first).await;
    for body in ["three", "four"] {
        let (broker, client) = broker_with(on_disk(directory.path(), FsyncPolicy::Os)).await;
        client.sent("t", 0, "", body).await;
        broker.stop().await;
    }
    let (broker, client) = broker_with(on_disk(directory.path(), FsyncPolicy::Os)).await;
    assert_eq!(bodies(&messages(&client.pull("g", "t", 0, 0).await)), ["one", "two", "three", "four"]);
    broker.stop().await;
}

#[tokio::test]
async fn a_store_of_the_second_format_keeps_its_tags_and_keys() {
    let directory = tempfile::tempdir().unwrap();
    // Java's hashes of the tags "A" and "B", one of them as if it were negative; and keys as that format hashed them.
    let fnv = |text: &str| {
        let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        i64::from_ne_bytes(text.bytes().fold(0xcbf2_9ce4_8422_2325, step).to_ne_bytes())
    };
    let second = format!(
        "UPDATE consume_queue SET tags = 65 + position; UPDATE consume_queue SET tags = -7 WHERE position = 1;
         INSERT INTO message_key SELECT {}, physical FROM commit_log;
         INSERT INTO message_key SELECT {}, physical FROM commit_log;",
        fnv("t#k"),
        fnv("t#l")
    );
    older_store(directory.path(), &second).await;
    let (broker, client) = broker_with(on_disk(directory.path(), FsyncPolicy::Os)).await;
    assert_eq!(by_key(&client).await, ["two", "one"]);
    let only_a = PullMessageRequestHeader {
        subscription: Some("A".to_owned()),
        ..crate::client::pull_header("g", "t", 0, 0)
    };
    let pulled = client.ask(RequestCode::PULL_MESSAGE, &only_a).await;
    assert_eq!(
        (bodies(&messages(&pulled)), field(&pulled, "nextBeginOffset")),
        (vec!["one".to_owned()], "2")
    );
    broker.stop().await;
}

#[tokio::test]
async fn a_kill_forgets_nothing_of_what_was_popped_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let mut running = run(directory.path(), "os");
    let client = Client::connect(running.address).await;
    client.create_topic("t", 1).await;
    for number in 0..4 {
        client.sent("t", 0, "", &number.to_string()).await;
    }
    let pop = async |client: &Client, attempt: &str| {
        let fields = [
            ("consumerGroup", "g"),
            ("topic", "t"),
            ("queueId", "0"),
            ("maxMsgNums", "3"),
            ("invisibleTime", "60000"),
            ("pollTime", "0"),
            ("bornTime", "0"),
            ("initMode", "0"),
            ("order", "true"),
            ("attemptId", attempt),
        ];
        client.ask_with(RequestCode::POP_MESSAGE, &fields).await
    };
    let ack = async |client: &Client, popped: &RemotingCommand, offset: &str| {
        let handle = format!("0 {} 60000 999 0 gantry-broker 0 {offset}", field(popped, "popTime"));
        let fields = [
            ("consumerGroup", "g"),
            ("topic", "t"),
            ("queueId", "0"),
            ("extraInfo", handle.as_str()),
            ("offset", offset),
        ];
        assert_eq!(client.ask_with(RequestCode::ACK_MESSAGE, &fields).await.code, 0);
    };
    let first = pop(&client, "a1").await;
    assert_eq!(bodies(&messages(&first)), ["0", "1", "2"]);
    ack(&client, &first, "1").await;
    running.child.kill().unwrap();
    running.child.wait().unwrap();

    let (broker, client) = broker_with(on_disk(directory.path(), FsyncPolicy::Os)).await;
    // It is hidden still, and the handles of before the kill count.
    assert_eq!(pop(&client, "a2").await.response_code(), ResponseCode::POLLING_TIMEOUT);
    ack(&client, &first, "0").await;
    assert_eq!(field(&offset(&client, "g").await, "offset"), "2");
    broker.advance_clock(Duration::from_secs(61));
    let again = pop(&client, "a3").await;
    assert_eq!(bodies(&messages(&again)), ["2", "3"]);
    assert_eq!(field(&again, "orderCountInfo"), "0 qo0%2 1;0 0 0");
    broker.stop().await;
}
