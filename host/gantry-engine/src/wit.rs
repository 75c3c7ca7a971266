//! The types of `gantry:rocketmq/types` and `gantry:rocketmq/strategy` as Rust sees them.
//!
//! Written by hand rather than generated: what goes into the guest borrows from the host's batch, so that a body is
//! copied once, into the guest's memory, and never into an owned buffer on the way. Every component is type-checked
//! against these definitions when it is loaded.

use wasmtime::component::{ComponentType, Lift, Lower};

/// The interface a listener component must export.
pub const LISTENER_INTERFACE: &str = "gantry:rocketmq/listener@0.1.0";
/// The interface through which a listener asks for more about the batch at hand.
pub const DELIVERY_INTERFACE: &str = "gantry:rocketmq/delivery@0.1.0";
/// The interface through which a plugin sends messages.
pub(crate) const PRODUCER_INTERFACE: &str = "gantry:rocketmq/producer@0.1.0";
/// The interface through which a plugin keeps figures.
pub(crate) const METRICS_INTERFACE: &str = "gantry:rocketmq/metrics@0.1.0";

/// The interface a listener component exports that takes its batches as bytes.
pub const PACKED_LISTENER_INTERFACE: &str = "gantry:rocketmq/packed-listener@0.1.0";
/// The interface a listener component exports that takes its batches as bytes, many in a call.
pub const LEAN_LISTENER_INTERFACE: &str = "gantry:rocketmq/lean-listener@0.1.0";
/// The interface a simple listener may export instead, which says nothing of itself.
pub const MESSAGING_HANDLER_INTERFACE: &str = "wasi:messaging/incoming-handler@0.2.0-draft";
/// What its messages are.
pub(crate) const MESSAGING_TYPES_INTERFACE: &str = "wasi:messaging/types@0.2.0-draft";
/// The interface a queue selector must export.
pub const SELECTOR_INTERFACE: &str = "gantry:rocketmq/selector@0.1.0";
/// The interface through which a component of any role hears of its instances' beginning and end.
pub const LIFECYCLE_INTERFACE: &str = "gantry:rocketmq/lifecycle@0.1.0";
/// The interface an allocation strategy must export.
pub const STRATEGY_INTERFACE: &str = "gantry:rocketmq/strategy@0.1.0";

/// How a group shares a topic (RocketMQ: `MessageModel`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[serde(rename_all = "kebab-case")]
pub enum MessageModel {
    /// Each message goes to one member of the group.
    #[component(name = "clustering")]
    Clustering,
    /// Each member gets every message.
    #[component(name = "broadcasting")]
    Broadcasting,
}

/// How messages of one queue reach the listener (RocketMQ: `MessageListenerConcurrently`, `MessageListenerOrderly`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[serde(rename_all = "kebab-case")]
pub enum ConsumeMode {
    /// Many batches of a queue at once, in no promised order.
    #[component(name = "concurrently")]
    Concurrently,
    /// One batch of a queue at a time, in the order of its offsets.
    #[component(name = "orderly")]
    Orderly,
}

/// Where a group without a stored offset begins (RocketMQ: `ConsumeFromWhere`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, ComponentType, Lift)]
#[component(variant)]
#[serde(rename_all = "kebab-case")]
pub enum ConsumeFromWhere {
    /// At the end of the queue.
    #[component(name = "last-offset")]
    LastOffset,
    /// At the oldest message the broker still has.
    #[component(name = "first-offset")]
    FirstOffset,
    /// At the first message stored at or after this time, in milliseconds since the Unix epoch.
    #[component(name = "timestamp")]
    Timestamp(u64),
}

/// Which messages of a topic the broker hands out (RocketMQ: `SubscriptionData`, `ExpressionType`).
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, ComponentType, Lift)]
#[component(variant)]
#[serde(rename_all = "kebab-case")]
pub enum FilterExpression {
    /// Tags joined by `||`; `*` is every message.
    #[component(name = "tag")]
    Tag(String),
    /// A SQL92 condition over message properties.
    #[component(name = "sql92")]
    Sql92(String),
}

/// One topic a listener wants (RocketMQ: `SubscriptionData`).
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, ComponentType, Lift)]
#[component(record)]
pub struct Subscription {
    /// The topic's name.
    pub topic: String,
    /// Which of its messages.
    pub expression: FilterExpression,
}

