//! What is known of topics and brokers: written by route queries, read by every call.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gantry_protocol::names::MASTER_ID;
use tokio::sync::watch;
use tokio::time::Instant;

use super::route::{BrokerAddrs, TopicRoute};

/// What is known of one topic.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum RouteState {
    /// No name server has been asked yet, or none could be.
    #[default]
    Unknown,
    /// The name server does not know the topic.
    Missing,
    /// The newest route that was found.
    Found(Arc<TopicRoute>),
}

/// An address of a broker that was looked for by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BrokerAddress {
    pub(super) addr: Arc<str>,
    pub(super) id: i64,
}

impl BrokerAddress {
    pub(super) fn is_master(&self) -> bool {
        self.id == MASTER_ID
    }
}

/// Topics' routes and brokers' addresses.
#[derive(Debug, Default)]
pub(super) struct RouteTable(Mutex<Tables>);

#[derive(Debug, Default)]
struct Tables {
    topics: HashMap<Arc<str>, Topic>,
    brokers: BTreeMap<Arc<str>, BrokerAddrs>,
}

#[derive(Debug, Default)]
struct Topic {
    state: watch::Sender<RouteState>,
    /// When a name server last answered for it.
    answered: Option<Instant>,
    /// When its route was last needed.
    used: Option<Instant>,
}

impl RouteTable {
    /// The newest known route.
    pub(super) fn route(&self, topic: &str, now: Instant) -> Option<Arc<TopicRoute>> {
        let mut tables = self.lock();
        let topic = tables.topics.get_mut(topic)?;
        topic.used = Some(now);
        match &*topic.state.borrow() {
            RouteState::Found(route) => Some(Arc::clone(route)),
            RouteState::Unknown | RouteState::Missing => None,
        }
    }

    /// What is known of `topic` now and from now on.
    pub(super) fn watch(&self, topic: &str) -> watch::Receiver<RouteState> {
        self.lock().topic(topic).state.subscribe()
    }

    /// Takes a new route over. Returns the addresses that no route names any more.
    pub(super) fn found(&self, route: &Arc<TopicRoute>, now: Instant) -> Vec<Arc<str>> {
        let mut tables = self.lock();
        let topic = tables.topic(&route.topic);
        topic.answered = Some(now);
        let changed = topic.state.send_if_modified(|state| match state {
            RouteState::Found(known) if known == route => false,
            _ => {
                *state = RouteState::Found(Arc::clone(route));
                true
            }
        });
        if changed { tables.take_brokers(route) } else { Vec::new() }
    }

    /// A name server does not know the topic. A route that was known stays: its brokers may still be needed to end
    /// what was begun.
    pub(super) fn missing(&self, topic: &str, now: Instant) {
        let mut tables = self.lock();
        let topic = tables.topic(topic);
        topic.answered = Some(now);
        topic.state.send_if_modified(|state| {
            let unknown = *state == RouteState::Unknown;
            if unknown {
                *state = RouteState::Missing;
            }
            unknown
        });
    }

    /// Drops what is known of topics that are not `subscribed`, watched by nobody and not used for `idle`.
    pub(super) fn forget_unused(&self, subscribed: &BTreeSet<Arc<str>>, idle: Duration, now: Instant) {
        self.lock().topics.retain(|name, topic| {
            let recent = [topic.used, topic.answered].into_iter().flatten();
            let recent = recent.max().is_some_and(|at| now.saturating_duration_since(at) < idle);
            recent || subscribed.contains(name) || topic.state.receiver_count() > 0
        });
    }

    /// Those topics, subscribed or otherwise used, for which no name server has answered within `interval`.
    pub(super) fn due(
        &self,
        subscribed: &BTreeSet<Arc<str>>,
        interval: Duration,
        now: Instant,
    ) -> Vec<Arc<str>> {
        let tables = self.lock();
        let due = |topic: &Topic| {
            topic.answered.is_none_or(|answered| now.saturating_duration_since(answered) >= interval)
        };
        let known = tables.topics.iter().filter(|(_, topic)| due(topic)).map(|(name, _)| name);
        let unknown = subscribed.iter().filter(|name| !tables.topics.contains_key(*name));
        known.chain(unknown).cloned().collect()
    }

    /// The address of a broker with this id; where there is none, the master's or any other one.
    pub(super) fn broker(&self, name: &str, id: i64) -> Option<BrokerAddress> {
        let tables = self.lock();
        let addrs = tables.brokers.get(name)?;
        let exact = addrs.get_key_value(&id).or_else(|| addrs.get_key_value(&MASTER_ID));
        let (&id, addr) = exact.or_else(|| addrs.iter().next())?;
        Some(BrokerAddress { addr: Arc::clone(addr), id })
    }

    /// The address of the broker's first replica.
    pub(super) fn replica(&self, name: &str) -> Option<BrokerAddress> {
        let tables = self.lock();
        let (&id, addr) = tables.brokers.get(name)?.iter().find(|(id, _)| **id != MASTER_ID)?;
        Some(BrokerAddress { addr: Arc::clone(addr), id })
    }

    /// Whether a name server has answered for the topic within `age`.
    pub(super) fn is_fresh(&self, topic: &str, age: Duration, now: Instant) -> bool {
        let answered = self.lock().topics.get(topic).and_then(|topic| topic.answered);
        answered.is_some_and(|answered| now.saturating_duration_since(answered) < age)
    }

    /// The address of a broker's master.
    pub(super) fn master(&self, name: &str) -> Option<Arc<str>> {
        self.lock().brokers.get(name)?.get(&MASTER_ID).cloned()
    }

