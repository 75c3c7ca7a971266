//! `[consumer]` and `[group.NAME]`: the settings of DefaultMQPushConsumer.

use std::path::PathBuf;

use serde::Deserialize;

use super::strategy::StrategySetting;
use super::units::{ByteSize, Millis, Timestamp};

/// Where a group without a stored offset begins (RocketMQ: ConsumeFromWhere).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConsumeFrom {
    /// At the end of each queue (CONSUME_FROM_LAST_OFFSET).
    LastOffset,
    /// At the oldest message (CONSUME_FROM_FIRST_OFFSET).
    FirstOffset,
    /// At the first message stored at or after `consume-timestamp` (CONSUME_FROM_TIMESTAMP).
    Timestamp,
}

/// Who of a group gets a message (RocketMQ: MessageModel).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MessageModel {
    /// One of its members.
    Clustering,
    /// Each of them.
    Broadcasting,
}

/// How messages of one queue reach a listener (RocketMQ: MessageListenerConcurrently, MessageListenerOrderly).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConsumeMode {
    /// Several batches of a queue at once.
    Concurrently,
    /// One batch of a queue at a time, in order.
    Orderly,
}

/// How messages come from the brokers (RocketMQ: MessageRequestMode).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RequestMode {
    /// They are pulled, queue by queue, and offsets are stored.
    Pull,
    /// They are popped, and each is settled at its broker: RocketMQ 5.
    Pop,
}

/// How queues change hands within a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rebalance {
    /// Cooperatively while every member is a Gantry host, eagerly while one is not.
    Auto,
    /// As RocketMQ's clients do.
    Eager,
    /// Under broker locks, so that a queue's next owner begins when its last one has stored its offset.
    Cooperative,
}

