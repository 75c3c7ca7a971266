//! What is settled above the commit points, told to the driver to be kept, and skipped where a queue is read again.

use std::time::Instant;

use super::ConsumerGroup;
use crate::action::Action;
use crate::event::Event;
use crate::id::QueueKey;
use crate::queue::Queue;
use crate::settled::{QueueJournal, SettledOffsets};
use crate::timer::Timer;

impl ConsumerGroup {
    /// Something of the queue was settled.
    pub(super) fn journal_soon(&mut self, now: Instant, key: QueueKey) {
        let Some(interval) = self.config.journal_interval else { return };
        if self.queues.get(&key).is_some_and(|queue| queue.journal_due) {
            self.timers.arm_no_later(Timer::Journal, now + interval);
        }
    }

    pub(super) fn write_journal(&mut self) {
        let due = |queue: &&mut Queue| queue.journal_due && queue.settles() && queue.corrected.is_none();
        for queue in self.queues.values_mut().filter(due) {
            queue.journal_due = false;
            let settled = Some(snapshot(queue));
            self.out.push_back(Action::Journal(QueueJournal { mq: queue.mq.clone(), settled }));
        }
    }

    /// Keeps nothing of a queue whose offset is being moved: what was settled before is wanted again, or is no more.
    pub(super) fn forget_settled(&mut self, key: QueueKey) {
        if self.config.journal_interval.is_some()
            && let Some(queue) = self.queues.get(&key)
        {
            self.out.push_back(Action::Journal(QueueJournal { mq: queue.mq.clone(), settled: None }));
        }
    }

    /// Keeps what a queue that is being let go had settled above its offset, and forgets it where nothing is.
    pub(super) fn remember_settled(&mut self, key: QueueKey, stored: bool) {
        if self.config.journal_interval.is_none() {
            return;
        }
        let Some(queue) = self.queues.get(&key).filter(|queue| queue.is_located()) else { return };
        let (mq, snapshot) = (queue.mq.clone(), snapshot(queue));
        let nothing_left = queue.corrected.is_some() || (stored && snapshot.ranges.is_empty());
        let settled = (!nothing_left).then_some(snapshot);
        match &settled {
            Some(settled) => self.settled.insert(mq.clone(), settled.clone()),
            None => self.settled.remove(&mq),
        };
        self.out.push_back(Action::Journal(QueueJournal { mq, settled }));
    }

    /// What a queue that begins at its stored offset may skip.
    pub(super) fn skip_settled(&mut self, key: QueueKey, stored: i64) {
        let Some(queue) = self.queues.get_mut(&key) else { return };
        let Some(settled) = self.settled.remove(&queue.mq) else { return };
        if settled.hold_from(stored) {
            queue.newest_settled = settled.newest_store_timestamp;
            queue.skip = Some(settled.from(stored)).filter(|skip| !skip.is_past(stored));
        } else {
            let (mq, commit) = (queue.mq.clone(), settled.commit);
            self.event(Event::JournalIgnored { mq, stored, commit });
        }
    }
}

fn snapshot(queue: &Queue) -> SettledOffsets {
    let mut settled = SettledOffsets {
        stored: queue.offset.floor(),
        commit: queue.offset.value(),
        newest_store_timestamp: queue.newest_settled,
        ranges: Vec::new(),
    };
    settled.extend(queue.window.settled_runs());
    let end = queue.window.end();
    let ahead = queue.skip.iter().flat_map(|skip| &skip.ranges).filter(|(_, last)| *last > end);
    settled.extend(ahead.map(|&(first, last)| (first.max(end), last)));
    settled
}
