//! What is stored together and large lies in files beside the database.

use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use gantry_dev_broker::{BrokerConfig, FsyncPolicy, Storage};
use gantry_protocol::header::PullMessageRequestHeader;
use gantry_protocol::{MessageExt, RequestCode};

use crate::client::{Client, bodies, broker_with, in_memory, messages, pull_header};

/// Without a cache, so that everything is read from the disk.
fn on_disk(path: &Path) -> BrokerConfig {
    let storage = Storage::Directory { path: path.into(), fsync: FsyncPolicy::Os };
    BrokerConfig { storage, tail_cache_bytes: 1, ..in_memory() }
}

fn large(first: char) -> String {
    first.to_string().repeat(20_000)
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("records.")).collect();
    files.sort();
    files
}

/// The first characters of the bodies of queue 0.
async fn stored(client: &Client, topic: &str) -> String {
    let mut stored = String::new();
    let mut offset = 0;
    loop {
        let pulled = messages(&client.pull("g", topic, 0, offset).await);
        let Some(last) = pulled.last() else { return stored };
        offset = last.queue_offset() + 1;
        stored += &firsts(&pulled);
    }
}

/// The messages of topic t with key k.
async fn found_by_key(client: &Client) -> Vec<MessageExt> {
    let by_key = [
        ("topic", "t"),
        ("key", "k"),
        ("maxNum", "9"),
        ("beginTimestamp", "0"),
        ("endTimestamp", "9223372036854775807"),
    ];
    messages(&client.ask_with(RequestCode::QUERY_MESSAGE, &by_key).await)
}

fn firsts(messages: &[MessageExt]) -> String {
    bodies(messages).iter().filter_map(|body| body.chars().next()).collect()
}

#[tokio::test]
async fn large_and_small_messages_are_read_in_their_order_before_and_after_a_stop() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, client) = broker_with(on_disk(directory.path())).await;
    client.create_topic("t", 1).await;
    for body in [&large('a'), "b", &large('c'), "d"] {
        client.sent("t", 0, "KEYS\u{1}k\u{2}", body).await;
    }
    assert_eq!(stored(&client, "t").await, "abcd");
    broker.stop().await;
    assert_eq!(files(directory.path()).len(), 1);

    let (broker, client) = broker_with(on_disk(directory.path())).await;
    client.sent("t", 0, "", &large('e')).await;
    assert_eq!(stored(&client, "t").await, "abcde");
    let found = found_by_key(&client).await;
    assert_eq!(firsts(&found), "dcba");
    let place = found[1].physical_offset().to_string();
    let by_id = client.ask_with(RequestCode::VIEW_MESSAGE_BY_ID, &[("offset", &place)]).await;
    assert_eq!(bodies(&messages(&by_id)), [large('c')]);
    broker.stop().await;
}

/// Small pulls and those with a filter are left to threads; others are read by who asks, unless others are at it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_readers_get_the_same_with_and_without_a_filter() {
    let directory = tempfile::tempdir().unwrap();
    let config = BrokerConfig { max_pull_count: 1024, ..on_disk(directory.path()) };
    let (broker, client) = broker_with(config).await;
    client.create_topic("t", 1).await;
    let sent: String = ('a'..='z').collect();
    for first in sent.chars() {
        client.sent("t", 0, "TAGS\u{1}x\u{2}", &large(first)).await;
    }
    let mut readers = tokio::task::JoinSet::new();
    for reader in 0..12 {
        let client = Client::connect(broker.local_addr()).await;
        readers.spawn(async move {
            let (mut read, mut offset) = (String::new(), 0);
            while offset < 26 {
                let tag = if reader % 3 == 0 { "x" } else { "*" };
                let header = PullMessageRequestHeader {
                    max_msg_nums: if reader % 2 == 0 { reader + 1 } else { 1024 },
                    subscription: Some(tag.to_owned()),
                    ..pull_header("g", "t", 0, offset)
                };
                let pulled = messages(&client.ask(RequestCode::PULL_MESSAGE, &header).await);
                assert!(bodies(&pulled).iter().all(|body| *body == large(body.chars().next().unwrap())));
                read += &firsts(&pulled);
                offset = pulled.last().unwrap().queue_offset() + 1;
            }
            read
        });
    }
    while let Some(read) = readers.join_next().await {
        assert_eq!(read.unwrap(), sent);
    }
    broker.stop().await;
}

