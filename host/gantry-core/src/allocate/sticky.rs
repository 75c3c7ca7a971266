//! Even shares of which little moves.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use gantry_protocol::MessageQueue;

use super::{AllocateError, AllocateMessageQueueStrategy, md5_words, position};

/// Shares that are even within one queue, and of which little moves when members come and go. Gantry's own; RocketMQ's
/// strategies have one or the other. Every member of the group must be a Gantry host that uses it.
///
/// # The rule
///
/// A member knows the topic's queues and the group's members, and nothing of what others own at the moment, so the rule
/// makes from these two sets alone a division that is nearly the same for nearly the same sets:
///
/// 1. *Liking.* A queue *q* and a member *m* have a number, the higher the better:
///    `mix(md5_64(q) ^ mix(md5_64(m)))`, with the first 8 bytes of the MD5 of the queue's text (Java's `toString`) and
///    of the client id, the most significant first, and SplitMix64's last step as `mix`. Equal numbers: the smaller
///    client id, the smaller queue.
/// 2. *Winning.* Each queue is won by the member that likes it best.
/// 3. *Shares.* With *n* queues and *m* members a share is *n / m* rounded down; *n mod m* members have one more: those
///    that won most, the smaller client id where they won alike.
/// 4. *Levelling.* Who won more than its share keeps the queues it likes best. What is left over goes, in the order of
///    queues, each to the member that likes it best of those that have less than their share.
///
/// Sets are sets: neither the order of queues or members nor one that is named twice makes a difference.
///
/// # What moves
///
/// Who joins wins some queues, and nobody else wins any; what who leaves had won, others win. So a queue that moves was won
/// by who comes or goes, or is levelled before or afterwards; no other ever moves. Levelling is little where members have
/// several queues each, and more where they have few. Measured with client ids at random, a leave moves so many times
/// the queues of who leaves, once being the least there could be:
///
/// | queues, members | `STICKY` | `AVG` |
/// |---|---|---|
/// | 8, 3 | 1.1 | 1.4 |
/// | 16, 4 | 1.3 | 1.7 |
/// | 32, 5 | 1.2 | 1.9 |
/// | 64, 8 | 1.5 | 3.0 |
/// | 16, 8 | 2.1 | 3.3 |
/// | 64, 20 | 2.6 | 5.9 |
/// | 64, 40 | 2.9 | 11.6 |
///
/// A join is a leave seen backwards, and costs the same.
#[derive(Debug, Clone, Copy, Default)]
pub struct AllocateMessageQueueSticky;

impl AllocateMessageQueueStrategy for AllocateMessageQueueSticky {
    fn name(&self) -> &str {
        "STICKY"
    }

    fn allocate(
        &self,
        _consumer_group: &str,
        current_client_id: &str,
        queues: &[MessageQueue],
        client_ids: &[String],
    ) -> Result<Vec<MessageQueue>, AllocateError> {
        position(current_client_id, queues, client_ids)?;
        let shares = Division::new(queues, client_ids).level();
        let own = shares.into_iter().find(|share| share.member.id == current_client_id);
        let mut own: Vec<_> =
            own.into_iter().flat_map(|share| share.queues).map(|(_, mq)| mq.clone()).collect();
        own.sort();
        Ok(own)
    }
}

/// SplitMix64's last step: every bit of the result depends on every bit of the number.
fn mix(mut number: u64) -> u64 {
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

fn md5_64(text: &str) -> u64 {
    let (high, low) = md5_words(text);
    u64::from(high) << 32 | u64::from(low)
}

#[derive(Debug, Clone, Copy)]
struct Member<'a> {
    id: &'a str,
    hash: u64,
}

impl Member<'_> {
    /// How this member likes a queue; the same of two members means the same id or, hardly ever, equal hashes.
    fn liking(self, queue_hash: u64) -> u64 {
        mix(queue_hash ^ self.hash)
    }
}

/// What a member has, with the hash of each queue.
#[derive(Debug)]
struct Share<'a> {
    member: Member<'a>,
    queues: Vec<(u64, &'a MessageQueue)>,
    size: usize,
}

impl<'a> Share<'a> {
    /// Gives away what is beyond its size, the least liked first.
    fn surplus(&mut self) -> Vec<(u64, &'a MessageQueue)> {
        let member = self.member;
        self.queues.sort_by_key(|&(hash, mq)| (Reverse(member.liking(hash)), mq));
        self.queues.split_off(self.size.min(self.queues.len()))
    }
}

