//! Apache's Java client, and mqadmin with it, use the embedded broker.
//!
//! These tests need Java and Maven. Without them they are skipped with a note, unless `GANTRY_REQUIRE_ROCKETMQ` is set.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    unreachable_pub,
    missing_docs,
    reason = "tests"
)]

mod clients;

use gantry_apache::{Consumer, Installation, Outgoing};

use clients::{bodies, consumed, eventually, leave, options, owns, settled, world};

scenarios! {
    Installation::for_tests();
    messages_arrive_once_each,
    tags_keys_and_delays_are_kept,
    a_retry_comes_back_after_its_level,
    members_join_and_leave,
    a_killed_member_is_replaced,
    an_orderly_consumer_gets_queues_in_order,
    offsets_survive,
    broadcasts_reach_every_member,
}

// The Go client does not unlock a queue that it loses to another member.
#[test]
fn an_orderly_queue_changes_hands() {
    let Some(program) = Installation::for_tests().unwrap() else { return };
    let (server, mut client) = world(&program, 2);
    let member = |name| Consumer::start(&program, server.address(), &options(name).orderly()).unwrap();
    let mut one = member("one");
    owns(&mut one, "topic", 2);
    let mut two = member("two");
    owns(&mut one, "topic", 1);
    owns(&mut two, "topic", 1);
    let mut send = |range: std::ops::Range<usize>| {
        let sent: Vec<_> = range.map(|number| format!("b{number}")).collect();
        for body in &sent {
            client.send(&Outgoing::new("topic", body).queue_id(1)).unwrap();
        }
        sent
    };
    let sent = send(0..10);
    assert_eq!(bodies(&consumed(&mut [&mut two], 10)), sent);
    leave([two]);
    owns(&mut one, "topic", 2);
    let sent = send(10..20);
    assert_eq!(bodies(&consumed(&mut [&mut one], 10)), sent);
    leave([one]);
}

#[test]
fn a_message_given_back_too_often_is_a_dead_letter() {
    let Some(program) = Installation::for_tests().unwrap() else { return };
    let (server, mut client) = world(&program, 2);
    let options = options("one").max_reconsume_times(0);
    let mut consumer = Consumer::start(&program, server.address(), &options).unwrap();
    client.send(&Outgoing::new("topic", "later, never").keys("k")).unwrap();
    consumed(&mut [&mut consumer], 1);
    let letters = eventually("the dead letter", || client.read("%DLQ%g").ok().filter(|all| !all.is_empty()));
    assert_eq!(
        (letters.len(), letters[0].body.as_str(), letters[0].keys.as_deref()),
        (1, "later, never", Some("k"))
    );
    leave([consumer]);
}

#[test]
fn a_pull_consumer_reads_a_topic_from_end_to_end() {
    let Some(program) = Installation::for_tests().unwrap() else { return };
    let (_server, mut client) = world(&program, 3);
    client.send_many("topic", "t", "m", 90, 1).unwrap();
    let messages = client.read("topic").unwrap();
    for queue in 0..3 {
        let of_queue = messages.iter().filter(|message| message.queue_id == queue);
        let offsets: Vec<_> = of_queue.map(|message| message.offset).collect();
        assert_eq!(offsets, (0..30).collect::<Vec<_>>(), "queue {queue}");
    }
    client.quit().unwrap();
}

#[test]
fn the_administrator_sees_members_progress_and_running_consumers_and_sets_offsets() {
    let Some(program) = Installation::for_tests().unwrap() else { return };
    let (server, mut client) = world(&program, 2);
    let mut one = Consumer::start(&program, server.address(), &options("one")).unwrap();
    owns(&mut one, "topic", 2);
    client.send_many("topic", "t", "m", 10, 1).unwrap();
    consumed(&mut [&mut one], 10);
    settled(&mut one);
    assert_eq!(client.members("g").unwrap(), [one.client_id()]);
    let (queues, text) = client.running_info("g", one.client_id()).unwrap();
    assert_eq!(queues.iter().filter(|queue| queue.topic == "topic").count(), 2, "{text}");
    let done = || {
        let progress = client.progress("g").ok()?;
        let of_topic: Vec<_> = progress.iter().filter(|progress| progress.queue.topic == "topic").collect();
        let done = of_topic.iter().all(|progress| progress.consumer_offset == progress.broker_offset);
        (done && of_topic.iter().map(|progress| progress.broker_offset).sum::<i64>() == 10).then_some(())
    };
    eventually("the group has committed all", done);

    client.reset_offset("g", "topic", 0).unwrap();
    assert_eq!(consumed(&mut [&mut one], 10).len(), 10, "everything again");
    leave([one]);
}

#[test]
fn mqadmin_prints_what_is_there_and_says_what_is_not_supported() {
    let Some(program) = Installation::for_tests().unwrap() else { return };
    let (server, mut client) = world(&program, 2);
    let mut one = Consumer::start(&program, server.address(), &options("one")).unwrap();
    client.send_many("topic", "t", "m", 10, 1).unwrap();
    consumed(&mut [&mut one], 10);
    // As on every broker, a group has progress from its first commit on, which Java makes after ten seconds.
    eventually("the group has progress", || {
        let progress = client.progress("g").ok()?;
        progress.iter().any(|progress| progress.queue.topic == "topic").then_some(())
    });
    let address = server.address().to_string();
    let mut says = |arguments: &[&str], expected: &[&str]| {
        let text = client.mqadmin(arguments).unwrap();
        println!("{arguments:?}: {text}");
        for part in expected {
            assert!(text.contains(part), "{arguments:?} does not say {part:?} but: {text}");
        }
    };
    says(&["topicList"], &["topic", "%RETRY%g"]);
    says(&["clusterList"], &["GantryCluster", "gantry-broker", &address]);
    says(&["topicRoute", "-t", "topic"], &["gantry-broker", &address]);
    says(&["topicStatus", "-t", "topic"], &["gantry-broker"]);
    says(&["consumerProgress", "-g", "g"], &["topic", "gantry-broker", "Diff Total"]);
    says(&["consumerConnection", "-g", "g"], &[one.client_id(), "topic"]);
    says(&["brokerStatus", "-b", &address], &["brokerVersionDesc"]);
    says(&["getBrokerConfig", "-b", &address], &["CODE: 3", "not supported"]);
    says(&["brokerConsumeStats", "-b", &address], &["CODE: 3", "not supported"]);
    leave([one]);
}
