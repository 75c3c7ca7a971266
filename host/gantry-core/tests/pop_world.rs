//! Whatever happens to the members of a group that pops, no message is lost, none is acknowledged before its listener's
//! success, and each member holds no more than it may: see `World::check_ack`, `World::check_held`, and the end of each run.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests"
)]

mod pop_broker;
mod pop_solo;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::{Duration, Instant};

use gantry_core::*;
use gantry_protocol::MessageQueue;
use pop_broker::Broker;
use pop_solo::{any_queue, listener, ms};
use proptest::prelude::*;

/// The listener's largest batch.
const BATCH: u32 = 4;
/// When members and brokers are at peace again, so that what is left can be consumed.
const PEACE: Duration = Duration::from_secs(400);
/// All retries of every message are over.
const END: Duration = Duration::from_secs(3_000);

#[derive(Debug, Clone)]
enum Op {
    Send(usize),
    Join,
    Leave(usize),
    Crash(usize),
    Pause(usize),
    Resume(usize),
}

#[derive(Debug, Clone)]
struct Plan {
    seed: u64,
    brokers: usize,
    faults: f64,
    threads: u32,
    threshold: u32,
    slowest_ms: u64,
    ops: Vec<(u64, Op)>,
}

fn plan() -> impl Strategy<Value = Plan> {
    let op = prop_oneof![
        8 => (1..60usize).prop_map(Op::Send),
        2 => Just(Op::Join),
        1 => (0..4usize).prop_map(Op::Leave),
        1 => (0..4usize).prop_map(Op::Crash),
        1 => (0..4usize).prop_map(Op::Pause),
        2 => (0..4usize).prop_map(Op::Resume),
    ];
    let slowest = prop_oneof![Just(5u64), Just(900), Just(9_000)];
    let ops = prop::collection::vec((0..9_000u64, op), 1..40);
    (any::<u64>(), 1..3usize, 0..3usize, 1..5u32, 1..50u32, slowest, ops).prop_map(
        |(seed, brokers, faults, threads, threshold, slowest_ms, ops)| {
            let faults = [0.0, 0.05, 0.3][faults];
            Plan { seed, brokers, faults, threads, threshold, slowest_ms, ops }
        },
    )
}

/// Something that happens at a time.
enum Step {
    /// A request of a member arrives.
    Arrives(usize, Action),
    /// An answer comes back to a member.
    Comes(usize, Answer),
    /// A held pop is looked at again, until this time.
    Held(usize, PopRequest, Instant),
    Op(Op),
    Peace,
}

enum Answer {
    Heartbeat(HeartbeatOutcome),
    Route(Route),
    Assigned(Assignment),
    Popped(PopId, PopOutcome),
    Acked(AckId, Result<(), String>),
    Changed(ChangeId, Result<gantry_protocol::pop::PopReceipt, String>),
    SentBack(SendBackId, Result<(), String>),
    /// With the numbers of its messages.
    Consumed(BatchId, Vec<i64>, Vec<Settlement>),
}

struct World {
    plan: Plan,
    now: Instant,
    start: Instant,
    random: fastrand::Rng,
    faults: f64,
    steps: BTreeMap<(Instant, u64), Step>,
    serial: u64,
    brokers: Vec<Broker>,
    /// By the order they joined in; none where one is gone.
    members: Vec<Option<PopConsumerGroup>>,
    sent: i64,
    succeeded: HashSet<i64>,
    /// What listeners asked to be a dead letter, or let run out of retries.
    condemned: HashSet<i64>,
    /// What is at a listener, and whose.
    at_listeners: BTreeSet<(i64, usize)>,
}

impl World {
    fn new(plan: &Plan) -> Self {
        let now = Instant::now();
        let mut world = Self {
            plan: plan.clone(),
            now,
            start: now,
            random: fastrand::Rng::with_seed(plan.seed),
            faults: plan.faults,
            steps: BTreeMap::new(),
            serial: 0,
            brokers: (0..plan.brokers).map(|_| Broker::default()).collect(),
            members: Vec::new(),
            sent: 0,
            succeeded: HashSet::new(),
            condemned: HashSet::new(),
            at_listeners: BTreeSet::new(),
        };
        let mut at = Duration::ZERO;
        for (after, op) in plan.ops.clone() {
            at += ms(after);
            world.at(now + at.min(PEACE), Step::Op(op));
        }
        world.at(now + PEACE, Step::Peace);
        world.op(Op::Join);
        world
    }

