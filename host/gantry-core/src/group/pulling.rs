//! Pulls: when one goes out, and what its answer does to the window.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gantry_protocol::MessageExt;
use gantry_protocol::properties::keys;

use super::ConsumerGroup;
use crate::action::{Action, PullRequest};
use crate::backoff::ANSWER_OVERDUE;
use crate::config::MessageModel;
use crate::event::Event;
use crate::flow_control::CACHE_FLOW_CONTROL_DELAY;
use crate::id::{PullId, QueueKey};
use crate::input::PullOutcome;
use crate::pull::Verdict;
use crate::queue::{Correction, Phase, Queue};
use crate::subscription::{SubscriptionTable, TopicRoutes};
use crate::timer::Timer;

/// Who gets the messages of one queue.
pub(super) struct Router<'t> {
    subscriptions: &'t SubscriptionTable,
    /// The one topic all of the queue's messages were sent to; none for the retry topic, where each names its own.
    topic: Option<TopicRoutes<'t>>,
    retry_topic: bool,
}

impl<'t> Router<'t> {
    pub(super) fn new(subscriptions: &'t SubscriptionTable, queue: &Queue) -> Self {
        let retry_topic = queue.retry_topic;
        let topic = if retry_topic { None } else { subscriptions.topic(&queue.mq.topic) };
        Self { subscriptions, topic, retry_topic }
    }

    /// The listener that gets a message, and the topic it was first sent to.
    ///
    /// A message somebody sent to the retry topic itself names no other; as in RocketMQ it is delivered, to the first
    /// listener.
    pub(super) fn route(&self, message: &MessageExt) -> Option<(usize, &'t Arc<str>)> {
        let tags = || message.tags();
        if !self.retry_topic {
            return self.topic.as_ref()?.route(tags);
        }
        match message.property(keys::RETRY_TOPIC) {
            Some(origin) => self.subscriptions.topic(origin)?.route(tags),
            None => self.subscriptions.listener(0).map(|_| (0, self.subscriptions.retry_topic())),
        }
    }
}

impl ConsumerGroup {
    /// How a pull ended.
    pub fn handle_pulled(&mut self, now: Instant, id: PullId, outcome: PullOutcome) {
        let key = id.queue;
        let Some(queue) = self.queues.get_mut(&key) else { return };
        if !queue.pull.ended(id.serial, &outcome) {
            return;
        }
        if !queue.reads() {
            return self.store_if_drained(now, key);
        }
        let offset = queue.window.end();
        let was_failing = queue.pull.is_failing();
        if matches!(outcome, PullOutcome::Failed(_)) {
            self.trouble = Some(now);
            if let Some(due) = self.routes.suspect(now, &queue.mq.topic) {
                self.timers.arm_no_later(Timer::Routes, due);
            }
        }
        match queue.pull.judge(now, &queue.mq, offset, outcome, &self.config, &mut self.random) {
            Verdict::Proceed { messages, next, pause } => {
                self.halt_is_over(key);
                if was_failing {
                    self.relock(now, key);
                }
                self.put_messages(now, key, messages, next);
                self.pause_pulls(now, key, pause);
            }
            Verdict::Correct { to, reset } => self.offset_illegal(now, key, to, reset),
            Verdict::Again { pause, heartbeat, event } => {
                self.stats.pull_failures += 1;
                self.pause_pulls(now, key, pause);
                if heartbeat {
                    self.request_heartbeat(now);
                }
                if let Some(event) = event {
                    self.event(event);
                }
            }
        }
    }

    fn pause_pulls(&mut self, now: Instant, key: QueueKey, pause: Duration) {
        if let Some(queue) = self.queues.get_mut(&key) {
            queue.pull.not_before = (pause > Duration::ZERO).then_some(now + pause);
        }
        self.pull_if_open(now, key);
    }

