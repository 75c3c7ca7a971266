//! What the measurements share: files, a broker in a process of its own, and messages in it.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use gantry_host::client_instance::{ClientConfig, ClientInstance, Producer, ProducerConfig, TopicSettings};
use gantry_host::config::{ConsumeFrom, GantryConfig, PluginSettings, SubscriptionSetting};

use super::cost::Process;
use super::feed;
use super::process::Gantry;
use super::{BATCH, QUEUES};

/// The topic with the messages.
pub(super) const TOPIC: &str = "bench";
/// The sample plugin, by its file's name without `.wasm`.
pub(super) const PLUGIN: &str = "minimal";

pub(super) struct Stage {
    sample: PathBuf,
    files: PathBuf,
    broker: Gantry,
    name_server: String,
    client: ClientInstance,
}

impl Stage {
    /// Empties the workspace, starts a broker and makes the topic.
    pub(super) async fn set(plugins: &Path, workspace: &Path) -> anyhow::Result<Self> {
        let sample = plugins.join(PLUGIN).with_extension("wasm");
        anyhow::ensure!(
            sample.is_file(),
            "the sample plugin {} is missing; build it with `cargo xtask guests`",
            sample.display()
        );
        let files = workspace.join("files");
        if files.exists() {
            std::fs::remove_dir_all(&files).with_context(|| format!("cannot empty {}", files.display()))?;
        }
        std::fs::create_dir_all(&files).with_context(|| format!("cannot make {}", files.display()))?;
        let mut broker = Gantry::start(["broker", "--in-memory", "--listen", "127.0.0.1:0"])?;
        let started = broker.event("started").await.context("the broker did not start")?;
        let name_server = started.get("nameServer").and_then(|address| address.as_str());
        let name_server = name_server.context("the broker did not say where it listens")?.to_owned();
        let client = client(&name_server).await?;
        let stage = Self { sample, files, broker, name_server, client };
        stage.create(TOPIC).await?;
        Ok(stage)
    }

    pub(super) async fn create(&self, topic: &str) -> anyhow::Result<()> {
        let settings =
            TopicSettings { read_queue_nums: QUEUES, write_queue_nums: QUEUES, ..TopicSettings::default() };
        self.client
            .create_topic(topic, &settings)
            .await
            .with_context(|| format!("cannot make topic {topic}"))?;
        Ok(())
    }

    /// Fills the topic.
    pub(super) async fn load(&self, messages: u64) -> anyhow::Result<()> {
        let producer = Producer::new(self.client.clone(), ProducerConfig::default());
        let mut left = messages;
        while left > 0 {
            left -= feed::send(&producer, left).await?;
        }
        Ok(())
    }

    pub(super) fn broker(&self) -> &Process {
        self.broker.process()
    }

    pub(super) fn name_server(&self) -> &str {
        &self.name_server
    }

    pub(super) fn component(&self) -> anyhow::Result<Vec<u8>> {
        std::fs::read(&self.sample).with_context(|| format!("cannot read {}", self.sample.display()))
    }

    /// The same listener, which takes records.
    pub(super) fn records_component(&self) -> anyhow::Result<Vec<u8>> {
        let file = self.sample.with_file_name(format!("{PLUGIN}-records.wasm"));
        std::fs::read(&file).with_context(|| {
            format!("cannot read {}; build it with `cargo xtask guests {PLUGIN}-records`", file.display())
        })
    }

    /// Where compiled components are kept: apart from the user's, so that it is known what is in it.
    pub(super) fn cache(&self) -> PathBuf {
        self.files.join("compiled")
    }

    /// Where hosts keep their state: apart from the user's as well.
    pub(super) fn state(&self) -> PathBuf {
        self.files.join("state")
    }

    /// A path for a measurement's own file.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.files.join(name)
    }

    /// A plugins directory of this name, with the sample in it or nothing. One that is there stays as it is, and its
    /// files as old as they are.
    pub(super) fn plugins(&self, name: &str, with_sample: bool) -> anyhow::Result<PathBuf> {
        let directory = self.files.join(name);
        std::fs::create_dir_all(&directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
        if with_sample && !place(&directory).exists() {
            deploy(&directory, &self.component()?)?;
        }
        Ok(directory)
    }

    /// A host whose sample, or native listener of the same name, consumes the topic from its beginning for `group`.
    pub(super) fn config(&self, group: &str, plugins: PathBuf) -> GantryConfig {
        let mut config =
            GantryConfig { name_server: self.name_server.clone(), plugins, ..GantryConfig::default() };
        config.state_dir = Some(self.state());
        config.admin.enabled = false;
        config.engine.cache_dir = Some(self.cache());
        config.consumer.consume_from_where = Some(ConsumeFrom::FirstOffset);
        let settings = PluginSettings {
            consumer_group: Some(group.to_owned()),
            subscriptions: Some(vec![SubscriptionSetting { topic: TOPIC.to_owned(), tags: None, sql: None }]),
            consume_message_batch_max_size: u32::try_from(BATCH).ok(),
            ..PluginSettings::default()
        };
        config.plugin.insert(PLUGIN.to_owned(), settings);
        config
    }

    pub(super) async fn end(self) {
        self.client.close().await;
        self.broker.end().await;
    }
}

/// Puts the sample's file in place, whole.
pub(super) fn deploy(directory: &Path, component: &[u8]) -> anyhow::Result<()> {
    let (aside, place) = (directory.join("sample.new"), place(directory));
    std::fs::write(&aside, component).with_context(|| format!("cannot write {}", aside.display()))?;
    std::fs::rename(&aside, &place).with_context(|| format!("cannot replace {}", place.display()))
}

fn place(directory: &Path) -> PathBuf {
    directory.join(PLUGIN).with_extension("wasm")
}

/// The sample with another content hash: a custom section, which means nothing, at its end.
pub(super) fn version(component: &[u8], version: u8) -> Vec<u8> {
    [component, b"\x00\x09\x07version", &[version]].concat()
}

pub(super) async fn client(name_server: &str) -> anyhow::Result<ClientInstance> {
    let config = ClientConfig { name_servers: name_server.to_owned(), ..ClientConfig::default() };
    ClientInstance::start(config).await.context("the client cannot start")
}
