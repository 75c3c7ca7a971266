//! An allocation strategy: for each queue every member draws a number, and the highest has it (rendezvous hashing).
//!
//! A member that comes takes only the queues it now draws highest for, and one that goes leaves only its own: no queue
//! moves between two members that stay. The shares are even in the long run, not queue for queue; where that matters more
//! than what moves, RocketMQ's `AVG` is the better rule.

use gantry_guest::{MessageQueue, Strategy, StrategyDescription, export_strategy};

struct Rendezvous;

impl Strategy for Rendezvous {
    fn describe() -> StrategyDescription {
        StrategyDescription::new("rendezvous")
    }

    fn allocate(
        _consumer_group: &str,
        current_client_id: &str,
        queues: &[MessageQueue],
        client_ids: &[String],
    ) -> Result<Vec<MessageQueue>, String> {
        if !client_ids.iter().any(|id| id == current_client_id) {
            return Err(format!("{current_client_id} is not among the {} members", client_ids.len()));
        }
        let mine = |queue: &&MessageQueue| owner(queue, client_ids) == Some(current_client_id);
        Ok(queues.iter().filter(mine).cloned().collect())
    }
}

/// The member that draws the highest number for `queue`; of equal ones, the last by name.
fn owner<'a>(queue: &MessageQueue, client_ids: &'a [String]) -> Option<&'a str> {
    client_ids.iter().map(String::as_str).max_by_key(|id| (number(id, queue), *id))
}

/// The number `client_id` draws for `queue`: the same on every machine and in every build.
fn number(client_id: &str, queue: &MessageQueue) -> u64 {
    let MessageQueue { topic, broker_name, queue_id } = queue;
    let mut hash = FNV_OFFSET;
    for part in [client_id.as_bytes(), topic.as_bytes(), broker_name.as_bytes(), &queue_id.to_le_bytes()] {
        // Each part ends with a byte that no text has, so that `ab`, `c` is not `a`, `bc`.
        for byte in part.iter().chain(&[0xFF]) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME);
        }
    }
    scattered(hash)
}

/// FNV-1a, 64 bits.
const FNV_OFFSET: u64 = 0xCBF2_9CE4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01B3;

/// Lets every bit of the hash have its part in the highest ones (the finalizer of MurmurHash3): FNV leaves these alike
/// for texts that differ in their last letter only.
const fn scattered(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xC4CE_B9FE_1A85_EC53);
    hash ^ (hash >> 33)
}

export_strategy!(Rendezvous);

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_guest::testing::queues;

    fn members(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("10.0.0.{number}@gantry#1")).collect()
    }

    fn owners(members: &[String]) -> Vec<String> {
        queues("orders", 64).iter().map(|queue| owner(queue, members).unwrap().to_owned()).collect()
    }

    fn share(member: &str, members: &[String]) -> Vec<MessageQueue> {
        Rendezvous::allocate("orders-group", member, &queues("orders", 64), members).unwrap()
    }

    #[test]
    fn every_queue_is_one_members() {
        let members = members(5);
        let mut shares: Vec<MessageQueue> =
            members.iter().flat_map(|member| share(member, &members)).collect();
        shares.sort_by_key(|queue| queue.queue_id);
        assert_eq!(shares, queues("orders", 64));
        assert!(members.iter().all(|member| share(member, &members).len() >= 4), "no share is tiny");
    }

    #[test]
    fn no_queue_moves_between_members_that_stay() {
        let (four, five) = (members(4), members(5));
        for (before, after) in owners(&four).iter().zip(owners(&five)) {
            assert!(*before == after || after == five[4], "{before} {after}");
        }
    }

    #[test]
    fn a_stranger_gets_no_answer() {
        let refused = Rendezvous::allocate("orders-group", "stranger", &queues("orders", 4), &members(2));
        assert_eq!(refused.unwrap_err(), "stranger is not among the 2 members");
    }
}
