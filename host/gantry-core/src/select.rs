//! Which queue a message is sent to by RocketMQ's own rules (RocketMQ: MessageQueueSelector).

/// The queue of `arg` among `queues`, counted from 0: the same while their number stays (RocketMQ:
/// SelectMessageQueueByHash, Java's `String.hashCode` modulo the number, without its sign). 0 where there is none.
#[must_use]
pub fn by_hash(arg: &str, queues: usize) -> usize {
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
    fn the_hash_is_that_of_java() {
        let of_java = [
            ("", 0),
            ("a", 97),
            ("order-7", -1_207_111_304),
            ("polygenelubricants", i32::MIN),
            ("😀", 1_772_899),
        ];
        for (text, hash) in of_java {
            assert_eq!(java_hash(text), hash, "{text}");
        }
    }

    #[test]
    fn every_argument_has_one_queue() {
        assert_eq!((by_hash("a", 4), by_hash("polygenelubricants", 3), by_hash("a", 0)), (1, 2, 0));
        assert!((1..20).all(|queues| by_hash("order-7", queues) < queues));
    }
}
