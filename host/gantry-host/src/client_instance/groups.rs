//! The groups this client is a member of, as heartbeats tell it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gantry_protocol::body::{ConsumeMessageDirectlyResult, ConsumerData, ConsumerRunningInfo, QueueMap};
use gantry_protocol::{MessageExt, MessageQueue};
use tokio::time::Instant;

/// What a consumer group is told and asked. Calls come from network tasks and must return at once; an answer may take
/// its time, of which brokers give 5 to 10 s.
pub trait GroupListener: Send + Sync + 'static {
    /// A broker says that the group's members changed (NOTIFY_CONSUMER_IDS_CHANGED): time to rebalance.
    fn members_changed(&self);

    /// An operator sets the group's offsets (RESET_CONSUMER_CLIENT_OFFSET); queues of other members may be among them.
    /// Unless it is overridden, nothing is set.
    fn reset_offsets(&self, _offsets: Vec<(MessageQueue, i64)>) -> Answering<'_, ()> {
        unanswered()
    }

    /// How far the group is in each queue of a topic here (GET_CONSUMER_STATUS_FROM_CLIENT).
    fn consumer_status(&self, _topic: String) -> Answering<'_, QueueMap<i64>> {
        unanswered()
    }

    /// What the group does at the moment (GET_CONSUMER_RUNNING_INFO), with what runs in its threads if `jstack`.
    fn running_info(&self, _jstack: bool) -> Answering<'_, ConsumerRunningInfo> {
        unanswered()
    }

    /// Consumes a stored message once, outside the group's windows and offsets (CONSUME_MESSAGE_DIRECTLY).
    fn consume_directly(
        &self,
        _broker_name: Arc<str>,
        _message: MessageExt,
    ) -> Answering<'_, ConsumeMessageDirectlyResult> {
        unanswered()
    }
}

/// A group's answer in the making.
pub type Answering<'a, T> = Pin<Box<dyn Future<Output = Result<T, Unanswered>> + Send + 'a>>;

/// Why a group does not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unanswered {
    /// There is no such group here, or not any more.
    Gone,
    /// It cannot; in words for the operator who asked.
    Refused(String),
}

fn unanswered<'a, T: Send + 'a>() -> Answering<'a, T> {
    Box::pin(std::future::ready(Err(Unanswered::Gone)))
}

/// Registered groups by name.
#[derive(Default)]
pub(super) struct Groups(Mutex<BTreeMap<String, Consumer>>);

pub(super) struct Consumer {
    data: Arc<ConsumerData>,
    listener: Arc<dyn GroupListener>,
    /// When every broker had taken the group's heartbeat last.
    beaten: Option<Instant>,
    /// What each broker, by address, knows the group's fingerprint to stand for (RocketMQ:
    /// brokerAddrHeartbeatFingerprintTable).
    taken: BTreeMap<Arc<str>, Arc<ConsumerData>>,
}

impl fmt::Debug for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.lock().keys()).finish()
    }
}

impl Groups {
    /// Adds a consumer group. False when this client is a member already.
    pub(super) fn add(&self, data: ConsumerData, listener: Arc<dyn GroupListener>) -> bool {
        let mut groups = self.lock();
        if groups.contains_key(&data.group_name) {
            return false;
        }
        let consumer = Consumer { data: Arc::new(data), listener, beaten: None, taken: BTreeMap::new() };
        groups.insert(consumer.data.group_name.clone(), consumer);
        true
    }

    /// Replaces what heartbeats say of a group. False when there is no such group.
    pub(super) fn update(&self, data: ConsumerData) -> bool {
        match self.lock().get_mut(&data.group_name) {
            Some(consumer) => {
                consumer.data = Arc::new(data);
                true
            }
            None => false,
        }
    }

    pub(super) fn remove(&self, group: &str) -> Option<Arc<ConsumerData>> {
        self.lock().remove(group).map(|consumer| consumer.data)
    }

    pub(super) fn consumer(&self, group: &str) -> Option<Arc<ConsumerData>> {
        self.lock().get(group).map(|consumer| Arc::clone(&consumer.data))
    }

    pub(super) fn consumers(&self) -> Vec<Arc<ConsumerData>> {
        self.lock().values().map(|consumer| Arc::clone(&consumer.data)).collect()
    }