/// The queues as they were won, in the order of client ids.
struct Division<'a>(Vec<Share<'a>>);

impl<'a> Division<'a> {
    fn new(queues: &'a [MessageQueue], client_ids: &'a [String]) -> Self {
        let ids: BTreeSet<&str> = client_ids.iter().map(String::as_str).collect();
        let members = ids.into_iter().map(|id| Member { id, hash: mix(md5_64(id)) });
        let mut shares: Vec<_> =
            members.map(|member| Share { member, queues: Vec::new(), size: 0 }).collect();
        for mq in queues.iter().collect::<BTreeSet<_>>() {
            let hash = md5_64(&mq.to_string());
            give(shares.iter_mut(), (hash, mq));
        }
        let mut division = Self(shares);
        division.set_sizes();
        division
    }

    fn set_sizes(&mut self) {
        let count: usize = self.0.iter().map(|share| share.queues.len()).sum();
        let members = self.0.len().max(1);
        let mut by_wins: Vec<_> = self.0.iter_mut().collect();
        by_wins.sort_by_key(|share| Reverse(share.queues.len()));
        for (rank, share) in by_wins.into_iter().enumerate() {
            share.size = count / members + usize::from(rank < count % members);
        }
    }

    fn level(mut self) -> Vec<Share<'a>> {
        let surplus: BTreeMap<&MessageQueue, u64> =
            self.0.iter_mut().flat_map(Share::surplus).map(|(hash, mq)| (mq, hash)).collect();
        for (mq, hash) in surplus {
            give(self.0.iter_mut().filter(|share| share.queues.len() < share.size), (hash, mq));
        }
        self.0
    }
}

