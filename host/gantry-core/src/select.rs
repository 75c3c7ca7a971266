//! Which queue a message is sent to by RocketMQ's own rules (RocketMQ: MessageQueueSelector).

use gantry_protocol::MessageQueue;

use crate::allocate::room;

/// The queue of `arg` among `queues`, counted from 0: the same while their number stays (RocketMQ:
/// SelectMessageQueueByHash, Java's `String.hashCode` modulo the number, without its sign). 0 where there is none.
#[must_use]
pub fn by_hash(arg: &str, queues: usize) -> usize {
    let queues = i64::try_from(queues).unwrap_or(i64::MAX);
    let rest = i64::from(java_hash(arg)).checked_rem(queues).unwrap_or(0);
    usize::try_from(rest.unsigned_abs()).unwrap_or(0)
}

/// The queue of this `turn`, counted from 0 in `queues`, among those of brokers called `room@name` whose room is among
/// `rooms`, separated by commas; rooms are what they are to the allocation strategy MACHINE_ROOM. `None` where no broker is
/// in one (RocketMQ: SelectMessageQueueByMachineRoom, which in Java selects nothing at all).
#[must_use]
pub fn by_machine_room(rooms: &str, queues: &[MessageQueue], turn: usize) -> Option<usize> {
    let is_in = |queue: &MessageQueue| {
        room(&queue.broker_name).is_some_and(|room| rooms.split(',').any(|named| named.trim() == room))
    };
    let near = || queues.iter().enumerate().filter(|(_, queue)| is_in(queue)).map(|(index, _)| index);
    near().nth(turn.checked_rem(near().count())?)
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
    fn a_machine_room_has_the_queues_of_its_brokers_in_turn() {
        let brokers = ["east@a", "west@a", "plain", "west@b", "east@b@c"];
        let queues: Vec<_> = brokers.iter().map(|broker| MessageQueue::new("t", *broker, 0)).collect();
        let turns = |rooms| [0, 1, 2, 3].map(|turn| by_machine_room(rooms, &queues, turn));
        assert_eq!(turns("west"), [Some(1), Some(3), Some(1), Some(3)]);
        assert_eq!(turns("east, west"), [Some(0), Some(1), Some(3), Some(0)]);
        assert_eq!((turns("north"), turns("")), ([None; 4], [None; 4]));
    }

    #[test]
    fn every_argument_has_one_queue() {
        assert_eq!((by_hash("a", 4), by_hash("polygenelubricants", 3), by_hash("a", 0)), (1, 2, 0));
        assert!((1..20).all(|queues| by_hash("order-7", queues) < queues));
    }
}
