//! What a host can see of the group.

use std::sync::Arc;
use std::time::Instant;

use gantry_protocol::MessageExt;

use super::ConsumerGroup;
use crate::config::GroupConfig;
use crate::id::{BatchId, ListenerId};
use crate::running::RunningBatch;
use crate::status::{BatchStatus, GroupStats, QueueStatus};
use crate::subscription::TopicSubscription;

impl ConsumerGroup {
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

    /// The queues the group owns, in their order.
    pub fn queues(&self, now: Instant) -> impl Iterator<Item = QueueStatus> {
        self.owned.values().filter_map(move |key| {
            let queue = self.queues.get(key)?;
            let of_queue = self.batches.iter().filter(|(id, _)| id.queue == *key);
            let since = of_queue.map(|(_, batch)| batch.since).min();
            Some(queue.status(now, since.map(|since| now.saturating_duration_since(since))))
        })
    }

    /// Who of the listeners would get this message, and the topic it counts as: its own, or the one it was first sent
    /// to, where it lies in the retry topic or the dead-letter topic. None when no listener wants it.
    pub fn listener_of(&self, message: &MessageExt) -> Option<(ListenerId, Arc<str>)> {
        self.subscriptions.listener_of(message)
    }

    /// What is at listeners now, the longest-running first.
    pub fn batches(&self, now: Instant) -> Vec<BatchStatus> {
        let status = |(id, batch): (BatchId, &RunningBatch)| BatchStatus {
            listener: batch.listener,
            topic: batch.topic.clone(),
            mq: self.queues.get(&id.queue).map(|queue| queue.mq.clone()),
            messages: batch.left,
            running: now.saturating_duration_since(batch.since),
        };
        let mut batches: Vec<BatchStatus> = self.batches.iter().map(status).collect();
        batches.sort_by_key(|batch| std::cmp::Reverse(batch.running));
        batches
    }

    /// Counts since the start.
    pub fn stats(&self) -> GroupStats {
        self.stats
    }

    /// Batches at listeners.
    pub fn batches_running(&self) -> usize {
        self.batches.len()
    }
}
