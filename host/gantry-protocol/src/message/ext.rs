use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;

use bytes::{Buf as _, Bytes, BytesMut};

use super::layout::{self, MessageError, Parts, Span, i32_at, i64_at};
use super::record::MessageRecord;
use crate::batch::{self, BatchError};
use crate::compression::{self, CompressionError, CompressionType, MAX_DECOMPRESSED};
use crate::properties::{self, keys};
use crate::{message_id, names, sys_flag};

const PROPERTY_SEPARATOR: u8 = 2;
const NAME_VALUE_SEPARATOR: u8 = 1;

/// The flags of a record that holds several messages.
const INNER_BATCH: i32 = sys_flag::INNER_BATCH | sys_flag::NEED_UNWRAP;

/// One message as a broker stores it (RocketMQ: MessageExt).
///
/// It is a view: every field is read where it lies, in the bytes it arrived in, which every message of one pull
/// shares. It is as large as a cache line, and cloning costs a reference count.
#[derive(Clone)]
pub struct MessageExt {
    /// From the record's first byte to the end of the bytes it arrived in, so that neighbours can be handed on as one.
    bytes: Bytes,
    size: u32,
    /// Whether its stored body is compressed.
    compressed: bool,
    /// Whether its offset is another than the record says.
    moved: bool,
    parts: Parts,
    /// As the record says, or moved by an offset delta.
    queue_offset: i64,
    /// What is its own, where it is one of the several messages of its record.
    inner: Option<Box<Inner>>,
}

const _: () = assert!(size_of::<MessageExt>() <= 64, "it is moved from queue to queue");

/// What a message of an inner batch has in place of its record's.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Inner {
    flag: i32,
    body: Span,
    properties: Span,
}

/// Splits the body of a pull into its messages.
///
/// A record that cannot be read is an error of its own and the walk goes on behind it; only a wrong size ends it.
pub fn decode_all(records: Bytes) -> MessageIter {
    MessageIter { rest: records, at: 0 }
}

/// The messages of one pull body; see [`decode_all`].
#[derive(Clone, Debug)]
pub struct MessageIter {
    rest: Bytes,
    at: usize,
}

impl Iterator for MessageIter {
    type Item = Result<MessageExt, MessageError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let at = self.at;
        let size = match layout::record_size(&self.rest, at) {
            Ok(size) => size,
            Err(error) => {
                self.rest.clear();
                return Some(Err(error));
            }
        };
        let bytes = self.rest.clone();
        self.rest.advance(size);
        self.at += size;
        Some(MessageExt::of(bytes, size, at))
    }
}

impl MessageExt {
    /// Reads a body that holds exactly one record.
    ///
    /// # Errors
    /// The bytes are not one record.
    pub fn decode(record: Bytes) -> Result<Self, MessageError> {
        let size = layout::record_size(&record, 0)?;
        if size != record.len() {
            return Err(MessageError::BadLength { at: 0, part: "whole" });
        }
        Self::of(record, size, 0)
    }

    /// The message whose record is the first `size` bytes, which lie at `at` of the whole.
    #[inline]
    fn of(bytes: Bytes, size: usize, at: usize) -> Result<Self, MessageError> {
        let record = bytes.get(..size).unwrap_or_default();
        let (parts, queue_offset) = (layout::parse(record, at)?, i64_at(record, layout::QUEUE_OFFSET));
        let compressed = i32_at(record, layout::SYS_FLAG) & sys_flag::COMPRESSED != 0;
        // A record says its size in 31 bits.
        Ok(Self { bytes, size: size as u32, compressed, moved: false, parts, queue_offset, inner: None })
    }

    /// The record's bytes, as they came.
    #[inline]
    pub fn record(&self) -> &[u8] {
        self.bytes.get(..self.size as usize).unwrap_or_default()
    }

    /// Size of the record in bytes.
    #[inline]
    pub fn stored_size(&self) -> usize {
        self.size as usize
    }

    /// The record's bytes and those behind it in the answer it came in.
    pub(super) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Whether its record's own queue offset is its.
    pub(super) fn is_at_its_offset(&self) -> bool {
        !self.moved
    }

    /// Whether it is one of several messages of its record.
    pub(super) fn is_of_inner_batch(&self) -> bool {
        self.inner.is_some()
    }

    /// Whether the record is of version 2, made for topics of more than 127 bytes.
    pub fn is_version_2(&self) -> bool {
        layout::is_version_2(self.record())
    }

    /// Checksum of the stored body: CRC-32, the top bit cleared.
    pub fn body_crc(&self) -> i32 {
        i32_at(self.record(), layout::BODY_CRC)
    }

    /// The queue the message is in.
    pub fn queue_id(&self) -> i32 {
        i32_at(self.record(), layout::QUEUE_ID)
    }

    /// The sender's own flag; RocketMQ does not read it.
    pub fn flag(&self) -> i32 {
        self.inner.as_ref().map_or_else(|| i32_at(self.record(), layout::FLAG), |inner| inner.flag)
    }

