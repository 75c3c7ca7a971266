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
/// Who joins wins some queues, nobody else wins any; who leaves loses what it won, to anybody. So a queue that moves is
/// one the newcomer won, or one that was levelled before or is afterwards, and never more than these. On average a join
/// or leave moves about one and a half shares; one share is the least there is. The division into contiguous ranges
/// (`AVG`) moves a third of all queues, however many members there are.
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
