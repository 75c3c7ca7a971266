//! The host's batch as the engine sees it: a view, so that the engine needs no knowledge of RocketMQ's wire format and
//! nothing is copied before the copy into the guest.

use std::ops::Range;

use crate::packing;

/// One message of a batch, borrowed from the host (`message` in the WIT, without its user properties).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageView<'a> {
    /// The producer's unique id (`UNIQ_KEY`) where set, else the broker's offset message id.
    pub message_id: &'a str,
    /// The tag, where the producer set one.
    pub tags: Option<&'a str>,
    /// The keys as sent, separated by spaces; empty where none.
    pub keys: &'a str,
    /// How often the message was given back before: 0 the first time.
    pub reconsume_times: u32,
    /// Its offset in its queue.
    pub queue_offset: u64,
    /// When the producer made it, milliseconds since the Unix epoch.
    pub born_timestamp: u64,
    /// When the broker stored it, milliseconds since the Unix epoch.
    pub store_timestamp: u64,
    /// The body, decompressed.
    pub body: &'a [u8],
}

/// A batch of messages of one queue, implemented by the host over whatever it already holds.
///
/// Indices count from 0 in the order of the batch. For a listener of records `record` is asked once
/// per call for each message, for a packed one `packed` once per call; the rest only when the guest asks through `gantry:rocketmq/delivery`, and then with any index, also one
/// past the end: the engine answers such an index itself and never passes it on.
pub trait MessageBatch: Send + Sync + 'static {
    /// How many messages there are.
    fn len(&self) -> usize;

    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The message at `index`, which is always less than [`MessageBatch::len`]. Its id, tag and keys are looked for among its
    /// properties, so that who wants one thing asks for that alone: [`MessageBatch::body`], [`MessageBatch::property`].
    fn message(&self, index: usize) -> MessageView<'_>;

    /// The body of the message at `index`, and nothing else of it.
    fn body(&self, index: usize) -> &[u8] {
        self.message(index).body
    }

    /// Appends the properties the user set on the message at `index`, in the order of the wire.
    fn user_properties<'a>(&'a self, index: usize, into: &mut Vec<(&'a str, &'a str)>);

    /// [`MessageBatch::message`] and [`MessageBatch::user_properties`] together, for who wants all of a message: its properties need be
    /// gone through only once for both.
    fn record<'a>(&'a self, index: usize, user_properties: &mut Vec<(&'a str, &'a str)>) -> MessageView<'a> {
        self.user_properties(index, user_properties);
        self.message(index)
    }

    /// One property of the message at `index`, RocketMQ's own ones included.
    fn property(&self, index: usize, name: &str) -> Option<&str>;

    /// Appends every property of the message at `index`, in the order of the wire.
    fn properties<'a>(&'a self, index: usize, into: &mut Vec<(&'a str, &'a str)>);

    /// Where the message was born, as `ip:port`.
    fn born_host(&self, index: usize) -> Option<String>;

    /// The broker that stored it, as `ip:port`.
    fn store_host(&self, index: usize) -> Option<String>;

    /// The broker's own id of this stored copy (RocketMQ: `offsetMsgId`).
    fn offset_message_id(&self, index: usize) -> Option<String>;

    /// The messages of `range` one after the other in RocketMQ's layout, as the WIT's `packed-listener` has it: bytes the
    /// batch holds already, or put together in `room`, which is empty. `topic` is the one subscribed to.
    ///
    /// Left out, the messages are put together from their parts, under `topic`, queue 0.
    fn packed<'a>(&'a self, topic: &str, range: Range<usize>, room: &'a mut Vec<u8>) -> &'a [u8] {
        range.for_each(|index| packing::put(self, index, topic, room));
        room
    }
}

