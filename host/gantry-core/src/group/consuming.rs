//! Batches: to the listeners and back.

use std::time::Instant;

use super::ConsumerGroup;
use super::pulling::Router;
use crate::action::Batch;
use crate::event::Event;
use crate::id::{BatchId, QueueKey};
use crate::input::{RetryDelay, Settlement};
use crate::places::{Places, Run, Seq};
use crate::retry::{SendBack, delay_level};
use crate::running::{Returned, RunningBatch};
use crate::subscription::SubscriptionTable;
use crate::timer::Timer;

impl ConsumerGroup {
    /// Lines a queue up to be consumed, if it has something to consume.
    pub(super) fn join_line(&mut self, key: QueueKey) {
        let Some(queue) = self.queues.get_mut(&key) else { return };
        let most = |listener| largest_batch(&self.subscriptions, listener);
        if !queue.in_line && queue.is_consuming() && queue.lanes.has_work(most) {
            queue.in_line = true;
            self.line.push_back(key);
        }
    }

    /// The next batch, queues taking turns, if there is room for one more at the listeners.
    pub(super) fn next_batch(&mut self, now: Instant) -> Option<Batch> {
        while self.batches.len() < self.config.consume_thread_max as usize {
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
        let in_order = self.is_orderly();
        let queue = self.queues.get_mut(&key).filter(|queue| queue.is_consuming())?;
        if !queue.is_unlocked_for(now, self.config.lock_max_live_time) {
            return None;
        }
        // A batch of a former ownership may still be at its listener.
        let beside = || self.batches.iter().any(|(_, batch)| batch.mq == queue.mq);
        if in_order && (queue.is_busy() || beside()) {
            return None;
        }
        if let Some(until) = queue.suspended_until.filter(|&until| until > now) {
            self.timers.arm(Timer::Consume(key), until);
            return None;
        }
        let room = queue.ramp.as_ref().and_then(|ramp| ramp.allows(now));
        match (&queue.ramp, room) {
            (Some(ramp), Some(0)) => {
                self.timers.arm(Timer::Consume(key), ramp.next());
                return None;
            }
            (Some(_), None) => queue.ramp = None,
            _ => {}
        }
        let most = |listener| {
            largest_batch(&self.subscriptions, listener).map(|most| room.map_or(most, |room| room.min(most)))
        };
        let taken = if in_order { queue.lanes.take_in_order(most) } else { queue.lanes.take(most) }?;
        let listener = self.subscriptions.listener(taken.listener)?;
        let call_size = listener.batch_max_size;
        let messages = queue.window.take(&taken.places);
        let id = BatchId { queue: key, serial };
        let retried = queue.head_retries.filter(|(seq, _)| taken.places.first() == Some(*seq));
        let head_retries = retried.map_or(0, |(_, times)| times);
        if let Some(ramp) = &mut queue.ramp {
            ramp.used(messages.len());
        }
        queue.running += 1;
        queue.in_flight += taken.places.len();
        self.stats.delivered += messages.len() as u64;
        let left = taken.places.len();
        let running = RunningBatch {
            listener: listener.id,
            mq: queue.mq.clone(),
            topic: taken.topic.clone(),
            max_reconsume_times: listener.max_reconsume_times,
            places: taken.places,
            since: now,
            left,
        };
        self.batches.insert(id, running);
        let (listener, topic, mq) = (listener.id, taken.topic, queue.mq.clone());
        Some(Batch { id, listener, topic, mq, messages, call_size, head_retries, in_order })
    }

    /// A listener's results, one for each message of the batch in their order. Any other number is a contract error: the
    /// whole batch is reconsumed later. In an orderly group the first that is no success ends the batch: what follows it is
    /// given out again, whatever its results.
    pub fn handle_consumed(&mut self, now: Instant, id: BatchId, settlements: Vec<Settlement>) {
        let succeeded = settlements.iter().all(|settlement| *settlement == Settlement::Success);
        let Some(batch) = self.take_whole_back(now, id, succeeded) else { return };
        let expected = batch.places.len();
        if self.is_orderly() {
            self.settle_in_order(now, id.queue, &batch, settlements);
        } else if settlements.len() == expected {
            self.settle_all(id.queue, &batch, settlements);
        } else {
            self.wrong_count(&batch, settlements.len());
            for seq in batch.places.iter() {
                self.settle(id.queue, &batch, seq, Settlement::ReconsumeLater(RetryDelay::ByAttempts));
            }
        }
        self.after_settling(now, id.queue);
    }

    /// A batch whose messages a listener has all consumed.
    pub fn handle_succeeded(&mut self, now: Instant, id: BatchId) {
        let Some(batch) = self.take_whole_back(now, id, true) else { return };
        if let Some(queue) = self.queues.get_mut(&id.queue) {
            queue.settle(batch.places.runs());
            self.stats.succeeded += batch.places.len() as u64;
        }
        self.after_settling(now, id.queue);
    }

    /// Takes what is left of a batch back, and learns from how long it was away.
    fn take_whole_back(&mut self, now: Instant, id: BatchId, succeeded: bool) -> Option<RunningBatch> {
        let returned = self.batches.rest(id)?;
        if let Some(listener) = self.subscriptions.listener_mut(returned.batch.listener) {
            listener.together.learn(now.saturating_duration_since(returned.batch.since), succeeded);
        }
        self.take_back(now, id, returned)
    }

    pub(super) fn wrong_count(&mut self, batch: &RunningBatch, got: usize) {
        let (listener, expected) = (batch.listener, batch.places.len());
        self.event(Event::ResultCountWrong { listener, expected, got });
    }

    /// What some calls of a batch came to, while others go on: each message by its place in the batch. The others follow by
    /// this, or by [`handle_returned_part`](Self::handle_returned_part). Not in an orderly group, whose batches are one call.
    pub fn handle_consumed_part(&mut self, now: Instant, id: BatchId, results: Vec<(usize, Settlement)>) {
        let Some(batch) = self.take_part_back(now, id, results.len()) else { return };
        let places: Vec<Seq> = batch.places.iter().collect();
        for (place, settlement) in results {
            if let Some(&seq) = places.get(place) {
                self.settle(id.queue, &batch, seq, settlement);
            }
        }
        self.after_settling(now, id.queue);
    }

    /// A batch that no listener has seen, to be given out again: its listener went away before the call.
    pub fn handle_returned(&mut self, now: Instant, id: BatchId) {
        let Some(returned) = self.batches.rest(id) else { return };
        let Some(batch) = self.take_back(now, id, returned) else { return };
        self.give_out_again(now, id.queue, batch.places.iter());
    }

    /// Messages of a batch that no listener has seen, by their places in it, to be given out again: the calls before them
    /// take long.
    pub fn handle_returned_part(&mut self, now: Instant, id: BatchId, messages: &[usize]) {
        let Some(batch) = self.take_part_back(now, id, messages.len()) else { return };
        let places: Vec<Seq> = batch.places.iter().collect();
        let returned = messages.iter().filter_map(|&place| places.get(place).copied());
        self.give_out_again(now, id.queue, returned);
    }

    fn give_out_again(&mut self, now: Instant, key: QueueKey, places: impl Iterator<Item = Seq>) {
        let Some(queue) = self.queues.get_mut(&key) else { return };
        for seq in places {
            queue.window.put_back(seq);
            self.stats.delivered -= 1;
        }
        if queue.is_consuming() {
            self.route_queue_anew(key);
        }
        self.after_settling(now, key);
    }

    /// Takes so many messages of a batch back: it takes long, so its listener has one call a batch next.
    fn take_part_back(&mut self, now: Instant, id: BatchId, messages: usize) -> Option<RunningBatch> {
        let returned = self.batches.part(id, messages)?;
        if let Some(listener) = self.subscriptions.listener_mut(returned.batch.listener) {
            listener.together.forget();
        }
        self.take_back(now, id, returned)
    }

    /// Counts messages as no longer at their listener; none when their queue has been let go meanwhile, so that they no
    /// longer count.
    fn take_back(&mut self, now: Instant, id: BatchId, returned: Returned) -> Option<RunningBatch> {
        let Returned { batch, messages, whole } = returned;
        let Some(queue) = self.queues.get_mut(&id.queue).filter(|queue| queue.settles()) else {
            self.stats.late_results += messages as u64;
            if let Some(&next) = self.owned.get(&batch.mq) {
                self.join_line(next);
            }
            return None;
        };
        queue.running -= usize::from(whole);
        queue.in_flight -= messages;
        queue.last_consume = Some(now);
        Some(batch)
    }

    /// One settlement for each message of the batch: the successes at once, what is left one by one.
    fn settle_all(&mut self, key: QueueKey, batch: &RunningBatch, settlements: Vec<Settlement>) {
        let Some(queue) = self.queues.get_mut(&key) else { return };
        let is_success = |settlement: &Settlement| *settlement == Settlement::Success;
        let each = batch.places.iter().zip(&settlements);
        let mut succeeded = Places::default();
        each.filter(|(_, settlement)| is_success(settlement)).for_each(|(seq, _)| succeeded.push(seq));
        queue.settle(succeeded.runs());
        self.stats.succeeded += succeeded.len() as u64;
        let each = batch.places.iter().zip(settlements);
        for (seq, settlement) in each.filter(|(_, settlement)| !is_success(settlement)) {
            self.settle(key, batch, seq, settlement);
        }
    }

    pub(super) fn settle(&mut self, key: QueueKey, batch: &RunningBatch, seq: Seq, settlement: Settlement) {
        let clustering = self.is_clustering();
        let Some(queue) = self.queues.get_mut(&key) else { return };
        let Some(delay_level) = delay_level(&settlement) else {
            queue.settle([Run::one(seq)]);
            self.stats.succeeded += 1;
            return;
        };
        if !clustering {
            return self.drop_failed(key, seq, settlement);
        }
        let Some(message) = queue.window.get(seq).cloned() else { return };
        queue.sending += 1;
        self.send_backs.push(SendBack {
            queue: key,
            seq,
            mq: queue.mq.clone(),
            message,
            origin_topic: batch.topic.clone(),
            delay_level,
            max_reconsume_times: batch.max_reconsume_times,
            reason: match settlement {
                Settlement::DeadLetter(reason) => Some(reason),
                _ => None,
            },
            failures: 0,
        });
    }

    /// In a broadcasting group a failure is logged and counted; it is never given back and never holds the offset.
    fn drop_failed(&mut self, key: QueueKey, seq: Seq, settlement: Settlement) {
        let Some(queue) = self.queues.get_mut(&key) else { return };
        let Some(message) = queue.window.get(seq) else { return };
        let (mq, offset, message_id) = (queue.mq.clone(), message.queue_offset(), message.message_id());
        queue.settle([Run::one(seq)]);
        self.stats.dropped += 1;
        let reason = match settlement {
            Settlement::DeadLetter(reason) => reason,
            _ => "its listener did not succeed".to_owned(),
        };
        self.event(Event::Dropped { mq, offset, message_id, reason });
    }

    /// What settled messages make possible: a larger offset, another pull, the end of a drain.
    pub(super) fn after_settling(&mut self, now: Instant, key: QueueKey) {
        if let Some(queue) = self.queues.get_mut(&key) {
            queue.advance_offset();
        }
        self.journal_soon(now, key);
        if self.is_orderly() {
            self.join_line(key);
        }
        self.reopen_gate(now, key);
        self.store_if_drained(now, key);
    }

    /// Routes what waits in every window by the present listeners.
    pub(super) fn route_waiting_anew(&mut self, now: Instant) {
        let keys: Vec<QueueKey> = self.queues.keys().copied().collect();
        for key in keys {
            self.route_queue_anew(key);
            self.after_settling(now, key);
        }
    }

    pub(super) fn route_queue_anew(&mut self, key: QueueKey) {
        let Some(queue) = self.queues.get_mut(&key).filter(|queue| queue.is_consuming()) else { return };
        queue.lanes.clear();
        let mut unwanted = Vec::new();
        let router = Router::new(&self.subscriptions, queue);
        for (seq, message) in queue.window.pending() {
            match router.route(message) {
                Some((listener, topic)) => queue.lanes.push(listener, topic, seq),
                None => unwanted.push(seq),
            }
        }
        queue.settle(unwanted.iter().copied().map(Run::one));
        if !unwanted.is_empty() {
            self.stats.unwanted += unwanted.len() as u64;
            let (mq, count) = (queue.mq.clone(), unwanted.len());
            self.event(Event::Unwanted { mq, count });
        }
        self.join_line(key);
    }
}

/// A listener's largest batch now; none while it is paused.
fn largest_batch(subscriptions: &SubscriptionTable, listener: usize) -> Option<usize> {
    subscriptions
        .listener(listener)
        .filter(|listener| !listener.paused)
        .map(|listener| listener.together.messages(listener.batch_max_size))
}
