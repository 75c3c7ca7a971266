//! Letting go: of a queue that went to another member or whose offset the broker moved, and of everything at the end.
//!
//! Drain, store, release: no new work; what is at listeners or on its way back is waited for, up to a deadline; the
//! offset is stored and the answer waited for; then the queue is forgotten, and nothing that comes later counts.

use std::time::{Duration, Instant};

use super::{ConsumerGroup, Life};
use crate::action::{Action, PersistMode};
use crate::backoff::Backoff;
use crate::event::Event;
use crate::id::{PersistId, QueueKey};
use crate::offset::CommitOffset;
use crate::queue::{Correction, Phase, Queue};
use crate::status::TerminationReport;
use crate::timer::Timer;

/// How long storing the offset of a queue may take, with all its tries.
const STORE_TIMEOUT: Duration = Duration::from_secs(3);
const STORE_AGAIN: Backoff = Backoff { first: Duration::from_millis(200), most: Duration::from_secs(1) };

impl ConsumerGroup {
    /// Ends the group: stops pulling, waits up to `grace` for what is at listeners, stores every offset, leaves the
    /// group at the brokers. [`Action::Terminated`] comes at the latest some seconds after the grace period. Called
    /// again with less grace, it hurries.
    pub fn shut_down(&mut self, now: Instant, grace: Duration) {
        let wanted = now + grace;
        match &mut self.life {
            Life::Terminated => return,
            Life::ShuttingDown { deadline, .. } => *deadline = wanted.min(*deadline),
            Life::Running => {
                self.life = Life::ShuttingDown { deadline: wanted, report: TerminationReport::default() };
            }
        }
        self.timers.disarm(Timer::Rebalance);
        self.timers.disarm(Timer::Routes);
        let keys: Vec<QueueKey> = self.queues.keys().copied().collect();
        for key in keys {
            self.revoke(now, key, wanted);
        }
        self.terminate_if_empty();
    }

    /// Gives a queue up by `deadline`.
    pub(super) fn revoke(&mut self, now: Instant, key: QueueKey, deadline: Instant) {
        let Some(queue) = self.queues.get_mut(&key) else { return };
        let first_time = !std::mem::replace(&mut queue.revoked, true);
        let mq = queue.mq.clone();
        let deadline = match &mut queue.phase {
            Phase::Locking | Phase::Locating { .. } => return self.unlock_or_release(now, key, false),
            Phase::Storing { .. } | Phase::Unlocking { .. } => return,
            Phase::Draining { deadline: before } => deadline.min(*before),
            Phase::Consuming | Phase::Halted { .. } => deadline,
        };
        queue.phase = Phase::Draining { deadline };
        if first_time && matches!(self.life, Life::Running) {
            self.event(Event::QueueRevoked { mq });
        }
        self.drain(now, key, deadline);
    }

    pub(super) fn drain(&mut self, now: Instant, key: QueueKey, deadline: Instant) {
        self.forget_delayed_send_backs(key);
        self.timers.arm(Timer::Queue(key), deadline);
        self.store_if_drained(now, key);
    }

    /// Stores the offset of a queue that is drained, once no pull on its way can overwrite it.
    pub(super) fn store_if_drained(&mut self, now: Instant, key: QueueKey) {
        let Some(queue) = self.queues.get_mut(&key).filter(|queue| queue.is_drained()) else { return };
        let Phase::Draining { deadline } = queue.phase else { return };
        queue.advance_offset();
        match queue.pull.may_overwrite(queue.offset_to_leave()).filter(|&until| until > now) {
            Some(until) => self.timers.arm(Timer::Queue(key), until.min(deadline)),
            None => self.store(now, key),
        }
    }

    pub(super) fn store(&mut self, now: Instant, key: QueueKey) {
        let live = self.config.lock_max_live_time;
        let Some(queue) = self.queues.get_mut(&key) else { return };
        if !queue.is_unlocked_for(now, live) {
            // The lock could not be renewed: the queue may have another owner, whose offset counts.
            return self.unlock_or_release(now, key, false);
        }
        queue.advance_offset();
        let offset = queue.offset_to_leave();
        queue.phase = Phase::Storing { offset, asked: None, failures: 0, deadline: now + STORE_TIMEOUT };
        self.send_backs.forget(key);
        self.try_store(now, key);
    }

    fn try_store(&mut self, now: Instant, key: QueueKey) {
        let serial = self.next_serial();
        let Some(queue) = self.queues.get_mut(&key) else { return };
        let Phase::Storing { offset, asked, deadline, .. } = &mut queue.phase else { return };
        if now >= *deadline {
            return self.release_or_resume(now, key, false);
        }
        if asked.is_none() {
            *asked = Some(serial);
            let (mq, mode) = (queue.mq.clone(), PersistMode::Sync);
            self.out.push_back(Action::PersistOffset {
                id: PersistId { queue: key, serial },
                mq,
                offset: *offset,
                mode,
            });
        }
        self.timers.arm(Timer::Queue(key), *deadline);
    }

