//! Backward jumps: a broker that has lost messages, or came up with old ones, would have a group read days again.

use std::time::{Duration, Instant};

use gantry_protocol::MessageQueue;

use super::ConsumerGroup;
use crate::event::Event;
use crate::id::QueueKey;
use crate::queue::Phase;

/// How often a stopped queue looks whether the broker has its messages again.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// What an operator decides about a queue that was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HaltDecision {
    /// Read from where the broker would have it read.
    Obey,
    /// Read from this offset.
    ReadFrom(i64),
}

impl ConsumerGroup {
    /// The broker has no such offset (OFFSET_ILLEGAL). What an operator asked for, and a move forward or a little back, is
    /// obeyed; a jump further back than `max_backward_jump` stops the queue.
    pub(super) fn offset_illegal(&mut self, now: Instant, key: QueueKey, to: i64, reset: bool) {
        let most = self.config.max_backward_jump;
        let Some(queue) = self.queues.get_mut(&key) else { return };
        let from = queue.window.end();
        let Some(most) = most.filter(|&most| !reset && to < from && from.abs_diff(to) > most) else {
            return self.correct_offset(now, key, to);
        };
        let first = !matches!(queue.phase, Phase::Halted { .. });
        queue.phase = Phase::Halted { to };
        queue.pull.not_before = Some(now + LOOK_AGAIN);
        let mq = queue.mq.clone();
        if first {
            self.event(Event::BackwardJump { mq, from, to, most });
        }
        self.pull_if_open(now, key);
    }

    /// A pull was answered as if nothing had been: the queue goes on, if it was stopped.
    pub(super) fn halt_is_over(&mut self, key: QueueKey) {
        let Some(queue) = self.queues.get_mut(&key) else { return };
        if let Phase::Halted { .. } = queue.phase {
            queue.phase = Phase::Consuming;
            let mq = queue.mq.clone();
            self.event(Event::BackwardJumpOver { mq });
            self.route_queue_anew(key);
        }
    }

    /// Takes an operator's decision about a queue that was stopped for its backward jump. False when it is not stopped.
    pub fn decide_halt(&mut self, now: Instant, mq: &MessageQueue, decision: HaltDecision) -> bool {
        let Some(&key) = self.owned.get(mq) else { return false };
        let Some(Phase::Halted { to }) = self.queues.get(&key).map(|queue| queue.phase) else { return false };
        let to = match decision {
            HaltDecision::Obey => to,
            HaltDecision::ReadFrom(offset) => offset.max(0),
        };
        self.correct_offset(now, key, to);
        true
    }
}