    /// Whether a broker is at this address.
    pub(super) fn names(&self, addr: &Arc<str>) -> bool {
        self.lock().brokers.values().any(|addrs| addrs.values().any(|known| known == addr))
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tables {
    fn topic(&mut self, name: &str) -> &mut Topic {
        if !self.topics.contains_key(name) {
            self.topics.insert(name.into(), Topic::default());
        }
        self.topics.entry(name.into()).or_default()
    }

    /// The newest route is right about its own brokers; brokers in no route are gone.
    fn take_brokers(&mut self, route: &TopicRoute) -> Vec<Arc<str>> {
        let before = self.addresses();
        for (name, addrs) in &route.brokers {
            self.brokers.insert(Arc::clone(name), addrs.clone());
        }
        let named: BTreeSet<_> =
            self.topics.values().flat_map(|topic| broker_names(&topic.state.borrow())).collect();
        self.brokers.retain(|name, _| named.contains(name));
        let after = self.addresses();
        before.difference(&after).cloned().collect()
    }

    fn addresses(&self) -> BTreeSet<Arc<str>> {
        self.brokers.values().flat_map(|addrs| addrs.values().cloned()).collect()
    }
}

fn broker_names(state: &RouteState) -> Vec<Arc<str>> {
    match state {
        RouteState::Found(route) => route.brokers.keys().cloned().collect(),
        RouteState::Unknown | RouteState::Missing => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(topic: &str, brokers: &[(&str, i64, &str)]) -> Arc<TopicRoute> {
        let mut by_name: BTreeMap<Arc<str>, BrokerAddrs> = BTreeMap::new();
        for &(name, id, addr) in brokers {
            by_name.entry(name.into()).or_default().insert(id, addr.into());
        }
        let (subscribe_queues, publish_queues) = (Vec::new(), Vec::new());
        Arc::new(TopicRoute { topic: topic.into(), subscribe_queues, publish_queues, brokers: by_name })
    }

    #[test]
    fn a_broker_is_found_by_id_then_as_master_then_anyhow() {
        let (table, now) = (RouteTable::default(), Instant::now());
        table.found(&route("t", &[("a", 0, "m:1"), ("a", 1, "s:1"), ("b", 2, "s:2")]), now);
        let found =
            |name, id| table.broker(name, id).map(|broker| (broker.addr.to_string(), broker.is_master()));
        assert_eq!(found("a", 1), Some(("s:1".into(), false)));
        assert_eq!(found("a", 7), Some(("m:1".into(), true)));
        assert_eq!(found("b", 0), Some(("s:2".into(), false)));
        assert_eq!(found("c", 0), None);
        assert_eq!((table.master("a"), table.master("b")), (Some("m:1".into()), None));
    }

    #[test]
    fn an_address_is_given_up_when_the_last_route_has_dropped_it() {
        let (table, now) = (RouteTable::default(), Instant::now());
        table.found(&route("t", &[("a", 0, "a:1"), ("b", 0, "b:1")]), now);
        table.found(&route("u", &[("b", 0, "b:1")]), now);
        assert!(table.found(&route("t", &[("b", 0, "b:1")]), now).iter().eq(&["a:1".into()] as &[Arc<str>]));
        assert_eq!(table.broker("a", 0), None);
        assert!(table.found(&route("t", &[("b", 0, "b:2")]), now).iter().eq(&["b:1".into()] as &[Arc<str>]));
        assert_eq!(table.master("b"), Some("b:2".into()), "the newest route is right");
    }

    #[test]
    fn only_changes_wake_the_watchers_and_a_missing_topic_keeps_its_route() {
        let (table, now) = (RouteTable::default(), Instant::now());
        let mut watch = table.watch("t");
        table.missing("t", now);
        assert_eq!(*watch.borrow_and_update(), RouteState::Missing);
        table.missing("t", now);
        assert!(!watch.has_changed().unwrap());
        let first = route("t", &[("a", 0, "a:1")]);
        table.found(&first, now);
        assert_eq!(*watch.borrow_and_update(), RouteState::Found(Arc::clone(&first)));
        table.found(&route("t", &[("a", 0, "a:1")]), now);
        table.missing("t", now);
        assert!(!watch.has_changed().unwrap());
        assert_eq!(table.route("t", now), Some(first));
    }

    #[test]
    fn a_topic_is_due_until_answered_and_again_after_the_interval() {
        let (table, now) = (RouteTable::default(), Instant::now());
        let interval = Duration::from_secs(30);
        let subscribed = BTreeSet::from([Arc::from("t"), Arc::from("u")]);
        table.missing("t", now);
        assert_eq!(table.due(&subscribed, interval, now + interval / 2), [Arc::from("u")]);
        assert_eq!(table.due(&subscribed, interval, now + interval).len(), 2);
    }

    #[test]
    fn topics_nobody_uses_are_forgotten_after_a_while() {
        let (table, now) = (RouteTable::default(), Instant::now());
        let idle = Duration::from_secs(600);
        let watched = table.watch("watched");
        for topic in ["subscribed", "used", "unused"] {
            table.found(&route(topic, &[("a", 0, "a:1")]), now);
        }
        let later = now + idle;
        table.route("used", now + idle / 2);
        table.forget_unused(&BTreeSet::from(["subscribed".into()]), idle, later);
        let kept = ["subscribed", "used", "unused"].map(|topic| table.route(topic, later).is_some());
        assert_eq!(kept, [true, true, false]);
        assert_eq!(table.lock().topics.len(), 3);
        drop(watched);
    }
}