    fn at(&mut self, when: Instant, step: Step) {
        self.serial += 1;
        self.steps.insert((when, self.serial), step);
    }

    fn broker_names(&self) -> Vec<String> {
        (0..self.brokers.len()).map(|number| format!("broker-{number}")).collect()
    }

    /// Runs to the end; everything sent must have come to its end by then.
    fn run(&mut self) {
        while let Some(next) = self.next().filter(|&next| next < self.start + END) {
            self.now = self.now.max(next);
            for id in 0..self.members.len() {
                self.pump(id);
            }
            if let Some(entry) = self.steps.first_entry().filter(|entry| entry.key().0 <= self.now) {
                let step = entry.remove();
                self.step(step);
            }
            if self.now > self.start + PEACE && self.is_over() {
                return;
            }
        }
        let left: Vec<i64> = (0..self.sent).filter(|number| !self.has_ended(*number)).collect();
        panic!("{} of {} messages have not come to an end: {left:?}", left.len(), self.sent);
    }

    fn has_ended(&self, number: i64) -> bool {
        self.succeeded.contains(&number)
            || self.brokers.iter().any(|broker| broker.dead_letters.contains(&number))
    }

    fn is_over(&self) -> bool {
        (0..self.sent).all(|number| self.has_ended(number))
            && self.brokers.iter().all(Broker::is_empty)
            && self.members.iter().flatten().all(|group| held(group, self.now) == 0)
    }

    fn next(&self) -> Option<Instant> {
        let timers = self.members.iter().flatten().filter_map(PopConsumerGroup::poll_timeout);
        timers.chain(self.steps.keys().next().map(|&(at, _)| at)).min()
    }

    fn pump(&mut self, id: usize) {
        while let Some(action) = self.members[id].as_mut().and_then(|group| group.poll_action(self.now)) {
            match action {
                Action::Consume(batch) => self.consume(id, &batch),
                Action::Event(_) | Action::Unregister => {}
                Action::Terminated(report) => {
                    assert!(report.offsets_not_stored.is_empty());
                    self.forget(id);
                }
                request => {
                    let latency = ms(self.random.u64(1..30));
                    self.at(self.now + latency, Step::Arrives(id, request));
                }
            }
        }
        self.check_held(id);
    }

    fn forget(&mut self, id: usize) {
        self.members[id] = None;
        self.at_listeners.retain(|&(_, at)| at != id);
    }

    /// A queue's unsettled messages: at most what the threshold lets one more pop add.
    fn check_held(&self, id: usize) {
        let Some(group) = &self.members[id] else { return };
        let most = (self.plan.threshold + group.config().pop_batch_nums) as usize;
        for queue in group.queues(self.now) {
            assert!(queue.cached_count <= most, "{} are held of {}", queue.cached_count, queue.mq);
        }
        assert!(group.batches_running() <= self.plan.threads as usize);
    }

