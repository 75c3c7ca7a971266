//! `gantry pull` as a user meets it, against `gantry broker`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

use std::io::{BufRead as _, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use serde_json::Value;

fn gantry(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gantry"));
    command.args(arguments).env_remove("GANTRY_LOG").env_remove("GANTRY_NAME_SERVER").stdin(Stdio::null());
    command
}

/// A gantry that runs until it is told to end; killed with this value.
struct Running {
    child: Child,
    lines: Option<Lines<BufReader<ChildStdout>>>,
}

impl Running {
    fn start(arguments: &[&str]) -> Self {
        let mut child = gantry(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = Some(BufReader::new(child.stdout.take().unwrap()).lines());
        Self { child, lines }
    }

    /// The next line of this event.
    fn event(&mut self, event: &str) -> Value {
        loop {
            let line = self.lines.as_mut().unwrap().next().unwrap_or_else(|| panic!("no {event}")).unwrap();
            let value: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("not JSON: {line}"));
            if value["event"] == event {
                return value;
            }
        }
    }

    fn terminate(&self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// A broker with the topic `orders` of two queues.
struct Cluster {
    _broker: Running,
    name_server: String,
}

impl Cluster {
    fn start() -> Self {
        let mut broker = Running::start(&["broker", "--listen", "127.0.0.1:0", "--in-memory", "--json"]);
        let name_server = broker.event("started")["nameServer"].as_str().unwrap().to_owned();
        let cluster = Self { _broker: broker, name_server };
        cluster.succeeds(&["topic", "create", "orders", "--queues", "2"]);
        cluster
    }

    fn run(&self, arguments: &[&str]) -> Output {
        gantry(arguments).args(["--name-server", &self.name_server]).output().unwrap()
    }

    fn succeeds(&self, arguments: &[&str]) -> Output {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        output
    }

    /// Sends messages, to the queues in turn.
    fn send(&self, count: usize) {
        self.succeeds(&[
            "send",
            "orders",
            "hello",
            "--tag",
            "paid",
            "--key",
            "k",
            "--count",
            &count.to_string(),
        ]);
    }

    fn pull(&self, arguments: &[&str]) -> Vec<Value> {
        let output = self.succeeds(&[&["pull", "orders", "--json"], arguments].concat());
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn of<'v>(events: &'v [Value], event: &str) -> Vec<&'v Value> {
    events.iter().filter(|value| value["event"] == event).collect()
}

fn statuses(events: &[Value]) -> Vec<&str> {
    of(events, "pull").iter().map(|value| value["status"].as_str().unwrap()).collect()
}

fn messages(events: &[Value]) -> usize {
    assert_eq!(of(events, "end")[0]["messages"], of(events, "message").len());
    of(events, "message").len()
}

#[test]
fn every_queue_is_read_to_its_end_and_each_status_is_shown() {
    let cluster = Cluster::start();
    cluster.send(6);
    let events = cluster.pull(&[]);
    assert_eq!(statuses(&events), ["FOUND", "NO_NEW_MSG", "FOUND", "NO_NEW_MSG"]);
    assert_eq!(messages(&events), 6);
    let first = of(&events, "message")[0];
    assert_eq!(
        (&first["body"], &first["tag"], &first["keys"]),
        (&"hello".into(), &"paid".into(), &"k".into())
    );
    assert_eq!(of(&events, "end")[0]["queues"].as_array().unwrap().len(), 2);

    let unmatched = cluster.pull(&["--tags", "sent"]);
    assert!(statuses(&unmatched).contains(&"NO_MATCHED_MSG") && messages(&unmatched) == 0, "{unmatched:?}");
    let illegal = cluster.pull(&["--from", "1000", "--queue", "0"]);
    assert_eq!((statuses(&illegal), messages(&illegal)), (vec!["OFFSET_ILLEGAL", "NO_NEW_MSG"], 0));
    assert_eq!(messages(&cluster.pull(&["--sql", "TAGS = 'paid'"])), 6);
}

#[test]
fn reading_begins_where_it_is_told_to_and_ends_after_so_many() {
    let cluster = Cluster::start();
    cluster.send(10);
    for (arguments, count) in [
        (&["--from", "begin"][..], 10),
        (&["--from", "end"], 0),
        (&["--from", "3"], 4),
        (&["--from", "2001-01-01T00:00:00Z"], 10),
        (&["--from", "2101-01-01T00:00:00Z"], 0),
        (&["--queue", "1"], 5),
        (&["--max", "7"], 7),
    ] {
        assert_eq!(messages(&cluster.pull(arguments)), count, "{arguments:?}");
    }
}

#[test]
fn offsets_are_kept_in_a_file_when_asked() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("orders.json");
    let cluster = Cluster::start();
    cluster.send(10);
    let keep = ["--offsets", file.to_str().unwrap()];
    assert_eq!(messages(&cluster.pull(&[&keep[..], &["--max", "7"]].concat())), 7);
    assert_eq!(messages(&cluster.pull(&keep)), 3);
    assert_eq!(messages(&cluster.pull(&keep)), 0);
    cluster.send(2);
    assert_eq!(messages(&cluster.pull(&keep)), 2);
    assert_eq!(messages(&cluster.pull(&[&keep[..], &["--from", "begin"]].concat())), 12);
    assert!(std::fs::read_to_string(&file).unwrap().contains("offsetTable"));
    assert_eq!(messages(&cluster.pull(&[])), 12, "without the file there are no kept offsets");
}

#[test]
fn text_has_messages_on_standard_output_and_statuses_on_standard_error() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("body");
    std::fs::write(&file, [0xff, 0x00, 0x1b]).unwrap();
    let cluster = Cluster::start();
    cluster.send(1);
    cluster.succeeds(&["send", "orders", "--file", file.to_str().unwrap()]);
    let output = cluster.succeeds(&["pull", "orders"]);
    let (told, out) = (text(&output.stderr), text(&output.stdout));
    assert!(out.contains("tag paid, keys k\n  hello\n"), "{out}");
    assert!(out.contains("\n  (binary, 3 bytes, as base64) /wAb\n"), "{out}");
    // Each send begins at a queue of its own choice, so the two may be in one queue.
    let (first, second) = (told.contains("gantry-broker:0 at 0: "), told.contains("gantry-broker:1 at 0: "));
    assert!(first && second && told.contains(": FOUND, ") && told.contains(": NO_NEW_MSG\n"), "{told}");
    assert!(told.ends_with("read 2 messages from 2 queues\n"), "{told}");
}

#[test]
fn following_waits_for_messages_until_it_is_stopped() {
    let cluster = Cluster::start();
    cluster.send(3);
    let arguments = ["pull", "orders", "--follow", "--from", "begin", "--json", "-n", &cluster.name_server];
    let mut follower = Running::start(&arguments);
    (0..3).for_each(|_| assert_eq!(follower.event("message")["body"], "hello"));
    cluster.succeeds(&["send", "orders", "later"]);
    assert_eq!(follower.event("message")["body"], "later");
    follower.terminate();
    assert_eq!(follower.event("end")["messages"], 4);
    assert_eq!(follower.child.wait().unwrap().code(), Some(0));

    let bounded = cluster.pull(&["--follow", "--max", "4"]);
    assert_eq!(messages(&bounded), 4);
}

#[test]
fn a_reader_that_goes_away_ends_it() {
    let cluster = Cluster::start();
    cluster.send(1);
    let mut follower = Running::start(&["pull", "orders", "--follow", "--json", "-n", &cluster.name_server]);
    follower.event("message");
    drop(follower.lines.take());
    cluster.send(2);
    assert_eq!(follower.child.wait().unwrap().code(), Some(0));
}

#[test]
fn what_cannot_be_read_is_said_with_the_exit_code() {
    let cluster = Cluster::start();
    for (arguments, code, words) in [
        (&["pull", "nothing"][..], 1, "topic nothing does not exist"),
        (&["pull", "orders", "--queue", "7"], 1, "has no queue 7, it has"),
        (&["pull", "orders", "--tags", "||"], 1, "names no tag"),
        (&["pull", "orders", "--group", "a b"], 1, "group"),
        (&["pull", "orders", "--from", "yesterday"], 2, "expected begin, end, an offset, or a time"),
        (&["pull", "orders", "--queue", "last"], 2, "BROKER:NUMBER"),
        (&["pull", "orders", "--max", "0"], 2, "--max"),
    ] {
        let output = cluster.run(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        assert!(text(&output.stderr).contains(words), "{arguments:?}: {}", text(&output.stderr));
    }
    let unwritable = Path::new(env!("CARGO_BIN_EXE_gantry")).join("offsets.json");
    cluster.send(1);
    let output = cluster.run(&["pull", "orders", "--offsets", unwritable.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("cannot be written"), "{}", text(&output.stderr));
}
