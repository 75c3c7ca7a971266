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

/// Bytes before the length of the body when both hosts are IPv4.
const V4_HEAD: usize = 84;

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
    pub(crate) head: Head,
    pub(crate) body: Span,
    pub(crate) topic: Span,
    pub(crate) properties: Span,
}

/// The fields before the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
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
    // Nearly every record has IPv4 hosts. Its head then has a fixed size, known here, so that no read of it is
    // checked again.
    if let Some(head) = record.first_chunk::<V4_HEAD>()
        && Reader::new(&head[36..40]).i32().is_some_and(|flags| flags & (BORN_HOST_V6 | STORE_HOST_V6) == 0)
    {
        return parse_tail(record, at, V4_HEAD, head_of(&mut Reader::new(head), at)?);
    }
    let mut reader = Reader::new(record);
    let head = head_of(&mut reader, at)?;
    parse_tail(record, at, record.len() - reader.remaining(), head)
}

/// Reads the body, topic and properties that follow the head.
fn parse_tail(record: &[u8], at: usize, head_length: usize, head: Head) -> Result<Fields, MessageError> {
    let short = |part| MessageError::BadLength { at, part };
    let mut reader = Reader::new(record.get(head_length..).unwrap_or_default());
    let body = reader.i32().and_then(|length| part(&mut reader, record, length)).ok_or(short("body"))?;
    let topic_length = if head.version_2 {
        reader.i16().map(i32::from)
    } else {
        reader.u8().map(|length| i32::from(length as i8))
    };
    let topic = topic_length.and_then(|length| part(&mut reader, record, length)).ok_or(short("topic"))?;
    std::str::from_utf8(topic.of(record)).map_err(|_| MessageError::TopicNotUtf8 { at })?;
    let length = reader.i16().map(i32::from);
    let properties =
        length.and_then(|length| part(&mut reader, record, length)).ok_or(short("properties"))?;
    if reader.remaining() > 0 {
        return Err(short("whole"));
    }
    Ok(Fields { head, body, topic, properties })
}

/// Reads the fields before the body.
#[inline(always)]
fn head_of(reader: &mut Reader<'_>, at: usize) -> Result<Head, MessageError> {
    let short = MessageError::BadLength { at, part: "fixed fields" };
    let magic = reader.take(4).and_then(|_| reader.i32());
    let Some(magic) = magic else { return Err(short) };
    if magic != MAGIC_V1 && magic != MAGIC_V2 {
        return Err(MessageError::BadMagic { at, magic });
    }
    fixed_fields(reader, magic == MAGIC_V2).ok_or(short)
}

#[inline(always)]
fn fixed_fields(reader: &mut Reader<'_>, version_2: bool) -> Option<Head> {
    let body_crc = reader.i32()?;
    let queue_id = reader.i32()?;
    let flag = reader.i32()?;
    let queue_offset = reader.i64()?;
    let physical_offset = reader.i64()?;
    let sys_flag = reader.i32()?;
    Some(Head {
        version_2,
        body_crc,
        queue_id,
        flag,
        queue_offset,
        physical_offset,
        sys_flag,
        born_timestamp: reader.i64()?,
        born_host: host(reader, sys_flag & BORN_HOST_V6 != 0)?,
        store_timestamp: reader.i64()?,
        store_host: host(reader, sys_flag & STORE_HOST_V6 != 0)?,
        reconsume_times: reader.i32()?,
        prepared_transaction_offset: reader.i64()?,
    })
}

fn part(reader: &mut Reader<'_>, record: &[u8], length: i32) -> Option<Span> {
    let length = usize::try_from(length).ok()?;
    let start = record.len() - reader.remaining();
    reader.take(length)?;
    Span::new(start, length)
}

/// Address and port; a port beyond 16 bits reads as its low bits, since nothing depends on it.
#[inline(always)]
fn host(reader: &mut Reader<'_>, v6: bool) -> Option<SocketAddr> {
    let ip = if v6 {
        IpAddr::from(Ipv6Addr::from(reader.array::<16>()?))
    } else {
        IpAddr::from(Ipv4Addr::from(reader.array::<4>()?))
    };
    let [_, _, high, low] = reader.array::<4>()?;
    Some(SocketAddr::new(ip, u16::from_be_bytes([high, low])))
}
