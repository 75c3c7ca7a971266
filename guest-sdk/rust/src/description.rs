//! What a listener says of itself.

pub use crate::bindings::listener::gantry::rocketmq::types::{ConsumeFromWhere, ConsumeMode, MessageModel};
use crate::bindings::listener::gantry::rocketmq::types::{
    FilterExpression, ListenerDescription, Subscription,
};
use std::time::{Duration, SystemTime};

/// What a listener says of itself, so that a dropped file needs no configuration.
///
/// Everything left unsaid is RocketMQ's default: clustering, concurrently, from the last offset, one message a call,
/// 16 retries. The operator's `gantry.toml` overrides each of these. The host checks the description when the file is
/// dropped; an unsound one rejects the file and names the rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Description(ListenerDescription);

impl Description {
    /// A listener called `name` (1 to 64 of `A-Z a-z 0-9 _ -`) in `consumer_group` (1 to 120 of `A-Z a-z 0-9 _ - % |`),
    /// yet without a subscription.
    pub fn new(name: impl Into<String>, consumer_group: impl Into<String>) -> Self {
        Self(ListenerDescription {
            name: name.into(),
            version: String::new(),
            consumer_group: consumer_group.into(),
            subscriptions: Vec::new(),
            message_model: MessageModel::Clustering,
            consume_mode: ConsumeMode::Concurrently,
            consume_from_where: ConsumeFromWhere::LastOffset,
            consume_message_batch_max_size: None,
            max_reconsume_times: None,
            consume_timeout: None,
        })
    }

    /// Also the messages of `topic` with one of these tags, joined by `||` as in `created || paid`; `*` is every
    /// message. At least one subscription is needed, each topic once.
    #[must_use]
    pub fn subscribe(self, topic: impl Into<String>, tags: impl Into<String>) -> Self {
        self.subscription(topic, FilterExpression::Tag(tags.into()))
    }

    /// Also the messages of `topic` for which this SQL92 condition over message properties holds, such as
    /// `amount > 100 AND region = 'eu'`. The broker evaluates it, where its `enablePropertyFilter` is on.
    #[must_use]
    pub fn subscribe_sql92(self, topic: impl Into<String>, condition: impl Into<String>) -> Self {
        self.subscription(topic, FilterExpression::Sql92(condition.into()))
    }

    fn subscription(mut self, topic: impl Into<String>, expression: FilterExpression) -> Self {
        self.0.subscriptions.push(Subscription { topic: topic.into(), expression });
        self
    }

