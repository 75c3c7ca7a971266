//! One topic's route: which brokers have it, and which of its queues may be read and written.

use std::collections::BTreeMap;
use std::sync::Arc;

use gantry_protocol::body::{BrokerData, QueueData, TopicRouteData};
use gantry_protocol::names::MASTER_ID;
use gantry_protocol::{MessageQueue, perm};

/// Queues one broker may claim for one topic. More than any real topic has, so that a wrong number costs little.
const MOST_QUEUES: i32 = 65_536;

/// A broker's addresses by broker id; 0 is the master.
pub type BrokerAddrs = BTreeMap<i64, Arc<str>>;

/// A topic's route as its users need it (RocketMQ: TopicRouteData, TopicPublishInfo and the subscribe info).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicRoute {
    /// The topic.
    pub topic: Arc<str>,
    /// Queues that may be read, sorted: of each broker with read permission, 0 up to readQueueNums.
    pub subscribe_queues: Vec<MessageQueue>,
    /// Queues that may be written, sorted: of each broker with write permission and a master, 0 up to writeQueueNums.
    pub publish_queues: Vec<MessageQueue>,
    /// The brokers that have the topic, by name.
    pub brokers: BTreeMap<Arc<str>, BrokerAddrs>,
}

impl TopicRoute {
    /// Reads a name server's answer.
    pub(super) fn new(topic: Arc<str>, data: &TopicRouteData) -> Self {
        let brokers: BTreeMap<_, _> = data.broker_datas.iter().map(addresses).collect();
        let readable = data.queue_datas.iter().filter(|queue| perm::is_readable(queue.perm));
        let has_master = |queue: &&QueueData| {
            brokers
                .get(queue.broker_name.as_str())
                .is_some_and(|addrs: &BrokerAddrs| addrs.contains_key(&MASTER_ID))
        };
        let writable =
            data.queue_datas.iter().filter(|queue| perm::is_writable(queue.perm)).filter(has_master);
        let subscribe_queues =
            queues(&topic, readable.map(|queue| (&*queue.broker_name, queue.read_queue_nums)));
        let publish_queues =
            queues(&topic, writable.map(|queue| (&*queue.broker_name, queue.write_queue_nums)));
        Self { subscribe_queues, publish_queues, topic, brokers }
    }

    /// The route a new topic would get from the template topic's: as many queues per broker, at most `most`.
    pub(super) fn for_new_topic(&self, topic: &Arc<str>, most: i32) -> Self {
        let within = |queues: &[MessageQueue]| {
            let kept = queues.iter().filter(|queue| queue.queue_id < most);
            kept.map(|queue| MessageQueue { topic: Arc::clone(topic), ..queue.clone() }).collect()
        };
        Self {
            topic: Arc::clone(topic),
            subscribe_queues: within(&self.subscribe_queues),
            publish_queues: within(&self.publish_queues),
            brokers: self.brokers.clone(),
        }
    }

    /// Every address of every broker.
    pub fn addresses(&self) -> impl Iterator<Item = &Arc<str>> {
        self.brokers.values().flat_map(BTreeMap::values)
    }

    /// The masters, with their brokers' names.
    pub fn masters(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<str>)> {
        self.brokers.iter().filter_map(|(name, addrs)| Some((name, addrs.get(&MASTER_ID)?)))
    }

    /// The address of any one broker that has the topic, its master if it has one (RocketMQ: `findBrokerAddrByTopic`).
    pub(super) fn random_address(&self) -> Option<&Arc<str>> {
        let reachable = || self.brokers.values().filter(|addrs| !addrs.is_empty());
        let at = fastrand::usize(..reachable().count().max(1));
        let addrs = reachable().nth(at)?;
        addrs.get(&MASTER_ID).or_else(|| addrs.values().next())
    }
}

fn addresses(data: &BrokerData) -> (Arc<str>, BrokerAddrs) {
    let addrs = data.broker_addrs.iter().map(|(&id, addr)| (id, Arc::from(addr.as_str()))).collect();
    (data.broker_name.as_str().into(), addrs)
}