/// Gives a queue to the share whose member likes it best, of equals the first.
fn give<'s, 'a: 's>(shares: impl Iterator<Item = &'s mut Share<'a>>, (hash, mq): (u64, &'a MessageQueue)) {
    // The least by the reversed number: of equals, `min_by_key` takes the first and `max_by_key` the last.
    if let Some(best) = shares.min_by_key(|share| Reverse(share.member.liking(hash))) {
        best.queues.push((hash, mq));
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::btree_set;
    use proptest::prelude::*;

    use super::*;
    use crate::allocate::{AllocateMessageQueueAveragely, verify_allocation};

    fn queues(count: usize) -> Vec<MessageQueue> {
        let mut queues: Vec<_> =
            (0..count).map(|n| MessageQueue::new("orders", ["a", "b", "c"][n % 3], n as i32 / 3)).collect();
        queues.sort();
        queues
    }

    /// Client ids as RocketMQ makes them, sorted.
    fn members(count: usize, random: &mut fastrand::Rng) -> Vec<String> {
        let mut id = || {
            format!("10.0.{}.{}@{}#{}", random.u8(..), random.u8(..), random.u16(..), random.u64(..1 << 40))
        };
        let mut members: Vec<_> = (0..count).map(|_| id()).collect();
        members.sort();
        members
    }

    fn group() -> impl Strategy<Value = (Vec<MessageQueue>, Vec<String>)> {
        let members = btree_set("[0-9]{1,3}@[0-9]{1,4}", 1..40).prop_map(|ids| ids.into_iter().collect());
        ((1usize..64).prop_map(queues), members)
    }

    type Owners = BTreeMap<MessageQueue, String>;

    fn owners(
        strategy: &dyn AllocateMessageQueueStrategy,
        queues: &[MessageQueue],
        members: &[String],
    ) -> Owners {
        let own = |id: &String| strategy.allocate("g", id, queues, members).unwrap();
        members.iter().flat_map(|id| own(id).into_iter().map(|mq| (mq, id.clone()))).collect()
    }

    fn winners(queues: &[MessageQueue], members: &[String]) -> Owners {
        let shares = Division::new(queues, members).0;
        let won = |share: &Share<'_>| {
            let id = share.member.id;
            share.queues.iter().map(|&(_, mq)| (mq.clone(), id.to_owned())).collect::<Vec<_>>()
        };
        shares.iter().flat_map(won).collect()
    }

    fn different(before: &Owners, after: &Owners) -> BTreeSet<MessageQueue> {
        before.iter().filter(|(mq, owner)| after[*mq] != **owner).map(|(mq, _)| mq.clone()).collect()
    }

    proptest! {
        #[test]
        fn each_queue_is_one_members_and_shares_differ_by_one_at_most((queues, members) in group()) {
            prop_assert_eq!(verify_allocation(&AllocateMessageQueueSticky, "g", &queues, &members), Ok(()));
            let owners = owners(&AllocateMessageQueueSticky, &queues, &members);
            let share = queues.len() / members.len();
            for id in &members {
                let own = owners.values().filter(|owner| *owner == id).count();
                prop_assert!(own == share || own == share + 1, "{own} of {} among {}", queues.len(), members.len());
            }
        }

        #[test]
        fn neither_order_nor_repetition_matters((queues, members) in group()) {
            let (mut mixed_queues, mut mixed_members) = (queues.clone(), members.clone());
            mixed_queues.rotate_left(queues.len() / 2);
            mixed_queues.push(queues[0].clone());
            mixed_members.reverse();
            mixed_members.push(members[members.len() - 1].clone());
            for id in &members {
                let own = AllocateMessageQueueSticky.allocate("g", id, &queues, &members);
                prop_assert_eq!(AllocateMessageQueueSticky.allocate("g", id, &mixed_queues, &mixed_members), own);
            }
        }

        /// A join read forwards is a leave read backwards.
        #[test]
        fn what_moves_was_won_by_the_newcomer_or_is_levelled((queues, members) in group(), who in any::<prop::sample::Index>()) {
            prop_assume!(members.len() > 1);
            let newcomer = who.get(&members);
            let few: Vec<_> = members.iter().filter(|id| *id != newcomer).cloned().collect();
            let (before, after) =
                (owners(&AllocateMessageQueueSticky, &queues, &few), owners(&AllocateMessageQueueSticky, &queues, &members));
            let (won_before, won_after) = (winners(&queues, &few), winners(&queues, &members));
            let won = different(&won_before, &won_after);
            prop_assert!(won.iter().all(|mq| won_after[mq] == *newcomer));
            let levelled = &different(&won_before, &before) | &different(&won_after, &after);
            prop_assert!(different(&before, &after).is_subset(&(&won | &levelled)));
        }
    }

    /// How many queues move when one of `members` leaves, as a multiple of the fewest there could be: its own.
    fn cost(strategy: &dyn AllocateMessageQueueStrategy, queue_count: usize, member_count: usize) -> f64 {
        let (queues, mut random) = (queues(queue_count), fastrand::Rng::with_seed(7));
        let (mut moved, mut least) = (0, 0);
        for _ in 0..40 {
            let mut members = members(member_count, &mut random);
            let before = owners(strategy, &queues, &members);
            let gone = members.remove(random.usize(..members.len()));
            moved += different(&before, &owners(strategy, &queues, &members)).len();
            least += before.values().filter(|owner| **owner == gone).count();
        }
        moved as f64 / least as f64
    }

    #[test]
    fn a_leave_moves_few_queues_more_than_it_must() {
        for (queues, members, bound) in [
            (8, 3, 1.5),
            (16, 4, 1.5),
            (32, 5, 1.5),
            (64, 8, 1.75),
            (16, 8, 2.5),
            (64, 20, 3.0),
            (64, 40, 3.25),
        ] {
            let sticky = cost(&AllocateMessageQueueSticky, queues, members);
            let avg = cost(&AllocateMessageQueueAveragely, queues, members);
            assert!(sticky <= bound, "{queues} queues, {members} members: {sticky:.2} times the least");
            assert!(sticky < avg, "{queues} queues, {members} members: {sticky:.2}, and AVG {avg:.2}");
        }
    }

    /// Members of different versions share groups, so the rule cannot change under this name.
    #[test]
    fn the_rule_stays_as_it_is() {
        let queues: Vec<_> = (0..8).map(|id| MessageQueue::new("orders", "broker-a", id)).collect();
        let members = ["10.0.0.1@7#1", "10.0.0.2@7#1", "10.0.0.3@7#1"].map(str::to_owned);
        let ids = |id: &String| {
            let own = AllocateMessageQueueSticky.allocate("g", id, &queues, &members).unwrap();
            own.iter().map(|mq| mq.queue_id).collect::<Vec<_>>()
        };
        assert_eq!(members.each_ref().map(ids), [vec![4, 6, 7], vec![3, 5], vec![0, 1, 2]]);
    }
}
