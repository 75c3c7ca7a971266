//! What a ledger comes to: what was lost, what came twice, how long queues stood still.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use crate::ledger::Entry;

/// The sum of a ledger.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Messages that are stored.
    pub stored: usize,
    /// Of these, how many nobody consumed.
    pub lost: usize,
    /// How often messages were consumed after their first time.
    pub duplicates: usize,
    /// The longest time in which a queue had messages and nobody consumed one, with other members before and after it.
    pub moved: Duration,
    /// The same with one member before and after it.
    pub stayed: Duration,
}

impl Tally {
    /// The sum of these entries, which are in the order of time, of a topic whose queues end at `ends`.
    pub fn of(entries: &[Entry], ends: &BTreeMap<i32, i64>) -> Self {
        let consumed: BTreeSet<_> = entries.iter().map(|entry| (entry.queue, entry.offset)).collect();
        let stored = ends.iter().flat_map(|(queue, end)| (0..*end).map(|offset| (*queue, offset)));
        let mut tally = Self { duplicates: entries.len() - consumed.len(), ..Self::default() };
        for message in stored {
            tally.stored += 1;
            tally.lost += usize::from(!consumed.contains(&message));
        }
        let mut last: BTreeMap<i32, Entry> = BTreeMap::new();
        for entry in entries {
            if let Some(before) = last.insert(entry.queue, *entry) {
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
        let Self { stored, lost, duplicates, moved, stayed } = self;
        write!(
            f,
            "{stored} messages: {lost} lost, {duplicates} consumed again; longest pause of a queue that moved {} ms, of one that stayed {} ms",
            moved.as_millis(),
            stayed.as_millis()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(at: u64, stored: u64, member: usize, queue: i32, offset: i64) -> Entry {
        Entry { at: at * 1_000, stored: stored * 1_000, member, queue, offset }
    }

    #[test]
    fn what_is_missing_and_what_came_twice_is_counted() {
        let entries =
            [entry(1, 0, 0, 0, 0), entry(2, 0, 0, 1, 0), entry(3, 0, 1, 0, 0), entry(4, 0, 1, 0, 2)];
        let tally = Tally::of(&entries, &BTreeMap::from([(0, 3), (1, 2)]));
        assert_eq!((tally.stored, tally.lost, tally.duplicates), (5, 2, 1));
    }

    #[test]
    fn a_pause_is_time_with_messages_and_nobody_at_them() {
        // Queue 0 moves after 30 ms; queue 1 stays, and waits 5 ms of its 90 for a message that is there.
        let entries = [
            entry(0, 0, 0, 0, 0),
            entry(0, 0, 0, 1, 0),
            entry(10, 0, 0, 0, 1),
            entry(40, 0, 1, 0, 2),
            entry(90, 85, 0, 1, 1),
        ];
        let tally = Tally::of(&entries, &BTreeMap::from([(0, 3), (1, 2)]));
        assert_eq!((tally.moved.as_millis(), tally.stayed.as_millis()), (30, 10));
    }
}
