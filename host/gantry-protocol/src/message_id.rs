//! Message ids: the broker's offset id and the producer's unique key.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering};

/// Text that is not a message id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a message id: {expected} are expected")]
pub struct MessageIdError {
    text: String,
    expected: &'static str,
}

/// The offset message id: store host and commit-log offset in hexadecimal, 32 or 56 characters
/// (RocketMQ: MessageDecoder.createMessageId).
pub fn offset_msg_id(store_host: SocketAddr, physical_offset: i64) -> String {
    offset_msg_ids(store_host, [physical_offset])
}

/// The ids of several messages, joined by commas, as the answer to a batch has them.
pub fn offset_msg_ids(
    store_host: SocketAddr,
    physical_offsets: impl IntoIterator<Item = i64, IntoIter: ExactSizeIterator>,
) -> String {
    let mut host = String::with_capacity(40);
    match store_host.ip() {
        IpAddr::V4(ip) => push_hex(&ip.octets(), &mut host),
        IpAddr::V6(ip) => push_hex(&ip.octets(), &mut host),
    }
    push_hex(&u32::from(store_host.port()).to_be_bytes(), &mut host);
    let offsets = physical_offsets.into_iter();
    let mut ids = String::with_capacity(offsets.len() * (host.len() + 17));
    for offset in offsets {
        if !ids.is_empty() {
            ids.push(',');
        }
        ids.push_str(&host);
        push_hex(&offset.to_be_bytes(), &mut ids);
    }
    ids
}

fn push_hex<const N: usize>(bytes: &[u8; N], text: &mut String) {
    let digit = |nibble: u8| char::from(if nibble < 10 { b'0' + nibble } else { b'A' + nibble - 10 });
    text.extend(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
}

/// Store host and commit-log offset of an offset message id.
///
/// # Errors
/// The text is not 32 or 56 hexadecimal characters, or its port is above 65535.
pub fn parse_offset_msg_id(text: &str) -> Result<(SocketAddr, i64), MessageIdError> {
    let error = || MessageIdError { text: shortened(text), expected: "32 or 56 hexadecimal characters" };
    let (ip, rest) = parse_ip(text, 12).ok_or_else(error)?;
    let (port, offset) = rest.split_first_chunk::<4>().ok_or_else(error)?;
    let port = u16::try_from(u32::from_be_bytes(*port)).map_err(|_| error())?;
    let offset = offset.first_chunk::<8>().ok_or_else(error)?;
    Ok((SocketAddr::new(ip, port), i64::from_be_bytes(*offset)))
}

fn shortened(text: &str) -> String {
    text.chars().take(64).collect()
}

/// Decodes hexadecimal text of an address and `rest` further bytes.
fn parse_ip(text: &str, rest: usize) -> Option<(IpAddr, Vec<u8>)> {
    if text.len() != 2 * (4 + rest) && text.len() != 2 * (16 + rest) {
        return None;
    }
    let bytes = hex::decode(text).ok()?;
    let (ip, tail) = if bytes.len() == 4 + rest {
        let (ip, tail) = bytes.split_first_chunk::<4>()?;
        (IpAddr::from(Ipv4Addr::from(*ip)), tail)
    } else {
        let (ip, tail) = bytes.split_first_chunk::<16>()?;
        (IpAddr::from(Ipv6Addr::from(*ip)), tail)
    };
    Some((ip, tail.to_vec()))
}

/// The parts of a unique key (RocketMQ: MessageClientIDSetter), 32 or 56 hexadecimal characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UniqueKey {
    /// The producer's address.
    pub ip: IpAddr,
    /// The low 16 bits of the producer's process id.
    pub pid: u16,
    /// What tells producers in one process apart (Java: hash of the class loader).
    pub discriminator: u32,
    /// Milliseconds since the start of the month in UTC.
    pub month_ms: u32,
    /// Counts messages of the producer; wraps.
    pub counter: u16,
}

impl UniqueKey {
    /// Reads a unique key.
    ///
    /// # Errors
    /// The text is not 32 or 56 hexadecimal characters. Other clients may use any other unique text.
    pub fn parse(text: &str) -> Result<Self, MessageIdError> {
        let error = || MessageIdError { text: shortened(text), expected: "32 or 56 hexadecimal characters" };
        let (ip, rest) = parse_ip(text, 12).ok_or_else(error)?;
        let mut reader = crate::reader::Reader::new(&rest);
        Ok(Self {
            ip,
            pid: reader.array().map(u16::from_be_bytes).ok_or_else(error)?,
            discriminator: reader.array().map(u32::from_be_bytes).ok_or_else(error)?,
            month_ms: reader.array().map(u32::from_be_bytes).ok_or_else(error)?,
            counter: reader.array().map(u16::from_be_bytes).ok_or_else(error)?,
        })
    }

    /// When the key was made, in milliseconds since the epoch: the latest time not after `now_ms` that fits.
    /// The key says only when in a month; keys older than a month read as younger than they are.
    pub fn time_ms(&self, now_ms: u64) -> u64 {
        let month = start_of_month(now_ms);
        let time = month + u64::from(self.month_ms);
        if time <= now_ms { time } else { start_of_month(month.saturating_sub(1)) + u64::from(self.month_ms) }
    }
}

