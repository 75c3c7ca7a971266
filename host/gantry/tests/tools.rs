//! The operator's tools against the embedded broker: groups, topics, dead letters, messages.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

use std::net::SocketAddr;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use gantry_dev_broker::{Broker, BrokerConfig};
use gantry_host::client_instance::{
    ClientConfig, ClientInstance, OutgoingMessage, Producer, ProducerConfig, SendReceipt, TopicSettings,
};
use gantry_protocol::MessageQueue;
use gantry_protocol::body::SubscriptionGroupConfig;
use gantry_protocol::header::ConsumerSendMsgBackRequestHeader;
use gantry_protocol::message_id::parse_offset_msg_id;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

const BOUND: Duration = Duration::from_secs(180);

/// A broker in this process, a client of it, and the program beside them.
struct Stage {
    runtime: Runtime,
    broker: Option<Broker>,
    address: String,
    client: ClientInstance,
    producer: Producer,
}

impl Stage {
    fn new() -> Self {
        Self::with(BrokerConfig::default())
    }

    fn with(config: BrokerConfig) -> Self {
        let runtime = Runtime::new().unwrap();
        let (broker, client) = runtime.block_on(async {
            let listen = SocketAddr::from(([127, 0, 0, 1], 0));
            let broker = Broker::start(BrokerConfig { listen, ..config }).await.unwrap();
            let name_servers = broker.local_addr().to_string();
            let config = ClientConfig { name_servers, ..ClientConfig::default() };
            (broker, ClientInstance::start(config).await.unwrap())
        });
        let address = broker.local_addr().to_string();
        let producer = Producer::new(client.clone(), ProducerConfig::default());
        Self { runtime, broker: Some(broker), address, client, producer }
    }

    fn topic(&self, topic: &str, queues: i32) {
        let settings =
            TopicSettings { read_queue_nums: queues, write_queue_nums: queues, ..TopicSettings::default() };
        self.runtime.block_on(self.client.create_topic(topic, &settings)).unwrap();
    }

    fn group(&self, group: &str) {
        let settings =
            SubscriptionGroupConfig { group_name: group.to_owned(), ..SubscriptionGroupConfig::default() };
        self.runtime.block_on(self.client.create_group(&settings)).unwrap();
    }

    fn send(&self, message: &OutgoingMessage) -> SendReceipt {
        self.runtime.block_on(self.producer.send(message)).unwrap()
    }

    /// The only queue of a topic, or its first.
    fn queue(&self, topic: &str) -> MessageQueue {
        self.runtime.block_on(self.client.refresh_route(topic)).unwrap().subscribe_queues[0].clone()
    }

    fn commit(&self, group: &str, topic: &str, offset: i64) {
        self.runtime.block_on(self.client.update_offset(group, &self.queue(topic), offset)).unwrap();
    }

    fn committed(&self, group: &str, topic: &str) -> Option<i64> {
        self.runtime.block_on(self.client.query_offset(group, &self.queue(topic))).unwrap()
    }

    fn end(&self, topic: &str) -> i64 {
        self.runtime.block_on(self.client.max_offset(&self.queue(topic))).unwrap()
    }

    /// Sends messages `letter 0`, `letter 1` and so on, and has the group give them up.
    fn dead_letters(&self, group: &str, topic: &str, count: usize) -> Vec<SendReceipt> {
        let letter = |number: usize| {
            let tag = if number.is_multiple_of(2) { "even" } else { "odd" };
            let message = OutgoingMessage::new(topic, format!("letter {number}"));
            let receipt = self.send(
                &message.with_tag(tag).with_key(format!("key-{number}")).with_property("color", "blau"),
            );
            let (_, offset) = parse_offset_msg_id(&receipt.offset_msg_id).unwrap();
            let header = ConsumerSendMsgBackRequestHeader {
                offset,
                group: group.to_owned(),
                delay_level: -1,
                origin_topic: Some(topic.to_owned()),
                ..ConsumerSendMsgBackRequestHeader::default()
            };
            let broker = &receipt.queue.broker_name;
            self.runtime.block_on(self.client.send_message_back(topic, broker, header)).unwrap();
            receipt
        };
        (0..count).map(letter).collect()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gantry"));
        command.args(arguments).env_remove("GANTRY_LOG").env("GANTRY_NAME_SERVER", &self.address);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What it prints, when all went well.
    fn says(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}{}", text(&output.stdout), text(&output.stderr));
        text(&output.stdout)
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let said = self.says(&[arguments, &["--json"]].concat());
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{arguments:?} {error}: {said}"))
    }

