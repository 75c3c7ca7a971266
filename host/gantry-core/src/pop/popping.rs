//! Pops: when one goes out, and what becomes of its messages.

use std::time::{Duration, Instant};

use gantry_protocol::ResponseCode;

use super::queue::{Popped, Waiting};
use super::settlements::Ask;
use super::{PopConsumerGroup, Timer};
use crate::action::{Action, PopRequest};
use crate::backoff::{ANSWER_OVERDUE, Backoff};
use crate::config::ConsumeFromWhere;
use crate::event::Event;
use crate::flow_control::Gate;
use crate::id::{PopId, QueueKey};
use crate::input::{PopOutcome, PoppedMessage};

/// A pop that found nothing is followed by another no sooner than this after it left: the broker should have held it, but a
/// clock that runs ahead of the broker's makes it think the time is up.
const EMPTY_PAUSE: Duration = Duration::from_millis(200);
/// The longest wait after failed pops.
const MOST_PAUSE: Duration = Duration::from_secs(5);

impl PopConsumerGroup {
    /// How a pop ended.
    pub fn handle_popped(&mut self, now: Instant, id: PopId, outcome: PopOutcome) {
        let key = id.queue;
        let Some(queue) = self.queues.get_mut(&key) else { return };
        let Some((_, since)) = queue.outstanding.take_if(|(serial, _)| *serial == id.serial) else { return };
        match outcome {
            PopOutcome::Found(messages) => {
                queue.failures = 0;
                let pause = Duration::from_millis(u64::from(self.config.pull_interval));
                queue.not_before = (!pause.is_zero()).then_some(now + pause);
                self.take_messages(now, key, messages);
            }
            PopOutcome::NothingYet => {
                queue.failures = 0;
                queue.not_before = Some(since + EMPTY_PAUSE).filter(|&until| until > now);
            }
            PopOutcome::PollingFull => {
                let remark = "too many pops wait at the broker".to_owned();
                self.pop_failed(now, key, Fault::Refused(ResponseCode::POLLING_FULL, remark));
            }
            PopOutcome::Refused { code, remark } => self.pop_failed(now, key, Fault::Refused(code, remark)),
            PopOutcome::Failed(reason) => self.pop_failed(now, key, Fault::Failed(reason)),
        }
        self.settled(now, key, 0);
    }

    fn pop_failed(&mut self, now: Instant, key: QueueKey, fault: Fault) {
        let Some(queue) = self.queues.get_mut(&key) else { return };
        queue.failures = queue.failures.saturating_add(1);
        let first = self.config.pull_time_delay_when_exception;
        let pauses = Backoff { first, most: MOST_PAUSE.max(first) };
        let retry_in = pauses.after(queue.failures, &mut self.random);
        queue.not_before = Some(now + retry_in);
        self.stats.pull_failures += 1;
        if !queue.failures.is_power_of_two() {
            return;
        }
        let mq = queue.mq.clone();
        self.event(match fault {
            Fault::Refused(code, remark) => Event::PopRefused { mq, code, remark, retry_in },
            Fault::Failed(reason) => Event::PopFailed { mq, reason, retry_in },
        });
    }

    fn take_messages(&mut self, now: Instant, key: QueueKey, messages: Vec<PoppedMessage>) {
        let running = self.is_running();
        let Some(queue) = self.queues.get_mut(&key) else { return };
        self.stats.pulled += messages.len() as u64;
        queue.wait_ack += messages.len();
        let takes = running && !queue.dropped;
        let mut first_expiry = None;
        let routes = self.subscriptions.topic(&queue.mq.topic);
        let (mut unwanted, mut back) = (Vec::new(), Vec::new());
        for PoppedMessage { message, receipt, filtered } in messages {
            let invisible = Duration::from_millis(receipt.invisible_time.max(0).unsigned_abs());
            let popped = Popped { message, receipt, deadline: now + invisible };
            if !takes {
                back.push(popped);
                continue;
            }
            let tags = || popped.message.tags();
            match routes.as_ref().and_then(|routes| routes.route(tags)).filter(|_| !filtered) {
                Some((listener, _)) => {
                    let expiry = popped.too_late();
                    first_expiry = Some(first_expiry.map_or(expiry, |first: Instant| first.min(expiry)));
                    queue.waiting.push_back(Waiting { listener, popped });
                }
                None => unwanted.push(popped),
            }
        }
        let held = queue.wait_ack;
        self.stats.flow_controlled += u64::from(self.gate(held).is_some());
        // The broker filters by hash alone; what only collides is settled here.
        self.stats.filtered += unwanted.len() as u64;
        for popped in unwanted {
            self.ask(key, popped, Ask::Ack);
        }
        for popped in back {
            self.give_back(key, popped);
        }
        self.sweep_at(first_expiry);
        self.join_line(key);
    }