/// What a listener says of itself (`listener-description`). Only what [`crate::Engine::load`] returns has been checked.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, ComponentType, Lift)]
#[component(record)]
pub struct ListenerDescription {
    /// The plugin's name for logs, metrics and commands.
    pub name: String,
    /// The plugin's own version, for people.
    pub version: String,
    /// The consumer group it joins unless configuration names another.
    #[component(name = "consumer-group")]
    pub consumer_group: String,
    /// At least one, each topic once.
    pub subscriptions: Vec<Subscription>,
    /// Clustering or broadcasting.
    #[component(name = "message-model")]
    pub message_model: MessageModel,
    /// Concurrently or orderly.
    #[component(name = "consume-mode")]
    pub consume_mode: ConsumeMode,
    /// Where a group without a stored offset begins.
    #[component(name = "consume-from-where")]
    pub consume_from_where: ConsumeFromWhere,
    /// Most messages in one call, 1 to 1024 (RocketMQ: `consumeMessageBatchMaxSize`). Absent: 1.
    #[component(name = "consume-message-batch-max-size")]
    pub consume_message_batch_max_size: Option<u32>,
    /// Retries before the dead-letter topic (RocketMQ: `maxReconsumeTimes`). Absent: 16.
    #[component(name = "max-reconsume-times")]
    pub max_reconsume_times: Option<u32>,
    /// Milliseconds one call may take (RocketMQ: `consumeTimeout`, there in minutes). Absent: the host's default.
    #[component(name = "consume-timeout")]
    pub consume_timeout: Option<u64>,
}

/// What holds for every message of one call: they all come from one queue (`consume-context`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lower)]
#[component(record)]
pub struct ConsumeContext<'a> {
    /// The consumer group on whose behalf the batch was pulled.
    #[component(name = "consumer-group")]
    pub consumer_group: &'a str,
    /// The topic the listener subscribed to, also for a message that came back through the retry topic.
    pub topic: &'a str,
    /// The broker that holds the queue.
    #[component(name = "broker-name")]
    pub broker_name: &'a str,
    /// The queue's number at that broker.
    #[component(name = "queue-id")]
    pub queue_id: u32,
}

/// A [`ConsumeContext`] that an instance keeps, for whoever asks; its room is used again from call to call.
#[derive(Clone, Debug, Default, PartialEq, Eq, ComponentType, Lower)]
#[component(record)]
pub(crate) struct HeldContext {
    #[component(name = "consumer-group")]
    consumer_group: String,
    topic: String,
    #[component(name = "broker-name")]
    broker_name: String,
    #[component(name = "queue-id")]
    queue_id: u32,
}

impl HeldContext {
    /// Becomes `context`.
    pub(crate) fn set(&mut self, context: &ConsumeContext<'_>) {
        let texts = [
            (&mut self.consumer_group, context.consumer_group),
            (&mut self.topic, context.topic),
            (&mut self.broker_name, context.broker_name),
        ];
        for (held, text) in texts {
            held.clear();
            held.push_str(text);
        }
        self.queue_id = context.queue_id;
    }
}

/// One message as it is lowered into the guest: borrowed from the host's batch throughout.
#[derive(Clone, Copy, ComponentType, Lower)]
#[component(record)]
pub(crate) struct WitMessage<'a> {
    #[component(name = "message-id")]
    pub(crate) message_id: &'a str,
    pub(crate) tags: Option<&'a str>,
    pub(crate) keys: &'a str,
    #[component(name = "reconsume-times")]
    pub(crate) reconsume_times: u32,
    #[component(name = "queue-offset")]
    pub(crate) queue_offset: u64,
    #[component(name = "born-timestamp")]
    pub(crate) born_timestamp: u64,
    #[component(name = "store-timestamp")]
    pub(crate) store_timestamp: u64,
    pub(crate) body: &'a [u8],
    #[component(name = "user-properties")]
    pub(crate) user_properties: &'a [(&'a str, &'a str)],
}

