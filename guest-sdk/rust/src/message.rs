//! One message, as the listener sees it.

use crate::bindings::gantry::rocketmq::{delivery, types};
use crate::testing::Details;
use std::str::Utf8Error;

/// One message (RocketMQ: `MessageExt`).
///
/// What nearly every listener reads came with it; RocketMQ's own properties and the hosts involved are asked of the
/// Gantry host when wanted, which it answers while the batch of the message is being consumed.
#[derive(Debug)]
pub struct Message {
    record: types::Message,
    rest: Rest,
}

/// Who answers for what the record leaves out.
#[derive(Debug)]
enum Rest {
    /// The host, by the message's place in its batch.
    Host(u32),
    /// The test that made the message.
    Test(Box<Details>),
}

impl Message {
    pub(crate) fn delivered(record: types::Message, index: u32) -> Self {
        Self { record, rest: Rest::Host(index) }
    }

    pub(crate) fn made(record: types::Message, details: Details) -> Self {
        Self { record, rest: Rest::Test(Box::new(details)) }
    }

    /// The producer's unique id (`UNIQ_KEY`) where it set one, else the broker's offset message id.
    pub fn message_id(&self) -> &str {
        &self.record.message_id
    }

    /// The body, decompressed.
    pub fn body(&self) -> &[u8] {
        &self.record.body
    }

    /// The body as text.
    ///
    /// # Errors
    /// Where it is not UTF-8. With `?` the message is reconsumed later; with
    /// [`or_dead_letter`](crate::OrDeadLetter::or_dead_letter) it goes to the dead-letter topic.
    pub fn text(&self) -> Result<&str, Utf8Error> {
        std::str::from_utf8(&self.record.body)
    }

    /// The tag, where the producer set one (RocketMQ: `TAGS`, a single one in spite of its name).
    pub fn tags(&self) -> Option<&str> {
        self.record.tags.as_deref()
    }

    /// The first key, where the producer set one.
    pub fn key(&self) -> Option<&str> {
        self.keys().next()
    }

    /// Every key the producer set (RocketMQ: `KEYS`, separated by spaces).
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.record.keys.split_ascii_whitespace()
    }

    /// How often it was given back before: 0 the first time.
    pub fn reconsume_times(&self) -> u32 {
        self.record.reconsume_times
    }

    /// Its offset in the queue it now comes from.
    pub fn queue_offset(&self) -> u64 {
        self.record.queue_offset
    }

    /// When the producer made it, in milliseconds since the Unix epoch.
    pub fn born_timestamp(&self) -> u64 {
        self.record.born_timestamp
    }

    /// When the broker stored it, in milliseconds since the Unix epoch.
    pub fn store_timestamp(&self) -> u64 {
        self.record.store_timestamp
    }

    /// The properties the user set, in the order of the wire.
    pub fn user_properties(&self) -> impl Iterator<Item = (&str, &str)> {
        self.record.user_properties.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// One property: the user's, or one of RocketMQ's own (`UNIQ_KEY`, `RETRY_TOPIC`, ...), asked of the host.
    pub fn property(&self, name: &str) -> Option<String> {
        let users = self.record.user_properties.iter().find(|(known, _)| known == name);
        if let Some((_, value)) = users {
            return Some(value.clone());
        }
        match &self.rest {
            Rest::Host(index) => delivery::property(*index, name),
            Rest::Test(details) => details.property(name),
        }
    }

    /// Every property, RocketMQ's own included, in the order of the wire; asked of the host.
    pub fn properties(&self) -> Vec<(String, String)> {
        match &self.rest {
            Rest::Host(index) => delivery::properties(*index),
            Rest::Test(details) => {
                details.properties.iter().chain(&self.record.user_properties).cloned().collect()
            }
        }
    }

    /// Where it was born, as `ip:port`; asked of the host.
    pub fn born_host(&self) -> Option<String> {
        match &self.rest {
            Rest::Host(index) => delivery::born_host(*index),
            Rest::Test(details) => details.born_host.clone(),
        }
    }

    /// The broker that stored it, as `ip:port`; asked of the host.
    pub fn store_host(&self) -> Option<String> {
        match &self.rest {
            Rest::Host(index) => delivery::store_host(*index),
            Rest::Test(details) => details.store_host.clone(),
        }
    }

    /// The broker's own id of this stored copy (RocketMQ: `offsetMsgId`); asked of the host.
    pub fn offset_message_id(&self) -> Option<String> {
        match &self.rest {
            Rest::Host(index) => delivery::offset_message_id(*index),
            Rest::Test(details) => details.offset_message_id.clone(),
        }
    }
}
