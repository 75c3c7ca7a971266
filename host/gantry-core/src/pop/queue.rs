//! What is held of one popped queue (RocketMQ: PopProcessQueue, PopRequest).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use gantry_protocol::pop::PopReceipt;
use gantry_protocol::{MessageExt, MessageQueue};

use crate::id::QueueKey;

/// What a listener needs of an invisible time at least, so that it can be lengthened before it ends.
const LEAST: Duration = Duration::from_millis(500);

/// A message that was popped and is not settled.
#[derive(Debug, Clone)]
pub(super) struct Popped {
    pub(super) message: MessageExt,
    pub(super) receipt: PopReceipt,
    /// When its invisible time ends at the latest. It is counted from when the answer came, which is no sooner than the broker
    /// counts from, and asks for no clock that runs with the broker's: RocketMQ compares the two clocks.
    pub(super) deadline: Instant,
}

impl Popped {
    /// When it is given to no listener any more: the broker would give it to another before it heard of the first.
    pub(super) fn too_late(&self) -> Instant {
        self.deadline.checked_sub(LEAST).unwrap_or(self.deadline)
    }
}

/// A message that waits for its listener.
#[derive(Debug)]
pub(super) struct Waiting {
    /// Its place in the subscription table.
    pub(super) listener: usize,
    pub(super) popped: Popped,
}

impl Waiting {
    /// Whether both go to the same listener from the same queue: messages of one batch do.
    fn goes_with(&self, listener: usize, receipt: &PopReceipt) -> bool {
        let own = &self.popped.receipt;
        self.listener == listener && (own.queue_id, own.retry) == (receipt.queue_id, receipt.retry)
    }
}

/// One queue, or any of a broker's.
#[derive(Debug)]
pub(super) struct PopQueue {
    pub(super) key: QueueKey,
    pub(super) mq: MessageQueue,
    pub(super) waiting: VecDeque<Waiting>,
    /// Messages popped and not settled: waiting, at listeners, and on their way to be settled (waitAckCounter).
    pub(super) wait_ack: usize,
    /// The pop on its way, and since when.
    pub(super) outstanding: Option<(u64, Instant)>,
    /// No pop before this time.
    pub(super) not_before: Option<Instant>,
    /// Pops that failed in a row.
    pub(super) failures: u32,
    /// It is in the line of those with something to consume.
    pub(super) in_line: bool,
    /// It is popped no more, and kept for what is not settled yet.
    pub(super) dropped: bool,
    pub(super) last_pop: Option<Instant>,
    pub(super) last_consume: Option<Instant>,
}

impl PopQueue {
    pub(super) fn new(key: QueueKey, mq: MessageQueue) -> Self {
        Self {
            key,
            mq,
            waiting: VecDeque::new(),
            wait_ack: 0,
            outstanding: None,
            not_before: None,
            failures: 0,
            in_line: false,
            dropped: false,
            last_pop: None,
            last_consume: None,
        }
    }

    /// Whether a listener that is not paused has something waiting. `most` tells a listener's largest batch, or none while it
    /// is paused.
    pub(super) fn has_work(&self, most: impl Fn(usize) -> Option<usize>) -> bool {
        self.waiting.iter().any(|waiting| most(waiting.listener).is_some())
    }

    /// The next batch: the oldest message whose listener is not paused, and what goes with it. Messages whose time is up are
    /// left to [`expire`](Self::expire).
    pub(super) fn take(
        &mut self,
        now: Instant,
        most: impl Fn(usize) -> Option<usize>,
    ) -> Option<(usize, Vec<Popped>)> {
        let ready = |waiting: &Waiting| waiting.popped.too_late() > now && most(waiting.listener).is_some();
        let mut place = self.waiting.iter().position(ready)?;
        let Waiting { listener, popped } = self.waiting.remove(place)?;
        let (most, first) = (most(listener)?.max(1), popped.receipt);
        let mut batch = vec![popped];
        while batch.len() < most
            && let Some(next) = self.waiting.get(place)
        {
            if !next.goes_with(listener, &first) || next.popped.too_late() <= now {
                place += 1;
            } else if let Some(next) = self.waiting.remove(place) {
                batch.push(next.popped);
            }
        }
        Some((listener, batch))
    }

    /// Puts a batch that no listener has seen back to the front.
    pub(super) fn put_back(&mut self, listener: usize, batch: Vec<Popped>) {
        for popped in batch.into_iter().rev() {
            self.waiting.push_front(Waiting { listener, popped });
        }
    }

    /// Forgets the waiting messages that are to be given to nobody; how many.
    pub(super) fn expire(&mut self, now: Instant) -> usize {
        let before = self.waiting.len();
        self.waiting.retain(|waiting| waiting.popped.too_late() > now);
        before - self.waiting.len()
    }

    /// When the next waiting message is to be given to nobody.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.waiting.iter().map(|waiting| waiting.popped.too_late()).min()
    }

    /// Whether nothing will come of it any more.
    pub(super) fn is_done(&self) -> bool {
        self.dropped && self.wait_ack == 0 && self.outstanding.is_none()
    }
}
