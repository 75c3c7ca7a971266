//! Tells a peer that is gone without a word from one that is slow.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// One slow answer proves nothing; but when calls time out for `limit` and not a byte came meanwhile, the peer is
/// gone and the system has not noticed (a half-open connection).
#[derive(Debug)]
pub(crate) struct Silence {
    limit: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    heard: Instant,
    unanswered_since: Option<Instant>,
}

impl Silence {
    pub(crate) fn new(limit: Duration, now: Instant) -> Self {
        Self { limit, state: Mutex::new(State { heard: now, unanswered_since: None }) }
    }

    /// Bytes came.
    pub(crate) fn heard(&self, now: Instant) {
        let mut state = self.lock();
        state.heard = now;
        state.unanswered_since = None;
    }

    /// A call made at `started` was not answered in time. Returns how long the peer has been silent, once that is
    /// too long.
    pub(crate) fn timed_out(&self, started: Instant, now: Instant) -> Option<Duration> {
        let mut state = self.lock();
        if state.heard > started {
            return None;
        }
        let since = *state.unanswered_since.get_or_insert(started);
        let silent = now.saturating_duration_since(since);
        (silent >= self.limit).then_some(silent)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_peer_that_sends_anything_is_not_silent() {
        let start = Instant::now();
        let silence = Silence::new(10 * SECOND, start);
        silence.heard(start + 5 * SECOND);
        assert_eq!(silence.timed_out(start, start + 60 * SECOND), None);
    }

    #[test]
    fn short_calls_add_up_to_the_limit() {
        let start = Instant::now();
        let silence = Silence::new(10 * SECOND, start);
        let call = |from: u32| silence.timed_out(start + from * SECOND, start + (from + 3) * SECOND);
        assert_eq!(call(1), None);
        assert_eq!(call(7), None);
        assert_eq!(call(8), Some(10 * SECOND));
    }

    #[test]
    fn hearing_something_starts_the_count_again() {
        let start = Instant::now();
        let silence = Silence::new(10 * SECOND, start);
        assert_eq!(silence.timed_out(start + SECOND, start + 4 * SECOND), None);
        silence.heard(start + 5 * SECOND);
        assert_eq!(silence.timed_out(start + 9 * SECOND, start + 12 * SECOND), None);
        assert_eq!(silence.timed_out(start + 16 * SECOND, start + 19 * SECOND), Some(10 * SECOND));
    }
}
