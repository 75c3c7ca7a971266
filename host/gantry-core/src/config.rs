//! A consumer group's settings (RocketMQ: DefaultMQPushConsumer) and the rules they are held to (checkConfig).

use std::fmt;
use std::time::Duration;

use gantry_protocol::names::{self, NameError};
use thiserror::Error;

pub use gantry_protocol::body::MessageModel;

/// The one group name that is refused (RocketMQ: MixAll.DEFAULT_CONSUMER_GROUP).
pub const DEFAULT_CONSUMER_GROUP: &str = "DEFAULT_CONSUMER";
/// Retries before the dead-letter topic when nothing is set.
pub const DEFAULT_MAX_RECONSUME_TIMES: u32 = 16;

/// How messages of one queue reach a listener (RocketMQ: MessageListenerConcurrently, MessageListenerOrderly).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ConsumeMode {
    /// Several batches of a queue at once.
    #[default]
    Concurrently,
    /// One batch of a queue at a time, in order.
    Orderly,
}

/// How queues change hands within a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RebalanceMode {
    /// Cooperatively while every member is a Gantry host, eagerly while one is not.
    #[default]
    Auto,
    /// As RocketMQ's clients do: who is allocated a queue reads it at once, from the last stored offset.
    Eager,
    /// A queue is consumed under a broker's lock only, so that its next owner waits until its last one has drained it and
    /// stored its offset. Members of other kinds do not know that, and read at once.
    Cooperative,
}

/// Where a queue without a stored offset is first read (RocketMQ: ConsumeFromWhere).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ConsumeFromWhere {
    /// At its end.
    #[default]
    LastOffset,
    /// At its beginning.
    FirstOffset,
    /// At the first message stored at or after this time, in milliseconds since the Unix epoch (consumeTimestamp).
    Timestamp(u64),
}

