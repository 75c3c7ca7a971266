use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{QueueMap, SubscriptionData};

/// Property of [`ConsumerRunningInfo`]: the name servers.
pub const PROP_NAMESERVER_ADDR: &str = "PROP_NAMESERVER_ADDR";
/// Property of [`ConsumerRunningInfo`]: threads that consume.
pub const PROP_THREADPOOL_CORE_SIZE: &str = "PROP_THREADPOOL_CORE_SIZE";
/// Property of [`ConsumerRunningInfo`]: whether queues are consumed in order.
pub const PROP_CONSUMEORDERLY: &str = "PROP_CONSUMEORDERLY";
/// Property of [`ConsumerRunningInfo`]: the consume type.
pub const PROP_CONSUME_TYPE: &str = "PROP_CONSUME_TYPE";
/// Property of [`ConsumerRunningInfo`]: the client's version.
pub const PROP_CLIENT_VERSION: &str = "PROP_CLIENT_VERSION";
/// Property of [`ConsumerRunningInfo`]: when the consumer started, in milliseconds since the epoch.
pub const PROP_CONSUMER_START_TIMESTAMP: &str = "PROP_CONSUMER_START_TIMESTAMP";

/// What a client consumes at the moment: the answer to GET_CONSUMER_RUNNING_INFO 307.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumerRunningInfo {
    /// Stack traces, when they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jstack: Option<String>,
    /// The queues it pulls.
    pub mq_table: QueueMap<ProcessQueueInfo>,
    /// The queues it pops.
    pub mq_pop_table: QueueMap<PopProcessQueueInfo>,
    /// Settings of the consumer, by the `PROP_*` names and as DefaultMQPushConsumer's.
    pub properties: BTreeMap<String, String>,
    /// Rates by topic.
    pub status_table: BTreeMap<String, ConsumeStatus>,
    /// What it subscribes.
    pub subscription_set: Vec<SubscriptionData>,
    /// Free text of the application.
    pub user_consumer_info: BTreeMap<String, String>,
}

/// The window of one pulled queue (RocketMQ: ProcessQueueInfo).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProcessQueueInfo {
    /// Messages in the window.
    pub cached_msg_count: i32,
    /// Largest offset in the window.
    pub cached_msg_max_offset: i64,
    /// Smallest offset in the window.
    pub cached_msg_min_offset: i64,
    /// Size of the window in MiB.
    #[serde(rename = "cachedMsgSizeInMiB")]
    pub cached_msg_size_in_mib: i32,
    /// The offset that would be stored now.
    pub commit_offset: i64,
    /// Whether the queue was taken away (misspelt on the wire).
    pub droped: bool,
    /// When a batch last ended, in milliseconds since the epoch.
    pub last_consume_timestamp: i64,
    /// When the lock was last renewed, in milliseconds since the epoch.
    pub last_lock_timestamp: i64,
    /// When the queue was last pulled, in milliseconds since the epoch.
    pub last_pull_timestamp: i64,
    /// Whether the queue is locked.
    pub locked: bool,
    /// Messages an orderly listener works on.
    pub transaction_msg_count: i32,
    /// Largest offset an orderly listener works on.
    pub transaction_msg_max_offset: i64,
    /// Smallest offset an orderly listener works on.
    pub transaction_msg_min_offset: i64,
    /// How often unlocking was tried.
    pub try_unlock_times: i64,
}

/// The window of one popped queue (RocketMQ: PopProcessQueueInfo).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PopProcessQueueInfo {
    /// Whether the queue was taken away (misspelt on the wire).
    pub droped: bool,
    /// When the queue was last popped, in milliseconds since the epoch.
    pub last_pop_timestamp: i64,
    /// Messages that are not settled yet.
    pub wait_ack_count: i32,
}

/// Rates of one topic (RocketMQ: ConsumeStatus).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConsumeStatus {
    /// Failed messages in the last hour.
    #[serde(rename = "consumeFailedMsgs")]
    pub consume_failed_msgs: i64,
    /// Failed messages per second.
    #[serde(rename = "consumeFailedTPS")]
    pub consume_failed_tps: f64,
    /// Succeeded messages per second.
    #[serde(rename = "consumeOKTPS")]
    pub consume_ok_tps: f64,
    /// Mean time to consume a message, in milliseconds.
    #[serde(rename = "consumeRT")]
    pub consume_rt: f64,
    /// Mean time of a pull, in milliseconds.
    #[serde(rename = "pullRT")]
    pub pull_rt: f64,
    /// Pulled messages per second.
    #[serde(rename = "pullTPS")]
    pub pull_tps: f64,
}
