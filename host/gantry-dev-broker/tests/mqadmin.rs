//! Apache's mqadmin shows and drives a consumer through the embedded broker.
//!
//! These tests need Java and Maven. Without them they are skipped with a note, unless `GANTRY_REQUIRE_ROCKETMQ` is set.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "tests"
)]

mod clients;

use std::collections::BTreeSet;

use gantry_apache::{Client, Consumer, Installation, Outgoing};
use gantry_dev_broker::BrokerConfig;

use clients::{Server, consumed, eventually, leave, options, owns, settled, world};

/// Runs a command of mqadmin, which must say all of this.
fn says(client: &mut Client, arguments: &[&str], expected: &[&str]) -> String {
    let text = client.mqadmin(arguments).unwrap();
    for part in expected {
        assert!(text.contains(part), "{arguments:?} does not say {part:?} but: {text}");
    }
    text
}

/// Waits until the group has committed all ten messages of `topic`.
fn all_committed(client: &mut Client) {
    eventually("the group has committed all", || {
        let progress = client.progress("g").ok()?;
        let of_topic: Vec<_> = progress.iter().filter(|progress| progress.queue.topic == "topic").collect();
        let done = of_topic.iter().all(|progress| progress.consumer_offset == progress.broker_offset);
        (done && of_topic.iter().map(|progress| progress.broker_offset).sum::<i64>() == 10).then_some(())
    });
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
    all_committed(&mut client);

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
    all_committed(&mut client);
    let address = server.address().to_string();
    // A producer is known from its first heartbeat on, which Java sends within half a minute.
    eventually("the producer is known", || {
        let text =
            client.mqadmin(&["producerConnection", "-g", "gantry-driver-producer", "-t", "topic"]).ok()?;
        (text.contains("JAVA") && text.contains("127.0.0.1")).then_some(())
    });
    let mut says = |arguments: &[&str], expected: &[&str]| says(&mut client, arguments, expected);
    says(&["topicList"], &["topic", "%RETRY%g"]);
    says(&["clusterList"], &["DefaultCluster", "gantry-broker", &address]);
    says(&["topicRoute", "-t", "topic"], &["gantry-broker", &address]);
    says(&["topicStatus", "-t", "topic"], &["gantry-broker"]);
    says(&["consumerProgress"], &["#Group", "g ", "PUSH", "CLUSTERING"]);
    says(&["consumerProgress", "-g", "g"], &["topic", "gantry-broker", "Consume Diff Total: 0"]);
    says(&["consumerProgress", "-g", "g", "-s", "true"], &["#Client IP", "127.0.0.1"]);
    says(
        &["consumerConnection", "-g", "g"],
        &[one.client_id(), "JAVA", "topic", "CONSUME_FROM_FIRST_OFFSET"],
    );
    says(&["getConsumerConfig", "-g", "g"], &["DefaultCluster:gantry-broker", "retryMaxTimes"]);
    says(&["consumeMessage", "-t", "topic", "-g", "reader"], &["Consume ok", "m-0"]);
    says(&["brokerStatus", "-b", &address], &["brokerVersionDesc"]);
    says(&["getBrokerConfig", "-b", &address], &["brokerName", "gantry-broker", "messageDelayLevel"]);
    says(&["producer", "-b", &address], &["gantry-driver-producer"]);
    says(&["updateKvConfig", "-s", "space", "-k", "key", "-v", "value"], &["success"]);
    says(&["deleteKvConfig", "-s", "space", "-k", "key"], &["success"]);
    says(&["updateOrderConf", "-m", "put", "-t", "topic", "-v", "gantry-broker:2"], &["success"]);
    says(&["updateOrderConf", "-m", "get", "-t", "topic"], &["gantry-broker:2"]);
    says(&["cleanExpiredCQ", "-b", &address], &["success"]);
    says(&["cleanUnusedTopic", "-b", &address], &["success"]);
    says(&["updateSubGroup", "-b", &address, "-g", "clone"], &["success"]);
    says(&["cloneGroupOffset", "-s", "g", "-d", "clone", "-t", "topic"], &["clone group offset success"]);
    says(&["consumerProgress", "-g", "clone"], &["Consume Diff Total: 0"]);
    says(&["brokerConsumeStats", "-b", &address, "-l", "-1"], &["topic", "g ", "Diff Total: "]);
    says(&["getColdDataFlowCtrInfo", "-b", &address], &["CODE: 3", "not supported"]);
    leave([one]);
}

