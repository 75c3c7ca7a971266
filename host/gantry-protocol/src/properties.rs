//! Message properties: `key 0x01 value 0x02`, repeated (RocketMQ: MessageDecoder.messageProperties2String).

/// Longest property text a record can hold, in bytes.
pub const MAX_PROPERTIES: usize = i16::MAX as usize;

const NAME_VALUE_SEPARATOR: char = '\u{1}';
const PROPERTY_SEPARATOR: char = '\u{2}';

macro_rules! keys {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        $($(#[$doc])* pub const $name: &str = $text;)*

        /// All of them.
        pub const ALL: &[&str] = &[$($text),*];

        /// Whether RocketMQ itself reads or writes the property of this name; all others are the user's.
        pub fn is_system(name: &str) -> bool {
            matches!(name, $($text)|*)
        }
    };
}

/// Names of the properties that RocketMQ itself reads or writes (RocketMQ: MessageConst).
pub mod keys {
    keys! {
        /// The message's keys, joined by spaces.
        KEYS = "KEYS",
        /// The message's tag.
        TAGS = "TAGS",
        /// Whether a send waits for the message to be stored.
        WAIT = "WAIT",
        /// The delay level.
        DELAY = "DELAY",
        /// The topic a retry belongs to.
        RETRY_TOPIC = "RETRY_TOPIC",
        /// The topic a delayed message goes to.
        REAL_TOPIC = "REAL_TOPIC",
        /// The queue a delayed message goes to.
        REAL_QUEUE_ID = "REAL_QID",
        /// Whether the message is a prepared transaction.
        TRANSACTION_PREPARED = "TRAN_MSG",
        /// The producer group of a transaction or request.
        PRODUCER_GROUP = "PGROUP",
        /// Smallest offset of the queue at the time of the pull.
        MIN_OFFSET = "MIN_OFFSET",
        /// Offset after the last message of the queue at the time of the pull.
        MAX_OFFSET = "MAX_OFFSET",
        /// Id of the message a retry or dead letter comes from.
        ORIGIN_MESSAGE_ID = "ORIGIN_MESSAGE_ID",
        /// How often the message was reconsumed, where a client republishes it.
        RECONSUME_TIME = "RECONSUME_TIME",
        /// How often the message may be reconsumed, where a client republishes it.
        MAX_RECONSUME_TIMES = "MAX_RECONSUME_TIMES",
        /// The broker's region.
        MSG_REGION = "MSG_REGION",
        /// Whether the broker wants traces.
        TRACE_SWITCH = "TRACE_ON",
        /// The id the producer gave the message.
        UNIQUE_KEY = "UNIQ_KEY",
        /// When consumption began, in milliseconds since the epoch.
        CONSUME_START_TIME = "CONSUME_START_TIME",
        /// Number of messages in an inner batch.
        INNER_NUM = "INNER_NUM",
        /// First offset of an inner batch.
        INNER_BASE = "INNER_BASE",
        /// Instance id of a namespace.
        INSTANCE_ID = "INSTANCE_ID",
        /// Pairs a reply with its request message.
        CORRELATION_ID = "CORRELATION_ID",
        /// The client id a reply goes to.
        REPLY_TO_CLIENT = "REPLY_TO_CLIENT",
        /// How long the requester waits, in milliseconds.
        TTL = "TTL",
        /// The broker's cluster.
        CLUSTER = "CLUSTER",
        /// The message's type, such as `reply`.
        MSG_TYPE = "MSG_TYPE",
        /// The handle that settles a popped message.
        POP_CK = "POP_CK",
        /// Offset of the check point of a popped message.
        POP_CK_OFFSET = "POP_CK_OFFSET",
        /// When the message was first popped, in milliseconds since the epoch.
        FIRST_POP_TIME = "1ST_POP_TIME",
        /// The group a POP retry belongs to.
        ORIGIN_GROUP = "ORIGIN_GROUP",
        /// The key that chose the queue.
        SHARDING_KEY = "__SHARDINGKEY",
        /// Delay of a timer message in seconds.
        TIMER_DELAY_SEC = "TIMER_DELAY_SEC",
        /// Delay of a timer message in milliseconds.
        TIMER_DELAY_MS = "TIMER_DELAY_MS",
        /// When a timer message is due, in milliseconds since the epoch.
        TIMER_DELIVER_MS = "TIMER_DELIVER_MS",
        /// When a timer message left the wheel, in milliseconds since the epoch.
        TIMER_OUT_MS = "TIMER_OUT_MS",
        /// When a timer message entered the wheel, in milliseconds since the epoch.
        TIMER_ENQUEUE_MS = "TIMER_ENQUEUE_MS",
        /// When a timer message was taken from the wheel, in milliseconds since the epoch.
        TIMER_DEQUEUE_MS = "TIMER_DEQUEUE_MS",
        /// Context of a trace.
        TRACE_CONTEXT = "TRACE_CONTEXT",
        /// When the message was born, in milliseconds since the epoch.
        BORN_TIMESTAMP = "BORN_TIMESTAMP",
        /// Topic of the message a dead letter comes from.
        DLQ_ORIGIN_TOPIC = "DLQ_ORIGIN_TOPIC",
        /// Id of the message a dead letter comes from.
        DLQ_ORIGIN_MESSAGE_ID = "DLQ_ORIGIN_MESSAGE_ID",
        /// Checksum the broker appends.
        CRC32 = "__CRC32#",
    }
}

/// Joins properties into their text. The caller keeps 0x01 and 0x02 out of names and values ([`check`]).
pub fn encode<K: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (K, V)>) -> String {
    let mut text = String::new();
    for (name, value) in pairs {
        push(&mut text, name.as_ref(), value.as_ref());
    }
    text
}

