//! Which queues of a topic are whose: `allocate-message-queue-strategy`.

use gantry_core::AllocateMessageQueueStrategy;
use gantry_core::allocate::{
    self, AllocateMessageQueueByConfig, AllocateMessageQueueByMachineRoom, NAMES, NEARBY,
};
use gantry_protocol::MessageQueue;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// An allocation strategy (RocketMQ: AllocateMessageQueueStrategy).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StrategySetting {
    /// One that this host has, such as `AVG`.
    BuiltIn(BuiltInStrategy),
    /// That of a plugin, by its file's name without `.wasm`: `plugin:NAME`.
    Plugin(String),
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
    /// The strategy, unless it is a plugin's.
    pub fn strategy(&self) -> Option<Box<dyn AllocateMessageQueueStrategy>> {
        let queue = |queue: &QueueSetting| {
            MessageQueue::new(queue.topic.as_str(), queue.broker_name.as_str(), queue.queue_id)
        };
        Some(match self {
            Self::BuiltIn(name) => name.strategy()?,
            Self::Plugin(_) => return None,
            Self::MachineRoom(rooms) => Box::new(AllocateMessageQueueByMachineRoom::new(rooms.clone())),
            Self::Config(queues) => {
                Box::new(AllocateMessageQueueByConfig::new(queues.iter().map(queue).collect()))
            }
        })
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
    expecting = "expected a strategy's name, or { machine-room = [\"room\", ...] }, or { config = [{ topic = \"t\", broker-name = \"b\", queue-id = 0 }, ...] }"
)]
enum Written {
    Name(String),
    Lists(Lists),
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