    /// Whether an offset was stored. Of those sent one-way only what is known to have failed needs to be told.
    pub fn handle_persisted(&mut self, now: Instant, id: PersistId, result: Result<(), String>) {
        let Some(queue) = self.queues.get_mut(&id.queue) else { return };
        let Phase::Storing { offset, asked, failures, deadline } = &mut queue.phase else {
            if result.is_err() {
                queue.offset.mark_lost();
            }
            return;
        };
        if *asked != Some(id.serial) {
            return;
        }
        *asked = None;
        let Err(reason) = result else { return self.offset_stored(now, id.queue) };
        *failures = failures.saturating_add(1);
        let again = now + STORE_AGAIN.after(*failures, &mut self.random);
        let (at, mq, offset) = (again.min(*deadline), queue.mq.clone(), *offset);
        self.timers.arm(Timer::Queue(id.queue), at);
        self.event(Event::PersistFailed { mq, offset, reason });
    }

    pub(super) fn release_or_resume(&mut self, now: Instant, key: QueueKey, stored: bool) {
        let correction =
            self.queues.get(&key).filter(|queue| !queue.revoked).and_then(|queue| queue.corrected);
        match correction {
            Some(correction) => self.resume(now, key, correction, stored),
            None => self.unlock_or_release(now, key, stored),
        }
    }

    /// Goes on from a corrected offset, as a new ownership: what the old one left behind finds nothing.
    fn resume(&mut self, now: Instant, key: QueueKey, correction: Correction, stored: bool) {
        let Some(old) = self.forget_queue(key) else { return };
        let Correction { from, to } = correction;
        let key = QueueKey(self.next_serial());
        let mut queue = Queue::new(now, key, old.mq.clone(), old.retry_topic, old.limits);
        queue.lock = old.lock;
        queue.begin(if stored { CommitOffset::stored(to) } else { CommitOffset::fresh(to) });
        if from == to {
            // A broker that corrects an offset to itself would be asked in a tight loop.
            queue.pull.not_before = Some(now + self.config.pull_time_delay_when_exception);
        }
        self.owned.insert(old.mq, key);
        self.queues.insert(key, queue);
        self.pull_if_open(now, key);
    }

    pub(super) fn release(&mut self, now: Instant, key: QueueKey, stored: bool) {
        self.remember_settled(key, stored);
        let Some(queue) = self.forget_queue(key) else { return };
        self.stats.queues_released += 1;
        let located = queue.is_located();
        let offset = queue.offset_to_leave();
        if located {
            self.event(Event::QueueReleased {
                mq: queue.mq.clone(),
                stored: stored.then_some(offset),
                unsettled: queue.window.len(),
                running: queue.running,
            });
        }
        if queue.wanted_again {
            self.rebalance_now(now);
        }
        self.share_limits(&queue.mq.topic);
        if let Life::ShuttingDown { report, .. } = &mut self.life {
            report.unsettled += queue.window.len();
            report.batches_running += queue.running;
            if located && !stored {
                report.offsets_not_stored.push(queue.mq);
            }
        }
        self.terminate_if_empty();
    }

    pub(super) fn forget_queue(&mut self, key: QueueKey) -> Option<Queue> {
        let queue = self.queues.remove(&key)?;
        self.owned.remove(&queue.mq);
        self.timers.disarm(Timer::Queue(key));
        self.timers.disarm(Timer::Consume(key));
        self.send_backs.forget(key);
        Some(queue)
    }

    fn terminate_if_empty(&mut self) {
        let Life::ShuttingDown { report, .. } = &mut self.life else { return };
        if !self.queues.is_empty() {
            return;
        }
        let report = std::mem::take(report);
        self.life = Life::Terminated;
        self.timers.clear();
        if self.heartbeats.ever_sent {
            self.out.push_back(Action::Unregister);
        }
        self.out.push_back(Action::Terminated(report));
    }

    pub(super) fn wake_queue(&mut self, now: Instant, key: QueueKey) {
        match self.queues.get(&key).map(|queue| queue.phase) {
            Some(Phase::Locating { .. }) => self.locate(now, key),
            Some(Phase::Consuming | Phase::Halted { .. }) => self.wake_pull(now, key),
            Some(Phase::Draining { .. }) => self.store(now, key),
            Some(Phase::Storing { .. }) => self.try_store(now, key),
            Some(Phase::Unlocking { .. }) => self.try_unlock(now, key),
            Some(Phase::Locking) | None => {}
        }
    }

    /// Sends what the brokers do not know yet, one-way.
    pub(super) fn persist_dirty(&mut self, now: Instant) {
        self.timers.arm(Timer::Persist, now + self.config.persist_consumer_offset_interval);
        let live = self.config.lock_max_live_time;
        let ours = |queue: &&mut Queue| {
            queue.settles() && queue.corrected.is_none() && queue.is_unlocked_for(now, live)
        };
        for queue in self.queues.values_mut().filter(ours) {
            let Some(offset) = queue.offset.dirty() else { continue };
            queue.offset.mark_stored(offset);
            self.serial += 1;
            let (id, mq) = (PersistId { queue: queue.key, serial: self.serial }, queue.mq.clone());
            self.out.push_back(Action::PersistOffset { id, mq, offset, mode: PersistMode::Oneway });
        }
    }
}
