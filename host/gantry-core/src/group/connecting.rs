//! Routes and heartbeats: where the brokers are, and that they know of this group.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{ConsumerGroup, Life};
use crate::action::{Action, Heartbeat};
use crate::backoff::{ANSWER_OVERDUE, Backoff};
use crate::event::Event;
use crate::input::{HeartbeatOutcome, Route};
use crate::route::RouteChange;
use crate::timer::Timer;

const FAILED: Backoff = Backoff { first: Duration::from_secs(1), most: Duration::from_secs(5) };

/// A broker must have the group's heartbeat before it answers pulls, and before it counts this client a member.
#[derive(Debug, Default)]
pub(super) struct Heartbeats {
    /// Since when an answer is waited for.
    in_flight: Option<Instant>,
    /// Something changed since the one in flight was sent.
    again: bool,
    /// The brokers know the present subscriptions.
    pub(super) announced: bool,
    /// A broker may have heard of this client.
    pub(super) ever_sent: bool,
    failures: u32,
}

impl ConsumerGroup {
    /// What a name server said of a topic.
    pub fn handle_route(&mut self, now: Instant, topic: &str, route: Route) {
        let poll = self.config.poll_name_server_interval;
        let change = match route {
            Route::Found(queues) => self.routes.found_queues(now, poll, topic, queues),
            Route::Missing => self.routes.not_found(now, &mut self.random, topic, true),
            Route::Failed(_) => self.routes.not_found(now, &mut self.random, topic, false),
        };
        if !matches!(self.life, Life::Running) {
            return;
        }
        self.ask_routes(now);
        match change {
            RouteChange::None => {}
            RouteChange::Missing => {
                // A retry topic appears with the group's first heartbeat or send-back; that it is not there before is
                // nothing to look at.
                if !self.subscriptions.is_retry(topic) {
                    self.event(Event::TopicMissing { topic: topic.into() });
                }
            }
            RouteChange::Queues { count, new_broker } => {
                self.event(Event::RouteChanged { topic: topic.into(), queues: count });
                if new_broker {
                    self.announce(now);
                } else {
                    self.rebalance_now(now);
                }
            }
        }
    }

    /// How a round of heartbeats went.
    pub fn handle_heartbeat(&mut self, now: Instant, outcome: HeartbeatOutcome) {
        if matches!(self.life, Life::Terminated) {
            return;
        }
        self.heartbeats.in_flight = None;
        let again = std::mem::take(&mut self.heartbeats.again);
        if outcome != HeartbeatOutcome::Accepted {
            self.trouble = Some(now);
        }
        if outcome == HeartbeatOutcome::Failed {
            self.heartbeat_failed(now);
        } else {
            self.heartbeat_accepted(now, outcome, again);
        }
        if again {
            self.request_heartbeat(now);
        }
    }

    fn heartbeat_failed(&mut self, now: Instant) {
        let failures = self.heartbeats.failures.saturating_add(1);
        self.heartbeats.failures = failures;
        let retry_in = FAILED.after(failures, &mut self.random);
        self.timers.arm(Timer::Heartbeat, now + retry_in);
        if failures.is_power_of_two() {
            self.event(Event::HeartbeatFailed { retry_in });
        }
    }

    fn heartbeat_accepted(&mut self, now: Instant, outcome: HeartbeatOutcome, outdated: bool) {
        self.heartbeats.failures = 0;
        let next = match outcome {
            HeartbeatOutcome::Accepted => self.config.heartbeat_broker_interval,
            _ => FAILED.most.min(self.config.heartbeat_broker_interval),
        };
        self.timers.arm(Timer::Heartbeat, now + next);
        if !outdated && !std::mem::replace(&mut self.heartbeats.announced, true) {
            self.rebalance_now(now);
        }
        // Brokers make a group's retry topic when they first hear of the group.
        self.hurry_retry_route(now);
    }

    /// Tells the brokers what has changed, and allocates queues when they know.
    pub(super) fn announce(&mut self, now: Instant) {
        self.heartbeats.announced = false;
        self.timers.arm_no_later(Timer::Heartbeat, now);
    }

    pub(super) fn request_heartbeat(&mut self, now: Instant) {
        if !self.routes.has_brokers() {
            return;
        }
        if let Some(overdue) = self.heartbeats.in_flight.map(|since| since + ANSWER_OVERDUE)
            && now < overdue
        {
            self.heartbeats.again = true;
            return self.timers.arm(Timer::Heartbeat, overdue);
        }
        self.heartbeats.in_flight = Some(now);
        self.heartbeats.ever_sent = true;
        self.timers.arm(Timer::Heartbeat, now + ANSWER_OVERDUE);
        let subscriptions = self.subscriptions.subscriptions();
        self.out.push_back(Action::Heartbeat(Heartbeat { subscriptions }));
    }

    pub(super) fn ask_routes(&mut self, now: Instant) {
        for topic in self.routes.ask_due(now) {
            self.out.push_back(Action::RefreshRoute { topic });
        }
        match self.routes.next_due() {
            Some(due) => self.timers.arm(Timer::Routes, due),
            None => self.timers.disarm(Timer::Routes),
        }
    }

    pub(super) fn hurry_retry_route(&mut self, now: Instant) {
        if matches!(self.life, Life::Running) && self.is_clustering() {
            let retry_topic: Arc<str> = self.subscriptions.retry_topic().clone();
            self.routes.hurry(now, &retry_topic);
            self.ask_routes(now);
        }
    }
}
