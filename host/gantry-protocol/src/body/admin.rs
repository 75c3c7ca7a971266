use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ConsumeFromWhere, ConsumeType, MessageModel, QueueMap, SubscriptionData};

wire_enum! {
    /// How a directly consumed message went (RocketMQ: CMResult).
    ConsumeResult, default ReturnNull {
        /// Consumed.
        Success = "CR_SUCCESS",
        /// To be consumed again later.
        Later = "CR_LATER",
        /// An orderly listener rolled back.
        Rollback = "CR_ROLLBACK",
        /// An orderly listener committed.
        Commit = "CR_COMMIT",
        /// The listener threw.
        ThrowException = "CR_THROW_EXCEPTION",
        /// The listener returned null.
        ReturnNull = "CR_RETURN_NULL",
    }
}

/// The answer to CONSUME_MESSAGE_DIRECTLY 309 (RocketMQ: ConsumeMessageDirectlyResult).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumeMessageDirectlyResult {
    /// Whether an orderly listener commits by itself.
    pub auto_commit: bool,
    /// How it went.
    pub consume_result: ConsumeResult,
    /// Whether the listener is an orderly one.
    pub order: bool,
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remark: Option<String>,
    /// How long it took, in milliseconds.
    pub spent_time_mills: i64,
}

/// The members of a group that are connected: the answer to GET_CONSUMER_CONNECTION_LIST 203
/// (RocketMQ: ConsumerConnection).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumerConnection {
    /// One entry per connection.
    pub connection_set: Vec<Connection>,
    /// Where the group begins.
    pub consume_from_where: ConsumeFromWhere,
    /// How the group reads.
    pub consume_type: ConsumeType,
    /// How the group shares its topics.
    pub message_model: MessageModel,
    /// Subscriptions by topic.
    pub subscription_table: BTreeMap<String, SubscriptionData>,
}

/// One connected client (RocketMQ: Connection).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Connection {
    /// The client's address, `ip:port`.
    pub client_addr: String,
    /// The client id.
    pub client_id: String,
    /// The client's language, by its name.
    pub language: String,
    /// The client's protocol version.
    pub version: i32,
}

/// Offsets of a topic's queues: the answer to GET_TOPIC_STATS_INFO 202 (RocketMQ: TopicStatsTable).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicStatsTable {
    /// Offsets by queue.
    pub offset_table: QueueMap<TopicOffset>,
    /// Messages stored per second.
    pub topic_put_tps: f64,
}

/// Offsets of one queue (RocketMQ: TopicOffset).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicOffset {
    /// When the last message was stored, in milliseconds since the epoch.
    pub last_update_timestamp: i64,
    /// The offset after the last message.
    pub max_offset: i64,
    /// The offset of the oldest message.
    pub min_offset: i64,
}

/// A group's progress: the answer to GET_CONSUME_STATS 208 (RocketMQ: ConsumeStats).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumeStats {
    /// Messages consumed per second.
    pub consume_tps: f64,
    /// Progress by queue.
    pub offset_table: QueueMap<OffsetWrapper>,
}

/// A group's progress in one queue (RocketMQ: OffsetWrapper).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OffsetWrapper {
    /// The offset after the last message.
    pub broker_offset: i64,
    /// The offset the group stored.
    pub consumer_offset: i64,
    /// When the last consumed message was stored, in milliseconds since the epoch.
    pub last_timestamp: i64,
    /// The offset up to which messages were pulled.
    pub pull_offset: i64,
}

/// The settings of a topic: the answer to GET_TOPIC_CONFIG 351, and what brokers register (RocketMQ: TopicConfig).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicConfig {
    /// Attributes by name.
    pub attributes: BTreeMap<String, String>,
    /// Whether the topic is ordered.
    pub order: bool,
    /// Bits of [`crate::perm`].
    pub perm: i32,
    /// Queues to read.
    pub read_queue_nums: i32,
    /// `SINGLE_TAG` or `MULTI_TAG`.
    pub topic_filter_type: String,
    /// The topic.
    pub topic_name: String,
    /// System flag of the topic.
    pub topic_sys_flag: i32,
    /// Queues to write.
    pub write_queue_nums: i32,
}

/// 16 queues to read and write, as in Java.
impl Default for TopicConfig {
    fn default() -> Self {
        Self {
            attributes: BTreeMap::new(),
            order: false,
            perm: crate::perm::READ | crate::perm::WRITE,
            read_queue_nums: 16,
            topic_filter_type: "SINGLE_TAG".to_owned(),
            topic_name: String::new(),
            topic_sys_flag: 0,
            write_queue_nums: 16,
        }
    }
}

/// The settings of a consumer group: the body of UPDATE_AND_CREATE_SUBSCRIPTIONGROUP 200
/// (RocketMQ: SubscriptionGroupConfig).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SubscriptionGroupConfig {
    /// Attributes by name.
    pub attributes: BTreeMap<String, String>,
    /// The broker id to pull from.
    pub broker_id: i64,
    /// Whether the group may broadcast.
    pub consume_broadcast_enable: bool,
    /// Whether the group may consume.
    pub consume_enable: bool,
    /// Whether the group may begin at the oldest message.
    pub consume_from_min_enable: bool,
    /// Whether the group consumes in order.
    pub consume_message_orderly: bool,
    /// Time-out of a message's consumption, in minutes.
    pub consume_timeout_minute: i32,
    /// The group.
    pub group_name: String,
    /// How retries are delayed; kept as it came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_retry_policy: Option<serde_json::Value>,
    /// System flag of the group.
    pub group_sys_flag: i32,
    /// Whether members are told of changes.
    pub notify_consumer_ids_changed_enable: bool,
    /// Retries before the dead-letter topic.
    pub retry_max_times: i32,
    /// Queues of the retry topic.
    pub retry_queue_nums: i32,
    /// Subscriptions fixed at the broker; kept as they came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription_data_set: Option<serde_json::Value>,
    /// The broker id to pull from while the group lags.
    pub which_broker_when_consume_slowly: i64,
}

/// Java's defaults: all is allowed, 16 retries, one retry queue.
impl Default for SubscriptionGroupConfig {
    fn default() -> Self {
        Self {
            attributes: BTreeMap::new(),
            broker_id: 0,
            consume_broadcast_enable: true,
            consume_enable: true,
            consume_from_min_enable: true,
            consume_message_orderly: false,
            consume_timeout_minute: 15,
            group_name: String::new(),
            group_retry_policy: None,
            group_sys_flag: 0,
            notify_consumer_ids_changed_enable: true,
            retry_max_times: 16,
            retry_queue_nums: 1,
            subscription_data_set: None,
            which_broker_when_consume_slowly: 1,
        }
    }
}

/// Facts by name: the answer to GET_BROKER_RUNTIME_INFO 28 (RocketMQ: KVTable).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KvTable {
    /// The facts.
    pub table: BTreeMap<String, String>,
}

/// The settings of a broker's consumer groups: the answer to GET_ALL_SUBSCRIPTIONGROUP_CONFIG 201
/// (RocketMQ: SubscriptionGroupWrapper).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SubscriptionGroupTable {
    /// Which state of the broker's settings this is; kept as it came.
    pub data_version: serde_json::Value,
    /// Settings by group.
    pub subscription_group_table: BTreeMap<String, SubscriptionGroupConfig>,
}

/// Names of consumer groups: the answer to QUERY_TOPIC_CONSUME_BY_WHO 300 (RocketMQ: GroupList).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GroupList {
    /// The groups, in no order.
    pub group_list: Vec<String>,
}
