//! Bad bytes, slow readers, full stores, bounds, and refusals to start.

use std::time::Duration;

use gantry_dev_broker::{Broker, BrokerConfig, FsyncPolicy, Limits, StartError, Storage, Timing};
use gantry_protocol::{RequestCode, ResponseCode};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::client::{Client, bodies, broker, broker_with, eventually, field, in_memory, messages};

#[tokio::test]
async fn bad_bytes_close_that_connection_and_no_other() {
    let (broker, bystander) = broker().await;
    let bad: [&[u8]; 6] = [
        // Longer than 16 MiB; a header longer than its frame; no room for a header; an unknown header type; JSON that is
        // none; the start of TLS.
        &[0x01, 0x00, 0x00, 0x01, 0, 0, 0, 0],
        &[0, 0, 0, 8, 0, 0, 0, 99, 1, 2, 3, 4],
        &[0, 0, 0, 2, 0, 0],
        &[0, 0, 0, 8, 9, 0, 0, 4, 1, 2, 3, 4],
        &[0, 0, 0, 8, 0, 0, 0, 4, b'{', b'x', b'x', b'}'],
        &[0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01],
    ];
    for (index, bytes) in bad.iter().enumerate() {
        let client = Client::connect(broker.local_addr()).await;
        client.write(bytes).await;
        client.closed().await;
        eventually("the bad frame is counted", async || broker.stats().bad_frames == index as u64 + 1).await;
    }
    let cut = Client::connect(broker.local_addr()).await;
    cut.write(&[0, 0, 0, 100, 0, 0]).await;
    cut.shut_down().await;
    eventually("the cut frame is counted", async || broker.stats().bad_frames == 7).await;
    bystander.sent("t", 0, "", "still here").await;
    eventually("the bystander is left", async || broker.stats().connections == 1).await;
}

