//! Points in time and places in a queue, as they are given and shown on the command line.

use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::cli::duration;

/// How a time is given; for help and errors.
pub(crate) const TIME: &str = "2026-11-26T16:00:00Z, without zone or as 20261126160000 local time, -30m for half an hour ago, or @MILLISECONDS since 1970";

/// RocketMQ's yyyyMMddHHmmss, and as many digits as it has: no offset is that long.
const COMPACT: &str = "%Y%m%d%H%M%S";
const COMPACT_DIGITS: usize = 14;

/// A point in time, in milliseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment(pub(crate) i64);

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let moment = if let Some(millis) = text.strip_prefix('@') {
            millis.parse().ok().filter(|millis| *millis >= 0)
        } else if let Some(ago) = text.strip_prefix('-') {
            let ago = duration(ago).ok().and_then(|ago| i64::try_from(ago.as_millis()).ok());
            ago.map(|ago| Timestamp::now().as_millisecond().saturating_sub(ago))
        } else if let Ok(moment) = text.parse::<Timestamp>() {
            Some(moment.as_millisecond())
        } else {
            let local = match is_number(text) {
                true => DateTime::strptime(COMPACT, text).ok().filter(|_| text.len() == COMPACT_DIGITS),
                false => text.parse::<DateTime>().ok(),
            };
            let zoned = local.and_then(|local| local.to_zoned(TimeZone::system()).ok());
            zoned.map(|zoned| zoned.timestamp().as_millisecond())
        };
        moment.map(Self).ok_or_else(|| format!("expected a time: {TIME}"))
    }
}

/// Where in its queues a group shall go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The oldest message there is.
    Begin,
    /// After the newest.
    End,
    /// This offset.
    Offset(i64),
    /// The first message stored at this time or later.
    Time(Moment),
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "begin" => Ok(Self::Begin),
            "end" => Ok(Self::End),
            _ if is_number(text) && text.len() != COMPACT_DIGITS => {
                text.parse().map(Self::Offset).map_err(|_| format!("offset {text} is too large"))
            }
            _ => text
                .parse()
                .map(Self::Time)
                .map_err(|_| format!("expected begin, end, an offset, or a time: {TIME}")),
        }
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A time in local time; `-` for none.
pub(crate) fn shown(millis: i64) -> String {
    match Timestamp::from_millisecond(millis) {
        Ok(moment) if millis > 0 => {
            moment.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string()
        }
        _ => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_given_in_five_ways() {
        let at = |text: &str| text.parse::<Moment>().map(|moment| moment.0);
        assert_eq!(at("@1795471478823"), Ok(1_795_471_478_823));
        assert_eq!(at("2026-11-23T22:04:38.823Z"), Ok(1_795_471_478_823));
        assert_eq!(at("2026-11-23T23:04:38.823+01:00"), Ok(1_795_471_478_823));
        let local = at("2026-11-23 22:04:38").unwrap();
        assert_eq!(shown(local), "2026-11-23 22:04:38");
        assert_eq!(at("20261123220438"), Ok(local));
        let ago = Timestamp::now().as_millisecond() - at("-30m").unwrap();
        assert!((1_800_000..1_860_000).contains(&ago), "{ago}");
        for wrong in ["soon", "", "@-1", "-soon", "2026-13-01", "5", "99999999999999", "2026112322043"] {
            assert!(at(wrong).unwrap_err().contains("expected a time"), "{wrong}");
        }
        assert_eq!(shown(0), "-");
    }

    #[test]
    fn a_place_is_an_end_an_offset_or_a_time() {
        assert_eq!("begin".parse(), Ok(Place::Begin));
        assert_eq!("end".parse(), Ok(Place::End));
        assert_eq!("42".parse(), Ok(Place::Offset(42)));
        assert!(matches!("20261126103000".parse(), Ok(Place::Time(_))));
        assert_eq!("@42".parse(), Ok(Place::Time(Moment(42))));
        assert!("middle".parse::<Place>().unwrap_err().contains("begin, end"));
        assert!("99999999999999999999".parse::<Place>().unwrap_err().contains("too large"));
    }
}
