//! Which queues are popped: those the broker assigns (RocketMQ: RebalanceImpl.getRebalanceResultFromBroker), else any queue
//! of every broker of the topic, which is also what a broker assigns by default.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use gantry_protocol::MessageQueue;

use super::queue::PopQueue;
use super::{PopConsumerGroup, Timer};
use crate::action::Action;
use crate::backoff::ANSWER_OVERDUE;
use crate::event::Event;
use crate::id::QueueKey;
use crate::input::Assignment;

/// Any queue of a broker.
const ANY_QUEUE: i32 = -1;

/// What brokers said of one topic.
#[derive(Debug, Default)]
pub(super) struct Assigned {
    /// Since when an answer is waited for.
    asked: Option<Instant>,
    /// There was an answer of some kind: popping may begin.
    heard: bool,
    /// The queues of this member; none where they are everybody's.
    queues: Option<Vec<MessageQueue>>,
}

impl PopConsumerGroup {
    /// The group's members have changed, so a broker may assign otherwise.
    pub fn handle_members_changed(&mut self, now: Instant) {
        self.assign_now(now);
    }

    /// What a broker assigns to this member.
    pub fn handle_assignment(&mut self, now: Instant, topic: &str, assignment: Assignment) {
        let Some(assigned) = self.assigned.get_mut(topic) else { return };
        assigned.asked = None;
        assigned.heard = true;
        match assignment {
            // A member that the broker does not know yet is assigned nothing: what was known stays.
            Assignment::Queues(queues) if queues.is_empty() => {}
            Assignment::Queues(queues) => assigned.queues = Some(queues),
            Assignment::Unset => assigned.queues = None,
            Assignment::Failed(_) => {}
        }
        self.take_assigned(now, topic);
    }

    pub(super) fn assign_now(&mut self, now: Instant) {
        if self.is_running() {
            self.timers.arm_no_later(Timer::Assign, now);
        }
    }

    /// Asks for the assignment of every topic that has a route.
    pub(super) fn assign(&mut self, now: Instant) {
        if !self.is_running() {
            return;
        }
        self.timers.arm(Timer::Assign, now + self.config.rebalance_interval);
        if !self.heartbeats.announced {
            return;
        }
        for topic in self.routes.found() {
            let assigned = self.assigned.entry(topic.clone()).or_default();
            if assigned.asked.is_none_or(|since| now >= since + ANSWER_OVERDUE) {
                assigned.asked = Some(now);
                self.out.push_back(Action::QueryAssignment { topic });
            }
        }
    }

    /// Pops what the topic's assignment says, and nothing else of it.
    pub(super) fn take_assigned(&mut self, now: Instant, topic: &str) {
        if !self.is_running() || !self.assigned.get(topic).is_some_and(|assigned| assigned.heard) {
            return;
        }
        let wanted = self.wanted(topic);
        for (mq, key) in self.owned_of(topic) {
            if !wanted.contains(&mq) {
                self.drop_queue(now, key);
            }
        }
        for mq in wanted {
            if !self.owned.contains_key(&mq) {
                self.take_queue(now, mq);
            }
        }
    }

    fn wanted(&self, topic: &str) -> BTreeSet<MessageQueue> {
        let route = self.routes.queues(topic).unwrap_or_default();
        let brokers: BTreeSet<&Arc<str>> = route.iter().map(|mq| &mq.broker_name).collect();
        let assigned = self.assigned.get(topic).and_then(|assigned| assigned.queues.as_ref());
        match assigned {
            Some(queues) => queues.iter().filter(|mq| brokers.contains(&mq.broker_name)).cloned().collect(),
            None => {
                let topic = route.first().map(|mq| &mq.topic);
                let any = |broker: &Arc<str>| topic.map(|topic| any_queue(topic, broker));
                brokers.into_iter().filter_map(any).collect()
            }
        }
    }

    fn owned_of(&self, topic: &str) -> Vec<(MessageQueue, QueueKey)> {
        self.owned.iter().filter(|(mq, _)| *mq.topic == *topic).map(|(mq, key)| (mq.clone(), *key)).collect()
    }

    fn take_queue(&mut self, now: Instant, mq: MessageQueue) {
        let key = QueueKey(self.next_serial());
        self.stats.queues_assigned += 1;
        self.event(Event::PopAssigned { mq: mq.clone() });
        self.owned.insert(mq.clone(), key);
        self.queues.insert(key, PopQueue::new(key, mq));
        self.pop_if_open(now, key);
    }

    /// Pops a queue no more. What waits is given back; what is at listeners is settled as ever.
    pub(super) fn drop_queue(&mut self, now: Instant, key: QueueKey) {
        let Some(queue) = self.queues.get_mut(&key) else { return };
        queue.dropped = true;
        let (mq, waiting) = (queue.mq.clone(), std::mem::take(&mut queue.waiting));
        self.owned.remove(&mq);
        self.timers.disarm(Timer::Queue(key));
        for waiting in waiting {
            self.give_back(key, waiting.popped);
        }
        self.stats.queues_released += 1;
        if self.is_running() {
            self.event(Event::QueueRevoked { mq });
        }
        self.settled(now, key, 0);
    }

    pub(super) fn drop_topic(&mut self, now: Instant, topic: &str) {
        self.routes.remove(topic);
        self.assigned.remove(topic);
        for (_, key) in self.owned_of(topic) {
            self.drop_queue(now, key);
        }
    }
}

fn any_queue(topic: &Arc<str>, broker_name: &Arc<str>) -> MessageQueue {
    MessageQueue { topic: topic.clone(), broker_name: broker_name.clone(), queue_id: ANY_QUEUE }
}
