//! What a group does at the moment, as RocketMQ's tools read it (ConsumerRunningInfo).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use gantry_core::{BatchStatus, ConsumeMode, GroupConfig, ListenerId, QueueStatus};
use gantry_protocol::body::{
    ConsumeStatus, ConsumeType, ConsumerRunningInfo, PROP_CLIENT_VERSION, PROP_CONSUME_TYPE,
    PROP_CONSUMEORDERLY, PROP_CONSUMER_START_TIMESTAMP, PROP_NAMESERVER_ADDR, PROP_THREADPOOL_CORE_SIZE,
    PopProcessQueueInfo, ProcessQueueInfo,
};

use super::listener::Listener;
use super::machine::Machine;
use super::requests::{consume_from_where, subscription_data};

const MIB: u64 = 1 << 20;

/// What the description is made from.
pub(super) struct Sight<'d> {
    pub(super) now: Instant,
    /// The same moment by the wall clock.
    pub(super) wall: SystemTime,
    pub(super) started: SystemTime,
    /// As RocketMQ writes them, each with a `;` after it.
    pub(super) name_servers: &'d str,
    pub(super) machine: &'d Machine,
    pub(super) listeners: &'d BTreeMap<ListenerId, Arc<Listener>>,
    pub(super) status_table: BTreeMap<String, ConsumeStatus>,
}

/// The description; with `jstack`, which gives a Java client's thread dump, the batches that run.
pub(super) fn running_info(sight: Sight<'_>, jstack: bool) -> ConsumerRunningInfo {
    let queues = sight.machine.queues(sight.now);
    let (popped, pulled) = queues.into_iter().partition::<Vec<_>, _>(|_| sight.machine.pops());
    let mq_table = pulled.into_iter().map(|queue| (queue.mq.clone(), sight.process_queue(&queue))).collect();
    let mq_pop_table =
        popped.into_iter().map(|queue| (queue.mq.clone(), sight.pop_process_queue(&queue))).collect();
    let subscriptions = sight.machine.subscriptions();
    ConsumerRunningInfo {
        jstack: jstack.then(|| sight.running_batches()),
        mq_table,
        mq_pop_table,
        properties: sight.properties(),
        subscription_set: subscriptions.iter().map(|subscription| subscription_data(subscription)).collect(),
        status_table: sight.status_table,
        ..ConsumerRunningInfo::default()
    }
}

impl Sight<'_> {
    fn process_queue(&self, queue: &QueueStatus) -> ProcessQueueInfo {
        let cached = queue.cached_count > 0;
        let oldest = if cached { queue.commit_offset } else { 0 };
        let span = i64::try_from(queue.span).unwrap_or(i64::MAX);
        let pulled = queue.last_pull.map_or(self.started, |pulled| self.wall_time(pulled));
        // Tools measure how long a queue has stood still from here: before the first batch, that is from the first pull.
        let consumed = queue.last_consume.map_or(pulled, |consumed| self.wall_time(consumed));
        ProcessQueueInfo {
            cached_msg_count: i32::try_from(queue.cached_count).unwrap_or(i32::MAX),
            cached_msg_max_offset: if cached { oldest.saturating_add(span) } else { 0 },
            cached_msg_min_offset: oldest,
            cached_msg_size_in_mib: i32::try_from(queue.cached_bytes / MIB).unwrap_or(i32::MAX),
            commit_offset: queue.commit_offset,
            droped: queue.dropped,
            locked: queue.locked.unwrap_or(false),
            last_consume_timestamp: millis(consumed),
            last_pull_timestamp: millis(pulled),
            ..ProcessQueueInfo::default()
        }
    }

    fn pop_process_queue(&self, queue: &QueueStatus) -> PopProcessQueueInfo {
        PopProcessQueueInfo {
            droped: queue.dropped,
            last_pop_timestamp: millis(queue.last_pull.map_or(self.started, |popped| self.wall_time(popped))),
            wait_ack_count: i32::try_from(queue.cached_count).unwrap_or(i32::MAX),
        }
    }

    fn wall_time(&self, at: Instant) -> SystemTime {
        self.wall.checked_sub(self.now.saturating_duration_since(at)).unwrap_or(self.started)
    }

    fn properties(&self) -> BTreeMap<String, String> {
        let config = self.machine.config();
        let orderly = config.consume_mode == ConsumeMode::Orderly;
        let plugins: Vec<_> = self.listeners.values().map(|listener| &*listener.plugin).collect();
        let mut properties = settings(config);
        let mut set = |name: &str, value: String| _ = properties.insert(name.to_owned(), value);
        set(PROP_CLIENT_VERSION, concat!("gantry ", env!("CARGO_PKG_VERSION")).to_owned());
        set(PROP_CONSUME_TYPE, ConsumeType::Passively.to_string());
        set(PROP_CONSUMEORDERLY, orderly.to_string());
        set(PROP_CONSUMER_START_TIMESTAMP, millis(self.started).to_string());
        set(PROP_NAMESERVER_ADDR, self.name_servers.to_owned());
        set(PROP_THREADPOOL_CORE_SIZE, config.consume_thread_max.to_string());
        set("messageListener", plugins.join(", "));
        set("namesrvAddr", self.name_servers.trim_end_matches(';').to_owned());
        properties
    }

    /// One line a batch, the longest-running first.
    fn running_batches(&self) -> String {
        let batches = self.machine.batches(self.now);
        if batches.is_empty() {
            return "no batch is at a plugin".to_owned();
        }
        batches.iter().fold(String::new(), |mut text, batch| {
            let _into_a_string = writeln!(text, "{}", self.line(batch));
            text
        })
    }

    fn line(&self, batch: &BatchStatus) -> String {
        let plugin = self.listeners.get(&batch.listener).map_or("(removed)", |listener| &listener.plugin);
        let queue = match &batch.mq {
            Some(mq) => format!("{} {} queue {}", mq.broker_name, mq.topic, mq.queue_id),
            None => format!("a queue of {} that has been let go", batch.topic),
        };
        format!(
            "plugin {plugin}: {} messages of {queue}, for {} ms",
            batch.messages,
            batch.running.as_millis()
        )
    }
}

