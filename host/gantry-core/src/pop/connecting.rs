//! Routes and heartbeats: where the brokers are, and that they know of this group.

use std::time::Instant;

use super::{Life, PopConsumerGroup, Timer};
use crate::action::{Action, Heartbeat};
use crate::event::Event;
use crate::heartbeat::Heard;
use crate::input::{HeartbeatOutcome, Route};
use crate::route::RouteChange;

impl PopConsumerGroup {
    /// What a name server said of a topic.
    pub fn handle_route(&mut self, now: Instant, topic: &str, route: Route) {
        let poll = self.config.poll_name_server_interval;
        let change = match route {
            Route::Found(queues) => self.routes.found_queues(now, poll, topic, queues),
            Route::Missing => self.routes.not_found(now, &mut self.random, topic, true),
            Route::Failed(_) => self.routes.not_found(now, &mut self.random, topic, false),
        };
        if !self.is_running() {
            return;
        }
        self.ask_routes(now);
        match change {
            RouteChange::None => {}
            RouteChange::Missing => self.event(Event::TopicMissing { topic: topic.into() }),
            RouteChange::Queues { count, new_broker } => {
                self.event(Event::RouteChanged { topic: topic.into(), queues: count });
                if new_broker {
                    self.announce(now);
                }
                self.take_assigned(now, topic);
                self.assign_now(now);
            }
        }
    }

    /// How a round of heartbeats went.
    pub fn handle_heartbeat(&mut self, now: Instant, outcome: HeartbeatOutcome) {
        if matches!(self.life, Life::Terminated) {
            return;
        }
        let interval = self.config.heartbeat_broker_interval;
        let Heard { next, announced, failed, again } =
            self.heartbeats.answered(now, outcome, interval, &mut self.random);
        self.timers.arm(Timer::Heartbeat, next);
        if let Some(retry_in) = failed {
            self.event(Event::HeartbeatFailed { retry_in });
        }
        if announced {
            self.assign_now(now);
        }
        if again {
            self.request_heartbeat(now);
        }
    }

    /// Tells the brokers what has changed; what they assign is asked for when they know.
    pub(super) fn announce(&mut self, now: Instant) {
        self.heartbeats.announced = false;
        self.timers.arm_no_later(Timer::Heartbeat, now);
    }

    pub(super) fn request_heartbeat(&mut self, now: Instant) {
        if !self.routes.has_brokers() {
            return;
        }
        let overdue = match self.heartbeats.start(now) {
            Ok(overdue) => overdue,
            Err(overdue) => return self.timers.arm(Timer::Heartbeat, overdue),
        };
        self.timers.arm(Timer::Heartbeat, overdue);
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
}
