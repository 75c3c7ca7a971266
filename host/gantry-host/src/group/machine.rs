//! A group's machine: one that pulls, or one that pops. What a batch meets on its way through a listener does not depend on
//! which it is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gantry_core::{
    Action, BatchId, BatchStatus, ConsumerGroup, GroupConfig, GroupStats, HaltDecision, ListenerId,
    ListenerSpec, PopConsumerGroup, QueueStatus, SubscriptionError, TopicSubscription,
};
use gantry_protocol::{MessageExt, MessageQueue};

use super::input::Input;

/// One of the two kinds of group.
pub(super) enum Machine {
    Pull(Box<ConsumerGroup>),
    Pop(Box<PopConsumerGroup>),
}

/// The same question to either.
macro_rules! either {
    ($machine:expr, $group:ident => $answer:expr) => {
        match $machine {
            Machine::Pull($group) => $answer,
            Machine::Pop($group) => $answer,
        }
    };
}

impl Machine {
    pub(super) fn config(&self) -> &GroupConfig {
        either!(self, group => group.config())
    }

    pub(super) fn pops(&self) -> bool {
        matches!(self, Self::Pop(_))
    }

    pub(super) fn set_listeners(
        &mut self,
        now: Instant,
        now_ms: u64,
        listeners: &[ListenerSpec],
    ) -> Result<(), SubscriptionError> {
        either!(self, group => group.set_listeners(now, now_ms, listeners))
    }

    pub(super) fn pause_listener(&mut self, id: ListenerId) {
        either!(self, group => group.pause_listener(id));
    }

    pub(super) fn resume_listener(&mut self, now: Instant, id: ListenerId) {
        match self {
            Self::Pull(group) => group.resume_listener(id),
            Self::Pop(group) => group.resume_listener(now, id),
        }
    }

    pub(super) fn poll_action(&mut self, now: Instant) -> Option<Action> {
        either!(self, group => group.poll_action(now))
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        either!(self, group => group.poll_timeout())
    }

    pub(super) fn shut_down(&mut self, now: Instant, grace: Duration) {
        either!(self, group => group.shut_down(now, grace));
    }

    pub(super) fn handle_members_changed(&mut self, now: Instant) {
        either!(self, group => group.handle_members_changed(now));
    }

    pub(super) fn handle_returned(&mut self, now: Instant, id: BatchId) {
        either!(self, group => group.handle_returned(now, id));
    }

    /// Part of a batch of several calls: such batches are those of a group that pulls.
    pub(super) fn handle_returned_part(&mut self, now: Instant, id: BatchId, messages: &[usize]) {
        if let Self::Pull(group) = self {
            group.handle_returned_part(now, id, messages);
        }
    }

    pub(super) fn listener_of(&self, message: &MessageExt) -> Option<(ListenerId, Arc<str>)> {
        either!(self, group => group.listener_of(message))
    }

    pub(super) fn subscriptions(&self) -> Arc<[Arc<TopicSubscription>]> {
        either!(self, group => group.subscriptions())
    }

    pub(super) fn queues(&self, now: Instant) -> Vec<QueueStatus> {
        either!(self, group => group.queues(now).collect())
    }

    pub(super) fn batches(&self, now: Instant) -> Vec<BatchStatus> {
        either!(self, group => group.batches(now))
    }

    pub(super) fn stats(&self) -> GroupStats {
        either!(self, group => group.stats())
    }

    /// An operator's decision about a queue that was stopped; whether it was. What pops is never stopped so.
    pub(super) fn decide_halt(&mut self, now: Instant, mq: &MessageQueue, decision: HaltDecision) -> bool {
        match self {
            Self::Pull(group) => group.decide_halt(now, mq, decision),
            Self::Pop(_) => false,
        }
    }

    /// Moves queues. Where a group pops, its brokers move them by themselves.
    pub(super) fn reset_offsets(&mut self, now: Instant, offsets: &[(MessageQueue, i64)]) {
        if let Self::Pull(group) = self {
            group.reset_offsets(now, offsets);
        }
    }

    /// An answer to something the machine asked for.
    pub(super) fn take(&mut self, now: Instant, input: Input) {
        match self {
            Self::Pull(group) => pulled(group, now, input),
            Self::Pop(group) => popped(group, now, input),
        }
    }
}

fn pulled(group: &mut ConsumerGroup, now: Instant, input: Input) {
    match input {
        Input::Route(topic, route) => group.handle_route(now, &topic, route),
        Input::Heartbeat(outcome) => group.handle_heartbeat(now, outcome),
        Input::Members(topic, members) => group.handle_members(now, &topic, members),
        Input::Offset(id, answer) => group.handle_offset(now, id, answer),
        Input::Pulled(id, outcome) => group.handle_pulled(now, id, outcome),
        Input::Succeeded(id) => group.handle_succeeded(now, id),
        Input::Consumed(id, settlements) => group.handle_consumed(now, id, settlements),
        Input::ConsumedPart(id, results) => group.handle_consumed_part(now, id, results),
        Input::SentBack(id, result) => group.handle_sent_back(now, id, result),
        Input::Persisted(id, result) => group.handle_persisted(now, id, result),
        Input::Locked(id, result) => group.handle_locked(now, id, result),
        Input::Unlocked(id, result) => group.handle_unlocked(now, id, result),
        Input::Allocated(id, answers) => group.handle_allocated(now, id, answers),
        // It asks for nothing that is answered so.
        Input::Assigned(..) | Input::Popped(..) | Input::Acked(..) | Input::Changed(..) | Input::Asked(_) => {
        }
    }
}

fn popped(group: &mut PopConsumerGroup, now: Instant, input: Input) {
    match input {
        Input::Route(topic, route) => group.handle_route(now, &topic, route),
        Input::Heartbeat(outcome) => group.handle_heartbeat(now, outcome),
        Input::Succeeded(id) => group.handle_succeeded(now, id),
        Input::Consumed(id, settlements) => group.handle_consumed(now, id, settlements),
        Input::SentBack(id, result) => group.handle_sent_back(now, id, result),
        Input::Assigned(topic, assignment) => group.handle_assignment(now, &topic, assignment),
        Input::Popped(id, outcome) => group.handle_popped(now, id, outcome),
        Input::Acked(id, result) => group.handle_acked(now, id, result),
        Input::Changed(id, result) => group.handle_changed(now, id, result),
        // It asks for nothing that is answered so.
        Input::Members(..)
        | Input::Offset(..)
        | Input::Pulled(..)
        | Input::ConsumedPart(..)
        | Input::Persisted(..)
        | Input::Locked(..)
        | Input::Unlocked(..)
        | Input::Allocated(..)
        | Input::Asked(_) => {}
    }
}
