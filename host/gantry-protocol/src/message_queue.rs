use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use serde::de::Error as _;
use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One queue of a topic at one broker (RocketMQ: MessageQueue). Cheap to clone.
///
/// Ordered as Java's `compareTo`: topic, broker name (both by UTF-16 units), queue id. Every member of a group
/// must sort alike, or queues would be consumed twice or not at all.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MessageQueue {
    /// The topic.
    pub topic: Arc<str>,
    /// The broker's name, not its address.
    pub broker_name: Arc<str>,
    /// The queue's number at that broker, from 0; -1 stands for any queue in POP assignments.
    pub queue_id: i32,
}

impl MessageQueue {
    /// A queue from its three parts.
    pub fn new(topic: impl Into<Arc<str>>, broker_name: impl Into<Arc<str>>, queue_id: i32) -> Self {
        Self { topic: topic.into(), broker_name: broker_name.into(), queue_id }
    }
}

/// Compares as Java's `String.compareTo`: by UTF-16 units, which differs from UTF-8 order beyond the BMP.
pub(crate) fn compare_utf16(left: &str, right: &str) -> Ordering {
    if left == right { Ordering::Equal } else { left.encode_utf16().cmp(right.encode_utf16()) }
}

impl Ord for MessageQueue {
    fn cmp(&self, other: &Self) -> Ordering {
        compare_utf16(&self.topic, &other.topic)
            .then_with(|| compare_utf16(&self.broker_name, &other.broker_name))
            .then_with(|| self.queue_id.cmp(&other.queue_id))
    }
}

impl PartialOrd for MessageQueue {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Java's `toString`; the consistent-hash allocation hashes this text.
impl fmt::Display for MessageQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { topic, broker_name, queue_id } = self;
        write!(f, "MessageQueue [topic={topic}, brokerName={broker_name}, queueId={queue_id}]")
    }
}

impl Serialize for MessageQueue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("MessageQueue", 3)?;
        object.serialize_field("brokerName", &*self.broker_name)?;
        object.serialize_field("queueId", &self.queue_id)?;
        object.serialize_field("topic", &*self.topic)?;
        object.end()
    }
}

impl<'de> Deserialize<'de> for MessageQueue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Parts {
            topic: Option<String>,
            broker_name: Option<String>,
            #[serde(default)]
            queue_id: i32,
        }
        let parts = Parts::deserialize(deserializer)?;
        let topic = parts.topic.ok_or_else(|| D::Error::missing_field("topic"))?;
        let broker_name = parts.broker_name.ok_or_else(|| D::Error::missing_field("brokerName"))?;
        Ok(Self::new(topic, broker_name, parts.queue_id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_sort_as_in_java() {
        let beyond_bmp = MessageQueue::new("t\u{1F600}", "b", 0);
        let private_use = MessageQueue::new("t\u{E000}", "b", 0);
        assert!(beyond_bmp < private_use, "surrogates sort before U+E000 in UTF-16");
        let mut queues =
            [MessageQueue::new("t", "b", 10), MessageQueue::new("t", "a", 3), MessageQueue::new("t", "b", 2)];
        queues.sort();
        let order: Vec<_> = queues.iter().map(|queue| (&*queue.broker_name, queue.queue_id)).collect();
        assert_eq!(order, [("a", 3), ("b", 2), ("b", 10)]);
    }

    #[test]
    fn display_is_javas_to_string() {
        let queue = MessageQueue::new("T", "broker-a", 3);
        assert_eq!(queue.to_string(), "MessageQueue [topic=T, brokerName=broker-a, queueId=3]");
    }
}
