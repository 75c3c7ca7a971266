//! A watch over progress: a queue that has messages to consume and does not move is mended where that can be, and said.

use std::time::{Duration, Instant};

use super::{ConsumerGroup, Life};
use crate::event::{Event, StuckCause};
use crate::id::{PullId, QueueKey};
use crate::input::PullOutcome;
use crate::queue::{Phase, Queue};
use crate::timer::Timer;

/// How many times in `stuck_timeout` queues are looked at.
const LOOKS: u32 = 4;
/// Alarms come at growing distances, up to this many times `stuck_timeout`.
const MOST_DISTANCE: u32 = 60;

impl ConsumerGroup {
    pub(super) fn watch_interval(&self) -> Duration {
        self.config.stuck_timeout / LOOKS
    }

    pub(super) fn watch(&mut self, now: Instant) {
        if !matches!(self.life, Life::Running) {
            return;
        }
        self.timers.arm(Timer::Watch, now + self.watch_interval());
        let keys: Vec<QueueKey> = self.queues.keys().copied().collect();
        for key in keys {
            if let Some((since, cause)) = self.stuck(now, key) {
                self.mend(now, key, cause);
                let Some(queue) = self.queues.get(&key) else { continue };
                let (mq, lag) = (queue.mq.clone(), lag(queue));
                self.stats.stuck_alarms += 1;
                self.event(Event::QueueStuck { mq, since, lag, cause });
            }
        }
    }

    /// Whether it is time to give an alarm for a queue, since when it has not moved, and what it waits for.
    fn stuck(&mut self, now: Instant, key: QueueKey) -> Option<(Duration, StuckCause)> {
        let timeout = self.config.stuck_timeout;
        let queue = self.queues.get_mut(&key).filter(|queue| !queue.revoked)?;
        let heard = queue.pull.answered.unwrap_or(queue.watch.began);
        let unheard = now.saturating_duration_since(heard);
        let silent = queue.reads()
            && queue.window.len() == 0
            && unheard > timeout + self.config.consumer_timeout_when_suspend;
        let commit = queue.offset.value();
        let idle = queue.reads() && lag(queue) == 0 && queue.window.len() == 0;
        let paused = queue.window.pending().next().is_some()
            && !queue.is_busy()
            && !queue.lanes.has_work(|listener| {
                self.subscriptions.listener(listener).filter(|listener| !listener.paused).map(|_| 1)
            });
        if !silent && (commit != queue.watch.commit || idle || paused) {
            (queue.watch.commit, queue.watch.since, queue.watch.alarms) = (commit, now, 0);
            return None;
        }
        let since = if silent { unheard } else { now.saturating_duration_since(queue.watch.since) };
        let distance = (1u32 << queue.watch.alarms.min(16)).min(MOST_DISTANCE + queue.watch.alarms);
        if since < timeout * distance {
            return None;
        }
        queue.watch.alarms = queue.watch.alarms.saturating_add(1);
        Some((since, self.stuck_cause(now, key, silent)))
    }

    fn stuck_cause(&self, now: Instant, key: QueueKey, silent: bool) -> StuckCause {
        let Some(queue) = self.queues.get(&key) else { return StuckCause::Unknown };
        let running =
            self.batches.iter().filter(|(id, _)| id.queue == key).map(|(_, batch)| batch.since).min();
        match queue.phase {
            Phase::Locking => StuckCause::Lock,
            Phase::Locating { .. } => StuckCause::Offset,
            Phase::Halted { .. } => StuckCause::Halted,
            _ if !queue.is_unlocked_for(now, self.config.lock_max_live_time) => StuckCause::Lock,
            _ if queue.suspended_until.is_some() && queue.head_retries.is_some() => StuckCause::Suspended,
            _ if running.is_some() => StuckCause::Listener(
                running.map_or(Duration::ZERO, |since| now.saturating_duration_since(since)),
            ),
            _ if queue.sending + queue.held > 0 => StuckCause::SendBack,
            _ if silent => StuckCause::Broker,
            _ => StuckCause::Unknown,
        }
    }

    fn mend(&mut self, now: Instant, key: QueueKey, cause: StuckCause) {
        let Some(queue) = self.queues.get_mut(&key) else { return };
        match cause {
            StuckCause::Lock => {
                if let Some(lock) = &mut queue.lock {
                    lock.due = lock.due.min(now);
                }
                self.arm_locks();
            }
            StuckCause::Broker => {
                let topic = queue.mq.topic.clone();
                let silent = "the broker has not answered for long".to_owned();
                if let Some(serial) = queue.pull.outstanding() {
                    self.handle_pulled(now, PullId { queue: key, serial }, PullOutcome::Failed(silent));
                }
                self.routes.hurry(now, &topic);
                self.ask_routes(now);
            }
            StuckCause::Unknown => {
                self.join_line(key);
                self.pull_if_open(now, key);
                self.rebalance_now(now);
            }
            _ => {}
        }
    }
}

fn lag(queue: &Queue) -> u64 {
    let (end, commit) = (queue.pull.max_offset, queue.offset.value());
    if end > commit { end.abs_diff(commit.max(0)) } else { 0 }
}