fn queues<'a>(topic: &Arc<str>, brokers: impl Iterator<Item = (&'a str, i32)>) -> Vec<MessageQueue> {
    let mut queues = Vec::new();
    for (broker_name, count) in brokers {
        let broker_name: Arc<str> = broker_name.into();
        let ids = 0..count.min(MOST_QUEUES);
        queues.extend(ids.map(|id| MessageQueue::new(Arc::clone(topic), Arc::clone(&broker_name), id)));
    }
    queues.sort();
    queues.dedup();
    queues
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_protocol::fastjson;

    /// A name server's answer in the form that clients before 401 get, with a read-only broker and one without master.
    const ANSWER: &str = r#"{"brokerDatas":[
        {"brokerAddrs":{0:"10.0.0.1:10911",1:"10.0.0.2:10911"},"brokerName":"b","cluster":"c"},
        {"brokerAddrs":{0:"10.0.0.3:10911"},"brokerName":"a","cluster":"c"},
        {"brokerAddrs":{1:"10.0.0.4:10911"},"brokerName":"slave","cluster":"c"}],
        "queueDatas":[
        {"brokerName":"b","perm":6,"readQueueNums":2,"writeQueueNums":3,"topicSysFlag":0},
        {"brokerName":"a","perm":4,"readQueueNums":1,"writeQueueNums":1,"topicSysFlag":0},
        {"brokerName":"slave","perm":6,"readQueueNums":1,"writeQueueNums":1,"topicSysFlag":0}]}"#;

    fn route() -> TopicRoute {
        TopicRoute::new("t".into(), &fastjson::from_slice(ANSWER.as_bytes()).unwrap())
    }

    fn named(queues: &[MessageQueue]) -> Vec<(&str, i32)> {
        queues.iter().map(|queue| (&*queue.broker_name, queue.queue_id)).collect()
    }

    #[test]
    fn permissions_and_masters_decide_which_queues_there_are() {
        let route = route();
        assert_eq!(named(&route.subscribe_queues), [("a", 0), ("b", 0), ("b", 1), ("slave", 0)]);
        assert_eq!(named(&route.publish_queues), [("b", 0), ("b", 1), ("b", 2)]);
        let masters: Vec<_> = route.masters().map(|(name, addr)| (&**name, &**addr)).collect();
        assert_eq!(masters, [("a", "10.0.0.3:10911"), ("b", "10.0.0.1:10911")]);
        assert_eq!(route.addresses().count(), 4);
    }

    #[test]
    fn a_topic_to_be_created_gets_the_templates_queues_within_its_bound() {
        let created = route().for_new_topic(&"new".into(), 2);
        assert_eq!(named(&created.publish_queues), [("b", 0), ("b", 1)]);
        assert!(created.publish_queues.iter().all(|queue| &*queue.topic == "new"));
    }

    #[test]
    fn any_one_broker_is_found_and_a_route_without_brokers_has_none() {
        let route = route();
        let known: Vec<_> = route.addresses().cloned().collect();
        for _ in 0..50 {
            let addr = route.random_address().unwrap();
            assert!(
                known.contains(addr) && &**addr != "10.0.0.2:10911",
                "a master where there is one: {addr}"
            );
        }
        let empty = TopicRoute::new("t".into(), &TopicRouteData::default());
        assert_eq!(empty.random_address(), None);
    }

    #[test]
    fn absurd_queue_numbers_cost_little() {
        let mut data: TopicRouteData = fastjson::from_slice(ANSWER.as_bytes()).unwrap();
        data.queue_datas[0].read_queue_nums = i32::MAX;
        data.queue_datas[0].write_queue_nums = -1;
        let route = TopicRoute::new("t".into(), &data);
        assert_eq!(route.subscribe_queues.len(), 65_536 + 2);
        assert!(route.publish_queues.is_empty());
    }
}
