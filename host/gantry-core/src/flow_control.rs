//! When a queue may be pulled (RocketMQ: DefaultMQPushConsumerImpl.pullMessage): by messages, bytes and span of its
//! window, in that order.

use std::fmt;
use std::time::Duration;

use crate::config::GroupConfig;

const MIB: u64 = 1024 * 1024;

/// How long a queue held by flow control waits before it is looked at again, unless its window shrinks before
/// (RocketMQ: PULL_TIME_DELAY_MILLS_WHEN_CACHE_FLOW_CONTROL).
pub const CACHE_FLOW_CONTROL_DELAY: Duration = Duration::from_millis(50);

/// What a queue's window holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WindowLoad {
    /// Messages not settled.
    pub(crate) count: usize,
    /// Their stored bytes.
    pub(crate) bytes: u64,
    /// Offset of the newest less offset of the oldest.
    pub(crate) span: u64,
}

/// What one queue may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    count: u64,
    mib: u64,
    span: u64,
}

impl Limits {
    /// The limits of one queue of a topic of which the group owns `owned_queues` here. A threshold for the topic is
    /// shared among them and replaces the one for the queue, never below 1.
    pub(crate) fn new(config: &GroupConfig, owned_queues: usize) -> Self {
        let share = |topic: Option<u32>, queue: u32| match topic {
            Some(total) => (u64::from(total) / (owned_queues.max(1) as u64)).max(1),
            None => u64::from(queue),
        };
        Self {
            count: share(config.pull_threshold_for_topic, config.pull_threshold_for_queue),
            mib: share(config.pull_threshold_size_for_topic, config.pull_threshold_size_for_queue),
            span: u64::from(config.consume_concurrently_max_span),
        }
    }

    /// Whether they depend on how many queues of the topic are owned here.
    pub(crate) fn are_shared(config: &GroupConfig) -> bool {
        config.pull_threshold_for_topic.is_some() || config.pull_threshold_size_for_topic.is_some()
    }

    /// What closes the gate on a queue with this load; none when it may be pulled.
    pub(crate) fn gate(&self, load: WindowLoad) -> Option<Gate> {
        let cached_mib = load.bytes / MIB;
        if load.count as u64 > self.count {
            return Some(Gate::Count { cached: load.count, limit: self.count });
        }
        if cached_mib > self.mib {
            return Some(Gate::Size { cached_mib, limit_mib: self.mib });
        }
        (load.span > self.span).then_some(Gate::Span { span: load.span, limit: self.span })
    }
}

/// Why a queue is not pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// Too many messages wait (pullThresholdForQueue, pullThresholdForTopic).
    Count {
        /// Messages cached.
        cached: usize,
        /// How many may be.
        limit: u64,
    },
    /// They are too large (pullThresholdSizeForQueue, pullThresholdSizeForTopic).
    Size {
        /// Whole mebibytes cached.
        cached_mib: u64,
        /// How many may be.
        limit_mib: u64,
    },
    /// One message lags too far behind the newest (consumeConcurrentlyMaxSpan).
    Span {
        /// Offsets between the oldest and the newest.
        span: u64,
        /// How many may be.
        limit: u64,
    },
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Gate::Count { cached, limit } => write!(f, "{cached} messages cached, over {limit}"),
            Gate::Size { cached_mib, limit_mib } => write!(f, "{cached_mib} MiB cached, over {limit_mib}"),
            Gate::Span { span, limit } => write!(f, "offsets {span} apart cached, over {limit}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gates_read_like_the_table() {
        let table = include_str!("testdata/flow_control.txt");
        let mut limits = Limits::new(&GroupConfig::new("g"), 1);
        for line in table.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
            if let Some(settings) = line.strip_prefix("topic thresholds:") {
                let numbers: Vec<&str> = settings.split_whitespace().collect();
                let [count, mib, queues] = numbers[..] else { panic!("three numbers in {line:?}") };
                let config = GroupConfig {
                    pull_threshold_for_topic: count.parse().ok(),
                    pull_threshold_size_for_topic: mib.parse().ok(),
                    ..GroupConfig::new("g")
                };
                limits = Limits::new(&config, queues.parse().unwrap());
                continue;
            }
            let (load, expected) = line.split_once("->").unwrap();
            let numbers: Vec<u64> = load.split_whitespace().map(|n| n.parse().unwrap()).collect();
            let [count, mib, extra, span] = numbers[..] else { panic!("four numbers in {line:?}") };
            let load = WindowLoad { count: count as usize, bytes: mib * MIB + extra, span };
            let got = limits.gate(load).map_or("open".to_owned(), |gate| gate.to_string());
            assert_eq!(got, expected.trim(), "{line}");
        }
    }
}
