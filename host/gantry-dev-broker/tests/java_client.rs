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

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gantry_apache::{Client, Consumer, DriverError, Installation, Outgoing};
use gantry_dev_broker::BrokerConfig;

use clients::{
    Server, bodies, consumed, eventually, leave, options, owns, requests, timers, transactions, world,
};

scenarios! {
    Installation::for_tests();
    messages_arrive_once_each,
    tags_keys_and_delays_are_kept,
    a_retry_comes_back_after_its_level,
    members_join_and_leave,
    a_killed_member_is_replaced,
    an_orderly_consumer_gets_queues_in_order,
    a_killed_orderly_member_is_replaced_when_its_locks_end,
    an_orderly_consumer_goes_on_after_a_restart,
    sql_selects_messages,
    offsets_survive,
    broadcasts_reach_every_member,
    timers_are_kept,
    transactions_end,
    requests_are_answered,
    bodies_of_any_kind_arrive_equal,
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
fn a_lite_pull_consumer_goes_on_where_it_committed() {
    let Some(program) = Installation::for_tests().unwrap() else { return };
    let (server, mut client) = world(&program, 3);
    client.send_many("topic", "t", "m", 30, 1).unwrap();
    let polled = client.poll("lite", "topic", 30).unwrap();
    assert_eq!(polled.len(), 30);
    client.quit().unwrap();
    let mut client = Client::start(&program, server.address()).unwrap();
    client.send(&Outgoing::new("topic", "next")).unwrap();
    assert_eq!(bodies(&client.poll("lite", "topic", 1).unwrap()), ["next"]);
    client.quit().unwrap();
}

#[test]
fn an_orderly_message_given_back_too_often_is_a_dead_letter() {
    let Some(program) = Installation::for_tests().unwrap() else { return };
    let (server, mut client) = world(&program, 1);
    let options = options("one").orderly().max_reconsume_times(0);
    let mut consumer = Consumer::start(&program, server.address(), &options).unwrap();
    client.send(&Outgoing::new("topic", "later, never")).unwrap();
    client.send(&Outgoing::new("topic", "next")).unwrap();
    assert_eq!(bodies(&consumed(&mut [&mut consumer], 2)), ["later, never", "next"]);
    let letters = eventually("the dead letter", || client.read("%DLQ%g").ok().filter(|all| !all.is_empty()));
    assert_eq!(bodies(&letters), ["later, never"]);
    leave([consumer]);
}

#[test]
fn sql_that_is_none_is_refused_when_the_consumer_starts() {
    let Some(program) = Installation::for_tests().unwrap() else { return };
    let (server, _client) = world(&program, 1);
    let refused = Consumer::start(&program, server.address(), &options("one").sql("price LIKE '5%'"));
    let Err(DriverError::Ended { log }) = refused else { panic!("{refused:?}") };
    let said = std::fs::read_to_string(log).unwrap();
    assert!(said.contains("it should end before LIKE at column 7"), "{said}");
}

#[test]
fn a_recalled_timer_never_comes() {
    let Some(program) = Installation::for_tests().unwrap() else { return };
    let (server, mut client) = world(&program, 1);
    let mut one = Consumer::start(&program, server.address(), &options("one")).unwrap();
    let timer = |body, seconds| Outgoing::new("topic", body).delay(Duration::from_secs(seconds));
    let recalled = client.send(&timer("recalled", 15)).unwrap();
    client.send(&timer("kept", 16)).unwrap();
    assert_eq!(client.recall("topic", &recalled.recall_handle.unwrap()).unwrap(), recalled.msg_id);
    assert_eq!(bodies(&consumed(&mut [&mut one], 1)), ["kept"]);
    assert_eq!(one.consumed(Duration::from_secs(2)).unwrap(), None);
    leave([one]);
}

#[test]
fn a_popping_group_shares_every_queue_and_gets_what_it_gives_back_again() {
    let Some(program) = Installation::for_tests().unwrap() else { return };
    let server = Server::in_memory();
    let mut client = shares(&program, server.address());
    // Everything was settled: who comes next gets what comes next.
    let mut three = Consumer::start(&program, server.address(), &options("three").popping()).unwrap();
    server.advance_clock(Duration::from_secs(3600));
    client.send(&Outgoing::new("topic", "next")).unwrap();
    assert_eq!(bodies(&consumed(&mut [&mut three], 1)), ["next"]);
    leave([three]);
}

/// Two members pop what is sent by the client that is answered.
fn shares(program: &Installation, name_server: SocketAddr) -> Client {
    let mut client = Client::start(program, name_server).unwrap();
    client.create_topic("topic", 2).unwrap();
    let member = |name| Consumer::start(program, name_server, &options(name).popping()).unwrap();
    let (mut one, mut two) = (member("one"), member("two"));
    client.send_many("topic", "t", "m", 60, 1).unwrap();
    client.send(&Outgoing::new("topic", "later, please").tags("t").keys("k")).unwrap();
    // Java hides what is given back for ten seconds the first time. On a busy machine it may come before another.
    let (mut distinct, mut again) = (BTreeSet::new(), None);
    while distinct.len() < 61 || again.is_none() {
        for message in consumed(&mut [&mut one, &mut two], 1) {
            if !distinct.insert(message.body.clone()) && message.body == "later, please" {
                again = Some(message);
            }
        }
    }
    let again = again.unwrap();
    assert_eq!(
        (again.body.as_str(), again.topic.as_str(), again.reconsume_times),
        ("later, please", "topic", 1)
    );
    assert_eq!((again.keys.as_deref(), again.properties["ORIGIN_GROUP"].as_str()), (Some("k"), "g"));
    leave([one, two]);
    client
}

#[test]
fn batches_that_are_kept_together_arrive_message_by_message() {
    let Some(program) = Installation::for_tests().unwrap() else { return };
    let server = Server::in_memory();
    inner_batches(&program, server.address());
}

/// Java sends batches to a topic that keeps each as one record, and gets the messages in order, each with its own offset.
fn inner_batches(program: &Installation, name_server: SocketAddr) {
    let mut client = Client::start(program, name_server).unwrap();
    let create = ["updateTopic", "-c", "DefaultCluster", "-t", "topic", "-r", "1", "-w", "1"];
    let made = client.mqadmin(&[&create[..], &["-a", "+queue.type=BatchCQ"]].concat()).unwrap();
    assert!(made.contains("success"), "{made}");
    client.send_many("topic", "t", "m", 40, 8).unwrap();
    client.send(&Outgoing::new("topic", "alone")).unwrap();
    let mut one = Consumer::start(program, name_server, &options("one").orderly()).unwrap();
    let messages = consumed(&mut [&mut one], 41);
    let mut expected: Vec<_> = (0..40).map(|number| format!("m-{number}")).collect();
    expected.push("alone".to_owned());
    assert_eq!(bodies(&messages), expected);
    assert_eq!(
        messages.iter().map(|message| message.offset).collect::<Vec<_>>(),
        (0..41).collect::<Vec<_>>()
    );
    assert!(messages[..40].iter().all(|message| message.tags.as_deref() == Some("t")));
    leave([one]);
    client.quit().unwrap();
}

/// What these tests expect of the embedded broker is what Apache's does.
#[test]
fn apache_rocketmq_does_the_same() {
    let Some(program) = Installation::for_tests().unwrap() else { return };
    let scenarios: [fn(&Installation, SocketAddr); 5] = [
        |program, name_server| {
            // Apache may ask about ended ones too, and deliver them once more: it notes their end in batches.
            transactions(program, name_server);
        },
        |program, name_server| shares(program, name_server).quit().unwrap(),
        requests,
        timers,
        inner_batches,
    ];
    for scenario in scenarios {
        let directory = tempfile::tempdir().unwrap();
        let options = gantry_apache::Options::new(directory.path())
            .broker_setting("transactionTimeOut", "5000")
            .broker_setting("transactionCheckInterval", "1000")
            .broker_setting("transactionOpBatchInterval", "200");
        let cluster = gantry_apache::Cluster::start(&program, options).unwrap();
        scenario(&program, cluster.name_server());
    }
}

#[test]
fn a_popping_group_in_order_keeps_the_order_of_each_queue() {
    let Some(program) = Installation::for_tests().unwrap() else { return };
    let (server, mut client) = world(&program, 2);
    let options = options("one").popping().orderly();
    let mut one = Consumer::start(&program, server.address(), &options).unwrap();
    let sent: Vec<_> = (0..30).map(|number| format!("m{number}")).collect();
    for body in &sent {
        for queue in 0..2 {
            client.send(&Outgoing::new("topic", body).queue_id(queue)).unwrap();
        }
    }
    let messages = consumed(&mut [&mut one], 60);
    for queue in 0..2 {
        let of_queue = messages.iter().filter(|message| message.queue_id == queue);
        assert_eq!(bodies(&of_queue.cloned().collect::<Vec<_>>()), sent, "queue {queue}");
    }
    leave([one]);
}

#[test]
fn a_popping_member_that_is_killed_loses_nothing() {
    let Some(program) = Installation::for_tests().unwrap() else { return };
    let (server, mut client) = world(&program, 2);
    let slow = options("one").popping().pause(Duration::from_secs(60));
    let one = Consumer::start(&program, server.address(), &slow).unwrap();
    client.send_many("topic", "t", "m", 20, 1).unwrap();
    eventually("the first member has popped", || {
        let progress = client.progress("g").ok()?;
        let of_topic = progress.iter().filter(|progress| progress.queue.topic == "topic");
        (of_topic.map(|progress| progress.consumer_offset).sum::<i64>() == 20).then_some(())
    });
    drop(one);
    let mut two = Consumer::start(&program, server.address(), &options("two").popping()).unwrap();
    server.advance_clock(Duration::from_secs(61));
    let messages = consumed(&mut [&mut two], 20);
    assert!(messages.iter().all(|message| message.reconsume_times == 1), "{messages:?}");
    leave([two]);
}

#[test]
fn a_consumer_begins_at_the_second_it_names() {
    let Some(program) = Installation::for_tests().unwrap() else { return };
    // Otherwise any group without offsets would begin such young queues at their beginning.
    let server = Server::start(BrokerConfig { tail_cache_bytes: 1, ..BrokerConfig::default() });
    let mut client = Client::start(&program, server.address()).unwrap();
    client.create_topic("topic", 2).unwrap();
    let mut send = |body: &str| {
        for queue in 0..2 {
            client.send(&Outgoing::new("topic", body).queue_id(queue)).unwrap();
        }
    };
    send("before");
    // Java names whole seconds; the broker finds the first message stored in this one or later.
    std::thread::sleep(Duration::from_millis(1100));
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    send("after");
    let options = options("one").from_time(since);
    let mut one = Consumer::start(&program, server.address(), &options).unwrap();
    assert_eq!(bodies(&consumed(&mut [&mut one], 2)), ["after", "after"]);
    leave([one]);
}