    /// Routes what waits by the present listeners.
    pub(super) fn route_waiting_anew(&mut self, now: Instant) {
        let keys: Vec<QueueKey> = self.queues.keys().copied().collect();
        for key in keys {
            let Some(queue) = self.queues.get_mut(&key).filter(|queue| !queue.dropped) else { continue };
            let waiting = std::mem::take(&mut queue.waiting);
            let routes = self.subscriptions.topic(&queue.mq.topic);
            let mut unwanted = Vec::new();
            for Waiting { popped, .. } in waiting {
                let tags = || popped.message.tags();
                match routes.as_ref().and_then(|routes| routes.route(tags)) {
                    Some((listener, _)) => queue.waiting.push_back(Waiting { listener, popped }),
                    None => unwanted.push(popped),
                }
            }
            if !unwanted.is_empty() {
                let (mq, count) = (queue.mq.clone(), unwanted.len());
                self.stats.unwanted += count as u64;
                self.event(Event::Unwanted { mq, count });
            }
            for popped in unwanted {
                self.ask(key, popped, Ask::Ack);
            }
            self.settled(now, key, 0);
            self.join_line(key);
        }
    }

    pub(super) fn pop_all(&mut self, now: Instant) {
        let keys: Vec<QueueKey> = self.queues.keys().copied().collect();
        for key in keys {
            self.join_line(key);
            self.pop_if_open(now, key);
        }
    }

    /// Why flow control does not let a queue be popped, if so.
    pub(super) fn gate(&self, cached: usize) -> Option<Gate> {
        let limit = u64::from(self.config.pop_threshold_for_queue);
        (cached as u64 > limit).then_some(Gate::Count { cached, limit })
    }

    /// Pops, unless something stands against it; then what removes it looks again.
    pub(super) fn pop_if_open(&mut self, now: Instant, key: QueueKey) {
        let serial = self.next_serial();
        let Some(queue) = self.queues.get(&key) else { return };
        if !self.is_running() || queue.dropped || queue.outstanding.is_some() {
            return;
        }
        if self.subscriptions.has_paused(&queue.mq.topic) {
            return;
        }
        if let Some(until) = queue.not_before.filter(|&until| until > now) {
            return self.timers.arm(Timer::Queue(key), until);
        }
        if self.gate(queue.wait_ack).is_some() {
            return;
        }
        let Some(subscription) = self.subscriptions.subscription(&queue.mq.topic).cloned() else { return };
        let Some(queue) = self.queues.get_mut(&key) else { return };
        queue.outstanding = Some((serial, now));
        queue.last_pop = Some(now);
        self.timers.arm(Timer::Queue(key), now + self.config.consumer_timeout_when_suspend + ANSWER_OVERDUE);
        self.out.push_back(Action::Pop(PopRequest {
            id: PopId { queue: key, serial },
            mq: queue.mq.clone(),
            max_msg_nums: self.config.pop_batch_nums,
            invisible_time: self.config.pop_invisible_time,
            from_first: self.config.consume_from_where == ConsumeFromWhere::FirstOffset,
            poll_time: self.config.broker_suspend_max_time,
            timeout: self.config.consumer_timeout_when_suspend,
            subscription,
        }));
    }

    /// The time has come to look at a queue: it may pop again, or the answer to its pop got lost.
    pub(super) fn wake_queue(&mut self, now: Instant, key: QueueKey) {
        match self.queues.get(&key).and_then(|queue| queue.outstanding) {
            Some((serial, _)) => {
                let lost = PopOutcome::Failed("no answer came, nor a time-out".to_owned());
                self.handle_popped(now, PopId { queue: key, serial }, lost);
            }
            None => self.pop_if_open(now, key),
        }
    }
}

/// Why a pop brought nothing.
enum Fault {
    Refused(ResponseCode, String),
    Failed(String),
}
