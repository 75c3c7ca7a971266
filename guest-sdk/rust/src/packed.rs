//! A message in RocketMQ's own layout, read where it lies: the WIT's `packed-listener` says how.
//!
//! Nothing is read before it is asked for. What the bytes do not hold, because they are not what the host sends, is empty or
//! 0; nothing here panics.

use crate::Message;
use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};

const PROPERTY_SEPARATOR: u8 = 2;
const NAME_VALUE_SEPARATOR: u8 = 1;
const MAGIC_V2: u32 = 0xDAA3_20AB;
/// Bits of the system flag that say which hosts have 16 bytes.
const BORN_HOST_V6: u32 = 0x10;
const STORE_HOST_V6: u32 = 0x20;
/// Bytes of the shortest message: IPv4 hosts, nothing in it.
const MIN_SIZE: usize = 91;
/// Where the fields before the first host lie.
const MAGIC: usize = 4;
const QUEUE_OFFSET: usize = 20;
const PHYSICAL_OFFSET: usize = 28;
const SYSTEM_FLAG: usize = 36;
const BORN_TIMESTAMP: usize = 40;
const BORN_HOST: usize = 48;

/// Names of the properties that RocketMQ itself reads or writes (RocketMQ: MessageConst); all others are the user's.
#[rustfmt::skip]
pub(crate) const SYSTEM_PROPERTIES: &[&str] = &[
    "KEYS", "TAGS", "WAIT", "DELAY", "RETRY_TOPIC", "REAL_TOPIC", "REAL_QID", "TRAN_MSG", "PGROUP", "MIN_OFFSET",
    "MAX_OFFSET", "ORIGIN_MESSAGE_ID", "RECONSUME_TIME", "MAX_RECONSUME_TIMES", "MSG_REGION", "TRACE_ON", "UNIQ_KEY",
    "CONSUME_START_TIME", "INNER_NUM", "INNER_BASE", "INSTANCE_ID", "CORRELATION_ID", "REPLY_TO_CLIENT", "TTL",
    "CLUSTER", "MSG_TYPE", "POP_CK", "POP_CK_OFFSET", "1ST_POP_TIME", "ORIGIN_GROUP", "__SHARDINGKEY",
    "TIMER_DELAY_SEC", "TIMER_DELAY_MS", "TIMER_DELIVER_MS", "TIMER_OUT_MS", "TIMER_ENQUEUE_MS", "TIMER_DEQUEUE_MS",
    "TRACE_CONTEXT", "BORN_TIMESTAMP", "DLQ_ORIGIN_TOPIC", "DLQ_ORIGIN_MESSAGE_ID", "__CRC32#",
];

/// One message of a packed batch.
#[derive(Debug)]
pub(crate) struct Packed {
    batch: Arc<Vec<u8>>,
    start: usize,
    end: usize,
    /// Its place in the batch.
    pub(crate) index: u32,
    /// Made when asked for: most messages have an id of their producer's.
    offset_message_id: OnceLock<String>,
}

/// Where batches are taken apart, one after the other: what an instance has allocated for one is there for the next.
#[derive(Default)]
pub(crate) struct Room {
    bytes: Arc<Vec<u8>>,
    messages: Vec<Message>,
}

thread_local!(static ROOM: Cell<Option<Room>> = const { Cell::new(None) });

impl Room {
    /// Lends the messages of batches, each of `size` of them.
    ///
    /// # Errors
    /// What `consume` returns; and bytes that are no messages.
    pub(crate) fn with<T>(
        batches: Vec<u8>,
        size: usize,
        consume: impl FnOnce(&[Message]) -> Result<T, String>,
    ) -> Result<T, String> {
        let mut room = ROOM.take().unwrap_or_default();
        room.hold(batches);
        let split = split(&room.bytes, size, Message::packed, &mut room.messages);
        let answer = split.and_then(|()| consume(&room.messages));
        room.messages.clear();
        room.hold(Vec::new());
        ROOM.set(Some(room));
        answer
    }

    /// Lends the messages of batches one after the other: each takes the place of the one before it.
    ///
    /// # Errors
    /// What `consume` returns.
    pub(crate) fn with_each<T>(
        batches: Vec<u8>,
        consume: impl FnOnce(&mut Each) -> Result<T, String>,
    ) -> Result<T, String> {
        let mut room = ROOM.take().unwrap_or_default();
        room.hold(batches);
        let answer = consume(&mut Each::new(&room.bytes));
        room.hold(Vec::new());
        ROOM.set(Some(room));
        answer
    }

