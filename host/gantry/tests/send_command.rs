//! `gantry send` as a user meets it, against `gantry broker`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use gantry_dev_broker::{Broker, BrokerConfig};
use gantry_host::FilterExpression;
use gantry_host::client_instance::{ClientConfig, ClientInstance, Producer, ProducerConfig, TopicSettings};
use gantry_host::pull_consumer::{LitePullConsumer, LitePullConsumerConfig};
use gantry_protocol::body::ConsumeFromWhere;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

const BOUND: Duration = Duration::from_secs(180);

/// A broker in this process with the topic `orders` of two queues, and the program beside it.
struct Stage {
    runtime: Runtime,
    broker: Option<Broker>,
    name_server: String,
    client: ClientInstance,
}

impl Stage {
    fn new() -> Self {
        let runtime = Runtime::new().unwrap();
        let (broker, client) = runtime.block_on(async {
            let listen = SocketAddr::from(([127, 0, 0, 1], 0));
            let config = BrokerConfig { listen, auto_create_topics: false, ..BrokerConfig::default() };
            let broker = Broker::start(config).await.unwrap();
            let name_servers = broker.local_addr().to_string();
            let config = ClientConfig { name_servers, ..ClientConfig::default() };
            (broker, ClientInstance::start(config).await.unwrap())
        });
        let name_server = broker.local_addr().to_string();
        let stage = Self { runtime, broker: Some(broker), name_server, client };
        stage.topic("orders");
        stage
    }

