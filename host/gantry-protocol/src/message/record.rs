use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use bytes::{BufMut, Bytes, BytesMut};

use super::ext::MessageExt;
use super::layout::{MAGIC_V1, MAGIC_V2};
use crate::batch::BatchItem;
use crate::properties::MAX_PROPERTIES;
use crate::sys_flag::{BORN_HOST_V6, STORE_HOST_V6};

/// One stored message in owned parts, for whoever stores messages (RocketMQ: MessageExtBrokerInner).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageRecord {
    /// The topic; more than 127 bytes make a record of version 2.
    pub topic: String,
    /// The queue.
    pub queue_id: i32,
    /// The sender's own flag.
    pub flag: i32,
    /// Position in the queue.
    pub queue_offset: i64,
    /// Position in the commit log.
    pub physical_offset: i64,
    /// Bits of [`crate::sys_flag`]; those of the hosts' address families are set by the encoder.
    pub sys_flag: i32,
    /// When the message was made, in milliseconds since the epoch.
    pub born_timestamp: i64,
    /// Where it was made.
    pub born_host: SocketAddr,
    /// When it was stored, in milliseconds since the epoch.
    pub store_timestamp: i64,
    /// The broker's address.
    pub store_host: SocketAddr,
    /// How often it came back from a listener.
    pub reconsume_times: i32,
    /// Offset of the prepared message of a transaction, else 0.
    pub prepared_transaction_offset: i64,
    /// The body as it is stored.
    pub body: Bytes,
    /// The properties' text, as in [`crate::properties`].
    pub properties: Bytes,
}

/// A message that does not fit the layout.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// A part is longer than its length field can say.
    #[error("{part} of {length} bytes does not fit a record: at most {max}")]
    TooLong {
        /// `body`, `topic`, `properties` or `whole record`.
        part: &'static str,
        /// Its length in bytes.
        length: usize,
        /// The most that fits.
        max: usize,
    },
}

impl Default for MessageRecord {
    fn default() -> Self {
        let nowhere = SocketAddr::new(IpAddr::from(Ipv4Addr::UNSPECIFIED), 0);
        Self {
            topic: String::new(),
            queue_id: 0,
            flag: 0,
            queue_offset: 0,
            physical_offset: 0,
            sys_flag: 0,
            born_timestamp: 0,
            born_host: nowhere,
            store_timestamp: 0,
            store_host: nowhere,
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body: Bytes::new(),
            properties: Bytes::new(),
        }
    }
}

impl From<&MessageExt> for MessageRecord {
    fn from(message: &MessageExt) -> Self {
        Self {
            topic: message.topic().to_owned(),
            queue_id: message.queue_id(),
            flag: message.flag(),
            queue_offset: message.queue_offset(),
            physical_offset: message.physical_offset(),
            sys_flag: message.sys_flag(),
            born_timestamp: message.born_timestamp(),
            born_host: message.born_host(),
            store_timestamp: message.store_timestamp(),
            store_host: message.store_host(),
            reconsume_times: message.reconsume_times(),
            prepared_transaction_offset: message.prepared_transaction_offset(),
            body: message.shared(message.stored_body()),
            properties: message.shared(message.properties_bytes()),
        }
    }
}

/// Checksum of a stored body: CRC-32 with the top bit cleared.
pub(super) fn body_crc(body: &[u8]) -> i32 {
    (crc32fast::hash(body) & 0x7FFF_FFFF) as i32
}

fn host_length(host: SocketAddr) -> usize {
    if host.is_ipv4() { 8 } else { 20 }
}

fn checked(part: &'static str, length: usize, max: usize) -> Result<(), RecordError> {
    if length > max { Err(RecordError::TooLong { part, length, max }) } else { Ok(()) }
}

/// Bytes of a record before its body, with hosts of the longer family.
const LONGEST_HEAD: usize = 5 * 4 + 2 * 8 + 4 + 2 * (8 + 20) + 4 + 8 + 4;

