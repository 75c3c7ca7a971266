//! One consumer group's whole machine (RocketMQ: DefaultMQPushConsumerImpl, without threads, sockets or clock).

mod connecting;
mod consuming;
mod halting;
mod in_order;
mod journaling;
mod leaving;
mod locking;
mod observing;
mod pulling;
mod rebalancing;
mod resetting;
mod sending_back;
mod watching;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use gantry_protocol::MessageQueue;

use crate::action::Action;
use crate::allocate::AllocateMessageQueueStrategy;
use crate::config::{ConfigError, ConsumeMode, DEFAULT_MAX_RECONSUME_TIMES, GroupConfig, MessageModel};
use crate::event::Event;
use crate::heartbeat::Heartbeats;
use crate::id::{ListenerId, QueueKey};
use crate::listener::{ListenerSpec, SubscriptionError};
use crate::lock::LockRequests;
use crate::queue::Queue;
use crate::rebalance::Rounds;
use crate::retry::SendBacks;
use crate::roster::Roster;
use crate::route::RouteTable;
use crate::running::Running;
use crate::settled::SettledOffsets;
use crate::status::{GroupStats, TerminationReport};
use crate::subscription::{ListenerDefaults, SubscriptionTable};
use crate::timer::{Timer, Timers};

pub use halting::HaltDecision;
use rebalancing::Strategy;

/// One consumer group as a pure machine: inputs come by `handle_*`, what it wants done goes out by
/// [`poll_action`](Self::poll_action), and time is an argument.
///
/// The driver's loop: after any input, and when [`poll_timeout`](Self::poll_timeout) is reached, take actions until
/// there is none. `now` must never go backwards.
pub struct ConsumerGroup {
    config: GroupConfig,
    client_id: String,
    strategy: Strategy,
    random: fastrand::Rng,
    subscriptions: SubscriptionTable,
    routes: RouteTable,
    heartbeats: Heartbeats,
    rounds: Rounds,
    roster: Roster,
    /// Topics whose queues change hands cooperatively.
    cooperative: BTreeSet<Arc<str>>,
    /// The name locks are kept under at the brokers.
    lock_group: Arc<str>,
    lock_requests: LockRequests,
    /// A broker does not let this client lock queues.
    locks_refused: bool,
    /// When a broker was last found not to answer.
    trouble: Option<Instant>,
    /// What was settled in ownerships that ended with something left above their offset, in this life or a former.
    settled: BTreeMap<MessageQueue, SettledOffsets>,
    queues: BTreeMap<QueueKey, Queue>,
    owned: BTreeMap<MessageQueue, QueueKey>,
    /// Queues with something to consume, in turn.
    line: VecDeque<QueueKey>,
    /// Batches at listeners, also of queues that have been let go: they still take a place.
    batches: Running,
    send_backs: SendBacks,
    timers: Timers<Timer>,
    out: VecDeque<Action>,
    serial: u64,
    stats: GroupStats,
    life: Life,
}

#[derive(Debug)]
enum Life {
    Running,
    ShuttingDown { deadline: Instant, report: TerminationReport },
    Terminated,
}