    /// Holds these bytes, of which there are no messages yet.
    fn hold(&mut self, bytes: Vec<u8>) {
        match Arc::get_mut(&mut self.bytes) {
            Some(place) => *place = bytes,
            None => self.bytes = Arc::new(bytes),
        }
    }
}

/// Messages that lie behind one another, of which one is there at a time.
pub(crate) struct Each {
    message: Message,
    /// How many there have been.
    number: usize,
}

impl Each {
    fn new(batch: &Arc<Vec<u8>>) -> Self {
        Self { message: Message::packed(Packed::new(batch, 0, 0, 0)), number: 0 }
    }

    /// The next one, of this place in its batch; none at the end.
    ///
    /// # Errors
    /// What is there is no whole message, in words.
    pub(crate) fn next(&mut self, index: u32) -> Result<Option<&Message>, String> {
        let Some(packed) = self.message.as_packed() else { return Ok(None) };
        let left = packed.batch.get(packed.end..).unwrap_or_default();
        if left.is_empty() {
            return Ok(None);
        }
        let size = size_of_first(left, self.number)?;
        (packed.start, packed.end, packed.index) = (packed.end, packed.end + size, index);
        packed.offset_message_id.take();
        self.number += 1;
        Ok(Some(&self.message))
    }
}

/// How long the first message of these bytes is.
///
/// # Errors
/// They do not begin with a whole one, in words, with its number.
fn size_of_first(bytes: &[u8], number: usize) -> Result<usize, String> {
    let size = usize::try_from(u32_at(bytes, 0)).unwrap_or(usize::MAX);
    if (MIN_SIZE..=bytes.len()).contains(&size) {
        return Ok(size);
    }
    let left = bytes.len();
    Err(format!("message {number} of the batch is said to have {size} bytes, where {left} are left"))
}

/// Puts the messages of batches of this size into `messages`, each made of its bytes, which stay where they are.
///
/// # Errors
/// The bytes are not whole messages one after the other, in words.
fn split<M>(
    batch: &Arc<Vec<u8>>,
    batch_size: usize,
    make: impl Fn(Packed) -> M,
    messages: &mut Vec<M>,
) -> Result<(), String> {
    // Messages of one batch are much alike.
    let first = usize::try_from(u32_at(batch, 0)).unwrap_or(usize::MAX);
    messages.reserve(batch.len() / first.max(MIN_SIZE));
    let (mut start, mut index) = (0, 0);
    while start < batch.len() {
        let size = size_of_first(batch.get(start..).unwrap_or_default(), messages.len())?;
        let end = start + size;
        messages.push(make(Packed::new(batch, start, end, u32::try_from(index).unwrap_or(u32::MAX))));
        start = end;
        index = if index + 1 < batch_size { index + 1 } else { 0 };
    }
    Ok(())
}

impl Packed {
    fn new(batch: &Arc<Vec<u8>>, start: usize, end: usize, index: u32) -> Self {
        Self { batch: Arc::clone(batch), start, end, index, offset_message_id: OnceLock::new() }
    }

    fn record(&self) -> &[u8] {
        self.batch.get(self.start..self.end).unwrap_or_default()
    }

    fn system_flag(&self) -> u32 {
        u32_at(self.record(), SYSTEM_FLAG)
    }

    /// Where the store timestamp lies: behind the born host, of 4 or 16 bytes and a port.
    fn store_timestamp_at(&self) -> usize {
        BORN_HOST + host_length(self.system_flag() & BORN_HOST_V6 != 0)
    }

    /// Where the reconsume times lie: behind the store host.
    fn reconsume_times_at(&self) -> usize {
        self.store_timestamp_at() + 8 + host_length(self.system_flag() & STORE_HOST_V6 != 0)
    }

    /// The body, and where it ends.
    fn body_and_end(&self) -> (&[u8], usize) {
        // Behind the reconsume times and the prepared transaction offset.
        let at = self.reconsume_times_at() + 4 + 8;
        part(self.record(), at, u32_at(self.record(), at), 4)
    }

    pub(crate) fn body(&self) -> &[u8] {
        self.body_and_end().0
    }

    fn properties_bytes(&self) -> &[u8] {
        let (record, (_, at)) = (self.record(), self.body_and_end());
        let (_, end) = match u32_at(record, MAGIC) {
            MAGIC_V2 => part(record, at, u32::from(u16_at(record, at)), 2),
            _ => part(record, at, u32::from(record.get(at).copied().unwrap_or_default()), 1),
        };
        part(record, end, u32::from(u16_at(record, end)), 2).0
    }

