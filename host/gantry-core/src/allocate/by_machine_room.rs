//! Only the queues of some machine rooms.

use std::collections::BTreeSet;

use gantry_protocol::MessageQueue;

use super::{AllocateError, AllocateMessageQueueStrategy, position};

/// Queues of brokers called `room@name` whose room is among the given ones, evenly; all others are nobody's (RocketMQ:
/// AllocateMessageQueueByMachineRoom).
///
/// Shares are contiguous, and what does not come out even is dealt from the end of the list, one to each of the first
/// members.
#[derive(Debug, Clone, Default)]
pub struct AllocateMessageQueueByMachineRoom {
    rooms: BTreeSet<String>,
}

impl AllocateMessageQueueByMachineRoom {
    /// With the rooms the group consumes from (RocketMQ: `setConsumeridcs`). They must be the same at every member.
    pub fn new(rooms: impl IntoIterator<Item = String>) -> Self {
        Self { rooms: rooms.into_iter().collect() }
    }

    fn has(&self, mq: &MessageQueue) -> bool {
        room(&mq.broker_name).is_some_and(|room| self.rooms.contains(room))
    }
}

/// The part before the `@` of a name with two parts, as Java's `split` counts them: empty ones at the end are none.
pub(crate) fn room(broker_name: &str) -> Option<&str> {
    let (room, rest) = broker_name.split_once('@')?;
    let name = rest.trim_end_matches('@');
    (!name.is_empty() && !name.contains('@')).then_some(room)
}

impl AllocateMessageQueueStrategy for AllocateMessageQueueByMachineRoom {
    fn name(&self) -> &str {
        "MACHINE_ROOM"
    }

    fn allocate(
        &self,
        _consumer_group: &str,
        current_client_id: &str,
        queues: &[MessageQueue],
        client_ids: &[String],
    ) -> Result<Vec<MessageQueue>, AllocateError> {
        let index = position(current_client_id, queues, client_ids)?;
        let members = client_ids.len();
        let near: Vec<_> = queues.iter().filter(|mq| self.has(mq)).collect();
        let share = near.len() / members;
        let own = near.iter().skip(index * share).take(share);
        let left_over = near.get(share * members + index);
        Ok(own.chain(left_over).map(|&mq| mq.clone()).collect())
    }

    fn divides(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_the_first_of_exactly_two_parts() {
        for (name, expected) in [
            ("hz@a", Some("hz")),
            ("hz@a@", Some("hz")),
            ("@a", Some("")),
            ("hz@", None),
            ("hz", None),
            ("", None),
            ("@", None),
            ("hz@a@b", None),
            ("hz@@b", None),
        ] {
            assert_eq!(room(name), expected, "{name:?}");
        }
    }
}