macro_rules! settings {
    ($($(#[$doc:meta])* $name:ident: $type:ty, $check:expr;)*) => {
        /// Settings of a consumer group. An absent one has RocketMQ's default.
        #[derive(Debug, Clone, Default, PartialEq, Deserialize)]
        #[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
        pub struct ConsumerSettings { $($(#[$doc])* pub $name: Option<$type>,)* }

        impl ConsumerSettings {
            /// These settings where they are given, else those of `base`.
            pub fn over(&self, base: &Self) -> Self {
                Self { $($name: Option::clone(&self.$name).or_else(|| Option::clone(&base.$name)),)* }
            }

            pub(super) fn check(&self) -> Result<(), (String, String)> {
                self.check_mode()?;
                $(if let Some(value) = Option::clone(&self.$name) {
                    let check: fn($type) -> Option<&'static str> = $check;
                    if let Some(expected) = check(value) {
                        return Err((stringify!($name).replace('_', "-"), format!("expected {expected}")));
                    }
                })*
                Ok(())
            }
        }
    };
}

impl ConsumerSettings {
    /// What a group that pops cannot have is refused where it is set beside the mode.
    fn check_mode(&self) -> Result<(), (String, String)> {
        if self.mode != Some(RequestMode::Pop) {
            return Ok(());
        }
        let set = [
            ("message-model", self.message_model == Some(MessageModel::Broadcasting), "\"clustering\""),
            ("consume-mode", self.consume_mode == Some(ConsumeMode::Orderly), "\"concurrently\""),
            (
                "consume-from-where",
                self.consume_from_where == Some(ConsumeFrom::Timestamp),
                "\"first-offset\" or \"last-offset\"",
            ),
        ];
        if let Some((key, _, fix)) = set.into_iter().find(|(_, clashes, _)| *clashes) {
            return Err((key.to_owned(), format!("expected {fix} with mode = \"pop\", or mode = \"pull\"")));
        }
        // Queues that are popped have no owners and no offsets here.
        let set = [
            ("rebalance", self.rebalance.is_some()),
            ("allocate-message-queue-strategy", self.allocate_message_queue_strategy.is_some()),
            ("ramp-up-rate", self.ramp_up_rate.is_some()),
            ("ramp-up-duration", self.ramp_up_duration.is_some()),
            ("drain-timeout", self.drain_timeout.is_some()),
            ("max-backward-jump", self.max_backward_jump.is_some()),
            ("settled-journal", self.settled_journal.is_some()),
            ("offset-store-file", self.offset_store_file.is_some()),
            ("persist-consumer-offset-interval", self.persist_consumer_offset_interval.is_some()),
        ];
        match set.into_iter().find(|(_, set)| *set) {
            Some((key, _)) => {
                Err((key.to_owned(), "expected only with mode = \"pull\": take the line out".to_owned()))
            }
            None => Ok(()),
        }
    }
}

fn within(value: u64, low: u64, high: u64, text: &'static str) -> Option<&'static str> {
    (!(low..=high).contains(&value)).then_some(text)
}

settings! {
    /// How messages come from the brokers: `"pull"`, or `"pop"`, which takes RocketMQ 5, clustering and concurrent listeners.
    /// The same in every member of the group. Default `"pull"`.
    mode: RequestMode, |_| None;
    /// How long popped messages stay hidden from the group's other members, 5 s to 5 min (popInvisibleTime). Default 1 min.
    pop_invisible_time: Millis, |n| within(n.0, 5_000, 300_000, "5s to 5m");
    /// Messages of one pop, 1 to 32 (popBatchNums). Default 32.
    pop_batch_nums: u32, |n| within(n.into(), 1, 32, "1 to 32");
    /// Popped messages that are not settled, above which a queue, or a broker's queues, are not popped, 1 to 65535
    /// (popThresholdForQueue). Default 96.
    pop_threshold_for_queue: u32, |n| within(n.into(), 1, 65535, "1 to 65535");
    /// Who of a group gets a message: `"clustering"` or `"broadcasting"`. Default: as the plugin says.
    message_model: MessageModel, |_| None;
    /// How messages of one queue reach a listener: `"concurrently"` or `"orderly"`. Default: as the plugin says.
    consume_mode: ConsumeMode, |_| None;
    /// Where a group without a stored offset begins: `"last-offset"`, `"first-offset"` or `"timestamp"`. Default: as the
    /// plugin says.
    consume_from_where: ConsumeFrom, |_| None;
    /// The time for `"timestamp"`: RocketMQ's `"20261126103000"` in local time, or RFC 3339. Default: half an hour ago.
    consume_timestamp: Timestamp, |_| None;
    /// How queues change hands: `"auto"`, `"eager"` or `"cooperative"`. Default `"auto"`: cooperatively while every member of
    /// the group is a Gantry host.
    rebalance: Rebalance, |_| None;
    /// Which queues of a topic are whose: `"AVG"`, `"AVG_BY_CIRCLE"`, `"CONSISTENT_HASH"`, `"STICKY"`, or one of these after
    /// `MACHINE_ROOM_NEARBY-`, or `"plugin:NAME"` for that of the plugin NAME.wasm;
    /// `{ machine-room = ["room", ...] }` for MACHINE_ROOM with these consumeridcs; `{ config = [{ topic = "t", broker-name =
    /// "b", queue-id = 0 }, ...] }` for CONFIG with this member's list. But for CONFIG's list every member of the group must
    /// have the same. Default `"STICKY"` where queues change hands cooperatively, else `"AVG"`.
    allocate_message_queue_strategy: StrategySetting, |strategy| strategy.fault();
    /// Batches of one group that run at once, 1 to 1000 (consumeThreadMax). Default 20.
    consume_thread_max: u32, |n| within(n.into(), 1, 1000, "1 to 1000");
    /// Messages cached per queue before pulls pause, 1 to 65535. Default 1000.
    pull_threshold_for_queue: u32, |n| within(n.into(), 1, 65535, "1 to 65535");
    /// Bytes cached per queue before pulls pause, 1 MiB to 1 GiB. Default 100 MiB.
    pull_threshold_size_for_queue: ByteSize, |n| within(n.0, 1 << 20, 1 << 30, "1MiB to 1GiB");
    /// Messages cached per topic, shared by its queues, 1 to 6553500. Default: no such bound.
    pull_threshold_for_topic: u32, |n| within(n.into(), 1, 6_553_500, "1 to 6553500");
    /// Bytes cached per topic, shared by its queues, 1 MiB to 100 GiB. Default: no such bound.
    pull_threshold_size_for_topic: ByteSize, |n| within(n.0, 1 << 20, 100 << 30, "1MiB to 100GiB");
    /// Widest distance of offsets cached per queue, 1 to 65535. Default 2000.
    consume_concurrently_max_span: u32, |n| within(n.into(), 1, 65535, "1 to 65535");
    /// Messages asked for by one pull, 1 to 1024; a stock broker gives 32 at most. Default 32.
    pull_batch_size: u32, |n| within(n.into(), 1, 1024, "1 to 1024");
    /// Bytes asked for by one pull, 1 KiB to 100 MiB. Default 256 KiB.
    pull_batch_size_in_bytes: ByteSize, |n| within(n.0, 1 << 10, 100 << 20, "1KiB to 100MiB");
    /// Pause between pulls of a queue, up to 65535 ms. Default 0.
    pull_interval: Millis, |n| within(n.0, 0, 65535, "0 to 65535 ms");
    /// How often offsets go to the broker, 100 ms to 10 min. Default 1 s (Java's client: 5 s).
    persist_consumer_offset_interval: Millis, |n| within(n.0, 100, 600_000, "100ms to 10m");
    /// How long a queue that is taken away may finish its batches, up to 5 min. Default 5 s.
    drain_timeout: Millis, |n| within(n.0, 0, 300_000, "0 to 5m");
    /// Messages per second of a queue just taken over from another member, doubling every second, 1 to 1000000. Default
    /// 1000.
    ramp_up_rate: u32, |n| within(n.into(), 1, 1_000_000, "1 to 1000000");
    /// How long a queue taken over is held to that rate, up to 1 min; 0 for not at all. Default 5 s.
    ramp_up_duration: Millis, |n| within(n.0, 0, 60_000, "0 to 1m");
    /// How long an orderly queue waits before its failed head comes again, 10 ms to 30 s (suspendCurrentQueueTimeMillis).
    /// Default 1 s.
    suspend_current_queue_time: Millis, |n| within(n.0, 10, 30_000, "10ms to 30s");
    /// How many messages a broker may move an offset back by itself before the queue is stopped for an operator to decide;
    /// 0 lets it move by any number, as RocketMQ does. Default 100000.
    max_backward_jump: u64, |_| None;
    /// How long a queue with messages to consume may make no progress before that is an alarm, 1 s to 1 day. Default 1 min.
    stuck_timeout: Millis, |n| within(n.0, 1_000, 86_400_000, "1s to 1 day");
    /// Whether what is settled above the stored offsets is kept on disk, so that a host that was killed does not consume it
    /// again. Default true.
    settled_journal: bool, |_| None;
    /// The file with a broadcasting group's offsets, in RocketMQ's own format: one that a Java client left behind is
    /// continued with. Nobody else may write it meanwhile, and each group needs its own. Default: one in the host's
    /// state directory (LocalFileOffsetStore's `offsets.json`).
    offset_store_file: PathBuf, |file| file.as_os_str().is_empty().then_some("the path of a file");
}