    /// The exit code and the error of a command that fails.
    fn fails(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.run(arguments);
        (output.status.code().unwrap(), text(&output.stderr))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.runtime.block_on(async {
            self.client.close().await;
            if let Some(broker) = self.broker.take() {
                broker.stop().await;
            }
        });
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + BOUND;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not in {BOUND:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Every line of a table as words.
fn words(table: &str) -> Vec<Vec<&str>> {
    table.lines().map(|line| line.split_whitespace().collect()).collect()
}

#[test]
fn topics_are_described_and_deleted_only_when_told_to() {
    let stage = Stage::new();
    assert!(stage.says(&["topic", "list"]).contains("there are no topics"));
    stage.topic("orders", 2);
    for _ in 0..3 {
        stage.send(&OutgoingMessage::new("orders", "x"));
    }
    let route = stage.says(&["topic", "route", "orders"]);
    assert_eq!(words(&route)[1][1..], ["2", "2", "RW-", &stage.address], "{route}");
    let stats = stage.json(&["topic", "stats", "orders"]);
    assert_eq!((&stats["messages"], stats["queues"].as_array().unwrap().len()), (&json!(3), 2), "{stats}");
    assert!(stage.says(&["topic", "stats", "orders"]).ends_with("3 messages in 2 queues\n"));

    let dry = stage.says(&["topic", "delete", "orders"]);
    assert!(dry.contains("would be deleted, with 3 messages") && dry.contains("--yes"), "{dry}");
    assert_eq!(stage.says(&["topic", "list"]), "orders\n");
    let deleted = stage.json(&["topic", "delete", "orders", "--yes"]);
    assert_eq!((&deleted["deleted"], &deleted["messages"]), (&json!(true), &json!(3)));
    assert!(stage.says(&["topic", "list"]).contains("there are no topics"));
    let (code, error) = stage.fails(&["topic", "stats", "orders"]);
    assert_eq!(code, 3);
    assert!(
        error.contains("topic orders does not exist; create it") && error.contains(&stage.address),
        "{error}"
    );
    let (code, error) = stage.fails(&["topic", "delete", "TBW102", "--yes"]);
    assert!(code == 1 && error.contains("the brokers' own"), "{error}");
}

#[test]
fn groups_are_listed_with_their_lag_and_unknown_ones_named() {
    let stage = Stage::new();
    assert!(stage.says(&["group", "list"]).contains("there are no consumer groups"));
    stage.topic("orders", 1);
    for _ in 0..5 {
        stage.send(&OutgoingMessage::new("orders", "x"));
    }
    stage.group("billing");
    assert!(stage.says(&["group", "progress", "billing"]).contains("has stored no offset yet"));
    stage.commit("billing", "orders", 2);
    let list = stage.json(&["group", "list"]);
    assert_eq!(list, json!([{ "group": "billing", "members": 0, "messageModel": null, "lag": 3 }]));
    let progress = stage.json(&["group", "progress", "billing"]);
    let queue = &progress["queues"][0];
    assert_eq!(
        (&progress["lag"], &queue["brokerOffset"], &queue["consumerOffset"]),
        (&json!(3), &json!(5), &json!(2))
    );
    let table = stage.says(&["group", "progress", "billing", "--topic", "orders"]);
    assert_eq!(words(&table)[1][2..6], ["0", "5", "2", "3"], "{table}");
    assert!(table.ends_with("lag 3 in 1 queues\n"), "{table}");
    assert!(stage.says(&["group", "members", "billing"]).contains("no member of group billing is online"));
    for command in [
        &["progress", "nobody"][..],
        &["members", "nobody"],
        &["reset", "nobody", "--topic", "orders", "--to", "end"],
    ] {
        let (code, error) = stage.fails(&[&["group"], command].concat());
        assert_eq!(code, 3, "{command:?}");
        assert!(error.contains("no broker knows group nobody; `gantry group list`"), "{error}");
    }
    let (code, error) = stage.fails(&["group", "progress", "billing", "--topic", "nothing"]);
    assert!(code == 3 && error.contains("topic nothing does not exist"), "{error}");
}

#[test]
fn a_reset_shows_what_it_would_do_and_does_it_when_told_to() {
    let stage = Stage::new();
    stage.topic("orders", 1);
    let mut stored = Vec::new();
    for number in 0..10 {
        stored.push(stage.send(&OutgoingMessage::new("orders", format!("{number}"))));
    }
    stage.group("billing");
    stage.commit("billing", "orders", 4);
    let reset = |to: &str, more: &[&str]| {
        stage.json(&[&["group", "reset", "billing", "--topic", "orders", "--to", to], more].concat())
    };
    let queue = |value: &Value| {
        let queue = &value["queues"][0];
        ["from", "to", "skipped", "repeated"].map(|name| queue[name].as_i64().unwrap())
    };
    let dry = reset("end", &[]);
    assert_eq!((&dry["done"], queue(&dry)), (&json!(false), [4, 10, 6, 0]));
    assert_eq!(stage.committed("billing", "orders"), Some(4), "a dry run changes nothing");
    let said = stage.says(&["group", "reset", "billing", "--topic", "orders", "--to", "1"]);
    assert!(
        said.contains("0 messages would be skipped, 3 would come again") && said.contains("--yes"),
        "{said}"
    );

    for (to, moved, committed) in [
        ("begin", [4, 0, 0, 4], 0),
        ("end", [0, 10, 10, 0], 10),
        ("7", [10, 7, 0, 3], 7),
        ("99", [7, 10, 3, 0], 10),
        ("-2h", [10, 0, 0, 10], 0),
        ("@4102444800000", [0, 10, 10, 0], 10),
    ] {
        assert_eq!(queue(&reset(to, &["--yes"])), moved, "--to {to}");
        assert_eq!(stage.committed("billing", "orders"), Some(committed), "--to {to}");
    }
    let (code, error) = stage.fails(&["group", "reset", "billing", "--topic", "orders", "--to", "noon"]);
    assert!(code == 2 && error.contains("begin, end, an offset, or a time"), "{error}");
}

/// As brokers before 5.0 are: they reset through the members, and not single queues.
#[test]
fn a_group_that_is_not_online_is_reset_at_brokers_that_reset_through_the_members_only() {
    let stage = Stage::with(BrokerConfig { server_side_reset: false, ..BrokerConfig::default() });
    stage.topic("orders", 1);
    for _ in 0..10 {
        stage.send(&OutgoingMessage::new("orders", "x"));
    }
    stage.group("billing");
    for (to, committed) in [("7", 7), ("begin", 0), ("end", 10), ("-2h", 0)] {
        stage.says(&["group", "reset", "billing", "--topic", "orders", "--to", to, "--yes"]);
        assert_eq!(stage.committed("billing", "orders"), Some(committed), "--to {to}");
    }
}

#[test]
fn offsets_are_cloned_into_a_group_that_is_made_for_them() {
    let stage = Stage::new();
    stage.topic("orders", 1);
    for _ in 0..5 {
        stage.send(&OutgoingMessage::new("orders", "x"));
    }
    stage.group("old");
    stage.commit("old", "orders", 3);
    let clone = ["group", "clone-offsets", "old", "new", "--topic", "orders"];
    assert_eq!(stage.json(&clone)["queues"][0]["to"], 3);
    assert!(!stage.says(&["group", "list"]).contains("new"), "a dry run makes no group");
    assert_eq!(stage.json(&[&clone[..], &["--yes"]].concat())["done"], true);
    assert_eq!(stage.committed("new", "orders"), Some(3));
    // A reset that nobody has followed yet does not stand in the way.
    stage.says(&["group", "reset", "new", "--topic", "orders", "--to", "begin", "--yes"]);
    stage.says(&[&clone[..], &["--yes"]].concat());
    assert_eq!(stage.committed("new", "orders"), Some(3));
    let (code, error) = stage.fails(&["group", "clone-offsets", "nobody", "new", "--topic", "orders"]);
    assert!(code == 3 && error.contains("no broker knows group nobody"), "{error}");
    let (code, error) = stage.fails(&["group", "clone-offsets", "old", "a b", "--topic", "orders"]);
    assert!(code == 1 && error.contains("only A-Z a-z 0-9"), "{error}");
}

#[test]
fn messages_are_found_by_both_ids_and_by_key() {
    let stage = Stage::new();
    stage.topic("orders", 1);
    let message = OutgoingMessage::new("orders", "größe: 3").with_tag("paid").with_key("a").with_key("b");
    let sent = stage.send(&message.with_property("color", "blau"));
    stage.send(&OutgoingMessage::new("orders", vec![0xff, 0]).with_key("b"));

    let shown = stage.json(&["message", "show", &sent.offset_msg_id]);
    assert_eq!(stage.json(&["message", "show", &sent.message_id, "--topic", "orders"]), shown);
    assert_eq!(stage.json(&["message", "show", &sent.offset_msg_id, "--topic", "orders"]), shown);
    assert_eq!((&shown["messageId"], &shown["body"]), (&json!(sent.message_id), &json!("größe: 3")));
    assert_eq!((&shown["keys"], &shown["properties"]["color"]), (&json!(["a", "b"]), &json!("blau")));
    let said = stage.says(&["message", "show", &sent.message_id, "-t", "orders"]);
    assert!(said.contains("color = blau") && said.ends_with("body, 10 bytes\ngröße: 3\n"), "{said}");

    let query = |key: &str, more: &[&str]| {
        let said =
            stage.says(&[&["message", "query", "--topic", "orders", "--key", key, "--json"], more].concat());
        said.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!((query("a", &[]).len(), query("b", &[]).len(), query("b", &["--max", "1"]).len()), (1, 2, 1));
    assert_eq!(query("b", &[])[1]["bodyBase64"], "/wA=");
    assert_eq!((query("b", &["--end", "-1h"]).len(), query("b", &["--begin", "-1h"]).len()), (0, 2));
    assert!(
        stage.says(&["message", "query", "--topic", "orders", "--key", "c"]).contains("no message of orders")
    );

    let (code, error) = stage.fails(&["message", "show", &sent.message_id]);
    assert!(code == 3 && error.contains("give --topic"), "{error}");
    let (code, error) = stage.fails(&["message", "show", "nonsense", "--topic", "orders"]);
    assert!(code == 3 && error.contains("topic orders has no message nonsense"), "{error}");
}

#[test]
fn dead_letters_are_listed_shown_and_exported() {
    let stage = Stage::new();
    assert_eq!(stage.says(&["dlq", "list"]), "no group has dead letters\n");
    stage.topic("orders", 1);
    let sent = stage.dead_letters("billing", "orders", 40);
    let list = stage.json(&["dlq", "list"]);
    let line = &list[0];
    assert_eq!(
        (&line["group"], &line["messages"], &line["notReplayed"]),
        (&json!("billing"), &json!(40), &json!(40))
    );

    let shown = stage.says(&["dlq", "show", "billing", "--max", "3"]);
    assert_eq!(words(&shown)[1][..4], [sent[0].message_id.as_str(), "orders", "even", "key-0"], "{shown}");
    assert!(shown.ends_with("there are more; --max shows them\n") && shown.lines().count() == 5, "{shown}");
    let one = stage.json(&["dlq", "show", "billing", "--key", "key-7"]);
    assert_eq!((&one["body"], &one["properties"]["RETRY_TOPIC"]), (&json!("letter 7"), &json!("orders")));
    let whole = stage.says(&["dlq", "show", "billing", "--id", &sent[8].message_id]);
    assert!(whole.ends_with("letter 8\n"), "{whole}");

    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("dead.jsonl");
    let file = file.to_str().unwrap();
    let wrote = stage.json(&["dlq", "export", "billing", file, "--tag", "odd"]);
    assert_eq!(wrote["messages"], 20);
    let lines = std::fs::read_to_string(file).unwrap();
    let first: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!((lines.lines().count(), &first["body"]), (20, &json!("letter 1")));
    let (code, error) = stage.fails(&["dlq", "export", "billing", file]);
    assert!(code == 1 && error.contains("remove it or take another name"), "{error}");
    let (code, error) = stage.fails(&["dlq", "show", "nobody"]);
    assert!(code == 3 && error.contains("no broker knows group nobody"), "{error}");
    stage.group("lucky");
    let (code, error) = stage.fails(&["dlq", "show", "lucky"]);
    assert!(code == 3 && error.contains("group lucky has no dead letters"), "{error}");
}

/// Every tool with plain names, on a broker that knows them by their namespace, beside others of the same names.
#[test]
fn in_a_namespace_names_are_plain_and_only_what_is_in_it_is_listed() {
    let stage = Stage::new();
    stage.topic("orders", 2);
    let plain = |arguments: &[&str]| stage.says(&[arguments, &["--namespace", "INST"]].concat());
    let json = |arguments: &[&str]| stage.json(&[arguments, &["--namespace", "INST"]].concat());
    plain(&["topic", "create", "orders", "--queues", "1"]);
    assert_eq!(plain(&["topic", "list"]), "orders\n");
    assert_eq!(stage.says(&["topic", "list"]), "INST%orders\norders\n");
    plain(&["send", "orders", "to the namespace", "--key", "k"]);
    assert_eq!((stage.end("INST%orders"), stage.end("orders")), (1, 0));
    assert!(plain(&["pull", "orders"]).contains("to the namespace"));
    assert_eq!(json(&["topic", "stats", "orders"])["messages"], 1);
    assert_eq!(json(&["message", "query", "--topic", "orders", "--key", "k"])["body"], "to the namespace");

    stage.dead_letters("INST%billing", "INST%orders", 2);
    let list = json(&["dlq", "list"]);
    assert_eq!((list.as_array().unwrap().len(), &list[0]["group"]), (1, &json!("billing")));
    let shown = plain(&["dlq", "show", "billing"]);
    assert_eq!(words(&shown)[1][1], "orders", "{shown}");
    assert_eq!(json(&["dlq", "replay", "billing"])["replayed"], 2);
    assert_eq!(stage.end("INST%orders"), 5);

    stage.group("other");
    stage.commit("INST%billing", "INST%orders", 1);
    let groups = json(&["group", "list"]);
    assert_eq!(groups, json!([{ "group": "billing", "members": 0, "messageModel": null, "lag": 4 }]));
    let progress = json(&["group", "progress", "billing", "--topic", "orders"]);
    assert_eq!(progress["queues"][0]["topic"], "orders");
    plain(&["group", "reset", "billing", "--topic", "orders", "--to", "end", "--yes"]);
    assert_eq!(stage.committed("INST%billing", "INST%orders"), Some(5));
    plain(&["group", "clone-offsets", "billing", "billing-v2", "--topic", "orders", "--yes"]);
    assert_eq!(stage.committed("INST%billing-v2", "INST%orders"), Some(5));
    let (code, error) = stage.fails(&["group", "members", "other", "--namespace", "INST"]);
    assert!(code == 3 && error.contains("no broker knows group other"), "{error}");
    plain(&["topic", "delete", "orders", "--yes"]);
    assert_eq!(stage.says(&["topic", "list"]), "orders\n");
    let (code, error) = stage.fails(&["topic", "list", "--namespace", "a%b"]);
    assert!(code == 2 && error.contains("expected 1 to 100 characters"), "{error}");
}

#[test]
fn a_replay_sends_each_dead_letter_once_and_the_next_goes_on_after_it() {
    let stage = Stage::new();
    stage.topic("orders", 1);
    let sent = stage.dead_letters("billing", "orders", 5);
    let replayed = stage.json(&["dlq", "replay", "billing", "--rate", "1000"]);
    assert_eq!((&replayed["replayed"], &replayed["left"]), (&json!(5), &json!(0)));
    assert_eq!(stage.end("orders"), 10);
    assert_eq!(stage.json(&["dlq", "replay", "billing"])["replayed"], 0, "all were");
    let found = stage.says(&["message", "show", &sent[3].message_id, "--topic", "orders", "--json"]);
    let copies: Vec<Value> = found.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(copies.len(), 2, "the id is the same");
    assert_eq!(copies[1]["body"], copies[0]["body"]);
    for property in ["TAGS", "KEYS", "UNIQ_KEY", "color"] {
        assert_eq!(copies[1]["properties"][property], copies[0]["properties"][property], "{property}");
    }
    assert_eq!((&copies[1]["reconsumeTimes"], &copies[1]["properties"]["DELAY"]), (&json!(0), &Value::Null));
    assert_eq!(copies[1]["properties"]["ORIGIN_MESSAGE_ID"], sent[3].offset_msg_id.as_str());

    stage.dead_letters("billing", "orders", 2);
    assert_eq!(stage.json(&["dlq", "list"])[0]["notReplayed"], 2);
    assert_eq!(stage.json(&["dlq", "replay", "billing"])["replayed"], 2);
    assert_eq!(stage.json(&["dlq", "replay", "billing", "--from-start"])["replayed"], 7);
    let progress = stage.run(&["group", "progress", "billing", "--json"]);
    assert!(!text(&progress.stdout).contains("DLQ"), "the group's own lag stays what it is");
}

#[test]
fn a_replay_picks_messages_and_keeps_its_position_in_a_file() {
    let stage = Stage::new();
    stage.topic("orders", 1);
    let sent = stage.dead_letters("billing", "orders", 6);
    assert_eq!(stage.json(&["dlq", "replay", "billing", "--id", &sent[2].message_id])["replayed"], 1);
    assert_eq!(stage.json(&["dlq", "list"])[0]["notReplayed"], 6, "one picked out is no position");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("odd.json");
    let odd = ["dlq", "replay", "billing", "--tag", "odd", "--position", file.to_str().unwrap()];
    let first = stage.json(&odd);
    assert_eq!((&first["replayed"], &first["passedOver"]), (&json!(3), &json!(3)));
    assert_eq!(stage.json(&odd)["replayed"], 0);
    stage.topic("elsewhere", 1);
    assert_eq!(
        stage.json(&["dlq", "replay", "billing", "--key", "key-4", "--to-topic", "elsewhere"])["replayed"],
        1
    );
    assert_eq!(stage.end("elsewhere"), 1);
    let (code, error) = stage.fails(&["dlq", "replay", "billing", "--id", "nonsense"]);
    assert!(code == 3 && error.contains("no such dead letter"), "{error}");
    let (code, error) =
        stage.fails(&["dlq", "replay", "billing", "--key", "key-1", "--to-topic", "nowhere-at-all!"]);
    assert!(code != 0 && error.contains("nowhere-at-all!"), "{error}");
}

/// A child that does not outlive its test.
struct Running(Child);

impl Running {
    fn signal(&self, signal: &str) {
        let id = self.0.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    fn code(&mut self) -> Option<i32> {
        self.0.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ended_already = self.0.kill();
        let _reaped = self.0.wait();
    }
}

#[test]
fn a_replay_that_is_stopped_or_killed_goes_on_where_it_was() {
    let stage = Stage::new();
    stage.topic("orders", 1);
    let sent = stage.dead_letters("billing", "orders", 20);
    for (signal, at_least, expected) in [("-TERM", 23, Some(4)), ("-KILL", 28, None)] {
        let mut running =
            Running(stage.command(&["dlq", "replay", "billing", "--rate", "2", "--json"]).spawn().unwrap());
        until("some are replayed", || stage.end("orders") >= at_least);
        running.signal(signal);
        assert_eq!(running.code(), expected, "{signal}");
    }
    // The kill may have come between a message and its position, and no other.
    let before = stage.end("orders");
    assert!(before < 40, "the kill came too late to show anything");
    stage.json(&["dlq", "replay", "billing", "--rate", "1000"]);
    let copies =
        |id: &str| stage.says(&["message", "show", id, "--topic", "orders", "--json"]).lines().count();
    let twice = sent.iter().filter(|receipt| copies(&receipt.message_id) == 3).count();
    assert!(sent.iter().all(|receipt| copies(&receipt.message_id) >= 2), "one was not replayed");
    assert!(twice <= 1, "{twice} were replayed twice");
    assert_eq!(stage.end("orders"), 40 + i64::try_from(twice).unwrap());
}

#[test]
fn a_name_server_that_is_away_is_named() {
    let free = "127.0.0.1:1";
    for command in [
        &["group", "list"][..],
        &["topic", "stats", "t"],
        &["dlq", "list"],
        &["message", "query", "-t", "t", "-k", "k"],
    ] {
        let output =
            Command::new(env!("CARGO_BIN_EXE_gantry")).args(command).args(["-n", free]).output().unwrap();
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{command:?}: {error}");
        assert!(
            error.contains(&format!("through name server {free}")) && error.contains("cannot connect"),
            "{error}"
        );
    }
}

#[test]
fn completions_manual_and_exit_codes_are_written() {
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_gantry")).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}");
        text(&output.stdout)
    };
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(&["completions", shell]);
        assert!(script.contains("clone-offsets"), "{shell}");
    }
    assert!(run(&["man"]).contains(".TH gantry 1"));
    let directory = tempfile::tempdir().unwrap();
    run(&["man", "--directory", directory.path().to_str().unwrap()]);
    assert!(
        std::fs::read_to_string(directory.path().join("gantry-dlq-replay.1"))
            .unwrap()
            .contains("GANTRY_REPLAY")
    );
    assert!(run(&["--help"]).contains("Exit codes:"));
    for command in [
        &["group", "list"][..],
        &["group", "progress"],
        &["group", "members"],
        &["group", "reset"],
        &["group", "clone-offsets"],
        &["topic", "route"],
        &["topic", "stats"],
        &["topic", "delete"],
        &["dlq", "list"],
        &["dlq", "show"],
        &["dlq", "replay"],
        &["dlq", "export"],
        &["message", "show"],
        &["message", "query"],
    ] {
        assert!(run(&[command, &["--help"]].concat()).contains("--json"), "{command:?} has no --json");
    }
}
