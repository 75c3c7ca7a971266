//! Results on their way to the brokers, their answers, and their next tries.

use std::time::Instant;

use gantry_protocol::MessageQueue;
use gantry_protocol::pop::PopReceipt;

use super::delay::delay;
use super::queue::Popped;
use super::settlements::{AGAIN, Ask, Unsettled};
use super::{PopConsumerGroup, Timer};
use crate::event::Event;
use crate::id::{AckId, ChangeId, QueueKey, SendBackId};
use crate::input::Settlement;

impl PopConsumerGroup {
    pub(super) fn settle(
        &mut self,
        key: QueueKey,
        popped: Popped,
        result: Settlement,
        max_reconsume_times: i32,
    ) {
        let times = popped.message.reconsume_times();
        let ask = match result {
            Settlement::Success => {
                self.stats.succeeded += 1;
                Ask::Ack
            }
            Settlement::DeadLetter(reason) => Ask::DeadLetter { reason, max_reconsume_times },
            // RocketMQ's client acknowledges such a message after a while, and so forgets it.
            Settlement::ReconsumeLater(_) if times >= max_reconsume_times => {
                let reason = format!("it was given back {} times", times.saturating_add(1));
                Ask::DeadLetter { reason, max_reconsume_times }
            }
            Settlement::ReconsumeLater(wish) => Ask::ComeAgain(delay(wish, times)),
        };
        self.ask(key, popped, ask);
    }

    /// Lets other members have a message that no listener here has seen.
    pub(super) fn give_back(&mut self, key: QueueKey, popped: Popped) {
        self.ask(key, popped, Ask::GiveBack);
    }

    pub(super) fn ask(&mut self, key: QueueKey, popped: Popped, ask: Ask) {
        let Some(queue) = self.queues.get(&key) else { return };
        let mq = MessageQueue { queue_id: popped.receipt.queue_id, ..queue.mq.clone() };
        self.settlements.push(Unsettled { queue: key, mq, popped, ask, failures: 0 });
    }

    /// Whether a broker took acknowledgements.
    pub fn handle_acked(&mut self, now: Instant, id: AckId, result: Result<(), String>) {
        for one in self.settlements.acked(id) {
            match &result {
                Ok(()) => self.settled(now, one.queue, 1),
                Err(reason) => self.try_again(now, one, reason.clone()),
            }
        }
        self.arm_settlements();
        self.end_if_settled();
    }

    /// What settles a message after its invisible time was changed, or why it was not.
    pub fn handle_changed(&mut self, now: Instant, id: ChangeId, result: Result<PopReceipt, String>) {
        let Some(one) = self.settlements.answered(id.serial) else { return };
        match (result, &one.ask) {
            (Err(reason), _) => self.try_again(now, one, reason),
            (Ok(receipt), &Ask::Lengthen { batch, place, .. }) => {
                self.lengthened(now, batch, place, receipt);
            }
            (Ok(_), ask) => {
                if matches!(ask, Ask::ComeAgain(_)) {
                    self.stats.reconsumed += 1;
                }
                self.settled(now, one.queue, 1);
            }
        }
        self.arm_settlements();
        self.end_if_settled();
    }

    /// Whether the broker filed a message as a dead letter; if so it is acknowledged.
    pub fn handle_sent_back(&mut self, now: Instant, id: SendBackId, result: Result<(), String>) {
        let Some(mut one) = self.settlements.answered(id.serial) else { return };
        match (result, &one.ask) {
            (Err(reason), _) => self.try_again(now, one, reason),
            (Ok(()), Ask::DeadLetter { reason, .. }) => {
                self.stats.dead_lettered += 1;
                self.event(Event::DeadLettered {
                    mq: one.mq.clone(),
                    offset: one.popped.receipt.offset,
                    message_id: one.popped.message.message_id(),
                    reason: reason.clone(),
                });
                (one.ask, one.failures) = (Ask::Ack, 0);
                self.settlements.push(one);
            }
            (Ok(()), _) => {}
        }
        self.arm_settlements();
        self.end_if_settled();
    }

    /// A settlement that failed is tried again while the message is still hidden; after that the broker delivers it again.
    fn try_again(&mut self, now: Instant, mut one: Unsettled, reason: String) {
        self.stats.send_back_failures += 1;
        one.failures = one.failures.saturating_add(1);
        let wait = AGAIN.after(one.failures, &mut self.random);
        let retry_in = Some(wait).filter(|&wait| now + wait < one.popped.deadline);
        if one.failures.is_power_of_two() || retry_in.is_none() {
            let (mq, offset) = (one.mq.clone(), one.popped.receipt.offset);
            self.event(Event::NotSettled { mq, offset, reason, retry_in });
        }
        if retry_in.is_some() {
            return self.settlements.delay(now + wait, one);
        }
        match one.ask {
            Ask::Lengthen { batch, .. } => self.lengthening_ended(now, batch),
            _ => {
                self.stats.expired += 1;
                self.settled(now, one.queue, 1);
            }
        }
    }

    pub(super) fn wake_settlements(&mut self, now: Instant) {
        let lost = || "no answer came, nor a time-out".to_owned();
        while let Some(id) = self.settlements.overdue_acks(now) {
            self.handle_acked(now, id, Err(lost()));
        }
        while let Some((serial, queue)) = self.settlements.overdue(now) {
            self.handle_changed(now, ChangeId { queue, serial }, Err(lost()));
        }
        self.settlements.wake(now);
        self.arm_settlements();
    }

    pub(super) fn arm_settlements(&mut self) {
        match self.settlements.next_due() {
            Some(due) => self.timers.arm(Timer::Settle, due),
            None => self.timers.disarm(Timer::Settle),
        }
    }

    /// So many messages of a queue are done with; what that makes possible: another pop, or that the queue is forgotten.
    pub(super) fn settled(&mut self, now: Instant, key: QueueKey, count: usize) {
        let Some(queue) = self.queues.get_mut(&key) else { return };
        queue.wait_ack -= count;
        if queue.is_done() {
            self.queues.remove(&key);
        } else {
            self.pop_if_open(now, key);
        }
    }

    /// So many messages' invisible time ended before they were settled.
    pub(super) fn expired(&mut self, key: QueueKey, count: usize) {
        let Some(queue) = self.queues.get(&key).filter(|_| count > 0) else { return };
        let mq = queue.mq.clone();
        self.stats.expired += count as u64;
        self.event(Event::PopExpired { mq, count });
    }
}
