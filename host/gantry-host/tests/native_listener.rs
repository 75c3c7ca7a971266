//! Native listeners in a running host, against the embedded broker.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use gantry_dev_broker::{Broker, BrokerConfig};
use gantry_host::client_instance::{ClientConfig, ClientInstance, OutgoingMessage, Producer, ProducerConfig};
use gantry_host::config::{ConsumeFrom, GantryConfig, RequestMode};
use gantry_host::status::Outcomes;
use gantry_host::{
    ConsumeContext, ConsumeResult, Host, ListenerDescription, MessageBatch, MessageModel, NativeError,
    NativeListener, RetryDelay, Unobserved,
};
use tempfile::TempDir;

const BOUND: Duration = Duration::from_secs(120);
const LATER: ConsumeResult = ConsumeResult::ReconsumeLater(RetryDelay::Level(1));

/// What a listener was given: the body and how often it had come back before.
type Seen = Arc<Mutex<Vec<(String, u32)>>>;

/// Answers a batch by what it holds and how often it came back.
struct Answering<F> {
    description: ListenerDescription,
    seen: Seen,
    answer: F,
}

impl<F: Fn(&str, u32) -> Option<ConsumeResult> + Send + Sync + 'static> NativeListener for Answering<F> {
    fn describe(&self) -> ListenerDescription {
        self.description.clone()
    }

    fn consume(&self, context: &ConsumeContext<'_>, batch: &dyn MessageBatch) -> Vec<ConsumeResult> {
        assert_eq!((context.consumer_group, context.topic), ("native-group", "greetings"));
        let messages = (0..batch.len()).map(|index| batch.message(index));
        let messages: Vec<_> =
            messages.map(|m| (String::from_utf8(m.body.to_vec()).unwrap(), m.reconsume_times)).collect();
        self.seen.lock().unwrap().extend(messages.iter().cloned());
        messages.iter().filter_map(|(body, times)| (self.answer)(body, *times)).collect()
    }
}

struct Setup {
    broker: Broker,
    client: ClientInstance,
    host: Host,
    directory: TempDir,
    seen: Seen,
}

async fn setup() -> Setup {
    setup_with(Duration::ZERO, RequestMode::Pull).await
}

/// A host whose broker's clock is ahead of its own.
async fn setup_with(ahead: Duration, mode: RequestMode) -> Setup {
    setup_of(ahead, |config| config.consumer.mode = Some(mode)).await
}

async fn setup_of(ahead: Duration, change: impl FnOnce(&mut GantryConfig)) -> Setup {
    let delay_levels = vec![Duration::from_millis(50); 18];
    let listen = ([127, 0, 0, 1], 0).into();
    let mut config = BrokerConfig { listen, delay_levels, ..BrokerConfig::default() };
    config.timing.drain = Duration::from_millis(100);
    let broker = Broker::start(config).await.unwrap();
    broker.advance_clock(ahead);
    let name_server = broker.local_addr().to_string();
    let client = ClientConfig { name_servers: name_server.clone(), ..ClientConfig::default() };
    let client = ClientInstance::start(client).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let mut config =
        GantryConfig { name_server, plugins: directory.path().into(), ..GantryConfig::default() };
    config.state_dir = Some(directory.path().join("state"));
    config.admin.enabled = false;
    config.consumer.consume_from_where = Some(ConsumeFrom::FirstOffset);
    config.engine.threads = Some(3);
    change(&mut config);
    let host = Host::start(config, Arc::new(Unobserved)).await.unwrap();
    Setup { broker, client, host, directory, seen: Seen::default() }
}

fn description() -> ListenerDescription {
    let description = ListenerDescription::new("native", "native-group", "greetings");
    ListenerDescription { consume_message_batch_max_size: Some(8), ..description }
}

