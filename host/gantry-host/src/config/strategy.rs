//! Which queues of a topic are whose: `allocate-message-queue-strategy`.

use gantry_core::AllocateMessageQueueStrategy;
use gantry_core::allocate::{
    self, AllocateMessageQueueByConfig, AllocateMessageQueueByMachineRoom, NAMES, NEARBY,
};
use gantry_protocol::{MessageQueue, Namespace};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// An allocation strategy (RocketMQ: AllocateMessageQueueStrategy).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StrategySetting {
    /// One that this host has, such as `AVG`.
    BuiltIn(BuiltInStrategy),
    /// That of a plugin, by its file's name without `.wasm`: `plugin:NAME`.
    Plugin(String),
    /// That of a plugin with one of this host's to stand in where it gives no sound answer:
    /// `{ plugin = "NAME", fallback = "AVG" }`. As the strategy itself, the same at every member.
    PluginOr {
        /// The plugin's file's name without `.wasm`.
        plugin: String,
        /// What divides in its place.
        fallback: BuiltInStrategy,
    },
    /// MACHINE_ROOM with the rooms the group consumes from (consumeridcs).
    MachineRoom(Vec<String>),
    /// CONFIG with the queues of this member (messageQueueList).
    Config(Vec<QueueSetting>),
}

/// The name of a strategy that this host has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BuiltInStrategy {
    nearby: bool,
    plain: &'static str,
}

/// One queue (RocketMQ: MessageQueue).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct QueueSetting {
    /// Its topic.
    pub topic: String,
    /// Its broker's name.
    pub broker_name: String,
    /// Its number there.
    pub queue_id: i32,
}

/// What comes before the name of a plugin's strategy.
const PLUGIN: &str = "plugin:";

impl StrategySetting {
    /// The strategy, unless it is a plugin's, for topics as brokers know them: in `namespace`.
    pub fn strategy(&self, namespace: &Namespace) -> Option<Box<dyn AllocateMessageQueueStrategy>> {
        let queue = |queue: &QueueSetting| {
            let topic = &*namespace.wrap(&queue.topic);
            MessageQueue::new(topic, queue.broker_name.as_str(), queue.queue_id)
        };
        Some(match self {
            Self::BuiltIn(name) => name.strategy()?,
            Self::Plugin(_) | Self::PluginOr { .. } => return None,
            Self::MachineRoom(rooms) => Box::new(AllocateMessageQueueByMachineRoom::new(rooms.clone())),
            Self::Config(queues) => {
                Box::new(AllocateMessageQueueByConfig::new(queues.iter().map(queue).collect()))
            }
        })
    }

    /// The plugin that is to be asked, if one is.
    pub fn plugin(&self) -> Option<&str> {
        match self {
            Self::Plugin(plugin) | Self::PluginOr { plugin, .. } => Some(plugin),
            _ => None,
        }
    }

    /// What divides where the plugin gives no sound answer; without it the queues stay where they are.
    pub fn fallback(&self) -> Option<BuiltInStrategy> {
        match self {
            Self::PluginOr { fallback, .. } => Some(*fallback),
            _ => None,
        }
    }

    /// What is to be expected in place of a list that selects nothing.
    pub(super) fn fault(&self) -> Option<&'static str> {
        match self {
            Self::MachineRoom(rooms) if rooms.is_empty() => Some("at least one machine room"),
            _ => None,
        }
    }
}

impl BuiltInStrategy {
    /// The strategy of this name. None does not happen: names are checked when they are read.
    pub fn strategy(self) -> Option<Box<dyn AllocateMessageQueueStrategy>> {
        allocate::by_name(&format!("{}{}", if self.nearby { NEARBY } else { "" }, self.plain))
    }

    fn named(name: &str) -> Option<Self> {
        let (nearby, rest) = name.strip_prefix(NEARBY).map_or((false, name), |inner| (true, inner));
        let plain = NAMES.into_iter().find(|known| *known == rest)?;
        Some(Self { nearby, plain })
    }
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "expected a strategy's name, or { plugin = \"NAME\", fallback = \"AVG\" }, or { machine-room = [\"room\", ...] }, or { config = [{ topic = \"t\", broker-name = \"b\", queue-id = 0 }, ...] }"
)]
enum Written {
    Name(String),
    Plugin(WrittenPlugin),
    Lists(Lists),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenPlugin {
    plugin: String,
    fallback: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Lists {
    MachineRoom(Vec<String>),
    Config(Vec<QueueSetting>),
}

impl<'de> Deserialize<'de> for StrategySetting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = match Written::deserialize(deserializer)? {
            Written::Name(name) => name,
            Written::Plugin(written) => return written.read().map_err(D::Error::custom),
            Written::Lists(Lists::MachineRoom(rooms)) => return Ok(Self::MachineRoom(rooms)),
            Written::Lists(Lists::Config(queues)) => return Ok(Self::Config(queues)),
        };
        if let Some(plugin) = name.strip_prefix(PLUGIN).filter(|plugin| !plugin.is_empty()) {
            return Ok(Self::Plugin(plugin.to_owned()));
        }
        let unknown = || {
            D::Error::custom(format!(
                "unknown strategy `{name}`, expected one of `{}`, or one of these after `{NEARBY}`, or \
                 `{PLUGIN}NAME` for that of the plugin NAME.wasm; MACHINE_ROOM and CONFIG come with their lists, as \
                 {{ machine-room = [...] }} and {{ config = [...] }}",
                NAMES.join("`, `")
            ))
        };
        BuiltInStrategy::named(&name).map(Self::BuiltIn).ok_or_else(unknown)
    }
}

impl WrittenPlugin {
    fn read(self) -> Result<StrategySetting, String> {
        let Self { plugin, fallback } = self;
        if plugin.is_empty() {
            return Err("expected the plugin's name, that of its file without .wasm".to_owned());
        }
        let Some(name) = fallback else { return Ok(StrategySetting::Plugin(plugin)) };
        let fallback = BuiltInStrategy::named(&name).ok_or_else(|| {
            format!(
                "unknown fallback `{name}`, expected one of `{}`, or one of these after `{NEARBY}`",
                NAMES.join("`, `")
            )
        })?;
        Ok(StrategySetting::PluginOr { plugin, fallback })
    }
}
