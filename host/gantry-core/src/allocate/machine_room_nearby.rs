//! Queues to members of their own machine room.

use std::collections::BTreeMap;

use gantry_protocol::MessageQueue;

use super::{AllocateError, AllocateMessageQueueStrategy, NEARBY, position};

/// In which machine room brokers and clients are (RocketMQ: AllocateMachineRoomNearby.MachineRoomResolver). It must say
/// the same at every member. A room without a name, or none at all, refuses the allocation.
pub trait MachineRoomResolver: Send {
    /// The room of the broker that has this queue (RocketMQ: `brokerDeployIn`).
    fn broker_deploy_in(&self, mq: &MessageQueue) -> Option<String>;

    /// The room of this client (RocketMQ: `consumerDeployIn`).
    fn consumer_deploy_in(&self, client_id: &str) -> Option<String>;
}

/// The room is what stands before the first `@`, of broker names (`hz@broker-a`) as of client ids (`hz@worker-1`);
/// names without an `@` have no room.
///
/// Client ids as RocketMQ makes them, `ip@instance`, count with their address as their room. That matches no broker's,
/// so every room's queues are then shared by all.
#[derive(Debug, Clone, Copy, Default)]
pub struct RoomBeforeAt;

impl MachineRoomResolver for RoomBeforeAt {
    fn broker_deploy_in(&self, mq: &MessageQueue) -> Option<String> {
        before_at(&mq.broker_name)
    }

    fn consumer_deploy_in(&self, client_id: &str) -> Option<String> {
        before_at(client_id)
    }
}

fn before_at(name: &str) -> Option<String> {
    name.split_once('@').map(|(room, _)| room.to_owned())
}

/// The queues of each room go to the members in that room, by another strategy; those of rooms without members are
/// shared by all members, by the same strategy, room by room (RocketMQ: AllocateMachineRoomNearby).
pub struct AllocateMachineRoomNearby {
    name: String,
    inner: Box<dyn AllocateMessageQueueStrategy>,
    resolver: Box<dyn MachineRoomResolver>,
}

impl AllocateMachineRoomNearby {
    /// Divides each room's queues by `inner`.
    pub fn new(inner: Box<dyn AllocateMessageQueueStrategy>, resolver: Box<dyn MachineRoomResolver>) -> Self {
        Self { name: format!("{NEARBY}{}", inner.name()), inner, resolver }
    }

    fn room_of_queue(&self, mq: &MessageQueue) -> Result<Room, AllocateError> {
        Room::named(self.resolver.broker_deploy_in(mq), mq)
    }

    fn room_of_client(&self, client_id: &str) -> Result<Room, AllocateError> {
        Room::named(self.resolver.consumer_deploy_in(client_id), &client_id)
    }
}

/// A room, ordered as Java orders strings: by UTF-16 units.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Room(Vec<u16>);

impl Room {
    fn named(name: Option<String>, of: &dyn std::fmt::Display) -> Result<Self, AllocateError> {
        let name = name.filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| AllocateError::NoRoom { of: of.to_string() })?;
        Ok(Self(name.encode_utf16().collect()))
    }
}

fn by_room<T: Clone>(
    items: &[T],
    room: impl Fn(&T) -> Result<Room, AllocateError>,
) -> Result<BTreeMap<Room, Vec<T>>, AllocateError> {
    let mut rooms = BTreeMap::<_, Vec<T>>::new();
    for item in items {
        rooms.entry(room(item)?).or_default().push(item.clone());
    }
    Ok(rooms)
}

impl AllocateMessageQueueStrategy for AllocateMachineRoomNearby {
    fn name(&self) -> &str {
        &self.name
    }

    fn allocate(
        &self,
        consumer_group: &str,
        current_client_id: &str,
        queues: &[MessageQueue],
        client_ids: &[String],
    ) -> Result<Vec<MessageQueue>, AllocateError> {
        position(current_client_id, queues, client_ids)?;
        let queue_rooms = by_room(queues, |mq| self.room_of_queue(mq))?;
        let client_rooms = by_room(client_ids, |id| self.room_of_client(id))?;
        let own_room = self.room_of_client(current_client_id)?;
        let share = |of: &[MessageQueue], among: &[String]| {
            self.inner.allocate(consumer_group, current_client_id, of, among)
        };
        let mut own = Vec::new();
        if let (Some(near), Some(neighbours)) = (queue_rooms.get(&own_room), client_rooms.get(&own_room)) {
            own.extend(share(near, neighbours)?);
        }
        for (_, far) in queue_rooms.iter().filter(|(room, _)| !client_rooms.contains_key(room)) {
            own.extend(share(far, client_ids)?);
        }
        Ok(own)
    }

    fn divides(&self) -> bool {
        self.inner.divides()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::allocate::AllocateMessageQueueAveragely;

    fn allocate(
        client_id: &str,
        queues: &[MessageQueue],
        members: &[&str],
    ) -> Result<Vec<i32>, AllocateError> {
        let nearby =
            AllocateMachineRoomNearby::new(Box::new(AllocateMessageQueueAveragely), Box::new(RoomBeforeAt));
        let members: Vec<_> = members.iter().map(|&id| id.to_owned()).collect();
        let own = nearby.allocate("g", client_id, queues, &members)?;
        Ok(own.iter().map(|mq| mq.queue_id).collect())
    }

    #[test]
    fn neighbours_first_then_the_rooms_without_members() {
        let queues = [("hz@a", 0), ("hz@a", 1), ("sh@a", 2), ("sh@a", 3), ("sz@a", 4)]
            .map(|(broker, id)| MessageQueue::new("t", broker, id));
        let members = ["hz@1", "sh@1", "sh@2"];
        assert_eq!(allocate("hz@1", &queues, &members), Ok(vec![0, 1, 4]));
        assert_eq!(allocate("sh@1", &queues, &members), Ok(vec![2]));
        assert_eq!(allocate("sh@2", &queues, &members), Ok(vec![3]));
    }

    #[test]
    fn a_name_without_a_room_is_refused_by_name() {
        let queues = [MessageQueue::new("t", "broker-a", 0)];
        let refused = allocate("hz@1", &queues, &["hz@1"]).unwrap_err();
        assert!(refused.to_string().contains("brokerName=broker-a"), "{refused}");
        let queues = [MessageQueue::new("t", "hz@a", 0)];
        assert_eq!(
            allocate("hz@1", &queues, &["hz@1", "nowhere"]),
            Err(AllocateError::NoRoom { of: "nowhere".to_owned() })
        );
    }
}
