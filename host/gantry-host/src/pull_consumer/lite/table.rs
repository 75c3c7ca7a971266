//! The queues assigned to a consumer, and whose turn it is.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use gantry_protocol::MessageQueue;
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::PolledMessages;
use super::queue::{AssignedQueue, Generation, Step};
use super::settings::LitePullConsumerConfig;
use crate::pull_consumer::puller::PullResult;

/// How a queue's fetcher is woken.
#[derive(Debug, Default)]
pub(super) struct Signals {
    /// There may be room now, or the queue goes on.
    pub(super) room: Notify,
    /// What is being pulled is not wanted any more.
    pub(super) moved: Notify,
}

struct Slot {
    queue: AssignedQueue,
    signals: Arc<Signals>,
    /// Ends the fetcher with the slot.
    _fetcher: DropGuard,
}

/// A queue that was just added, for its fetcher.
pub(super) struct Added {
    pub(super) mq: MessageQueue,
    pub(super) signals: Arc<Signals>,
    pub(super) stop: CancellationToken,
}

/// The assigned queues.
#[derive(Default)]
pub(super) struct Table {
    slots: BTreeMap<MessageQueue, Slot>,
    /// How many there have been.
    assignments: u64,
    /// The queue poll returned messages of last.
    last: Option<MessageQueue>,
    /// Messages read ahead, of all queues.
    cached: usize,
    /// A fetcher waits because that is as many as there may be.
    full: bool,
}

impl Table {
    /// Adds the queues that are not there yet.
    pub(super) fn add(&mut self, queues: impl IntoIterator<Item = MessageQueue>) -> Vec<Added> {
        let mut added = Vec::new();
        for mq in queues {
            if self.slots.contains_key(&mq) {
                continue;
            }
            self.assignments += 1;
            let queue = AssignedQueue::new(self.assignments);
            let (signals, stop) = (Arc::<Signals>::default(), CancellationToken::new());
            let fetcher = stop.clone().drop_guard();
            let slot = Slot { queue, signals: Arc::clone(&signals), _fetcher: fetcher };
            self.slots.insert(mq.clone(), slot);
            added.push(Added { mq, signals, stop });
        }
        added
    }

    /// Takes queues out, and says which offset of each is the last that may be committed.
    pub(super) fn remove(&mut self, gone: &BTreeSet<MessageQueue>) -> Vec<(MessageQueue, Option<i64>)> {
        let mut removed = Vec::new();
        for mq in gone {
            if let Some(slot) = self.slots.remove(mq) {
                self.cached -= slot.queue.cached();
                removed.push((mq.clone(), slot.queue.finished_up_to()));
            }
        }
        self.wake_full();
        removed
    }

    /// The assigned queues, sorted.
    pub(super) fn assigned(&self) -> impl Iterator<Item = &MessageQueue> {
        self.slots.keys()
    }

    /// The assigned queues with their state, sorted.
    pub(super) fn queues(&self) -> impl Iterator<Item = (&MessageQueue, &AssignedQueue)> {
        self.slots.iter().map(|(mq, slot)| (mq, &slot.queue))
    }

    /// A queue's state.
    pub(super) fn queue(&self, mq: &MessageQueue) -> Option<&AssignedQueue> {
        self.slots.get(mq).map(|slot| &slot.queue)
    }

    /// What the queue's fetcher is to do; none when the queue is gone.
    pub(super) fn step(&mut self, mq: &MessageQueue, config: &LitePullConsumerConfig) -> Option<Step> {
        let step = self.queue(mq)?.step(config);
        if !matches!(step, Step::Pull(..)) || self.cached < config.pull_threshold_for_all {
            return Some(step);
        }
        self.full = true;
        Some(Step::Wait)
    }

    /// Takes where a queue begins.
    pub(super) fn located(&mut self, mq: &MessageQueue, generation: Generation, offset: i64) {
        if let Some(slot) = self.slots.get_mut(mq) {
            slot.queue.located(generation, offset);
        }
    }

    /// Takes a pull's result; whether it brought messages.
    pub(super) fn pulled(&mut self, mq: &MessageQueue, generation: Generation, result: PullResult) -> bool {
        self.change(mq, |queue| queue.pulled(generation, result)).unwrap_or(false)
    }

    /// Lets a queue go on at an offset. False when it is not assigned.
    pub(super) fn seek(&mut self, mq: &MessageQueue, offset: i64) -> bool {
        let assigned = self.change(mq, |queue| queue.seek(offset)).is_some();
        if let Some(slot) = self.slots.get(mq) {
            slot.signals.moved.notify_one();
            slot.signals.room.notify_one();
        }
        self.wake_full();
        assigned
    }

    /// Pauses a queue or lets it go on. False when it is not assigned.
    pub(super) fn pause(&mut self, mq: &MessageQueue, paused: bool) -> bool {
        let Some(slot) = self.slots.get_mut(mq) else { return false };
        slot.queue.pause(paused);
        slot.signals.room.notify_one();
        true
    }

    /// What poll returned is done.
    pub(super) fn finish_last(&mut self) {
        if let Some(slot) = self.last.as_ref().and_then(|last| self.slots.get_mut(last)) {
            slot.queue.finish();
        }
    }

    /// All that poll returned is done.
    pub(super) fn finish_all(&mut self) {
        self.slots.values_mut().for_each(|slot| slot.queue.finish());
    }

    /// Messages of the next queue that has some, after the one that had its turn.
    pub(super) fn take(&mut self, max: u32) -> Option<PolledMessages> {
        let after = self.last.take();
        let from = after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let first =
            self.slots.range_mut((from, Bound::Unbounded)).find_map(|(mq, slot)| taken(mq, slot, max));
        let found = first.or_else(|| self.slots.iter_mut().find_map(|(mq, slot)| taken(mq, slot, max)));
        let Some(found) = found else {
            self.last = after;
            return None;
        };
        self.cached -= found.messages.len();
        self.last = Some(found.queue.clone());
        self.wake_full();
        Some(found)
    }

    fn change<T>(&mut self, mq: &MessageQueue, change: impl FnOnce(&mut AssignedQueue) -> T) -> Option<T> {
        let queue = &mut self.slots.get_mut(mq)?.queue;
        let before = queue.cached();
        let outcome = change(queue);
        self.cached = self.cached + queue.cached() - before;
        Some(outcome)
    }

    /// Fetchers that wait because of the messages of other queues look again.
    fn wake_full(&mut self) {
        if std::mem::take(&mut self.full) {
            self.slots.values().for_each(|slot| slot.signals.room.notify_one());
        }
    }
}

fn taken(mq: &MessageQueue, slot: &mut Slot, max: u32) -> Option<PolledMessages> {
    let messages = slot.queue.take(max);
    if !messages.is_empty() {
        slot.signals.room.notify_one();
    }
    (!messages.is_empty()).then(|| PolledMessages { queue: mq.clone(), messages })
}
