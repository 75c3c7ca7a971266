//! Invisible times that end: of what waits here, which the broker then delivers again, and of what is at a listener, which is
//! lengthened as long as the listener is at work, so that no other member gets a message that is being consumed.

use std::time::{Duration, Instant};

use gantry_protocol::pop::PopReceipt;

use super::consuming::RunningBatch;
use super::queue::PopQueue;
use super::settlements::{Ask, Unsettled};
use super::{PopConsumerGroup, Timer};
use crate::id::{BatchId, QueueKey};

/// A listener that is at work for longer has its messages come again (RocketMQ's proxy: renewMaxTimeMillis).
const MOST: Duration = Duration::from_secs(3 * 3_600);
/// The part of an invisible time that is left when it is lengthened.
const AHEAD: u32 = 3;

impl RunningBatch {
    /// When its messages' invisible times are to be lengthened; none when they are not, or no more.
    pub(super) fn lengthen_at(&self, now: Instant, invisible_time: Duration) -> Option<Instant> {
        if self.results.is_some() || self.lengthening > 0 || now >= self.since + MOST {
            return None;
        }
        let deadlines = self.popped.iter().map(|popped| popped.deadline);
        let first = deadlines.filter(|&deadline| deadline > now).min()?;
        first.checked_sub(invisible_time / AHEAD)
    }
}

impl PopConsumerGroup {
    /// Looks at what is held at this time, or sooner.
    pub(super) fn sweep_at(&mut self, at: Option<Instant>) {
        if let Some(at) = at {
            self.timers.arm_no_later(Timer::Sweep, at);
        }
    }

    pub(super) fn sweep(&mut self, now: Instant) {
        let keys: Vec<QueueKey> = self.queues.keys().copied().collect();
        for key in keys {
            let Some(queue) = self.queues.get_mut(&key) else { continue };
            let count = queue.expire(now);
            if count > 0 {
                self.expired(key, count);
                self.settled(now, key, count);
            }
        }
        let by = self.config.pop_invisible_time;
        let due = |batch: &RunningBatch| batch.lengthen_at(now, by).is_some_and(|at| at <= now);
        for (&id, batch) in self.batches.iter_mut().filter(|(_, batch)| due(batch)) {
            for (place, popped) in batch.popped.iter().enumerate().filter(|(_, one)| one.deadline > now) {
                batch.lengthening += 1;
                let mq = batch.mq.clone();
                let (popped, ask) = (popped.clone(), Ask::Lengthen { batch: id, place, by });
                self.settlements.push(Unsettled { queue: id.queue, mq, popped, ask, failures: 0 });
            }
        }
        let waiting = self.queues.values().filter_map(PopQueue::next_expiry);
        let running = self.batches.values().filter_map(|batch| batch.lengthen_at(now, by));
        let next = waiting.chain(running).min();
        self.sweep_at(next);
    }

    /// The broker hides a message at a listener for longer.
    pub(super) fn lengthened(&mut self, now: Instant, id: BatchId, place: usize, receipt: PopReceipt) {
        self.stats.lengthened += 1;
        if let Some(popped) = self.batches.get_mut(&id).and_then(|batch| batch.popped.get_mut(place)) {
            popped.receipt = receipt;
            popped.deadline = now + Duration::from_millis(receipt.invisible_time.max(0).unsigned_abs());
        }
        self.lengthening_ended(now, id);
    }

    pub(super) fn lengthening_ended(&mut self, now: Instant, id: BatchId) {
        if let Some(batch) = self.batches.get_mut(&id) {
            batch.lengthening -= 1;
            let next = batch.lengthen_at(now, self.config.pop_invisible_time);
            self.sweep_at(next);
        }
        self.settle_batch(now, id);
    }
}
