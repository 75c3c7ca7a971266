//! Broker locks of queues (RocketMQ: RebalanceLockManager): what one queue's lock says, and the requests on their way.
//!
//! A broker ends a lock 60 s after it was last asked for. A holder renews it every `lock_interval` and believes in it for
//! `lock_max_live_time` after the last request that was granted *was sent*, so that no two hosts believe in one lock.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use gantry_protocol::MessageQueue;

use crate::backoff::{ANSWER_OVERDUE, Backoff};
use crate::id::LockId;

/// RocketMQ: rocketmq.broker.rebalance.lockMaxLiveTime.
pub(crate) const BROKER_LEASE: Duration = Duration::from_secs(60);
/// How soon a lock that somebody else holds is asked for again (RocketMQ: 500 ms to 20 s).
pub(crate) const HELD: Backoff =
    Backoff { first: Duration::from_millis(50), most: Duration::from_millis(300) };
/// How soon a lock is asked for again after a request that failed.
pub(crate) const FAILED: Backoff =
    Backoff { first: Duration::from_millis(200), most: Duration::from_secs(2) };

/// One queue's lock.
#[derive(Debug, Clone)]
pub(crate) struct QueueLock {
    /// When the last request that was granted was sent.
    granted: Option<Instant>,
    /// The request on its way.
    pub(crate) asked: Option<LockId>,
    /// When it is to be asked for next.
    pub(crate) due: Instant,
    /// Answers in a row that did not grant it.
    failures: u32,
    /// The queue was owned before locks were asked for, and goes on until the first answer.
    adopting: bool,
}

impl QueueLock {
    /// A lock to be had before the queue is read.
    pub(crate) fn wanted(now: Instant) -> Self {
        Self { granted: None, asked: None, due: now, failures: 0, adopting: false }
    }

    /// A lock for a queue that is consumed already.
    pub(crate) fn adopted(now: Instant) -> Self {
        Self { adopting: true, ..Self::wanted(now) }
    }

    /// Whether the queue may be consumed.
    pub(crate) fn is_valid(&self, now: Instant, live: Duration) -> bool {
        self.adopting || self.granted.is_some_and(|granted| now < granted + live)
    }

    /// Whether the queue goes on though no answer has come yet.
    pub(crate) fn is_adopting(&self) -> bool {
        self.adopting
    }

    /// Whether it was granted, if only once.
    pub(crate) fn is_granted(&self) -> bool {
        self.granted.is_some()
    }

    /// Whether the broker may count this client its holder, now or when the request on its way arrives.
    pub(crate) fn may_be_held(&self) -> bool {
        self.granted.is_some() || self.asked.is_some()
    }

    /// Takes a grant of a request that was sent at `asked_at`. False when the lock had ended at the broker before: somebody
    /// else may have held it meanwhile.
    pub(crate) fn grant(&mut self, asked_at: Instant, renew_in: Duration) -> bool {
        let unbroken = self.granted.is_none_or(|granted| asked_at < granted + BROKER_LEASE);
        (self.granted, self.asked, self.failures, self.adopting) = (Some(asked_at), None, 0, false);
        self.due = asked_at + renew_in;
        unbroken
    }

    /// Takes an answer that did not grant it.
    pub(crate) fn not_granted(&mut self, now: Instant, again: Backoff, random: &mut fastrand::Rng) -> u32 {
        self.asked = None;
        self.failures = self.failures.saturating_add(1);
        self.due = now + again.after(self.failures, random);
        self.failures
    }
}

/// A LOCK_BATCH_MQ on its way.
#[derive(Debug)]
pub(crate) struct LockRequestSent {
    pub(crate) at: Instant,
    pub(crate) mqs: Vec<MessageQueue>,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct LockRequests {
    sent: BTreeMap<LockId, LockRequestSent>,
}

impl LockRequests {
    pub(crate) fn sent(&mut self, id: LockId, at: Instant, mqs: Vec<MessageQueue>) {
        self.sent.insert(id, LockRequestSent { at, mqs });
    }

    pub(crate) fn answered(&mut self, id: LockId) -> Option<LockRequestSent> {
        self.sent.remove(&id)
    }

    /// One whose answer got lost.
    pub(crate) fn overdue(&self, now: Instant) -> Option<LockId> {
        self.sent.iter().find(|(_, request)| request.at + ANSWER_OVERDUE <= now).map(|(&id, _)| id)
    }

    /// When the next one is given up.
    pub(crate) fn next_overdue(&self) -> Option<Instant> {
        self.sent.values().map(|request| request.at + ANSWER_OVERDUE).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIVE: Duration = Duration::from_secs(30);
    const RENEW: Duration = Duration::from_secs(20);

    #[test]
    fn a_lock_is_believed_for_its_time_from_when_it_was_asked_for() {
        let asked = Instant::now();
        let mut lock = QueueLock::wanted(asked);
        assert!(!lock.is_valid(asked, LIVE));
        assert!(lock.grant(asked, RENEW));
        assert!(lock.is_valid(asked + LIVE - Duration::from_millis(1), LIVE));
        assert!(!lock.is_valid(asked + LIVE, LIVE));
        assert_eq!(lock.due, asked + RENEW);
    }

    #[test]
    fn a_grant_after_the_brokers_lease_tells_that_others_may_have_had_it() {
        let start = Instant::now();
        let mut lock = QueueLock::wanted(start);
        assert!(lock.grant(start, RENEW));
        assert!(lock.grant(start + BROKER_LEASE - Duration::from_millis(1), RENEW));
        let last = start + BROKER_LEASE - Duration::from_millis(1);
        assert!(!lock.grant(last + BROKER_LEASE, RENEW));
    }

    #[test]
    fn a_queue_that_is_consumed_already_goes_on_until_the_first_answer() {
        let now = Instant::now();
        let mut lock = QueueLock::adopted(now);
        assert!(lock.is_valid(now + BROKER_LEASE, LIVE));
        assert!(lock.grant(now, RENEW));
        assert!(!lock.is_valid(now + LIVE, LIVE));
    }
}
