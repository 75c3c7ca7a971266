//! A ring of hashes.

use std::collections::{BTreeMap, BTreeSet};

use gantry_protocol::MessageQueue;

use super::{AllocateError, AllocateMessageQueueStrategy, md5_words, position};

/// Members stand at several places of a ring each, and a queue belongs to the member at or after its own place (RocketMQ:
/// AllocateMessageQueueConsistentHash).
///
/// Who joins takes queues, and who leaves gives them back; nothing else moves. The price is balance: with few places the
/// shares differ widely, and members may well get nothing. See
/// [`AllocateMessageQueueSticky`](super::AllocateMessageQueueSticky) for both.
#[derive(Debug, Clone, Copy)]
pub struct AllocateMessageQueueConsistentHash {
    virtual_node_count: u32,
}

impl AllocateMessageQueueConsistentHash {
    /// With so many places for each member (RocketMQ: `virtualNodeCnt`, 10 by default); with none, queues are nobody's.
    /// It must be the same at every member.
    pub fn new(virtual_node_count: u32) -> Self {
        Self { virtual_node_count }
    }

    /// Who stands where (RocketMQ: ConsistentHashRouter). Where two share a place, the later one has it.
    fn ring<'a>(&self, client_ids: &'a [String]) -> BTreeMap<u32, &'a str> {
        let (mut ring, mut seen) = (BTreeMap::new(), BTreeSet::new());
        for id in client_ids.iter().map(String::as_str) {
            // An id that comes again stands where its count goes on.
            let before = if seen.insert(id) { 0 } else { ring.values().filter(|held| **held == id).count() };
            for number in 0..self.virtual_node_count as usize {
                ring.insert(md5_words(&format!("{id}-{}", number + before)).0, id);
            }
        }
        ring
    }
}

impl Default for AllocateMessageQueueConsistentHash {
    fn default() -> Self {
        Self::new(10)
    }
}

impl AllocateMessageQueueStrategy for AllocateMessageQueueConsistentHash {
    fn name(&self) -> &str {
        "CONSISTENT_HASH"
    }

    fn allocate(
        &self,
        _consumer_group: &str,
        current_client_id: &str,
        queues: &[MessageQueue],
        client_ids: &[String],
    ) -> Result<Vec<MessageQueue>, AllocateError> {
        position(current_client_id, queues, client_ids)?;
        let ring = self.ring(client_ids);
        let own = |mq: &&MessageQueue| {
            let place = md5_words(&mq.to_string()).0;
            let holder = ring.range(place..).chain(&ring).next();
            holder.is_some_and(|(_, id)| *id == current_client_id)
        };
        Ok(queues.iter().filter(own).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_places_queues_are_nobodys() {
        let queues = [MessageQueue::new("t", "b", 0)];
        let own = AllocateMessageQueueConsistentHash::new(0).allocate("g", "c", &queues, &["c".to_owned()]);
        assert_eq!(own, Ok(Vec::new()));
    }

    #[test]
    fn the_first_place_comes_after_the_last() {
        let queues: Vec<_> = (0..64).map(|id| MessageQueue::new("t", "b", id)).collect();
        let members = ["one".to_owned(), "two".to_owned()];
        let strategy = AllocateMessageQueueConsistentHash::new(1);
        let last = *strategy.ring(&members).last_key_value().unwrap().0;
        let beyond: Vec<_> = queues.iter().filter(|mq| md5_words(&mq.to_string()).0 > last).collect();
        assert!(!beyond.is_empty());
        let first = *strategy.ring(&members).first_key_value().unwrap().1;
        let own = strategy.allocate("g", first, &queues, &members).unwrap();
        assert!(beyond.iter().all(|mq| own.contains(mq)));
    }
}
