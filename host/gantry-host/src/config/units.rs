//! Durations and sizes as people write them: a number, or text with a unit.

use std::fmt;
use std::time::Duration;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

/// A duration: a whole number of milliseconds, or text such as `"500ms"`, `"20s"`, `"15m"`, `"1h"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Millis(pub u64);

impl Millis {
    /// As the standard library's type.
    pub fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

/// A size: a whole number of bytes, or text such as `"64KiB"`, `"100MiB"`, `"1GiB"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

/// A moment, in milliseconds since the Unix epoch: RocketMQ's `"20261126103000"` (consumeTimestamp, yyyyMMddHHmmss) in local
/// time, or RFC 3339 such as `"2026-11-26T10:30:00Z"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// RocketMQ's default of consumeTimestamp.
    pub fn half_an_hour_ago() -> Self {
        let then = jiff::Timestamp::now().as_millisecond() - 30 * 60 * 1000;
        Self(u64::try_from(then).unwrap_or(0))
    }

    fn parse(text: &str) -> Option<Self> {
        let moment = match jiff::civil::DateTime::strptime("%Y%m%d%H%M%S", text) {
            Ok(local) => local.to_zoned(jiff::tz::TimeZone::system()).ok()?.timestamp(),
            Err(_) => text.parse().ok()?,
        };
        u64::try_from(moment.as_millisecond()).ok().map(Self)
    }
}

const TIME_UNITS: &[(&str, u64)] = &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];
const SIZE_UNITS: &[(&str, u64)] = &[("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(split)?;
    let factor = units.iter().find(|(name, _)| *name == unit.trim())?.1;
    number.parse::<u64>().ok()?.checked_mul(factor)
}

struct Quantity {
    units: &'static [(&'static str, u64)],
    expected: &'static str,
}

impl Visitor<'_> for Quantity {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<u64, E> {
        Ok(value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<u64, E> {
        u64::try_from(value)
            .map_err(|_negative| E::invalid_value(serde::de::Unexpected::Signed(value), &self))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<u64, E> {
        parse(value, self.units).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(value), &self))
    }
}

impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "milliseconds as a number, or a duration such as \"500ms\", \"20s\", \"15m\", \"1h\"";
        deserializer.deserialize_any(Quantity { units: TIME_UNITS, expected }).map(Self)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "bytes as a number, or a size such as \"64KiB\", \"100MiB\", \"1GiB\"";
        deserializer.deserialize_any(Quantity { units: SIZE_UNITS, expected }).map(Self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            D::Error::custom(format!(
                "`{text}` is no time, expected yyyyMMddHHmmss such as \"20261126103000\", or RFC 3339 such as \"2026-11-26T10:30:00Z\""
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_as_rocketmq_does_or_by_rfc_3339() {
        assert_eq!(Timestamp::parse("2026-11-26T10:30:00Z"), Some(Timestamp(1_795_689_000_000)));
        assert_eq!(Timestamp::parse("2026-11-26T11:30:00+01:00"), Some(Timestamp(1_795_689_000_000)));
        let local = Timestamp::parse("20261126103000").unwrap();
        assert!(local.0.abs_diff(1_795_689_000_000) <= 14 * 3_600_000, "within a day's zones: {local:?}");
        for wrong in ["", "yesterday", "20261326103000", "2026-11-26", "1969-12-31T23:59:59Z"] {
            assert_eq!(Timestamp::parse(wrong), None, "{wrong}");
        }
    }
}
