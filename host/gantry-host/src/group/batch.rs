//! A batch of stored messages as the engine sees it: views into the pull answer, nothing copied.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use gantry_core::Messages;
use gantry_engine::{MessageBatch, MessageView};
use gantry_protocol::MessageExt;
use gantry_protocol::compression::CompressionError;
use gantry_protocol::properties::keys;

/// Stored messages as listeners are given them: for programs that have messages and no host, such as benchmarks and checks
/// of plugins. None where a body cannot be inflated.
#[must_use]
pub fn stored_batch(messages: impl Into<Messages>) -> Option<Arc<dyn MessageBatch>> {
    let (batch, corrupt) = HostBatch::new(messages.into(), 0, false);
    corrupt.is_empty().then(|| Arc::new(batch) as Arc<dyn MessageBatch>)
}

/// Messages of one queue on their way to a listener.
#[derive(Debug)]
pub(super) struct HostBatch {
    messages: Messages,
    /// Their bodies decompressed, where they were compressed. Empty where none was.
    inflated: Vec<Option<Bytes>>,
    /// How often the first has come again in place.
    head_retries: u32,
    /// The broker's ids, made when asked for, for the rare messages without a UNIQ_KEY.
    offset_ids: OnceLock<Vec<String>>,
}

/// A message whose body cannot be inflated: it is given back, its neighbours are not.
#[derive(Debug)]
pub(super) struct Corrupt {
    /// Its place in the batch it came in.
    pub index: usize,
    /// The message.
    pub stored: MessageExt,
    /// Why.
    pub error: CompressionError,
}

impl HostBatch {
    /// The batch's messages, inflating what is compressed; and apart, those that cannot be. `head_retries` is how often the
    /// first has come again in place. In order, the batch ends before the first that cannot be inflated.
    pub(super) fn new(messages: Messages, head_retries: u32, in_order: bool) -> (Self, Vec<Corrupt>) {
        let mut batch = Self { messages, inflated: Vec::new(), head_retries, offset_ids: OnceLock::new() };
        let corrupt = match batch.messages.iter().any(MessageExt::is_compressed) {
            true => batch.inflate(in_order),
            false => Vec::new(),
        };
        (batch, corrupt)
    }

    fn inflate(&mut self, in_order: bool) -> Vec<Corrupt> {
        let (mut corrupt, mut sound) = (Vec::new(), Vec::new());
        for (index, stored) in self.messages.iter().enumerate() {
            match stored.is_compressed().then(|| stored.body()).transpose() {
                Ok(inflated) => {
                    sound.push(stored.clone());
                    self.inflated.push(inflated);
                }
                Err(error) => {
                    if index == 0 {
                        self.head_retries = 0;
                    }
                    corrupt.push(Corrupt { index, stored: stored.clone(), error });
                    if in_order {
                        break;
                    }
                }
            }
        }
        self.messages = sound.into();
        corrupt
    }

    /// The messages as they came from the broker, in order.
    pub(super) fn stored(&self) -> &[MessageExt] {
        &self.messages
    }

    /// How often a message was given back before, in place or through the broker.
    pub(super) fn reconsume_times(&self, index: usize) -> i32 {
        let stored = self.messages.get(index).map_or(0, MessageExt::reconsume_times);
        stored.saturating_add(i32::try_from(self.retries(index)).unwrap_or(i32::MAX))
    }

    fn retries(&self, index: usize) -> u32 {
        if index == 0 { self.head_retries } else { 0 }
    }

    fn body_of<'a>(&'a self, index: usize, stored: &'a MessageExt) -> &'a [u8] {
        let inflated = self.inflated.get(index).and_then(Option::as_deref);
        inflated.unwrap_or_else(|| stored.stored_body())
    }

    /// The message's view, with its UNIQ_KEY, TAGS and KEYS as they were found.
    fn view<'a>(
        &'a self,
        index: usize,
        stored: &'a MessageExt,
        (unique_key, tags, keys): (Option<&'a str>, Option<&'a str>, Option<&'a str>),
    ) -> MessageView<'a> {
        let made = || self.messages.iter().map(MessageExt::offset_msg_id).collect();
        let offset_id = || self.offset_ids.get_or_init(made).get(index).map_or("", String::as_str);
        MessageView {
            message_id: unique_key.unwrap_or_else(offset_id),
            tags,
            keys: keys.unwrap_or_default(),
            reconsume_times: self.reconsume_times(index).max(0).unsigned_abs(),
            queue_offset: stored.queue_offset().max(0).unsigned_abs(),
            born_timestamp: stored.born_timestamp().max(0).unsigned_abs(),
            store_timestamp: stored.store_timestamp().max(0).unsigned_abs(),
            body: self.body_of(index, stored),
        }
    }

    /// Whether its record is what the listener is to have.
    fn is_as_it_lies(&self, index: usize, stored: &MessageExt) -> bool {
        self.retries(index) == 0 && stored.is_plain()
    }

    /// The messages of `range` as they lie in the pull answer, where they lie there one after the other and as they are to
    /// be handed out.
    fn as_they_lie(&self, range: Range<usize>) -> Option<&[u8]> {
        let messages = self.messages.get(range.clone())?;
        let (first, mut end) = (messages.first()?, 0);
        let mut before: Option<&MessageExt> = None;
        for (index, stored) in range.zip(messages) {
            let follows = before.is_none_or(|before| before.is_followed_by(stored));
            if !follows || !self.is_as_it_lies(index, stored) {
                return None;
            }
            (before, end) = (Some(stored), end + stored.stored_size());
        }
        first.run(end)
    }

    /// Appends a message as a listener is to have it.
    fn put(&self, index: usize, stored: &MessageExt, out: &mut Vec<u8>) {
        if self.is_as_it_lies(index, stored) {
            return out.extend_from_slice(stored.record());
        }
        stored.put_plain(self.body_of(index, stored), self.reconsume_times(index), out);
    }
}