/// The settings of one consumer group. Every default is RocketMQ's unless its line says otherwise.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupConfig {
    /// consumerGroup: 1 to 120 of `A-Z a-z 0-9 _ - % |`, and not `DEFAULT_CONSUMER`.
    pub consumer_group: String,
    /// messageModel. Default clustering.
    pub message_model: MessageModel,
    /// Which kind of listener the group has. Default concurrently.
    pub consume_mode: ConsumeMode,
    /// consumeFromWhere and consumeTimestamp. Default the last offset.
    pub consume_from_where: ConsumeFromWhere,
    /// consumeThreadMin: 1 to 1000, default 20. A host may keep this many guests ready; nothing here depends on it.
    pub consume_thread_min: u32,
    /// consumeThreadMax: 1 to 1000, default 20. Most batches at listeners at once; unlike RocketMQ's it takes effect.
    pub consume_thread_max: u32,
    /// consumeConcurrentlyMaxSpan: 1 to 65535 offsets, default 2000.
    pub consume_concurrently_max_span: u32,
    /// pullThresholdForQueue: 1 to 65535 messages, default 1000.
    pub pull_threshold_for_queue: u32,
    /// pullThresholdSizeForQueue: 1 to 1024 MiB, default 100.
    pub pull_threshold_size_for_queue: u32,
    /// pullThresholdForTopic: 1 to 6553500 messages, shared among the topic's queues here. Default none (−1).
    pub pull_threshold_for_topic: Option<u32>,
    /// pullThresholdSizeForTopic: 1 to 102400 MiB, shared likewise. Default none (−1).
    pub pull_threshold_size_for_topic: Option<u32>,
    /// pullInterval: 0 to 65535 ms between an answer with messages and the next pull, default 0.
    pub pull_interval: u32,
    /// pullBatchSize: 1 to 1024 messages, default 32.
    pub pull_batch_size: u32,
    /// pullBatchSizeInBytes: at least 1 byte, default 256 KiB.
    pub pull_batch_size_in_bytes: u32,
    /// consumeMessageBatchMaxSize: 1 to 1024, default 1; a listener may have its own.
    pub consume_message_batch_max_size: u32,
    /// postSubscriptionWhenPull: send the expression with each pull. Default false.
    pub post_subscription_when_pull: bool,
    /// unitMode: told to the broker. Default false.
    pub unit_mode: bool,
    /// maxReconsumeTimes: default none (−1), which is 16; a listener may have its own.
    pub max_reconsume_times: Option<u32>,
    /// brokerSuspendMaxTimeMillis: how long a broker may hold a pull, default 15 s.
    pub broker_suspend_max_time: Duration,
    /// consumerTimeoutMillisWhenSuspend: how long a pull's answer is waited for, default 30 s.
    pub consumer_timeout_when_suspend: Duration,
    /// pullTimeDelayMillsWhenException: the wait after a failed pull, default 1 s. Ours doubles up to 5 s.
    pub pull_time_delay_when_exception: Duration,
    /// pollNameServerInterval: default 30 s.
    pub poll_name_server_interval: Duration,
    /// heartbeatBrokerInterval: default 30 s.
    pub heartbeat_broker_interval: Duration,
    /// persistConsumerOffsetInterval: default 1 s; RocketMQ's is 5 s, and that is how much a crash repeats.
    pub persist_consumer_offset_interval: Duration,
    /// rocketmq.client.rebalance.waitInterval: default 20 s.
    pub rebalance_interval: Duration,
    /// How queues change hands. Default by who the members are.
    pub rebalance: RebalanceMode,
    /// How long batches in flight are waited for when a queue goes to another member. Default 5 s; RocketMQ waits 0.
    pub drain_timeout: Duration,
    /// Messages per second of a queue just taken over from another member, 1 to 1,000,000, doubling every second for
    /// `ramp_up_duration`. Default 1000. RocketMQ has no such bound.
    pub ramp_up_rate: u32,
    /// How long a queue taken over is held to its rate, up to 60 s. Default 5 s; 0 for no bound.
    pub ramp_up_duration: Duration,
    /// suspendCurrentQueueTimeMillis: how long an orderly queue waits before a message that failed comes again, where
    /// the listener asks for no time of its own. 10 ms to 30 s, default 1 s.
    pub suspend_current_queue_time: Duration,
    /// rocketmq.client.rebalance.lockInterval: how often locks are renewed. Default 20 s.
    pub lock_interval: Duration,
    /// rocketmq.client.rebalance.lockMaxLiveTime: how long a lock that is not renewed is believed, longer than
    /// `lock_interval` and at most 50 s, since brokers end it after 60 s. Default 30 s.
    pub lock_max_live_time: Duration,
    /// How far back a broker may move an offset by itself (OFFSET_ILLEGAL), in messages, before the queue is stopped for
    /// an operator to decide. Default 100,000; none for RocketMQ's behaviour, which obeys.
    pub max_backward_jump: Option<u64>,
    /// How long a queue with messages to consume may make no progress, or its oldest message stay unsettled, before that
    /// is an alarm. At least 1 s, default 60 s. RocketMQ has no such alarm.
    pub stuck_timeout: Duration,
    /// How soon after a change the settled offsets above the commit point are journalled; none keeps no journal.
    /// Default 5 ms. Ours alone.
    pub journal_interval: Option<Duration>,
    /// Most calls of a listener that are handed over together, as one batch, 1 to 32, default 1. What handing over costs is
    /// then shared. More than one only while the listener's calls are quick and all succeed, and never more than 256 messages where
    /// one call has fewer;
    /// in an orderly group always one. Ours alone.
    pub calls_together: u32,
    /// Most send-backs on the way at once. 1 to 1024, default 32; RocketMQ sends one per consuming thread.
    pub max_send_backs_in_flight: u32,
    /// popInvisibleTime: how long popped messages stay hidden from the group's other members, 5 s to 5 min, default 60 s.
    pub pop_invisible_time: Duration,
    /// popBatchNums: messages of one pop, 1 to 32, default 32.
    pub pop_batch_nums: u32,
    /// popThresholdForQueue: popped messages that are not settled, above which a queue is not popped, 1 to 65535, default
    /// 96.
    pub pop_threshold_for_queue: u32,
}

