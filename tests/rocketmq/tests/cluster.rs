//! Servers and Java clients come up, do what the library says, and go.
//!
//! These tests need Java and Maven. Without them they are skipped with a note, unless `GANTRY_REQUIRE_ROCKETMQ` is set.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use gantry_apache::{Client, Cluster, Consumer, ConsumerOptions, Installation, Options, Outgoing};
use std::time::{Duration, Instant};

fn installation() -> Option<Installation> {
    Installation::for_tests().unwrap()
}

/// Looks again and again, for 3 min at most: Java's first heartbeat alone may stall it for 30 s.
fn eventually<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(180);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within 3 min");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_java_group_shares_a_topic_consumes_and_retries() {
    let Some(installation) = installation() else { return };
    let directory = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(&installation, Options::new(directory.path())).unwrap();
    let mut client = Client::start(&installation, cluster.name_server()).unwrap();
    client.create_topic("greetings", 4).unwrap();
    client.create_group("greeters", 16).unwrap();

    let member = |instance| {
        let options = ConsumerOptions::new("greeters", "greetings").tags("a || b").instance(instance);
        Consumer::start(&installation, cluster.name_server(), &options).unwrap()
    };
    let (mut one, mut two) = (member("one"), member("two"));
    assert_eq!(one.client_id(), "127.0.0.1@one");
    let greetings = |consumer: &mut Consumer| {
        consumer.queues().unwrap().into_iter().filter(|queue| queue.topic == "greetings").count()
    };
    eventually(|| (greetings(&mut one) == 2 && greetings(&mut two) == 2).then_some(()));
    assert_eq!(client.members("greeters").unwrap().len(), 2);

    let message =
        Outgoing::new("greetings", "later, please").tags("a").keys("k1 k2").property("colour", "blue");
    let sent = client.send(&message.queue_id(3)).unwrap();
    assert_eq!((sent.status.as_str(), sent.queue_id, sent.offset), ("SEND_OK", 3, 0));
    let first = eventually(|| two.consumed(Duration::from_millis(10)).unwrap());
    assert_eq!((first.msg_id.as_str(), first.reconsume_times), (sent.msg_id.as_str(), 0));
    assert_eq!((first.keys.as_deref(), first.properties["colour"].as_str()), (Some("k1 k2"), "blue"));

    let again = eventually(|| client.read("%RETRY%greeters").ok()?.pop());
    assert_eq!((again.body.as_str(), again.reconsume_times), ("later, please", 1));
    assert_eq!(client.read("greetings").unwrap().len(), 1);
    one.quit().unwrap();
    eventually(|| (greetings(&mut two) == 4).then_some(()));
}

#[test]
fn a_killed_broker_comes_back_with_what_it_had() {
    let Some(installation) = installation() else { return };
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(&installation, Options::new(directory.path()).brokers(2)).unwrap();
    assert_eq!(
        cluster.brokers().iter().map(|broker| broker.name()).collect::<Vec<_>>(),
        ["broker-a", "broker-b"]
    );
    let mut client = Client::start(&installation, cluster.name_server()).unwrap();
    client.create_topic("kept", 1).unwrap();
    client.send_many("kept", "t", "m", 10, 1).unwrap();
    assert_eq!(client.read("kept").unwrap().len(), 10);

    let before = cluster.brokers()[0].process_id();
    cluster.kill_broker(0);
    assert_eq!(cluster.brokers()[0].process_id(), None);
    cluster.start_broker(0).unwrap();
    assert_ne!(cluster.brokers()[0].process_id(), before);
    let all = eventually(|| client.read("kept").ok().filter(|kept| kept.len() == 10));
    assert!(all.iter().any(|message| message.body == "m-9"));
    assert!(client.mqadmin(&["topicList"]).unwrap().contains("kept"));
}