    fn topic(&self, topic: &str) {
        let settings = TopicSettings { read_queue_nums: 2, write_queue_nums: 2, ..TopicSettings::default() };
        self.runtime.block_on(self.client.create_topic(topic, &settings)).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gantry"));
        command.args(arguments).env_remove("GANTRY_LOG").env("GANTRY_NAME_SERVER", &self.name_server);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What it prints to both outputs, and its exit code.
    fn ends(&self, arguments: &[&str]) -> (i32, String, String) {
        let output = self.run(arguments);
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    }

    /// The lines of JSON it prints.
    fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let (code, out, error) = self.ends(&[arguments, &["--json"]].concat());
        assert_eq!(code, 0, "{arguments:?}: {error}");
        out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The messages of a topic, as `gantry pull` shows them, in the order of their queues.
    fn pull(&self, topic: &str) -> Vec<Value> {
        let events = self.json(&["pull", topic]);
        events.into_iter().filter(|event| event["event"] == "message").collect()
    }

    fn bodies(&self, topic: &str) -> Vec<String> {
        let mut bodies: Vec<_> =
            self.pull(topic).iter().map(|message| message["body"].as_str().unwrap().to_owned()).collect();
        bodies.sort();
        bodies
    }

    fn eventually<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let until = Instant::now() + BOUND;
        loop {
            match look() {
                Some(found) => return found,
                None => assert!(Instant::now() < until, "not within {BOUND:?}: {what}"),
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let broker = self.broker.take();
        self.runtime.block_on(async {
            self.client.close().await;
            if let Some(broker) = broker {
                broker.stop().await;
            }
        });
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A file with this content, in a directory that lives as long as the value.
fn file(content: &str) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("messages.jsonl");
    std::fs::write(&file, content).unwrap();
    let name = file.to_str().unwrap().to_owned();
    (directory, name)
}

#[test]
fn lines_of_json_say_all_of_their_messages() {
    let stage = Stage::new();
    stage.topic("notes");
    let (_directory, file) = file(
        "// what is sent\n{\"body\": \"one\", \"tag\": \"a\", \"keys\": [\"k1\", \"k2\"], \"properties\": {\"p\": \"q\"}}\n\n\
         {\"body\": {\"id\": 7}, \"topic\": \"notes\"}\n{\"bodyBase64\": \"AP8=\"}\n",
    );
    let sent = stage.json(&["send", "orders", "--jsonl", &file, "--tag", "b"]);
    let lines: Vec<_> = sent.iter().map(|sent| (sent["line"].as_u64().unwrap(), &sent["topic"])).collect();
    assert_eq!(lines, [(2, &json!("orders")), (4, &json!("notes")), (5, &json!("orders"))]);
    assert!(sent.iter().all(|sent| sent["sendStatus"] == "SEND_OK" && sent["messageId"].is_string()));
    let one = stage.pull("orders").into_iter().find(|message| message["body"] == "one").unwrap();
    assert_eq!((&one["tag"], &one["properties"]["p"]), (&json!("a"), &json!("q")));
    let notes = stage.pull("notes");
    assert_eq!((&notes[0]["body"], &notes[0]["tag"]), (&json!("{\"id\":7}"), &json!("b")));
    let binary = stage.pull("orders").into_iter().find(|message| message["bodyBase64"] == "AP8=");
    assert!(binary.is_some());
}

#[test]
fn a_line_that_is_wrong_ends_the_command_and_is_named() {
    let stage = Stage::new();
    for (content, expected) in [
        (
            "{\"body\": \"a\"}\n{\"body\": \"b\", \"colour\": \"red\"}\n{\"body\": \"c\"}\n",
            "after 1 messages: line 2: ",
        ),
        (
            "{\"body\": \"a\"}\n\n{\"body\": \"\"}\n",
            "after 1 messages: line 3: the message to orders cannot be sent",
        ),
        ("{\"body\": \"a\"}\n{\"body\": \"b\", \"topic\": \"gone\"}\n", "line 2: topic gone does not exist"),
    ] {
        let (_directory, file) = file(content);
        let (code, out, error) = stage.ends(&["send", "orders", "--jsonl", &file]);
        assert!(error.contains(expected) && out.is_empty(), "{error}{out}");
        assert_eq!(code, if content.contains("gone") { 3 } else { 1 }, "{error}");
    }
    assert_eq!(stage.bodies("orders"), ["a", "a", "a"]);
    let (code, _, error) = stage.ends(&["send", "orders", "--jsonl", "/nonexistent/m.jsonl"]);
    assert!(code == 1 && error.contains("cannot read /nonexistent/m.jsonl"), "{error}");
}

#[test]
fn many_messages_go_together_or_side_by_side() {
    let stage = Stage::new();
    let (code, out, error) =
        stage.ends(&["send", "orders", "x", "--count", "250", "--concurrency", "16", "--rate", "100000"]);
    assert_eq!((code, out.as_str()), (0, "sent 250 messages to orders\n"), "{error}");
    assert_eq!(stage.bodies("orders").len(), 250);

    stage.topic("batches");
    let sent = stage.json(&["send", "batches", "y", "--count", "25", "--batch", "10"]);
    assert_eq!(sent.len(), 25);
    let places: std::collections::BTreeSet<_> =
        sent.iter().map(|sent| (sent["queueId"].as_i64(), sent["queueOffset"].as_i64())).collect();
    assert_eq!(places.len(), 25, "each has a place of its own");
    let ids = |messages: &[Value]| -> std::collections::BTreeSet<String> {
        messages.iter().map(|message| message["messageId"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&sent), ids(&stage.pull("batches")));

    stage.topic("one-way");
    let sent = stage.json(&["send", "one-way", "z", "--count", "10", "--one-way"]);
    assert_eq!(sent, vec![json!({ "topic": "one-way", "oneWay": true }); 10]);
    stage.eventually("all came", || (stage.bodies("one-way").len() == 10).then_some(()));
}

#[test]
fn messages_are_delayed_by_level_by_duration_and_to_a_time() {
    let stage = Stage::new();
    let later = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(20);
    let sent = stage.json(&["send", "orders", "level", "--delay", "1"]);
    assert!(sent[0].get("recallHandle").is_none());
    for (option, when) in [("--delay", "1500ms"), ("--at", &later.to_string())] {
        let sent = stage.json(&["send", "orders", "timer", option, when]);
        assert!(sent[0]["recallHandle"].is_string(), "{sent:?}");
    }
    stage.eventually("all came", || (stage.bodies("orders").len() == 3).then_some(()));
    for wrong in
        [&["--delay", "19"][..], &["--delay", "soon"], &["--at", "soon"], &["--delay", "1", "--at", "@5"]]
    {
        let (code, _, error) = stage.ends(&[&["send", "orders", "x"], wrong].concat());
        assert_eq!(code, 2, "{wrong:?} {error}");
    }
}

#[test]
fn a_message_that_is_not_due_yet_can_be_recalled() {
    let stage = Stage::new();
    let sent = stage.json(&["send", "orders", "later", "--delay", "2h"]);
    let handle = sent[0]["recallHandle"].as_str().unwrap();
    let recalled = stage.json(&["message", "recall", "--topic", "orders", handle]);
    assert_eq!(recalled, [json!({ "topic": "orders", "messageId": sent[0]["messageId"] })]);
    let (code, _, error) = stage.ends(&["message", "recall", "--topic", "notes", handle]);
    assert!(code == 1 && error.contains("a message of topic orders cannot be recalled"), "{error}");
    let (code, _, error) = stage.ends(&["message", "recall", "--topic", "orders", "handle"]);
    assert!(code == 1 && error.contains("\"handle\" is no recall handle"), "{error}");
}

#[test]
fn selectors_go_by_the_argument_of_a_line_and_plugins_have_names() {
    let stage = Stage::new();
    let (_directory, file) =
        file("{\"body\": \"1\", \"arg\": \"a\"}\n{\"body\": \"2\", \"arg\": \"b\"}\n{\"body\": \"3\"}\n");
    let sent = stage.json(&["send", "orders", "--jsonl", &file, "--selector", "by-hash", "--arg", "a"]);
    let queues: Vec<_> = sent.iter().map(|sent| sent["queueId"].as_i64().unwrap()).collect();
    // "a".hashCode() is 97, "b".hashCode() 98.
    assert_eq!(queues, [1, 0, 1]);
    let sent = stage.json(&["send", "orders", "x", "--count", "4", "--selector", "round-robin"]);
    let queues: Vec<_> = sent.iter().map(|sent| sent["queueId"].as_i64().unwrap()).collect();
    assert_eq!(queues, [0, 1, 0, 1]);
    let (code, _, error) =
        stage.ends(&["send", "orders", "x", "--selector", "by-machine-room", "--arg", "east"]);
    assert!(code == 1 && error.contains("no broker is in machine room \"east\""), "{error}");

    let repository = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository.join("target"), PathBuf::from);
    let plugins = target.join("guests/components").display().to_string();
    let by_name =
        ["send", "orders", "x", "--selector", "plugin:jump-hash", "--arg", "a", "--plugins", &plugins];
    let sent = stage.json(&by_name);
    assert_eq!(sent.len(), 1);
    let (code, _, error) =
        stage.ends(&["send", "orders", "x", "--selector", "plugin:absent", "--plugins", &plugins]);
    assert!(code == 1 && error.contains("absent.wasm"), "{error}");
}

#[test]
fn a_request_prints_its_reply() {
    let stage = Stage::new();
    let consumer = stage.runtime.block_on(async {
        let config = LitePullConsumerConfig {
            consume_from_where: ConsumeFromWhere::FirstOffset,
            ..LitePullConsumerConfig::new("repliers")
        };
        let consumer = LitePullConsumer::start(stage.client.clone(), config).await.unwrap();
        consumer.subscribe("orders", &FilterExpression::Tag("*".to_owned())).await.unwrap();
        consumer
    });
    let mut asking =
        stage.command(&["send", "orders", "who?", "--count", "2", "--request", "--timeout", "120s"]);
    let asking = asking.spawn().unwrap();
    stage.runtime.block_on(async {
        let patience = ProducerConfig { send_timeout: BOUND, ..ProducerConfig::default() };
        let producer = Producer::new(stage.client.clone(), patience);
        let mut answered = 0;
        while answered < 2 {
            let polled = consumer.poll(BOUND).await.unwrap().unwrap();
            for question in &polled.messages {
                answered += 1;
                let replied = producer.reply(question, format!("it is {answered}")).await;
                // Who has its last reply leaves, maybe before the broker has its word for it.
                assert!(replied.is_ok() || answered == 2, "{replied:?}");
            }
        }
        consumer.shutdown().await.unwrap();
    });
    let output = asking.wait_with_output().unwrap();
    assert_eq!(
        (output.status.code(), text(&output.stdout).as_str()),
        (Some(0), "it is 1\nit is 2\n"),
        "{output:?}"
    );
    let (code, _, error) = stage.ends(&["send", "orders", "anyone?", "--request", "--timeout", "5s"]);
    assert!(code == 1 && error.contains("no reply to "), "{error}");
}

#[test]
fn a_stop_says_how_many_were_sent() {
    let stage = Stage::new();
    let mut sending =
        stage.command(&["send", "orders", "--lines", "--json"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut input = sending.stdin.take().unwrap();
    input.write_all(b"one\ntwo\n").unwrap();
    let mut told = BufReader::new(sending.stdout.take().unwrap()).lines();
    for _ in 0..2 {
        told.next().unwrap().unwrap();
    }
    terminate(&sending);
    // It does not wait for the input to end.
    let output = sending.wait_with_output().unwrap();
    drop(input);
    assert_eq!(output.status.code(), Some(4));
    assert_eq!(text(&output.stderr), "stopped; 2 messages were sent to orders\n");
    assert_eq!(stage.bodies("orders"), ["one", "two"]);
}

fn terminate(child: &Child) {
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
}

#[test]
fn what_does_not_go_together_is_refused() {
    let stage = Stage::new();
    for wrong in [
        &["send", "orders"][..],
        &["send", "orders", "x", "--lines"],
        &["send", "orders", "x", "--batch", "10", "--one-way"],
        &["send", "orders", "x", "--batch", "10", "--delay", "1"],
        &["send", "orders", "x", "--request", "--selector", "by-hash"],
        &["send", "orders", "x", "--rate", "0"],
        &["send", "orders", "x", "--selector", "nearest"],
        &["send", "orders", "x", "--arg", "a"],
    ] {
        assert_eq!(stage.ends(wrong).0, 2, "{wrong:?}");
    }
}
