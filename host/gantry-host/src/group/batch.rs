//! A batch of stored messages as the engine sees it: views into the pull answer, nothing copied.

use bytes::Bytes;
use gantry_engine::{MessageBatch, MessageView};
use gantry_protocol::MessageExt;
use gantry_protocol::compression::CompressionError;
use gantry_protocol::properties::keys;

/// Messages of one queue on their way to a listener.
#[derive(Debug)]
pub(super) struct HostBatch {
    messages: Vec<HostMessage>,
}

#[derive(Debug)]
struct HostMessage {
    stored: MessageExt,
    /// Decompressed; a slice of the stored record where it was not compressed.
    body: Bytes,
    /// The broker's id, for the rare message without a UNIQ_KEY.
    offset_id: Option<String>,
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
            match stored.body() {
                Ok(body) => {
                    let offset_id = stored.unique_key().is_none().then(|| stored.offset_msg_id());
                    let retries = if index == 0 { head_retries } else { 0 };
                    sound.push(HostMessage { stored, body, offset_id, retries });
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
        let times = |message: &HostMessage| {
            message
                .stored
                .reconsume_times()
                .saturating_add(i32::try_from(message.retries).unwrap_or(i32::MAX))
        };
        self.at(index).map_or(0, times)
    }

    /// The messages as they came from the broker, in order.
    pub(super) fn stored(&self) -> impl Iterator<Item = &MessageExt> {
        self.messages.iter().map(|message| &message.stored)
    }

    fn at(&self, index: usize) -> Option<&HostMessage> {
        self.messages.get(index)
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
        let Some(HostMessage { stored, body, offset_id, retries }) = self.at(index) else {
            return NO_MESSAGE;
        };
        MessageView {
            message_id: stored.unique_key().or(offset_id.as_deref()).unwrap_or_default(),
            tags: stored.tags(),
            keys: stored.keys().unwrap_or_default(),
            reconsume_times: stored.reconsume_times().max(0).unsigned_abs().saturating_add(*retries),
            queue_offset: stored.queue_offset().max(0).unsigned_abs(),
            born_timestamp: stored.born_timestamp().max(0).unsigned_abs(),
            store_timestamp: stored.store_timestamp().max(0).unsigned_abs(),
            body,
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
}
