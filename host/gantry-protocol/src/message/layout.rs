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
pub(crate) const MIN_RECORD: usize = 91;

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

/// The fixed fields of a record and where its variable parts lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fields {
    pub(crate) version_2: bool,
    pub(crate) body_crc: i32,
    pub(crate) queue_id: i32,
    pub(crate) flag: i32,
    pub(crate) queue_offset: i64,
    pub(crate) physical_offset: i64,
    pub(crate) sys_flag: i32,
    pub(crate) born_timestamp: i64,
    pub(crate) born_host: SocketAddr,
    pub(crate) store_timestamp: i64,
    pub(crate) store_host: SocketAddr,
    pub(crate) reconsume_times: i32,
    pub(crate) prepared_transaction_offset: i64,
    pub(crate) body: Span,
    pub(crate) topic: Span,
    pub(crate) properties: Span,
}

/// A part of a record, in bytes from its start; records are shorter than 4 GiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Span {
    pub(crate) fn of(self, record: &[u8]) -> &[u8] {
        record.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    pub(crate) fn new(start: usize, length: usize) -> Option<Self> {
        let end = start.checked_add(length)?;
        Some(Self { start: u32::try_from(start).ok()?, end: u32::try_from(end).ok()? })
    }
}

/// The size of the record at the start of `bytes`, checked against what is there.
pub(crate) fn record_size(bytes: &[u8], at: usize) -> Result<usize, MessageError> {
    let available = bytes.len();
    let claimed = bytes.first_chunk::<4>().map_or(0, |size| i64::from(i32::from_be_bytes(*size)));
    let bad = MessageError::BadSize { at, size: claimed, available };
    let size = usize::try_from(claimed).map_err(|_| bad.clone())?;
    if size < MIN_RECORD || size > available { Err(bad) } else { Ok(size) }
}

/// Reads one record, in one pass; `record` is exactly as long as its size field says.
pub(crate) fn parse(record: &[u8], at: usize) -> Result<Fields, MessageError> {
    let mut reader = Reader::new(record);
    let short = |part| MessageError::BadLength { at, part };
    let head = "fixed fields";
    reader.take(4).ok_or(short(head))?;
    let magic = reader.i32().ok_or(short(head))?;
    if magic != MAGIC_V1 && magic != MAGIC_V2 {
        return Err(MessageError::BadMagic { at, magic });
    }
    let body_crc = reader.i32().ok_or(short(head))?;
    let queue_id = reader.i32().ok_or(short(head))?;
    let flag = reader.i32().ok_or(short(head))?;
    let queue_offset = reader.i64().ok_or(short(head))?;
    let physical_offset = reader.i64().ok_or(short(head))?;
    let sys_flag = reader.i32().ok_or(short(head))?;
    let born_timestamp = reader.i64().ok_or(short(head))?;
    let born_host = host(&mut reader, sys_flag & BORN_HOST_V6 != 0).ok_or(short("born host"))?;
    let store_timestamp = reader.i64().ok_or(short(head))?;
    let store_host = host(&mut reader, sys_flag & STORE_HOST_V6 != 0).ok_or(short("store host"))?;
    let reconsume_times = reader.i32().ok_or(short(head))?;
    let prepared_transaction_offset = reader.i64().ok_or(short(head))?;

    let body = reader.i32().and_then(|length| part(&mut reader, record, length)).ok_or(short("body"))?;
    let version_2 = magic == MAGIC_V2;
    let topic_length =
        if version_2 { reader.i16().map(i32::from) } else { reader.u8().map(|l| i32::from(l as i8)) };
    let topic = topic_length.and_then(|length| part(&mut reader, record, length)).ok_or(short("topic"))?;
    std::str::from_utf8(topic.of(record)).map_err(|_| MessageError::TopicNotUtf8 { at })?;
    let length = reader.i16().map(i32::from);
    let properties =
        length.and_then(|length| part(&mut reader, record, length)).ok_or(short("properties"))?;
    if reader.remaining() > 0 {
        return Err(short("whole"));
    }
    Ok(Fields {
        version_2,
        body_crc,
        queue_id,
        flag,
        queue_offset,
        physical_offset,
        sys_flag,
        born_timestamp,
        born_host,
        store_timestamp,
        store_host,
        reconsume_times,
        prepared_transaction_offset,
        body,
        topic,
        properties,
    })
}

fn part(reader: &mut Reader<'_>, record: &[u8], length: i32) -> Option<Span> {
    let length = usize::try_from(length).ok()?;
    let start = record.len() - reader.remaining();
    reader.take(length)?;
    Span::new(start, length)
}

/// Address and port; a port beyond 16 bits reads as its low bits, since nothing depends on it.
fn host(reader: &mut Reader<'_>, v6: bool) -> Option<SocketAddr> {
    let ip = if v6 {
        IpAddr::from(Ipv6Addr::from(reader.array::<16>()?))
    } else {
        IpAddr::from(Ipv4Addr::from(reader.array::<4>()?))
    };
    let [_, _, high, low] = reader.array::<4>()?;
    Some(SocketAddr::new(ip, u16::from_be_bytes([high, low])))
}
