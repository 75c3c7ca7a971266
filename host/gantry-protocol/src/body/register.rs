use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::TopicConfig;

/// The body of REGISTER_BROKER 103 (RocketMQ: RegisterBrokerBody). Here uncompressed only, as brokers send it by
/// default; the header says how it comes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RegisterBrokerBody {
    /// Filter servers; empty since RocketMQ 4.
    pub filter_server_list: Vec<String>,
    /// The broker's topics.
    pub topic_config_serialize_wrapper: TopicConfigSerializeWrapper,
}

/// A broker's topics (RocketMQ: TopicConfigAndMappingSerializeWrapper).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicConfigSerializeWrapper {
    /// Version of the topics.
    pub data_version: DataVersion,
    /// Version of the mappings.
    pub mapping_data_version: DataVersion,
    /// Settings by topic.
    pub topic_config_table: BTreeMap<String, TopicConfig>,
    /// Logical queues by topic; kept as they came.
    pub topic_queue_mapping_detail_map: BTreeMap<String, serde_json::Value>,
    /// Logical queues by topic; kept as they came.
    pub topic_queue_mapping_info_map: BTreeMap<String, serde_json::Value>,
}

/// Version of a table (RocketMQ: DataVersion).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DataVersion {
    /// Counts changes.
    pub counter: i64,
    /// Epoch of the broker's controller.
    pub state_version: i64,
    /// When the table last changed, in milliseconds since the epoch.
    pub timestamp: i64,
}
