//! What was settled above a commit point, for the time after a restart: a host that is killed reads its queues again from
//! the last stored offset, and by this skips what it had done.

use gantry_protocol::MessageQueue;

/// Most ranges kept of a queue; what is above is done again.
const MOST_RANGES: usize = 4096;

/// The settled offsets of one queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettledOffsets {
    /// The last offset given out to be stored at the broker.
    pub stored: i64,
    /// Every offset below is settled.
    pub commit: i64,
    /// When the newest settled message was stored, in milliseconds since the Unix epoch by its broker's clock. A later
    /// message with one of these offsets is another one: the broker has lost some and given their offsets out again.
    pub newest_store_timestamp: i64,
    /// Settled offsets above `commit`, each from its first to one past its last, ascending.
    pub ranges: Vec<(i64, i64)>,
}

/// A queue's settled offsets, to be kept by the driver in place of what it kept before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueJournal {
    /// The queue.
    pub mq: MessageQueue,
    /// None: nothing is to be kept.
    pub settled: Option<SettledOffsets>,
}

impl SettledOffsets {
    /// Adds the settled runs that follow, in their order.
    pub(crate) fn extend(&mut self, runs: impl IntoIterator<Item = (i64, i64)>) {
        for (first, end) in runs {
            let room = self.ranges.len() < MOST_RANGES;
            match self.ranges.last_mut() {
                Some(last) if first <= last.1 => last.1 = last.1.max(end),
                _ if !room => return,
                _ => self.ranges.push((first, end)),
            }
        }
    }

    /// Whether they hold for a queue whose stored offset is this one. Anything but what this host has stored or was about
    /// to store means that somebody else has moved it: another owner, or an operator who wants messages again.
    pub(crate) fn hold_from(&self, stored: i64) -> bool {
        (self.stored..=self.commit).contains(&stored)
    }

    /// What is left to be skipped by a queue that is read from `offset`.
    pub(crate) fn from(mut self, offset: i64) -> Self {
        if offset < self.commit {
            self.ranges.insert(0, (offset, self.commit));
        }
        self.ranges.retain(|&(_, end)| end > offset);
        self
    }

    /// Whether a message is one of them.
    pub(crate) fn has(&self, offset: i64, store_timestamp: i64) -> bool {
        let place = self.ranges.partition_point(|&(_, end)| end <= offset);
        self.ranges.get(place).is_some_and(|&(first, _)| first <= offset)
            && store_timestamp <= self.newest_store_timestamp
    }

    /// Whether all of them are below `offset`.
    pub(crate) fn is_past(&self, offset: i64) -> bool {
        self.ranges.last().is_none_or(|&(_, end)| end <= offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled() -> SettledOffsets {
        SettledOffsets {
            stored: 10,
            commit: 14,
            newest_store_timestamp: 100,
            ranges: vec![(16, 18), (20, 21)],
        }
    }

    #[test]
    fn they_hold_only_from_an_offset_this_host_stored_or_was_about_to() {
        for (stored, holds) in [(9, false), (10, true), (14, true), (15, false), (0, false)] {
            assert_eq!(settled().hold_from(stored), holds, "{stored}");
        }
    }

    #[test]
    fn what_is_between_the_stored_offset_and_the_commit_point_is_settled_too() {
        let skip = settled().from(12);
        let skipped: Vec<i64> = (10..25).filter(|&offset| skip.has(offset, 100)).collect();
        assert_eq!(skipped, [12, 13, 16, 17, 20]);
        assert!(!skip.is_past(20) && skip.is_past(21));
        assert_eq!(settled().from(17).ranges, [(16, 18), (20, 21)]);
    }

    #[test]
    fn a_message_stored_later_is_another_one_at_the_same_offset() {
        assert!(settled().has(16, 100) && !settled().has(16, 101));
    }

    #[test]
    fn runs_that_touch_become_one_and_their_number_is_bounded() {
        let mut settled = settled();
        settled.extend([(21, 23), (23, 24), (30, 31)]);
        assert_eq!(settled.ranges, [(16, 18), (20, 24), (30, 31)]);
        settled.extend((0..10_000).map(|n| (100 + 2 * n, 101 + 2 * n)));
        assert_eq!(settled.ranges.len(), MOST_RANGES);
    }
}
