//! Locks: a queue of an orderly or cooperative group is read under its broker's lock only, so that its next owner begins
//! when its last one has stored its offset (RocketMQ: RebalanceImpl.lock, lockAll, unlock).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gantry_protocol::MessageQueue;

use super::{ConsumerGroup, Life};
use crate::action::{Action, LockRequest, UnlockRequest};
use crate::backoff::Backoff;
use crate::config::{ConsumeMode, GroupConfig};
use crate::event::Event;
use crate::id::{LockId, QueueKey, UnlockId};
use crate::input::LockFailure;
use crate::lock::{FAILED, HELD, QueueLock};
use crate::queue::{Locating, Phase};
use crate::timer::Timer;

/// What the name of a concurrent group's locks begins with. Brokers count a group with locks under its own name as
/// orderly, and then file messages sent to its retry topic as dead letters.
const HANDOVER: &str = "GANTRY_HANDOVER_";
/// How long giving a lock back may take, with all its tries.
const UNLOCK_TIMEOUT: Duration = Duration::from_millis(1_500);
const UNLOCK_AGAIN: Backoff = Backoff { first: Duration::from_millis(100), most: Duration::from_millis(500) };
/// Answers in a row without the lock after which that is said.
const HELD_IS_SAID: u32 = 8;

/// The name a group's locks are kept under.
pub(super) fn lock_group(config: &GroupConfig) -> String {
    match config.consume_mode {
        ConsumeMode::Orderly => config.consumer_group.clone(),
        ConsumeMode::Concurrently => format!("{HANDOVER}{}", config.consumer_group),
    }
}

impl ConsumerGroup {
    /// Whether queues of a topic are read under locks.
    pub(super) fn needs_lock(&self, topic: &str) -> bool {
        let cooperative = self.cooperative.contains(topic) && !self.locks_refused;
        self.is_clustering() && (self.is_orderly() || cooperative)
    }

    /// Gives the queues of a topic that are here the locks they need from now on, and takes those they do not. A queue that
    /// is consumed goes on meanwhile.
    pub(super) fn suit_locks(&mut self, now: Instant, topic: &str) {
        let needed = self.needs_lock(topic);
        for (mq, key) in self.owned_of(topic) {
            let Some(queue) = self.queues.get_mut(&key) else { continue };
            let leaving = !(queue.reads() || matches!(queue.phase, Phase::Locking | Phase::Locating { .. }));
            match (needed, queue.lock.is_some()) {
                (true, false) if !leaving => queue.lock = Some(QueueLock::adopted(now)),
                (false, true) if !leaving => {
                    queue.lock = None;
                    self.unlock_quietly(self.client_id.clone(), vec![mq]);
                    self.begin_locating(now, key);
                }
                _ => {}
            }
        }
        self.arm_locks();
    }

    /// A queue that waits for its lock goes on without one.
    fn begin_locating(&mut self, now: Instant, key: QueueKey) {
        let Some(queue) = self.queues.get_mut(&key) else { return };
        if matches!(queue.phase, Phase::Locking) {
            queue.phase = Phase::Locating { step: Locating::Stored, asked: None, failures: 0 };
            self.locate(now, key);
        }
    }

    pub(super) fn arm_locks(&mut self) {
        let locks = self.queues.values().filter(|queue| !matches!(queue.phase, Phase::Unlocking { .. }));
        let waiting = locks.filter_map(|queue| queue.lock.as_ref()).filter(|lock| lock.asked.is_none());
        match waiting.map(|lock| lock.due).chain(self.lock_requests.next_overdue()).min() {
            Some(due) => self.timers.arm(Timer::Locks, due),
            None => self.timers.disarm(Timer::Locks),
        }
    }

    /// Renews a queue's lock at once: its broker is back, and may have been started anew without its locks.
    pub(super) fn relock(&mut self, now: Instant, key: QueueKey) {
        if let Some(lock) = self.queues.get_mut(&key).and_then(|queue| queue.lock.as_mut()) {
            lock.due = lock.due.min(now);
            self.arm_locks();
        }
    }

