//! What name servers said of the subscribed topics, and when to ask again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gantry_protocol::MessageQueue;

use crate::backoff::{ANSWER_OVERDUE, Backoff};

/// A topic that is not there is asked for soon and then less soon. RocketMQ asks every 30 s, which is why the first
/// retry of a new group takes it up to 40 s.
const MISSING: Backoff = Backoff { first: Duration::from_millis(500), most: Duration::from_secs(5) };

/// A broker that does not answer may have gone from the route, or moved: it is asked for again this soon.
const SUSPECT: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct TopicRoute {
    /// Sorted; none until found.
    queues: Option<Vec<MessageQueue>>,
    asking: bool,
    /// When to ask, or to ask again if no answer has come.
    due: Instant,
    misses: u32,
    missing_told: bool,
}

/// What an answer changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RouteChange {
    /// Nothing.
    None,
    /// The topic has these many queues now; some at brokers not known before.
    Queues { count: usize, new_broker: bool },
    /// The topic does not exist, which was not said yet.
    Missing,
}

#[derive(Debug, Default)]
pub(crate) struct RouteTable {
    topics: BTreeMap<Arc<str>, TopicRoute>,
    /// The brokers of the topics, as of the last answer that changed anything.
    brokers: BTreeSet<Arc<str>>,
}

impl RouteTable {
    pub(crate) fn add(&mut self, now: Instant, topic: Arc<str>) {
        let fresh = TopicRoute { queues: None, asking: false, due: now, misses: 0, missing_told: false };
        self.topics.entry(topic).or_insert(fresh);
    }

    /// Forgets a topic, but not its brokers: they are to hear that it is no longer subscribed.
    pub(crate) fn remove(&mut self, topic: &str) {
        self.topics.remove(topic);
    }

    /// The queues of a topic that has been found.
    pub(crate) fn queues(&self, topic: &str) -> Option<&[MessageQueue]> {
        self.topics.get(topic)?.queues.as_deref()
    }

    /// The topics that have been found.
    pub(crate) fn found(&self) -> Vec<Arc<str>> {
        self.topics
            .iter()
            .filter(|(_, route)| route.queues.is_some())
            .map(|(topic, _)| topic.clone())
            .collect()
    }

    pub(crate) fn has_brokers(&self) -> bool {
        !self.brokers.is_empty()
    }

