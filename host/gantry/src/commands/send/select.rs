//! `gantry send --selector`: which queue each message goes to (RocketMQ: MessageQueueSelector).

use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context as _, bail};
use gantry_core::select;
use gantry_engine::{DeliveryTime, Engine, EngineConfig, Grants, SelectorModule};
use gantry_host::client_instance::{
    ClientInstance, Delay, MessageQueueSelector, OutgoingMessage, SelectMessageQueueByHash,
    SelectMessageQueueByMachineRoom, SelectMessageQueueByRandom, SelectMessageQueueByRoundRobin,
};
use gantry_protocol::MessageQueue;

/// As in the WIT and in the host.
const DEADLINE: std::time::Duration = std::time::Duration::from_secs(1);

/// What `--selector` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SelectorArg {
    ByHash,
    ByRandom,
    ByMachineRoom,
    RoundRobin,
    /// The file of this path.
    PluginFile(PathBuf),
    /// The file `NAME.wasm` of a plugins directory.
    Plugin(String),
}

impl FromStr for SelectorArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.strip_prefix("plugin:")) {
            ("by-hash", _) => Ok(Self::ByHash),
            ("by-random", _) => Ok(Self::ByRandom),
            ("by-machine-room", _) => Ok(Self::ByMachineRoom),
            ("round-robin", _) => Ok(Self::RoundRobin),
            (_, Some(file)) if file.ends_with(".wasm") || file.contains(['/', '\\']) => {
                Ok(Self::PluginFile(file.into()))
            }
            (_, Some(name)) if !name.is_empty() => Ok(Self::Plugin(name.to_owned())),
            _ => Err("expected by-hash, by-random, by-machine-room, round-robin, plugin:FILE.wasm, or \
                      plugin:NAME"
                .into()),
        }
    }
}

/// What chooses the queues.
pub(super) enum Selector {
    Rule(Box<dyn MessageQueueSelector>),
    Plugin(SelectorModule),
}

impl Selector {
    /// The selector of this name; loads it, if it is a plugin. `directory` is where plugins are named.
    pub(super) async fn new(named: &SelectorArg, directory: &Path) -> anyhow::Result<Self> {
        let file = match named {
            SelectorArg::ByHash => return Ok(Self::Rule(Box::new(SelectMessageQueueByHash))),
            SelectorArg::ByRandom => return Ok(Self::Rule(Box::new(SelectMessageQueueByRandom))),
            SelectorArg::ByMachineRoom => {
                return Ok(Self::Rule(Box::new(SelectMessageQueueByMachineRoom::default())));
            }
            SelectorArg::RoundRobin => {
                return Ok(Self::Rule(Box::new(SelectMessageQueueByRoundRobin::default())));
            }
            SelectorArg::PluginFile(file) => file.clone(),
            SelectorArg::Plugin(name) => directory.join(format!("{name}.wasm")),
        };
        Ok(Self::Plugin(tokio::task::spawn_blocking(move || load(&file)).await??))
    }

    /// The queue for a message, of those its topic has.
    pub(super) async fn choose(
        &self,
        client: &ClientInstance,
        message: &OutgoingMessage,
        arg: &str,
    ) -> anyhow::Result<MessageQueue> {
        let topic = &message.topic;
        let namespace = client.namespace();
        let route = client.route(&namespace.wrap(topic)).await.with_context(|| {
            format!(
                "a selector chooses among queues that there are; make them with `gantry topic create {topic}`"
            )
        })?;
        let queues: Vec<_> = route.publish_queues.iter().map(|queue| namespace.unwrap_queue(queue)).collect();
        let index = match self {
            Self::Rule(rule) => rule.select(&queues, message, arg).map_err(anyhow::Error::msg)?,
            Self::Plugin(selector) => ask(selector, &queues, message, arg).await?,
        };
        queues.get(index).cloned().with_context(|| format!("topic {topic} has no queue to send to"))
    }
}

/// Asks a plugin; where it gives no usable answer, the hash of the argument decides, and standard error says so.
async fn ask(
    selector: &SelectorModule,
    queues: &[MessageQueue],
    message: &OutgoingMessage,
    arg: &str,
) -> anyhow::Result<usize> {
    let asked: Vec<_> = queues.iter().map(lowered).collect();
    let (selector, lowered, arg) = (selector.clone(), lowered_message(message), arg.to_owned());
    let there = queues.len();
    let answered = tokio::task::spawn_blocking(move || {
        let answer = selector.select(&asked, &lowered, &arg, DEADLINE);
        answer.unwrap_or_else(|failure| {
            eprintln!("{failure}; the hash of the argument chooses the queue");
            select::by_hash(&arg, there)
        })
    });
    Ok(answered.await?)
}

fn load(file: &PathBuf) -> anyhow::Result<SelectorModule> {
    let name = file.display();
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {name}"))?;
    let engine = Engine::new(EngineConfig::default())?;
    let plugin = engine.load_plugin(&bytes, &Grants::NONE, &mut |_| ()).with_context(|| name.to_string())?;
    let roles = plugin.roles().join(" and ");
    match plugin.selector {
        Some(selector) => Ok(selector),
        None => {
            bail!("{name} is a {roles} and no selector; name by-hash, by-random, or a plugin that is one")
        }
    }
}

fn lowered(queue: &MessageQueue) -> gantry_engine::MessageQueue {
    gantry_engine::MessageQueue {
        topic: queue.topic.to_string(),
        broker_name: queue.broker_name.to_string(),
        queue_id: queue.queue_id.max(0).unsigned_abs(),
    }
}

fn lowered_message(message: &OutgoingMessage) -> gantry_engine::OutgoingMessage {
    gantry_engine::OutgoingMessage {
        topic: message.topic.clone(),
        tags: message.tag.clone(),
        keys: message.keys.clone(),
        body: message.body.to_vec(),
        properties: message.properties.clone(),
        delivery_time: match message.delay {
            Delay::None => DeliveryTime::AtOnce,
            Delay::Level(level) => DeliveryTime::Level(u8::try_from(level).unwrap_or(u8::MAX)),
            Delay::Millis(milliseconds) => DeliveryTime::Milliseconds(milliseconds),
            Delay::At(timestamp) => DeliveryTime::Timestamp(timestamp),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_is_named_or_a_file() {
        assert_eq!("by-hash".parse(), Ok(SelectorArg::ByHash));
        assert_eq!("by-random".parse(), Ok(SelectorArg::ByRandom));
        assert_eq!("by-machine-room".parse(), Ok(SelectorArg::ByMachineRoom));
        assert_eq!("round-robin".parse(), Ok(SelectorArg::RoundRobin));
        assert_eq!("plugin:a/b.wasm".parse(), Ok(SelectorArg::PluginFile("a/b.wasm".into())));
        assert_eq!("plugin:b.wasm".parse(), Ok(SelectorArg::PluginFile("b.wasm".into())));
        assert_eq!("plugin:nearest".parse(), Ok(SelectorArg::Plugin("nearest".into())));
        for wrong in ["", "hash", "plugin:"] {
            assert!(wrong.parse::<SelectorArg>().is_err(), "{wrong}");
        }
    }
}
