use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The brokers and queues of a topic: the answer to GET_ROUTEINFO_BY_TOPIC 105 (RocketMQ: TopicRouteData).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicRouteData {
    /// The brokers that have the topic.
    pub broker_datas: Vec<BrokerData>,
    /// Filter servers by broker address; empty since RocketMQ 4.
    pub filter_server_table: BTreeMap<String, Vec<String>>,
    /// Queues of an ordered topic, `broker:count` joined by `;`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_topic_conf: Option<String>,
    /// The queues at each broker.
    pub queue_datas: Vec<QueueData>,
    /// Logical queues by broker, where the topic has such; kept as it came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic_queue_mapping_by_broker: Option<serde_json::Value>,
}

/// One broker and its replicas (RocketMQ: BrokerData).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BrokerData {
    /// Address by broker id; 0 is the master. The keys are bare numbers for clients before version 401.
    pub broker_addrs: BTreeMap<i64, String>,
    /// The broker's name.
    pub broker_name: String,
    /// The broker's cluster.
    pub cluster: String,
    /// Whether a slave may act as master.
    pub enable_acting_master: bool,
    /// The broker's zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone_name: Option<String>,
}

/// The queues of a topic at one broker (RocketMQ: QueueData).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QueueData {
    /// The broker's name.
    pub broker_name: String,
    /// Bits of [`crate::perm`].
    pub perm: i32,
    /// Queues to read: ids 0 up to this.
    pub read_queue_nums: i32,
    /// System flag of the topic.
    pub topic_sys_flag: i32,
    /// Queues to write: ids 0 up to this.
    pub write_queue_nums: i32,
}

/// The answer to GET_BROKER_CLUSTER_INFO 106 (RocketMQ: ClusterInfo).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterInfo {
    /// Brokers by name.
    pub broker_addr_table: BTreeMap<String, BrokerData>,
    /// Broker names by cluster.
    pub cluster_addr_table: BTreeMap<String, Vec<String>>,
}

/// The answer to GET_ALL_TOPIC_LIST_FROM_NAMESERVER 206 (RocketMQ: TopicList).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicList {
    /// A broker's address; absent from name servers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broker_addr: Option<String>,
    /// The topics.
    pub topic_list: Vec<String>,
}