impl ConsumerGroup {
    /// A group without listeners: it does nothing until it has some.
    ///
    /// `client_id` must be unique among the group's members; `seed` makes its random choices repeatable.
    ///
    /// # Errors
    /// The first setting that breaks its rule.
    pub fn new(config: GroupConfig, client_id: impl Into<String>, seed: u64) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self {
            client_id: client_id.into(),
            strategy: Strategy::default(),
            random: fastrand::Rng::with_seed(seed),
            subscriptions: SubscriptionTable::new(
                &config.consumer_group,
                config.message_model == MessageModel::Clustering,
            ),
            routes: RouteTable::default(),
            heartbeats: Heartbeats::default(),
            rounds: Rounds::default(),
            roster: Roster::default(),
            cooperative: BTreeSet::new(),
            lock_group: locking::lock_group(&config).into(),
            lock_requests: LockRequests::default(),
            locks_refused: false,
            trouble: None,
            settled: BTreeMap::new(),
            queues: BTreeMap::new(),
            owned: BTreeMap::new(),
            line: VecDeque::new(),
            batches: Running::default(),
            send_backs: SendBacks::new(config.max_send_backs_in_flight as usize),
            timers: Timers::default(),
            out: VecDeque::new(),
            serial: 0,
            stats: GroupStats::default(),
            life: Life::Running,
            config,
        })
    }

    /// Allocates by this strategy. Without one it is AllocateMessageQueueAveragely where queues change hands eagerly, and
    /// AllocateMessageQueueSticky where they do cooperatively. Every member of the group must use the same.
    #[must_use]
    pub fn with_strategy(mut self, strategy: Box<dyn AllocateMessageQueueStrategy>) -> Self {
        self.strategy = Strategy::Own(strategy);
        self
    }

    /// Allocates by a strategy that is asked through [`Action::Allocate`] and whose answers are held against each other
    /// before they are obeyed. Every member of the group must use the same.
    #[must_use]
    pub fn with_asked_strategy(mut self, name: impl Into<Arc<str>>) -> Self {
        self.strategy = Strategy::Asked(name.into());
        self
    }

    /// Knows the client ids this host had in former lives: none of them lives, so their locks may be ended for them.
    #[must_use]
    pub fn with_former_ids(mut self, client_ids: impl IntoIterator<Item = String>) -> Self {
        self.roster.former(client_ids);
        self
    }

    /// Knows what was settled in a former life of this host ([`Action::Journal`]), to skip it where it still holds.
    #[must_use]
    pub fn with_settled(mut self, settled: impl IntoIterator<Item = (MessageQueue, SettledOffsets)>) -> Self {
        self.settled.extend(settled);
        self
    }

    /// Takes a new set of listeners in place of the present one, at the start or live. `now_ms` is the wall clock, in
    /// milliseconds since the Unix epoch; it becomes the version of subscriptions that change.
    ///
    /// Batches in flight stay with whom they were given to. What waits in the windows is routed anew; what no listener
    /// wants any more is settled and counted. Queues of topics that are dropped are drained and let go. With no
    /// listeners at all the group lets go of everything, its retry topic included. Once the group is shutting down this
    /// has no effect.
    ///
    /// # Errors
    /// The listeners cannot be served; then nothing changes.
    pub fn set_listeners(
        &mut self,
        now: Instant,
        now_ms: u64,
        listeners: &[ListenerSpec],
    ) -> Result<(), SubscriptionError> {
        if !matches!(self.life, Life::Running) {
            return Ok(());
        }
        let defaults = ListenerDefaults {
            batch_max_size: self.config.consume_message_batch_max_size,
            max_reconsume_times: self.config.max_reconsume_times.unwrap_or(DEFAULT_MAX_RECONSUME_TIMES),
            calls_together: if self.is_orderly() { 1 } else { self.config.calls_together },
        };
        let change = self.subscriptions.replace(now_ms, defaults, listeners)?;
        for topic in &change.removed {
            self.drop_topic(now, topic);
        }
        for topic in &change.added {
            self.routes.add(now, topic.clone());
        }
        self.route_waiting_anew(now);
        if !change.is_empty() {
            self.announce(now);
            self.event(Event::Resubscribed {
                added: change.added,
                removed: change.removed,
                changed: change.changed,
            });
        }
        self.timers.arm_no_later(Timer::Persist, now + self.config.persist_consumer_offset_interval);
        self.timers.arm_no_later(Timer::Rebalance, now + self.config.rebalance_interval);
        self.timers.arm_no_later(Timer::Watch, now + self.watch_interval());
        self.ask_routes(now);
        Ok(())
    }

    /// Holds a listener's messages in the windows, until it is resumed. Nothing is lost: the windows fill up to the
    /// thresholds of flow control, and pulling stops.
    pub fn pause_listener(&mut self, id: ListenerId) {
        if let Some(listener) = self.subscriptions.listener_mut(id) {
            listener.paused = true;
        }
    }

    /// Lets a paused listener have its messages, one call a batch at first.
    pub fn resume_listener(&mut self, id: ListenerId) {
        if let Some(listener) = self.subscriptions.listener_mut(id) {
            listener.paused = false;
            listener.together.forget();
        }
        let keys: Vec<QueueKey> = self.queues.keys().copied().collect();
        for key in keys {
            self.join_line(key);
        }
    }

    /// The next thing to do; none when there is nothing before [`poll_timeout`](Self::poll_timeout) or the next input.
    pub fn poll_action(&mut self, now: Instant) -> Option<Action> {
        while self.out.is_empty() {
            if let Some(timer) = self.timers.pop_due(now) {
                self.fire(now, timer);
            } else if let Some(request) = self.send_backs.start(now) {
                self.arm_send_backs();
                return Some(Action::SendBack(request));
            } else {
                return self.next_batch(now).map(Action::Consume);
            }
        }
        self.out.pop_front()
    }

    /// When to poll again without any input; none when only an input can bring something.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    fn fire(&mut self, now: Instant, timer: Timer) {
        match timer {
            Timer::Routes => self.ask_routes(now),
            Timer::Heartbeat => self.request_heartbeat(now),
            Timer::Rebalance => self.rebalance(now),
            Timer::Persist => self.persist_dirty(now),
            Timer::SendBacks => self.wake_send_backs(now),
            Timer::Locks => self.ask_locks(now),
            Timer::Journal => self.write_journal(),
            Timer::Watch => self.watch(now),
            Timer::Consume(key) => self.join_line(key),
            Timer::Queue(key) => self.wake_queue(now, key),
        }
    }

    fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    fn event(&mut self, event: Event) {
        if !matches!(self.life, Life::Terminated) {
            self.out.push_back(Action::Event(event));
        }
    }

    fn is_clustering(&self) -> bool {
        self.config.message_model == MessageModel::Clustering
    }

    fn is_orderly(&self) -> bool {
        self.config.consume_mode == ConsumeMode::Orderly
    }

    fn owned_of(&self, topic: &str) -> Vec<(MessageQueue, QueueKey)> {
        self.owned.iter().filter(|(mq, _)| *mq.topic == *topic).map(|(mq, key)| (mq.clone(), *key)).collect()
    }

    fn drop_topic(&mut self, now: Instant, topic: &Arc<str>) {
        self.routes.remove(topic);
        self.rounds.remove(topic);
        self.roster.remove(topic);
        self.cooperative.remove(topic);
        for (_, key) in self.owned_of(topic) {
            self.revoke(now, key, now + self.config.drain_timeout);
        }
    }
}
