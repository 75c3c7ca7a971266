//! `gantry.toml`: what an operator may say, with RocketMQ's own default for everything left out.
//!
//! Keys are RocketMQ's setting names in kebab case. Unknown keys, wrong types and values out of bounds are errors that
//! name the file, the line, the key and what was expected; nothing starts before the whole file is sound.

mod admin;
mod client;
mod clusters;
mod consumer;
mod error;
mod granted;
mod life;
mod plugin;
mod strategy;
mod trace;
mod units;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

pub use admin::{ADMIN_TOKEN_VARIABLE, AdminSettings, Token, TokenError};
pub use client::{AclSettings, ClientSettings, CredentialsError, Secret, TlsFiles};
pub use clusters::{DEFAULT_CLUSTER, group_name};
pub use consumer::{ConsumeFrom, ConsumeMode, ConsumerSettings, MessageModel, Rebalance, RequestMode};
pub use error::ConfigError;
pub use granted::{DirectorySetting, HttpSettings, KeyvalueSettings, LoggingSettings};
pub use life::{
    BreakerSettings, CanarySettings, ProbationSettings, ShadowSettings, Share, ShareOf, SignatureSettings,
};
pub use plugin::{PluginSettings, SubscriptionSetting};
pub use strategy::{BuiltInStrategy, QueueSetting, StrategySetting};
pub use trace::TraceSettings;
pub use units::{ByteSize, Millis, Timestamp};

/// The instance name of a host that has none of its own (RocketMQ: `DEFAULT`).
const DEFAULT_INSTANCE: &str = "default";

/// The whole configuration of one host.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct GantryConfig {
    /// Name servers, `host:port` joined by `;` or `,` (RocketMQ: `namesrvAddr`), or the URL of an address server whose page
    /// is such a list, `http://…` (RocketMQ: `rocketmq.namesrv.domain`). Default `127.0.0.1:9876`.
    pub name_server: String,
    /// The directory whose `.wasm` files are the plugins. Default `plugins`.
    pub plugins: PathBuf,
    /// What hosts keep from run to run is under here, a directory for each. Default: `gantry` under the user's state
    /// directory, `$XDG_STATE_HOME` or `~/.local/state`.
    pub state_dir: Option<PathBuf>,
    /// This host's directory under `state-dir`, 1 to 64 characters of A-Z a-z 0-9 _ - . Further hosts of the same name take
    /// `NAME-2`, `NAME-3`, …: name hosts that serve different groups differently, so that each finds its own directory
    /// again. A name but `default` is in the client id too, `ip@gantry#NAME-<unique>` (RocketMQ: `instanceName`, there alone
    /// behind the address, so that two hosts of one name take the same queues). Default `default`.
    pub instance_name: String,
    /// How long a stop waits for listeners to finish and offsets to be committed, in milliseconds or as `"10s"`
    /// (RocketMQ: `awaitTerminationMillisWhenShutdown`, there 0). Default 10 s.
    pub shutdown_grace: Millis,
    /// The broker side of the client (RocketMQ: ClientConfig).
    pub client: ClientSettings,
    /// Further clusters by the names that `[plugin.NAME]` puts its plugin in one by.
    pub clusters: BTreeMap<String, ClientSettings>,
    /// Message traces.
    pub trace: TraceSettings,
    /// Where the admin API listens, and whether it does.
    pub admin: AdminSettings,
    /// Which plugin files may be loaded at all.
    pub signatures: SignatureSettings,
    /// What guests may use of the machine.
    pub engine: EngineSettings,
    /// Settings of every consumer group (RocketMQ: DefaultMQPushConsumer).
    pub consumer: ConsumerSettings,
    /// Settings of one consumer group by its name, over `[consumer]`; of one that is not in the default cluster by
    /// `GROUP@CLUSTER`.
    pub group: BTreeMap<String, ConsumerSettings>,
    /// Settings of one plugin by its file's name without `.wasm`, over what the plugin says of itself.
    pub plugin: BTreeMap<String, PluginSettings>,
}

impl Default for GantryConfig {
    fn default() -> Self {
        Self {
            name_server: "127.0.0.1:9876".into(),
            plugins: "plugins".into(),
            state_dir: None,
            instance_name: DEFAULT_INSTANCE.into(),
            shutdown_grace: Millis(10_000),
            client: ClientSettings::default(),
            clusters: BTreeMap::new(),
            trace: TraceSettings::default(),
            admin: AdminSettings::default(),
            signatures: SignatureSettings::default(),
            engine: EngineSettings::default(),
            consumer: ConsumerSettings::default(),
            group: BTreeMap::new(),
            plugin: BTreeMap::new(),
        }
    }
}

