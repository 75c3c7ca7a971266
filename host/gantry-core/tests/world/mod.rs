//! A world in virtual time: members of one group, a model broker, latencies and faults from a seed. Nothing waits.

#![allow(dead_code, reason = "each test uses its own part of the world")]

pub(crate) mod broker;
pub(crate) mod member;
mod steps;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use broker::{BROKER, Broker, Entry, GROUP};
use gantry_core::*;
use gantry_protocol::{MessageQueue, names};
use member::{ALWAYS_WANTED, Member, listeners};
use steps::Step;

pub(crate) fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// How the listeners answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answers {
    Mixed,
    Success,
    Later(RetryDelay),
}

pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) start: Instant,
    pub(crate) random: fastrand::Rng,
    pub(crate) broker: Broker,
    pub(crate) members: BTreeMap<usize, Member>,
    pub(crate) variant: usize,
    pub(crate) answers: Answers,
    /// Share of requests that fail.
    pub(crate) faults: f64,
    /// Longest time a listener takes.
    pub(crate) slowest: Duration,
    /// Whether brokers make the retry topic when the group first shows, or only with its first send-back.
    pub(crate) retry_topic_on_heartbeat: bool,
    /// How long delay level n takes: n times this.
    pub(crate) level: Duration,
    pub(crate) succeeded: BTreeMap<u64, usize>,
    pub(crate) events: Vec<(Duration, Event)>,
    pub(crate) consumed_at: BTreeMap<u64, Vec<Duration>>,
    pub(crate) config: GroupConfig,
    /// Whether members have the client ids of Gantry hosts.
    pub(crate) all_gantry: bool,
    /// Whether queues are allocated by a strategy that is asked.
    pub(crate) ask_strategy: bool,
    held: Vec<(usize, PullRequest)>,
    /// No pull is taken before, as the broker has just been started anew; so every member learns of it.
    broker_starts_until: Instant,
    /// Pulls that wait for the broker to come to them, and whether each will fail.
    queued: Vec<(usize, PullRequest, bool)>,
    agenda: BTreeMap<(Instant, u64), Step>,
    serial: u64,
    next_member: usize,
}

