//! Who owns what: members, allocation, and taking a queue.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gantry_protocol::MessageQueue;

use super::{ConsumerGroup, Life};
use crate::action::{Action, Allocate};
use crate::allocate::{
    AllocateError, AllocateMessageQueueAveragely, AllocateMessageQueueSticky, AllocateMessageQueueStrategy,
    by_name, verify_allocation, verify_division,
};
use crate::backoff::{ANSWER_OVERDUE, Backoff};
use crate::config::RebalanceMode;
use crate::event::Event;
use crate::flow_control::Limits;
use crate::id::{AllocateId, OffsetQueryId, QueueKey};
use crate::input::OffsetAnswer;
use crate::lock::QueueLock;
use crate::offset::CommitOffset;
use crate::queue::{Locating, Phase, Queue};
use crate::ramp::Ramp;
use crate::rebalance::{Asked, check_allocation};
use crate::roster::all_gantry;
use crate::start_offset::{StartOffset, start_offset};
use crate::timer::Timer;

/// How soon queues are allocated again while they are not where they belong (RocketMQ:
/// rocketmq.client.rebalance.minInterval).
const UNBALANCED: Duration = Duration::from_secs(1);
/// How long after a broker has not answered members may be missed because of that.
const TROUBLE_IS_RECENT: Duration = Duration::from_secs(15);
/// How long members that are missed then are waited for: clients come back to a broker within some seconds.
const PATIENCE: Duration = Duration::from_secs(5);
/// How soon it is looked whether they are back.
const LOOK_FOR_MISSING: Duration = Duration::from_millis(500);
const OFFSET_UNKNOWN: Backoff = Backoff { first: Duration::from_secs(1), most: Duration::from_secs(5) };