impl GroupConfig {
    /// RocketMQ's defaults for this group.
    pub fn new(consumer_group: impl Into<String>) -> Self {
        Self {
            consumer_group: consumer_group.into(),
            message_model: MessageModel::default(),
            consume_mode: ConsumeMode::default(),
            consume_from_where: ConsumeFromWhere::default(),
            consume_thread_min: 20,
            consume_thread_max: 20,
            consume_concurrently_max_span: 2000,
            pull_threshold_for_queue: 1000,
            pull_threshold_size_for_queue: 100,
            pull_threshold_for_topic: None,
            pull_threshold_size_for_topic: None,
            pull_interval: 0,
            pull_batch_size: 32,
            pull_batch_size_in_bytes: 256 * 1024,
            consume_message_batch_max_size: 1,
            post_subscription_when_pull: false,
            unit_mode: false,
            max_reconsume_times: None,
            broker_suspend_max_time: Duration::from_secs(15),
            consumer_timeout_when_suspend: Duration::from_secs(30),
            pull_time_delay_when_exception: Duration::from_secs(1),
            poll_name_server_interval: Duration::from_secs(30),
            heartbeat_broker_interval: Duration::from_secs(30),
            persist_consumer_offset_interval: Duration::from_secs(1),
            rebalance_interval: Duration::from_secs(20),
            rebalance: RebalanceMode::default(),
            drain_timeout: Duration::from_secs(5),
            ramp_up_rate: 1000,
            ramp_up_duration: Duration::from_secs(5),
            suspend_current_queue_time: Duration::from_secs(1),
            lock_interval: Duration::from_secs(20),
            lock_max_live_time: Duration::from_secs(30),
            max_backward_jump: Some(100_000),
            stuck_timeout: Duration::from_secs(60),
            journal_interval: Some(Duration::from_millis(5)),
            calls_together: 1,
            max_send_backs_in_flight: 32,
            pop_invisible_time: Duration::from_secs(60),
            pop_batch_nums: 32,
            pop_threshold_for_queue: 96,
        }
    }

    /// Holds every setting to its rule, in RocketMQ's order.
    ///
    /// # Errors
    /// The first setting that breaks its rule.
    pub fn check(&self) -> Result<(), ConfigError> {
        check_group(&self.consumer_group)?;
        self.check_modes()?;
        self.check_bounds()?;
        self.check_durations()
    }

    /// Holds the settings of a group that pops to their rules as well.
    ///
    /// # Errors
    /// The first setting that breaks its rule.
    pub fn check_pop(&self) -> Result<(), ConfigError> {
        self.check()?;
        let refuse =
            |key, rule: &str, value: &dyn fmt::Debug| Err(ConfigError::new(key, rule, format!("{value:?}")));
        if self.message_model != MessageModel::Clustering {
            return refuse(
                "message_model",
                "must be clustering where messages are popped",
                &self.message_model,
            );
        }
        if self.consume_mode != ConsumeMode::Concurrently {
            return refuse(
                "consume_mode",
                "must be concurrently where messages are popped",
                &self.consume_mode,
            );
        }
        match self.consume_from_where {
            ConsumeFromWhere::Timestamp(_) => refuse(
                "consume_from_where",
                "must be the first or the last offset where messages are popped",
                &self.consume_from_where,
            ),
            _ => Ok(()),
        }
    }

    fn check_modes(&self) -> Result<(), ConfigError> {
        let refuse =
            |key, rule, value: &dyn fmt::Debug| Err(ConfigError::new(key, rule, format!("{value:?}")));
        match self.consume_from_where {
            ConsumeFromWhere::Timestamp(ms) if i64::try_from(ms).is_err() => {
                refuse("consume_timestamp", "must be milliseconds since 1970 that fit 63 bits", &ms)
            }
            _ => Ok(()),
        }
    }

