//! The whole host, over a connection with a broker that is a process of its own: this program again.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum;
use gantry_dev_broker::{Broker, BrokerConfig, Storage};
use gantry_host::client_instance::{
    ClientConfig, ClientInstance, OutgoingMessage, Producer, ProducerConfig, TopicSettings,
};
use gantry_host::config::{ByteSize, ConsumeFrom, GantryConfig, PluginSettings, SubscriptionSetting};
use gantry_host::{
    ConsumeContext, ConsumeResult, Host, ListenerDescription, MessageBatch, NativeListener, Observer,
    Settled, SettledAs,
};

use crate::allocations::Allocations;
use crate::answers::BODY_BYTES;
use crate::setting::Setting;
use crate::way::{TOPIC, native};

/// Queues of the topic.
const QUEUES: i32 = 8;
/// The listener's name, and the stem of the plugin's file.
pub(crate) const PLUGIN: &str = "minimal";
/// Messages in one send.
const TOGETHER: usize = 256;
/// Most bytes of one pull.
const PULL_BYTES: u32 = 4 << 20;
/// The longest any one step may take.
const PATIENCE: Duration = Duration::from_secs(600);
const LOOK: Duration = Duration::from_millis(1);

/// What listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Listening {
    /// Rust, part of the program.
    Native,
    /// A component, in the lean form.
    Guest,
}

impl Listening {
    /// Its name on the command line.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Guest => "guest",
        }
    }

    /// Its name in the table.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Native => "the whole host, native listener",
            Self::Guest => "the whole host, component",
        }
    }
}

/// The broker's process. It is killed when it is dropped.
pub(crate) struct BrokerProcess {
    child: Child,
    address: String,
}

impl BrokerProcess {
    /// Starts one that holds so many messages.
    pub(crate) fn start(messages: usize) -> Result<Self> {
        let program = std::env::current_exe().context("this program's file cannot be found")?;
        let mut command = Command::new(program);
        command.args(["broker", "--messages", &messages.to_string()]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut address = String::new();
        let stdout = child.stdout.take().context("a child without standard output")?;
        BufReader::new(stdout).read_line(&mut address)?;
        ensure!(!address.is_empty(), "the broker did not start");
        Ok(Self { child, address: address.trim().to_owned() })
    }
}

impl Drop for BrokerProcess {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _waited = self.child.wait();
    }
}

/// A broker in memory with a topic full of messages, until it is killed. It prints its address.
pub(crate) async fn broker(messages: usize) -> Result<()> {
    let listen: SocketAddr = ([127, 0, 0, 1], 0).into();
    let (max_pull_count, max_pull_bytes) = (1024, PULL_BYTES as usize);
    let config = BrokerConfig {
        listen,
        storage: Storage::InMemory,
        max_pull_count,
        max_pull_bytes,
        ..BrokerConfig::default()
    };
    let broker = Broker::start(config).await?;
    let address = broker.local_addr().to_string();
    let config = ClientConfig { name_servers: address.clone(), ..ClientConfig::default() };
    let client = ClientInstance::start(config).await?;
    let queues =
        TopicSettings { read_queue_nums: QUEUES, write_queue_nums: QUEUES, ..TopicSettings::default() };
    client.create_topic(TOPIC, &queues).await?;
    let producer = Producer::new(client.clone(), ProducerConfig::default());
    let batch = vec![OutgoingMessage::new(TOPIC, vec![b'x'; BODY_BYTES]).with_tag("bench"); TOGETHER];
    let mut left = messages;
    while left > 0 {
        let some = left.min(TOGETHER);
        producer.send_batch(batch.get(..some).unwrap_or_default()).await?;
        left -= some;
    }
    client.close().await;
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{address}")?;
    stdout.flush()?;
    std::future::pending().await
}

struct Native(String);

impl NativeListener for Native {
    fn describe(&self) -> ListenerDescription {
        ListenerDescription::new(PLUGIN, &self.0, TOPIC)
    }

    fn consume(&self, _: &ConsumeContext<'_>, batch: &dyn MessageBatch) -> Vec<ConsumeResult> {
        native(batch)
    }
}

/// Counts what listeners settle.
#[derive(Debug, Default)]
struct Counter {
    succeeded: AtomicU64,
    other: AtomicU64,
}

impl Observer for Counter {
    fn settled(&self, settled: &Settled<'_>) {
        let counter = if settled.as_ == SettledAs::Success { &self.succeeded } else { &self.other };
        counter.fetch_add(1, Relaxed);
    }
}

impl Counter {
    async fn reaches(&self, count: u64) -> Result<u64> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (succeeded, other) = (self.succeeded.load(Relaxed), self.other.load(Relaxed));
            ensure!(other == 0, "{other} messages were not consumed with success");
            if succeeded >= count {
                return Ok(succeeded);
            }
            ensure!(
                Instant::now() < deadline,
                "{succeeded} of {count} messages were consumed in {PATIENCE:?}"
            );
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// What was allocated from the first message to the last, and how many messages that were.
pub(crate) async fn consume(
    broker: &BrokerProcess,
    listening: Listening,
    setting: Setting,
    messages: usize,
    component: &Path,
) -> Result<(Allocations, u64)> {
    let files = tempfile::tempdir()?;
    let plugins = files.path().join("plugins");
    std::fs::create_dir(&plugins)?;
    if listening == Listening::Guest {
        let place = plugins.join(PLUGIN).with_extension("wasm");
        std::fs::copy(component, place).with_context(|| format!("cannot copy {}", component.display()))?;
    }
    let group = format!("{}-{}-{}", listening.word(), setting.pull, setting.batch);
    let mut config = GantryConfig { name_server: broker.address.clone(), plugins, ..GantryConfig::default() };
    config.state_dir = Some(files.path().join("state"));
    config.admin.enabled = false;
    config.consumer.consume_from_where = Some(ConsumeFrom::FirstOffset);
    config.consumer.pull_batch_size = u32::try_from(setting.pull).ok();
    config.consumer.pull_batch_size_in_bytes = Some(ByteSize(PULL_BYTES.into()));
    let settings = PluginSettings {
        consumer_group: Some(group.clone()),
        subscriptions: Some(vec![SubscriptionSetting { topic: TOPIC.to_owned(), tags: None, sql: None }]),
        consume_message_batch_max_size: u32::try_from(setting.batch).ok(),
        ..PluginSettings::default()
    };
    config.plugin.insert(PLUGIN.to_owned(), settings);
    let counter = Arc::new(Counter::default());
    let observer = Arc::clone(&counter);
    let host = Host::start(config, observer).await.context("the host cannot start")?;
    if listening == Listening::Native {
        host.add_native(Native(group)).await?;
    }
    let (from, before) = (counter.reaches(1).await?, Allocations::now());
    let (to, after) = (counter.reaches(messages as u64).await?, Allocations::now());
    ensure!(host.stop().await.graceful, "the host did not stop in time");
    Ok((after - before, to - from))
}
