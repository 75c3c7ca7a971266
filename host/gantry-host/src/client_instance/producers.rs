//! The producer groups brokers know this client by. Only request messages need it: brokers bring replies to a client that
//! is a producer (RocketMQ: ProducerManager).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Registered producer groups by name.
#[derive(Debug, Default)]
pub(super) struct Producers(Mutex<BTreeMap<String, Registered>>);

#[derive(Debug, Default)]
struct Registered {
    /// The masters that were told.
    brokers: BTreeSet<Arc<str>>,
    /// When all of them had taken it last.
    beaten: Option<Instant>,
}

impl Producers {
    /// The group's heartbeats go to these brokers.
    pub(super) fn add(&self, group: &str, brokers: BTreeSet<Arc<str>>) {
        self.lock().entry(group.to_owned()).or_default().brokers = brokers;
    }

    pub(super) fn beaten(&self, group: &str, now: Instant) {
        if let Some(registered) = self.lock().get_mut(group) {
            registered.beaten = Some(now);
        }
    }

    /// The groups this broker was told of.
    pub(super) fn at(&self, broker: &str) -> Vec<String> {
        let groups = self.lock();
        let told = groups.iter().filter(|(_, registered)| registered.brokers.contains(broker));
        told.map(|(group, _)| group.clone()).collect()
    }

    /// Groups whose last complete heartbeat is `interval` old, or that have had none.
    pub(super) fn due(&self, interval: Duration, now: Instant) -> Vec<String> {
        let groups = self.lock();
        let due = groups.iter().filter(|(_, registered)| {
            registered.beaten.is_none_or(|beaten| now.saturating_duration_since(beaten) >= interval)
        });
        due.map(|(group, _)| group.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Registered>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_due_until_every_broker_knows_it_and_after_the_interval() {
        let (producers, now, interval) = (Producers::default(), Instant::now(), Duration::from_secs(30));
        producers.add("g", BTreeSet::from(["a:1".into()]));
        assert_eq!(producers.due(interval, now), ["g"]);
        producers.beaten("g", now);
        assert!(producers.due(interval, now + interval / 2).is_empty());
        assert_eq!(producers.due(interval, now + interval), ["g"]);
        producers.add("g", BTreeSet::from(["b:1".into()]));
        assert!(producers.at("a:1").is_empty());
        assert_eq!(producers.at("b:1"), ["g"]);
    }
}