    fn check_bounds(&self) -> Result<(), ConfigError> {
        in_range("consume_thread_min", self.consume_thread_min, 1, 1000)?;
        in_range("consume_thread_max", self.consume_thread_max, 1, 1000)?;
        if self.consume_thread_min > self.consume_thread_max {
            return Err(ConfigError::new(
                "consume_thread_min",
                format!("must not be larger than consume_thread_max ({})", self.consume_thread_max),
                self.consume_thread_min.to_string(),
            ));
        }
        in_range("consume_concurrently_max_span", self.consume_concurrently_max_span, 1, 65535)?;
        in_range("pull_threshold_for_queue", self.pull_threshold_for_queue, 1, 65535)?;
        if let Some(messages) = self.pull_threshold_for_topic {
            in_range("pull_threshold_for_topic", messages, 1, 6_553_500)?;
        }
        in_range("pull_threshold_size_for_queue", self.pull_threshold_size_for_queue, 1, 1024)?;
        if let Some(mib) = self.pull_threshold_size_for_topic {
            in_range("pull_threshold_size_for_topic", mib, 1, 102_400)?;
        }
        in_range("pull_interval", self.pull_interval, 0, 65535)?;
        check_batch_max_size(self.consume_message_batch_max_size)?;
        in_range("pull_batch_size", self.pull_batch_size, 1, 1024)?;
        in_range("pull_batch_size_in_bytes", self.pull_batch_size_in_bytes, 1, i32::MAX as u32)?;
        in_range("calls_together", self.calls_together, 1, 32)?;
        in_range("max_send_backs_in_flight", self.max_send_backs_in_flight, 1, 1024)?;
        in_range("pop_batch_nums", self.pop_batch_nums, 1, 32)?;
        in_range("pop_threshold_for_queue", self.pop_threshold_for_queue, 1, 65535)?;
        in_range("ramp_up_rate", self.ramp_up_rate, 1, 1_000_000)?;
        self.max_reconsume_times.map_or(Ok(()), check_max_reconsume_times)
    }

    fn check_durations(&self) -> Result<(), ConfigError> {
        let positive = [
            ("broker_suspend_max_time", self.broker_suspend_max_time),
            ("pull_time_delay_when_exception", self.pull_time_delay_when_exception),
            ("poll_name_server_interval", self.poll_name_server_interval),
            ("heartbeat_broker_interval", self.heartbeat_broker_interval),
            ("persist_consumer_offset_interval", self.persist_consumer_offset_interval),
            ("rebalance_interval", self.rebalance_interval),
        ];
        for (key, value) in positive {
            if value < Duration::from_millis(10) {
                return Err(ConfigError::new(key, "must be at least 10 ms", format!("{value:?}")));
            }
        }
        let (ms, second) = (Duration::from_millis(1), Duration::from_secs(1));
        within("suspend_current_queue_time", self.suspend_current_queue_time, 10 * ms, 30 * second)?;
        within("ramp_up_duration", self.ramp_up_duration, Duration::ZERO, 60 * second)?;
        within("stuck_timeout", self.stuck_timeout, second, 86_400 * second)?;
        within("pop_invisible_time", self.pop_invisible_time, 5 * second, 300 * second)?;
        within("lock_interval", self.lock_interval, 10 * ms, 30 * second)?;
        within("lock_max_live_time", self.lock_max_live_time, self.lock_interval + ms, 50 * second)?;
        if let Some(interval) = self.journal_interval {
            within("journal_interval", interval, ms, 10 * second)?;
        }
        if self.consumer_timeout_when_suspend <= self.broker_suspend_max_time {
            return Err(ConfigError::new(
                "consumer_timeout_when_suspend",
                format!("must be longer than broker_suspend_max_time ({:?})", self.broker_suspend_max_time),
                format!("{:?}", self.consumer_timeout_when_suspend),
            ));
        }
        Ok(())
    }
}