    /// Asks for the locks that are due, with one request a broker.
    pub(super) fn ask_locks(&mut self, now: Instant) {
        while let Some(id) = self.lock_requests.overdue(now) {
            let lost = LockFailure::Failed("no answer came, nor a time-out".to_owned());
            self.handle_locked(now, id, Err(lost));
        }
        let mut by_broker: BTreeMap<Arc<str>, Vec<QueueKey>> = BTreeMap::new();
        for queue in self.queues.values() {
            let due = queue.lock.as_ref().is_some_and(|lock| lock.asked.is_none() && lock.due <= now);
            if due && !matches!(queue.phase, Phase::Unlocking { .. }) {
                by_broker.entry(queue.mq.broker_name.clone()).or_default().push(queue.key);
            }
        }
        for keys in by_broker.into_values() {
            let id = LockId(self.next_serial());
            let mut mqs = Vec::with_capacity(keys.len());
            for key in keys {
                let Some(queue) = self.queues.get_mut(&key) else { continue };
                if let Some(lock) = &mut queue.lock {
                    lock.asked = Some(id);
                    mqs.push(queue.mq.clone());
                }
            }
            self.lock_requests.sent(id, now, mqs.clone());
            let (group, replica_will_do) = (self.lock_group.clone(), !self.is_orderly());
            self.out.push_back(Action::Lock(LockRequest { id, group, mqs, replica_will_do }));
        }
        self.arm_locks();
    }

    /// Which of the queues asked for are locked for this client now.
    pub fn handle_locked(
        &mut self,
        now: Instant,
        id: LockId,
        result: Result<Vec<MessageQueue>, LockFailure>,
    ) {
        let Some(request) = self.lock_requests.answered(id) else { return };
        if matches!(self.life, Life::Terminated) {
            return;
        }
        match result {
            Ok(granted) => {
                let granted: BTreeSet<MessageQueue> = granted.into_iter().collect();
                let (granted, denied): (Vec<_>, Vec<_>) =
                    request.mqs.into_iter().partition(|mq| granted.contains(mq));
                for mq in granted {
                    self.lock_granted(now, mq, id, request.at);
                }
                self.locks_denied(now, denied, id);
            }
            Err(LockFailure::Refused(reason)) if !self.is_orderly() => {
                self.event(Event::LocksRefused { reason });
                self.locks_refused = true;
                let topics: BTreeSet<Arc<str>> = self.owned.keys().map(|mq| mq.topic.clone()).collect();
                for topic in topics {
                    self.suit_locks(now, &topic);
                }
            }
            Err(LockFailure::Refused(_) | LockFailure::Failed(_)) => {
                for mq in request.mqs {
                    if let Some(key) = self.asked_for(&mq, id) {
                        self.lock_unknown(now, key);
                    }
                }
            }
        }
        self.arm_locks();
    }

    /// The queue whose lock this request asked for, unless it was let go or has asked again.
    fn asked_for(&self, mq: &MessageQueue, id: LockId) -> Option<QueueKey> {
        let key = *self.owned.get(mq)?;
        let asked = self.queues.get(&key)?.lock.as_ref()?.asked;
        (asked == Some(id)).then_some(key)
    }

    fn lock_granted(&mut self, now: Instant, mq: MessageQueue, id: LockId, asked_at: Instant) {
        let Some(key) = self.asked_for(&mq, id) else {
            let wanted =
                self.owned.get(&mq).and_then(|key| self.queues.get(key)).is_some_and(|q| q.lock.is_some());
            if !wanted {
                self.unlock_quietly(self.client_id.clone(), vec![mq]);
            }
            return;
        };
        let renew_in = self.config.lock_interval;
        let Some(queue) = self.queues.get_mut(&key) else { return };
        let unbroken = queue.lock.as_mut().is_some_and(|lock| lock.grant(asked_at, renew_in));
        match queue.phase {
            Phase::Locking => self.begin_locating(now, key),
            Phase::Unlocking { .. } => self.try_unlock(now, key),
            _ if !unbroken => self.lock_lost(now, key),
            _ => self.join_line(key),
        }
    }

    fn locks_denied(&mut self, now: Instant, denied: Vec<MessageQueue>, id: LockId) {
        let mut held = Vec::new();
        for mq in denied {
            let Some(key) = self.asked_for(&mq, id) else { continue };
            let Some(queue) = self.queues.get_mut(&key) else { continue };
            let Some(lock) = &mut queue.lock else { continue };
            let (adopting, failures) = (lock.is_adopting(), lock.not_granted(now, HELD, &mut self.random));
            match queue.phase {
                Phase::Locking => {
                    if failures == HELD_IS_SAID {
                        self.event(Event::LockHeld { mq: mq.clone() });
                    }
                    if failures.is_power_of_two() {
                        held.push(mq);
                    }
                }
                Phase::Unlocking { stored, .. } => self.release(now, key, stored),
                // Another member has taken it under its lock since this group began to use locks: it is to have it.
                _ if adopting => self.revoke(now, key, now + self.config.drain_timeout),
                _ => self.lock_lost(now, key),
            }
        }
        if !held.is_empty() {
            self.unlock_for_the_gone(now, &held);
        }
    }

