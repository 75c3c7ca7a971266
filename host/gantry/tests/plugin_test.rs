//! `gantry plugin test`, `bench` and `check` as a plugin's author meets them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn component(name: &str) -> PathBuf {
    let file = repository().join("target/guests/components").join(format!("{name}.wasm"));
    assert!(file.exists(), "the guests are not built: run `cargo xtask guests` first");
    file
}

fn gantry(command: &str, plugin: &str, more: &[&str]) -> Output {
    let mut gantry = Command::new(env!("CARGO_BIN_EXE_gantry"));
    gantry.args(["plugin", command]).arg(component(plugin)).args(more);
    gantry.env_remove("GANTRY_LOG").output().unwrap()
}

fn test(plugin: &str, messages: &Path, more: &[&str]) -> Output {
    gantry("test", plugin, &[&["--messages", messages.to_str().unwrap()], more].concat())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A file with these lines, and the directory that goes with it.
fn file(lines: &[Value]) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("messages.jsonl");
    fs::write(&file, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    (directory, file)
}

/// The results by line, as JSON.
fn results(plugin: &str, lines: &[Value], more: &[&str]) -> Value {
    let (_kept, file) = file(lines);
    let output = test(plugin, &file, &[&["--json"], more].concat());
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", text(&output.stderr)))
}

fn actual(results: &Value) -> Vec<Value> {
    results["cases"].as_array().unwrap().iter().map(|case| case["actual"].clone()).collect()
}

#[test]
fn the_samples_answer_as_their_files_say() {
    for (plugin, file) in
        [("orders", "plugins/orders/messages.jsonl"), ("rendezvous", "plugins/rendezvous/questions.jsonl")]
    {
        let output = test(plugin, &repository().join(file), &[]);
        assert_eq!(output.status.code(), Some(0), "{}{}", text(&output.stdout), text(&output.stderr));
        assert!(text(&output.stdout).contains(" as expected, 0 not"), "{}", text(&output.stdout));
    }
    // The second version has other rules, and the same file says where.
    let output = test("orders-v2", &repository().join("plugins/orders/messages.jsonl"), &[]);
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stdout);
    assert!(told.contains("FAIL  line  6  success"), "{told}");
    assert!(
        told.contains("- expected {\"reconsume-later\":{\"level\":3}}\n      + got      \"success\""),
        "{told}"
    );
}

#[test]
fn a_batch_goes_through_the_hosts_isolation() {
    let lines = ["a", "poison", "b", "c"].map(|body| json!({ "body": body }));
    let all = results("poison", &lines, &[]);
    assert_eq!(
        actual(&all),
        [json!("success"), json!({ "fails": "trap" }), json!("success"), json!("success")]
    );
    assert!(all["cases"][1]["note"].as_str().unwrap().contains("unreachable"), "{all}");
    assert_eq!(all["summary"]["calls"], 5, "one with the batch of 32, then each message alone");
    assert_eq!(
        results("poison", &lines, &["--batch", "2"])["summary"]["calls"],
        4,
        "the second pair is one call"
    );
    let spun = results(
        "spins",
        &[json!({ "body": "spin", "expect": { "fails": "deadline" } })],
        &["--consume-timeout", "100ms"],
    );
    assert_eq!(spun["cases"][0]["verdict"], "as-expected");
}

#[test]
fn an_orderly_queue_goes_on_behind_what_is_not_consumed() {
    let lines = ["ok", "later-once:50", "ok", "trap-once"].map(|body| json!({ "body": body }));
    let all = results("orderly", &lines, &[]);
    let later = json!({ "reconsume-later": { "milliseconds": 50 } });
    assert_eq!(actual(&all), [json!("success"), later, json!("success"), json!({ "fails": "trap" })]);
}

#[test]
fn a_strategy_that_drops_a_queue_is_found_out() {
    let question = json!({ "queues": 4, "members": ["a", "b"], "expect": "sound" });
    let (_kept, file) = file(std::slice::from_ref(&question));
    let output = test("strategy-drops", &file, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("unsound: broker-a:"), "{}", text(&output.stdout));
    let trapped =
        results("strategy-traps", &[json!({ "queues": 1, "members": ["a"], "expect": "fails" })], &[]);
    assert_eq!(trapped["summary"]["asExpected"], 1, "{trapped}");
}

