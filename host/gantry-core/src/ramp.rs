//! The ramp after a queue was taken over, so that its backlog does not reach what is behind the listeners at once: a token
//! bucket whose rate doubles every second until it is lifted.

use std::time::{Duration, Instant};

/// Messages that may be given out at once, as a share of the rate: a tenth of a second's.
const BURST: f64 = 0.1;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Ramp {
    since: Instant,
    until: Instant,
    /// Messages per second in the beginning.
    rate: f64,
    used: u64,
}

impl Ramp {
    /// None where there is no time to hold anything back.
    pub(crate) fn new(now: Instant, rate: u32, duration: Duration) -> Option<Self> {
        let ramp = Self { since: now, until: now + duration, rate: f64::from(rate), used: 0 };
        (!duration.is_zero()).then_some(ramp)
    }

    /// Counts its time from now: the queue has only now been got.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.until = now + self.until.saturating_duration_since(self.since);
        self.since = now;
    }

    /// How many messages may be given out now; none when the ramp is over.
    pub(crate) fn allows(&self, now: Instant) -> Option<usize> {
        if now >= self.until {
            return None;
        }
        let seconds = now.saturating_duration_since(self.since).as_secs_f64();
        let admitted = self.burst() + self.rate * (seconds.exp2() - 1.0) / std::f64::consts::LN_2;
        Some((admitted as u64).saturating_sub(self.used) as usize)
    }

    pub(crate) fn used(&mut self, messages: usize) {
        self.used += messages as u64;
    }

    /// When the next message may be given out.
    pub(crate) fn next(&self) -> Instant {
        let wanted = (self.used as f64 + 1.0 - self.burst()).max(0.0);
        let seconds = (1.0 + wanted * std::f64::consts::LN_2 / self.rate).log2();
        let wait = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::ZERO);
        (self.since + wait + Duration::from_millis(1)).min(self.until)
    }

    fn burst(&self) -> f64 {
        (self.rate * BURST).max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_doubles_every_second_until_the_ramp_is_over() {
        let start = Instant::now();
        let mut ramp = Ramp::new(start, 1000, Duration::from_secs(3)).unwrap();
        let mut given = Vec::new();
        for tenth in 0..30 {
            let now = start + Duration::from_millis(100 * tenth);
            let allowed = ramp.allows(now).unwrap();
            ramp.used(allowed);
            given.push(allowed);
        }
        assert_eq!(given[0], 100);
        let seconds: Vec<usize> = given.chunks(10).map(|second| second.iter().sum()).collect();
        assert!(seconds[1] > 18 * seconds[0] / 10 && seconds[2] > 19 * seconds[1] / 10, "{seconds:?}");
        assert_eq!(ramp.allows(start + Duration::from_secs(3)), None);
    }

    #[test]
    fn it_says_when_the_next_message_may_go() {
        let start = Instant::now();
        for rate in [1, 7, 1000] {
            let mut ramp = Ramp::new(start, rate, Duration::from_secs(5)).unwrap();
            let mut now = start;
            while now < start + Duration::from_secs(5) {
                if let Some(allowed) = ramp.allows(now) {
                    assert!(allowed > 0, "at {:?} with {rate} a second", now - start);
                    ramp.used(allowed);
                }
                now = ramp.next();
            }
        }
    }

    #[test]
    fn no_time_is_no_ramp() {
        assert!(Ramp::new(Instant::now(), 1000, Duration::ZERO).is_none());
    }
}
