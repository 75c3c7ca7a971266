//! Heartbeats: that the brokers know of a group, and when they are to hear of it again.

use std::time::{Duration, Instant};

use crate::backoff::{ANSWER_OVERDUE, Backoff};
use crate::input::HeartbeatOutcome;

const FAILED: Backoff = Backoff { first: Duration::from_secs(1), most: Duration::from_secs(5) };

/// A broker must have the group's heartbeat before it answers pulls, and before it counts this client a member.
#[derive(Debug, Default)]
pub(crate) struct Heartbeats {
    /// Since when an answer is waited for.
    in_flight: Option<Instant>,
    /// Something changed since the one in flight was sent.
    again: bool,
    /// The brokers know the present subscriptions.
    pub(crate) announced: bool,
    /// A broker may have heard of this client.
    pub(crate) ever_sent: bool,
    failures: u32,
}

/// What follows from an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    /// When the next heartbeat is due.
    pub(crate) next: Instant,
    /// The brokers know the present subscriptions, which they did not before.
    pub(crate) announced: bool,
    /// No broker took it, which is to be said: when it is tried again.
    pub(crate) failed: Option<Duration>,
    /// Another one is wanted at once.
    pub(crate) again: bool,
}

impl Heartbeats {
    /// A heartbeat is about to leave: when its answer is overdue.
    ///
    /// # Errors
    /// One is on its way already; another follows its answer, at the latest at this time.
    pub(crate) fn start(&mut self, now: Instant) -> Result<Instant, Instant> {
        if let Some(overdue) = self.in_flight.map(|since| since + ANSWER_OVERDUE)
            && now < overdue
        {
            self.again = true;
            return Err(overdue);
        }
        self.in_flight = Some(now);
        self.ever_sent = true;
        Ok(now + ANSWER_OVERDUE)
    }

    /// How one went. `interval` is that of heartbeats when all is well.
    pub(crate) fn answered(
        &mut self,
        now: Instant,
        outcome: HeartbeatOutcome,
        interval: Duration,
        random: &mut fastrand::Rng,
    ) -> Heard {
        self.in_flight = None;
        let again = std::mem::take(&mut self.again);
        if outcome == HeartbeatOutcome::Failed {
            self.failures = self.failures.saturating_add(1);
            let retry_in = FAILED.after(self.failures, random);
            let failed = self.failures.is_power_of_two().then_some(retry_in);
            return Heard { next: now + retry_in, announced: false, failed, again };
        }
        self.failures = 0;
        let next = match outcome {
            HeartbeatOutcome::Accepted => interval,
            _ => FAILED.most.min(interval),
        };
        // What was sent is outdated where another one is wanted.
        let announced = !again && !std::mem::replace(&mut self.announced, true);
        Heard { next: now + next, announced, failed: None, again }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_heartbeat_is_on_its_way_at_a_time_and_a_change_meanwhile_wants_another() {
        let now = Instant::now();
        let (mut random, interval) = (fastrand::Rng::with_seed(1), Duration::from_secs(30));
        let mut beats = Heartbeats::default();
        assert_eq!(beats.start(now), Ok(now + ANSWER_OVERDUE));
        assert_eq!(beats.start(now), Err(now + ANSWER_OVERDUE));
        let first = beats.answered(now, HeartbeatOutcome::Accepted, interval, &mut random);
        assert!(first.again && !first.announced, "{first:?}");
        assert!(beats.start(now).is_ok());
        let second = beats.answered(now, HeartbeatOutcome::Accepted, interval, &mut random);
        assert_eq!(second, Heard { next: now + interval, announced: true, failed: None, again: false });
        assert!(beats.start(now).is_ok());
        assert!(beats.start(now + ANSWER_OVERDUE).is_ok(), "an answer that got lost is not waited for");
        let third = beats.answered(now, HeartbeatOutcome::Failed, interval, &mut random);
        assert!(third.failed.is_some() && third.next < now + interval, "{third:?}");
    }
}
