//! What holds for a whole batch.

use crate::bindings::listener::gantry::rocketmq::types::ConsumeContext;

/// What holds for every message of one call: they all come from one queue (RocketMQ: `ConsumeConcurrentlyContext`).
#[derive(Debug, Clone, PartialEq)]
pub struct Context(pub(crate) ConsumeContext);

impl Context {
    /// The consumer group that consumes: the described one, or what the operator's configuration says instead.
    pub fn consumer_group(&self) -> &str {
        &self.0.consumer_group
    }

    /// The topic subscribed to, also when the message comes back from the group's retry topic.
    pub fn topic(&self) -> &str {
        &self.0.topic
    }

    /// The name of the broker that holds the queue.
    pub fn broker_name(&self) -> &str {
        &self.0.broker_name
    }

    /// The queue's number within its broker, from 0.
    pub fn queue_id(&self) -> u32 {
        self.0.queue_id
    }
}
