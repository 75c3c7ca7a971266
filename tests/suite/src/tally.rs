//! What a ledger comes to: what was lost, what came twice, how long queues stood still.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use crate::ledger::Entry;

/// The sum of a ledger.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Messages that were sent.
    pub sent: usize,
    /// Of these, how many nobody consumed.
    pub lost: usize,
    /// How often messages were consumed after their first time. One that is stored twice, because the answer to its sender
    /// was lost, is two messages here.
    pub duplicates: usize,
    /// The longest time in which a queue had messages and nobody consumed one, with other members before and after it.
    pub moved: Duration,
    /// The same with one member before and after it.
    pub stayed: Duration,
}

impl Tally {
    /// The sum of these entries, which are in the order of time, of a topic to which the numbers 0 to `sent - 1` were sent
    /// and which has `stored` messages.
    pub fn of(entries: &[Entry], sent: usize, stored: usize) -> Self {
        let consumed: BTreeSet<_> = entries.iter().map(|entry| entry.number).collect();
        let lost = (0..sent).filter(|number| !consumed.contains(number)).count();
        let duplicates = (entries.len() + lost).saturating_sub(stored);
        let mut tally = Self { sent, lost, duplicates, ..Self::default() };
        let mut last: BTreeMap<i32, Entry> = BTreeMap::new();
        for (queue, entry) in entries.iter().filter_map(|entry| Some((entry.queue?, entry))) {
            if let Some(before) = last.insert(queue, *entry) {
                tally.pause(&before, entry);
            }
        }
        tally
    }

    fn pause(&mut self, before: &Entry, after: &Entry) {
        let had_work_since = before.at.max(after.stored);
        let pause = Duration::from_micros(after.at.saturating_sub(had_work_since));
        let longest = if before.member == after.member { &mut self.stayed } else { &mut self.moved };
        *longest = pause.max(*longest);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, lost, duplicates, moved, stayed } = self;
        write!(
            f,
            "{sent} messages: {lost} lost, {duplicates} consumed again; longest pause of a queue that moved {} ms, of one that stayed {} ms",
            moved.as_millis(),
            stayed.as_millis()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(at: u64, stored: u64, member: usize, queue: i32, number: usize) -> Entry {
        Entry { at: at * 1_000, stored: stored * 1_000, member, queue: Some(queue), number }
    }

    #[test]
    fn what_is_missing_and_what_came_twice_is_counted() {
        let entries =
            [entry(1, 0, 0, 0, 0), entry(2, 0, 0, 1, 3), entry(3, 0, 1, 0, 0), entry(4, 0, 1, 0, 2)];
        let tally = Tally::of(&entries, 5, 5);
        assert_eq!((tally.sent, tally.lost, tally.duplicates), (5, 2, 1));
    }

    #[test]
    fn a_message_stored_twice_is_two() {
        let entries = [entry(1, 0, 0, 0, 0), entry(2, 0, 0, 1, 0)];
        assert_eq!(Tally::of(&entries, 1, 2).duplicates, 0);
        assert_eq!(Tally::of(&entries, 1, 1).duplicates, 1);
    }

    #[test]
    fn a_pause_is_time_with_messages_and_nobody_at_them() {
        // Queue 0 moves after 30 ms; queue 1 stays, and waits 5 ms of its 90 for a message that is there.
        let entries = [
            entry(0, 0, 0, 0, 0),
            entry(0, 0, 0, 1, 1),
            entry(10, 0, 0, 0, 2),
            entry(40, 0, 1, 0, 3),
            entry(90, 85, 0, 1, 4),
        ];
        let tally = Tally::of(&entries, 5, 5);
        assert_eq!((tally.moved.as_millis(), tally.stayed.as_millis()), (30, 10));
    }
}