    fn consume(&mut self, id: usize, batch: &Batch) {
        assert!(batch.messages.len() <= BATCH as usize);
        let mut results = Vec::new();
        for message in &batch.messages {
            let number = message.queue_offset();
            // Where nothing gets lost, a listener at work keeps its message from the others.
            if self.plan.faults == 0.0 {
                let beside: Vec<_> = self.at_listeners.iter().filter(|(at, _)| *at == number).collect();
                assert!(beside.is_empty(), "message {number} is at two listeners: {beside:?} and {id}");
            }
            self.at_listeners.insert((number, id));
            let result = match self.random.u32(0..20) {
                0 => Settlement::DeadLetter("chance".to_owned()),
                1 => Settlement::ReconsumeLater(RetryDelay::Millis(self.random.u64(0..20_000))),
                2 => Settlement::ReconsumeLater(RetryDelay::ByAttempts),
                _ => Settlement::Success,
            };
            let spent = message.reconsume_times() >= 3;
            match &result {
                Settlement::Success => _ = self.succeeded.insert(number),
                Settlement::ReconsumeLater(_) if !spent => {}
                _ => _ = self.condemned.insert(number),
            }
            results.push(result);
        }
        if self.random.u32(0..50) == 0 {
            // A contract error: all of them are given back.
            self.condemned.extend(batch.messages.iter().map(gantry_protocol::MessageExt::queue_offset));
            results.clear();
        }
        let took = ms(self.random.u64(0..=self.plan.slowest_ms));
        let numbers = batch.messages.iter().map(gantry_protocol::MessageExt::queue_offset).collect();
        self.at(self.now + took, Step::Comes(id, Answer::Consumed(batch.id, numbers, results)));
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Arrives(id, request) => self.arrives(id, request),
            Step::Held(id, pop, until) => self.pop(id, pop, until),
            Step::Comes(id, answer) => self.comes(id, answer),
            Step::Op(op) => self.op(op),
            Step::Peace => {
                self.faults = 0.0;
                if self.members.iter().all(Option::is_none) {
                    self.op(Op::Join);
                }
                for id in 0..self.members.len() {
                    self.op(Op::Resume(id));
                }
            }
        }
    }

    fn op(&mut self, op: Op) {
        match op {
            Op::Send(count) => {
                for _ in 0..count {
                    let broker = self.random.usize(0..self.brokers.len());
                    self.brokers[broker].store(self.sent);
                    self.sent += 1;
                }
            }
            Op::Join => {
                let config = GroupConfig {
                    consume_thread_min: 1,
                    consume_thread_max: self.plan.threads,
                    pop_threshold_for_queue: self.plan.threshold,
                    pop_invisible_time: ms(5_000),
                    max_reconsume_times: Some(3),
                    consume_message_batch_max_size: BATCH,
                    ..GroupConfig::new("orders")
                };
                let client_id = format!("member-{}", self.members.len());
                let mut group = PopConsumerGroup::new(config, client_id, self.random.u64(..)).unwrap();
                group.set_listeners(self.now, 1, &[listener(1, "*")]).unwrap();
                self.members.push(Some(group));
            }
            Op::Leave(id) => {
                if let Some(group) = self.members.get_mut(id).and_then(Option::as_mut) {
                    group.shut_down(self.now, ms(3_000));
                }
            }
            Op::Crash(id) if id < self.members.len() => self.forget(id),
            Op::Crash(_) => {}
            Op::Pause(id) => {
                if let Some(group) = self.members.get_mut(id).and_then(Option::as_mut) {
                    group.pause_listener(ListenerId(1));
                }
            }
            Op::Resume(id) => {
                if let Some(group) = self.members.get_mut(id).and_then(Option::as_mut) {
                    group.resume_listener(self.now, ListenerId(1));
                }
            }
        }
    }

    /// A request reaches its server, or not; so does its answer.
    fn arrives(&mut self, id: usize, request: Action) {
        let lost = self.random.f64() < self.faults;
        let unheard = self.random.f64() < self.faults;
        let error = || Err::<(), _>("lost on the way".to_owned());
        let answer = match request {
            Action::RefreshRoute { topic } if topic.starts_with('%') => Answer::Route(Route::Missing),
            Action::RefreshRoute { .. } if lost => Answer::Route(Route::Failed("lost".to_owned())),
            Action::RefreshRoute { .. } => {
                let names = self.broker_names();
                let queues = names.iter().map(|name| MessageQueue::new("t", name.as_str(), 0));
                Answer::Route(Route::Found(queues.collect()))
            }
            Action::Heartbeat(_) if lost => Answer::Heartbeat(HeartbeatOutcome::Failed),
            Action::Heartbeat(_) => Answer::Heartbeat(HeartbeatOutcome::Accepted),
            Action::QueryAssignment { .. } if lost => Answer::Assigned(Assignment::Failed("lost".to_owned())),
            Action::QueryAssignment { .. } => {
                let queues = self.broker_names().iter().map(|name| any_queue(name)).collect();
                let assigned =
                    [Assignment::Unset, Assignment::Queues(queues), Assignment::Queues(Vec::new())];
                Answer::Assigned(assigned[self.random.usize(0..3)].clone())
            }
            Action::Pop(pop) if lost => {
                Answer::Popped(pop.id, PopOutcome::Failed("lost on the way".to_owned()))
            }
            Action::Pop(pop) => {
                let until = self.now + pop.poll_time;
                return self.pop(id, pop, until);
            }
            Action::Ack(ack) => {
                self.check_ack(&ack);
                if !lost {
                    for (_, receipt) in &ack.acks {
                        self.broker(&ack.broker_name).ack(receipt);
                    }
                }
                Answer::Acked(ack.id, if lost || unheard { error() } else { Ok(()) })
            }
            Action::ChangeInvisibleTime(change) => {
                let now = self.now;
                let receipt = (!lost).then(|| {
                    let broker = self.broker(&change.broker_name);
                    broker.change(now, &change.receipt, change.invisible_time, change.suspend)
                });
                let heard = receipt.filter(|_| !unheard).ok_or("lost on the way".to_owned());
                Answer::Changed(change.id, heard)
            }
            Action::SendBack(back) => {
                let number = back.message.queue_offset();
                assert!(self.condemned.contains(&number), "nobody has condemned {number}");
                if !lost {
                    self.broker(&back.mq.broker_name).dead_letters.insert(number);
                }
                Answer::SentBack(back.id, if lost || unheard { error() } else { Ok(()) })
            }
            other => panic!("a group that pops asks for no such thing: {other:?}"),
        };
        // What is lost is noticed by a time-out.
        let latency = if lost || unheard { ms(3_000) } else { ms(self.random.u64(1..30)) };
        self.at(self.now + latency, Step::Comes(id, answer));
    }

    fn broker(&mut self, name: &str) -> &mut Broker {
        let number: usize = name.strip_prefix("broker-").unwrap().parse().unwrap();
        &mut self.brokers[number]
    }

    fn pop(&mut self, id: usize, pop: PopRequest, until: Instant) {
        if self.members[id].is_none() {
            return;
        }
        let (now, most) = (self.now, pop.max_msg_nums as usize);
        let found = self.broker(&pop.mq.broker_name).pop(now, most, pop.invisible_time);
        let outcome = match found {
            found if !found.is_empty() => PopOutcome::Found(found),
            _ if self.now >= until => PopOutcome::NothingYet,
            _ => return self.at(self.now + ms(500), Step::Held(id, pop, until)),
        };
        let latency = ms(self.random.u64(1..30));
        self.at(self.now + latency, Step::Comes(id, Answer::Popped(pop.id, outcome)));
    }

    /// Nothing is acknowledged that no listener has succeeded with, unless it lies in the dead-letter topic.
    fn check_ack(&mut self, ack: &AckRequest) {
        assert!(!ack.acks.is_empty());
        for (_, receipt) in &ack.acks {
            let number = receipt.offset;
            let filed = self.broker(&ack.broker_name).dead_letters.contains(&number);
            assert!(filed || self.succeeded.contains(&number), "message {number} is acknowledged too soon");
        }
    }

    fn comes(&mut self, id: usize, answer: Answer) {
        let now = self.now;
        let Some(group) = self.members[id].as_mut() else { return };
        match answer {
            Answer::Heartbeat(outcome) => group.handle_heartbeat(now, outcome),
            Answer::Route(route) => group.handle_route(now, "t", route),
            Answer::Assigned(assignment) => group.handle_assignment(now, "t", assignment),
            Answer::Popped(pop, outcome) => group.handle_popped(now, pop, outcome),
            Answer::Acked(ack, result) => group.handle_acked(now, ack, result),
            Answer::Changed(change, result) => group.handle_changed(now, change, result),
            Answer::SentBack(back, result) => group.handle_sent_back(now, back, result),
            Answer::Consumed(batch, numbers, results) => {
                group.handle_consumed(now, batch, results);
                for number in numbers {
                    self.at_listeners.remove(&(number, id));
                }
            }
        }
        self.pump(id);
    }
}

fn held(group: &PopConsumerGroup, now: Instant) -> usize {
    group.queues(now).map(|queue| queue.cached_count).sum()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_and_nothing_acknowledged_too_soon_whatever_happens(plan in plan()) {
        World::new(&plan).run();
    }
}