    /// Position in the queue.
    #[inline]
    pub fn queue_offset(&self) -> i64 {
        self.queue_offset
    }

    /// Position in the broker's commit log, which CONSUMER_SEND_MSG_BACK names messages by.
    pub fn physical_offset(&self) -> i64 {
        i64_at(self.record(), layout::PHYSICAL_OFFSET)
    }

    /// Bits of [`crate::sys_flag`].
    #[inline]
    pub fn sys_flag(&self) -> i32 {
        let stored = i32_at(self.record(), layout::SYS_FLAG);
        if self.inner.is_some() { stored & !INNER_BATCH } else { stored }
    }

    /// When the producer made the message, in milliseconds since the epoch by its clock.
    pub fn born_timestamp(&self) -> i64 {
        i64_at(self.record(), layout::BORN_TIMESTAMP)
    }

    /// Where the producer was.
    pub fn born_host(&self) -> SocketAddr {
        layout::born_host(self.record())
    }

    /// When the broker stored the message, in milliseconds since the epoch by its clock.
    #[inline]
    pub fn store_timestamp(&self) -> i64 {
        let record = self.record();
        i64_at(record, layout::store_timestamp_at(record))
    }

    /// The broker's address, as part of the offset message id.
    pub fn store_host(&self) -> SocketAddr {
        layout::store_host(self.record())
    }

    /// How often the message came back from a listener already.
    #[inline]
    pub fn reconsume_times(&self) -> i32 {
        let record = self.record();
        i32_at(record, layout::reconsume_times_at(record))
    }

    /// Commit-log offset of the prepared message a transaction began with; 0 elsewhere.
    pub fn prepared_transaction_offset(&self) -> i64 {
        let record = self.record();
        i64_at(record, layout::prepared_transaction_offset_at(record))
    }

    /// The body as stored: compressed where [`Self::is_compressed`] says so.
    #[inline]
    pub fn stored_body(&self) -> &[u8] {
        let record = self.record();
        self.inner.as_ref().map_or_else(|| self.parts.body(record), |inner| inner.body).of(record)
    }

    /// A part of the record, such as its stored body, that lives on without it: shared, not copied.
    ///
    /// # Panics
    /// Where `part` is no part of [`Self::record`].
    pub fn shared(&self, part: &[u8]) -> Bytes {
        self.bytes.slice_ref(part)
    }

    /// Whether the stored body is compressed.
    #[inline]
    pub fn is_compressed(&self) -> bool {
        self.compressed
    }

    /// The body, decompressed to at most [`MAX_DECOMPRESSED`] bytes; without a copy where it is not compressed.
    ///
    /// # Errors
    /// The body is corrupt, or too large when decompressed.
    pub fn body(&self) -> Result<Bytes, CompressionError> {
        self.body_within(MAX_DECOMPRESSED)
    }

    /// [`Self::body`] with a bound of the caller's, in bytes. The bound does not touch uncompressed bodies.
    ///
    /// # Errors
    /// The body is corrupt, or too large when decompressed.
    pub fn body_within(&self, limit: usize) -> Result<Bytes, CompressionError> {
        if !self.is_compressed() {
            return Ok(self.shared(self.stored_body()));
        }
        let kind = CompressionType::of_sys_flag(self.sys_flag())?;
        compression::decompress(kind, self.stored_body(), limit)
    }

    /// Whether the stored body has the checksum the record names. Java's consumers do not look.
    pub fn body_crc_matches(&self) -> bool {
        super::record::body_crc(self.stored_body()) == self.body_crc()
    }

    /// The topic the record is stored under: for a retry, the group's retry topic.
    pub fn topic(&self) -> &str {
        let record = self.record();
        std::str::from_utf8(self.parts.topic(record).of(record)).unwrap_or_default()
    }

    /// The topic the message was first sent to: for a retry, what its RETRY_TOPIC property names.
    pub fn origin_topic(&self) -> &str {
        let topic = self.topic();
        if names::is_retry(topic) { self.property(keys::RETRY_TOPIC).unwrap_or(topic) } else { topic }
    }

