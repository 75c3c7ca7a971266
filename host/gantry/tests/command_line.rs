//! The binary as a user meets it: its output, its errors, its exit codes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use serde_json::Value;

const BOUND: Duration = Duration::from_secs(180);

fn gantry() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gantry"));
    let state = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("state-{}", std::process::id()));
    command.env("XDG_STATE_HOME", state).env_remove("GANTRY_LOG").env_remove("GANTRY_NAME_SERVER");
    command.env_remove("GANTRY_ADMIN").env_remove("GANTRY_ADMIN_TOKEN");
    command.stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    gantry().args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn components() -> PathBuf {
    let components = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/guests/components");
    assert!(
        components.join("orders.wasm").exists(),
        "the guests are not built: run `cargo xtask guests` first"
    );
    components
}

/// A gantry that runs, its standard output line by line, killed at the end if it has not ended itself.
struct Running {
    child: Child,
    lines: mpsc::Receiver<String>,
    log: Arc<Mutex<String>>,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl Running {
    fn start(arguments: &[&str]) -> Self {
        let mut child =
            gantry().args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let log = Arc::<Mutex<String>>::default();
        let written = Arc::clone(&log);
        let reader = std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                *written.lock().unwrap() += &(line + "\n");
            }
        });
        Self { child, lines, log, reader: Some(reader) }
    }

    /// Waits until the log has these words.
    fn logged(&self, words: &str) {
        let deadline = Instant::now() + BOUND;
        while !self.log.lock().unwrap().contains(words) {
            assert!(Instant::now() < deadline, "no {words:?} in {BOUND:?}: {}", self.log.lock().unwrap());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The next JSON line of this event.
    fn event(&self, event: &str) -> Value {
        let deadline = Instant::now() + BOUND;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left).unwrap_or_else(|_| panic!("no {event:?} in {BOUND:?}"));
            let value: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("not JSON: {line}"));
            if value["event"] == event {
                return value;
            }
        }
    }

    fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    /// The exit code and the log.
    fn end(mut self) -> (Option<i32>, String) {
        let deadline = Instant::now() + BOUND;
        while self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "still running after {BOUND:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
        let code = self.child.wait().unwrap().code();
        self.reader.take().unwrap().join().unwrap();
        let log = self.log.lock().unwrap().clone();
        (code, log)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn broker(arguments: &[&str]) -> (Running, String) {
    let broker = Running::start(&[&["broker", "--listen", "127.0.0.1:0", "--json"], arguments].concat());
    let address = broker.event("started")["nameServer"].as_str().unwrap().to_owned();
    (broker, address)
}

#[test]
fn every_command_has_help_with_examples_or_options() {
    for command in [
        &["run"][..],
        &["broker"],
        &["demo"],
        &["send"],
        &["topic", "create"],
        &["topic", "list"],
        &["plugin", "check"],
        &["plugin", "test"],
        &["plugin", "bench"],
    ] {
        let output = run(&[command, &["--help"]].concat());
        assert!(output.status.success(), "{command:?}");
        assert!(text(&output.stdout).contains("--json"), "{command:?} has no --json");
    }
}

#[test]
fn a_bad_configuration_names_file_line_key_and_what_was_expected() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("gantry.toml");
    std::fs::write(&file, "plugins = \"plugins\"\n\n[consumer]\nconsume-thread-max = \"many\"\n").unwrap();
    let output = run(&["run", "--config", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(error.contains(&format!("{}:4: consume-thread-max: ", file.display())), "{error}");
}

#[test]
fn a_missing_plugins_directory_is_an_error_with_its_mend() {
    let output = run(&["run", "--plugins", "/nonexistent/plugins", "--admin-listen", "127.0.0.1:0"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("mkdir -p"), "{}", text(&output.stderr));
}

#[test]
fn plugin_check_tells_listeners_and_strategies_from_what_would_be_rejected() {
    let components = components();
    let good = run(&["plugin", "check", components.join("orders.wasm").to_str().unwrap(), "--json"]);
    assert_eq!(good.status.code(), Some(0));
    let value: Value = serde_json::from_slice(&good.stdout).unwrap();
    assert_eq!(value["description"]["consumer_group"], "orders-group");

    let strategy = run(&["plugin", "check", components.join("rendezvous.wasm").to_str().unwrap()]);
    assert_eq!(strategy.status.code(), Some(0));
    let told = text(&strategy.stdout);
    assert!(told.contains("an allocation strategy, "), "{told}");
    assert!(told.contains("allocate-message-queue-strategy = \"plugin:rendezvous\""), "{told}");
    let selector = run(&["plugin", "check", components.join("jump-hash.wasm").to_str().unwrap()]);
    assert!(text(&selector.stdout).contains("a queue selector, "), "{}", text(&selector.stdout));
    let both = components.join("listener-and-strategy.wasm");
    let both = run(&["plugin", "check", both.to_str().unwrap(), "--json"]);
    let value: Value = serde_json::from_slice(&both.stdout).unwrap();
    assert_eq!(value["roles"], serde_json::json!(["listener", "strategy"]));
    assert_eq!(value["strategy"]["name"], "all-to-first");

    let bad = run(&["plugin", "check", components.join("imports-clock.wasm").to_str().unwrap()]);
    assert_eq!(bad.status.code(), Some(1));
    assert!(text(&bad.stdout).contains("clocks"), "{}", text(&bad.stdout));
    let granted = run(&[
        "plugin",
        "check",
        components.join("imports-clock.wasm").to_str().unwrap(),
        "--grant",
        "clocks",
    ]);
    assert_eq!(granted.status.code(), Some(0), "{}", text(&granted.stdout));
}

#[test]
fn plugin_check_names_the_lines_that_grant_what_is_missing_and_loads_with_them() {
    let enrich = components().join("enrich.wasm");
    let mut check = vec!["plugin", "check", enrich.to_str().unwrap()];
    let refused = run(&check);
    assert_eq!(refused.status.code(), Some(1));
    let told = text(&refused.stdout);
    let line = r#"grants = ["producer", "keyvalue", "logging", "metrics"] under [plugin.NAME]"#;
    assert!(told.contains(line) && told.contains("[plugin.NAME.config]"), "{told}");
    for grant in ["producer", "keyvalue", "logging", "metrics", "config"] {
        check.extend(["--grant", grant]);
    }
    let granted = run(&check);
    assert_eq!(granted.status.code(), Some(0), "{}", text(&granted.stdout));
    check.extend(["--grant", "network"]);
    assert!(text(&run(&check).stderr).contains("`network` is not something"));
}

#[test]
fn a_broker_takes_topics_and_messages_and_keeps_them_through_a_kill() {
    let data = tempfile::tempdir().unwrap();
    let keep = ["--data", data.path().to_str().unwrap()];
    let (first, address) = broker(&keep);
    let made = run(&["topic", "create", "orders", "--queues", "2", "-n", &address, "--json"]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    let sent = run(&[
        "send", "orders", "{}", "--tag", "paid", "--key", "k", "--count", "5", "-n", &address, "--json",
    ]);
    assert!(sent.status.success(), "{}", text(&sent.stderr));
    assert_eq!(text(&sent.stdout).lines().count(), 5);

    first.signal("-KILL");
    first.end();
    let (second, address) = broker(&keep);
    let listed = run(&["topic", "list", "-n", &address]);
    assert_eq!(text(&listed.stdout), "orders\n");
    let next = run(&["send", "orders", "{}", "--count", "2", "-n", &address, "--json"]);
    let offsets: u64 = text(&next.stdout)
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["queueOffset"].as_u64().unwrap())
        .sum();
    assert_eq!(offsets, 2 + 3, "two queues held five messages before the kill");
    second.signal("-TERM");
    assert_eq!(second.end().0, Some(0));
}

#[test]
fn a_selector_says_which_queue_a_message_goes_to() {
    let (_broker, address) = broker(&["--in-memory"]);
    assert!(run(&["topic", "create", "orders", "--queues", "8", "-n", &address]).status.success());
    let queues = |selector: &str, arg: &str| {
        let sent = run(&[
            "send",
            "orders",
            "{}",
            "--count",
            "6",
            "-n",
            &address,
            "--json",
            "--selector",
            selector,
            "--arg",
            arg,
        ]);
        assert!(sent.status.success(), "{}", text(&sent.stderr));
        let queue = |line: &str| serde_json::from_str::<Value>(line).unwrap()["queueId"].as_u64().unwrap();
        let queues: Vec<u64> = text(&sent.stdout).lines().map(queue).collect();
        assert_eq!(queues.len(), 6);
        (queues, text(&sent.stderr))
    };
    // "a".hashCode() is 97 in Java.
    assert_eq!(queues("by-hash", "a"), (vec![1; 6], String::new()));
    let plugin = |name: &str| format!("plugin:{}", components().join(name).display());
    let (chosen, said) = queues(&plugin("jump-hash.wasm"), "a");
    assert!(chosen.iter().all(|queue| *queue == chosen[0]) && said.is_empty(), "{chosen:?} {said}");
    let (fallback, said) = queues(&plugin("selector-absurd.wasm"), "a");
    assert_eq!(fallback, vec![1; 6]);
    assert!(said.contains("chose queue 8 where there are 8"), "{said}");

    let missing = run(&["send", "nothing", "{}", "-n", &address, "--selector", "by-hash", "--arg", "a"]);
    assert!(text(&missing.stderr).contains("gantry topic create nothing"), "{}", text(&missing.stderr));
    let wrong = plugin("minimal.wasm");
    let wrong = run(&["send", "orders", "{}", "-n", &address, "--selector", &wrong]);
    assert!(text(&wrong.stderr).contains("is a listener and no selector"), "{}", text(&wrong.stderr));
}

#[test]
fn lines_of_standard_input_are_messages() {
    let (_broker, address) = broker(&["--in-memory"]);
    let mut send = gantry()
        .args(["send", "notes", "--lines", "-n", &address, "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    send.stdin.take().unwrap().write_all(b"one\n\ntwo\n").unwrap();
    let output = send.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(text(&output.stdout).lines().count(), 2, "an empty line is no message");
}

#[test]
fn run_waits_for_its_name_server_and_drains_on_sigterm() {
    let plugins = tempfile::tempdir().unwrap();
    std::fs::copy(components().join("minimal.wasm"), plugins.path().join("minimal.wasm")).unwrap();
    // An address where nothing listens, until a broker takes it. Bound, it is given to nobody who does not name it.
    let reserved = tokio::net::TcpSocket::new_v4().unwrap();
    reserved.set_reuseaddr(true).unwrap();
    reserved.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let free = reserved.local_addr().unwrap().to_string();
    let host = Running::start(&[
        "run",
        "--name-server",
        &free,
        "--plugins",
        plugins.path().to_str().unwrap(),
        "--admin-listen",
        "127.0.0.1:0",
        "--json",
    ]);
    host.event("started");
    while host.event("plugin")["state"] != "active" {}
    host.logged("name servers do not answer");
    let broker = Running::start(&["broker", "--listen", &free, "--in-memory", "--json"]);
    broker.event("started");
    let sent = run(&["send", "greetings", "hello", "-n", &free]);
    assert!(sent.status.success(), "{}", text(&sent.stderr));

    host.signal("-TERM");
    assert_eq!(host.event("stopped")["graceful"], true);
    let (code, log) = host.end();
    assert_eq!(code, Some(0), "{log}");
}

#[test]
fn a_host_whose_output_nobody_reads_goes_on_and_drains() {
    let (_broker, address) = broker(&["--in-memory"]);
    for format in [&["--json"][..], &[]] {
        let (plugins, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let config = plugins.path().join("gantry.toml");
        let settings = format!(
            "name-server = \"{address}\"\nplugins = \"{}\"\nstate-dir = \"{}\"\n[admin]\nlisten = \"127.0.0.1:0\"\n",
            plugins.path().display(),
            state.path().display()
        );
        std::fs::write(&config, settings).unwrap();
        let mut host = Running::start(&[&["run", "--config", config.to_str().unwrap()], format].concat());
        host.lines.recv_timeout(BOUND).unwrap();
        // Its reader ends with the next line.
        host.lines = mpsc::channel().1;
        std::fs::copy(components().join("minimal.wasm"), plugins.path().join("minimal.wasm")).unwrap();
        host.logged("plugin minimal active");
        host.signal("-TERM");
        let (code, log) = host.end();
        assert_eq!(code, Some(0), "{log}");
        assert!(!log.contains("panicked"), "{log}");
    }
}

/// As `gantry topic list | head -0` has it.
#[test]
fn a_command_whose_output_nobody_reads_does_what_was_asked() {
    let (_broker, address) = broker(&["--in-memory"]);
    for (name, format) in [("shown", None), ("told", Some("--json"))] {
        let mut command = gantry();
        command.args(["topic", "create", name, "--name-server", &address]).args(format);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
        let topics = run(&["topic", "list", "--name-server", &address]);
        assert!(text(&topics.stdout).contains(name), "{topics:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_command_whose_output_cannot_be_written_fails() {
    let (_broker, address) = broker(&["--in-memory"]);
    for format in [None, Some("--json")] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let mut command = gantry();
        command.args(["topic", "list", "--name-server", &address]).args(format).stdout(full);
        let output = command.stderr(Stdio::piped()).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).starts_with("error: cannot write to standard output: "), "{output:?}");
    }
}

#[test]
fn a_second_broker_on_the_same_data_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let (_first, _) = broker(&["--data", data.path().to_str().unwrap()]);
    let second = run(&["broker", "--listen", "127.0.0.1:0", "--data", data.path().to_str().unwrap()]);
    assert_eq!(second.status.code(), Some(1));
    assert!(text(&second.stderr).contains("in use by another broker"), "{}", text(&second.stderr));
}

#[test]
fn the_demo_ends_by_itself_and_loses_nothing() {
    let workspace = tempfile::tempdir().unwrap();
    let output = run(&[
        "demo",
        "--plugins",
        components().to_str().unwrap(),
        "--workspace",
        workspace.path().to_str().unwrap(),
        "--for",
        "30s",
        "--rate",
        "20",
        "--json",
    ]);
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    let count = |name: &str| summary[name].as_u64().unwrap();
    assert!(count("sent") > 100, "{summary}");
    assert!(count("deadLettered") > 0 && count("reconsumed") > 0, "{summary}");
    assert_eq!((count("lost"), count("duplicated"), count("swaps")), (0, 0, 1), "{summary}");
    assert_eq!(count("sent"), count("succeeded") + count("deadLettered") + count("waiting"), "{summary}");
}

#[test]
fn an_operator_sees_plugins_and_brings_a_version_back() {
    let (_broker, address) = broker(&["--in-memory"]);
    let (plugins, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let config = plugins.path().join("gantry.toml");
    let settings = format!(
        "name-server = \"{address}\"\nplugins = \"{0}\"\nstate-dir = \"{1}\"\n[admin]\nlisten = \"127.0.0.1:0\"\ntoken = \"0123456789abcdef\"\n",
        plugins.path().display(),
        state.path().display()
    );
    std::fs::write(&config, settings).unwrap();
    let first = std::fs::read(components().join("minimal.wasm")).unwrap();
    let second = [first.as_slice(), b"\x00\x09\x07version1"].concat();
    let put = |content: &[u8]| {
        std::fs::write(plugins.path().join("p.wasm.new"), content).unwrap();
        std::fs::rename(plugins.path().join("p.wasm.new"), plugins.path().join("p.wasm")).unwrap();
    };
    put(&first);
    let host = Running::start(&["run", "--config", config.to_str().unwrap(), "--json"]);
    let url = host.event("started")["admin"].as_str().unwrap().to_owned();
    while host.event("plugin")["state"] != "active" {}
    put(&second);
    while host.event("plugin")["state"] != "active" {}

    let ask = |arguments: &[&str]| {
        let mut command = gantry();
        command.env("GANTRY_ADMIN", &url).env("GANTRY_ADMIN_TOKEN", "0123456789abcdef");
        command.args(arguments).output().unwrap()
    };
    let listed = ask(&["plugin", "list"]);
    assert!(listed.status.success(), "{}", text(&listed.stderr));
    let table = text(&listed.stdout);
    assert!(table.starts_with("PLUGIN") && table.contains("greetings-group"), "{table}");
    let back = ask(&["plugin", "rollback", "p"]);
    assert!(back.status.success() && text(&back.stdout).contains("serves"), "{back:?}");
    let detail: Value = serde_json::from_slice(&ask(&["plugin", "list", "p", "--json"]).stdout).unwrap();
    assert_eq!(detail["hash"], detail["history"][0]["hash"]);
    assert!(text(&ask(&["plugin", "list", "p"]).stdout).contains("rolled back by an operator"));
    let promoted = ask(&["plugin", "promote", "p", "--json"]);
    let done: Value = serde_json::from_slice(&promoted.stdout).unwrap();
    assert!(done["done"].as_str().unwrap().contains("serves"), "{done}");

    let aborted = ask(&["plugin", "abort", "p"]);
    assert_eq!(aborted.status.code(), Some(1));
    assert!(text(&aborted.stderr).contains("has no version on trial"), "{}", text(&aborted.stderr));
    let shown = ask(&["status"]);
    assert!(text(&shown.stdout).contains("greetings-group"), "{}", text(&shown.stdout));
    let refused = ask(&["status", "--token", "another one"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("the token is another one"), "{}", text(&refused.stderr));
    let nobody = ask(&["status", "--admin", "http://127.0.0.1:1"]);
    assert_eq!(nobody.status.code(), Some(1));
    assert!(text(&nobody.stderr).contains("no host answers"), "{}", text(&nobody.stderr));
    host.signal("-TERM");
    assert_eq!(host.event("stopped")["graceful"], true);
}
