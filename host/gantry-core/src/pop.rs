//! A consumer group that pops (RocketMQ: DefaultMQPushConsumerImpl.popMessage, without threads, sockets or clock).
//!
//! The broker hides popped messages from the group's other members for a while and takes each one's result by itself: a
//! message is acknowledged, or its invisible time is changed, or it comes again. So there are no offsets here, no locks and
//! no queues that change hands; members may pop the same queues.

mod assigning;
mod connecting;
mod consuming;
mod delay;
mod leaving;
mod lengthening;
mod observing;
mod popping;
mod queue;
mod settlements;
mod settling;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use gantry_protocol::MessageQueue;

use crate::action::Action;
use crate::config::{ConfigError, DEFAULT_MAX_RECONSUME_TIMES, GroupConfig};
use crate::event::Event;
use crate::heartbeat::Heartbeats;
use crate::id::{BatchId, ListenerId, QueueKey};
use crate::listener::{ListenerSpec, SubscriptionError};
use crate::route::RouteTable;
use crate::status::{GroupStats, TerminationReport};
use crate::subscription::{ListenerDefaults, SubscriptionTable};
use crate::timer::Timers;

use assigning::Assigned;
use consuming::RunningBatch;
use queue::PopQueue;
use settlements::Settlements;

/// What waits for a time in a group that pops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// When the next topic's route is due to be asked for.
    Routes,
    /// When the next heartbeat is due.
    Heartbeat,
    /// When brokers are to be asked again what this member pops.
    Assign,
    /// When a failed settlement is to be tried again, or an answer is overdue.
    Settle,
    /// When the invisible time of something held here ends, or is to be lengthened.
    Sweep,
    /// When the wait for what is at listeners, or for the last settlements, is over.
    Deadline,
    /// When a queue may be popped again, or the answer to its pop is overdue.
    Queue(QueueKey),
}

/// One consumer group that pops, as a pure machine: inputs come by `handle_*`, what it wants done goes out by
/// [`poll_action`](Self::poll_action), and time is an argument.
///
/// What it keeps, come what may: a message is acknowledged after its listener's success only, or when nobody wants it, or
/// when it has been filed as a dead letter; of one queue at most `pop_threshold_for_queue` messages and one pop's more are
/// held; what is not settled in time comes again from the broker.
///
/// The driver's loop is that of [`ConsumerGroup`](crate::ConsumerGroup).
pub struct PopConsumerGroup {
    config: GroupConfig,
    client_id: String,
    random: fastrand::Rng,
    subscriptions: SubscriptionTable,
    routes: RouteTable,
    heartbeats: Heartbeats,
    /// What brokers said of each topic.
    assigned: BTreeMap<Arc<str>, Assigned>,
    /// The queues that are popped, and those given up that still hold something.
    queues: BTreeMap<QueueKey, PopQueue>,
    owned: BTreeMap<MessageQueue, QueueKey>,
    /// Queues with something to consume, in turn.
    line: VecDeque<QueueKey>,
    /// Batches at listeners, and those whose results wait for an answer about their invisible time.
    batches: BTreeMap<BatchId, RunningBatch>,
    at_listeners: usize,
    settlements: Settlements,
    timers: Timers<Timer>,
    out: VecDeque<Action>,
    serial: u64,
    stats: GroupStats,
    life: Life,
}

#[derive(Debug)]
enum Life {
    Running,
    /// Batches at listeners are waited for, up to the deadline.
    Draining {
        deadline: Instant,
    },
    /// Nothing is at a listener any more; the last settlements are waited for.
    Settling(TerminationReport),
    Terminated,
}

impl PopConsumerGroup {
    /// A group without listeners: it does nothing until it has some.
    ///
    /// `client_id` must be unique among the group's members; `seed` makes its random choices repeatable.
    ///
    /// # Errors
    /// The first setting that breaks its rule, or that a group that pops cannot have.
    pub fn new(config: GroupConfig, client_id: impl Into<String>, seed: u64) -> Result<Self, ConfigError> {
        config.check_pop()?;
        Ok(Self {
            client_id: client_id.into(),
            random: fastrand::Rng::with_seed(seed),
            // As Java's, though nothing is pulled from the retry topic: the members of a group subscribe alike.
            subscriptions: SubscriptionTable::new(&config.consumer_group, true),
            routes: RouteTable::default(),
            heartbeats: Heartbeats::default(),
            assigned: BTreeMap::new(),
            queues: BTreeMap::new(),
            owned: BTreeMap::new(),
            line: VecDeque::new(),
            batches: BTreeMap::new(),
            at_listeners: 0,
            settlements: Settlements::new(config.max_send_backs_in_flight as usize),
            timers: Timers::default(),
            out: VecDeque::new(),
            serial: 0,
            stats: GroupStats::default(),
            life: Life::Running,
            config,
        })
    }

    /// Takes a new set of listeners in place of the present one, at the start or live. `now_ms` is the wall clock, in
    /// milliseconds since the Unix epoch; it becomes the version of subscriptions that change.
    ///
    /// Batches in flight stay with whom they were given to. What waits is routed anew; what no listener wants any more is
    /// acknowledged and counted. What waits of topics that are dropped is given back to the broker. Once the group is
    /// shutting down this has no effect.
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
            calls_together: 1,
        };
        let change = self.subscriptions.replace(now_ms, defaults, listeners)?;
        for topic in &change.removed {
            self.drop_topic(now, topic);
        }
        for topic in change.added.iter().filter(|topic| !self.subscriptions.is_retry(topic)) {
            self.routes.add(now, topic.clone());
        }
        self.route_waiting_anew(now);
        self.pop_all(now);
        if !change.is_empty() {
            self.announce(now);
            self.event(Event::Resubscribed {
                added: change.added,
                removed: change.removed,
                changed: change.changed,
            });
        }
        self.timers.arm_no_later(Timer::Assign, now + self.config.rebalance_interval);
        self.ask_routes(now);
        Ok(())
    }

    /// Holds a listener's messages here, until it is resumed, and pops no topic it subscribes to. What is held for longer
    /// than its invisible time comes again from the broker.
    pub fn pause_listener(&mut self, id: ListenerId) {
        if let Some(listener) = self.subscriptions.listener_mut(id) {
            listener.paused = true;
        }
    }

    /// Lets a paused listener have its messages.
    pub fn resume_listener(&mut self, now: Instant, id: ListenerId) {
        if let Some(listener) = self.subscriptions.listener_mut(id) {
            listener.paused = false;
        }
        self.pop_all(now);
    }

    /// The next thing to do; none when there is nothing before [`poll_timeout`](Self::poll_timeout) or the next input.
    pub fn poll_action(&mut self, now: Instant) -> Option<Action> {
        while self.out.is_empty() {
            if let Some(timer) = self.timers.pop_due(now) {
                self.fire(now, timer);
            } else if let Some(request) = self.settlements.start(now) {
                self.arm_settlements();
                return Some(request);
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
            Timer::Assign => self.assign(now),
            Timer::Settle => self.wake_settlements(now),
            Timer::Sweep => self.sweep(now),
            Timer::Deadline => self.hurry_end(now),
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

    fn is_running(&self) -> bool {
        matches!(self.life, Life::Running)
    }
}