    /// Puts what listeners want into the window. The broker filters by hash alone; what only collides is settled here.
    fn put_messages(&mut self, now: Instant, key: QueueKey, mut messages: Vec<MessageExt>, next: i64) {
        let Some(queue) = self.queues.get_mut(&key) else { return };
        self.stats.pulled += messages.len() as u64;
        let router = Router::new(&self.subscriptions, queue);
        let (mut end, mut seq) = (queue.window.end(), queue.window.next());
        messages.retain(|message| {
            let offset = message.queue_offset();
            // The window has gone past it already.
            if offset < end {
                return false;
            }
            end = offset.saturating_add(1);
            if queue.skip.as_ref().is_some_and(|skip| skip.has(offset, message.store_timestamp())) {
                self.stats.skipped += 1;
                return false;
            }
            let Some((listener, topic)) = router.route(message) else {
                self.stats.filtered += 1;
                return false;
            };
            queue.lanes.push(listener, topic, seq);
            seq = seq.next();
            true
        });
        queue.window.put(now, messages);
        queue.window.advance_to(end.max(next));
        queue.skip.take_if(|skip| skip.is_past(next));
        queue.advance_offset();
        self.join_line(key);
    }

    /// Pulls, unless something stands against it; then it is known when to look again.
    pub(super) fn pull_if_open(&mut self, now: Instant, key: QueueKey) {
        let serial = self.next_serial();
        let Some(queue) = self.queues.get_mut(&key) else { return };
        if !queue.reads() || queue.pull.outstanding().is_some() {
            return;
        }
        if let Some(until) = queue.pull.not_before.filter(|&until| until > now) {
            return self.timers.arm(Timer::Queue(key), until);
        }
        if let Some(gate) = queue.limits.gate(queue.window.load()) {
            queue.pull.gate = Some(gate);
            self.stats.flow_controlled += 1;
            return self.timers.arm(Timer::Queue(key), now + CACHE_FLOW_CONTROL_DELAY);
        }
        let Some(subscription) = self.subscriptions.subscription(&queue.mq.topic) else { return };
        let commits = self.config.message_model == MessageModel::Clustering
            && queue.is_unlocked_for(now, self.config.lock_max_live_time);
        let commit_offset = queue.offset.piggyback().filter(|_| commits);
        let from = queue.pull.started(now, serial, commit_offset);
        let overdue = now + self.config.consumer_timeout_when_suspend + ANSWER_OVERDUE;
        self.timers.arm(Timer::Queue(key), overdue);
        self.out.push_back(Action::Pull(PullRequest {
            id: PullId { queue: key, serial },
            mq: queue.mq.clone(),
            offset: queue.window.end(),
            expects_messages: queue.pull.max_offset < 0 || queue.window.end() < queue.pull.max_offset,
            max_msg_nums: self.config.pull_batch_size,
            max_msg_bytes: self.config.pull_batch_size_in_bytes,
            commit_offset,
            suspend_timeout: self.config.broker_suspend_max_time,
            timeout: self.config.consumer_timeout_when_suspend,
            subscription: subscription.clone(),
            post_subscription: self.config.post_subscription_when_pull,
            from,
        }));
    }

    /// The time has come to look at a queue: it may pull again, or the answer to its pull got lost.
    pub(super) fn wake_pull(&mut self, now: Instant, key: QueueKey) {
        match self.queues.get(&key).and_then(|queue| queue.pull.outstanding()) {
            Some(serial) => {
                let lost = PullOutcome::Failed("no answer came, nor a time-out".to_owned());
                self.handle_pulled(now, PullId { queue: key, serial }, lost);
            }
            None => self.pull_if_open(now, key),
        }
    }

    /// Looks again at a queue that flow control holds, now that its window has shrunk; so a fast listener does not wait
    /// out the 50 ms.
    pub(super) fn reopen_gate(&mut self, now: Instant, key: QueueKey) {
        let Some(queue) = self.queues.get_mut(&key) else { return };
        if queue.pull.gate.is_some() && queue.limits.gate(queue.window.load()).is_none() {
            queue.pull.gate = None;
            self.pull_if_open(now, key);
        }
    }

    /// The broker has no such offset: the cache is dropped, batches in flight are waited for, the right offset is stored,
    /// and the queue goes on from there.
    pub(super) fn correct_offset(&mut self, now: Instant, key: QueueKey, to: i64) {
        let deadline = now + self.config.drain_timeout;
        let Some(queue) = self.queues.get_mut(&key) else { return };
        let (mq, from) = (queue.mq.clone(), queue.window.end());
        let dropped = queue.window.pending().count();
        queue.corrected = Some(Correction { from, to });
        queue.phase = Phase::Draining { deadline };
        queue.lanes.clear();
        self.stats.offsets_corrected += 1;
        self.forget_settled(key);
        self.event(Event::OffsetCorrected { mq, from, to, dropped });
        self.drain(now, key, deadline);
    }
}
