//! Who owns what: members, allocation, and taking a queue.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gantry_protocol::MessageQueue;

use super::{ConsumerGroup, Life};
use crate::action::Action;
use crate::allocate::AllocateError;
use crate::backoff::{ANSWER_OVERDUE, Backoff};
use crate::event::Event;
use crate::flow_control::Limits;
use crate::id::{OffsetQueryId, QueueKey};
use crate::input::OffsetAnswer;
use crate::offset::CommitOffset;
use crate::queue::{Locating, Phase, Queue};
use crate::rebalance::check_allocation;
use crate::start_offset::{StartOffset, start_offset};
use crate::timer::Timer;

/// How soon queues are allocated again while they are not where they belong (RocketMQ:
/// rocketmq.client.rebalance.minInterval).
const UNBALANCED: Duration = Duration::from_secs(1);
const OFFSET_UNKNOWN: Backoff = Backoff { first: Duration::from_secs(1), most: Duration::from_secs(5) };

impl ConsumerGroup {
    /// A broker says that the group's members have changed (NOTIFY_CONSUMER_IDS_CHANGED).
    pub fn handle_members_changed(&mut self, now: Instant) {
        self.rebalance_now(now);
    }

    /// The group's members as a broker of the topic knows them; none when they could not be learnt.
    pub fn handle_members(&mut self, now: Instant, topic: &str, members: Option<Vec<String>>) {
        let ask_again = self.rounds.answered(topic);
        let Some(subscription) = self.subscriptions.subscription(topic) else { return };
        let topic = subscription.topic.clone();
        if !matches!(self.life, Life::Running) {
            return;
        }
        match members {
            Some(members) => self.allocate(now, &topic, members),
            None => {
                if self.rounds.trouble(&topic) {
                    self.event(Event::MembersUnknown { topic: topic.clone() });
                }
                self.timers.arm_no_later(Timer::Rebalance, now + UNBALANCED);
            }
        }
        if ask_again {
            self.ask_members(now, &topic);
        }
    }

    pub(super) fn rebalance_now(&mut self, now: Instant) {
        if matches!(self.life, Life::Running) {
            self.timers.arm_no_later(Timer::Rebalance, now);
        }
    }

    pub(super) fn rebalance(&mut self, now: Instant) {
        if !matches!(self.life, Life::Running) {
            return;
        }
        self.timers.arm(Timer::Rebalance, now + self.config.rebalance_interval);
        if !self.heartbeats.announced {
            // The heartbeat that is due or on the way brings the next round.
            return;
        }
        for topic in self.routes.found() {
            if self.routes.queues(&topic).is_some_and(<[_]>::is_empty) {
                self.apply_allocation(now, &topic, BTreeSet::new());
            } else {
                self.ask_members(now, &topic);
            }
        }
    }

    fn ask_members(&mut self, now: Instant, topic: &Arc<str>) {
        if self.rounds.begin(now, topic) {
            self.out.push_back(Action::QueryMembers { topic: topic.clone() });
        }
    }

    fn allocate(&mut self, now: Instant, topic: &Arc<str>, mut members: Vec<String>) {
        members.sort();
        let Some(queues) = self.routes.queues(topic) else { return };
        let allocated = self
            .strategy
            .allocate(&self.config.consumer_group, &self.client_id, queues, &members)
            .and_then(|allocated| check_allocation(self.strategy.name(), queues, allocated));
        match allocated {
            Ok(allocated) => {
                self.rounds.well(topic);
                self.apply_allocation(now, topic, allocated);
            }
            Err(error) => self.allocation_refused(now, topic, error),
        }
    }

    fn allocation_refused(&mut self, now: Instant, topic: &Arc<str>, error: AllocateError) {
        self.timers.arm_no_later(Timer::Rebalance, now + UNBALANCED);
        let left_out = matches!(error, AllocateError::NotAMember { .. });
        if self.rounds.trouble(topic) {
            self.event(Event::AllocationRefused { topic: topic.clone(), error });
        }
        if left_out {
            self.request_heartbeat(now);
            if self.rounds.absent(topic) {
                self.apply_allocation(now, topic, BTreeSet::new());
            }
        }
    }

    fn apply_allocation(&mut self, now: Instant, topic: &Arc<str>, allocated: BTreeSet<MessageQueue>) {
        let mut unbalanced = false;
        for (mq, key) in self.owned_of(topic) {
            let wanted = allocated.contains(&mq);
            let Some(queue) = self.queues.get_mut(&key) else { continue };
            unbalanced |= queue.revoked || !wanted;
            queue.wanted_again = wanted && queue.revoked;
            if !wanted && !queue.revoked {
                self.revoke(now, key, now + self.config.drain_timeout);
            }
        }
        for mq in allocated {
            if !self.owned.contains_key(&mq) {
                self.take_queue(now, mq);
            }
        }
        self.share_limits(topic);
        if unbalanced {
            self.timers.arm_no_later(Timer::Rebalance, now + UNBALANCED);
        }
    }

