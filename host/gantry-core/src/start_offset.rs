//! Where a queue is read first (RocketMQ: RebalancePushImpl.computePullFromWhereWithException).

use crate::config::ConsumeFromWhere;

/// What follows from a stored offset, or from there being none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StartOffset {
    /// The broker has it stored.
    Stored(i64),
    /// The rule tells it.
    Fresh(i64),
    /// The end of the queue.
    AskMax,
    /// The first message at or after this time.
    AskTime(u64),
}

/// A group's own retry topic is read whole when everything before it was skipped: what is in it was given back by this
/// very group. With a start time it is read from its end, as RocketMQ does.
pub(crate) fn start_offset(stored: Option<i64>, from: ConsumeFromWhere, retry_topic: bool) -> StartOffset {
    match (stored, from, retry_topic) {
        (Some(offset), _, _) => StartOffset::Stored(offset),
        (None, ConsumeFromWhere::LastOffset, false) => StartOffset::AskMax,
        (None, ConsumeFromWhere::LastOffset, true) | (None, ConsumeFromWhere::FirstOffset, _) => {
            StartOffset::Fresh(0)
        }
        (None, ConsumeFromWhere::Timestamp(time), false) => StartOffset::AskTime(time),
        (None, ConsumeFromWhere::Timestamp(_), true) => StartOffset::AskMax,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_offset_reads_like_the_table() {
        let table = include_str!("testdata/start_offset.txt");
        for line in table.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [stored, from, topic, "->", expected] = words[..] else { panic!("five words in {line:?}") };
            let from = match from {
                "LAST" => ConsumeFromWhere::LastOffset,
                "FIRST" => ConsumeFromWhere::FirstOffset,
                _ => ConsumeFromWhere::Timestamp(77),
            };
            let got = match start_offset(stored.parse().ok(), from, topic == "retry") {
                StartOffset::Stored(offset) => format!("stored:{offset}"),
                StartOffset::Fresh(offset) => format!("fresh:{offset}"),
                StartOffset::AskMax => "ask-max".to_owned(),
                StartOffset::AskTime(time) => format!("ask-time:{time}"),
            };
            assert_eq!(got, expected, "{line}");
        }
    }
}