#[tokio::test]
async fn a_request_with_a_bad_field_is_refused_and_the_connection_stays() {
    let (_broker, client) = broker().await;
    for code in [
        RequestCode::PULL_MESSAGE,
        RequestCode::SEND_MESSAGE_V2,
        RequestCode::UPDATE_CONSUMER_OFFSET,
        RequestCode::LOCK_BATCH_MQ,
    ] {
        let reply = client.ask_with(code, &[("queueId", "not a number")]).await;
        assert_eq!(reply.response_code(), ResponseCode::SYSTEM_ERROR, "{code}");
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_is_closed_at_its_bound() {
    let limits = Limits { output_bytes: 256 * 1024, ..Limits::default() };
    let (broker, client) = broker_with(BrokerConfig { limits, ..in_memory() }).await;
    client.create_topic("t", 1).await;
    client.sent("t", 0, "", &"x".repeat(200_000)).await;
    let mut silent = TcpStream::connect(broker.local_addr()).await.unwrap();
    let header = crate::client::pull_header("g", "t", 0, 0);
    let mut frame = bytes::BytesMut::new();
    gantry_protocol::RemotingCommand::request(RequestCode::PULL_MESSAGE, &header).encode(&mut frame).unwrap();
    // Some 100 MB of replies: more than any socket buffer takes.
    for _ in 0..500 {
        if silent.write_all(&frame).await.is_err() {
            break;
        }
    }
    eventually("the slow reader is closed", async || broker.stats().slow_readers == 1).await;
    assert_eq!(messages(&client.pull("g", "t", 0, 0).await).len(), 1);
}

#[tokio::test]
async fn connections_have_a_bound() {
    let limits = Limits { connections: 1, ..Limits::default() };
    let (broker, client) = broker_with(BrokerConfig { limits, ..in_memory() }).await;
    client.create_topic("t", 1).await;
    let other = Client::connect(broker.local_addr()).await;
    other.closed().await;
    assert_eq!(broker.stats().turned_away, 1);
    client.sent("t", 0, "", "x").await;
}

#[tokio::test]
async fn topics_have_a_bound() {
    let limits = Limits { topics: 8, ..Limits::default() };
    let (_broker, client) = broker_with(BrokerConfig { limits, ..in_memory() }).await;
    client.sent("one", 0, "", "x").await;
    let refused = client.send("two", 0, "", "x").await;
    assert_eq!(refused.response_code(), ResponseCode::SYSTEM_ERROR);
    client.sent("one", 0, "", "x").await;
}

async fn fills_and_recovers(storage: Storage) {
    let config =
        BrokerConfig { storage, max_store_bytes: Some(2 * 1024 * 1024), tail_cache_bytes: 1, ..in_memory() };
    let (broker, client) = broker_with(config).await;
    client.create_topic("keep", 1).await;
    client.create_topic("fill", 1).await;
    client.sent("keep", 0, "", "acknowledged").await;
    let large = "x".repeat(50_000);
    let mut stored = 0;
    let refused = loop {
        let reply = client.send("fill", 0, "", &large).await;
        if reply.response_code() != ResponseCode::SUCCESS {
            break reply;
        }
        stored += 1;
        assert!(stored < 1000, "the store never fills");
    };
    assert_eq!(refused.response_code(), ResponseCode::SERVICE_NOT_AVAILABLE);
    assert!(refused.remark.unwrap().contains("full"));
    assert!(broker.stats().writes_refused > 0);
    // What was acknowledged is there, no gap where the refused one would be.
    assert_eq!(bodies(&messages(&client.pull("g", "keep", 0, 0).await)), ["acknowledged"]);
    let max = client.ask_with(RequestCode::GET_MAX_OFFSET, &[("topic", "fill"), ("queueId", "0")]).await;
    assert_eq!(field(&max, "offset"), stored.to_string());
    assert_eq!(messages(&client.pull("g", "fill", 0, stored - 1).await).len(), 1);
    // Space returns when a topic is deleted.
    let deleted = client.ask_with(RequestCode::DELETE_TOPIC_IN_BROKER, &[("topic", "fill")]).await;
    assert_eq!(deleted.response_code(), ResponseCode::SUCCESS, "{:?}", deleted.remark);
    client.sent("keep", 0, "", &large).await;
    assert_eq!(messages(&client.pull("g", "keep", 0, 0).await).len(), 2);
    broker.stop().await;
}

#[tokio::test]
async fn a_full_store_refuses_sends_keeps_what_it_has_and_recovers() {
    fills_and_recovers(Storage::InMemory).await;
    let directory = tempfile::tempdir().unwrap();
    fills_and_recovers(Storage::Directory { path: directory.path().into(), fsync: FsyncPolicy::Os }).await;
}

#[tokio::test]
async fn a_scheduled_message_that_finds_the_store_full_is_delivered_when_space_returns() {
    let config = BrokerConfig {
        max_store_bytes: Some(2 * 1024 * 1024),
        delay_levels: vec![Duration::from_secs(3600)],
        ..in_memory()
    };
    let (broker, client) = broker_with(config).await;
    client.create_topic("t", 1).await;
    client.create_topic("fill", 1).await;
    // Large enough that it does not fit the rest that is left when sends of its size are refused.
    let large = "x".repeat(50_000);
    client.sent("t", 0, "DELAY\u{1}1\u{2}", &large).await;
    while client.send("fill", 0, "", &large).await.response_code() == ResponseCode::SUCCESS {}
    let refused = broker.stats().writes_refused;
    broker.advance_clock(Duration::from_secs(3601));
    eventually("the delivery is refused", async || broker.stats().writes_refused > refused).await;
    assert!(messages(&client.pull("g", "t", 0, 0).await).is_empty());
    client.ask_with(RequestCode::DELETE_TOPIC_IN_BROKER, &[("topic", "fill")]).await;
    assert_eq!(client.wait_for("t", 0, 1).await[0].queue_offset(), 0);
}

#[tokio::test]
async fn names_that_nobody_may_have_make_no_topics() {
    let (_broker, client) = broker().await;
    let reply = client.heartbeat("c", "bad group", &[("t", "*", 1)]).await;
    assert_eq!(reply.response_code(), ResponseCode::INVALID_PARAMETER);
    let route = client.ask_with(RequestCode::GET_ROUTEINFO_BY_TOPIC, &[("topic", "%RETRY%bad group")]).await;
    assert_eq!(route.response_code(), ResponseCode::TOPIC_NOT_EXIST);
    let blank = client.heartbeat("c", "", &[("t", "*", 1)]).await;
    assert_eq!(blank.response_code(), ResponseCode::SUCCESS);
    let route = client.ask_with(RequestCode::GET_ROUTEINFO_BY_TOPIC, &[("topic", "%RETRY%")]).await;
    assert_eq!(route.response_code(), ResponseCode::TOPIC_NOT_EXIST);
}

async fn start_error(config: BrokerConfig) -> StartError {
    Broker::start(config).await.expect_err("it started")
}

#[tokio::test]
async fn what_prevents_a_start_is_named() {
    let (broker, _client) = broker().await;
    let taken = start_error(BrokerConfig { listen: broker.local_addr(), ..in_memory() }).await;
    assert!(
        matches!(&taken, StartError::Listen { address, .. } if *address == broker.local_addr()),
        "{taken}"
    );

    let directory = tempfile::tempdir().unwrap();
    let at = |path: &std::path::Path| {
        let storage = Storage::Directory { path: path.into(), fsync: FsyncPolicy::Os };
        BrokerConfig { storage, ..in_memory() }
    };
    let holder = Broker::start(at(directory.path())).await.unwrap();
    let held = start_error(at(directory.path())).await;
    assert!(matches!(held, StartError::DataDirectoryHeld { .. }), "{held}");
    holder.stop().await;
    Broker::start(at(directory.path())).await.unwrap().stop().await;

    let file = directory.path().join("file");
    std::fs::write(&file, "not a directory").unwrap();
    let unusable = start_error(at(&file)).await;
    assert!(matches!(unusable, StartError::DataDirectory { .. }), "{unusable}");

    let damaged = tempfile::tempdir().unwrap();
    std::fs::write(
        damaged.path().join("store.db"),
        "this is no database, not at all, and long enough to see",
    )
    .unwrap();
    let refused = start_error(at(damaged.path())).await;
    assert!(matches!(refused, StartError::Store { .. }), "{refused}");

    let no_levels = start_error(BrokerConfig { delay_levels: Vec::new(), ..in_memory() }).await;
    assert!(matches!(no_levels, StartError::Config { setting: "delay_levels", .. }), "{no_levels}");
}

#[tokio::test]
async fn a_stopped_broker_has_given_its_last_replies_and_its_port() {
    let timing = Timing { drain: Duration::from_secs(60), ..Timing::default() };
    let (broker, client) = broker_with(BrokerConfig { timing, ..in_memory() }).await;
    client.create_topic("t", 1).await;
    let address = broker.local_addr();
    let mut replies = Vec::new();
    for _ in 0..50 {
        replies.push(client.start(crate::client::send_request("t", 0, "", "x")).await);
    }
    client.sent("t", 0, "", "last").await;
    broker.stop().await;
    for reply in replies {
        assert_eq!(crate::client::reply(reply).await.response_code(), ResponseCode::SUCCESS);
    }
    client.closed().await;
    let again = Broker::start(BrokerConfig { listen: address, ..in_memory() }).await.unwrap();
    again.stop().await;
    assert!(
        tokio::time::timeout(Duration::from_secs(60), TcpStream::connect(address)).await.unwrap().is_err()
    );
}
