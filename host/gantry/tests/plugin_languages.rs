//! `gantry plugin new`, `build`, `check`, `test` and `dev` as an author meets them, in each language.
//!
//! A language whose compiler is not there is skipped with a note; where GANTRY_REQUIRE_LANGUAGES is set, as in CI, it fails.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    missing_docs,
    reason = "tests"
)]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// A build on a machine that does ten other things.
const BOUND: Duration = Duration::from_secs(600);

fn gantry(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gantry"));
    // The project's own compilers, as `cargo xtask guests` fetches them.
    let toolchains = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/toolchain/languages");
    command
        .env("GANTRY_TOOLCHAINS", toolchains)
        .env_remove("GANTRY_LOG")
        .stdin(Stdio::null())
        .args(arguments);
    command
}

fn run(arguments: &[&str]) -> Output {
    gantry(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The new plugin's component, built; nothing where its language's compiler is not there and need not be.
fn built(directory: &Path) -> Option<Value> {
    let output = run(&["plugin", "build", directory.to_str().unwrap(), "--json"]);
    let errors = text(&output.stderr);
    if output.status.success() {
        return Some(serde_json::from_slice(&output.stdout).unwrap());
    }
    let may_be_missing = errors.contains("wasm32-unknown-unknown is missing")
        || std::env::var_os("GANTRY_REQUIRE_LANGUAGES").is_none();
    assert!(errors.contains(" is missing: ") && may_be_missing, "{errors}");
    eprintln!("skipped: {errors}");
    None
}

fn new(directory: &Path, language: &str, role: &str) {
    let made = run(&[
        "plugin",
        "new",
        "greetings",
        "--lang",
        language,
        "--role",
        role,
        "--directory",
        directory.to_str().unwrap(),
    ]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    assert!(text(&made.stdout).contains("next: gantry plugin build"), "{}", text(&made.stdout));
}

fn round_trip(language: &str) {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("greetings");
    new(&directory, language, "listener");
    let Some(first) = built(&directory) else { return };
    let component = first["component"].as_str().unwrap();
    assert!(component.ends_with("dist/greetings.wasm") && first["fresh"] == true, "{first}");
    let checked = run(&["plugin", "check", component, "--json"]);
    let checked: Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert_eq!(
        (&checked["loads"], &checked["roles"][0]),
        (&Value::Bool(true), &Value::from("listener")),
        "{checked}"
    );
    assert_eq!(checked["description"]["consumer_group"], "greetings-group", "{checked}");
    assert_eq!(built(&directory).unwrap()["fresh"], false);
}

#[test]
fn a_new_plugin_in_c_builds_and_loads() {
    round_trip("c");
}

#[test]
fn a_new_plugin_in_go_builds_and_loads() {
    round_trip("go");
}

#[test]
fn a_new_plugin_in_javascript_builds_and_loads() {
    round_trip("js");
}

#[test]
fn a_new_plugin_in_python_builds_and_loads() {
    round_trip("python");
}

#[test]
fn a_new_plugin_in_rust_builds_and_loads() {
    round_trip("rust");
}

/// A new plugin of this role answers these questions, each of which says what is expected; and another answer is told.
fn answers(language: &str, role: &str, questions: &[Value]) {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("greetings");
    new(&directory, language, role);
    let Some(first) = built(&directory) else { return };
    let component = first["component"].as_str().unwrap();
    let checked = run(&["plugin", "check", component, "--json"]);
    let checked: Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert_eq!((&checked["loads"], &checked["roles"]), (&json!(true), &json!([role])), "{checked}");

    let file = home.path().join("questions.jsonl");
    let ask = |questions: &[Value]| {
        fs::write(&file, questions.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
        run(&["plugin", "test", component, "--messages", file.to_str().unwrap()])
    };
    let asked = ask(questions);
    let told = text(&asked.stdout);
    let all = format!("{} as expected, 0 not", questions.len());
    assert!(asked.status.success() && told.contains(&all), "{told}{}", text(&asked.stderr));
    let mut other = questions[0].clone();
    other["expect"] = json!("fails");
    let asked = ask(&[other]);
    let told = text(&asked.stdout);
    assert!(asked.status.code() == Some(1) && told.contains("- expected \"fails\""), "{told}");
}

fn a_strategy_answers(language: &str) {
    let shares = json!({ "a": ["broker-a:0", "broker-a:2"], "b": ["broker-a:1"] });
    let questions = [
        json!({ "queues": 3, "members": ["a", "b"], "expect": shares }),
        json!({ "queues": 16, "members": ["a", "b", "c"], "expect": "sound" }),
        json!({ "queues": 1, "members": ["a", "b"], "expect": { "a": ["broker-a:0"], "b": [] } }),
    ];
    answers(language, "strategy", &questions);
}

#[test]
fn a_new_strategy_in_c_answers() {
    a_strategy_answers("c");
}

#[test]
fn a_new_strategy_in_javascript_answers() {
    a_strategy_answers("javascript");
}

#[test]
fn a_new_selector_in_c_answers() {
    // FNV-1a, 32 bits, of the argument's bytes.
    let questions = [
        json!({ "queues": 8, "arg": "order-17", "expect": "broker-a:6" }),
        json!({ "queues": 8, "arg": "order-18", "expect": "broker-a:7" }),
        json!({ "queues": ["broker-b:5"], "arg": "", "expect": "broker-b:5" }),
    ];
    answers("c", "selector", &questions);
}

#[test]
fn a_new_selector_in_javascript_answers() {
    // Java's `hashCode` of the argument.
    let questions = [
        json!({ "queues": 8, "arg": "order-17", "expect": "broker-a:5" }),
        json!({ "queues": 8, "arg": "order-18", "expect": "broker-a:6" }),
        json!({ "queues": ["broker-b:5"], "arg": "", "expect": "broker-b:5" }),
    ];
    answers("javascript", "selector", &questions);
}

#[test]
fn mistakes_are_told_with_their_mend() {
    let home = tempfile::tempdir().unwrap();
    let here = home.path().to_str().unwrap();
    let fails = |arguments: &[&str], words: &[&str]| {
        let output = run(arguments);
        let errors = text(&output.stderr);
        assert!(
            !output.status.success() && words.iter().all(|word| errors.contains(word)),
            "{arguments:?}: {errors}"
        );
    };
    fails(&["plugin", "build", here], &["no plugin's directory", "gantry plugin new NAME"]);
    fails(
        &["plugin", "new", "a", "--lang", "cobol"],
        &["no language `cobol`", "c, go, javascript, python, rust"],
    );
    fails(
        &["plugin", "new", "a", "--lang", "c", "--role", "x"],
        &["no role `x`", "listener, selector, strategy"],
    );
    fails(
        &["plugin", "new", "no good", "--lang", "c", "--directory", "/nonexistent/x"],
        &["`no good` is no plugin's name"],
    );
    fs::write(home.path().join("mine"), "").unwrap();
    fails(&["plugin", "new", "a", "--lang", "c", "--directory", here], &["exists already"]);
    fails(&["plugin", "dev", here, "--plugins", "/nonexistent/plugins"], &["no plugins directory"]);
}

/// A running `gantry plugin dev`, and all it has said.
struct Dev {
    child: Child,
    said: Arc<Mutex<String>>,
}

impl Dev {
    fn start(directory: &Path, target: &[&str]) -> Self {
        let arguments = [&["plugin", "dev", directory.to_str().unwrap()], target].concat();
        let mut child = gantry(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let said = Arc::<Mutex<String>>::default();
        let keep = |stream: Box<dyn std::io::Read + Send>| {
            let said = Arc::clone(&said);
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    *said.lock().unwrap() += &(line + "\n");
                }
            });
        };
        keep(Box::new(child.stdout.take().unwrap()));
        keep(Box::new(child.stderr.take().unwrap()));
        Self { child, said }
    }

    /// Waits until these words were said so many times.
    fn says(&self, words: &str, times: usize) {
        let deadline = Instant::now() + BOUND;
        while self.said.lock().unwrap().matches(words).count() < times {
            assert!(Instant::now() < deadline, "not {times} times {words:?}: {}", self.said.lock().unwrap());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn dev_builds_each_change_into_the_plugins_directory_and_a_mistake_changes_nothing() {
    let home = tempfile::tempdir().unwrap();
    let (directory, plugins) = (home.path().join("greetings"), home.path().join("plugins"));
    fs::create_dir(&plugins).unwrap();
    new(&directory, "js", "listener");
    if built(&directory).is_none() {
        return;
    }
    let dev = Dev::start(&directory, &["--plugins", plugins.to_str().unwrap()]);
    let component = plugins.join("greetings.wasm");
    dev.says("the host takes it over", 1);
    let first = fs::read(&component).unwrap();

    let source = directory.join("plugin.js");
    let good = fs::read_to_string(&source).unwrap();
    fs::write(&source, "no JavaScript").unwrap();
    dev.says("the version before serves on", 1);
    assert_eq!(fs::read(&component).unwrap(), first);

    fs::write(&source, good.replace("0.1.0", "0.2.0")).unwrap();
    dev.says("the host takes it over", 2);
    let second = fs::read(&component).unwrap();
    assert_ne!(second, first);
    let entries: Vec<_> = fs::read_dir(&plugins).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(entries, ["greetings.wasm"], "nothing half-written is left");
}

#[test]
fn dev_uploads_each_version_to_a_running_host() {
    let home = tempfile::tempdir().unwrap();
    let (directory, plugins) = (home.path().join("greetings"), home.path().join("plugins"));
    fs::create_dir(&plugins).unwrap();
    new(&directory, "js", "listener");
    if built(&directory).is_none() {
        return;
    }
    let (config, token) = (home.path().join("gantry.toml"), "0123456789abcdef");
    let (kept, state) = (plugins.display(), home.path().join("state"));
    let settings = format!(
        "name-server = \"127.0.0.1:1\"\nplugins = \"{kept}\"\nstate-dir = \"{}\"\n[admin]\nlisten = \"127.0.0.1:0\"\ntoken = \"{token}\"\n",
        state.display()
    );
    fs::write(&config, settings).unwrap();
    let run = ["run", "--config", config.to_str().unwrap(), "--json"];
    let mut host = gantry(&run).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut events = BufReader::new(host.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok)
        .filter_map(|line| serde_json::from_str::<Value>(&line).ok());
    let started = events.next().unwrap();
    let admin = started["admin"].as_str().unwrap().to_owned();

    let refused = Dev::start(&directory, &["--admin", &admin, "--token", "another-token-than-it"]);
    refused.says("the version before serves on", 1);
    drop(refused);
    let dev = Dev::start(&directory, &["--admin", &admin, "--token", token]);
    dev.says("the host takes it over", 1);
    let active = |event: &Value| event["plugin"] == "greetings" && event["state"] == "active";
    assert!(events.any(|event| active(&event)));
    assert!(plugins.join("greetings.wasm").exists());
    drop(events);
    host.kill().unwrap();
    host.wait().unwrap();
}
