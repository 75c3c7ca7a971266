//! Batches: to the listeners and back.

use std::sync::Arc;
use std::time::Instant;

use gantry_protocol::MessageQueue;

use super::PopConsumerGroup;
use super::queue::Popped;
use crate::action::Batch;
use crate::event::Event;
use crate::id::{BatchId, ListenerId, QueueKey};
use crate::input::{RetryDelay, Settlement};
use crate::messages::Messages;
use crate::subscription::SubscriptionTable;

/// A batch at its listener.
#[derive(Debug)]
pub(super) struct RunningBatch {
    pub(super) listener: ListenerId,
    pub(super) topic: Arc<str>,
    pub(super) mq: MessageQueue,
    pub(super) max_reconsume_times: i32,
    pub(super) popped: Vec<Popped>,
    pub(super) since: Instant,
    /// Its messages whose invisible time is being lengthened right now.
    pub(super) lengthening: usize,
    /// Its results, which wait for that: what settles a message changes with its invisible time.
    pub(super) results: Option<Vec<Settlement>>,
}

impl PopConsumerGroup {
    /// Lines a queue up to be consumed, if it has something to consume.
    pub(super) fn join_line(&mut self, key: QueueKey) {
        let Some(queue) = self.queues.get_mut(&key) else { return };
        if !queue.in_line && queue.has_work(|listener| largest_batch(&self.subscriptions, listener)) {
            queue.in_line = true;
            self.line.push_back(key);
        }
    }

    /// The next batch, queues taking turns, if there is room for one more at the listeners.
    pub(super) fn next_batch(&mut self, now: Instant) -> Option<Batch> {
        while self.at_listeners < self.config.consume_thread_max as usize {
            let key = self.line.pop_front()?;
            if let Some(queue) = self.queues.get_mut(&key) {
                queue.in_line = false;
            }
            if let Some(batch) = self.take_batch(now, key) {
                self.join_line(key);
                return Some(batch);
            }
        }
        None
    }

    fn take_batch(&mut self, now: Instant, key: QueueKey) -> Option<Batch> {
        let serial = self.next_serial();
        let queue = self.queues.get_mut(&key)?;
        let (listener, popped) = queue.take(now, |listener| largest_batch(&self.subscriptions, listener))?;
        let listener = self.subscriptions.listener(listener)?;
        let queue_id = popped.first().map_or(queue.mq.queue_id, |popped| popped.receipt.queue_id);
        let mq = MessageQueue { queue_id, ..queue.mq.clone() };
        let (id, topic) = (BatchId { queue: key, serial }, mq.topic.clone());
        let messages: Messages =
            popped.iter().map(|popped| popped.message.clone()).collect::<Vec<_>>().into();
        self.stats.delivered += messages.len() as u64;
        self.at_listeners += 1;
        let running = RunningBatch {
            listener: listener.id,
            topic: topic.clone(),
            mq: mq.clone(),
            max_reconsume_times: listener.max_reconsume_times,
            popped,
            since: now,
            lengthening: 0,
            results: None,
        };
        let listener = listener.id;
        self.sweep_at(running.lengthen_at(now, self.config.pop_invisible_time));
        self.batches.insert(id, running);
        let call_size = messages.len();
        Some(Batch { id, listener, topic, mq, messages, call_size, head_retries: 0, in_order: false })
    }

    /// A batch whose messages a listener has all consumed.
    pub fn handle_succeeded(&mut self, now: Instant, id: BatchId) {
        let messages = self.batches.get(&id).map_or(0, |batch| batch.popped.len());
        self.handle_consumed(now, id, vec![Settlement::Success; messages]);
    }

    /// A listener's results, one for each message of the batch in their order. Any other number is a contract error: the
    /// whole batch is reconsumed later.
    pub fn handle_consumed(&mut self, now: Instant, id: BatchId, settlements: Vec<Settlement>) {
        let Some(batch) = self.batches.get_mut(&id).filter(|batch| batch.results.is_none()) else { return };
        self.at_listeners -= 1;
        batch.results = Some(settlements);
        if let Some(queue) = self.queues.get_mut(&id.queue) {
            queue.last_consume = Some(now);
        }
        self.settle_batch(now, id);
    }

    /// A batch that no listener has seen, to be given out again: its listener went away before the call.
    pub fn handle_returned(&mut self, now: Instant, id: BatchId) {
        if self.batches.get(&id).is_none_or(|batch| batch.results.is_some()) {
            return;
        }
        let Some(batch) = self.batches.remove(&id) else { return };
        self.at_listeners -= 1;
        self.stats.delivered -= batch.popped.len() as u64;
        let running = self.is_running();
        let key = id.queue;
        let Some(queue) = self.queues.get_mut(&key) else { return };
        let listener = self.subscriptions.place_of(batch.listener);
        match listener.filter(|_| running && !queue.dropped) {
            Some(listener) => queue.put_back(listener, batch.popped),
            None => {
                for popped in batch.popped {
                    self.give_back(key, popped);
                }
            }
        }
        self.join_line(key);
        self.settled(now, key, 0);
    }

    /// Settles a batch that has its results, unless its messages' invisible times are changing right now.
    pub(super) fn settle_batch(&mut self, now: Instant, id: BatchId) {
        if self.batches.get(&id).is_none_or(|batch| batch.lengthening > 0 || batch.results.is_none()) {
            return;
        }
        let Some(mut batch) = self.batches.remove(&id) else { return };
        let mut results = batch.results.take().unwrap_or_default();
        let (expected, got) = (batch.popped.len(), results.len());
        if got != expected {
            results = vec![Settlement::ReconsumeLater(RetryDelay::ByAttempts); expected];
            self.event(Event::ResultCountWrong { listener: batch.listener, expected, got });
        }
        let mut late = 0;
        for (popped, result) in batch.popped.into_iter().zip(results) {
            if popped.deadline <= now {
                late += 1;
            } else {
                self.settle(id.queue, popped, result, batch.max_reconsume_times);
            }
        }
        self.stats.late_results += late as u64;
        self.expired(id.queue, late);
        self.settled(now, id.queue, late);
        self.end_if_settled();
    }
}

/// A listener's largest batch; none while it is paused.
pub(super) fn largest_batch(subscriptions: &SubscriptionTable, listener: usize) -> Option<usize> {
    subscriptions
        .listener(listener)
        .filter(|listener| !listener.paused)
        .map(|listener| listener.batch_max_size)
}