    /// Names and values as they are, without those that lack either.
    fn entries(&self) -> impl DoubleEndedIterator<Item = (&[u8], &[u8])> {
        self.properties_bytes().split(|&byte| byte == PROPERTY_SEPARATOR).filter_map(|entry| {
            let middle = entry.iter().position(|&byte| byte == NAME_VALUE_SEPARATOR)?;
            let (name, value) = (entry.get(..middle)?, entry.get(middle + 1..)?);
            (!name.is_empty() && !value.is_empty()).then_some((name, value))
        })
    }

    /// Every property that is text, in the order of the wire.
    pub(crate) fn properties(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries().filter_map(|(name, value)| {
            Some((std::str::from_utf8(name).ok()?, std::str::from_utf8(value).ok()?))
        })
    }

    pub(crate) fn user_properties(&self) -> impl Iterator<Item = (&str, &str)> {
        self.properties().filter(|(name, _)| !SYSTEM_PROPERTIES.contains(name))
    }

    /// The value of a property; the last one where the name comes twice.
    pub(crate) fn property(&self, name: &str) -> Option<&str> {
        let found = self.entries().rev().find(|(known, _)| *known == name.as_bytes());
        found.and_then(|(_, value)| std::str::from_utf8(value).ok())
    }

    pub(crate) fn message_id(&self) -> &str {
        let offset_id = || self.offset_message_id.get_or_init(|| self.offset_message_id()).as_str();
        self.property("UNIQ_KEY").unwrap_or_else(offset_id)
    }

    pub(crate) fn reconsume_times(&self) -> u32 {
        positive(u32_at(self.record(), self.reconsume_times_at()))
    }

    pub(crate) fn queue_offset(&self) -> u64 {
        positive_long(u64_at(self.record(), QUEUE_OFFSET))
    }

    pub(crate) fn born_timestamp(&self) -> u64 {
        positive_long(u64_at(self.record(), BORN_TIMESTAMP))
    }

    pub(crate) fn store_timestamp(&self) -> u64 {
        positive_long(u64_at(self.record(), self.store_timestamp_at()))
    }

    pub(crate) fn born_host(&self) -> Option<SocketAddr> {
        host(self.record(), BORN_HOST, self.system_flag() & BORN_HOST_V6 != 0)
    }

    pub(crate) fn store_host(&self) -> Option<SocketAddr> {
        host(self.record(), self.store_timestamp_at() + 8, self.system_flag() & STORE_HOST_V6 != 0)
    }

    /// The id that names broker and commit-log offset, in hexadecimal (RocketMQ: MessageDecoder.createMessageId).
    pub(crate) fn offset_message_id(&self) -> String {
        use std::fmt::Write as _;
        let mut id = String::with_capacity(56);
        let Some(host) = self.store_host() else { return id };
        // Writing to a string does not fail.
        let _ = match host.ip() {
            IpAddr::V4(ip) => write!(id, "{:08X}", u32::from(ip)),
            IpAddr::V6(ip) => write!(id, "{:032X}", u128::from(ip)),
        };
        let _ = write!(id, "{:08X}{:016X}", host.port(), u64_at(self.record(), PHYSICAL_OFFSET));
        id
    }
}

fn host_length(v6: bool) -> usize {
    if v6 { 16 + 4 } else { 4 + 4 }
}

/// Address and port, of which the low 16 bits count.
fn host(record: &[u8], at: usize, v6: bool) -> Option<SocketAddr> {
    let ip = match v6 {
        true => IpAddr::from(*record.get(at..)?.first_chunk::<16>()?),
        false => IpAddr::from(*record.get(at..)?.first_chunk::<4>()?),
    };
    let [_, _, high, low] = *record.get(at + host_length(v6) - 4..)?.first_chunk::<4>()?;
    Some(SocketAddr::new(ip, u16::from_be_bytes([high, low])))
}

/// The part at `at`, whose length of `prefix` bytes comes before it, and where it ends.
fn part(record: &[u8], at: usize, length: u32, prefix: usize) -> (&[u8], usize) {
    let start = at.saturating_add(prefix);
    let end = start.saturating_add(usize::try_from(length).unwrap_or(usize::MAX));
    (record.get(start..end).unwrap_or_default(), end)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |chunk| u16::from_be_bytes(*chunk))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |chunk| u32::from_be_bytes(*chunk))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |chunk| u64::from_be_bytes(*chunk))
}

/// RocketMQ's numbers have a sign; a negative one counts as 0.
fn positive(number: u32) -> u32 {
    i32::try_from(number).map_or(0, i32::unsigned_abs)
}

fn positive_long(number: u64) -> u64 {
    i64::try_from(number).map_or(0, i64::unsigned_abs)
}

#[cfg(test)]
#[path = "packed_tests.rs"]
mod tests;