fn check_group(group: &str) -> Result<(), ConfigError> {
    let refuse = |rule| Err(ConfigError::new("consumer_group", rule, format!("{group:?}")));
    match names::check_group(group) {
        Err(NameError::Blank { .. }) => return refuse("must not be blank".to_owned()),
        Err(NameError::TooLong { max, .. }) => return refuse(format!("must have at most {max} characters")),
        Err(NameError::BadCharacter { .. }) => {
            return refuse("may only have the characters A-Z a-z 0-9 _ - % |".to_owned());
        }
        Ok(()) => {}
    }
    if group == DEFAULT_CONSUMER_GROUP {
        return refuse(format!("must not be {DEFAULT_CONSUMER_GROUP}, which no group may share"));
    }
    Ok(())
}

pub(crate) fn check_batch_max_size(size: u32) -> Result<(), ConfigError> {
    in_range("consume_message_batch_max_size", size, 1, 1024)
}

pub(crate) fn check_max_reconsume_times(times: u32) -> Result<(), ConfigError> {
    in_range("max_reconsume_times", times, 0, i32::MAX as u32)
}

fn in_range(key: &'static str, value: u32, least: u32, most: u32) -> Result<(), ConfigError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(ConfigError::new(key, format!("must be {least} to {most}"), value.to_string()))
}

fn within(key: &'static str, value: Duration, least: Duration, most: Duration) -> Result<(), ConfigError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(ConfigError::new(key, format!("must be {least:?} to {most:?}"), format!("{value:?}")))
}

/// A setting that breaks its rule.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{key} {rule}, but it is {value}")]
pub struct ConfigError {
    /// The setting's name, as in [`GroupConfig`].
    pub key: &'static str,
    /// What it must be.
    pub rule: String,
    /// What it is.
    pub value: String,
}