/// What guests may use of the machine, and where compiled code is kept.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct EngineSettings {
    /// Compiled components are cached here by content hash. Default: `gantry` under the user's cache directory.
    pub cache_dir: Option<PathBuf>,
    /// Most linear memory of one instance. Default 64 MiB.
    pub memory_max: ByteSize,
    /// Linear memory above which an instance is replaced after a call; memory never shrinks, so one large batch would be held
    /// for good. Up to twice what it was made with is never too much. At most `memory-max`. Default: half of that.
    pub instance_memory_high_water: Option<ByteSize>,
    /// Calls after which an instance is replaced by a fresh one, at least 1. Default 100,000.
    pub max_calls_per_instance: u64,
    /// How long one call of a listener may take, unless the plugin says otherwise. Default 15 min, RocketMQ's
    /// `consumeTimeout`; a guest past it is stopped.
    pub consume_timeout: Millis,
    /// Threads that run one plugin's batches; every plugin has its own. Default: the machine's cores, at least 2.
    pub threads: Option<usize>,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            cache_dir: None,
            memory_max: ByteSize(64 << 20),
            instance_memory_high_water: None,
            max_calls_per_instance: 100_000,
            consume_timeout: Millis(15 * 60 * 1000),
            threads: None,
        }
    }
}

impl EngineSettings {
    /// The threads of one plugin.
    pub(crate) fn threads(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(2, |cores| cores.get().max(2));
        self.threads.unwrap_or_else(cores)
    }
}

impl GantryConfig {
    /// Reads and checks a configuration file. Errors name the file, the line and the key.
    pub fn from_file(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { file: path.to_owned(), source })?;
        Self::from_toml(&path.display().to_string(), &text)
    }

    /// The same from text; `file` is the name that errors give.
    pub fn from_toml(file: &str, text: &str) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text).map_err(|e| ConfigError::syntax(file, text, &e))?;
        config.check().map_err(|(key, message)| ConfigError::rule(file, text, key, message))?;
        Ok(config)
    }

    /// The settings of a group: `[group.NAME]` over `[consumer]` over RocketMQ's defaults.
    pub fn group_settings(&self, group: &str) -> ConsumerSettings {
        match self.group.get(group) {
            Some(own) => own.over(&self.consumer),
            None => self.consumer.clone(),
        }
    }

    /// The settings of a plugin by its file's stem.
    pub fn plugin_settings(&self, stem: &str) -> PluginSettings {
        self.plugin.get(stem).cloned().unwrap_or_default()
    }

    fn check(&self) -> Result<(), (String, String)> {
        let rule = |key: &str, message: String| Err((key.to_owned(), message));
        if self.name_server.split([';', ',']).all(|a| a.trim().is_empty()) {
            return rule("name-server", "expected at least one `host:port`".into());
        }
        if !is_instance_name(&self.instance_name) {
            return rule(
                "instance-name",
                "expected 1 to 64 characters of A-Z a-z 0-9 _ - . with one that is no dot".into(),
            );
        }
        self.client.check()?;
        self.check_clusters()?;
        self.trace.check()?;
        self.admin.check()?;
        self.signatures.check()?;
        if self.engine.memory_max.0 < 1 << 20 {
            return rule("memory-max", "expected at least 1 MiB".into());
        }
        if self.engine.instance_memory_high_water.is_some_and(|high| high.0 > self.engine.memory_max.0) {
            return rule("instance-memory-high-water", "expected at most memory-max".into());
        }
        if self.engine.max_calls_per_instance == 0 {
            return rule("max-calls-per-instance", "expected at least 1".into());
        }
        if self.engine.consume_timeout.0 == 0 {
            return rule("consume-timeout", "expected at least 1 ms".into());
        }
        if self.engine.threads == Some(0) || self.engine.threads.is_some_and(|n| n > 1024) {
            return rule("threads", "expected 1 to 1024".into());
        }
        self.consumer.check()?;
        for settings in self.group.values() {
            settings.check()?;
        }
        for settings in self.plugin.values() {
            settings.check()?;
        }
        self.check_offset_store_files()
    }

    /// Two groups in one file would overwrite each other's offsets.
    fn check_offset_store_files(&self) -> Result<(), (String, String)> {
        let rule = |message: String| Err(("offset-store-file".to_owned(), message));
        if self.consumer.offset_store_file.is_some() {
            return rule("expected in a [group.NAME] only: each group needs a file of its own".into());
        }
        let mut taken = BTreeMap::new();
        for (group, settings) in &self.group {
            let Some(file) = &settings.offset_store_file else { continue };
            if let Some(other) = taken.insert(file, group) {
                return rule(format!(
                    "expected another file for each group, but {other} and {group} both name {}",
                    file.display()
                ));
            }
        }
        Ok(())
    }
}

fn is_instance_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    (1..=64).contains(&name.len()) && name.bytes().all(allowed) && name.bytes().any(|byte| byte != b'.')
}

#[cfg(test)]
mod tests;
