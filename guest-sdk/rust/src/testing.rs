//! Messages, contexts and queues for a plugin's own unit tests, which run natively.
//!
//! ```
//! use gantry_guest::testing::{MessageBuilder, context};
//!
//! let message = MessageBuilder::new("hello").tags("greeting").keys("a b").property("UNIQ_KEY", "7F00").build();
//! assert_eq!(message.key(), Some("a"));
//! assert_eq!(message.property("UNIQ_KEY").as_deref(), Some("7F00"));
//! assert_eq!(context("greetings").queue_id(), 0);
//! ```

use crate::bindings::listener::gantry::rocketmq::types;
use crate::{ConsumeResult, Context, Message, MessageQueue};
use std::sync::OnceLock;

/// What the host would answer about a message.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Details {
    pub(crate) properties: Vec<(String, String)>,
    pub(crate) born_host: Option<String>,
    pub(crate) store_host: Option<String>,
    pub(crate) offset_message_id: Option<String>,
    pub(crate) settled: OnceLock<ConsumeResult>,
}

impl Details {
    pub(crate) fn property(&self, name: &str) -> Option<String> {
        self.properties.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    }
}

/// The context of a batch of `topic`: group `test-group`, broker `test-broker`, queue 0.
pub fn context(topic: impl Into<String>) -> Context {
    Context::given(types::ConsumeContext {
        consumer_group: "test-group".into(),
        topic: topic.into(),
        broker_name: "test-broker".into(),
        queue_id: 0,
    })
}

/// The first `count` queues of `topic` at the broker `test-broker`, sorted.
pub fn queues(topic: &str, count: u32) -> Vec<MessageQueue> {
    let queue = |queue_id| MessageQueue { topic: topic.into(), broker_name: "test-broker".into(), queue_id };
    (0..count).map(queue).collect()
}

/// What a message made here was [settled](Message::settle) as while it was consumed, if it was.
pub fn settled(message: &Message) -> Option<&ConsumeResult> {
    message.settled_as()
}

/// Makes a [`Message`]. What is not said is empty, none or 0.
#[derive(Debug, Clone)]
pub struct MessageBuilder {
    record: types::Message,
    details: Details,
}

impl MessageBuilder {
    /// A message with this body.
    pub fn new(body: impl Into<Vec<u8>>) -> Self {
        let record = types::Message {
            message_id: String::new(),
            tags: None,
            keys: String::new(),
            reconsume_times: 0,
            queue_offset: 0,
            born_timestamp: 0,
            store_timestamp: 0,
            body: body.into(),
            user_properties: Vec::new(),
        };
        Self { record, details: Details::default() }
    }

    /// Its tag.
    #[must_use]
    pub fn tags(mut self, tags: impl Into<String>) -> Self {
        self.record.tags = Some(tags.into());
        self
    }

    /// Its keys, separated by spaces.
    #[must_use]
    pub fn keys(mut self, keys: impl Into<String>) -> Self {
        self.record.keys = keys.into();
        self
    }

    /// Its id.
    #[must_use]
    pub fn message_id(mut self, id: impl Into<String>) -> Self {
        self.record.message_id = id.into();
        self
    }

    /// How often it was given back before.
    #[must_use]
    pub fn reconsume_times(mut self, times: u32) -> Self {
        self.record.reconsume_times = times;
        self
    }

    /// Its offset in its queue.
    #[must_use]
    pub fn queue_offset(mut self, offset: u64) -> Self {
        self.record.queue_offset = offset;
        self
    }

    /// When it was made and when it was stored, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn timestamps(mut self, born: u64, stored: u64) -> Self {
        self.record.born_timestamp = born;
        self.record.store_timestamp = stored;
        self
    }

    /// One more property the user set.
    #[must_use]
    pub fn user_property(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.record.user_properties.push((name.into(), value.into()));
        self
    }

    /// One more property of RocketMQ's own, such as `UNIQ_KEY`.
    #[must_use]
    pub fn property(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.details.properties.push((name.into(), value.into()));
        self
    }

    /// Where it was born and where it was stored, both as `ip:port`.
    #[must_use]
    pub fn hosts(mut self, born: impl Into<String>, stored: impl Into<String>) -> Self {
        self.details.born_host = Some(born.into());
        self.details.store_host = Some(stored.into());
        self
    }

    /// The broker's id of the stored copy.
    #[must_use]
    pub fn offset_message_id(mut self, id: impl Into<String>) -> Self {
        self.details.offset_message_id = Some(id.into());
        self
    }

    /// The message.
    pub fn build(self) -> Message {
        Message::made(self.record, self.details)
    }
}
