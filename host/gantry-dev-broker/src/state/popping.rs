use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use super::order::Order;
use crate::sync::lock;

/// Orders of the queues that a group pops in order.
pub(crate) type Orders = HashMap<i32, Order>;
/// One group's pops of one topic, which happen one after another.
pub(crate) type Lane = Arc<tokio::sync::Mutex<Orders>>;
/// Lanes by group and topic.
type Lanes = HashMap<(Arc<str>, Arc<str>), Lane>;
/// A group's order of a queue: group, topic, queue id.
pub(crate) type StoredOrder = (Arc<str>, Arc<str>, i32, Order);

/// Pops at work and pops that wait (RocketMQ: QueueLockManager, ConsumerOrderInfoManager, PopLongPollingService).
#[derive(Debug)]
pub(crate) struct Popping {
    lanes: Mutex<Lanes>,
    lanes_limit: usize,
    waiting: Arc<Mutex<Waiting>>,
    waiting_limit: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    next_id: u64,
    count: usize,
    topics: HashMap<Arc<str>, HashMap<u64, Waits>>,
}

#[derive(Debug)]
struct Waits {
    group: Arc<str>,
    queue_id: i32,
    arrival: Arc<Notify>,
}

/// A request that waits for messages of some topics; it waits no more when this is dropped.
#[derive(Debug)]
pub(crate) struct Waiter {
    id: u64,
    topics: Vec<Arc<str>>,
    arrival: Arc<Notify>,
    waiting: Arc<Mutex<Waiting>>,
}

impl Popping {
    /// Nobody waits, and what groups popped in order is as it was when the broker stopped.
    pub(crate) fn new(lanes_limit: usize, waiting_limit: usize, stored: Vec<StoredOrder>) -> Self {
        let mut orders: HashMap<_, Orders> = HashMap::new();
        for (group, topic, queue_id, order) in stored {
            orders.entry((group, topic)).or_default().insert(queue_id, order);
        }
        let lane = |(key, orders)| (key, Arc::new(tokio::sync::Mutex::new(orders)));
        let lanes = Mutex::new(orders.into_iter().map(lane).collect());
        Self { lanes, lanes_limit, waiting: Arc::default(), waiting_limit }
    }

    /// The lane of a group and topic; `None` when there are too many at work.
    pub(crate) fn lane(&self, group: &Arc<str>, topic: &Arc<str>) -> Option<Lane> {
        let mut lanes = lock(&self.lanes);
        let key = (Arc::clone(group), Arc::clone(topic));
        if let Some(lane) = lanes.get(&key) {
            return Some(Arc::clone(lane));
        }
        if lanes.len() >= self.lanes_limit {
            // Nobody is in these, and there is nothing in them that would be missed.
            lanes.retain(|_, lane| {
                Arc::strong_count(lane) > 1 || lane.try_lock().is_ok_and(|orders| !orders.is_empty())
            });
        }
        if lanes.len() >= self.lanes_limit {
            return None;
        }
        let lane = Lane::default();
        lanes.insert(key, Arc::clone(&lane));
        Some(lane)
    }

    /// Waits for the topics on behalf of a group; `None` when too many wait already.
    pub(crate) fn wait(&self, group: &Arc<str>, queue_id: i32, topics: Vec<Arc<str>>) -> Option<Waiter> {
        let mut waiting = lock(&self.waiting);
        if waiting.count >= self.waiting_limit {
            return None;
        }
        waiting.count += 1;
        waiting.next_id += 1;
        let id = waiting.next_id;
        let arrival = Arc::new(Notify::new());
        for topic in &topics {
            let waits = Waits { group: Arc::clone(group), queue_id, arrival: Arc::clone(&arrival) };
            waiting.topics.entry(Arc::clone(topic)).or_default().insert(id, waits);
        }
        Some(Waiter { id, topics, arrival, waiting: Arc::clone(&self.waiting) })
    }

    /// Something may be there to pop in this topic.
    pub(crate) fn arrived(&self, topic: &str) {
        let waiting = lock(&self.waiting);
        let waiters = waiting.topics.get(topic).into_iter().flat_map(HashMap::values);
        waiters.for_each(|waits| waits.arrival.notify_one());
    }

    /// How many requests of a group wait for a queue of the topic.
    pub(crate) fn waiting(&self, group: &str, topic: &str, queue_id: i32) -> usize {
        let waiting = lock(&self.waiting);
        let waiters = waiting.topics.get(topic).into_iter().flat_map(HashMap::values);
        waiters.filter(|waits| &*waits.group == group && waits.queue_id == queue_id).count()
    }

    /// How many requests wait.
    pub(crate) fn count(&self) -> usize {
        lock(&self.waiting).count
    }
}

impl Waiter {
    /// Returns when something arrived since the last time.
    pub(crate) async fn arrival(&self) {
        self.arrival.notified().await;
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut waiting = lock(&self.waiting);
        waiting.count = waiting.count.saturating_sub(1);
        for topic in &self.topics {
            let Some(waiters) = waiting.topics.get_mut(topic) else { continue };
            waiters.remove(&self.id);
            if waiters.is_empty() {
                waiting.topics.remove(topic);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_waiter_is_woken_by_its_topics_until_it_is_dropped() {
        let popping = Popping::new(1, 1, Vec::new());
        let group: Arc<str> = "g".into();
        let waiter = popping.wait(&group, -1, vec!["t".into(), "u".into()]).unwrap();
        assert!(popping.wait(&group, -1, Vec::new()).is_none());
        popping.arrived("other");
        popping.arrived("u");
        waiter.arrival().await;
        assert_eq!((popping.waiting("g", "t", -1), popping.waiting("g", "t", 0)), (1, 0));
        drop(waiter);
        assert_eq!((popping.count(), popping.waiting("g", "t", -1)), (0, 0));
    }

    #[test]
    fn lanes_have_a_bound_and_idle_ones_make_room() {
        let popping = Popping::new(1, 1, Vec::new());
        let (group, one, other): (Arc<str>, Arc<str>, Arc<str>) = ("g".into(), "t".into(), "u".into());
        let lane = popping.lane(&group, &one).unwrap();
        assert!(popping.lane(&group, &other).is_none());
        drop(lane);
        assert!(popping.lane(&group, &other).is_some());
    }
}