/// How queues are allocated.
#[derive(Default)]
pub(super) enum Strategy {
    /// Evenly; cooperatively with few moves as well.
    #[default]
    ByMode,
    Own(Box<dyn AllocateMessageQueueStrategy>),
    Asked(Arc<str>),
}

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
            let Some(queues) = self.routes.queues(&topic) else { continue };
            if queues.is_empty() || !self.is_clustering() {
                // A broadcasting group has all queues everywhere.
                let all = queues.iter().cloned().collect();
                self.apply_allocation(now, &topic, all);
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
        if self.are_coming_back(now, topic, &members) {
            return self.timers.arm_no_later(Timer::Rebalance, now + LOOK_FOR_MISSING);
        }
        self.roster.take(now, topic, &members);
        self.set_mode(topic, &members);
        let Some(queues) = self.routes.queues(topic) else { return };
        let strategy: &dyn AllocateMessageQueueStrategy = match &self.strategy {
            Strategy::Own(strategy) => &**strategy,
            Strategy::ByMode if self.cooperative.contains(topic) => &AllocateMessageQueueSticky,
            Strategy::ByMode => &AllocateMessageQueueAveragely,
            Strategy::Asked(name) => {
                let name = name.clone();
                return self.ask_strategy(now, topic, name, members);
            }
        };
        let group = &self.config.consumer_group;
        let allocated = strategy
            .allocate(group, &self.client_id, queues, &members)
            .and_then(|allocated| check_allocation(strategy.name(), queues, allocated));
        // RocketMQ's and our own are right by their tests; asking them for everybody would cost as much again each time.
        let unproved = matches!(self.strategy, Strategy::Own(_)) && by_name(strategy.name()).is_none();
        let verified = match unproved && strategy.divides() && allocated.is_ok() {
            true => verify_allocation(strategy, group, queues, &members),
            false => Ok(()),
        };
        match (allocated, verified) {
            (Ok(allocated), Ok(())) => {
                self.rounds.well(topic);
                self.apply_allocation(now, topic, allocated);
            }
            (Err(error), _) => self.allocation_refused(now, topic, error),
            (Ok(_), Err(fault)) => {
                let topic = topic.clone();
                self.allocation_unsound(now, &topic.clone(), Event::AllocationUnsound { topic, fault });
            }
        }
    }

    /// Whether members that the list lacks may only be on their way back: brokers have just failed to answer this host, so
    /// that others will have lost them too. A broker that was started anew knows neither them nor their locks, and who came
    /// first would take their queues from under their hands.
    fn are_coming_back(&mut self, now: Instant, topic: &Arc<str>, members: &[String]) -> bool {
        let recent = self.trouble.is_some_and(|trouble| now < trouble + TROUBLE_IS_RECENT);
        let missed = recent && self.cooperative.contains(topic) && self.roster.misses(topic, members);
        if !missed {
            self.rounds.all_there(topic);
        }
        missed && self.rounds.wait_for_missing(now, topic, PATIENCE)
    }

    /// Whether the topic's queues change hands cooperatively among these members.
    fn set_mode(&mut self, topic: &Arc<str>, members: &[String]) {
        let cooperative = match self.config.rebalance {
            RebalanceMode::Auto => all_gantry(members),
            RebalanceMode::Eager => false,
            RebalanceMode::Cooperative => true,
        };
        let known = self.rounds.mode(topic, cooperative);
        let changed = match cooperative {
            true => self.cooperative.insert(topic.clone()),
            false => self.cooperative.remove(topic),
        };
        if changed && known {
            self.event(Event::RebalanceModeChanged { topic: topic.clone(), cooperative });
        }
    }

    fn ask_strategy(&mut self, now: Instant, topic: &Arc<str>, strategy: Arc<str>, members: Vec<String>) {
        if !members.contains(&self.client_id) {
            let error =
                AllocateError::NotAMember { client_id: self.client_id.clone(), members: members.len() };
            return self.allocation_refused(now, topic, error);
        }
        let Some(queues) = self.routes.queues(topic) else { return };
        let (queues, members): (Arc<[MessageQueue]>, Arc<[String]>) = (queues.into(), members.into());
        let id = AllocateId(self.next_serial());
        self.rounds.ask(topic, Asked { id, queues: queues.clone() });
        let topic = topic.clone();
        self.out.push_back(Action::Allocate(Allocate { id, strategy, topic, queues, members }));
    }

    /// What a strategy answered to each member, in the order of the question, or why it gave no answer. It is obeyed once
    /// every queue has exactly one owner; else the present allocation stays.
    pub fn handle_allocated(
        &mut self,
        now: Instant,
        id: AllocateId,
        answers: Result<Vec<(String, Vec<MessageQueue>)>, String>,
    ) {
        let Some((topic, asked)) = self.rounds.asked(id) else { return };
        let Strategy::Asked(strategy) = &self.strategy else { return };
        if !matches!(self.life, Life::Running) || self.routes.queues(&topic) != Some(&*asked.queues) {
            // The question has changed; it is asked again.
            return self.rebalance_now(now);
        }
        let strategy = strategy.clone();
        let fault = match answers {
            Err(reason) => Event::StrategyFailed { topic: topic.clone(), strategy, reason },
            Ok(answers) => {
                let mine = answers.iter().find(|(client_id, _)| *client_id == self.client_id);
                let mine: BTreeSet<_> =
                    mine.into_iter().flat_map(|(_, queues)| queues.iter().cloned()).collect();
                match verify_division(&strategy, &asked.queues, answers) {
                    Ok(()) => {
                        self.rounds.well(&topic);
                        return self.apply_allocation(now, &topic, mine);
                    }
                    Err(fault) => Event::AllocationUnsound { topic: topic.clone(), fault },
                }
            }
        };
        self.allocation_unsound(now, &topic, fault);
    }

    fn allocation_unsound(&mut self, now: Instant, topic: &Arc<str>, fault: Event) {
        self.suit_locks(now, topic);
        if self.rounds.trouble(topic) {
            self.event(fault);
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
        self.suit_locks(now, topic);
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
                let ramp = self.roster.has_others(topic) && self.is_clustering();
                self.take_queue(now, mq, ramp);
            }
        }
        self.share_limits(topic);
        if unbalanced {
            self.timers.arm_no_later(Timer::Rebalance, now + UNBALANCED);
        }
    }

    /// Takes a queue: its lock first, where it needs one, then its offset. `ramp` when it comes from another member.
    pub(super) fn take_queue(&mut self, now: Instant, mq: MessageQueue, ramp: bool) {
        let key = QueueKey(self.next_serial());
        let retry_topic = self.subscriptions.is_retry(&mq.topic);
        let locked = self.needs_lock(&mq.topic);
        let mut queue = Queue::new(now, key, mq.clone(), retry_topic, Limits::new(&self.config, 1));
        queue.ramp = Ramp::new(now, self.config.ramp_up_rate, self.config.ramp_up_duration).filter(|_| ramp);
        self.owned.insert(mq, key);
        self.stats.queues_assigned += 1;
        if locked {
            queue.lock = Some(QueueLock::wanted(now));
            self.queues.insert(key, queue);
            return self.arm_locks();
        }
        queue.phase = Phase::Locating { step: Locating::Stored, asked: None, failures: 0 };
        self.queues.insert(key, queue);
        self.locate(now, key);
    }

    /// Thresholds of a topic are shared among the queues of it that are here.
    pub(super) fn share_limits(&mut self, topic: &str) {
        // Without such a threshold each queue has its own limits since it was taken.
        if !Limits::are_shared(&self.config) {
            return;
        }
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
                self.skip_settled(id.queue, offset);
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
        if let Some(ramp) = &mut queue.ramp {
            ramp.begin(now);
        }
        queue.begin(offset);
        let mq = queue.mq.clone();
        self.event(Event::QueueAssigned { mq, offset: offset.value() });
        if !self.reset_at_start(now, key) {
            self.pull_if_open(now, key);
        }
    }
}
