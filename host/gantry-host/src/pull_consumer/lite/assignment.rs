//! Which queues a consumer reads: those its program names, or its share of the topics it subscribes
//! (RocketMQ: AssignedMessageQueue, RebalanceLitePullImpl).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use gantry_core::AllocateError;
use gantry_protocol::MessageQueue;
use gantry_protocol::body::MessageModel;

use super::shared::{Shared, lock};
use crate::client_instance::CallError;
use crate::pull_consumer::puller::Filter;

/// How soon an allocation that could not be made is tried again.
const SOON: Duration = Duration::from_secs(1);
/// Whatever the configuration says, there is so much time between looks.
const LEAST: Duration = Duration::from_millis(10);

/// Is told of the queues that are allocated to this consumer (RocketMQ: MessageQueueListener).
pub trait MessageQueueListener: Send + Sync + 'static {
    /// The share of a subscribed topic has changed: of the queues `all` these are `assigned`, both sorted. Called on a task
    /// of the consumer's; it must return soon.
    fn message_queue_changed(&self, topic: &str, all: &[MessageQueue], assigned: &[MessageQueue]);
}

/// Is told of a topic's queues (RocketMQ: TopicMessageQueueChangeListener).
pub trait TopicMessageQueueChangeListener: Send + Sync + 'static {
    /// The topic has these queues now, sorted. Called on a task of the consumer's; it must return soon.
    fn on_changed(&self, topic: &str, queues: &[MessageQueue]);
}

/// A topic somebody wants to know the queues of.
pub(super) struct Watched {
    pub(super) listener: Arc<dyn TopicMessageQueueChangeListener>,
    pub(super) queues: Vec<MessageQueue>,
}

/// What the consumer reads, and who is told of it.
#[derive(Default)]
pub(super) struct Interest {
    /// Subscribed topics, with who is told of their queues' allocation.
    pub(super) subscribed: BTreeMap<Arc<str>, Option<Arc<dyn MessageQueueListener>>>,
    /// The topics of the queues the program assigned.
    pub(super) assigned_topics: BTreeSet<Arc<str>>,
    /// Expressions by topic.
    pub(super) filters: BTreeMap<Arc<str>, Arc<Filter>>,
    /// Topics whose queues are looked at.
    pub(super) watched: BTreeMap<Arc<str>, Watched>,
}

/// Allocates the subscribed topics' queues at every notice, and now and then without one.
pub(super) async fn rebalance_service(shared: Arc<Shared>) {
    let stop = shared.tasks.token();
    let mut wait = Duration::ZERO;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = shared.changed.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
        let interval = shared.config.rebalance_interval.max(LEAST);
        let rebalancing = stop.run_until_cancelled(rebalance(&shared));
        wait = match rebalancing.await {
            None => return,
            Some(true) => interval,
            Some(false) => SOON.min(interval),
        };
    }
}

/// Whether every topic could be allocated.
async fn rebalance(shared: &Arc<Shared>) -> bool {
    let topics: Vec<_> = shared.interest().subscribed.keys().cloned().collect();
    let mut whole = true;
    for topic in topics {
        match share(shared, &topic).await {
            Ok((all, mine)) => take(shared, &topic, &all, &mine).await,
            Err(reason) => {
                tracing::debug!(group = shared.group(), %topic, %reason, "no allocation; the queues stay");
                whole = false;
            }
        }
    }
    whole
}

/// A topic's queues, and which of them are this consumer's; else the reason.
async fn share(
    shared: &Shared,
    topic: &Arc<str>,
) -> Result<(Vec<MessageQueue>, Vec<MessageQueue>), Unallocated> {
    let client = &shared.client;
    let all = client.queues(topic).await.map_err(CallError::from)?;
    if shared.config.message_model == MessageModel::Broadcasting || all.is_empty() {
        return Ok((all.clone(), all));
    }
    let members = client.members(topic).await?;
    // As brokers know them: so do other members, and CONSISTENT_HASH goes by the name.
    let wire: Vec<_> = all.iter().map(|mq| client.namespace().wrap_queue(mq)).collect();
    let own_id = client.instance().client_id();
    let share = lock(&shared.strategy).allocate(client.wire_group(), own_id, &wire, &members)?;
    let mut mine: Vec<_> = share.iter().map(|mq| client.namespace().unwrap_queue(mq)).collect();
    mine.sort();
    Ok((all, mine))
}

#[derive(Debug, thiserror::Error)]
enum Unallocated {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    Allocate(#[from] AllocateError),
}

async fn take(shared: &Arc<Shared>, topic: &Arc<str>, all: &[MessageQueue], mine: &[MessageQueue]) {
    // Unsubscribed meanwhile.
    let Some(listener) = shared.interest().subscribed.get(topic).cloned() else { return };
    let before: Vec<_> = shared.table().assigned().filter(|mq| mq.topic == *topic).cloned().collect();
    if before == mine {
        return;
    }
    tracing::info!(group = shared.group(), %topic, queues = mine.len(), of = all.len(), "queues are allocated");
    shared.assign(Some(topic), mine).await;
    if let Some(listener) = listener {
        listener.message_queue_changed(topic, all, mine);
    }
}

/// Looks at the queues of watched topics now and then.
pub(super) async fn watch_topics(shared: Arc<Shared>) {
    let stop = shared.tasks.token();
    let interval = shared.config.topic_metadata_check_interval.max(LEAST);
    while stop.run_until_cancelled(tokio::time::sleep(interval)).await.is_some() {
        let topics: Vec<_> = shared.interest().watched.keys().cloned().collect();
        for topic in topics {
            let Some(asked) = stop.run_until_cancelled(shared.client.refreshed_queues(&topic)).await else {
                return;
            };
            match asked {
                Ok(queues) => look(&shared, &topic, &queues),
                Err(error) => tracing::debug!(group = shared.group(), %topic, %error, "no route"),
            }
        }
    }
}

fn look(shared: &Shared, topic: &str, queues: &[MessageQueue]) {
    let listener = {
        let mut interest = shared.interest();
        let Some(watched) = interest.watched.get_mut(topic).filter(|watched| watched.queues != queues) else {
            return;
        };
        watched.queues = queues.to_vec();
        Arc::clone(&watched.listener)
    };
    listener.on_changed(topic, queues);
    shared.changed.notify_one();
}