impl MessageRecord {
    /// Bytes the record takes when stored.
    pub fn encoded_len(&self) -> usize {
        self.encoded_len_of(self.as_item())
    }

    /// Bytes [`Self::encode_item`] appends.
    pub fn encoded_len_of(&self, item: BatchItem<'_>) -> usize {
        let topic_length = if self.is_version_2() { 2 } else { 1 };
        let hosts = host_length(self.born_host) + host_length(self.store_host);
        68 + hosts + 4 + item.body.len() + topic_length + self.topic.len() + 2 + item.properties.len()
    }

    /// What an item of a batch would have of it.
    pub fn as_item(&self) -> BatchItem<'_> {
        BatchItem { flag: self.flag, body: &self.body, properties: &self.properties }
    }

    fn is_version_2(&self) -> bool {
        self.topic.len() > i8::MAX as usize
    }

    /// Appends the record to `out`, with the checksum of the body.
    ///
    /// # Errors
    /// A part is longer than its length field can say; `out` is then as it was.
    pub fn encode(&self, out: &mut BytesMut) -> Result<(), RecordError> {
        self.encode_item(self.as_item(), out)
    }

    /// The same for an item of a batch: with its flag, body and properties in place of the record's.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn encode_item(&self, item: BatchItem<'_>, out: &mut BytesMut) -> Result<(), RecordError> {
        checked("body", item.body.len(), i32::MAX as usize)?;
        checked("topic", self.topic.len(), i16::MAX as usize)?;
        checked("properties", item.properties.len(), MAX_PROPERTIES)?;
        let length = self.encoded_len_of(item);
        checked("whole record", length, i32::MAX as usize)?;
        out.reserve(length);
        let mut head = [0; LONGEST_HEAD];
        let rest = self.put_head(item, length, &mut head);
        out.extend_from_slice(head.get(..LONGEST_HEAD - rest).unwrap_or_default());
        out.extend_from_slice(item.body);
        if self.is_version_2() {
            out.put_i16(self.topic.len() as i16);
        } else {
            out.put_u8(self.topic.len() as u8);
        }
        out.extend_from_slice(self.topic.as_bytes());
        out.put_i16(item.properties.len() as i16);
        out.extend_from_slice(item.properties);
        Ok(())
    }

    /// Writes what is before the body; answers how many bytes are left.
    fn put_head(&self, item: BatchItem<'_>, length: usize, mut out: &mut [u8]) -> usize {
        out.put_i32(length as i32);
        out.put_i32(if self.is_version_2() { MAGIC_V2 } else { MAGIC_V1 });
        out.put_i32(body_crc(item.body));
        out.put_i32(self.queue_id);
        out.put_i32(item.flag);
        out.put_i64(self.queue_offset);
        out.put_i64(self.physical_offset);
        out.put_i32(self.stored_sys_flag());
        out.put_i64(self.born_timestamp);
        put_host(self.born_host, &mut out);
        out.put_i64(self.store_timestamp);
        put_host(self.store_host, &mut out);
        out.put_i32(self.reconsume_times);
        out.put_i64(self.prepared_transaction_offset);
        out.put_i32(item.body.len() as i32);
        out.len()
    }

    fn stored_sys_flag(&self) -> i32 {
        let born = if self.born_host.is_ipv6() { BORN_HOST_V6 } else { 0 };
        let store = if self.store_host.is_ipv6() { STORE_HOST_V6 } else { 0 };
        self.sys_flag & !(BORN_HOST_V6 | STORE_HOST_V6) | born | store
    }
}

pub(super) fn put_host(host: SocketAddr, out: &mut impl BufMut) {
    match host.ip() {
        IpAddr::V4(ip) => out.put_slice(&ip.octets()),
        IpAddr::V6(ip) => out.put_slice(&ip.octets()),
    }
    out.put_i32(i32::from(host.port()));
}
