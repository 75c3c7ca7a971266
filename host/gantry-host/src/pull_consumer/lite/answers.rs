//! What brokers tell a lite pull consumer and ask of it (RocketMQ: ClientRemotingProcessor), in their names.

use std::sync::{Arc, Weak};

use gantry_protocol::MessageQueue;
use gantry_protocol::body::{
    ConsumerRunningInfo, PROP_CLIENT_VERSION, PROP_CONSUME_TYPE, PROP_CONSUMER_START_TIMESTAMP,
    PROP_NAMESERVER_ADDR, ProcessQueueInfo, QueueMap,
};

use super::queue::AssignedQueue;
use super::shared::Shared;
use crate::client_instance::{Answering, GroupListener, Unanswered};
use crate::pull_consumer::puller::unix_millis;

const MIB: usize = 1 << 20;

/// The group's ear; the consumer may end before the client does.
pub(super) struct Answers {
    pub(super) shared: Weak<Shared>,
    /// When the consumer started, in milliseconds since the epoch.
    pub(super) started: i64,
}

impl Answers {
    pub(super) fn new(shared: Weak<Shared>) -> Self {
        Self { shared, started: unix_millis() }
    }

    fn shared(&self) -> Result<Arc<Shared>, Unanswered> {
        self.shared.upgrade().ok_or(Unanswered::Gone)
    }
}

impl GroupListener for Answers {
    fn members_changed(&self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.changed.notify_one();
        }
    }

    fn reset_offsets(&self, offsets: Vec<(MessageQueue, i64)>) -> Answering<'_, ()> {
        Box::pin(async move {
            let shared = self.shared()?;
            for (mq, offset) in &offsets {
                let mq = shared.client.namespace().unwrap_queue(mq);
                if shared.table().seek(&mq, *offset) {
                    shared.offsets.set(&mq, *offset);
                }
            }
            shared.persist_or_warn().await;
            Ok(())
        })
    }

    fn consumer_status(&self, topic: String) -> Answering<'_, QueueMap<i64>> {
        Box::pin(async move {
            let shared = self.shared()?;
            let (table, namespace) = (shared.table(), shared.client.namespace());
            let topic = namespace.unwrap(&topic);
            let queues = table.queues().filter(|(mq, _)| *mq.topic == *topic);
            let wire = |(mq, queue): (&MessageQueue, &AssignedQueue)| {
                Some((namespace.wrap_queue(mq), queue.finished_up_to()?))
            };
            Ok(queues.filter_map(wire).collect())
        })
    }

    fn running_info(&self, _jstack: bool) -> Answering<'_, ConsumerRunningInfo> {
        Box::pin(async move {
            let shared = self.shared()?;
            let refused =
                |error: crate::pull_consumer::PullConsumerError| Unanswered::Refused(error.to_string());
            let client = &shared.client;
            let subscriptions = shared.subscriptions().map_err(refused)?.into_iter();
            let subscription_set = subscriptions.map(|data| client.wrap_subscription(data)).collect();
            let name_servers: String =
                client.instance().name_servers().iter().map(|addr| format!("{addr};")).collect();
            let properties = [
                (PROP_CLIENT_VERSION, concat!("gantry ", env!("CARGO_PKG_VERSION")).to_owned()),
                (PROP_CONSUME_TYPE, "CONSUME_ACTIVELY".to_owned()),
                (PROP_CONSUMER_START_TIMESTAMP, self.started.to_string()),
                (PROP_NAMESERVER_ADDR, name_servers),
            ];
            let wire = |(mq, queue)| (client.namespace().wrap_queue(mq), info(queue));
            let mq_table = shared.table().queues().map(wire).collect();
            Ok(ConsumerRunningInfo {
                mq_table,
                properties: properties.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
                subscription_set,
                ..ConsumerRunningInfo::default()
            })
        })
    }
}

fn info(queue: &AssignedQueue) -> ProcessQueueInfo {
    let oldest = queue.returned_up_to().filter(|_| queue.cached() > 0);
    ProcessQueueInfo {
        cached_msg_count: i32::try_from(queue.cached()).unwrap_or(i32::MAX),
        cached_msg_min_offset: oldest.unwrap_or(0),
        cached_msg_max_offset: queue.last_cached().unwrap_or(0),
        cached_msg_size_in_mib: i32::try_from(queue.cached_bytes() / MIB).unwrap_or(i32::MAX),
        commit_offset: queue.finished_up_to().unwrap_or(-1),
        ..ProcessQueueInfo::default()
    }
}
