//! rocketmq-client-rust as one of the benchmark's consumers: see `tests/bench/README.md` for what it is told and says.
#![recursion_limit = "512"]

use std::collections::HashMap;
use std::error::Error;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use rocketmq_client_rust::{
    ClientResult, ClientRuntime, ClientRuntimeConfig, ConsumeConcurrentlyContext, ConsumeConcurrentlyStatus,
    DefaultMQPushConsumer, MQPushConsumer as _, MessageListenerConcurrently,
};
use rocketmq_model::common::consumer::consume_from_where::ConsumeFromWhere;
use rocketmq_model::common::message::message_ext::MessageExt;
use rocketmq_runtime::{RuntimeConfig, RuntimeOwner};
use tokio::io::AsyncReadExt as _;

struct Settings(HashMap<String, String>);

impl Settings {
    fn text(&self, name: &str) -> String {
        self.0.get(name).cloned().unwrap_or_default()
    }

    fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.0.get(name)?.parse().ok()
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let pairs = std::env::args().skip(1);
    let pairs = pairs.filter_map(|pair| pair.split_once('=').map(|(n, v)| (n.to_owned(), v.to_owned())));
    let settings = Settings(pairs.collect());
    let owner = RuntimeOwner::plan(RuntimeConfig::default())?.build()?;
    let telemetry = rocketmq_observability::install_global(&Default::default())?;
    let context = owner.root_context().component("client");
    let runtime = ClientRuntime::try_new(context, ClientRuntimeConfig::default(), telemetry.handle())?;

    let mut builder = DefaultMQPushConsumer::builder(runtime.clone())
        .consumer_group(settings.text("group"))
        .name_server_addr(settings.text("namesrv"))
        .consume_from_where(ConsumeFromWhere::ConsumeFromFirstOffset);
    if let Some(pull) = settings.number("pull") {
        builder = builder.pull_batch_size(pull);
    }
    if let Some(bytes) = settings.number("bytes") {
        builder = builder.pull_batch_size_in_bytes(bytes);
    }
    if let Some(batch) = settings.number("batch") {
        builder = builder.consume_message_batch_max_size(batch);
    }
    if let Some(threshold) = settings.number("threshold") {
        builder = builder.pull_threshold_for_queue(threshold);
    }
    if let Some(span) = settings.number("span") {
        builder = builder.consume_concurrently_max_span(span);
    }
    if let Some(threads) = settings.number("threads") {
        builder = builder.consume_thread_min(threads).consume_thread_max(threads);
    }
    let tally = Arc::new(Tally {
        wanted: settings.number("count").ok_or("count=N is missing")?,
        timed: settings.text("latency") == "true",
        begun: AtomicBool::new(false),
        count: AtomicU64::new(0),
        latencies: Mutex::default(),
    });
    let mut consumer = builder.build();
    consumer.subscribe(settings.text("topic"), "*").await?;
    consumer.register_message_listener_concurrently(Listener(Arc::clone(&tally)));
    consumer.start().await?;

    let mut rest = Vec::new();
    tokio::io::stdin().read_to_end(&mut rest).await?;
    consumer.shutdown().await;
    runtime.shutdown().await;
    let latencies = tally.latencies.lock().unwrap_or_else(PoisonError::into_inner);
    let count = tally.count.load(Ordering::SeqCst);
    println!("{{\"event\":\"stopped\",\"count\":{count},\"latencies\":{latencies:?}}}");
    std::process::exit(0)
}

struct Tally {
    wanted: u64,
    timed: bool,
    begun: AtomicBool,
    count: AtomicU64,
    latencies: Mutex<Vec<u64>>,
}

impl Tally {
    fn add(&self, messages: u64) {
        let before = self.count.fetch_add(messages, Ordering::Relaxed);
        let now = before + messages;
        if !self.begun.load(Ordering::Relaxed) && !self.begun.swap(true, Ordering::Relaxed) {
            self.say("first", now);
        }
        if before < self.wanted && now >= self.wanted {
            self.say("end", now);
        }
    }

    fn say(&self, event: &str, count: u64) {
        println!("{{\"event\":\"{event}\",\"count\":{count},\"at\":{}}}", nanoseconds());
    }

    /// A message whose body begins with the time 0 only shows that messages arrive.
    fn time(&self, body: &[u8]) {
        let Some(sent) = body.first_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes)) else { return };
        if sent == 0 {
            return self.add(0);
        }
        let latency = nanoseconds().saturating_sub(sent);
        self.latencies.lock().unwrap_or_else(PoisonError::into_inner).push(latency);
        self.add(1);
    }
}

fn nanoseconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

struct Listener(Arc<Tally>);

impl MessageListenerConcurrently for Listener {
    fn consume_message(
        &self,
        messages: &[&MessageExt],
        _: &ConsumeConcurrentlyContext,
    ) -> ClientResult<ConsumeConcurrentlyStatus> {
        if self.0.timed {
            messages.iter().for_each(|message| self.0.time(message.body().as_deref().unwrap_or_default()));
        } else {
            self.0.add(messages.len() as u64);
        }
        Ok(ConsumeConcurrentlyStatus::ConsumeSuccess)
    }
}