#[test]
fn a_selector_is_asked_checked_and_measured() {
    let lines = [
        json!({ "queues": 8, "arg": "order-17", "message": { "body": "x" } }),
        json!({ "queues": ["broker-b:5"], "arg": "order-17", "expect": "broker-b:5" }),
        json!({ "queues": 8, "arg": "", "expect": "fails" }),
    ];
    let all = results("jump-hash", &lines, &[]);
    assert_eq!(
        (&all["summary"]["asExpected"], &all["summary"]["notJudged"]),
        (&json!(2), &json!(1)),
        "{all}"
    );
    let chosen = all["cases"][0]["actual"].as_str().unwrap();
    assert!(chosen.starts_with("broker-a:"), "{chosen}");
    let told = text(&gantry("check", "jump-hash", &[]).stdout);
    assert!(told.contains("a queue selector, ") && told.contains("gantry send --selector plugin:"), "{told}");
    let measured = gantry("bench", "jump-hash", &["--rounds", "2", "--round", "1ms", "--json"]);
    assert!(text(&measured.stdout).contains("\"select\""), "{}", text(&measured.stderr));
    let (_kept, message) = file(&[json!({ "body": "a" })]);
    let told = text(&test("jump-hash", &message, &[]).stderr);
    assert!(told.contains("is a message, and the plugin is no listener"), "{told}");
}

#[test]
fn update_writes_the_results_and_leaves_the_rest_alone() {
    let (_kept, file) = file(&[]);
    let written = "// greetings\n{ \"body\": \"hello\", \"expect\": \"dead-letter\" }\n{\"body\": \"\"}\n{\"body\": \"\", \"expect\": \"/words/\"}\n";
    fs::write(&file, written.replace("\"/words/\"", "{\"dead-letter\": \"/words/\"}")).unwrap();
    assert_eq!(test("minimal", &file, &[]).status.code(), Some(1));
    let output = test("minimal", &file, &["--update"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("2 expectations rewritten"), "{}", text(&output.stdout));
    let expected = "// greetings\n{ \"body\": \"hello\", \"expect\": \"success\" }\n\
                    {\"body\": \"\", \"expect\": {\"dead-letter\":\"a greeting without words\"}}\n\
                    {\"body\": \"\", \"expect\": {\"dead-letter\": \"/words/\"}}\n";
    assert_eq!(fs::read_to_string(&file).unwrap(), expected);
    assert_eq!(test("minimal", &file, &[]).status.code(), Some(0));
}

#[test]
fn every_unsound_line_is_named_and_nothing_is_run() {
    let lines = [
        json!({ "body": "a" }),
        json!({ "bdoy": "b" }),
        json!({ "body": "c", "bodyBase64": "Yw==" }),
        json!({ "body": "d", "expect": "ok" }),
    ];
    let (_kept, broken) = file(&lines);
    let output = test("minimal", &broken, &[]);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), String::new()));
    let told = text(&output.stderr);
    assert!(told.contains("messages.jsonl:2: unknown field `bdoy`, expected one of `topic`"), "{told}");
    assert!(told.contains("messages.jsonl:3: a message has one body"), "{told}");
    assert!(told.contains("messages.jsonl:4: `ok` is no result; expect is \"success\""), "{told}");

    let (_kept, elsewhere) = file(&[json!({ "topic": "orders", "body": "a" })]);
    let told = text(&test("minimal", &elsewhere, &[]).stderr);
    assert!(told.contains("does not subscribe to `orders`; give one of its topics (greetings)"), "{told}");
    let (_kept, question) = file(&[json!({ "queues": 1, "members": ["a"] })]);
    let told = text(&test("minimal", &question, &[]).stderr);
    assert!(told.contains("is a question for a strategy, and the plugin is no strategy"), "{told}");
}