impl Setup {
    async fn send(&self, bodies: &[&'static str]) {
        let producer = Producer::new(
            self.client.clone(),
            ProducerConfig { send_timeout: BOUND, ..ProducerConfig::default() },
        );
        let messages: Vec<_> = bodies.iter().map(|body| OutgoingMessage::new("greetings", *body)).collect();
        producer.send_batch(&messages).await.unwrap();
    }

    async fn add(
        &self,
        answer: impl Fn(&str, u32) -> Option<ConsumeResult> + Send + Sync + 'static,
    ) -> Result<(), NativeError> {
        self.add_as(description(), answer).await
    }

    async fn add_as(
        &self,
        description: ListenerDescription,
        answer: impl Fn(&str, u32) -> Option<ConsumeResult> + Send + Sync + 'static,
    ) -> Result<(), NativeError> {
        self.host.add_native(Answering { description, seen: Arc::clone(&self.seen), answer }).await
    }

    fn outcomes(&self) -> Outcomes {
        self.host.status().plugins[0].outcomes
    }

    async fn until(&self, what: &str, done: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + BOUND;
        while !done(self) {
            assert!(Instant::now() < deadline, "{what}: {:?}, {:?}", self.host.status(), self.seen);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn seen(&self) -> Vec<(String, u32)> {
        let mut seen = self.seen.lock().unwrap().clone();
        seen.sort_unstable();
        seen
    }

    async fn end(self) {
        assert!(self.host.stop().await.graceful);
        self.client.close().await;
        self.broker.stop().await;
    }
}

fn seen(deliveries: &[(&str, u32)]) -> Vec<(String, u32)> {
    deliveries.iter().map(|(body, times)| ((*body).to_owned(), *times)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_answer_is_acted_on() {
    answers(setup().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_whose_clock_is_hours_ahead_is_like_any() {
    for mode in [RequestMode::Pull, RequestMode::Pop] {
        answers(setup_with(Duration::from_secs(6 * 3_600), mode).await).await;
    }
}

async fn answers(setup: Setup) {
    setup.send(&["bad", "good", "slow"]).await;
    let answer = |body: &str, times| match (body, times) {
        ("slow", 0) => Some(LATER),
        ("bad", _) => Some(ConsumeResult::DeadLetter("no manners".into())),
        _ => Some(ConsumeResult::Success),
    };
    setup.add(answer).await.unwrap();
    let all = Outcomes { succeeded: 2, reconsumed: 1, dead_lettered: 1, dropped: 0, failed: 0 };
    setup.until("every message is settled", |setup| setup.outcomes() == all).await;
    assert_eq!(setup.seen(), seen(&[("bad", 0), ("good", 0), ("slow", 0), ("slow", 1)]));
    setup.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pulls_of_many_bytes_are_spread_over_connections() {
    // One connection is that of the producer.
    for (pull_batch_size, pull_connections, connections) in [(1024, 3, 4), (1024, 1, 2), (32, 3, 2)] {
        let setup = setup_of(Duration::ZERO, |config| {
            config.consumer.pull_batch_size = Some(pull_batch_size);
            config.client.pull_connections = pull_connections;
        });
        let setup = setup.await;
        setup.send(&["one", "two", "three"]).await;
        setup.add(|_, _| Some(ConsumeResult::Success)).await.unwrap();
        // Pulls of all queues are with the broker, so that all that need connections have them.
        let queues = 4;
        let done =
            |setup: &Setup| setup.outcomes().succeeded == 3 && setup.broker.stats().held_pulls > queues;
        setup.until("all is consumed and every queue waits", done).await;
        assert_eq!(setup.broker.stats().accepted, connections, "{pull_batch_size} {pull_connections}");
        setup.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_gives_the_whole_batch_back() {
    let setup = setup().await;
    setup.send(&["fine", "poison"]).await;
    let answer = |body: &str, times| {
        assert!(body != "poison" || times > 0, "as the test wants it");
        Some(ConsumeResult::Success)
    };
    setup.add(answer).await.unwrap();
    let all = Outcomes { succeeded: 2, reconsumed: 2, dead_lettered: 0, dropped: 0, failed: 2 };
    setup.until("both come again", |setup| setup.outcomes() == all).await;
    assert_eq!(setup.seen(), seen(&[("fine", 0), ("fine", 1), ("poison", 0), ("poison", 1)]));
    setup.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_number_of_results_gives_the_whole_batch_back() {
    let setup = setup().await;
    setup.send(&["answered", "ignored"]).await;
    let answer = |body: &str, times| (body == "answered" || times > 0).then_some(ConsumeResult::Success);
    setup.add(answer).await.unwrap();
    let all = Outcomes { succeeded: 2, reconsumed: 2, dead_lettered: 0, dropped: 0, failed: 2 };
    setup.until("both come again", |setup| setup.outcomes() == all).await;
    setup.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_host_cannot_have_is_refused_and_nothing_changes() {
    let setup = setup().await;
    let success = |_: &str, _| Some(ConsumeResult::Success);
    let nameless = ListenerDescription { name: String::new(), ..description() };
    assert!(matches!(setup.add_as(nameless, success).await, Err(NativeError::Unsound(_))));
    let contradiction = ListenerDescription {
        message_model: MessageModel::Broadcasting,
        max_reconsume_times: Some(3),
        ..description()
    };
    assert!(matches!(setup.add_as(contradiction, success).await, Err(NativeError::Unsound(_))));
    assert!(setup.host.status().plugins.is_empty());
    setup.add(success).await.unwrap();
    assert!(matches!(setup.add(success).await, Err(NativeError::NameTaken(name)) if name == "native"));
    setup.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_its_name_leaves_a_native_listener_alone() {
    let setup = setup().await;
    setup.add(|_, _| Some(ConsumeResult::Success)).await.unwrap();
    // Reported in the order of their names.
    std::fs::write(setup.directory.path().join("native.wasm"), "not wasm").unwrap();
    std::fs::write(setup.directory.path().join("other.wasm"), "not wasm").unwrap();
    let other = |setup: &Setup| setup.host.status().plugins.iter().any(|plugin| plugin.name == "other");
    setup.until("the other file is rejected", other).await;
    let native = setup.host.status().plugins.remove(0);
    assert_eq!((&*native.name, &*native.state, native.rejected), ("native", "active", None));
    std::fs::remove_file(setup.directory.path().join("native.wasm")).unwrap();
    std::fs::remove_file(setup.directory.path().join("other.wasm")).unwrap();
    setup.until("the other file is gone", |setup| !other(setup)).await;
    setup.send(&["still here"]).await;
    setup.until("it is consumed", |setup| setup.outcomes().succeeded == 1).await;
    setup.end().await;
}

/// Calls of a quick listener are handed over together. Two that turn out to take long hold up no other, nor what the others
/// came to; and each message comes once.
#[tokio::test(flavor = "multi_thread")]
async fn calls_that_take_long_hold_up_none_that_were_handed_over_with_them() {
    const EACH: u64 = 400;
    let setup = setup().await;
    let (held, gate) = (Arc::new(AtomicU32::new(0)), Arc::new((Mutex::new(false), Condvar::new())));
    let (holds, opens) = (Arc::clone(&held), Arc::clone(&gate));
    let answer = move |body: &str, _| {
        if body == "long" {
            holds.fetch_add(1, Ordering::Relaxed);
            let (open, opened) = &*opens;
            drop(opened.wait_while(open.lock().unwrap(), |open| !*open).unwrap());
        }
        Some(ConsumeResult::Success)
    };
    setup
        .add_as(ListenerDescription { consume_message_batch_max_size: Some(1), ..description() }, answer)
        .await
        .unwrap();
    setup.send(&["quick"; EACH as usize]).await;
    setup.until("all are quick", |setup| setup.outcomes().succeeded == EACH).await;
    let mut bodies = ["quick"; EACH as usize];
    (bodies[70], bodies[75]) = ("long", "long");
    setup.send(&bodies).await;
    setup.until("all others are consumed", |setup| setup.outcomes().succeeded == 2 * EACH - 2).await;
    assert_eq!(held.load(Ordering::Relaxed), 2);
    let settled = |setup: &Setup| {
        let groups = setup.host.status().groups;
        groups[0].queues.iter().map(|queue| queue.cached_messages).sum::<usize>() <= 2
    };
    setup.until("what they came to is known to the group", settled).await;
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
    setup.until("these too", |setup| setup.outcomes().succeeded == 2 * EACH).await;
    assert_eq!(setup.seen().len() as u64, 2 * EACH, "each once");
    setup.end().await;
}