/// The upper-case hexadecimal text that messages carry.
impl std::fmt::Display for UniqueKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.ip {
            IpAddr::V4(ip) => write!(f, "{:08X}", u32::from(ip))?,
            IpAddr::V6(ip) => write!(f, "{:032X}", u128::from(ip))?,
        }
        write!(f, "{:04X}{:08X}{:08X}{:04X}", self.pid, self.discriminator, self.month_ms, self.counter)
    }
}

/// Makes unique keys for the messages of one producer.
#[derive(Debug)]
pub struct UniqueKeyGenerator {
    ip: IpAddr,
    pid: u16,
    discriminator: u32,
    counter: AtomicU16,
}

impl UniqueKeyGenerator {
    /// A generator for one producer. Two producers with the same three values must not send in the same millisecond.
    pub fn new(ip: IpAddr, pid: u16, discriminator: u32) -> Self {
        Self { ip, pid, discriminator, counter: AtomicU16::new(0) }
    }

    /// The key of the next message, sent at `now_ms` (milliseconds since the epoch).
    pub fn next(&self, now_ms: u64) -> UniqueKey {
        let month_ms = now_ms - start_of_month(now_ms);
        UniqueKey {
            ip: self.ip,
            pid: self.pid,
            discriminator: self.discriminator,
            month_ms: u32::try_from(month_ms).unwrap_or(u32::MAX),
            counter: self.counter.fetch_add(1, Ordering::Relaxed),
        }
    }
}

const DAY_MS: u64 = 86_400_000;

/// First millisecond of the month of `now_ms`, in UTC.
fn start_of_month(now_ms: u64) -> u64 {
    let days = now_ms / DAY_MS;
    (days + 1).saturating_sub(day_of_month(days)) * DAY_MS
}

/// Day of the month, from 1, of a day counted from 1970-01-01, in the Gregorian calendar.
/// Counts in eras of 400 years from 0000-03-01, so that the leap day is the last of its year.
fn day_of_month(days: u64) -> u64 {
    let day_of_era = (days + 719_468) % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    day_of_year - (153 * month + 2) / 5 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offset_ids_are_those_of_java() {
        let host: SocketAddr = "127.0.0.1:20911".parse().unwrap();
        assert_eq!(offset_msg_id(host, 0), "7F000001000051AF0000000000000000");
        assert_eq!(offset_msg_id(host, 271), "7F000001000051AF000000000000010F");
        assert_eq!(parse_offset_msg_id("7F000001000051AF000000000000010F").unwrap(), (host, 271));
        let host: SocketAddr = "[2001:db8::1]:10911".parse().unwrap();
        let id = offset_msg_id(host, -1);
        assert_eq!(id, "20010DB800000000000000000000000100002A9FFFFFFFFFFFFFFFFF");
        assert_eq!(parse_offset_msg_id(&id).unwrap(), (host, -1));
    }

    #[test]
    fn other_text_is_no_offset_id() {
        for text in
            ["", "7F", "7F000001000151AF000000000000010F", "ü".repeat(16).as_str(), "Z".repeat(32).as_str()]
        {
            assert!(parse_offset_msg_id(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_captured_unique_key_tells_its_parts_and_time() {
        let text = "C000020226024E0E2F2A760755280000";
        let key = UniqueKey::parse(text).unwrap();
        assert_eq!(key.ip, IpAddr::from([192, 0, 2, 2]));
        assert_eq!(
            (key.pid, key.discriminator, key.month_ms, key.counter),
            (0x2602, 0x4E0E_2F2A, 1_980_192_040, 0)
        );
        assert_eq!(key.to_string(), text);
        // Its message was born at 1795471392040: 23 November 2026.
        assert_eq!(key.time_ms(1_795_471_400_000), 1_795_471_392_040);
        // Asked at the start of December, the key is one of November.
        assert_eq!(key.time_ms(1_796_083_200_000 + 1), 1_795_471_392_040);
    }

    #[test]
    fn keys_of_one_generator_differ_and_carry_the_time() {
        let generator = UniqueKeyGenerator::new("2001:db8::1".parse().unwrap(), 7, 9);
        let now_ms = 1_709_164_800_123; // 29 February 2024
        let (one, two) = (generator.next(now_ms), generator.next(now_ms));
        assert_ne!(one, two);
        assert_eq!(one.to_string().len(), 56);
        assert_eq!(UniqueKey::parse(&two.to_string()).unwrap(), two);
        assert_eq!(two.time_ms(now_ms + 5), now_ms);
    }

    #[test]
    fn months_start_where_the_calendar_says() {
        let cases = [
            (0, 0),
            (2_678_400_000, 2_678_400_000),
            (2_678_399_999, 0),
            (1_709_251_199_999, 1_706_745_600_000),
            (1_709_251_200_000, 1_709_251_200_000),
            (1_795_471_392_040, 1_793_491_200_000),
        ];
        for (now, start) in cases {
            assert_eq!(start_of_month(now), start, "{now}");
        }
    }
}
