//! Messages given back to the broker: their answers, and their next tries.

use std::time::Instant;

use super::ConsumerGroup;
use crate::event::Event;
use crate::id::{QueueKey, SendBackId};
use crate::places::Run;
use crate::retry::{AGAIN, SendBack};
use crate::timer::Timer;

impl ConsumerGroup {
    /// Whether the broker took a message back. One that it did not take stays in the window and is tried again.
    pub fn handle_sent_back(&mut self, now: Instant, id: SendBackId, result: Result<(), String>) {
        let Some(send_back) = self.send_backs.answered(id) else { return };
        self.arm_send_backs();
        match result {
            Ok(()) => self.sent_back(now, &send_back),
            Err(reason) => self.send_back_failed(now, send_back, reason),
        }
        self.after_settling(now, id.queue);
    }

    fn sent_back(&mut self, now: Instant, send_back: &SendBack) {
        match send_back.dead_letter_reason() {
            Some(reason) => {
                self.stats.dead_lettered += 1;
                self.event(Event::DeadLettered {
                    mq: send_back.mq.clone(),
                    offset: send_back.message.queue_offset(),
                    message_id: send_back.message.message_id(),
                    reason,
                });
            }
            None => self.stats.reconsumed += 1,
        }
        self.hurry_retry_route(now);
        if let Some(queue) = self.queues.get_mut(&send_back.queue).filter(|queue| queue.settles()) {
            queue.sending -= 1;
            queue.settle([Run::one(send_back.seq)]);
        }
    }

    fn send_back_failed(&mut self, now: Instant, mut send_back: SendBack, reason: String) {
        self.stats.send_back_failures += 1;
        send_back.failures = send_back.failures.saturating_add(1);
        let (mq, offset) = (send_back.mq.clone(), send_back.message.queue_offset());
        let mut retry_in = None;
        if let Some(queue) = self.queues.get_mut(&send_back.queue).filter(|queue| queue.settles()) {
            queue.sending -= 1;
            queue.held += 1;
            if queue.is_consuming() {
                let wait = AGAIN.after(send_back.failures, &mut self.random);
                retry_in = Some(wait);
                self.send_backs.delay(now + wait, send_back);
                self.arm_send_backs();
            }
        }
        self.event(Event::SendBackFailed { mq, offset, reason, retry_in });
    }

    pub(super) fn wake_send_backs(&mut self, now: Instant) {
        while let Some(id) = self.send_backs.overdue(now) {
            self.handle_sent_back(now, id, Err("no answer came, nor a time-out".to_owned()));
        }
        for key in self.send_backs.wake(now) {
            if let Some(queue) = self.queues.get_mut(&key) {
                queue.held -= 1;
                queue.sending += 1;
            }
        }
        self.arm_send_backs();
    }

    /// A queue that drains does not wait for send-backs that failed: its next owner gets those messages again.
    pub(super) fn forget_delayed_send_backs(&mut self, key: QueueKey) {
        self.send_backs.forget_delayed(key);
        self.arm_send_backs();
    }

    pub(super) fn arm_send_backs(&mut self) {
        match self.send_backs.next_due() {
            Some(due) => self.timers.arm(Timer::SendBacks, due),
            None => self.timers.disarm(Timer::SendBacks),
        }
    }
}
