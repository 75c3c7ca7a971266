//! The command line's tools for operators, beside RocketMQ's own.

use std::collections::BTreeMap;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use gantry_apache::{Client, Consumer, ConsumerOptions, Outgoing, Progress, Queue, Stored};
use gantry_protocol::header::ConsumerSendMsgBackRequestHeader;
use gantry_protocol::message_id::parse_offset_msg_id;
use gantry_suite::{HostUnderTest, World, eventually, eventually_within, installation, program, that};
use serde_json::Value;

gantry_suite::scenarios! {
    progress_and_members_are_those_that_java_sees,
    a_reset_moves_running_members_of_both_kinds,
    offsets_cloned_into_a_new_group_are_where_it_begins,
    a_replay_that_was_stopped_is_consumed_once_each,
    a_message_is_shown_as_mqadmin_shows_it,
    a_topic_that_is_deleted_is_gone_for_java_too,
}

/// A reset waits at the broker for the queue's next pull, which may be held for 15 s.
const RESETTING: Duration = Duration::from_secs(180);
const MESSAGES: usize = 20;

fn gantry(world: &World, arguments: &[&str]) -> Command {
    let mut command = Command::new(program("gantry"));
    command.args(arguments).env("GANTRY_NAME_SERVER", world.cluster.name_server()).env_remove("GANTRY_LOG");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(world: &World, arguments: &[&str]) -> Output {
    tokio::task::block_in_place(|| gantry(world, arguments).output()).unwrap()
}

fn says(world: &World, arguments: &[&str]) -> String {
    let output = run(world, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn json(world: &World, arguments: &[&str]) -> Value {
    let said = says(world, &[arguments, &["--json"]].concat());
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{arguments:?} {error}: {said}"))
}

fn java_client(world: &World) -> Option<Client> {
    let installation = installation()?;
    let address = world.cluster.address();
    Some(tokio::task::block_in_place(|| Client::start(&installation, address)).unwrap())
}

fn java_consumer(world: &World, group: &str, topic: &str) -> Option<Consumer> {
    let installation = installation()?;
    let options = ConsumerOptions::new(group, topic).instance(group);
    let address = world.cluster.address();
    Some(tokio::task::block_in_place(|| Consumer::start(&installation, address, &options)).unwrap())
}

/// Takes what Java consumes until each of these bodies was there so many times.
async fn consumed_by_java(java: &mut Consumer, bodies: &[String], times: usize) -> Vec<Stored> {
    let mut all: Vec<Stored> = Vec::new();
    eventually_within(RESETTING, "Java consumes everything", async || {
        while let Some(message) = tokio::task::block_in_place(|| java.consumed(Duration::ZERO)).unwrap() {
            all.push(message);
        }
        let of = |body: &String| all.iter().filter(|message| message.body == *body).count();
        that(bodies.iter().all(|body| of(body) >= times), || {
            format!("{} of {}", all.len(), bodies.len() * times)
        })
    })
    .await;
    all
}

fn bodies() -> Vec<String> {
    (0..MESSAGES).map(|number| format!("ok {number}")).collect()
}

async fn progress_and_members_are_those_that_java_sees(world: World) {
    let (topic, group) = (world.topic("t", 4).await, world.name("g"));
    let Some(mut java) = java_client(&world) else { return };
    let Some(mut member) = java_consumer(&world, &group, &topic) else { return };
    let host = world.host_with("scripted", &group, &topic).with_file("scripted", "scripted").start().await;
    host.active("scripted").await;
    eventually_within(RESETTING, "both own queues", async || {
        let owned = tokio::task::block_in_place(|| member.queues()).unwrap();
        let javas = owned.iter().filter(|queue| queue.topic == topic).count();
        that((javas, host.queues(&group, &topic).len()) == (2, 2), || format!("{owned:?}"))
    })
    .await;
    world.cluster.send_many(&topic, MESSAGES).await;
    world.cluster.all_committed(&group, &topic).await;

    let shown = json(&world, &["group", "progress", &group]);
    let ours: BTreeMap<Queue, (i64, i64)> = shown["queues"]
        .as_array()
        .unwrap()
        .iter()
        .map(|queue| {
            let text = |name: &str| queue[name].as_str().unwrap().to_owned();
            let number = |name: &str| queue[name].as_i64().unwrap();
            let queue_id = i32::try_from(number("queueId")).unwrap();
            let queue = Queue { topic: text("topic"), broker: text("brokerName"), queue_id };
            (queue, (number("brokerOffset"), number("consumerOffset")))
        })
        .collect();
    let javas = tokio::task::block_in_place(|| java.progress(&group)).unwrap();
    let javas: BTreeMap<_, _> = javas
        .into_iter()
        .map(|Progress { queue, broker_offset, consumer_offset }| (queue, (broker_offset, consumer_offset)))
        .collect();
    assert_eq!(ours, javas);
    assert_eq!(ours.keys().filter(|queue| queue.topic == topic).count(), 4);
    assert_eq!(shown["lag"], 0);

    let shown = json(&world, &["group", "members", &group]);
    let mut ours: Vec<_> = shown["members"]
        .as_array()
        .unwrap()
        .iter()
        .map(|member| member["clientId"].as_str().unwrap())
        .collect();
    ours.sort_unstable();
    let mut javas = tokio::task::block_in_place(|| java.members(&group)).unwrap();
    javas.sort_unstable();
    assert_eq!(ours, javas);
    assert_eq!(ours.len(), 2);
    let listed = json(&world, &["group", "list"]);
    let line = listed.as_array().unwrap().iter().find(|line| line["group"] == group.as_str()).unwrap();
    assert_eq!(
        (&line["members"], &line["lag"], &line["messageModel"]),
        (&2.into(), &0.into(), &"CLUSTERING".into())
    );
    tokio::task::block_in_place(|| member.quit()).unwrap();
    host.stop().await;
    world.cluster.end().await;
}

/// To the begin by time, and to one offset by queue.
async fn a_reset_moves_running_members_of_both_kinds(world: World) {
    let topic = world.topic("t", 2).await;
    let (of_java, of_gantry) = (world.name("java"), world.name("gantry"));
    let Some(mut java) = java_consumer(&world, &of_java, &topic) else { return };
    let host =
        world.host_with("scripted", &of_gantry, &topic).with_file("scripted", "scripted").start().await;
    world.cluster.send_many(&topic, MESSAGES).await;
    host.consumed(MESSAGES).await;
    consumed_by_java(&mut java, &bodies(), 1).await;
    for group in [&of_java, &of_gantry] {
        world.cluster.all_committed(group, &topic).await;
        let dry = json(&world, &["group", "reset", group, "--topic", &topic, "--to", "begin"]);
        let repeated: i64 =
            dry["queues"].as_array().unwrap().iter().map(|queue| queue["repeated"].as_i64().unwrap()).sum();
        assert_eq!(repeated, i64::try_from(MESSAGES).unwrap());
        world.cluster.all_committed(group, &topic).await;
        says(&world, &["group", "reset", group, "--topic", &topic, "--to", "begin", "--yes"]);
    }
    again(&host, 2).await;
    consumed_by_java(&mut java, &bodies(), 1).await;
    for group in [&of_java, &of_gantry] {
        world.cluster.all_committed(group, &topic).await;
        says(&world, &["group", "reset", group, "--topic", &topic, "--to", "0", "--yes"]);
    }
    again(&host, 3).await;
    consumed_by_java(&mut java, &bodies(), 1).await;
    world.cluster.all_committed(&of_gantry, &topic).await;
    tokio::task::block_in_place(|| java.quit()).unwrap();
    host.stop().await;
    world.cluster.end().await;
}

async fn again(host: &HostUnderTest, times: usize) {
    eventually_within(RESETTING, "everything comes again", async || {
        let came = bodies().iter().filter(|body| host.observed.of(body).len() >= times).count();
        that(came == MESSAGES, || format!("{came} of {MESSAGES} did"))
    })
    .await;
}

async fn offsets_cloned_into_a_new_group_are_where_it_begins(world: World) {
    let (topic, old, new) = (world.topic("t", 1).await, world.name("old"), world.name("new"));
    let host = world.host_with("scripted", &old, &topic).with_file("scripted", "scripted").start().await;
    world.cluster.send_many(&topic, MESSAGES).await;
    host.consumed(MESSAGES).await;
    world.cluster.all_committed(&old, &topic).await;
    host.stop().await;
    says(&world, &["group", "clone-offsets", &old, &new, "--topic", &topic, "--yes"]);
    assert_eq!(world.cluster.offsets(&new, &topic).await, world.cluster.offsets(&old, &topic).await);
    world.cluster.send(&topic, &["later than all"]).await;
    let host = world.host_with("scripted", &new, &topic).with_file("scripted", "scripted").start().await;
    host.settled(1).await;
    world.cluster.all_committed(&new, &topic).await;
    let records = host.observed.records();
    assert_eq!(records.iter().map(|record| record.body.as_str()).collect::<Vec<_>>(), ["later than all"]);
    let refused = run(&world, &["group", "clone-offsets", &old, &new, "--topic", &topic, "--yes"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("is online"), "its members are running");
    host.stop().await;
    world.cluster.end().await;
}

async fn a_replay_that_was_stopped_is_consumed_once_each(world: World) {
    let (topic, group) = (world.topic("t", 2).await, world.name("g"));
    let host = world.host_with("scripted", &group, &topic).with_file("scripted", "scripted").start().await;
    let bodies = bodies();
    let sent = world.cluster.send(&topic, &bodies.iter().map(String::as_str).collect::<Vec<_>>()).await;
    host.consumed(MESSAGES).await;
    for receipt in &sent {
        let (_, offset) = parse_offset_msg_id(&receipt.offset_msg_id).unwrap();
        let header = ConsumerSendMsgBackRequestHeader {
            offset,
            group: group.clone(),
            delay_level: -1,
            origin_topic: Some(topic.clone()),
            ..ConsumerSendMsgBackRequestHeader::default()
        };
        world.cluster.client().send_message_back(&topic, &receipt.queue.broker_name, header).await.unwrap();
    }
    world.cluster.dead_lettered(&group, &bodies.iter().map(String::as_str).collect::<Vec<_>>()).await;

    let mut replay = gantry(&world, &["dlq", "replay", &group, "--rate", "1", "--json"]).spawn().unwrap();
    eventually("some come again", async || {
        that(host.observed.len() >= MESSAGES + 3, || format!("{} did", host.observed.len()))
    })
    .await;
    assert!(Command::new("kill").args(["-TERM", &replay.id().to_string()]).status().unwrap().success());
    let code = tokio::task::block_in_place(|| replay.wait()).unwrap().code();
    assert_eq!(code, Some(4), "stopped before the end");
    let rest = json(&world, &["dlq", "replay", &group, "--rate", "1000"]);
    let rest = rest["replayed"].as_u64().unwrap();
    assert!((1..=17).contains(&rest), "{rest} were left");
    host.settled(2 * MESSAGES).await;
    world.cluster.all_committed(&group, &topic).await;
    for body in &bodies {
        let records = host.observed.of(body);
        assert_eq!(records.len(), 2, "{body} was consumed, and once more");
        assert_eq!(records[1].reconsume_times, 0);
    }
    let listed = json(&world, &["dlq", "list"]);
    let line = listed.as_array().unwrap().iter().find(|line| line["group"] == group.as_str()).unwrap();
    assert_eq!((&line["messages"], &line["notReplayed"]), (&MESSAGES.into(), &0.into()));
    host.stop().await;
    world.cluster.end().await;
}

async fn a_message_is_shown_as_mqadmin_shows_it(world: World) {
    let topic = world.topic("t", 1).await;
    let Some(mut java) = java_client(&world) else { return };
    let message = Outgoing::new(&topic, "größe: 3 €").tags("paid").keys("a b").property("farbe", "blau ü");
    let sent = tokio::task::block_in_place(|| java.send(&message)).unwrap();
    let javas = eventually("Java reads it", async || {
        let found = tokio::task::block_in_place(|| java.read(&topic)).unwrap();
        found.into_iter().next().ok_or_else(|| "not yet".to_owned())
    })
    .await;
    let shown = json(&world, &["message", "show", &sent.offset_msg_id]);
    let by_unique_key = eventually("the index has it", async || {
        let output = run(&world, &["message", "show", &sent.msg_id, "--topic", &topic, "--json"]);
        that(output.status.success(), || String::from_utf8_lossy(&output.stderr).into_owned())?;
        Ok(serde_json::from_slice::<Value>(&output.stdout).unwrap())
    })
    .await;
    assert_eq!(by_unique_key, shown);
    let query = ["message", "query", "--topic", &topic, "--key"];
    assert_eq!(json(&world, &[&query[..], &["b"]].concat()), shown);
    assert_eq!(says(&world, &[&query[..], &["c", "--json"]].concat()), "");

    let text = |name: &str| shown[name].as_str().unwrap();
    assert_eq!(
        (text("messageId"), text("offsetMessageId")),
        (sent.msg_id.as_str(), sent.offset_msg_id.as_str())
    );
    assert_eq!((text("body"), text("tag"), text("topic")), (&*javas.body, "paid", &*topic));
    assert_eq!(shown["keys"], serde_json::json!(["a", "b"]));
    assert_eq!(shown["queueOffset"], javas.offset);
    assert_eq!(shown["storeTimestamp"], javas.store_timestamp);
    // What Java adds itself when it has pulled.
    let stored =
        javas.properties.iter().filter(|(name, _)| !["MIN_OFFSET", "MAX_OFFSET"].contains(&name.as_str()));
    let stored: serde_json::Map<String, Value> =
        stored.map(|(name, value)| (name.clone(), value.as_str().into())).collect();
    assert_eq!(shown["properties"], Value::Object(stored));
    let mqadmin = ["queryMsgById", "-t", &topic, "-i", &sent.offset_msg_id];
    let said = tokio::task::block_in_place(|| java.mqadmin(&mqadmin)).unwrap();
    for name in ["offsetMessageId", "topic", "tag", "bornHost", "storeHost"] {
        assert!(said.contains(text(name)), "mqadmin does not say {name} {}: {said}", text(name));
    }
    world.cluster.end().await;
}

async fn a_topic_that_is_deleted_is_gone_for_java_too(world: World) {
    let topic = world.topic("t", 2).await;
    let Some(mut java) = java_client(&world) else { return };
    world.cluster.send(&topic, &["a", "b", "c"]).await;
    world.cluster.readable(&topic, 3).await;
    assert_eq!(json(&world, &["topic", "stats", &topic])["messages"], 3);
    assert_eq!(json(&world, &["topic", "route", &topic])["brokers"][0]["readQueues"], 2);
    assert_eq!(json(&world, &["topic", "delete", &topic])["deleted"], false);
    assert_eq!(json(&world, &["topic", "delete", &topic, "--yes"])["messages"], 3);
    let output = run(&world, &["topic", "route", &topic]);
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    let said = tokio::task::block_in_place(|| java.mqadmin(&["topicRoute", "-t", &topic])).unwrap();
    assert!(said.contains("No topic route info") || said.contains("CODE: 17"), "{said}");
    world.cluster.end().await;
}
