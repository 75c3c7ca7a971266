//! One message, as the listener sees it.

use crate::ConsumeResult;
use crate::bindings::listener::gantry::rocketmq::{delivery, types};
use crate::packed::Packed;
use crate::testing::Details;
use std::net::SocketAddr;
use std::str::Utf8Error;

/// One message (RocketMQ: `MessageExt`).
///
/// It reads what is asked for, and nothing before, from the bytes the message came in from the broker. In a plugin that
/// takes records instead (`export_listener!(Mine, records)`), RocketMQ's own properties and the hosts involved are asked of
/// the Gantry host, which answers while the batch of the message is being consumed; all else is the same.
#[derive(Debug)]
pub struct Message(Form);

#[derive(Debug)]
enum Form {
    /// In RocketMQ's own layout.
    Packed(Packed),
    /// A record, which leaves out what few listeners read; the host answers for that, by the message's place in its batch.
    Record(types::Message, u32),
    /// Made by a test.
    Made(Box<(types::Message, Details)>),
}

impl Message {
    pub(crate) fn packed(packed: Packed) -> Self {
        Self(Form::Packed(packed))
    }

    pub(crate) fn as_packed(&mut self) -> Option<&mut Packed> {
        match &mut self.0 {
            Form::Packed(packed) => Some(packed),
            Form::Record(..) | Form::Made(_) => None,
        }
    }

    pub(crate) fn delivered(record: types::Message, index: u32) -> Self {
        Self(Form::Record(record, index))
    }

    pub(crate) fn made(record: types::Message, details: Details) -> Self {
        Self(Form::Made(Box::new((record, details))))
    }

    /// The record, or the bytes that stand for one.
    fn read<'a, T>(
        &'a self,
        record: impl FnOnce(&'a types::Message) -> T,
        packed: impl FnOnce(&'a Packed) -> T,
    ) -> T {
        match &self.0 {
            Form::Packed(message) => packed(message),
            Form::Record(message, _) => record(message),
            Form::Made(made) => record(&made.0),
        }
    }

    /// The producer's unique id (`UNIQ_KEY`) where it set one, else the broker's offset message id.
    pub fn message_id(&self) -> &str {
        self.read(|record| record.message_id.as_str(), Packed::message_id)
    }

    /// The body, decompressed.
    pub fn body(&self) -> &[u8] {
        self.read(|record| record.body.as_slice(), Packed::body)
    }

    /// The body as text.
    ///
    /// # Errors
    /// Where it is not UTF-8. With `?` the message is reconsumed later; with
    /// [`or_dead_letter`](crate::OrDeadLetter::or_dead_letter) it goes to the dead-letter topic.
    pub fn text(&self) -> Result<&str, Utf8Error> {
        std::str::from_utf8(self.body())
    }

    /// The tag, where the producer set one (RocketMQ: `TAGS`, a single one in spite of its name).
    pub fn tags(&self) -> Option<&str> {
        self.read(|record| record.tags.as_deref(), |packed| packed.property("TAGS"))
    }

    /// The first key, where the producer set one.
    pub fn key(&self) -> Option<&str> {
        self.keys().next()
    }

    /// Every key the producer set (RocketMQ: `KEYS`, separated by spaces).
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        let keys = self.read(|record| Some(record.keys.as_str()), |packed| packed.property("KEYS"));
        keys.unwrap_or_default().split_ascii_whitespace()
    }

    /// How often it was given back before: 0 the first time.
    pub fn reconsume_times(&self) -> u32 {
        self.read(|record| record.reconsume_times, Packed::reconsume_times)
    }

    /// Its offset in the queue it now comes from.
    pub fn queue_offset(&self) -> u64 {
        self.read(|record| record.queue_offset, Packed::queue_offset)
    }

    /// When the producer made it, in milliseconds since the Unix epoch.
    pub fn born_timestamp(&self) -> u64 {
        self.read(|record| record.born_timestamp, Packed::born_timestamp)
    }

    /// When the broker stored it, in milliseconds since the Unix epoch.
    pub fn store_timestamp(&self) -> u64 {
        self.read(|record| record.store_timestamp, Packed::store_timestamp)
    }

    /// The properties the user set, in the order of the wire.
    pub fn user_properties(&self) -> impl Iterator<Item = (&str, &str)> {
        let (record, packed) = self.read(|record| (Some(record), None), |packed| (None, Some(packed)));
        let recorded = record.into_iter().flat_map(|record| &record.user_properties);
        let recorded = recorded.map(|(name, value)| (name.as_str(), value.as_str()));
        recorded.chain(packed.into_iter().flat_map(Packed::user_properties))
    }

    /// One property: the user's, or one of RocketMQ's own (`UNIQ_KEY`, `RETRY_TOPIC`, ...).
    pub fn property(&self, name: &str) -> Option<String> {
        let users = |record: &types::Message| {
            let found = record.user_properties.iter().rev().find(|(known, _)| known == name);
            found.map(|(_, value)| value.clone())
        };
        match &self.0 {
            Form::Packed(packed) => packed.property(name).map(str::to_owned),
            Form::Record(record, index) => users(record).or_else(|| delivery::property(*index, name)),
            Form::Made(made) => users(&made.0).or_else(|| made.1.property(name)),
        }
    }

    /// Every property, RocketMQ's own included, in the order of the wire.
    pub fn properties(&self) -> Vec<(String, String)> {
        match &self.0 {
            Form::Packed(packed) => {
                packed.properties().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
            }
            Form::Record(_, index) => delivery::properties(*index),
            Form::Made(made) => made.1.properties.iter().chain(&made.0.user_properties).cloned().collect(),
        }
    }

    /// Where it was born, as `ip:port`.
    pub fn born_host(&self) -> Option<String> {
        match &self.0 {
            Form::Packed(packed) => packed.born_host().as_ref().map(SocketAddr::to_string),
            Form::Record(_, index) => delivery::born_host(*index),
            Form::Made(made) => made.1.born_host.clone(),
        }
    }

    /// The broker that stored it, as `ip:port`.
    pub fn store_host(&self) -> Option<String> {
        match &self.0 {
            Form::Packed(packed) => packed.store_host().as_ref().map(SocketAddr::to_string),
            Form::Record(_, index) => delivery::store_host(*index),
            Form::Made(made) => made.1.store_host.clone(),
        }
    }

    /// The broker's own id of this stored copy (RocketMQ: `offsetMsgId`).
    pub fn offset_message_id(&self) -> Option<String> {
        match &self.0 {
            Form::Packed(packed) => Some(packed.offset_message_id()),
            Form::Record(_, index) => delivery::offset_message_id(*index),
            Form::Made(made) => made.1.offset_message_id.clone(),
        }
    }

    /// Settles the message now, while its batch is still being worked on: whatever happens later in this call, a panic or
    /// the deadline, does not redo it. The first word counts; a later one, and the message's place in the answer, are
    /// ignored. Where the description is orderly, it counts as far as every message before it is a success too.
    ///
    /// False where nothing was settled: it was settled before, or its call has ended.
    pub fn settle(&self, result: ConsumeResult) -> bool {
        match &self.0 {
            Form::Packed(packed) => delivery::settle(packed.index, &result),
            Form::Record(_, index) => delivery::settle(*index, &result),
            Form::Made(made) => made.1.settled.set(result).is_ok(),
        }
    }

    /// What it was settled as, in a test.
    pub(crate) fn settled_as(&self) -> Option<&ConsumeResult> {
        match &self.0 {
            Form::Made(made) => made.1.settled.get(),
            Form::Packed(_) | Form::Record(..) => None,
        }
    }
}
