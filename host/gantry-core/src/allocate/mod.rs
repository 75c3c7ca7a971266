//! Which queues of a topic are whose (RocketMQ: AllocateMessageQueueStrategy and its classes).
//!
//! The members of a group do not talk to each other. Each takes the topic's queues and the group's members, both
//! sorted, and works out its own share; that the shares fit together follows from everybody using the same rule. All
//! strategies but [`AllocateMessageQueueSticky`] are RocketMQ's, and answer as its classes do, queue for queue, so Java
//! members and these can share a group.

mod averagely;
mod by_circle;
mod by_config;
mod by_machine_room;
mod consistent_hash;
mod machine_room_nearby;
mod sticky;
mod verify;

use gantry_protocol::MessageQueue;
use thiserror::Error;

pub use averagely::AllocateMessageQueueAveragely;
pub use by_circle::AllocateMessageQueueAveragelyByCircle;
pub use by_config::AllocateMessageQueueByConfig;
pub use by_machine_room::AllocateMessageQueueByMachineRoom;
pub(crate) use by_machine_room::room;
pub use consistent_hash::AllocateMessageQueueConsistentHash;
pub use machine_room_nearby::{AllocateMachineRoomNearby, MachineRoomResolver, RoomBeforeAt};
pub use sticky::AllocateMessageQueueSticky;
pub use verify::{AllocationFault, verify_allocation, verify_division};

/// The strategies that need nothing but their name. Each may also follow [`NEARBY`].
pub const NAMES: [&str; 4] = ["AVG", "AVG_BY_CIRCLE", "CONSISTENT_HASH", "STICKY"];

/// What the name of [`AllocateMachineRoomNearby`] begins with; the name of the strategy within a room follows.
pub const NEARBY: &str = "MACHINE_ROOM_NEARBY-";

/// A rule by which every member of a group, each for itself, comes to the same division of a topic's queues.
pub trait AllocateMessageQueueStrategy: Send {
    /// Its name, as RocketMQ calls it (`AVG`).
    fn name(&self) -> &str;

    /// The queues of `current_client_id`. `queues` and `client_ids` are sorted, and the same at every member.
    ///
    /// # Errors
    /// When the question cannot be answered; the group then keeps what it has.
    fn allocate(
        &self,
        consumer_group: &str,
        current_client_id: &str,
        queues: &[MessageQueue],
        client_ids: &[String],
    ) -> Result<Vec<MessageQueue>, AllocateError>;

    /// Whether every queue is to have exactly one owner, as in all but the fixed lists of CONFIG and MACHINE_ROOM. What
    /// answers so is held to it ([`verify_allocation`]) before it is obeyed. Default true.
    fn divides(&self) -> bool {
        true
    }
}

/// Why there is no allocation.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AllocateError {
    /// The brokers do not count this client among the group's members. RocketMQ's classes answer with no queues then.
    #[error("{client_id} is not among the {members} members of the group the broker names")]
    NotAMember {
        /// This client.
        client_id: String,
        /// How many there are.
        members: usize,
    },
    /// This client has no id (RocketMQ: IllegalArgumentException, as for the two that follow).
    #[error("an allocation needs the id of this client, which is empty")]
    NoClientId,
    /// The topic has no queues.
    #[error("there are no queues to allocate")]
    NoQueues,
    /// Nobody can say in which machine room a broker or a client is.
    #[error(
        "the machine room of {of} is unknown; name brokers and clients `room@name`, or resolve rooms otherwise"
    )]
    NoRoom {
        /// The queue or the client.
        of: String,
    },
    /// A strategy broke its contract.
    #[error("{0}")]
    Unsound(String),
}

/// The strategy of this name, as Java's `getName()` has it: one of [`NAMES`], or [`NEARBY`] followed by one of them, with
/// rooms by [`RoomBeforeAt`]. None for another name, and for `CONFIG` and `MACHINE_ROOM`: these are nothing without
/// their lists, so they are made by their own constructors.
pub fn by_name(name: &str) -> Option<Box<dyn AllocateMessageQueueStrategy>> {
    match name.strip_prefix(NEARBY) {
        Some(inner) => Some(Box::new(AllocateMachineRoomNearby::new(plain(inner)?, Box::new(RoomBeforeAt)))),
        None => plain(name),
    }
}

fn plain(name: &str) -> Option<Box<dyn AllocateMessageQueueStrategy>> {
    Some(match name {
        "AVG" => Box::new(AllocateMessageQueueAveragely),
        "AVG_BY_CIRCLE" => Box::new(AllocateMessageQueueAveragelyByCircle),
        "CONSISTENT_HASH" => Box::new(AllocateMessageQueueConsistentHash::default()),
        "STICKY" => Box::new(AllocateMessageQueueSticky),
        _ => return None,
    })
}

/// Where this client stands among the members (RocketMQ: AbstractAllocateMessageQueueStrategy.check).
fn position(
    current_client_id: &str,
    queues: &[MessageQueue],
    client_ids: &[String],
) -> Result<usize, AllocateError> {
    if current_client_id.is_empty() {
        return Err(AllocateError::NoClientId);
    }
    if queues.is_empty() {
        return Err(AllocateError::NoQueues);
    }
    client_ids.iter().position(|id| id == current_client_id).ok_or_else(|| AllocateError::NotAMember {
        client_id: current_client_id.to_owned(),
        members: client_ids.len(),
    })
}

/// The first four bytes of a text's MD5, the most significant first, and the four after them: RocketMQ's hash for its
/// rings is the first half.
fn md5_words(text: &str) -> (u32, u32) {
    use md5::{Digest as _, Md5};
    let [a, b, c, d, e, f, g, h, ..] = <[u8; 16]>::from(Md5::digest(text.as_bytes()));
    (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strategy_found_by_name_has_that_name() {
        let nearby = NAMES.map(|inner| format!("{NEARBY}{inner}"));
        for name in NAMES.into_iter().chain(nearby.iter().map(String::as_str)) {
            assert_eq!(by_name(name).map(|found| found.name().to_owned()).as_deref(), Some(name));
        }
    }

    #[test]
    fn a_name_that_does_not_suffice_finds_nothing() {
        let nested = format!("{NEARBY}{NEARBY}AVG");
        for name in ["", "avg", "CONFIG", "MACHINE_ROOM", NEARBY, "MACHINE_ROOM_NEARBY-CONFIG", &nested] {
            assert!(by_name(name).is_none(), "{name:?}");
        }
    }

    #[test]
    fn md5_is_that_of_rfc_1321() {
        assert_eq!(md5_words("abc"), (0x9001_5098, 0x3cd2_4fb0));
    }
}
