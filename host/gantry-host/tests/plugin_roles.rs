//! Plugins of every role, as the directory has them come, change and go.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use gantry_engine::OutgoingMessage;
use gantry_host::config::GantryConfig;
use gantry_host::status::PluginStatus;
use gantry_host::{Host, Unobserved};
use gantry_protocol::MessageQueue;
use tempfile::TempDir;

const BOUND: Duration = Duration::from_secs(120);

/// What `cargo xtask guests` built.
fn component(name: &str) -> Vec<u8> {
    let repository = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository.join("target"), PathBuf::from);
    let file = target.join("guests/components").join(format!("{name}.wasm"));
    std::fs::read(&file)
        .unwrap_or_else(|error| panic!("{}: {error}: run `cargo xtask guests` first", file.display()))
}

struct Setup {
    host: Host,
    directory: TempDir,
}

impl Setup {
    /// A host without a name server: strategies need none.
    async fn new() -> Self {
        Self::with("").await
    }

    /// The same with what is in this gantry.toml.
    async fn with(toml: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut config = GantryConfig {
            name_server: "127.0.0.1:1".into(),
            plugins: directory.path().into(),
            ..GantryConfig::from_toml("gantry.toml", toml).unwrap()
        };
        config.state_dir = Some(directory.path().join("state"));
        config.admin.enabled = false;
        let host = Host::start(config, Arc::new(Unobserved)).await.unwrap();
        Self { host, directory }
    }

    fn put(&self, content: &[u8]) {
        let fresh = self.directory.path().join("share.wasm.new");
        std::fs::write(&fresh, content).unwrap();
        std::fs::rename(fresh, self.directory.path().join("share.wasm")).unwrap();
    }

