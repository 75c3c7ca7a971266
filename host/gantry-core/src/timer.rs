//! One table of everything that waits for a time, of which only the earliest is ever armed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use crate::id::QueueKey;

/// What waits in a group that pulls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// When the next topic's route is due to be asked for.
    Routes,
    /// When the next heartbeat is due.
    Heartbeat,
    /// When queues are to be allocated again.
    Rebalance,
    /// When dirty offsets are to be stored.
    Persist,
    /// When the next failed send-back is to be tried again.
    SendBacks,
    /// When the next lock is due to be asked for or renewed.
    Locks,
    /// When what is settled above the commit points is to be journalled.
    Journal,
    /// When queues are to be looked at for progress.
    Watch,
    /// When a queue that is suspended or held to a rate may be consumed again.
    Consume(QueueKey),
    /// When a queue has something to do: pull again, ask again for its offset, or stop waiting for its batches
    /// or for the answer to its last offset.
    Queue(QueueKey),
}

/// Each timer is armed at most once; arming it again moves it.
#[derive(Debug)]
pub(crate) struct Timers<T> {
    at: BTreeMap<T, Instant>,
    order: BTreeSet<(Instant, T)>,
}

impl<T> Default for Timers<T> {
    fn default() -> Self {
        Self { at: BTreeMap::new(), order: BTreeSet::new() }
    }
}

impl<T: Copy + Ord> Timers<T> {
    pub(crate) fn arm(&mut self, timer: T, at: Instant) {
        if let Some(before) = self.at.insert(timer, at) {
            self.order.remove(&(before, timer));
        }
        self.order.insert((at, timer));
    }

    /// Arms the timer, but never later than it already is.
    pub(crate) fn arm_no_later(&mut self, timer: T, at: Instant) {
        if self.at.get(&timer).is_none_or(|&before| at < before) {
            self.arm(timer, at);
        }
    }

    pub(crate) fn disarm(&mut self, timer: T) {
        if let Some(at) = self.at.remove(&timer) {
            self.order.remove(&(at, timer));
        }
    }

    pub(crate) fn clear(&mut self) {
        self.at.clear();
        self.order.clear();
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.order.first().map(|&(at, _)| at)
    }

    /// The earliest timer that is due, disarmed.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<T> {
        let &(at, timer) = self.order.first()?;
        if at > now {
            return None;
        }
        self.disarm(timer);
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn timers_come_due_in_order_and_arming_again_moves_them() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut timers = Timers::default();
        timers.arm(Timer::Persist, at(1));
        timers.arm(Timer::Heartbeat, at(2));
        timers.arm(Timer::Persist, at(3));
        timers.arm_no_later(Timer::Heartbeat, at(5));
        assert_eq!(timers.next(), Some(at(2)));
        assert_eq!(timers.pop_due(at(1)), None);
        assert_eq!(timers.pop_due(at(9)), Some(Timer::Heartbeat));
        assert_eq!(timers.pop_due(at(9)), Some(Timer::Persist));
        assert_eq!(timers.next(), None);
        timers.arm_no_later(Timer::Queue(QueueKey(1)), at(4));
        timers.disarm(Timer::Queue(QueueKey(1)));
        assert_eq!(timers.pop_due(at(9)), None);
    }
}