impl World {
    pub(crate) fn new(seed: u64, queues: i32) -> Self {
        let now = Instant::now();
        let mut broker = Broker::default();
        broker.add_topic("t", queues);
        broker.add_topic("u", 1);
        Self {
            now,
            start: now,
            random: fastrand::Rng::with_seed(seed),
            broker,
            members: BTreeMap::new(),
            variant: 0,
            answers: Answers::Success,
            faults: 0.0,
            slowest: ms(50),
            retry_topic_on_heartbeat: true,
            level: ms(200),
            succeeded: BTreeMap::new(),
            events: Vec::new(),
            consumed_at: BTreeMap::new(),
            config: GroupConfig {
                consume_from_where: ConsumeFromWhere::FirstOffset,
                ..GroupConfig::new(GROUP)
            },
            all_gantry: true,
            ask_strategy: false,
            held: Vec::new(),
            broker_starts_until: now,
            queued: Vec::new(),
            agenda: BTreeMap::new(),
            serial: 0,
            next_member: 0,
        }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    fn now_ms(&self) -> u64 {
        1_700_000_000_000 + self.elapsed().as_millis() as u64
    }

    fn at(&mut self, when: Instant, step: Step) {
        self.serial += 1;
        self.agenda.insert((when.max(self.now), self.serial), step);
    }

    fn fails(&mut self) -> bool {
        self.random.f64() < self.faults
    }

    fn latency(&mut self) -> Duration {
        ms(self.random.u64(0..20))
    }

    // What a test does.

    pub(crate) fn join(&mut self) -> usize {
        let id = self.next_member;
        self.next_member += 1;
        self.join_knowing(id, Vec::new(), BTreeMap::new())
    }

    /// Kills a host and starts it again: another client, with what it had kept.
    pub(crate) fn restart(&mut self, id: usize) -> usize {
        let before = &self.members[&id];
        let (client_id, kept) = (before.client_id.clone(), before.kept.clone());
        self.crash(id);
        let id = self.next_member;
        self.next_member += 1;
        self.join_knowing(id, vec![client_id], kept)
    }

    fn join_knowing(
        &mut self,
        id: usize,
        former: Vec<String>,
        kept: BTreeMap<MessageQueue, SettledOffsets>,
    ) -> usize {
        let kind = if self.all_gantry { "gantry#" } else { "" };
        let client_id = format!("10.0.0.{id}@{kind}{id}");
        let group = ConsumerGroup::new(self.config.clone(), client_id, self.random.u64(..)).unwrap();
        let group = group.with_former_ids(former).with_settled(kept);
        let group = if self.ask_strategy { group.with_asked_strategy("asked") } else { group };
        self.members.insert(id, Member::new(group, self.now));
        self.set_listeners_of(id);
        id
    }

    pub(crate) fn relisten(&mut self, variant: usize) {
        self.variant = variant;
        for id in self.ids() {
            self.set_listeners_of(id);
        }
    }

    fn set_listeners_of(&mut self, id: usize) {
        let (now, now_ms, specs) = (self.now, self.now_ms(), listeners(self.variant));
        self.members.get_mut(&id).unwrap().group.set_listeners(now, now_ms, &specs).unwrap();
        self.take_actions(id);
    }

    pub(crate) fn leave(&mut self, id: usize, grace: Duration) {
        let now = self.now;
        let member = self.members.get_mut(&id).unwrap();
        member.group.shut_down(now, grace);
        // Storing may take 3 s after the grace period and giving the lock back 1.5 s, and a queue that stores a correction may just have begun.
        member.terminated_by = Some(now + grace + ms(4_502));
        self.take_actions(id);
    }

    pub(crate) fn crash(&mut self, id: usize) {
        let member = self.members.remove(&id).unwrap();
        self.held.retain(|(owner, _)| *owner != id);
        let when = self.now + ms(500);
        self.at(when, Step::MemberExpires(member.client_id));
    }

    pub(crate) fn send(&mut self, mq: &MessageQueue, tag: Option<&str>) -> u64 {
        let uid = self.broker.send(mq, tag);
        self.arrived(mq);
        uid
    }

    /// The broker is started anew: it has its messages and offsets, but knows no member and no lock until they come back,
    /// each in its own time.
    pub(crate) fn restart_broker(&mut self) {
        self.broker.locks.clear();
        self.broker.members.clear();
        self.broker_starts_until = self.now + ms(50);
        let queued = std::mem::take(&mut self.queued).into_iter().map(|(id, request, _)| (id, request));
        let held = std::mem::take(&mut self.held);
        for (id, request) in queued.chain(held) {
            let lost = PullOutcome::Failed("the connection was closed".to_owned());
            self.at(self.now, Step::Input(id, steps::Input::Pulled(request.id, lost)));
        }
        for id in self.ids() {
            let back = self.now + ms(self.random.u64(100..2_000));
            self.at(back, Step::ComesBack(id));
        }
    }

    /// Every member is told to read a queue from this offset; whose it is reads it from there.
    pub(crate) fn push_offset(&mut self, mq: &MessageQueue, offset: i64) {
        for id in self.ids() {
            let now = self.now;
            self.members.get_mut(&id).unwrap().group.reset_offsets(now, &[(mq.clone(), offset)]);
            self.take_actions(id);
        }
    }

    pub(crate) fn queue(&self, id: i32) -> MessageQueue {
        MessageQueue::new("t", BROKER, id)
    }

    pub(crate) fn set_paused(&mut self, listener: ListenerId, paused: bool) {
        for id in self.ids() {
            let group = &mut self.members.get_mut(&id).unwrap().group;
            if paused {
                group.pause_listener(listener)
            } else {
                group.resume_listener(listener)
            }
            self.take_actions(id);
        }
    }

    pub(crate) fn ids(&self) -> Vec<usize> {
        self.members.keys().copied().collect()
    }

    pub(crate) fn run(&mut self, duration: Duration) {
        self.run_until(self.now + duration);
    }

    pub(crate) fn run_until(&mut self, end: Instant) {
        while let Some(next) = self.next_time().filter(|&next| next <= end) {
            assert!(next >= self.now, "time went backwards");
            self.now = next;
            while let Some(entry) = self.agenda.first_entry().filter(|entry| entry.key().0 <= next) {
                let step = entry.remove();
                self.take_step(step);
            }
            for id in self.ids() {
                self.take_actions(id);
            }
        }
        self.now = end;
    }

    /// Runs until `done`, and says whether it came to that within `longest`.
    pub(crate) fn run_while(&mut self, longest: Duration, mut waiting: impl FnMut(&World) -> bool) -> bool {
        let end = self.now + longest;
        while waiting(self) {
            if self.now >= end {
                return false;
            }
            self.run(ms(200));
        }
        true
    }

    fn next_time(&self) -> Option<Instant> {
        let timeouts = self.members.values().filter_map(|member| member.group.poll_timeout());
        timeouts.chain(self.agenda.keys().next().map(|&(when, _)| when)).min().map(|when| when.max(self.now))
    }

    // What came of it.

    /// Messages that had to be consumed and neither succeeded nor became dead letters.
    pub(crate) fn unfinished(&self) -> BTreeSet<u64> {
        let entries = self.broker.logs.values().flat_map(|log| &log.entries[log.min..]);
        entries
            .filter(|entry| always_wanted(entry))
            .filter(|entry| {
                !self.succeeded.contains_key(&entry.uid) && !self.broker.dead.contains(&entry.uid)
            })
            .filter(|entry| !entry.settled)
            .map(|entry| entry.uid)
            .collect()
    }

    /// Queues whose stored offset is not their end.
    pub(crate) fn behind(&self) -> Vec<(MessageQueue, Option<i64>, i64)> {
        let topics: BTreeSet<String> = listeners(self.variant)
            .iter()
            .flat_map(|spec| spec.subscriptions.iter().map(|subscription| subscription.topic.clone()))
            .chain([names::retry_topic(GROUP)])
            .collect();
        let subscribed = self.broker.logs.keys().filter(|mq| topics.contains(&*mq.topic));
        subscribed
            .map(|mq| (mq.clone(), self.broker.offsets.get(mq).copied(), self.broker.end(mq)))
            .filter(|(_, stored, end)| *stored != Some(*end))
            .collect()
    }

    pub(crate) fn retries_on_their_way(&self) -> bool {
        self.agenda.values().any(|step| matches!(step, Step::RetryDue(_)))
    }
}

fn always_wanted(entry: &Entry) -> bool {
    entry.topic == "t" && entry.tag.as_deref().is_some_and(|tag| ALWAYS_WANTED.contains(&tag))
}
