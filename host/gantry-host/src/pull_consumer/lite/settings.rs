//! Settings of a lite pull consumer.

use std::time::Duration;

use gantry_core::allocate;
use gantry_protocol::body::{ConsumeFromWhere, MessageModel};
use gantry_protocol::names::check_group;

use crate::pull_consumer::error::PullConsumerError;
use crate::pull_consumer::offsets::OffsetStore;

/// Settings of a [`LitePullConsumer`](super::LitePullConsumer), with RocketMQ's defaults. There is no `pullThreadNums`:
/// every queue has its own pull.
#[derive(Debug, Clone)]
pub struct LitePullConsumerConfig {
    /// The group (`consumerGroup`).
    pub consumer_group: String,
    /// Whether a subscribed topic's queues are shared by the members (Clustering, the default), or each has all of them
    /// (Broadcasting); the latter keeps offsets in a file.
    pub message_model: MessageModel,
    /// Where a queue without a stored offset begins (`consumeFromWhere`). Default: at its end.
    pub consume_from_where: ConsumeFromWhere,
    /// The time for [`ConsumeFromWhere::Timestamp`], in milliseconds since the epoch (`consumeTimestamp`). Default: half an
    /// hour before the start.
    pub consume_timestamp: Option<i64>,
    /// Which queues of a subscribed topic are whose, one of [`gantry_core::allocate::NAMES`] or one of them after
    /// [`gantry_core::allocate::NEARBY`] (`allocateMessageQueueStrategy`). Default `AVG`. The same in every member.
    pub allocate_message_queue_strategy: String,
    /// Whether [`poll`](super::LitePullConsumer::poll) is taken as the word that what it returned before is done
    /// (`autoCommit`). Default `true`.
    pub auto_commit: bool,
    /// How often offsets are committed then, 1 s at least (`autoCommitIntervalMillis`). Default 5 s.
    pub auto_commit_interval: Duration,
    /// Most messages of one pull, and of one poll, 1 to 1024 (`pullBatchSize`). Default 10.
    pub pull_batch_size: u32,
    /// Messages read ahead of all queues together before pulls pause (`pullThresholdForAll`). Default 10,000.
    pub pull_threshold_for_all: usize,
    /// The same of one queue (`pullThresholdForQueue`). Default 1000.
    pub pull_threshold_for_queue: usize,
    /// Bytes read ahead of one queue before pulls pause (`pullThresholdSizeForQueue`). Default 100 MiB.
    pub pull_threshold_size_for_queue: usize,
    /// How far the offsets of one queue that were read ahead may lie apart (`consumeMaxSpan`). Default 2000.
    pub consume_max_span: i64,
    /// How long a broker may hold a pull where nothing is new (`brokerSuspendMaxTimeMillis`). Default 20 s.
    pub broker_suspend_max_time: Duration,
    /// How long a pull may take in all (`consumerTimeoutMillisWhenSuspend`). Default 30 s.
    pub consumer_timeout_when_suspend: Duration,
    /// How often a topic's queues are looked at for a [`TopicMessageQueueChangeListener`](super::TopicMessageQueueChangeListener)
    /// (`topicMetadataCheckIntervalMillis`). Default 30 s.
    pub topic_metadata_check_interval: Duration,
    /// How often queues are allocated again without a notice of a change (RocketMQ: RebalanceService). Default 20 s.
    pub rebalance_interval: Duration,
    /// Where offsets are kept (`offsetStore`). Default: at the brokers.
    pub offset_store: OffsetStore,
}

impl LitePullConsumerConfig {
    /// The defaults for a group.
    pub fn new(consumer_group: impl Into<String>) -> Self {
        Self {
            consumer_group: consumer_group.into(),
            message_model: MessageModel::Clustering,
            consume_from_where: ConsumeFromWhere::LastOffset,
            consume_timestamp: None,
            allocate_message_queue_strategy: "AVG".to_owned(),
            auto_commit: true,
            auto_commit_interval: Duration::from_secs(5),
            pull_batch_size: 10,
            pull_threshold_for_all: 10_000,
            pull_threshold_for_queue: 1_000,
            pull_threshold_size_for_queue: 100 << 20,
            consume_max_span: 2_000,
            broker_suspend_max_time: Duration::from_secs(20),
            consumer_timeout_when_suspend: Duration::from_secs(30),
            topic_metadata_check_interval: Duration::from_secs(30),
            rebalance_interval: Duration::from_secs(20),
            offset_store: OffsetStore::Broker,
        }
    }

    pub(super) fn check(&self) -> Result<(), PullConsumerError> {
        check_group(&self.consumer_group)?;
        let strategy = &self.allocate_message_queue_strategy;
        let in_a_file = matches!(self.offset_store, OffsetStore::File(_));
        let rules = [
            (
                (1..=1024).contains(&self.pull_batch_size),
                "pull_batch_size",
                self.pull_batch_size.to_string(),
                "1 to 1024",
            ),
            (
                self.auto_commit_interval >= Duration::from_secs(1),
                "auto_commit_interval",
                format!("{:?}", self.auto_commit_interval),
                "1 s at least",
            ),
            (
                self.pull_threshold_for_all.min(self.pull_threshold_for_queue) > 0,
                "pull_threshold_for_all or pull_threshold_for_queue",
                "0".to_owned(),
                "1 at least",
            ),
            (
                self.consumer_timeout_when_suspend > self.broker_suspend_max_time,
                "consumer_timeout_when_suspend",
                format!("{:?}", self.consumer_timeout_when_suspend),
                "more than broker_suspend_max_time",
            ),
            (
                allocate::by_name(strategy).is_some(),
                "allocate_message_queue_strategy",
                strategy.clone(),
                "AVG, AVG_BY_CIRCLE, CONSISTENT_HASH, STICKY, or one of them after MACHINE_ROOM_NEARBY-",
            ),
            (
                self.message_model == MessageModel::Clustering || in_a_file,
                "offset_store",
                "at the brokers".to_owned(),
                "a file where the model is broadcasting, for every member has offsets of its own",
            ),
        ];
        match rules.into_iter().find(|(kept, ..)| !kept) {
            None => Ok(()),
            Some((_, setting, value, expected)) => {
                Err(PullConsumerError::Setting { setting, value, expected })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_make_no_sense_are_refused_with_the_rule() {
        let said = |change: fn(&mut LitePullConsumerConfig)| {
            let mut config = LitePullConsumerConfig::new("g");
            change(&mut config);
            config.check().unwrap_err().to_string()
        };
        LitePullConsumerConfig::new("g").check().unwrap();
        assert!(said(|config| config.consumer_group.clear()).contains("group"));
        assert!(said(|config| config.pull_batch_size = 0).contains("1 to 1024"));
        assert!(said(|config| config.auto_commit_interval = Duration::ZERO).contains("1 s"));
        assert!(said(|config| config.allocate_message_queue_strategy = "X".into()).contains("AVG"));
        assert!(said(|config| config.message_model = MessageModel::Broadcasting).contains("a file"));
        assert!(
            said(|config| config.broker_suspend_max_time = Duration::from_secs(30)).contains("more than")
        );
    }
}