    /// The properties' text; bytes that are not UTF-8 are replaced.
    pub fn properties_str(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.properties_bytes())
    }

    /// The properties' bytes, as stored.
    pub fn properties_bytes(&self) -> &[u8] {
        let record = self.record();
        self.inner.as_ref().map_or_else(|| self.parts.properties(record), |inner| inner.properties).of(record)
    }

    /// The properties in order, by the rules of [`crate::properties::parse`].
    /// One whose name or value is not UTF-8 (Java brokers store none) is skipped.
    pub fn properties(&self) -> impl DoubleEndedIterator<Item = (&str, &str)> {
        self.entries().filter_map(|(name, value)| {
            Some((std::str::from_utf8(name).ok()?, std::str::from_utf8(value).ok()?))
        })
    }

    /// Hands out what [`Self::properties`] does, faster where all of it is UTF-8.
    pub fn each_property<'a>(&'a self, mut property: impl FnMut(&'a str, &'a str)) {
        match std::str::from_utf8(self.properties_bytes()) {
            Ok(text) => properties::parse(text).for_each(|(name, value)| property(name, value)),
            Err(_) => self.properties().for_each(|(name, value)| property(name, value)),
        }
    }

    /// The value of a property; the last one where the name comes twice.
    pub fn property(&self, name: &str) -> Option<&str> {
        properties::find(self.properties_bytes(), name).and_then(|value| std::str::from_utf8(value).ok())
    }

    fn entries(&self) -> impl DoubleEndedIterator<Item = (&[u8], &[u8])> {
        self.properties_bytes().split(|&byte| byte == PROPERTY_SEPARATOR).filter_map(|entry| {
            let middle = entry.iter().position(|&byte| byte == NAME_VALUE_SEPARATOR)?;
            let (name, value) = (entry.get(..middle)?, entry.get(middle + 1..)?);
            (!name.is_empty() && !value.is_empty()).then_some((name, value))
        })
    }

    /// The message's tag.
    pub fn tags(&self) -> Option<&str> {
        self.property(keys::TAGS)
    }

    /// The message's keys, joined by spaces.
    pub fn keys(&self) -> Option<&str> {
        self.property(keys::KEYS)
    }

    /// The id the producer gave the message.
    pub fn unique_key(&self) -> Option<&str> {
        self.property(keys::UNIQUE_KEY)
    }

    /// The id clients show: the unique key where there is one, else the offset message id.
    pub fn message_id(&self) -> String {
        self.unique_key().map_or_else(|| self.offset_msg_id(), str::to_owned)
    }

    /// The id that names broker and commit-log offset.
    pub fn offset_msg_id(&self) -> String {
        message_id::offset_msg_id(self.store_host(), self.physical_offset())
    }

    /// The same message at a queue offset moved by `delta` (RocketMQ: offsetDelta of a pull response).
    #[must_use]
    #[inline]
    pub fn with_offset_delta(mut self, delta: i64) -> Self {
        self.queue_offset = self.queue_offset.wrapping_add(delta);
        self.moved |= delta != 0;
        self
    }

    /// Whether the record holds several messages; see [`Self::unwrap_inner_batch`].
    #[inline]
    pub fn is_inner_batch(&self) -> bool {
        self.sys_flag() & INNER_BATCH == INNER_BATCH
    }

    /// The messages of an inner batch: item `i` has queue offset base + `i` and its own flag, body and properties.
    /// [`Self::record`] of such a message is that of the whole batch.
    ///
    /// # Errors
    /// The body cannot be decompressed, or is not a sequence of batch items.
    pub fn unwrap_inner_batch(&self) -> Result<Vec<Self>, InnerBatchError> {
        let shared = self.uncompressed()?;
        let items = shared.stored_body();
        let start = shared.parts.body(shared.record()).start as usize;
        let mut messages = Vec::new();
        let mut at = 0;
        while at < items.len() {
            let item = batch::layout(items, at)?;
            let within = |(first, end): (usize, usize)| Span::new(start + first, end - first);
            let malformed = || BatchError::Malformed { at, available: items.len() - at };
            let body = within(item.body).ok_or_else(malformed)?;
            let properties = within(item.properties).ok_or_else(malformed)?;
            let inner = Inner { flag: item.flag, body, properties };
            let queue_offset = self.queue_offset.wrapping_add(messages.len() as i64);
            messages.push(Self { queue_offset, inner: Some(Box::new(inner)), ..shared.clone() });
            at = item.end;
        }
        Ok(messages)
    }

    /// This message with a plain body; it then lies in bytes of its own.
    fn uncompressed(&self) -> Result<Self, CompressionError> {
        if !self.is_compressed() {
            return Ok(self.clone());
        }
        let mut plain = MessageRecord::from(self);
        plain.body = self.body()?;
        plain.sys_flag &= !(sys_flag::COMPRESSED | sys_flag::COMPRESSION_TYPE_MASK);
        let mut record = BytesMut::new();
        let too_large = |_| CompressionError::TooLarge { limit: MAX_DECOMPRESSED };
        plain.encode(&mut record).map_err(too_large)?;
        Self::decode(record.freeze()).map_err(|_| CompressionError::TooLarge { limit: MAX_DECOMPRESSED })
    }
}

/// Two messages are equal where their records are, and what was made of them.
impl PartialEq for MessageExt {
    fn eq(&self, other: &Self) -> bool {
        self.record() == other.record()
            && self.queue_offset == other.queue_offset
            && self.inner == other.inner
    }
}

impl Eq for MessageExt {}

impl fmt::Debug for MessageExt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageExt")
            .field("record", &Bytes::copy_from_slice(self.record()))
            .field("queue_offset", &self.queue_offset)
            .field("inner", &self.inner)
            .finish()
    }
}

/// An inner batch that cannot be taken apart.
#[derive(Debug, thiserror::Error)]
pub enum InnerBatchError {
    /// The batch cannot be decompressed.
    #[error("inner batch: {0}")]
    Compression(#[from] CompressionError),
    /// The body is not a sequence of batch items.
    #[error("inner batch: {0}")]
    Item(#[from] BatchError),
}
