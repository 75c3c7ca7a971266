use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use super::QueueMap;
use crate::MessageQueue;

/// Offsets by queue (RocketMQ: OffsetSerializeWrapper, ResetOffsetBody): the body of RESET_CONSUMER_CLIENT_OFFSET
/// 220, the answer to INVOKE_BROKER_TO_RESET_OFFSET 222, and the file of a broadcasting group's offsets.
///
/// Reads both shapes: the map with object keys, and the list that brokers send to C++ clients.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OffsetTable {
    /// Offset by queue.
    #[serde(deserialize_with = "map_or_list")]
    pub offset_table: QueueMap<i64>,
}

/// The list shape of [`OffsetTable`] (RocketMQ: ResetOffsetBodyForC).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OffsetList {
    /// One entry per queue.
    pub offset_table: Vec<QueueOffset>,
}

/// A queue and an offset (RocketMQ: MessageQueueForC).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QueueOffset {
    /// The broker's name.
    pub broker_name: String,
    /// The offset.
    pub offset: i64,
    /// The queue.
    pub queue_id: i32,
    /// The topic.
    pub topic: String,
}

fn map_or_list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<QueueMap<i64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Map(QueueMap<i64>),
        List(Vec<QueueOffset>),
    }
    Ok(match Either::deserialize(deserializer)? {
        Either::Map(map) => map,
        Either::List(list) => list
            .into_iter()
            .map(|entry| (MessageQueue::new(entry.topic, entry.broker_name, entry.queue_id), entry.offset))
            .collect(),
    })
}

impl From<&OffsetTable> for OffsetList {
    fn from(table: &OffsetTable) -> Self {
        let entry = |(queue, offset): (&MessageQueue, &i64)| QueueOffset {
            broker_name: queue.broker_name.to_string(),
            offset: *offset,
            queue_id: queue.queue_id,
            topic: queue.topic.to_string(),
        };
        Self { offset_table: table.offset_table.iter().map(entry).collect() }
    }
}

/// The answer to GET_CONSUMER_STATUS_FROM_CLIENT 221 and INVOKE_BROKER_TO_GET_CONSUMER_STATUS 223
/// (RocketMQ: GetConsumerStatusBody).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GetConsumerStatusBody {
    /// Offsets by client id, in a broker's answer.
    pub consumer_table: BTreeMap<String, QueueMap<i64>>,
    /// Offsets by queue, in a client's answer.
    pub message_queue_table: QueueMap<i64>,
}
