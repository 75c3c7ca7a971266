//! Offsets an operator sets while the group runs (RocketMQ: RESET_CONSUMER_CLIENT_OFFSET).

use std::time::Instant;

use gantry_protocol::MessageQueue;

use super::ConsumerGroup;
use crate::event::Event;
use crate::id::QueueKey;
use crate::queue::{Correction, Phase};

impl ConsumerGroup {
    /// Moves queues to the offsets an operator wants. Queues of other members, and offsets below 0, are passed over.
    ///
    /// A queue that is consumed drops its cache, waits up to `drain_timeout` for the batches in flight, whose results
    /// then move no offset, stores the given offset and goes on from there, as after OFFSET_ILLEGAL. One whose start is
    /// still being learnt is moved as soon as it begins; given up before, it is not. One that is being given up, or
    /// whose offset is on its way, ends with the given offset stored in place of its own. Of several resets the last
    /// counts.
    pub fn reset_offsets(&mut self, now: Instant, offsets: &[(MessageQueue, i64)]) {
        for (mq, to) in offsets.iter().filter(|(_, to)| *to >= 0) {
            if let Some(&key) = self.owned.get(mq) {
                self.reset_offset(now, key, *to);
            }
        }
    }

    fn reset_offset(&mut self, now: Instant, key: QueueKey, to: i64) {
        let Some(queue) = self.queues.get_mut(&key) else { return };
        let (mq, from, dropped) = (queue.mq.clone(), queue.window.end(), queue.window.pending().count());
        queue.corrected = Some(Correction { from, to });
        let begins = queue.reads();
        if begins {
            queue.phase = Phase::Draining { deadline: now + self.config.drain_timeout };
            queue.lanes.clear();
        }
        self.forget_settled(key);
        self.event(Event::OffsetReset { mq, to, dropped });
        if begins {
            self.drain(now, key, now + self.config.drain_timeout);
        }
    }

    /// Moves a queue that has just begun, if a reset came before it did.
    pub(super) fn reset_at_start(&mut self, now: Instant, key: QueueKey) -> bool {
        let reset = self.queues.get_mut(&key).and_then(|queue| queue.corrected.take());
        if let Some(Correction { to, .. }) = reset {
            self.reset_offset(now, key, to);
        }
        reset.is_some()
    }

    /// The offset of a queue has been stored. A reset that came meanwhile is stored after it.
    pub(super) fn offset_stored(&mut self, now: Instant, key: QueueKey) {
        let moved = self.queues.get(&key).is_some_and(|queue| match (queue.phase, queue.corrected) {
            (Phase::Storing { offset, .. }, Some(correction)) => offset != correction.to,
            _ => false,
        });
        match moved {
            true => self.store(now, key),
            false => self.release_or_resume(now, key, true),
        }
    }
}