#[tokio::test]
async fn files_of_deleted_topics_go_and_their_numbers_do_not_come_back() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, client) = broker_with(on_disk(directory.path())).await;
    for (topic, first) in [("gone", 'a'), ("kept", 'b')] {
        client.create_topic(topic, 1).await;
        client.sent(topic, 0, "", &large(first)).await;
        client.ask_with(RequestCode::DELETE_TOPIC_IN_BROKER, &[("topic", "gone")]).await;
    }
    let left = files(directory.path());
    assert_eq!(left, [directory.path().join("records.2")]);
    broker.stop().await;
    // What no transaction knows of is removed at the start.
    std::fs::write(directory.path().join("records.7"), "of a transaction that did not commit").unwrap();
    let (broker, client) = broker_with(on_disk(directory.path())).await;
    assert_eq!(files(directory.path()), left);
    assert_eq!(stored(&client, "kept").await, "b");
    broker.stop().await;
}

/// Makes a store as one that was not stopped: the database and the files as they are while the broker runs.
async fn copied(from: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    copy
}

#[tokio::test]
async fn what_a_power_failure_kept_from_the_disk_is_left_out_and_the_rest_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, client) = broker_with(on_disk(directory.path())).await;
    client.create_topic("t", 1).await;
    for body in [&large('a'), &large('b'), "c", &large('d')] {
        client.sent("t", 0, "", body).await;
    }
    let intact = copied(directory.path()).await;
    let damaged = copied(directory.path()).await;
    broker.stop().await;
    // The last record ends with the file, and the second lies in its middle.
    let file = std::fs::File::options().write(true).open(&files(damaged.path())[0]).unwrap();
    file.write_all_at(&[0; 100], 25_000).unwrap();
    file.set_len(file.metadata().unwrap().len() - 10).unwrap();

    let (broker, client) = broker_with(on_disk(intact.path())).await;
    assert_eq!(stored(&client, "t").await, "abcd");
    broker.stop().await;
    let (broker, client) = broker_with(on_disk(damaged.path())).await;
    assert_eq!(stored(&client, "t").await, "ac");
    client.sent("t", 0, "", &large('e')).await;
    assert_eq!(stored(&client, "t").await, "ace");
    broker.stop().await;
    let (broker, client) = broker_with(on_disk(damaged.path())).await;
    assert_eq!(stored(&client, "t").await, "ace");
    broker.stop().await;
}

/// Puts entries and keys of all runs into the database, where format 3 had them.
fn to_format_3(directory: &Path) {
    let connection = rusqlite::Connection::open(directory.join("store.db")).unwrap();
    let file = std::fs::read(directory.join("records.1")).unwrap();
    let mut select = connection
        .prepare("SELECT physical, at, size, entries, keys FROM commit_log WHERE file = 1")
        .unwrap();
    let place = |row: &rusqlite::Row<'_>| {
        let number = |column| row.get::<_, u32>(column).map(|number| usize::try_from(number).unwrap());
        Ok((row.get::<_, i64>(0)?, number(1)?, number(2)?, number(3)?, number(4)?))
    };
    let places: Vec<_> = select.query_map([], place).unwrap().map(Result::unwrap).collect();
    assert_eq!(places.len(), 3);
    for (physical, at, size, entries, keys) in places {
        let (end, keys_at) = (at + size, at + size - 12 * keys);
        let entries_at = keys_at - 16 * entries;
        for (statement, blob) in [
            ("UPDATE consume_queue SET entries = ?2 WHERE physical = ?1", &file[entries_at..keys_at]),
            ("INSERT INTO message_key VALUES(?1, ?2)", &file[keys_at..end]),
        ] {
            assert_eq!(connection.execute(statement, (physical, blob)).unwrap(), 1);
        }
        let size = entries_at - at;
        let shorter = "UPDATE commit_log SET size = ?2 WHERE physical = ?1";
        connection.execute(shorter, (physical, i64::try_from(size).unwrap())).unwrap();
    }
    drop(select);
    let columns = "ALTER TABLE commit_log DROP COLUMN entries; ALTER TABLE commit_log DROP COLUMN keys;";
    connection.execute_batch(&format!("{columns} PRAGMA user_version = 3;")).unwrap();
}

