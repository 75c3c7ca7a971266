use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::reader::Reader;
use crate::sys_flag::{BORN_HOST_V6, STORE_HOST_V6};

/// Magic of a record whose topic length has 8 bits.
pub const MAGIC_V1: i32 = 0xDAA3_20A7_u32 as i32;
/// Magic of a record whose topic length has 16 bits.
pub const MAGIC_V2: i32 = 0xDAA3_20AB_u32 as i32;
/// Magic of the filler at the end of a commit-log file.
pub const MAGIC_BLANK: i32 = 0xCBD4_3194_u32 as i32;

/// Bytes of the shortest record: version 1, IPv4 hosts, nothing in it.
pub(super) const MIN_RECORD: usize = 91;

/// A stored record that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// The record's size does not fit what is left; the walk cannot go on.
    #[error("record at byte {at} claims {size} bytes, {available} are left and {MIN_RECORD} the least")]
    BadSize {
        /// Where the record starts.
        at: usize,
        /// Its size field.
        size: i64,
        /// Bytes from there to the end.
        available: usize,
    },
    /// The magic is that of no message.
    #[error("record at byte {at} has magic {magic:#010x}, which is that of no message")]
    BadMagic {
        /// Where the record starts.
        at: usize,
        /// Its magic.
        magic: i32,
    },
    /// The lengths inside the record do not add up to its size.
    #[error("record at byte {at}: the length of its {part} does not fit")]
    BadLength {
        /// Where the record starts.
        at: usize,
        /// The part.
        part: &'static str,
    },
    /// The topic is not UTF-8.
    #[error("record at byte {at}: its topic is not UTF-8")]
    TopicNotUtf8 {
        /// Where the record starts.
        at: usize,
    },
}

/// Where the fields before the hosts lie, and the first of the hosts.
pub(super) const MAGIC: usize = 4;
pub(super) const BODY_CRC: usize = 8;
pub(super) const QUEUE_ID: usize = 12;
pub(super) const FLAG: usize = 16;
pub(super) const QUEUE_OFFSET: usize = 20;
pub(super) const PHYSICAL_OFFSET: usize = 28;
pub(super) const SYS_FLAG: usize = 36;
pub(super) const BORN_TIMESTAMP: usize = 40;
pub(super) const BORN_HOST: usize = 48;
/// Bytes of the length field of the body.
pub(super) const BODY_LENGTH: usize = 4;
/// Bytes of the length field of the properties.
const PROPERTIES_LENGTH: usize = 2;

/// Where the variable parts of a record lie. Everything else is at a place that its flags tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parts {
    body_end: u32,
    properties_start: u32,
}

impl Parts {
    pub(super) fn body(self, record: &[u8]) -> Span {
        Span { start: (head_length(record) + BODY_LENGTH) as u32, end: self.body_end }
    }

    pub(super) fn topic(self, record: &[u8]) -> Span {
        let start = self.body_end + topic_length_size(record) as u32;
        Span { start, end: self.properties_start - PROPERTIES_LENGTH as u32 }
    }

    pub(super) fn properties(self, record: &[u8]) -> Span {
        Span { start: self.properties_start, end: record.len() as u32 }
    }
}

/// Bytes before the length of the body when both hosts are IPv4.
const V4_HEAD: usize = 84;

/// A part of a record, in bytes from its start; records are shorter than 4 GiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) end: u32,
}