const NO_MESSAGE: MessageView<'static> = MessageView {
    message_id: "",
    tags: None,
    keys: "",
    reconsume_times: 0,
    queue_offset: 0,
    born_timestamp: 0,
    store_timestamp: 0,
    body: &[],
};

impl MessageBatch for HostBatch {
    fn len(&self) -> usize {
        self.messages.len()
    }

    fn message(&self, index: usize) -> MessageView<'_> {
        let Some(stored) = self.messages.get(index) else {
            return NO_MESSAGE;
        };
        self.view(index, stored, (stored.unique_key(), stored.tags(), stored.keys()))
    }

    fn body(&self, index: usize) -> &[u8] {
        self.messages.get(index).map_or(&[], |stored| self.body_of(index, stored))
    }

    fn user_properties<'a>(&'a self, index: usize, into: &mut Vec<(&'a str, &'a str)>) {
        let all = self.messages.get(index).into_iter().flat_map(MessageExt::properties);
        into.extend(all.filter(|(name, _)| !keys::is_system(name)));
    }

    fn record<'a>(&'a self, index: usize, user_properties: &mut Vec<(&'a str, &'a str)>) -> MessageView<'a> {
        let Some(stored) = self.messages.get(index) else {
            return NO_MESSAGE;
        };
        let (mut unique_key, mut tags, mut of_keys) = (None, None, None);
        // Of a name that comes twice the last counts, as where it is looked for.
        stored.each_property(|name, value| match name {
            keys::UNIQUE_KEY => unique_key = Some(value),
            keys::TAGS => tags = Some(value),
            keys::KEYS => of_keys = Some(value),
            _ if keys::is_system(name) => {}
            _ => user_properties.push((name, value)),
        });
        self.view(index, stored, (unique_key, tags, of_keys))
    }

    fn property(&self, index: usize, name: &str) -> Option<&str> {
        self.messages.get(index)?.property(name)
    }

    fn properties<'a>(&'a self, index: usize, into: &mut Vec<(&'a str, &'a str)>) {
        into.extend(self.messages.get(index).into_iter().flat_map(MessageExt::properties));
    }

    fn born_host(&self, index: usize) -> Option<String> {
        Some(self.messages.get(index)?.born_host().to_string())
    }

    fn store_host(&self, index: usize) -> Option<String> {
        Some(self.messages.get(index)?.store_host().to_string())
    }

    fn offset_message_id(&self, index: usize) -> Option<String> {
        Some(self.messages.get(index)?.offset_msg_id())
    }

    fn packed<'a>(&'a self, _topic: &str, range: Range<usize>, room: &'a mut Vec<u8>) -> &'a [u8] {
        if let Some(as_they_lie) = self.as_they_lie(range.clone()) {
            return as_they_lie;
        }
        let messages = self.messages.get(range.clone()).unwrap_or_default();
        range.zip(messages).for_each(|(index, stored)| self.put(index, stored, room));
        room
    }
}

/// Some messages of a batch, for a listener that is to see no others.
pub(super) struct Part {
    batch: Arc<HostBatch>,
    range: Range<usize>,
}

impl Part {
    pub(super) fn new(batch: &Arc<HostBatch>, range: Range<usize>) -> Self {
        Self { batch: Arc::clone(batch), range }
    }

    /// The message's index in the batch, past its end where the part has no such message.
    fn index(&self, index: usize) -> usize {
        if index < self.range.len() { self.range.start + index } else { usize::MAX }
    }
}

impl MessageBatch for Part {
    fn len(&self) -> usize {
        self.range.len()
    }

    fn message(&self, index: usize) -> MessageView<'_> {
        self.batch.message(self.index(index))
    }

    fn user_properties<'a>(&'a self, index: usize, into: &mut Vec<(&'a str, &'a str)>) {
        self.batch.user_properties(self.index(index), into);
    }

    fn record<'a>(&'a self, index: usize, user_properties: &mut Vec<(&'a str, &'a str)>) -> MessageView<'a> {
        self.batch.record(self.index(index), user_properties)
    }

    fn property(&self, index: usize, name: &str) -> Option<&str> {
        self.batch.property(self.index(index), name)
    }

    fn properties<'a>(&'a self, index: usize, into: &mut Vec<(&'a str, &'a str)>) {
        self.batch.properties(self.index(index), into);
    }

    fn born_host(&self, index: usize) -> Option<String> {
        self.batch.born_host(self.index(index))
    }

    fn store_host(&self, index: usize) -> Option<String> {
        self.batch.store_host(self.index(index))
    }

    fn offset_message_id(&self, index: usize) -> Option<String> {
        self.batch.offset_message_id(self.index(index))
    }

    fn packed<'a>(&'a self, topic: &str, range: Range<usize>, room: &'a mut Vec<u8>) -> &'a [u8] {
        let end = range.end.min(self.range.len());
        let start = range.start.min(end);
        self.batch.packed(topic, self.range.start + start..self.range.start + end, room)
    }
}

#[cfg(test)]
mod tests;