/// Appends one property to a text that is empty or ends with a separator.
pub fn push(text: &mut String, name: &str, value: &str) {
    text.push_str(name);
    text.push(NAME_VALUE_SEPARATOR);
    text.push_str(value);
    text.push(PROPERTY_SEPARATOR);
}

/// Splits a text into its properties, in order.
///
/// As in Java, entries shorter than three characters, without a name or without a value are skipped, and the
/// last separator may be absent. Where a name comes twice, both are handed out; Java's map keeps the last.
pub fn parse(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = Some(text);
    let entries = std::iter::from_fn(move || {
        let (entry, behind) = cut(rest?, PROPERTY_SEPARATOR);
        rest = behind;
        Some(entry)
    });
    entries.filter_map(|entry| match cut(entry, NAME_VALUE_SEPARATOR) {
        (name, Some(value)) if !name.is_empty() && !value.is_empty() => Some((name, value)),
        _ => None,
    })
}

/// A text up to a separator, and what is behind it.
fn cut(text: &str, separator: char) -> (&str, Option<&str>) {
    let found = memchr::memchr(separator as u8, text.as_bytes());
    match found.and_then(|at| Some((text.get(..at)?, text.get(at + 1..)?))) {
        Some((before, behind)) => (before, Some(behind)),
        None => (text, None),
    }
}

/// The value of a property; the last one where the name comes twice.
pub fn get<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    find(text.as_bytes(), name).and_then(|value| std::str::from_utf8(value).ok())
}

/// The same for bytes, looked for from behind: what comes before the last one of the name is not read.
pub(crate) fn find<'a>(properties: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut rest = properties;
    loop {
        let before = memchr::memrchr(PROPERTY_SEPARATOR as u8, rest);
        let entry = rest.get(before.map_or(0, |at| at + 1)..)?;
        let value = entry
            .strip_prefix(name.as_bytes())
            .and_then(|rest| rest.strip_prefix(&[NAME_VALUE_SEPARATOR as u8]));
        if let Some(value) = value
            && !value.is_empty()
        {
            // An entry's name is not empty, and ends at its first separator.
            return (!name.is_empty() && !name.contains(NAME_VALUE_SEPARATOR)).then_some(value);
        }
        rest = rest.get(..before?)?;
    }
}

/// A property that the text form cannot carry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PropertyError {
    /// Readers skip properties with an empty name or value.
    #[error("property {name:?} has an empty name or value, which every reader drops")]
    Empty {
        /// The name.
        name: String,
    },
    /// 0x01 and 0x02 separate properties.
    #[error("property {name:?} contains 0x01 or 0x02, which separate properties")]
    Separator {
        /// The name.
        name: String,
    },
}

/// Checks that a property survives the text form.
///
/// # Errors
/// Name or value is empty or contains a separator.
pub fn check(name: &str, value: &str) -> Result<(), PropertyError> {
    if name.is_empty() || value.is_empty() {
        return Err(PropertyError::Empty { name: name.to_owned() });
    }
    let separators = [NAME_VALUE_SEPARATOR, PROPERTY_SEPARATOR];
    if name.contains(separators) || value.contains(separators) {
        return Err(PropertyError::Separator { name: name.to_owned() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_without_name_or_value_are_skipped() {
        let text = "a\u{1}1\u{2}b\u{1}\u{2}\u{1}c\u{2}d\u{2}\u{2}e\u{1}2=\u{1}3\u{2}f\u{1}4";
        assert_eq!(parse(text).collect::<Vec<_>>(), [("a", "1"), ("e", "2=\u{1}3"), ("f", "4")]);
    }

    #[test]
    fn the_last_of_two_equal_names_wins() {
        assert_eq!(get("a\u{1}1\u{2}a\u{1}2\u{2}", "a"), Some("2"));
        assert_eq!(get("", "a"), None);
    }

    #[test]
    fn encoding_ends_every_property_with_its_separator() {
        assert_eq!(encode([("TAGS", "TagA"), ("UNIQ_KEY", "X")]), "TAGS\u{1}TagA\u{2}UNIQ_KEY\u{1}X\u{2}");
    }

    #[test]
    fn properties_the_text_cannot_carry_are_refused() {
        assert!(matches!(check("a", ""), Err(PropertyError::Empty { .. })));
        assert!(matches!(check("a", "b\u{2}"), Err(PropertyError::Separator { .. })));
        assert_eq!(check("größe", "ü€😀"), Ok(()));
    }
}