#[tokio::test]
async fn files_of_the_third_format_are_read_and_appended_to() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, client) = broker_with(on_disk(directory.path())).await;
    client.create_topic("t", 1).await;
    for body in ['a', 'b', 'c'] {
        client.sent("t", 0, "KEYS\u{1}k\u{2}", &large(body)).await;
    }
    broker.stop().await;
    to_format_3(directory.path());

    let (broker, client) = broker_with(on_disk(directory.path())).await;
    client.sent("t", 0, "KEYS\u{1}k\u{2}", &large('d')).await;
    client.sent("t", 0, "KEYS\u{1}k\u{2}", "e").await;
    broker.stop().await;

    let (broker, client) = broker_with(on_disk(directory.path())).await;
    assert_eq!(stored(&client, "t").await, "abcde");
    assert_eq!(firsts(&found_by_key(&client).await), "edcba");
    broker.stop().await;
}

/// Puts entries and keys of runs that are rows where format 4 had them: beside the row.
fn to_format_4(directory: &Path) {
    let connection = rusqlite::Connection::open(directory.join("store.db")).unwrap();
    let mut select = connection
        .prepare("SELECT physical, records, entries, keys FROM commit_log WHERE file IS NULL")
        .unwrap();
    let run = |row: &rusqlite::Row<'_>| {
        let count = |column| row.get::<_, u32>(column).map(|count| usize::try_from(count).unwrap());
        Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?, count(2)?, count(3)?))
    };
    let runs: Vec<_> = select.query_map([], run).unwrap().map(Result::unwrap).collect();
    assert_eq!(runs.len(), 3);
    for (physical, packed, entries, keys) in runs {
        let keys_at = packed.len() - 12 * keys;
        let entries_at = keys_at - 16 * entries;
        for (statement, blob) in [
            (
                "UPDATE commit_log SET records = ?2, entries = 0, keys = 0 WHERE physical = ?1",
                &packed[..entries_at],
            ),
            ("UPDATE consume_queue SET entries = ?2 WHERE physical = ?1", &packed[entries_at..keys_at]),
            ("INSERT INTO message_key VALUES(?1, ?2)", &packed[keys_at..]),
        ] {
            assert_eq!(connection.execute(statement, (physical, blob)).unwrap(), 1);
        }
    }
    drop(select);
    connection.execute_batch("PRAGMA user_version = 4;").unwrap();
}

#[tokio::test]
async fn rows_of_the_fourth_format_are_read_and_followed() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, client) = broker_with(on_disk(directory.path())).await;
    client.create_topic("t", 1).await;
    for body in ["a", &large('b'), "c", "d"] {
        client.sent("t", 0, "KEYS\u{1}k\u{2}", body).await;
    }
    broker.stop().await;
    to_format_4(directory.path());

    let (broker, client) = broker_with(on_disk(directory.path())).await;
    client.sent("t", 0, "KEYS\u{1}k\u{2}", "e").await;
    broker.stop().await;

    let (broker, client) = broker_with(on_disk(directory.path())).await;
    assert_eq!(stored(&client, "t").await, "abcde");
    let found = found_by_key(&client).await;
    assert_eq!(firsts(&found), "edcba");
    let physical = |message: &MessageExt| message.physical_offset();
    assert!(found.is_sorted_by(|later, earlier| physical(later) > physical(earlier)));
    for (message, body) in found.iter().zip(["e", "d", "c"]) {
        let place = physical(message).to_string();
        let by_id = client.ask_with(RequestCode::VIEW_MESSAGE_BY_ID, &[("offset", &place)]).await;
        assert_eq!(bodies(&messages(&by_id)), [body]);
    }
    broker.stop().await;
}