/// When a message given back should come again (`retry-delay`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, ComponentType, Lift)]
#[component(variant)]
#[serde(rename_all = "kebab-case")]
pub enum RetryDelay {
    /// RocketMQ's own schedule by attempt: 10 s, 30 s, 1 min ... 2 h.
    #[component(name = "by-attempts")]
    ByAttempts,
    /// One of the broker's delay levels, 1 (1 s) to 18 (2 h). What a guest says is passed on unchecked.
    #[component(name = "level")]
    Level(u8),
    /// At least this many milliseconds.
    #[component(name = "milliseconds")]
    Milliseconds(u64),
}

/// The listener's answer for one message (`consume-result`).
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, ComponentType, Lift)]
#[component(variant)]
#[serde(rename_all = "kebab-case")]
pub enum ConsumeResult {
    /// Done.
    #[component(name = "success")]
    Success,
    /// Not now: delivered again after the delay (RocketMQ: `RECONSUME_LATER`).
    #[component(name = "reconsume-later")]
    ReconsumeLater(RetryDelay),
    /// To the dead-letter topic at once, with the reason.
    #[component(name = "dead-letter")]
    DeadLetter(String),
}

/// What an allocation strategy says of itself (`strategy-description`). Only what [`crate::Engine::load_plugin`] returns
/// has been checked.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, ComponentType, Lift)]
#[component(record)]
pub struct StrategyDescription {
    /// The strategy's name for logs and status.
    pub name: String,
    /// The plugin's own version, for people.
    pub version: String,
}

/// What a queue selector says of itself (`selector-description`). Only what [`crate::Engine::load_plugin`] returns has been
/// checked.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, ComponentType, Lift)]
#[component(record)]
pub struct SelectorDescription {
    /// The selector's name for logs and status.
    pub name: String,
    /// The plugin's own version, for people.
    pub version: String,
}

/// One queue of a topic (RocketMQ: `MessageQueue`), as strategies and selectors see it.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, ComponentType, Lift, Lower,
)]
#[component(record)]
pub struct MessageQueue {
    /// The topic's name.
    pub topic: String,
    /// The broker that holds it.
    #[component(name = "broker-name")]
    pub broker_name: String,
    /// Its number at that broker.
    #[component(name = "queue-id")]
    pub queue_id: u32,
}

/// When the broker makes a message that is sent visible to consumers (`delivery-time`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, ComponentType, Lift, Lower)]
#[component(variant)]
#[serde(rename_all = "kebab-case")]
pub enum DeliveryTime {
    /// At once.
    #[default]
    #[component(name = "at-once")]
    AtOnce,
    /// After a delay level, 1 (1 s) to 18 (2 h). What a guest says is passed on unchecked.
    #[component(name = "level")]
    Level(u8),
    /// After this many milliseconds.
    #[component(name = "milliseconds")]
    Milliseconds(u64),
    /// At this time, in milliseconds since the Unix epoch.
    #[component(name = "timestamp")]
    Timestamp(u64),
}

/// A message on its way to the broker (`outgoing-message`). What a guest says is passed on unchecked.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, ComponentType, Lift, Lower)]
#[component(record)]
pub struct OutgoingMessage {
    /// The topic's name.
    pub topic: String,
    /// One tag.
    pub tags: Option<String>,
    /// Keys for looking the message up.
    pub keys: Vec<String>,
    /// The body.
    pub body: Vec<u8>,
    /// The user's properties.
    pub properties: Vec<(String, String)>,
    /// When it becomes visible.
    #[component(name = "delivery-time")]
    pub delivery_time: DeliveryTime,
}

pub(crate) type DescribeParams = ();
pub(crate) type DescribeReturn<D> = (D,);
pub(crate) type ConsumeParams<'a> = (ConsumeContext<'a>, &'a [WitMessage<'a>]);
pub(crate) type PackedParams<'a> = (ConsumeContext<'a>, &'a [u8]);
pub(crate) type LeanParams<'a> = (&'a [u8], u32);
pub(crate) type ConsumeReturn = (Result<Vec<ConsumeResult>, String>,);
pub(crate) type AllocateParams<'a> = (&'a str, &'a str, &'a [MessageQueue], &'a [String]);
pub(crate) type AllocateReturn = (Result<Vec<MessageQueue>, String>,);
pub(crate) type SelectParams<'a> = (&'a [MessageQueue], &'a OutgoingMessage, &'a str);
pub(crate) type SelectReturn = (Result<u32, String>,);
pub(crate) type InitReturn = (Result<(), String>,);
