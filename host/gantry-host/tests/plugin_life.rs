//! The life of a plugin's versions in a running host: trials, rollbacks, quarantine, pins, pauses, and the admin API that
//! shows and drives them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gantry_dev_broker::{Broker, BrokerConfig};
use gantry_host::client_instance::{ClientConfig, ClientInstance, OutgoingMessage, Producer, ProducerConfig};
use gantry_host::config::{
    CanarySettings, ConsumeFrom, ConsumeMode, GantryConfig, Millis, PluginSettings, ShadowSettings, Share,
    ShareOf, SubscriptionSetting, Token,
};
use gantry_host::status::PluginStatus;
use gantry_host::{Host, Observer, Settled, SettledAs};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const BOUND: Duration = Duration::from_secs(120);
const TOPIC: &str = "life";

/// What `cargo xtask guests` built, as a version of its own: a custom section, which means nothing, is added at its end.
fn component(name: &str, version: u8) -> Vec<u8> {
    let repository = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository.join("target"), PathBuf::from);
    let file = target.join("guests/components").join(format!("{name}.wasm"));
    let mut bytes = std::fs::read(&file)
        .unwrap_or_else(|error| panic!("{}: {error}: run `cargo xtask guests` first", file.display()));
    bytes.extend_from_slice(b"\x00\x09\x07version");
    bytes.push(version);
    bytes
}

/// Bodies, and whether each settlement was a success.
#[derive(Default)]
struct Ended(Mutex<Vec<(String, bool)>>);

impl Observer for Ended {
    fn settled(&self, settled: &Settled<'_>) {
        let body = String::from_utf8_lossy(&settled.message.body().unwrap()).into_owned();
        self.0.lock().unwrap().push((body, settled.as_ == SettledAs::Success));
    }
}

impl Ended {
    fn succeeded(&self) -> Vec<String> {
        let ended = self.0.lock().unwrap();
        let mut bodies: Vec<_> =
            ended.iter().filter(|(_, good)| *good).map(|(body, _)| body.clone()).collect();
        bodies.sort_unstable();
        bodies.dedup();
        bodies
    }

    fn failed(&self) -> usize {
        self.0.lock().unwrap().iter().filter(|(_, good)| !*good).count()
    }
}

/// A broker and what a host has on disk, from run to run.
struct Place {
    broker: Broker,
    client: ClientInstance,
    directory: TempDir,
    config: GantryConfig,
    ended: Arc<Ended>,
}

impl Place {
    /// For a plugin `p` with these settings beyond its group and topic. One message a batch.
    async fn new(set: impl FnOnce(&mut PluginSettings)) -> Self {
        Self::at(BrokerConfig::default(), set).await
    }

    /// The same at a broker of this configuration.
    async fn at(mut config: BrokerConfig, set: impl FnOnce(&mut PluginSettings)) -> Self {
        config.listen = ([127, 0, 0, 1], 0).into();
        config.timing.drain = Duration::from_millis(100);
        let broker = Broker::start(config).await.unwrap();
        let name_servers = broker.local_addr().to_string();
        let client = ClientInstance::start(ClientConfig {
            name_servers: name_servers.clone(),
            ..ClientConfig::default()
        })
        .await
        .unwrap();
        let directory = tempfile::tempdir().unwrap();
        let plugins = directory.path().join("plugins");
        std::fs::create_dir(&plugins).unwrap();
        let mut config = GantryConfig { name_server: name_servers, plugins, ..GantryConfig::default() };
        config.state_dir = Some(directory.path().join("state"));
        config.engine.cache_dir = Some(directory.path().join("cache"));
        config.admin.listen = ([127, 0, 0, 1], 0).into();
        config.consumer.consume_from_where = Some(ConsumeFrom::FirstOffset);
        let mut settings = PluginSettings {
            consumer_group: Some("life-group".into()),
            subscriptions: Some(vec![SubscriptionSetting { topic: TOPIC.into(), tags: None, sql: None }]),
            consume_message_batch_max_size: Some(1),
            ..PluginSettings::default()
        };
        set(&mut settings);
        config.plugin.insert("p".into(), settings);
        Self { broker, client, directory, config, ended: Arc::default() }
    }