#[test]
fn mqadmin_looks_into_the_members_of_a_group() {
    let Some(program) = Installation::for_tests().unwrap() else { return };
    let (server, mut client) = world(&program, 4);
    let start = |name| Consumer::start(&program, server.address(), &options(name)).unwrap();
    let (mut one, mut two) = (start("one"), start("two"));
    owns(&mut one, "topic", 2);
    owns(&mut two, "topic", 2);
    client.send_many("topic", "t", "m", 10, 1).unwrap();
    consumed(&mut [&mut one, &mut two], 10);
    all_committed(&mut client);
    let mut says = |arguments: &[&str], expected: &[&str]| says(&mut client, arguments, expected);
    let both = [one.client_id(), two.client_id()];
    says(&["consumerStatus", "-g", "g"], &[both[0], both[1], "Same subscription", "Rebalance OK"]);
    says(
        &["consumerStatus", "-g", "g", "-i", both[0], "-s"],
        &["#Consumer Subscription#", "#Consumer Offset#", "#Consumer jstack#"],
    );
    let positions = client.positions("g", "topic", None).unwrap();
    assert_eq!(positions.iter().map(|position| position.offset).sum::<i64>(), 10, "{positions:?}");
    let members: BTreeSet<_> = positions.iter().map(|position| position.client_id.as_str()).collect();
    assert_eq!(members, BTreeSet::from(both));
    let of_two = client.positions("g", "topic", Some(both[1])).unwrap();
    assert!(of_two.len() == 2 && of_two.iter().all(|position| position.client_id == both[1]), "{of_two:?}");
    leave([one, two]);
}

#[test]
fn mqadmin_lets_a_member_consume_a_message_again() {
    let Some(program) = Installation::for_tests().unwrap() else { return };
    let (server, mut client) = world(&program, 1);
    let mut one = Consumer::start(&program, server.address(), &options("one")).unwrap();
    let sent = client.send(&Outgoing::new("topic", "again")).unwrap();
    consumed(&mut [&mut one], 1);
    settled(&mut one);
    for (command, id) in [("queryMsgById", &sent.offset_msg_id), ("queryMsgByUniqueKey", &sent.msg_id)] {
        let id: &str = id;
        let arguments = [command, "-i", id, "-t", "topic", "-g", "g", "-d", one.client_id()];
        says(&mut client, &arguments, &["CR_SUCCESS"]);
        assert_eq!(consumed(&mut [&mut one], 1)[0].body, "again");
    }
    leave([one]);
}

/// Resets the group to the beginning, and it consumes everything again.
fn resets(server_side_reset: bool) {
    let Some(program) = Installation::for_tests().unwrap() else { return };
    let server = Server::start(BrokerConfig { server_side_reset, ..BrokerConfig::default() });
    let mut client = Client::start(&program, server.address()).unwrap();
    client.create_topic("topic", 2).unwrap();
    let mut one = Consumer::start(&program, server.address(), &options("one")).unwrap();
    client.send_many("topic", "t", "m", 10, 1).unwrap();
    consumed(&mut [&mut one], 10);
    all_committed(&mut client);
    says(
        &mut client,
        &["resetOffsetByTime", "-g", "g", "-t", "topic", "-s", "1"],
        &["gantry-broker", "#offset"],
    );
    assert_eq!(consumed(&mut [&mut one], 10).len(), 10, "everything again");
    leave([one]);
    // Nobody is there now: the broker stores the offsets, or mqadmin does.
    says(&mut client, &["resetOffsetByTime", "-g", "g", "-t", "topic", "-s", "1"], &["gantry-broker"]);
    let mut two = Consumer::start(&program, server.address(), &options("two")).unwrap();
    assert_eq!(consumed(&mut [&mut two], 10).len(), 10, "everything once more");
    leave([two]);
}

#[test]
fn mqadmin_resets_offsets_by_the_broker() {
    resets(true);
}

#[test]
fn mqadmin_resets_offsets_by_the_members() {
    resets(false);
}
