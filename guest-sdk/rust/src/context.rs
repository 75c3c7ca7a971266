//! What holds for a whole batch.

use crate::bindings::listener::gantry::rocketmq::delivery;
use crate::bindings::listener::gantry::rocketmq::types::ConsumeContext;
use std::fmt;
use std::sync::OnceLock;

/// What holds for every message of one call: they all come from one queue (RocketMQ: `ConsumeConcurrentlyContext`).
///
/// The Gantry host is asked for it when it is first looked at, and only then.
pub struct Context(OnceLock<ConsumeContext>);

impl Context {
    /// The one of the call under way.
    pub(crate) const fn of_call() -> Self {
        Self(OnceLock::new())
    }

    /// This one.
    pub(crate) fn given(context: ConsumeContext) -> Self {
        Self(context.into())
    }

    fn get(&self) -> &ConsumeContext {
        // There is one while a batch is consumed, and that is where a context can be looked at.
        let none = || ConsumeContext {
            consumer_group: String::new(),
            topic: String::new(),
            broker_name: String::new(),
            queue_id: 0,
        };
        self.0.get_or_init(|| delivery::context().unwrap_or_else(none))
    }

    /// The consumer group that consumes: the described one, or what the operator's configuration says instead.
    pub fn consumer_group(&self) -> &str {
        &self.get().consumer_group
    }

    /// The topic subscribed to, also when the message comes back from the group's retry topic.
    pub fn topic(&self) -> &str {
        &self.get().topic
    }

    /// The name of the broker that holds the queue.
    pub fn broker_name(&self) -> &str {
        &self.get().broker_name
    }

    /// The queue's number within its broker, from 0.
    pub fn queue_id(&self) -> u32 {
        self.get().queue_id
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Context").field(self.get()).finish()
    }
}

/// A clone lasts longer than the call, and says the same.
impl Clone for Context {
    fn clone(&self) -> Self {
        Self::given(self.get().clone())
    }
}

impl PartialEq for Context {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}