    async fn host(&self) -> Host {
        Host::start(self.config.clone(), Arc::clone(&self.ended) as _).await.unwrap()
    }

    fn put(&self, content: &[u8]) {
        let fresh = self.directory.path().join("plugins/p.wasm.new");
        std::fs::write(&fresh, content).unwrap();
        std::fs::rename(fresh, self.directory.path().join("plugins/p.wasm")).unwrap();
    }

    async fn send(&self, bodies: impl IntoIterator<Item = String>) {
        let producer = Producer::new(
            self.client.clone(),
            ProducerConfig { send_timeout: BOUND, ..ProducerConfig::default() },
        );
        for body in bodies {
            producer.send(&OutgoingMessage::new(TOPIC, body)).await.unwrap();
        }
    }

    async fn end(self, host: Host) {
        assert!(host.stop().await.graceful);
        self.client.close().await;
        self.broker.stop().await;
    }
}

fn plugin(host: &Host) -> PluginStatus {
    host.status().plugins.into_iter().find(|plugin| plugin.name == "p").unwrap_or_default()
}

async fn until(what: &str, host: &Host, done: impl Fn(&PluginStatus) -> bool) -> PluginStatus {
    let deadline = Instant::now() + BOUND;
    loop {
        let status = plugin(host);
        if done(&status) {
            return status;
        }
        assert!(Instant::now() < deadline, "{what}: {:#?}", host.status());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn serves(content: &[u8]) -> impl Fn(&PluginStatus) -> bool {
    let hash = hash(content);
    move |plugin| plugin.state == "active" && plugin.hash.as_ref() == Some(&hash)
}

fn hash(content: &[u8]) -> String {
    gantry_engine::ContentHash::of(content).to_string()
}

fn numbered(numbers: std::ops::Range<usize>) -> impl Iterator<Item = String> {
    numbers.map(|number| format!("ok {number:04}"))
}

/// The status and the body of an answer.
async fn ask(host: &Host, method: &str, path: &str, headers: &str, body: &[u8]) -> (u16, String) {
    let address = host.admin_address().unwrap();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(&[request.as_bytes(), body].concat()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let status = answer[9..12].parse().unwrap();
    (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}

async fn get(host: &Host, path: &str) -> Value {
    let (status, body) = ask(host, "GET", path, "", b"").await;
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

/// What was done, or the status and the error with its fix.
async fn post(host: &Host, path: &str, body: &str) -> Result<String, (u16, Value)> {
    let (status, body) = ask(host, "POST", path, "", body.as_bytes()).await;
    let told: Value = serde_json::from_str(&body).unwrap();
    match status {
        200 => Ok(told["done"].as_str().unwrap().to_owned()),
        _ => {
            assert!(told["error"].is_string() && told["fix"].is_string(), "{told}");
            Err((status, told))
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_brings_the_version_before_back_and_holds_the_file_back_until_it_changes() {
    let place = Place::new(|_| ()).await;
    let versions = [0, 1, 2].map(|version| component("scripted", version));
    place.put(&versions[0]);
    let host = place.host().await;
    until("the first serves", &host, serves(&versions[0])).await;
    let (status, refused) = post(&host, "/plugins/p/rollback", "").await.unwrap_err();
    assert_eq!(status, 409, "{refused}");
    place.put(&versions[1]);
    until("the second serves", &host, serves(&versions[1])).await;

    let done = post(&host, "/plugins/p/rollback", "").await.unwrap();
    assert!(done.contains(&hash(&versions[0])[..12]), "{done}");
    let held = until("the first serves again", &host, serves(&versions[0])).await;
    assert!(held.held.as_ref().unwrap().contains("rolled back by an operator"), "{held:?}");
    let detail = get(&host, "/plugins/p").await;
    let history: Vec<_> =
        detail["history"].as_array().unwrap().iter().map(|line| line["hash"].clone()).collect();
    assert_eq!(history, [0, 1, 0].map(|version| Value::from(hash(&versions[version]))));
    assert_eq!(detail["history"][1]["reason"], "rolled back by an operator");
    assert!(host.stop().await.graceful);

    let host = place.host().await;
    until("it serves after a restart, too", &host, serves(&versions[0])).await;
    assert!(plugin(&host).held.is_some());
    let done = post(&host, "/plugins/p/promote", "").await.unwrap();
    assert!(done.contains(&hash(&versions[1])[..12]), "{done}");
    assert_eq!(until("the file's serves", &host, serves(&versions[1])).await.held, None);
    post(&host, "/plugins/p/rollback", &format!(r#"{{"hash": "{}"}}"#, &hash(&versions[0])[..8]))
        .await
        .unwrap();
    place.put(&versions[2]);
    assert_eq!(until("another content serves", &host, serves(&versions[2])).await.held, None);

    let missing = [
        ("/plugins/p/rollback", r#"{"hash": "00000000"}"#, 404),
        ("/plugins/p/rollback", r#"{"hash": "x"}"#, 400),
        ("/plugins/p/rollback", r#"{"to": "x"}"#, 400),
        ("/plugins/q/rollback", "", 404),
        ("/plugins/p/promote", "", 409),
        ("/plugins/p/abort", "", 409),
        ("/plugins/p/nothing", "", 404),
    ];
    for (path, body, expected) in missing {
        let (status, told) = post(&host, path, body).await.unwrap_err();
        assert_eq!(status, expected, "{path} {body}: {told}");
    }
    place.end(host).await;
}

fn canary(of: ShareOf) -> CanarySettings {
    CanarySettings {
        share: Share(200),
        of,
        window: Millis(500),
        min_messages: 20,
        max_latency_ratio: 0.0,
        ..CanarySettings::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_that_crashes_is_rolled_back_and_no_message_is_lost() {
    let place = Place::new(|settings| {
        settings.canary = Some(canary(ShareOf::Batches));
    })
    .await;
    let (good, bad) = (component("scripted", 0), component("traps", 0));
    place.put(&good);
    let host = place.host().await;
    until("the good one serves", &host, serves(&good)).await;
    place.put(&bad);
    let on_trial = until("the bad one is on trial", &host, |plugin| plugin.candidate.is_some()).await;
    assert_eq!(on_trial.hash, Some(hash(&good)));
    place.send(numbered(0..200)).await;
    let rolled_back = until("it is rolled back", &host, |plugin| plugin.held.is_some()).await;
    assert!(rolled_back.held.as_ref().unwrap().contains("crash-streak"), "{rolled_back:?}");
    assert!(rolled_back.candidate.is_none() && serves(&good)(&rolled_back));
    let deadline = Instant::now() + BOUND;
    while place.ended.succeeded().len() < 200 {
        assert!(Instant::now() < deadline, "{} of 200 are consumed", place.ended.succeeded().len());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let failed = place.ended.failed();
    assert!((3..=40).contains(&failed), "{failed} of 200 were affected, and the share is a fifth");

    // The same content is not tried again, but for an operator.
    place.put(&good);
    until("the file is the good one", &host, |plugin| plugin.held.is_none()).await;
    place.put(&bad);
    let again = until("it is in quarantine", &host, |plugin| plugin.held.is_some()).await;
    assert!(again.held.as_ref().unwrap().contains("in quarantine"), "{again:?}");
    assert!(serves(&good)(&again) && again.candidate.is_none());
    post(&host, "/plugins/p/promote", "").await.unwrap();
    assert!(serves(&bad)(&plugin(&host)));
    place.end(host).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_that_does_well_is_promoted_and_newer_content_takes_its_place() {
    let place = Place::new(|settings| {
        settings.canary = Some(canary(ShareOf::Queues));
    })
    .await;
    let versions = [0, 1, 2, 3].map(|version| component("scripted", version));
    place.put(&versions[0]);
    let host = place.host().await;
    until("the first serves", &host, serves(&versions[0])).await;
    let tried = |version: usize| {
        let hash = hash(&versions[version]);
        move |plugin: &PluginStatus| plugin.candidate.as_ref().is_some_and(|candidate| candidate.hash == hash)
    };
    place.put(&versions[1]);
    until("the second is on trial", &host, tried(1)).await;
    place.put(&versions[2]);
    until("the third is in its place", &host, tried(2)).await;
    let (status, told) = post(&host, "/plugins/p/rollback", "").await.unwrap_err();
    assert!(status == 409 && told["fix"].as_str().unwrap().contains("abort"), "{told}");
    place.send(numbered(0..200)).await;
    until("it serves", &host, serves(&versions[2])).await;
    place.put(&versions[3]);
    until("the fourth is on trial", &host, tried(3)).await;
    let metrics = ask(&host, "GET", "/metrics", "", b"").await.1;
    assert!(metrics.contains(r#"gantry_plugin_candidate{plugin="p",role="canary"} 1"#), "{metrics}");
    post(&host, "/plugins/p/abort", "").await.unwrap();
    let aborted = plugin(&host);
    assert!(aborted.candidate.is_none() && serves(&versions[2])(&aborted), "{aborted:?}");
    assert!(aborted.held.unwrap().contains("aborted"));
    place.end(host).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_an_orderly_group_a_canary_has_whole_queues() {
    let mut place = Place::new(|settings| {
        settings.canary = Some(canary(ShareOf::Batches));
    })
    .await;
    place.config.consumer.consume_mode = Some(ConsumeMode::Orderly);
    let (good, bad) = (component("scripted", 0), component("traps", 0));
    place.put(&good);
    let host = place.host().await;
    until("the good one serves", &host, serves(&good)).await;
    place.put(&bad);
    let on_trial = until("the bad one is on trial", &host, |plugin| plugin.candidate.is_some()).await;
    assert_eq!(on_trial.candidate.unwrap().share, "20% of the queues");
    place.send(numbered(0..100)).await;
    until("it is rolled back", &host, |plugin| plugin.held.is_some()).await;
    until("the good one does what it left", &host, |plugin| plugin.outcomes.succeeded == 100).await;
    // In place: the queue's head came again until the good version took it.
    let bodies: Vec<_> = numbered(0..100).collect();
    assert_eq!(place.ended.succeeded(), bodies);
    place.end(host).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_is_compared_and_touches_nothing_until_it_is_promoted() {
    let place = Place::new(|settings| settings.shadow = Some(ShadowSettings::default())).await;
    let (good, bad) = (component("scripted", 0), component("listener-error", 0));
    place.put(&good);
    let host = place.host().await;
    until("the good one serves", &host, serves(&good)).await;
    place.put(&bad);
    until("the other is in the shadow", &host, |plugin| plugin.candidate.is_some()).await;
    place.send(numbered(0..40)).await;
    let compared = until("results differ", &host, |plugin| {
        let shadow = plugin.candidate.as_ref().and_then(|candidate| candidate.shadow.clone());
        plugin.outcomes.succeeded == 40 && shadow.is_some_and(|shadow| shadow.differed > 0)
    })
    .await;
    let shadow = compared.candidate.unwrap().shadow.unwrap();
    assert_eq!((place.ended.failed(), shadow.agreed), (0, 0));
    assert!(shadow.examples.len() <= 20);
    let example = &shadow.examples[0];
    assert_eq!(example.serving, "success");
    assert!(example.shadow.contains("no database"), "{example:?}");
    post(&host, "/plugins/p/promote", "").await.unwrap();
    assert!(serves(&bad)(&plugin(&host)));
    place.end(host).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_keeps_crashing_on_probation_gives_way() {
    let place = Place::new(|settings| {
        settings.probation.fatal_failures = 5;
        settings.breaker.enabled = false;
    })
    .await;
    let (good, bad) = (component("scripted", 0), component("traps", 0));
    place.put(&good);
    let host = place.host().await;
    until("the good one serves", &host, serves(&good)).await;
    place.send(numbered(0..20)).await;
    until("it works", &host, |plugin| plugin.outcomes.succeeded == 20).await;
    place.put(&bad);
    until("the bad one serves", &host, serves(&bad)).await;
    place.send(numbered(20..40)).await;
    until("the good one serves again", &host, |plugin| serves(&good)(plugin) && plugin.held.is_some()).await;
    let detail = get(&host, "/plugins/p").await;
    let quarantined = &detail["quarantined"][0];
    assert_eq!(quarantined["hash"], hash(&bad));
    assert!(quarantined["reason"].as_str().unwrap().contains("probation"), "{quarantined}");
    assert!(host.stop().await.graceful);
    let host = place.host().await;
    until("it does so after a restart", &host, |plugin| serves(&good)(plugin) && plugin.held.is_some()).await;
    place.end(host).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_keeps_failing_is_paused_and_its_messages_wait() {
    let place = Place::new(|settings| {
        settings.breaker.failures = 3;
        settings.breaker.pause = Millis(300);
        settings.probation.window = Millis(0);
    })
    .await;
    let (bad, good) = (component("listener-error", 0), component("scripted", 0));
    place.put(&bad);
    let host = place.host().await;
    until("it serves", &host, serves(&bad)).await;
    place.send(numbered(0..400)).await;
    let open = |plugin: &PluginStatus| plugin.breaker.as_ref().is_some_and(|breaker| breaker.opened >= 3);
    let paused = until("it is paused, and probes fail", &host, open).await;
    let breaker = paused.breaker.unwrap();
    assert!(breaker.why.as_ref().is_none_or(|why| why.contains("in a row failed whole")), "{breaker:?}");
    let touched = place.ended.failed();
    assert!(touched < 200, "{touched} of 400 messages were given to it");
    let waits: usize = host.status().groups[0].queues.iter().map(|queue| queue.cached_messages).sum();
    assert!(waits > 0, "its messages wait");
    let metrics = ask(&host, "GET", "/metrics", "", b"").await.1;
    assert!(metrics.contains("gantry_plugin_breaker_opened_total{plugin=\"p\"}"), "{metrics}");
    place.put(&good);
    until("another version has everything at once", &host, |plugin| {
        plugin.outcomes.succeeded >= 400 - touched as u64
    })
    .await;
    assert_eq!(plugin(&host).breaker.unwrap().state, "closed");
    place.end(host).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_version_serves_and_no_other_does() {
    let mut place = Place::new(|_| ()).await;
    let versions = [0, 1].map(|version| component("scripted", version));
    place.config.plugin.get_mut("p").unwrap().pin = Some(hash(&versions[0])[..16].to_owned());
    place.put(&versions[1]);
    let host = place.host().await;
    let held = until("the other is held", &host, |plugin| plugin.held.is_some()).await;
    assert!(held.state == "held" && held.held.as_ref().unwrap().contains("pinned to"), "{held:?}");
    place.put(&versions[0]);
    until("the pinned one serves", &host, serves(&versions[0])).await;
    place.put(&versions[1]);
    until("the other is held", &host, |plugin| plugin.held.is_some()).await;
    assert_eq!(post(&host, "/plugins/p/promote", "").await.unwrap_err().0, 409);
    assert!(host.stop().await.graceful);
    let host = place.host().await;
    until("the pinned one comes back by itself", &host, serves(&versions[0])).await;
    place.end(host).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_file_supersedes_one_that_is_being_loaded_and_the_last_one_serves() {
    let place = Place::new(|_| ()).await;
    place.put(&component("scripted", 0));
    let host = place.host().await;
    until("the first serves", &host, serves(&component("scripted", 0))).await;
    for version in 1..20 {
        place.put(&component("scripted", version));
        tokio::time::sleep(Duration::from_millis(u64::from(version) * 12)).await;
    }
    let last = until("the last serves", &host, serves(&component("scripted", 19))).await;
    assert_eq!((last.rejections, last.rejected), (0, None));
    place.end(host).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_is_put_into_the_directory_and_an_unsigned_one_is_refused_where_signatures_are_asked_for() {
    let mut place = Place::new(|_| ()).await;
    let host = place.host().await;
    let content = component("scripted", 0);
    let (status, told) = ask(&host, "PUT", "/plugins/p", "", &content).await;
    assert_eq!(status, 202, "{told}");
    until("it serves", &host, serves(&content)).await;
    let (status, told) = ask(&host, "PUT", "/plugins/.p", "", &content).await;
    assert!(status == 400 && told.contains("no name"), "{told}");
    let (status, told) = ask(&host, "PUT", "/status", "", b"").await;
    assert!(status == 405 && told.contains("\"fix\""), "{told}");
    let (status, told) = ask(&host, "PUT", "/plugins/q", "", b"text").await;
    assert!(status == 400 && told.contains("not WebAssembly"), "{told}");
    assert!(host.stop().await.graceful);

    place.config.signatures.signed_by =
        vec!["RWTCcHY2hMg/sVgx/CmVM2qrU3q1RAQovyZCFQF+XzcPicZkZ53L9tTN".into()];
    let host = place.host().await;
    let refused = until("it is rejected", &host, |plugin| plugin.rejected.is_some()).await;
    assert!(refused.rejected.unwrap().contains("p.wasm.minisig"));
    // A signature beside it makes it another file.
    std::fs::write(place.directory.path().join("plugins/p.wasm.minisig"), "rubbish").unwrap();
    until("the signature is read", &host, |plugin| {
        plugin.rejected.as_ref().is_some_and(|reason| reason.contains("no minisign signature"))
    })
    .await;
    place.end(host).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_token_nobody_asks_without_it() {
    let mut place = Place::new(|_| ()).await;
    place.config.admin.token = Some(Token("0123456789abcdef".into()));
    let host = place.host().await;
    for path in ["/", "/status", "/metrics", "/healthz", "/plugins"] {
        let (status, told) = ask(&host, "GET", path, "", b"").await;
        assert!(status == 401 && !told.contains("0123456789abcdef"), "{path}: {told}");
        let bearer = "authorization: Bearer 0123456789abcdef\r\n";
        assert_eq!(ask(&host, "GET", path, bearer, b"").await.0, 200, "{path}");
    }
    assert_eq!(ask(&host, "PUT", "/plugins/p", "", b"\0asm").await.0, 401);
    let large = vec![b' '; 100_000];
    let bearer = "authorization: Bearer 0123456789abcdef\r\n";
    assert_eq!(ask(&host, "POST", "/plugins/p/rollback", bearer, &large).await.0, 413);
    place.end(host).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_figure_is_in_the_metrics() {
    // What is given back does not come again meanwhile.
    let config = BrokerConfig { delay_levels: vec![60 * BOUND; 18], ..BrokerConfig::default() };
    let place = Place::at(config, |_| ()).await;
    place.put(&component("scripted", 0));
    let host = place.host().await;
    until("it serves", &host, serves(&component("scripted", 0))).await;
    place.send(["ok", "later:18", "dead:rotten", "panic", "fail"].map(str::to_owned)).await;
    until("all have ended", &host, |plugin| {
        let outcomes = plugin.outcomes;
        (outcomes.succeeded, outcomes.reconsumed, outcomes.dead_lettered) == (1, 3, 1)
    })
    .await;
    let deadline = Instant::now() + BOUND;
    let expected = [
        "gantry_ready 1",
        r#"gantry_plugin_messages_total{plugin="p",outcome="success",cause="answered"} 1"#,
        r#"gantry_plugin_messages_total{plugin="p",outcome="reconsume-later",cause="answered"} 1"#,
        r#"gantry_plugin_messages_total{plugin="p",outcome="reconsume-later",cause="trap"} 1"#,
        r#"gantry_plugin_messages_total{plugin="p",outcome="reconsume-later",cause="listener-error"} 1"#,
        r#"gantry_plugin_messages_total{plugin="p",outcome="dead-letter",cause="answered"} 1"#,
        r#"gantry_plugin_batches_total{plugin="p"} 5"#,
        r#"gantry_plugin_batch_duration_seconds_count{plugin="p"} 5"#,
        r#"gantry_plugin_generation{plugin="p"} 1"#,
        r#"gantry_plugin_breaker{plugin="p"} 0"#,
        r#"gantry_group_pulled_total{group="life-group"} 5"#,
        r#"gantry_queue_lag_messages{group="life-group",topic="life","#,
        r#"gantry_queue_window_bytes{group="life-group",topic="life","#,
        "gantry_journal_failures_total 0",
    ];
    loop {
        let (status, text) = ask(&host, "GET", "/metrics", "", b"").await;
        assert_eq!(status, 200);
        let missing: Vec<_> = expected.iter().filter(|line| !text.contains(**line)).collect();
        if missing.is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "{missing:#?} are not in {text}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    place.end(host).await;
}