/// The group's settings by the names of DefaultMQPushConsumer's.
fn settings(config: &GroupConfig) -> BTreeMap<String, String> {
    let or_none = |value: Option<u32>| value.map_or_else(|| "-1".to_owned(), |value| value.to_string());
    let in_millis = |duration: Duration| duration.as_millis().to_string();
    let settings = [
        ("consumeConcurrentlyMaxSpan", config.consume_concurrently_max_span.to_string()),
        ("consumeFromWhere", consume_from_where(config).to_string()),
        ("consumeMessageBatchMaxSize", config.consume_message_batch_max_size.to_string()),
        ("consumeThreadMax", config.consume_thread_max.to_string()),
        ("consumeThreadMin", config.consume_thread_min.to_string()),
        ("consumerGroup", config.consumer_group.clone()),
        ("heartbeatBrokerInterval", in_millis(config.heartbeat_broker_interval)),
        ("language", "RUST".to_owned()),
        ("maxReconsumeTimes", or_none(config.max_reconsume_times)),
        ("messageModel", config.message_model.to_string()),
        ("popBatchNums", config.pop_batch_nums.to_string()),
        ("popInvisibleTime", in_millis(config.pop_invisible_time)),
        ("popThresholdForQueue", config.pop_threshold_for_queue.to_string()),
        ("persistConsumerOffsetInterval", in_millis(config.persist_consumer_offset_interval)),
        ("pollNameServerInterval", in_millis(config.poll_name_server_interval)),
        ("postSubscriptionWhenPull", config.post_subscription_when_pull.to_string()),
        ("pullBatchSize", config.pull_batch_size.to_string()),
        ("pullBatchSizeInBytes", config.pull_batch_size_in_bytes.to_string()),
        ("pullInterval", config.pull_interval.to_string()),
        ("pullThresholdForQueue", config.pull_threshold_for_queue.to_string()),
        ("pullThresholdForTopic", or_none(config.pull_threshold_for_topic)),
        ("pullThresholdSizeForQueue", config.pull_threshold_size_for_queue.to_string()),
        ("pullThresholdSizeForTopic", or_none(config.pull_threshold_size_for_topic)),
        ("pullTimeDelayMillsWhenException", in_millis(config.pull_time_delay_when_exception)),
        ("unitMode", config.unit_mode.to_string()),
    ];
    settings.map(|(name, value)| (name.to_owned(), value)).into()
}

fn millis(at: SystemTime) -> i64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