#[test]
fn a_plugin_that_would_be_rejected_is_not_run() {
    let (_kept, file) = file(&[json!({ "body": "a", "expect": "success" })]);
    let output = test("imports-clock", &file, &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("grants = [\"clocks\"]"), "{}", text(&output.stderr));
    assert_eq!(test("imports-clock", &file, &["--grant", "clocks"]).status.code(), Some(0));
}

#[test]
fn a_bench_measures_every_figure_of_a_listener_and_of_a_strategy() {
    let quick = ["--rounds", "2", "--round", "1ms", "--json"];
    let figures = |plugin: &str, more: &[&str]| {
        let output = gantry("bench", plugin, &[&quick, more].concat());
        assert_eq!(output.status.code(), Some(0), "{plugin}: {}", text(&output.stderr));
        let value: Value = serde_json::from_slice(&output.stdout).unwrap();
        let all = value["figures"].as_array().unwrap().iter();
        for figure in all.clone() {
            let at = |name: &str| figure[name].as_f64().unwrap();
            assert!(at("min") > 0.0 && at("min") <= at("median") && at("median") <= at("max"), "{figure}");
        }
        (all.map(|figure| figure["key"].as_str().unwrap().to_owned()).collect::<Vec<_>>(), value)
    };
    let messages = repository().join("plugins/orders/messages.jsonl");
    let (keys, all) = figures("orders", &["--messages", messages.to_str().unwrap()]);
    assert_eq!(
        keys,
        [
            "guest-1",
            "native-1",
            "guest-32",
            "native-32",
            "guest-256",
            "native-256",
            "empty-call",
            "instance-fresh",
            "instance-reused",
            "memory-fresh",
            "memory-used",
            "compile",
            "cached",
            "ready"
        ]
    );
    assert_eq!(all["answers"], "3 dead-letter, 2 reconsume-later, 3 success");
    let build = if cfg!(debug_assertions) { "debug" } else { "release" };
    assert_eq!(all["build"], build);
    assert_eq!(figures("rendezvous", &[]).0, ["allocate", "compile", "cached", "ready"]);
    assert_eq!(figures("minimal", &["--size", "4096"]).1["size"], 4096);

    let failing = gantry("bench", "traps", &[]);
    assert_eq!(failing.status.code(), Some(1));
    assert!(
        text(&failing.stderr).contains("the plugin fails with these messages (trap)"),
        "{}",
        text(&failing.stderr)
    );
}

#[test]
fn a_check_names_worlds_imports_and_what_an_instance_takes() {
    let check = |plugin: &str, more: &[&str]| {
        let output = gantry("check", plugin, &[&["--json"], more].concat());
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let both = check("listener-and-strategy", &[]);
    let worlds: Vec<_> =
        both["worlds"].as_array().unwrap().iter().map(|world| world["world"].as_str().unwrap()).collect();
    assert_eq!(worlds, ["allocate-message-queue-strategy", "message-listener-lean"]);
    assert_eq!(both["worlds"][0]["package"], "gantry:rocketmq@0.1.0");
    assert_eq!((&both["instance"]["memories"], &both["coreInstances"]), (&json!(1), &json!(3)));
    assert!(both["compileMilliseconds"].as_f64().unwrap() > 0.0);

    let clock = |value: &Value| {
        let imports = value["imports"].as_array().unwrap().iter();
        imports
            .clone()
            .find(|import| import["name"].as_str().unwrap().starts_with("wasi:clocks"))
            .unwrap()
            .clone()
    };
    let refused = check("imports-clock", &[]);
    assert_eq!((&refused["loads"], &refused["rule"]), (&json!(false), &json!("ungranted-import")));
    assert_eq!((&clock(&refused)["grant"], &clock(&refused)["allowed"]), (&json!("clocks"), &json!(false)));
    assert_eq!(clock(&check("imports-clock", &["--grant", "clocks"]))["allowed"], true);

    let told = text(&gantry("check", "imports-clock", &[]).stdout);
    assert!(told.contains("(now): needs the grant \"clocks\"\n"), "{told}");
    let told = text(&gantry("check", "orders", &[]).stdout);
    assert!(told.contains("  world           message-listener-lean (gantry:rocketmq@0.1.0)\n"), "{told}");
    assert!(told.contains("fits the pool"), "{told}");
}
