//! A batch of stored messages as the engine sees it: views into the pull answer, nothing copied.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use gantry_engine::{MessageBatch, MessageView};
use gantry_protocol::MessageExt;
use gantry_protocol::compression::CompressionError;
use gantry_protocol::properties::keys;

/// Stored messages as listeners are given them: for programs that have messages and no host, such as benchmarks and checks
/// of plugins. None where a body cannot be inflated.
#[must_use]
pub fn stored_batch(messages: Vec<MessageExt>) -> Option<Arc<dyn MessageBatch>> {
    let (batch, corrupt) = HostBatch::new(messages, 0, false);
    corrupt.is_empty().then(|| Arc::new(batch) as Arc<dyn MessageBatch>)
}

/// Messages of one queue on their way to a listener.
#[derive(Debug)]
pub(super) struct HostBatch {
    messages: Vec<HostMessage>,
}

#[derive(Debug)]
struct HostMessage {
    stored: MessageExt,
    /// The body decompressed, where it was compressed.
    inflated: Option<Bytes>,
    /// The broker's id, made when asked for, for the rare message without a UNIQ_KEY.
    offset_id: OnceLock<String>,
    /// How often it has come again in place.
    retries: u32,
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
    pub(super) fn new(messages: Vec<MessageExt>, head_retries: u32, in_order: bool) -> (Self, Vec<Corrupt>) {
        let (mut sound, mut corrupt) = (Vec::with_capacity(messages.len()), Vec::new());
        for (index, stored) in messages.into_iter().enumerate() {
            match stored.is_compressed().then(|| stored.body()).transpose() {
                Ok(inflated) => {
                    let retries = if index == 0 { head_retries } else { 0 };
                    sound.push(HostMessage { stored, inflated, offset_id: OnceLock::new(), retries });
                }
                Err(error) => {
                    corrupt.push(Corrupt { index, stored, error });
                    if in_order {
                        break;
                    }
                }
            }
        }
        (Self { messages: sound }, corrupt)
    }

    /// How often a message was given back before, in place or through the broker.
    pub(super) fn reconsume_times(&self, index: usize) -> i32 {
        self.at(index).map_or(0, HostMessage::reconsume_times)
    }

    /// The messages as they came from the broker, in order.
    pub(super) fn stored(&self) -> impl Iterator<Item = &MessageExt> {
        self.messages.iter().map(|message| &message.stored)
    }

    fn at(&self, index: usize) -> Option<&HostMessage> {
        self.messages.get(index)
    }

    /// The messages of `range` as they lie in the pull answer, where they lie there one after the other and as they are to
    /// be handed out.
    fn as_they_lie(&self, range: Range<usize>) -> Option<&[u8]> {
        let messages = self.messages.get(range)?;
        let (first, mut end) = (&messages.first()?.stored, 0);
        let mut before: Option<&MessageExt> = None;
        for HostMessage { stored, retries, .. } in messages {
            let follows = before.is_none_or(|before| before.is_followed_by(stored));
            if !follows || *retries > 0 || !stored.is_plain() {
                return None;
            }
            (before, end) = (Some(stored), end + stored.stored_size());
        }
        first.run(end)
    }
}

impl HostMessage {
    fn body(&self) -> &[u8] {
        self.inflated.as_deref().unwrap_or_else(|| self.stored.stored_body())
    }

    fn message_id(&self) -> &str {
        let offset_id = || self.offset_id.get_or_init(|| self.stored.offset_msg_id()).as_str();
        self.stored.unique_key().unwrap_or_else(offset_id)
    }

    /// How often it was given back before, in place or through the broker.
    fn reconsume_times(&self) -> i32 {
        self.stored.reconsume_times().saturating_add(i32::try_from(self.retries).unwrap_or(i32::MAX))
    }

    /// Appends it as a listener is to have it.
    fn put(&self, out: &mut Vec<u8>) {
        if self.retries == 0 && self.stored.is_plain() {
            return out.extend_from_slice(self.stored.record());
        }
        self.stored.put_plain(self.body(), self.reconsume_times(), out);
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
        let Some(message) = self.at(index) else {
            return NO_MESSAGE;
        };
        let stored = &message.stored;
        MessageView {
            message_id: message.message_id(),
            tags: stored.tags(),
            keys: stored.keys().unwrap_or_default(),
            reconsume_times: message.reconsume_times().max(0).unsigned_abs(),
            queue_offset: stored.queue_offset().max(0).unsigned_abs(),
            born_timestamp: stored.born_timestamp().max(0).unsigned_abs(),
            store_timestamp: stored.store_timestamp().max(0).unsigned_abs(),
            body: message.body(),
        }
    }

    fn user_properties<'a>(&'a self, index: usize, into: &mut Vec<(&'a str, &'a str)>) {
        let all = self.at(index).into_iter().flat_map(|message| message.stored.properties());
        into.extend(all.filter(|(name, _)| !keys::is_system(name)));
    }

    fn property(&self, index: usize, name: &str) -> Option<&str> {
        self.at(index)?.stored.property(name)
    }

    fn properties<'a>(&'a self, index: usize, into: &mut Vec<(&'a str, &'a str)>) {
        into.extend(self.at(index).into_iter().flat_map(|message| message.stored.properties()));
    }

    fn born_host(&self, index: usize) -> Option<String> {
        Some(self.at(index)?.stored.born_host().to_string())
    }

    fn store_host(&self, index: usize) -> Option<String> {
        Some(self.at(index)?.stored.store_host().to_string())
    }

    fn offset_message_id(&self, index: usize) -> Option<String> {
        Some(self.at(index)?.stored.offset_msg_id())
    }

    fn packed<'a>(&'a self, _topic: &str, range: Range<usize>, room: &'a mut Vec<u8>) -> &'a [u8] {
        if let Some(as_they_lie) = self.as_they_lie(range.clone()) {
            return as_they_lie;
        }
        self.messages.get(range).into_iter().flatten().for_each(|message| message.put(room));
        room
    }
}

#[cfg(test)]
mod tests;
