//! Which queue an ordered message goes to (RocketMQ: MessageQueueSelector and its classes).

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use gantry_core::select;
use gantry_protocol::MessageQueue;

use super::message::OutgoingMessage;

/// Chooses the queue of a message (RocketMQ: MessageQueueSelector). A closure that takes the same is one.
pub trait MessageQueueSelector: Send + Sync {
    /// The index in `queues`, the writable ones of the message's topic, sorted by broker and number; `arg` is what the sender
    /// goes by, such as an order's id. It must not block.
    ///
    /// # Errors
    /// Why there is none, for people. The message is not sent then.
    fn select(&self, queues: &[MessageQueue], message: &OutgoingMessage, arg: &str) -> Result<usize, String>;
}

impl<F> MessageQueueSelector for F
where
    F: Fn(&[MessageQueue], &OutgoingMessage, &str) -> Result<usize, String> + Send + Sync,
{
    fn select(&self, queues: &[MessageQueue], message: &OutgoingMessage, arg: &str) -> Result<usize, String> {
        self(queues, message, arg)
    }
}

/// The same queue for the same `arg` while the number of queues stays, by Java's `hashCode` (RocketMQ: the class of this
/// name).
#[derive(Debug, Clone, Copy, Default)]
pub struct SelectMessageQueueByHash;

/// Any queue (RocketMQ: the class of this name).
#[derive(Debug, Clone, Copy, Default)]
pub struct SelectMessageQueueByRandom;

/// In turn, the queues of brokers whose name begins with one of the rooms in `arg`, separated by commas, and an `@`, as
/// the allocation strategy MACHINE_ROOM reads them (RocketMQ: the class of this name, which selects nothing at all).
#[derive(Debug, Default)]
pub struct SelectMessageQueueByMachineRoom {
    turn: AtomicUsize,
}

/// One queue after the other, whatever the broker (RocketMQ's Go client: NewRoundRobinQueueSelector).
#[derive(Debug, Default)]
pub struct SelectMessageQueueByRoundRobin {
    turn: AtomicUsize,
}

impl MessageQueueSelector for SelectMessageQueueByHash {
    fn select(&self, queues: &[MessageQueue], _: &OutgoingMessage, arg: &str) -> Result<usize, String> {
        Ok(select::by_hash(arg, queues.len()))
    }
}

impl MessageQueueSelector for SelectMessageQueueByRandom {
    fn select(&self, queues: &[MessageQueue], _: &OutgoingMessage, _: &str) -> Result<usize, String> {
        Ok(fastrand::usize(..queues.len().max(1)))
    }
}

impl MessageQueueSelector for SelectMessageQueueByMachineRoom {
    fn select(&self, queues: &[MessageQueue], _: &OutgoingMessage, arg: &str) -> Result<usize, String> {
        let turn = self.turn.fetch_add(1, Relaxed);
        select::by_machine_room(arg, queues, turn).ok_or_else(|| {
            let mut brokers: Vec<_> = queues.iter().map(|queue| &*queue.broker_name).collect();
            brokers.dedup();
            brokers.truncate(10);
            format!("no broker is in machine room {arg:?}; ROOM@NAME is, and they are {}", brokers.join(", "))
        })
    }
}

impl MessageQueueSelector for SelectMessageQueueByRoundRobin {
    fn select(&self, queues: &[MessageQueue], _: &OutgoingMessage, _: &str) -> Result<usize, String> {
        Ok(self.turn.fetch_add(1, Relaxed) % queues.len().max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_selects_by_its_rule() {
        let queues: Vec<_> =
            ["east@a", "west@a", "west@b"].map(|broker| MessageQueue::new("t", broker, 0)).into();
        let message = OutgoingMessage::new("t", "x");
        let chosen = |selector: &dyn MessageQueueSelector, arg: &str| {
            [(); 4].map(|()| selector.select(&queues, &message, arg).unwrap())
        };
        // "a".hashCode() is 97.
        assert_eq!(chosen(&SelectMessageQueueByHash, "a"), [1; 4]);
        assert!(chosen(&SelectMessageQueueByRandom, "").iter().all(|index| *index < 3));
        assert_eq!(chosen(&SelectMessageQueueByRoundRobin::default(), ""), [0, 1, 2, 0]);
        let rooms = SelectMessageQueueByMachineRoom::default();
        assert_eq!(chosen(&rooms, "west"), [1, 2, 1, 2]);
        let error = rooms.select(&queues, &message, "north").unwrap_err();
        assert!(error.contains("\"north\"") && error.contains("east@a, west@a, west@b"), "{error}");
        let last = |queues: &[MessageQueue], _: &OutgoingMessage, _: &str| Ok(queues.len() - 1);
        assert_eq!(chosen(&last, ""), [2; 4]);
    }
}
