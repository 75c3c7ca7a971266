//! Which queue an ordered message goes to (RocketMQ: MessageQueueSelector).

use std::sync::Arc;

use gantry_engine::OutgoingMessage;
use gantry_protocol::MessageQueue;

/// Asks the selector plugin of a name for the index of a queue. It may block, for a second or so.
pub(crate) type SelectByPlugin =
    Arc<dyn Fn(&str, &[MessageQueue], &OutgoingMessage, &str) -> Result<usize, String> + Send + Sync>;

/// What answers where no plugin is a selector.
pub(crate) fn no_selectors() -> SelectByPlugin {
    Arc::new(|name, _, _, _| Err(format!("there is no selector plugin {name}")))
}

/// RocketMQ's SelectMessageQueueByHash: the argument's `hashCode` modulo the number of queues, without its sign.
pub(super) fn by_hash(arg: &str, queues: usize) -> usize {
    let queues = i64::try_from(queues).unwrap_or(i64::MAX);
    let rest = i64::from(java_hash(arg)).checked_rem(queues).unwrap_or(0);
    usize::try_from(rest.unsigned_abs()).unwrap_or(0)
}

/// Java's `String.hashCode`: over UTF-16 code units.
fn java_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_javas() {
        // As `"...".hashCode()` says.
        assert_eq!(java_hash(""), 0);
        assert_eq!(java_hash("a"), 97);
        assert_eq!(java_hash("hello"), 99_162_322);
        assert_eq!(java_hash("polygenelubricants"), i32::MIN);
        assert_eq!(java_hash("😀"), 1_772_899);
    }

    #[test]
    fn every_argument_has_a_queue() {
        assert_eq!(by_hash("hello", 4), 2);
        assert_eq!(by_hash("polygenelubricants", 4), 0);
        assert_eq!(by_hash("polygenelubricants", 3), 2);
        assert_eq!(by_hash("anything", 1), 0);
        assert_eq!(by_hash("anything", 0), 0);
    }
}
