//! Orderly groups: results in the order of the messages, up to the first that is no success (RocketMQ:
//! ConsumeMessageOrderlyService).
//!
//! RocketMQ's listener answers for the whole batch, and a message that fails is tried again in place for ever unless
//! `maxReconsumeTimes` is set. Here the success prefix is settled, the message that failed is tried again in place up to
//! its `max_reconsume_times`, and then goes to the dead-letter topic; in a broadcasting group it is dropped.

use std::time::{Duration, Instant};

use gantry_protocol::delay_level;

use super::ConsumerGroup;
use crate::id::QueueKey;
use crate::input::{RetryDelay, Settlement};
use crate::places::Seq;
use crate::running::RunningBatch;

/// RocketMQ's bounds of suspendCurrentQueueTimeMillis.
const SHORTEST_SUSPENSION: Duration = Duration::from_millis(10);
const LONGEST_SUSPENSION: Duration = Duration::from_secs(30);

impl ConsumerGroup {
    pub(super) fn settle_in_order(
        &mut self,
        now: Instant,
        key: QueueKey,
        batch: &RunningBatch,
        mut settlements: Vec<Settlement>,
    ) {
        if settlements.len() != batch.places.len() {
            self.wrong_count(batch, settlements.len());
            settlements = vec![Settlement::ReconsumeLater(RetryDelay::ByAttempts)];
        }
        let good = settlements.iter().take_while(|settlement| **settlement == Settlement::Success).count();
        let failed = settlements.into_iter().nth(good);
        let mut places = batch.places.iter();
        for seq in places.by_ref().take(good) {
            self.settle(key, batch, seq, Settlement::Success);
        }
        let (Some(head), Some(failed)) = (places.next(), failed) else { return };
        self.hold_or_give_up(now, key, batch, head, failed);
        if let Some(queue) = self.queues.get_mut(&key) {
            places.for_each(|seq| queue.window.put_back(seq));
        }
        self.route_queue_anew(key);
    }

    fn hold_or_give_up(
        &mut self,
        now: Instant,
        key: QueueKey,
        batch: &RunningBatch,
        seq: Seq,
        failed: Settlement,
    ) {
        let suspend = self.config.suspend_current_queue_time;
        let Some(queue) = self.queues.get_mut(&key) else { return };
        let Some(message) = queue.window.get(seq) else { return };
        let here = queue.head_retries.filter(|(head, _)| *head == seq).map_or(0, |(_, times)| times);
        let times = i64::from(message.reconsume_times()) + i64::from(here);
        let delay = match failed {
            Settlement::ReconsumeLater(delay) if times < i64::from(batch.max_reconsume_times) => delay,
            Settlement::DeadLetter(reason) => {
                return self.settle(key, batch, seq, Settlement::DeadLetter(reason));
            }
            _ => {
                let reason = format!("it failed {} times", times + 1);
                return self.settle(key, batch, seq, Settlement::DeadLetter(reason));
            }
        };
        queue.head_retries = Some((seq, here + 1));
        queue.suspended_until = Some(now + suspension(delay, suspend));
        queue.window.put_back(seq);
        self.stats.retried_in_place += 1;
    }
}

/// How long a queue waits before its head is given out again.
fn suspension(delay: RetryDelay, by_attempts: Duration) -> Duration {
    let asked = match delay {
        RetryDelay::ByAttempts => by_attempts,
        RetryDelay::Level(level) => {
            Duration::from_millis(delay_level::delay_ms(i32::from(level).clamp(1, delay_level::MAX_LEVEL)))
        }
        RetryDelay::Millis(ms) => Duration::from_millis(ms),
    };
    asked.clamp(SHORTEST_SUSPENSION, LONGEST_SUSPENSION)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_waits_as_long_as_asked_within_rocketmqs_bounds() {
        let ms = Duration::from_millis;
        for (delay, expected) in [
            (RetryDelay::ByAttempts, 1_000),
            (RetryDelay::Level(0), 1_000),
            (RetryDelay::Level(3), 10_000),
            (RetryDelay::Level(18), 30_000),
            (RetryDelay::Millis(1), 10),
            (RetryDelay::Millis(2_500), 2_500),
            (RetryDelay::Millis(u64::MAX), 30_000),
        ] {
            assert_eq!(suspension(delay, ms(1_000)), ms(expected), "{delay:?}");
        }
    }
}