/// A message that owns its parts: for plugin checks, benchmarks and tests, where there is no broker behind the batch.
/// `Vec<OwnedMessage>` is a [`MessageBatch`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnedMessage {
    /// See [`MessageView::message_id`].
    pub message_id: String,
    /// See [`MessageView::tags`].
    pub tags: Option<String>,
    /// See [`MessageView::keys`].
    pub keys: String,
    /// See [`MessageView::reconsume_times`].
    pub reconsume_times: u32,
    /// See [`MessageView::queue_offset`].
    pub queue_offset: u64,
    /// See [`MessageView::born_timestamp`].
    pub born_timestamp: u64,
    /// See [`MessageView::store_timestamp`].
    pub store_timestamp: u64,
    /// See [`MessageView::body`].
    pub body: Vec<u8>,
    /// What the user set.
    pub user_properties: Vec<(String, String)>,
    /// What RocketMQ set for itself; `properties` answers these after the user's, and then `UNIQ_KEY`, `TAGS` and `KEYS`
    /// where they are not among them.
    pub system_properties: Vec<(String, String)>,
    /// See [`MessageBatch::born_host`].
    pub born_host: Option<String>,
    /// See [`MessageBatch::store_host`].
    pub store_host: Option<String>,
    /// See [`MessageBatch::offset_message_id`].
    pub offset_message_id: Option<String>,
}

impl OwnedMessage {
    /// A message with this id and body and nothing else.
    #[must_use]
    pub fn new(message_id: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        Self { message_id: message_id.into(), body: body.into(), ..Self::default() }
    }

    /// The user's, RocketMQ's own, and what id, tag and keys are in RocketMQ: properties too.
    fn all_properties(&self) -> impl Iterator<Item = (&str, &str)> {
        let said = self.user_properties.iter().chain(&self.system_properties);
        let said = said.map(|(name, value)| (name.as_str(), value.as_str()));
        let brokers_id = self.offset_message_id.as_ref() == Some(&self.message_id);
        let fields = [
            ("UNIQ_KEY", if brokers_id { "" } else { &self.message_id }),
            ("TAGS", self.tags.as_deref().unwrap_or_default()),
            ("KEYS", self.keys.as_str()),
        ];
        let said_already = |name: &str| self.system_properties.iter().any(|(known, _)| known == name);
        said.chain(fields.into_iter().filter(move |(name, value)| !value.is_empty() && !said_already(name)))
    }
}

/// What an index past the end of an owned batch shows: the engine never asks for one.
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

impl MessageBatch for Vec<OwnedMessage> {
    fn len(&self) -> usize {
        self.as_slice().len()
    }

    fn message(&self, index: usize) -> MessageView<'_> {
        self.get(index).map_or(NO_MESSAGE, |message| MessageView {
            message_id: &message.message_id,
            tags: message.tags.as_deref(),
            keys: &message.keys,
            reconsume_times: message.reconsume_times,
            queue_offset: message.queue_offset,
            born_timestamp: message.born_timestamp,
            store_timestamp: message.store_timestamp,
            body: &message.body,
        })
    }

    fn user_properties<'a>(&'a self, index: usize, into: &mut Vec<(&'a str, &'a str)>) {
        let properties = self.get(index).into_iter().flat_map(|message| &message.user_properties);
        into.extend(properties.map(|(name, value)| (name.as_str(), value.as_str())));
    }

    fn property(&self, index: usize, name: &str) -> Option<&str> {
        self.get(index)?.all_properties().find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    fn properties<'a>(&'a self, index: usize, into: &mut Vec<(&'a str, &'a str)>) {
        into.extend(self.get(index).into_iter().flat_map(OwnedMessage::all_properties));
    }

    fn born_host(&self, index: usize) -> Option<String> {
        self.get(index)?.born_host.clone()
    }

    fn store_host(&self, index: usize) -> Option<String> {
        self.get(index)?.store_host.clone()
    }

    fn offset_message_id(&self, index: usize) -> Option<String> {
        self.get(index)?.offset_message_id.clone()
    }
}