    /// Members that are gone hold no queue any longer than it takes to see that they are gone.
    fn unlock_for_the_gone(&mut self, now: Instant, held: &[MessageQueue]) {
        let gone: Vec<String> = self.roster.gone(now).cloned().collect();
        for client_id in gone {
            self.unlock_quietly(client_id, held.to_vec());
        }
    }

    fn lock_unknown(&mut self, now: Instant, key: QueueKey) {
        let Some(queue) = self.queues.get_mut(&key) else { return };
        if let Some(lock) = &mut queue.lock {
            lock.not_granted(now, FAILED, &mut self.random);
        }
        if let Phase::Unlocking { .. } = queue.phase {
            self.try_unlock(now, key);
        }
    }

    /// Somebody else has, or may have had, the lock: nothing that is here may be stored any more. If the queue is still
    /// allocated here it is waited for anew.
    fn lock_lost(&mut self, now: Instant, key: QueueKey) {
        let Some(queue) = self.queues.get(&key) else { return };
        let (mq, revoked) = (queue.mq.clone(), queue.revoked);
        self.stats.locks_lost += 1;
        self.event(Event::LockLost { mq: mq.clone() });
        self.release(now, key, false);
        if !revoked {
            self.take_queue(now, mq, false);
        }
    }

    /// Gives a queue up whose offset has been seen to: its lock first, where it has one.
    pub(super) fn unlock_or_release(&mut self, now: Instant, key: QueueKey, stored: bool) {
        let Some(queue) = self.queues.get_mut(&key) else { return };
        if !queue.lock.as_ref().is_some_and(QueueLock::may_be_held) {
            return self.release(now, key, stored);
        }
        queue.phase = Phase::Unlocking { stored, asked: None, failures: 0, deadline: now + UNLOCK_TIMEOUT };
        self.arm_locks();
        self.try_unlock(now, key);
    }

    /// A lock that is being asked for is waited for: the broker may take the two in any order.
    pub(super) fn try_unlock(&mut self, now: Instant, key: QueueKey) {
        let serial = self.next_serial();
        let Some(queue) = self.queues.get_mut(&key) else { return };
        let Phase::Unlocking { stored, asked, deadline, .. } = &mut queue.phase else { return };
        let (stored, deadline) = (*stored, *deadline);
        if now >= deadline {
            let mq = queue.mq.clone();
            self.event(Event::LockNotReleased { mq });
            return self.release(now, key, stored);
        }
        if asked.is_none() && queue.lock.as_ref().is_none_or(|lock| lock.asked.is_none()) {
            *asked = Some(serial);
            let (group, client_id) = (self.lock_group.clone(), self.client_id.clone());
            let id = Some(UnlockId { queue: key, serial });
            let mqs = vec![queue.mq.clone()];
            self.out.push_back(Action::Unlock(UnlockRequest { id, group, client_id, mqs }));
        }
        self.timers.arm(Timer::Queue(key), deadline);
    }

    /// Whether a lock was given back.
    pub fn handle_unlocked(&mut self, now: Instant, id: UnlockId, result: Result<(), String>) {
        let Some(queue) = self.queues.get_mut(&id.queue) else { return };
        let Phase::Unlocking { stored, asked, failures, deadline } = &mut queue.phase else { return };
        if *asked != Some(id.serial) {
            return;
        }
        *asked = None;
        let stored = *stored;
        if result.is_ok() {
            return self.release(now, id.queue, stored);
        }
        *failures = failures.saturating_add(1);
        let again = now + UNLOCK_AGAIN.after(*failures, &mut self.random);
        self.timers.arm(Timer::Queue(id.queue), again.min(*deadline));
    }

    fn unlock_quietly(&mut self, client_id: String, mqs: Vec<MessageQueue>) {
        let mut by_broker: BTreeMap<Arc<str>, Vec<MessageQueue>> = BTreeMap::new();
        for mq in mqs {
            by_broker.entry(mq.broker_name.clone()).or_default().push(mq);
        }
        for mqs in by_broker.into_values() {
            let (group, client_id) = (self.lock_group.clone(), client_id.clone());
            self.out.push_back(Action::Unlock(UnlockRequest { id: None, group, client_id, mqs }));
        }
    }
}
