//! The end of a group: nothing new is popped, what waits is given back, what is at listeners is waited for and settled.

use std::time::{Duration, Instant};

use super::{Life, PopConsumerGroup, Timer};
use crate::action::Action;
use crate::id::QueueKey;
use crate::status::TerminationReport;

/// How long the last settlements may take, with all their tries.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(3);

impl PopConsumerGroup {
    /// Ends the group: stops popping, gives back what waits, waits up to `grace` for what is at listeners, settles it, leaves
    /// the group at the brokers. [`Action::Terminated`] comes at the latest some seconds after the grace period. Called again
    /// with less grace, it hurries.
    pub fn shut_down(&mut self, now: Instant, grace: Duration) {
        let wanted = now + grace;
        match &mut self.life {
            Life::Settling(_) | Life::Terminated => return,
            Life::Draining { deadline } => *deadline = wanted.min(*deadline),
            Life::Running => self.life = Life::Draining { deadline: wanted },
        }
        self.timers.disarm(Timer::Assign);
        self.timers.disarm(Timer::Routes);
        self.timers.arm_no_later(Timer::Deadline, wanted);
        let keys: Vec<QueueKey> = self.queues.keys().copied().collect();
        for key in keys {
            self.drop_queue(now, key);
        }
        self.end_if_settled();
    }

    /// The wait for listeners, or for the last settlements, is over.
    pub(super) fn hurry_end(&mut self, now: Instant) {
        match &mut self.life {
            Life::Draining { .. } => {
                let left = self.batches.values().filter(|batch| batch.results.is_none());
                let unsettled = left.map(|batch| batch.popped.len()).sum();
                let batches_running = std::mem::take(&mut self.at_listeners);
                self.batches.retain(|_, batch| batch.results.is_some());
                self.life = Life::Settling(TerminationReport {
                    unsettled,
                    batches_running,
                    ..TerminationReport::default()
                });
                self.timers.arm(Timer::Deadline, now + SETTLE_TIMEOUT);
                self.end_if_settled();
            }
            Life::Settling(_) => self.terminate(),
            Life::Running | Life::Terminated => {}
        }
    }

    /// Settlements that failed are not waited for: the broker delivers their messages again.
    pub(super) fn end_if_settled(&mut self) {
        let idle = self.batches.is_empty() && self.settlements.busy() == 0;
        if idle && matches!(self.life, Life::Draining { .. } | Life::Settling(_)) {
            self.terminate();
        }
    }

    fn terminate(&mut self) {
        let mut report = match std::mem::replace(&mut self.life, Life::Terminated) {
            Life::Settling(report) => report,
            _ => TerminationReport::default(),
        };
        report.unsettled += self.settlements.busy() + self.settlements.delayed();
        self.timers.clear();
        if self.heartbeats.ever_sent {
            self.out.push_back(Action::Unregister);
        }
        self.out.push_back(Action::Terminated(report));
    }
}