    /// The plugin's own version, for people: up to 64 characters. Left out: the version in its `Cargo.toml`.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.0.version = version.into();
        self
    }

    /// Whether members share the messages or each gets all of them. Default: [`MessageModel::Clustering`].
    #[must_use]
    pub fn message_model(mut self, model: MessageModel) -> Self {
        self.0.message_model = model;
        self
    }

    /// Each member of the group gets every message: [`MessageModel::Broadcasting`].
    #[must_use]
    pub fn broadcasting(self) -> Self {
        self.message_model(MessageModel::Broadcasting)
    }

    /// Whether the order of a queue is kept. Default: [`ConsumeMode::Concurrently`].
    #[must_use]
    pub fn consume_mode(mut self, mode: ConsumeMode) -> Self {
        self.0.consume_mode = mode;
        self
    }

    /// Each queue in its order, one batch at a time: [`ConsumeMode::Orderly`]. A message that is not consumed holds up
    /// those behind it in its queue.
    #[must_use]
    pub fn orderly(self) -> Self {
        self.consume_mode(ConsumeMode::Orderly)
    }

    /// Where a group begins that has no stored offset. Default: [`ConsumeFromWhere::LastOffset`].
    #[must_use]
    pub fn consume_from_where(mut self, from: ConsumeFromWhere) -> Self {
        self.0.consume_from_where = from;
        self
    }

    /// A group without a stored offset begins at the oldest message there is.
    #[must_use]
    pub fn consume_from_first_offset(self) -> Self {
        self.consume_from_where(ConsumeFromWhere::FirstOffset)
    }

    /// A group without a stored offset begins at the first message stored at or after `time`, to the millisecond (RocketMQ:
    /// `consumeTimestamp`). A time before 1970 is 1970.
    #[must_use]
    pub fn consume_from_timestamp(self, time: SystemTime) -> Self {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let milliseconds = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        self.consume_from_where(ConsumeFromWhere::Timestamp(milliseconds))
    }

    /// Most messages in one call, 1 to 1024 (RocketMQ: `consumeMessageBatchMaxSize`). Default: 1.
    #[must_use]
    pub fn batch_max_size(mut self, messages: u32) -> Self {
        self.0.consume_message_batch_max_size = Some(messages);
        self
    }

    /// Retries before a message goes to the dead-letter topic (RocketMQ: `maxReconsumeTimes`). Default: 16, also where the
    /// listener is orderly, for which RocketMQ's default is no limit; `i32::MAX` asks for that. Not for a listener that is
    /// broadcasting and concurrent, where nothing is retried.
    #[must_use]
    pub fn max_reconsume_times(mut self, times: u32) -> Self {
        self.0.max_reconsume_times = Some(times);
        self
    }

    /// How long one call may take before the host stops the instance (RocketMQ: `consumeTimeout`, there in minutes).
    /// Default: the host's. Whole milliseconds; anything past `u64::MAX` of them is that.
    #[must_use]
    pub fn consume_timeout(mut self, timeout: Duration) -> Self {
        self.0.consume_timeout = Some(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
        self
    }

    /// Whether the order of a queue is kept.
    pub(crate) fn is_orderly(&self) -> bool {
        self.0.consume_mode == ConsumeMode::Orderly
    }

    /// The record the host reads; `package_version` stands in where no version was given.
    pub(crate) fn into_wit(mut self, package_version: &str) -> ListenerDescription {
        if self.0.version.is_empty() {
            self.0.version = package_version.to_owned();
        }
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_it_was_told_and_leaves_the_rest_to_rocketmq() {
        let wit = Description::new("orders", "orders-group")
            .subscribe("orders", "created || paid")
            .subscribe_sql92("refunds", "amount > 100")
            .batch_max_size(32)
            .consume_timeout(Duration::from_secs(3))
            .into_wit("1.2.3");
        assert_eq!((wit.name.as_str(), wit.consumer_group.as_str()), ("orders", "orders-group"));
        assert_eq!(wit.subscriptions.len(), 2);
        assert_eq!(wit.subscriptions[0].expression, FilterExpression::Tag("created || paid".into()));
        assert_eq!(wit.subscriptions[1].expression, FilterExpression::Sql92("amount > 100".into()));
        assert_eq!(wit.consume_message_batch_max_size, Some(32));
        assert_eq!(wit.consume_timeout, Some(3000));
        assert_eq!(wit.max_reconsume_times, None);
        assert_eq!(wit.version, "1.2.3");
    }

    #[test]
    fn every_model_mode_and_beginning_can_be_said() {
        let minimal = || Description::new("orders", "orders-group");
        let wit = minimal().into_wit("1");
        assert_eq!(
            (wit.message_model, wit.consume_mode),
            (MessageModel::Clustering, ConsumeMode::Concurrently)
        );
        assert_eq!(wit.consume_from_where, ConsumeFromWhere::LastOffset);
        let wit = minimal().broadcasting().orderly().consume_from_first_offset().into_wit("1");
        assert_eq!((wit.message_model, wit.consume_mode), (MessageModel::Broadcasting, ConsumeMode::Orderly));
        assert_eq!(wit.consume_from_where, ConsumeFromWhere::FirstOffset);
        let from = |time| minimal().consume_from_timestamp(time).into_wit("1").consume_from_where;
        let epoch = SystemTime::UNIX_EPOCH;
        assert_eq!(from(epoch + Duration::from_micros(2500)), ConsumeFromWhere::Timestamp(2));
        assert_eq!(from(epoch - Duration::from_secs(1)), ConsumeFromWhere::Timestamp(0));
    }

    #[test]
    fn keeps_a_version_of_its_own() {
        assert_eq!(Description::new("a", "b").version("blue").into_wit("1.2.3").version, "blue");
    }
}