    async fn until(&self, what: &str, done: impl Fn(Option<&PluginStatus>) -> bool) {
        let deadline = Instant::now() + BOUND;
        loop {
            let status = self.host.status();
            if done(status.plugins.first()) {
                return;
            }
            assert!(Instant::now() < deadline, "{what}: {status:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn until_active(&self, what: &str, roles: &[&str], swaps: u64) {
        let active = |plugin: &PluginStatus| plugin.state == "active" && plugin.rejected.is_none();
        let alike = |plugin: &PluginStatus| plugin.roles == roles && plugin.swaps == swaps;
        self.until(what, |plugin| plugin.is_some_and(|plugin| active(plugin) && alike(plugin))).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strategy_is_active_swapped_rejected_and_retired_like_any_plugin() {
    let setup = Setup::new().await;
    setup.put(&component("rendezvous"));
    setup.until_active("the sample serves", &["strategy"], 0).await;
    let plugin = setup.host.status().plugins.remove(0);
    assert_eq!((&*plugin.name, plugin.version.as_deref()), ("share", Some("1.0.0")));
    assert_eq!((plugin.consumer_group, plugin.subscriptions), (None, Vec::new()));

    setup.put(&component("strategy-drops"));
    setup.until_active("another version serves", &["strategy"], 1).await;

    setup.put(b"not wasm");
    let serves_on = |plugin: &PluginStatus| plugin.state == "active" && plugin.rejected.is_some();
    setup.until("the version before serves on", |plugin| plugin.is_some_and(serves_on)).await;
    assert_eq!(setup.host.status().plugins[0].roles, ["strategy"]);

    std::fs::remove_file(setup.directory.path().join("share.wasm")).unwrap();
    setup.until("it is gone", |plugin| plugin.is_none()).await;
    assert!(setup.host.stop().await.graceful);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_selector_serves_is_swapped_while_it_is_asked_and_goes() {
    let setup = Setup::new().await;
    setup.put(&component("jump-hash"));
    setup.until_active("the sample serves", &["selector"], 0).await;
    let selectors = setup.host.selectors();
    let queues: Vec<_> = (0..4).map(|id| MessageQueue::new("orders", "broker-a", id)).collect();
    let (asked, stop) = (selectors.clone(), Arc::new(AtomicBool::new(false)));
    let stopped = Arc::clone(&stop);
    let asking = tokio::task::spawn_blocking(move || {
        let mut answers = Vec::new();
        while !stopped.load(Ordering::Relaxed) {
            answers.push(asked.select("share", &queues, &OutgoingMessage::default(), "order-7"));
        }
        answers
    });
    // Every role at once: its selector chooses the first queue.
    setup.put(&component("lifecycle"));
    setup.until_active("another version serves", &["listener", "strategy", "selector"], 1).await;
    let first = |plugin: &PluginStatus| plugin.selections.is_some_and(|selections| selections.calls > 0);
    setup.until("its calls are counted", |plugin| plugin.is_some_and(first)).await;
    stop.store(true, Ordering::Relaxed);
    let answers = asking.await.unwrap();
    assert!(answers.iter().all(Result::is_ok), "no call failed while versions changed");
    let selections = setup.host.status().plugins[0].selections.unwrap();
    assert_eq!((selections.calls, selections.fallbacks), (u64::try_from(answers.len()).unwrap(), 0));

    std::fs::remove_file(setup.directory.path().join("share.wasm")).unwrap();
    setup.until("it is gone", |plugin| plugin.is_none()).await;
    let error = selectors.select("share", &[], &OutgoingMessage::default(), "").unwrap_err();
    assert!(error.contains("put share.wasm into the plugins directory"), "{error}");
    assert!(setup.host.stop().await.graceful);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_whose_init_fails_leaves_the_one_before_it() {
    let setup = Setup::new().await;
    setup.put(&component("minimal"));
    setup.until_active("a listener", &["listener"], 0).await;
    setup.put(&component("init-fails"));
    let kept = |plugin: &PluginStatus| {
        let why = plugin.rejected.as_deref().unwrap_or_default();
        plugin.state == "active" && why.contains("`init` failed: no limit is set")
    };
    setup.until("it is rejected", |plugin| plugin.is_some_and(kept)).await;
    assert_eq!(setup.host.status().plugins[0].consumer_group.as_deref(), Some("greetings-group"));
    assert!(setup.host.stop().await.graceful);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_of_wasi_messaging_has_its_group_and_topics_from_configuration() {
    let setup = Setup::new().await;
    setup.put(&component("messaging"));
    let told = |plugin: &PluginStatus| {
        let why = plugin.rejected.as_deref().unwrap_or_default();
        plugin.state == "rejected"
            && why.contains(
                "[plugin.share] consumer-group = \"share-group\" subscriptions = [{ topic = \"share\" }]",
            )
    };
    setup.until("it is rejected with the lines to add", |plugin| plugin.is_some_and(told)).await;
    assert!(setup.host.stop().await.graceful);

    let lines = "[plugin.share]\nconsumer-group = \"share-group\"\nsubscriptions = [{ topic = \"share\" }]\n";
    let setup = Setup::with(lines).await;
    setup.put(&component("messaging"));
    setup.until_active("it serves", &["listener"], 0).await;
    let plugin = setup.host.status().plugins.remove(0);
    assert_eq!(plugin.consumer_group.as_deref(), Some("share-group"));
    assert_eq!(plugin.subscriptions, ["share: *"]);
    assert!(setup.host.stop().await.graceful);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_may_play_other_roles_than_the_one_before() {
    let setup = Setup::new().await;
    setup.put(&component("listener-and-strategy"));
    setup.until_active("both roles", &["listener", "strategy"], 0).await;
    let status = setup.host.status();
    assert_eq!(status.plugins[0].consumer_group.as_deref(), Some("both-group"));
    assert_eq!(status.groups.len(), 1);

    setup.put(&component("rendezvous"));
    setup.until_active("a strategy alone", &["strategy"], 1).await;
    assert!(setup.host.status().groups.is_empty(), "its group ended with its listener");

    setup.put(&component("minimal"));
    setup.until_active("a listener alone", &["listener"], 2).await;
    assert_eq!(setup.host.status().plugins[0].consumer_group.as_deref(), Some("greetings-group"));
    assert!(setup.host.stop().await.graceful);
}