    /// When the next topic is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.topics.values().map(|route| route.due).min()
    }

    /// The topics that are due, from now on being asked for.
    pub(crate) fn ask_due(&mut self, now: Instant) -> Vec<Arc<str>> {
        let due = self.topics.iter_mut().filter(|(_, route)| route.due <= now);
        due.map(|(topic, route)| {
            (route.asking, route.due) = (true, now + ANSWER_OVERDUE);
            topic.clone()
        })
        .collect()
    }

    /// Asks for a missing topic soon; it is expected to appear.
    pub(crate) fn hurry(&mut self, now: Instant, topic: &str) {
        if let Some(route) = self.topics.get_mut(topic).filter(|route| route.queues.is_none()) {
            route.misses = 0;
            if !route.asking {
                route.due = route.due.min(now + MISSING.first);
            }
        }
    }

    /// Asks for a topic soon whose brokers do not answer. Returns when.
    pub(crate) fn suspect(&mut self, now: Instant, topic: &str) -> Option<Instant> {
        let route = self.topics.get_mut(topic).filter(|route| !route.asking)?;
        route.due = route.due.min(now + SUSPECT);
        Some(route.due)
    }

    pub(crate) fn found_queues(
        &mut self,
        now: Instant,
        poll: Duration,
        topic: &str,
        mut queues: Vec<MessageQueue>,
    ) -> RouteChange {
        let Some(route) = self.topics.get_mut(topic) else { return RouteChange::None };
        (route.asking, route.misses, route.missing_told) = (false, 0, false);
        route.due = now + poll;
        queues.sort();
        queues.dedup();
        if route.queues.as_ref() == Some(&queues) {
            return RouteChange::None;
        }
        let count = queues.len();
        route.queues = Some(queues);
        let names = self.names();
        let new_broker = !names.is_subset(&self.brokers);
        self.brokers = names;
        RouteChange::Queues { count, new_broker }
    }

    /// No queues were learnt; `missing` when that is because the topic does not exist. What was known stays.
    pub(crate) fn not_found(
        &mut self,
        now: Instant,
        random: &mut fastrand::Rng,
        topic: &str,
        missing: bool,
    ) -> RouteChange {
        let Some(route) = self.topics.get_mut(topic) else { return RouteChange::None };
        route.asking = false;
        route.misses = route.misses.saturating_add(1);
        route.due = now + MISSING.after(route.misses, random);
        if missing && !std::mem::replace(&mut route.missing_told, true) {
            return RouteChange::Missing;
        }
        RouteChange::None
    }

    fn names(&self) -> BTreeSet<Arc<str>> {
        let queues = self.topics.values().filter_map(|route| route.queues.as_ref()).flatten();
        queues.map(|mq| mq.broker_name.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLL: Duration = Duration::from_secs(30);

    fn queues(broker: &str, ids: &[i32]) -> Vec<MessageQueue> {
        ids.iter().map(|&id| MessageQueue::new("t", broker, id)).collect()
    }

    #[test]
    fn a_topic_is_asked_for_once_at_a_time_and_again_after_the_poll_interval() {
        let now = Instant::now();
        let mut table = RouteTable::default();
        table.add(now, "t".into());
        assert_eq!(table.ask_due(now).len(), 1);
        assert_eq!((table.ask_due(now).len(), table.next_due()), (0, Some(now + ANSWER_OVERDUE)));
        let change = table.found_queues(now, POLL, "t", queues("b", &[1, 0]));
        assert_eq!(change, RouteChange::Queues { count: 2, new_broker: true });
        assert_eq!(table.queues("t"), Some(&queues("b", &[0, 1])[..]), "sorted");
        assert_eq!(table.next_due(), Some(now + POLL));
        assert_eq!(table.found_queues(now, POLL, "t", queues("b", &[0, 1])), RouteChange::None);
        let grown = table.found_queues(now, POLL, "t", queues("b", &[0, 1, 2]));
        assert_eq!(grown, RouteChange::Queues { count: 3, new_broker: false });
    }

    #[test]
    fn a_missing_topic_is_told_once_and_asked_for_soon_and_sooner_when_expected() {
        let now = Instant::now();
        let mut random = fastrand::Rng::with_seed(1);
        let mut table = RouteTable::default();
        table.add(now, "t".into());
        assert_eq!(table.not_found(now, &mut random, "t", false), RouteChange::None);
        assert_eq!(table.not_found(now, &mut random, "t", true), RouteChange::Missing);
        for _ in 0..10 {
            assert_eq!(table.not_found(now, &mut random, "t", true), RouteChange::None);
        }
        let wait = table.next_due().unwrap() - now;
        assert!((Duration::from_secs(5)..Duration::from_secs(6)).contains(&wait), "{wait:?}");
        table.hurry(now, "t");
        assert_eq!(table.next_due(), Some(now + Duration::from_millis(500)));
        table.not_found(now, &mut random, "t", true);
        assert!(table.next_due().unwrap() - now < Duration::from_secs(1), "the waits start over");
    }

    #[test]
    fn a_topic_whose_broker_does_not_answer_is_asked_for_within_a_second() {
        let now = Instant::now();
        let mut table = RouteTable::default();
        table.add(now, "t".into());
        table.ask_due(now);
        assert_eq!(table.suspect(now, "t"), None, "it is being asked for");
        table.found_queues(now, POLL, "t", queues("b", &[0]));
        assert_eq!(table.suspect(now, "t"), Some(now + Duration::from_secs(1)));
        assert_eq!(table.suspect(now + Duration::from_millis(500), "t"), Some(now + Duration::from_secs(1)));
        assert_eq!(table.suspect(now, "unknown"), None);
    }

    #[test]
    fn a_known_route_outlives_answers_that_know_nothing() {
        let now = Instant::now();
        let mut table = RouteTable::default();
        table.add(now, "t".into());
        table.found_queues(now, POLL, "t", queues("b", &[0]));
        table.not_found(now, &mut fastrand::Rng::with_seed(1), "t", true);
        assert_eq!(table.queues("t").map(<[_]>::len), Some(1));
        table.remove("t");
        assert_eq!((table.queues("t"), table.has_brokers()), (None, true));
    }
}
