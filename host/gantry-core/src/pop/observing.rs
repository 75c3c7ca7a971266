//! What a host can see of the group.

use std::sync::Arc;
use std::time::Instant;

use gantry_protocol::MessageExt;

use super::PopConsumerGroup;
use super::consuming::RunningBatch;
use super::queue::PopQueue;
use crate::config::GroupConfig;
use crate::id::ListenerId;
use crate::status::{BatchStatus, GroupStats, QueuePhase, QueueStatus};
use crate::subscription::TopicSubscription;

impl PopConsumerGroup {
    /// The group's settings.
    pub fn config(&self) -> &GroupConfig {
        &self.config
    }

    /// This member's client id.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// The union of what the listeners want, with the retry topic.
    pub fn subscriptions(&self) -> Arc<[Arc<TopicSubscription>]> {
        self.subscriptions.subscriptions()
    }

    /// The queues the group pops, in their order. They have no offsets: those are the brokers' matter.
    pub fn queues(&self, now: Instant) -> impl Iterator<Item = QueueStatus> {
        self.owned.values().filter_map(move |key| Some(self.status(now, self.queues.get(key)?)))
    }

    fn status(&self, now: Instant, queue: &PopQueue) -> QueueStatus {
        let running = self.batches.iter().filter(|(id, _)| id.queue == queue.key).map(|(_, batch)| batch);
        let since = running.clone().map(|batch| batch.since).min();
        let in_flight = running.map(|batch| batch.popped.len()).sum::<usize>();
        QueueStatus {
            mq: queue.mq.clone(),
            phase: QueuePhase::Consuming,
            commit_offset: -1,
            next_offset: -1,
            max_offset: -1,
            cached_count: queue.wait_ack,
            cached_bytes: queue.waiting.iter().map(|one| one.popped.message.stored_size() as u64).sum(),
            span: 0,
            head_age: None,
            longest_running: since.map(|since| now.saturating_duration_since(since)),
            in_flight,
            sending_back: queue.wait_ack.saturating_sub(queue.waiting.len() + in_flight),
            gate: self.gate(queue.wait_ack),
            locked: None,
            suspended_until: None,
            stuck_since: None,
            dropped: queue.dropped,
            last_pull: queue.last_pop,
            last_consume: queue.last_consume,
        }
    }

    /// Who of the listeners would get this message, and the topic it counts as: its own, or the one it was first sent to,
    /// where it lies in a retry topic or the dead-letter topic. None when no listener wants it.
    pub fn listener_of(&self, message: &MessageExt) -> Option<(ListenerId, Arc<str>)> {
        self.subscriptions.listener_of(message)
    }

    /// What is at listeners now, the longest-running first.
    pub fn batches(&self, now: Instant) -> Vec<BatchStatus> {
        let status = |batch: &RunningBatch| BatchStatus {
            listener: batch.listener,
            topic: batch.topic.clone(),
            mq: Some(batch.mq.clone()),
            messages: batch.popped.len(),
            running: now.saturating_duration_since(batch.since),
        };
        let mut batches: Vec<BatchStatus> =
            self.batches.values().filter(|batch| batch.results.is_none()).map(status).collect();
        batches.sort_by_key(|batch| std::cmp::Reverse(batch.running));
        batches
    }

    /// Counts since the start.
    pub fn stats(&self) -> GroupStats {
        self.stats
    }

    /// Batches at listeners.
    pub fn batches_running(&self) -> usize {
        self.at_listeners
    }
}
