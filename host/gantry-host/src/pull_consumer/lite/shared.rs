//! What the tasks of a lite pull consumer and its handle share.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gantry_core::allocate::AllocateMessageQueueStrategy;
use gantry_protocol::MessageQueue;
use gantry_protocol::body::{ConsumeFromWhere, SubscriptionData};
use tokio::sync::Notify;

use super::assignment::Interest;
use super::fetch::fetch;
use super::settings::LitePullConsumerConfig;
use super::table::Table;
use crate::FilterExpression;
use crate::client_instance::CallError;
use crate::pull_consumer::error::PullConsumerError;
use crate::pull_consumer::offsets::Offsets;
use crate::pull_consumer::plain::PlainClient;
use crate::pull_consumer::puller::{Filter, Puller, unix_millis};
use crate::tasks::Tasks;

/// RocketMQ's default of consumeTimestamp is so long before now.
const HALF_AN_HOUR_MS: i64 = 30 * 60 * 1000;

pub(super) struct Shared {
    pub(super) client: PlainClient,
    pub(super) config: LitePullConsumerConfig,
    pub(super) puller: Puller,
    pub(super) offsets: Offsets,
    pub(super) strategy: Mutex<Box<dyn AllocateMessageQueueStrategy>>,
    /// For [`ConsumeFromWhere::Timestamp`].
    pub(super) begin: i64,
    table: Mutex<Table>,
    interest: Mutex<Interest>,
    /// Held while queues are given and taken.
    pub(super) assigning: tokio::sync::Mutex<()>,
    /// There may be messages to poll.
    pub(super) arrived: Notify,
    /// Queues are to be allocated again.
    pub(super) changed: Notify,
    pub(super) tasks: Tasks,
}

impl Shared {
    pub(super) fn new(
        client: PlainClient,
        config: LitePullConsumerConfig,
        offsets: Offsets,
        strategy: Box<dyn AllocateMessageQueueStrategy>,
    ) -> Self {
        Self {
            puller: Puller::new(client.clone(), true),
            begin: config.consume_timestamp.unwrap_or_else(|| unix_millis() - HALF_AN_HOUR_MS),
            strategy: Mutex::new(strategy),
            table: Mutex::default(),
            interest: Mutex::default(),
            assigning: tokio::sync::Mutex::default(),
            arrived: Notify::new(),
            changed: Notify::new(),
            tasks: Tasks::default(),
            client,
            config,
            offsets,
        }
    }

    pub(super) fn table(&self) -> MutexGuard<'_, Table> {
        lock(&self.table)
    }

    pub(super) fn interest(&self) -> MutexGuard<'_, Interest> {
        lock(&self.interest)
    }

    pub(super) fn group(&self) -> &str {
        &self.config.consumer_group
    }

    /// What is wanted of a topic; every message where nothing else was said.
    pub(super) fn filter(&self, topic: &str) -> Result<Arc<Filter>, PullConsumerError> {
        let known = self.interest().filters.get(topic).cloned();
        match known {
            Some(filter) => Ok(filter),
            None => Ok(Arc::new(Filter::new(&FilterExpression::Tag("*".to_owned()))?)),
        }
    }

    /// What heartbeats are to say: the subscribed topics, or those of the assigned queues.
    pub(super) fn subscriptions(&self) -> Result<Vec<SubscriptionData>, PullConsumerError> {
        let topics: BTreeSet<Arc<str>> = {
            let interest = self.interest();
            let subscribed = interest.subscribed.keys().cloned();
            subscribed.chain(interest.assigned_topics.iter().cloned()).collect()
        };
        topics.iter().map(|topic| self.filter(topic)?.subscription(topic)).collect()
    }

    /// Where a queue begins: at the stored offset, else where the configuration says.
    pub(super) async fn locate(&self, mq: &MessageQueue) -> Result<i64, CallError> {
        if let Some(offset) = self.offsets.get(mq).await? {
            return Ok(offset);
        }
        match self.config.consume_from_where {
            ConsumeFromWhere::LastOffset => self.client.max_offset(mq).await,
            ConsumeFromWhere::FirstOffset => self.client.min_offset(mq).await,
            ConsumeFromWhere::Timestamp => self.client.search_offset(mq, self.begin).await,
        }
    }

    /// Takes queues that are new, and gives up those of `of_topic`, or of all topics, that are not among `queues`. What poll
    /// returned of them and has not been told to be done is somebody else's then, or comes again.
    pub(super) async fn assign(self: &Arc<Self>, of_topic: Option<&str>, queues: &[MessageQueue]) {
        let _alone = self.assigning.lock().await;
        // The topic may have been unsubscribed since its queues were allocated.
        let wanted = of_topic.is_none_or(|topic| self.interest().subscribed.contains_key(topic));
        let wanted: BTreeSet<_> = queues.iter().filter(|_| wanted).cloned().collect();
        let gone: BTreeSet<_> = {
            let table = self.table();
            let of_topic = table.assigned().filter(|mq| of_topic.is_none_or(|topic| *mq.topic == *topic));
            of_topic.filter(|mq| !wanted.contains(mq)).cloned().collect()
        };
        self.give_up(&gone).await;
        let added = self.table().add(wanted);
        for added in added {
            tracing::debug!(group = self.group(), queue = %added.mq, "a queue is read");
            self.tasks.spawn("pull", fetch(Arc::clone(self), added));
        }
    }

    async fn give_up(&self, gone: &BTreeSet<MessageQueue>) {
        if gone.is_empty() {
            return;
        }
        let removed = self.table().remove(gone);
        for (mq, finished) in &removed {
            tracing::debug!(group = self.group(), queue = %mq, "a queue is given up");
            if let Some(offset) = finished.filter(|_| self.config.auto_commit) {
                self.offsets.set(mq, offset);
            }
        }
        self.persist_or_warn().await;
        removed.iter().for_each(|(mq, _)| self.offsets.forget(mq));
    }

    /// Sets the offsets of what is surely done.
    pub(super) fn set_finished(&self) {
        let finished: BTreeMap<_, _> = {
            let table = self.table();
            let queues = table.queues();
            queues.filter_map(|(mq, queue)| Some((mq.clone(), queue.finished_up_to()?))).collect()
        };
        finished.iter().for_each(|(mq, offset)| self.offsets.set(mq, *offset));
    }

    pub(super) async fn persist_or_warn(&self) {
        if let Err(error) = self.offsets.persist().await {
            tracing::warn!(group = self.group(), "offsets are not stored yet: {error}");
        }
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