impl ConfigError {
    fn new(key: &'static str, rule: impl Into<String>, value: String) -> Self {
        Self { key, rule: rule.into(), value }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_pass_their_own_rules() {
        assert_eq!(GroupConfig::new("orders").check(), Ok(()));
    }

    #[test]
    fn a_group_name_is_held_to_its_alphabet_length_and_the_reserved_name() {
        let key_of = |name: &str| GroupConfig::new(name).check().map_err(|e| (e.key, e.rule));
        let refused = |name: &str, rule: &str| {
            assert_eq!(key_of(name), Err(("consumer_group", rule.to_owned())), "{name}");
        };
        refused("", "must not be blank");
        refused("  ", "must not be blank");
        refused(&"g".repeat(121), "must have at most 120 characters");
        refused("orders group", "may only have the characters A-Z a-z 0-9 _ - % |");
        refused("größe", "may only have the characters A-Z a-z 0-9 _ - % |");
        refused("DEFAULT_CONSUMER", "must not be DEFAULT_CONSUMER, which no group may share");
        assert_eq!(key_of(&"g".repeat(120)), Ok(()));
        assert_eq!(key_of("ns%Orders-1_a|b"), Ok(()));
    }

    #[test]
    fn each_bound_is_kept_at_both_ends() {
        type Setter = fn(&mut GroupConfig, u32);
        let table: &[(&str, u32, u32, Setter)] = &[
            ("consume_thread_max", 20, 1000, |c, v| c.consume_thread_max = v),
            ("consume_concurrently_max_span", 1, 65535, |c, v| c.consume_concurrently_max_span = v),
            ("pull_threshold_for_queue", 1, 65535, |c, v| c.pull_threshold_for_queue = v),
            ("pull_threshold_for_topic", 1, 6_553_500, |c, v| c.pull_threshold_for_topic = Some(v)),
            ("pull_threshold_size_for_queue", 1, 1024, |c, v| c.pull_threshold_size_for_queue = v),
            ("pull_threshold_size_for_topic", 1, 102_400, |c, v| c.pull_threshold_size_for_topic = Some(v)),
            ("pull_interval", 0, 65535, |c, v| c.pull_interval = v),
            ("consume_message_batch_max_size", 1, 1024, |c, v| c.consume_message_batch_max_size = v),
            ("pull_batch_size", 1, 1024, |c, v| c.pull_batch_size = v),
            ("calls_together", 1, 32, |c, v| c.calls_together = v),
            ("max_send_backs_in_flight", 1, 1024, |c, v| c.max_send_backs_in_flight = v),
        ];
        for &(key, least, most, set) in table {
            let outcome = |value| {
                let mut config = GroupConfig::new("orders");
                set(&mut config, value);
                config.check().map_err(|e| (e.key, e.value))
            };
            assert_eq!(outcome(least), Ok(()), "{key} at its least");
            assert_eq!(outcome(most), Ok(()), "{key} at its most");
            assert_eq!(outcome(most + 1), Err((key, (most + 1).to_string())), "{key} above");
            if least == 1 {
                assert_eq!(outcome(0), Err((key, "0".to_owned())), "{key} below");
            }
        }
    }

    #[test]
    fn thread_minimum_is_bounded_and_not_above_the_maximum() {
        let outcome = |min, max| {
            let config =
                GroupConfig { consume_thread_min: min, consume_thread_max: max, ..GroupConfig::new("g") };
            config.check().map_err(|e| e.to_string())
        };
        assert_eq!(outcome(20, 20), Ok(()));
        assert_eq!(outcome(0, 20), Err("consume_thread_min must be 1 to 1000, but it is 0".to_owned()));
        assert_eq!(outcome(1, 0), Err("consume_thread_max must be 1 to 1000, but it is 0".to_owned()));
        assert_eq!(
            outcome(21, 20),
            Err("consume_thread_min must not be larger than consume_thread_max (20), but it is 21".to_owned())
        );
    }

    #[test]
    fn a_time_beyond_all_clocks_is_refused() {
        let timestamp = GroupConfig {
            consume_from_where: ConsumeFromWhere::Timestamp(u64::MAX),
            ..GroupConfig::new("g")
        };
        assert_eq!(timestamp.check().map_err(|e| e.key), Err("consume_timestamp"));
    }

    #[test]
    fn durations_are_held_to_both_bounds() {
        type Setter = fn(&mut GroupConfig, Duration);
        let table: &[(&str, u64, u64, Setter)] = &[
            ("suspend_current_queue_time", 10, 30_000, |c, v| c.suspend_current_queue_time = v),
            ("ramp_up_duration", 0, 60_000, |c, v| c.ramp_up_duration = v),
            ("stuck_timeout", 1_000, 86_400_000, |c, v| c.stuck_timeout = v),
            ("lock_max_live_time", 20_001, 50_000, |c, v| c.lock_max_live_time = v),
            ("journal_interval", 1, 10_000, |c, v| c.journal_interval = Some(v)),
        ];
        for &(key, least, most, set) in table {
            let outcome = |ms: u64| {
                let mut config = GroupConfig::new("orders");
                set(&mut config, Duration::from_millis(ms));
                config.check().map_err(|e| e.key)
            };
            assert_eq!((outcome(least), outcome(most)), (Ok(()), Ok(())), "{key}");
            assert_eq!(outcome(most + 1), Err(key));
            assert!(least == 0 || outcome(least - 1) == Err(key), "{key} below");
        }
    }

    #[test]
    fn a_pull_must_be_waited_for_longer_than_the_broker_may_hold_it() {
        let config =
            GroupConfig { consumer_timeout_when_suspend: Duration::from_secs(15), ..GroupConfig::new("g") };
        assert_eq!(config.check().map_err(|e| e.key), Err("consumer_timeout_when_suspend"));
        let config = GroupConfig { rebalance_interval: Duration::ZERO, ..GroupConfig::new("g") };
        assert_eq!(config.check().map_err(|e| e.key), Err("rebalance_interval"));
    }
}