impl Span {
    pub(super) fn of(self, record: &[u8]) -> &[u8] {
        record.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    pub(super) fn new(start: usize, length: usize) -> Option<Self> {
        let end = start.checked_add(length)?;
        Some(Self { start: u32::try_from(start).ok()?, end: u32::try_from(end).ok()? })
    }
}

/// The size of the record at the start of `bytes`, checked against what is there.
pub(super) fn record_size(bytes: &[u8], at: usize) -> Result<usize, MessageError> {
    let available = bytes.len();
    let claimed = bytes.first_chunk::<4>().map_or(0, |size| i64::from(i32::from_be_bytes(*size)));
    let bad = MessageError::BadSize { at, size: claimed, available };
    let size = usize::try_from(claimed).map_err(|_| bad.clone())?;
    if size < MIN_RECORD || size > available { Err(bad) } else { Ok(size) }
}

/// Finds the parts of one record; `record` is exactly as long as its size field says.
pub(super) fn parse(record: &[u8], at: usize) -> Result<Parts, MessageError> {
    let short = |part| MessageError::BadLength { at, part };
    // Its size is known here, so that no read of it is checked again.
    let head = record.first_chunk::<V4_HEAD>().ok_or(short("fixed fields"))?;
    let magic = i32_at(head, MAGIC);
    if magic != MAGIC_V1 && magic != MAGIC_V2 {
        return Err(MessageError::BadMagic { at, magic });
    }
    let mut reader = Reader::new(record);
    reader.take(head_length(head)).ok_or(short("fixed fields"))?;
    let length = reader.i32().ok_or(short("body"))?;
    let body = part(&mut reader, record, length).ok_or(short("body"))?;
    let length = match topic_length_size(head) {
        1 => reader.u8().map(|length| i32::from(length as i8)),
        _ => reader.i16().map(i32::from),
    };
    let topic = length.and_then(|length| part(&mut reader, record, length)).ok_or(short("topic"))?;
    let name = topic.of(record);
    if !name.is_ascii() {
        std::str::from_utf8(name).map_err(|_| MessageError::TopicNotUtf8 { at })?;
    }
    let length = reader.i16().map(i32::from);
    let properties =
        length.and_then(|length| part(&mut reader, record, length)).ok_or(short("properties"))?;
    if reader.remaining() > 0 {
        return Err(short("whole"));
    }
    Ok(Parts { body_end: body.end, properties_start: properties.start })
}

#[inline]
fn part(reader: &mut Reader<'_>, record: &[u8], length: i32) -> Option<Span> {
    let length = usize::try_from(length).ok()?;
    let start = record.len() - reader.remaining();
    reader.take(length)?;
    Span::new(start, length)
}

/// A field of a record that has been parsed, which is long enough for it.
#[inline]
pub(super) fn i32_at(record: &[u8], place: usize) -> i32 {
    let field = record.get(place..).and_then(|rest| rest.first_chunk());
    field.map_or(0, |field| i32::from_be_bytes(*field))
}

/// As [`i32_at`].
#[inline]
pub(super) fn i64_at(record: &[u8], place: usize) -> i64 {
    let field = record.get(place..).and_then(|rest| rest.first_chunk());
    field.map_or(0, |field| i64::from_be_bytes(*field))
}

/// Bytes of the fields before the length of the body.
#[inline]
fn head_length(record: &[u8]) -> usize {
    prepared_transaction_offset_at(record) + 8
}

#[inline]
fn topic_length_size(record: &[u8]) -> usize {
    if is_version_2(record) { 2 } else { 1 }
}

/// Whether the record is of version 2.
#[inline]
pub(super) fn is_version_2(record: &[u8]) -> bool {
    i32_at(record, MAGIC) == MAGIC_V2
}

#[inline]
fn host_length(record: &[u8], v6: i32) -> usize {
    if i32_at(record, SYS_FLAG) & v6 == 0 { 8 } else { 20 }
}

#[inline]
pub(super) fn store_timestamp_at(record: &[u8]) -> usize {
    BORN_HOST + host_length(record, BORN_HOST_V6)
}

#[inline]
fn store_host_at(record: &[u8]) -> usize {
    store_timestamp_at(record) + 8
}

#[inline]
pub(super) fn reconsume_times_at(record: &[u8]) -> usize {
    store_host_at(record) + host_length(record, STORE_HOST_V6)
}

#[inline]
pub(super) fn prepared_transaction_offset_at(record: &[u8]) -> usize {
    reconsume_times_at(record) + 4
}

/// Where the producer was.
pub(super) fn born_host(record: &[u8]) -> SocketAddr {
    host(record, BORN_HOST, BORN_HOST_V6)
}

/// Where the broker is.
pub(super) fn store_host(record: &[u8]) -> SocketAddr {
    host(record, store_host_at(record), STORE_HOST_V6)
}

/// Address and port; a port beyond 16 bits reads as its low bits, since nothing depends on it.
fn host(record: &[u8], place: usize, v6: i32) -> SocketAddr {
    let rest = record.get(place..).unwrap_or_default();
    let (ip, port) = if host_length(record, v6) == 8 {
        let ip = rest.first_chunk::<4>().copied().unwrap_or_default();
        (IpAddr::from(Ipv4Addr::from(ip)), i32_at(rest, 4))
    } else {
        let ip = rest.first_chunk::<16>().copied().unwrap_or_default();
        (IpAddr::from(Ipv6Addr::from(ip)), i32_at(rest, 16))
    };
    SocketAddr::new(ip, port as u16)
}
