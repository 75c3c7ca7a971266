//! What a host can see of the group.

use std::sync::Arc;
use std::time::Instant;

use super::ConsumerGroup;
use crate::config::GroupConfig;
use crate::status::{GroupStats, QueueStatus};
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

    /// Counts since the start.
    pub fn stats(&self) -> GroupStats {
        self.stats
    }

    /// Batches at listeners.
    pub fn batches_running(&self) -> usize {
        self.batches.len()
    }
}