    pub(super) fn listener(&self, group: &str) -> Option<Arc<dyn GroupListener>> {
        self.lock().get(group).map(|consumer| Arc::clone(&consumer.listener))
    }

    /// The topics of all consumer groups.
    pub(super) fn topics(&self) -> BTreeSet<Arc<str>> {
        let groups = self.lock();
        let subscriptions = groups.values().flat_map(|consumer| &consumer.data.subscription_data_set);
        subscriptions.map(|subscription| Arc::from(subscription.topic.as_str())).collect()
    }

    pub(super) fn beaten(&self, group: &str, now: Instant) {
        if let Some(consumer) = self.lock().get_mut(group) {
            consumer.beaten = Some(now);
        }
    }

    /// Whether the broker knows what the fingerprint of `data` stands for.
    pub(super) fn is_taken(&self, addr: &str, data: &ConsumerData) -> bool {
        let groups = self.lock();
        groups
            .get(&data.group_name)
            .and_then(|consumer| consumer.taken.get(addr))
            .is_some_and(|taken| **taken == *data)
    }

    /// Keeps that the broker knows it, or, with none, that it does not.
    pub(super) fn taken(&self, addr: &Arc<str>, group: &str, data: Option<Arc<ConsumerData>>) {
        if let Some(consumer) = self.lock().get_mut(group) {
            match data {
                Some(data) => _ = consumer.taken.insert(Arc::clone(addr), data),
                None => _ = consumer.taken.remove(addr),
            }
        }
    }

    /// The broker may have been started anew: it knows no fingerprint. Every broker, where none is named.
    pub(super) fn forget_taken(&self, addr: Option<&str>) {
        for consumer in self.lock().values_mut() {
            match addr {
                Some(addr) => _ = consumer.taken.remove(addr),
                None => consumer.taken.clear(),
            }
        }
    }

    /// Groups whose last complete heartbeat is `interval` old, or that have had none.
    pub(super) fn due(&self, interval: Duration, now: Instant) -> Vec<String> {
        let groups = self.lock();
        let due = groups.iter().filter(|(_, consumer)| {
            consumer.beaten.is_none_or(|beaten| now.saturating_duration_since(beaten) >= interval)
        });
        due.map(|(group, _)| group.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Consumer>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Deaf;

    impl GroupListener for Deaf {
        fn members_changed(&self) {}
    }

    fn data(group: &str) -> ConsumerData {
        ConsumerData { group_name: group.to_owned(), ..ConsumerData::default() }
    }

    #[test]
    fn a_group_is_registered_once() {
        let groups = Groups::default();
        assert!(groups.add(data("g"), Arc::new(Deaf)));
        assert!(!groups.add(data("g"), Arc::new(Deaf)));
        assert!(groups.update(data("g")) && !groups.update(data("h")));
        assert!(groups.remove("g").is_some() && groups.remove("g").is_none());
    }

    #[test]
    fn what_a_broker_knows_counts_until_it_is_something_else_or_the_broker_another() {
        let (groups, addr) = (Groups::default(), Arc::<str>::from("b:1"));
        groups.add(data("g"), Arc::new(Deaf));
        assert!(!groups.is_taken(&addr, &data("g")));
        groups.taken(&addr, "g", Some(Arc::new(data("g"))));
        assert!(groups.is_taken(&addr, &data("g")) && !groups.is_taken("b:2", &data("g")));
        assert!(!groups.is_taken(&addr, &ConsumerData { unit_mode: true, ..data("g") }));
        groups.forget_taken(Some("b:2"));
        assert!(groups.is_taken(&addr, &data("g")));
        groups.forget_taken(Some("b:1"));
        assert!(!groups.is_taken(&addr, &data("g")));
        groups.taken(&addr, "g", Some(Arc::new(data("g"))));
        groups.taken(&addr, "g", None);
        assert!(!groups.is_taken(&addr, &data("g")));
    }

    #[test]
    fn a_group_is_due_until_its_heartbeat_was_taken_and_after_the_interval() {
        let (groups, now, interval) = (Groups::default(), Instant::now(), Duration::from_secs(30));
        groups.add(data("g"), Arc::new(Deaf));
        assert_eq!(groups.due(interval, now), ["g"]);
        groups.beaten("g", now);
        assert!(groups.due(interval, now + interval / 2).is_empty());
        assert_eq!(groups.due(interval, now + interval), ["g"]);
    }
}
