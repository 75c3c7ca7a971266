//! `gantry send --selector`: which queue each message goes to (RocketMQ: MessageQueueSelector).

use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context as _, bail};
use gantry_core::select;
use gantry_engine::{DeliveryTime, Engine, EngineConfig, Grants, SelectorModule};
use gantry_host::client_instance::{ClientInstance, Delay, OutgoingMessage, Producer, SendReceipt};
use gantry_protocol::MessageQueue;

/// As in the WIT and in the host.
const DEADLINE: std::time::Duration = std::time::Duration::from_secs(1);

/// What `--selector` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SelectorArg {
    ByHash,
    ByRandom,
    Plugin(PathBuf),
}

impl FromStr for SelectorArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.strip_prefix("plugin:")) {
            ("by-hash", _) => Ok(Self::ByHash),
            ("by-random", _) => Ok(Self::ByRandom),
            (_, Some(file)) if !file.is_empty() => Ok(Self::Plugin(file.into())),
            _ => Err("expected by-hash, by-random, or plugin:FILE.wasm".into()),
        }
    }
}

/// What sends: to the topic's queues in turn, or as a selector says.
pub(super) struct Sender {
    client: ClientInstance,
    producer: Producer,
    rule: Rule,
    arg: String,
}

enum Rule {
    InTurn,
    ByHash,
    ByRandom,
    Plugin(SelectorModule),
}

impl Sender {
    /// Loads the selector, if it is a plugin.
    pub(super) async fn new(
        client: ClientInstance,
        producer: Producer,
        selector: Option<&SelectorArg>,
        arg: &str,
    ) -> anyhow::Result<Self> {
        let rule = match selector {
            None => Rule::InTurn,
            Some(SelectorArg::ByHash) => Rule::ByHash,
            Some(SelectorArg::ByRandom) => Rule::ByRandom,
            Some(SelectorArg::Plugin(file)) => {
                let file = file.clone();
                Rule::Plugin(tokio::task::spawn_blocking(move || load(&file)).await??)
            }
        };
        Ok(Self { client, producer, rule, arg: arg.to_owned() })
    }

    pub(super) async fn send(&self, message: &OutgoingMessage) -> anyhow::Result<SendReceipt> {
        if matches!(self.rule, Rule::InTurn) {
            return Ok(self.producer.send(message).await?);
        }
        let topic = &message.topic;
        let namespace = self.client.namespace();
        let route = self.client.route(&namespace.wrap(topic)).await.with_context(|| {
            format!(
                "a selector chooses among queues that there are; make them with `gantry topic create {topic}`"
            )
        })?;
        let mut queues: Vec<_> =
            route.publish_queues.iter().map(|queue| namespace.unwrap_queue(queue)).collect();
        queues.sort();
        let queue = queues.get(self.choose(&queues, message).await?);
        let queue = queue.with_context(|| format!("topic {topic} has no queue to send to"))?;
        Ok(self.producer.send_to(queue, message).await?)
    }

    async fn choose(&self, queues: &[MessageQueue], message: &OutgoingMessage) -> anyhow::Result<usize> {
        match &self.rule {
            Rule::InTurn | Rule::ByHash => Ok(select::by_hash(&self.arg, queues.len())),
            Rule::ByRandom => Ok(fastrand::usize(..queues.len().max(1))),
            Rule::Plugin(selector) => ask(selector, queues, message, &self.arg).await,
        }
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
        assert_eq!("plugin:a/b.wasm".parse(), Ok(SelectorArg::Plugin("a/b.wasm".into())));
        for wrong in ["", "hash", "plugin:"] {
            assert!(wrong.parse::<SelectorArg>().is_err(), "{wrong}");
        }
    }
}