    fn take_queue(&mut self, now: Instant, mq: MessageQueue) {
        let key = QueueKey(self.next_serial());
        let retry_topic = self.subscriptions.is_retry(&mq.topic);
        self.owned.insert(mq.clone(), key);
        self.queues.insert(key, Queue::new(key, mq, retry_topic, Limits::new(&self.config, 1)));
        self.stats.queues_assigned += 1;
        self.locate(now, key);
    }

    /// Thresholds of a topic are shared among the queues of it that are here.
    pub(super) fn share_limits(&mut self, topic: &str) {
        let keys = self.owned_of(topic);
        let limits = Limits::new(&self.config, keys.len());
        for (_, key) in keys {
            if let Some(queue) = self.queues.get_mut(&key) {
                queue.limits = limits;
            }
        }
    }

    /// Asks what is to be known next about a queue's start offset.
    pub(super) fn locate(&mut self, now: Instant, key: QueueKey) {
        let serial = self.next_serial();
        let Some(queue) = self.queues.get_mut(&key) else { return };
        let Phase::Locating { step, asked, .. } = &mut queue.phase else { return };
        *asked = Some(serial);
        self.timers.arm(Timer::Queue(key), now + ANSWER_OVERDUE);
        let id = OffsetQueryId { queue: key, serial };
        let mq = queue.mq.clone();
        self.out.push_back(match *step {
            Locating::Stored => Action::QueryOffset { id, mq },
            Locating::Max => Action::QueryMaxOffset { id, mq },
            Locating::Time(timestamp) => Action::SearchOffset { id, mq, timestamp },
        });
    }

    /// The answer to a question about an offset.
    pub fn handle_offset(&mut self, now: Instant, id: OffsetQueryId, answer: OffsetAnswer) {
        let Some(queue) = self.queues.get_mut(&id.queue) else { return };
        let Phase::Locating { step, asked, failures } = &mut queue.phase else { return };
        if *asked != Some(id.serial) {
            return;
        }
        *asked = None;
        let stored = match (*step, answer) {
            (Locating::Stored, OffsetAnswer::Found(offset)) if offset >= 0 => Some(offset),
            (Locating::Stored, OffsetAnswer::NotFound) => None,
            (Locating::Max | Locating::Time(_), OffsetAnswer::Found(offset)) if offset >= 0 => {
                return self.begin_queue(now, id.queue, CommitOffset::fresh(offset));
            }
            (_, answer) => {
                *failures = failures.saturating_add(1);
                let (failures, mq) = (*failures, queue.mq.clone());
                return self.start_offset_unknown(now, id.queue, mq, failures, answer);
            }
        };
        *step = match start_offset(stored, self.config.consume_from_where, queue.retry_topic) {
            StartOffset::Stored(offset) => {
                return self.begin_queue(now, id.queue, CommitOffset::stored(offset));
            }
            StartOffset::Fresh(offset) => {
                return self.begin_queue(now, id.queue, CommitOffset::fresh(offset));
            }
            StartOffset::AskMax => Locating::Max,
            StartOffset::AskTime(time) => Locating::Time(time),
        };
        self.locate(now, id.queue);
    }

    fn start_offset_unknown(
        &mut self,
        now: Instant,
        key: QueueKey,
        mq: MessageQueue,
        failures: u32,
        answer: OffsetAnswer,
    ) {
        let retry_in = OFFSET_UNKNOWN.after(failures, &mut self.random);
        self.timers.arm(Timer::Queue(key), now + retry_in);
        let reason = match answer {
            OffsetAnswer::Failed(reason) => reason,
            OffsetAnswer::Found(offset) => format!("the broker answered offset {offset}"),
            OffsetAnswer::NotFound => "the broker knows no such queue".to_owned(),
        };
        if failures.is_power_of_two() {
            self.event(Event::StartOffsetUnknown { mq, reason, retry_in });
        }
    }

    fn begin_queue(&mut self, now: Instant, key: QueueKey, offset: CommitOffset) {
        let Some(queue) = self.queues.get_mut(&key) else { return };
        queue.begin(offset);
        let mq = queue.mq.clone();
        self.event(Event::QueueAssigned { mq, offset: offset.value() });
        if !self.reset_at_start(now, key) {
            self.pull_if_open(now, key);
        }
    }
}
