//! How many calls of a listener are handed over as one batch: one, and twice as many each time a batch comes back soon and
//! with nothing but successes. So what handing over costs is shared where calls are quick, and a slow call has nothing
//! behind it.

use std::time::Duration;

/// A batch that comes back within this time has come back soon.
const SOON: Duration = Duration::from_millis(20);
/// Most messages in a batch of several calls.
const MOST_MESSAGES: usize = 256;

/// What is known of one listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Together {
    calls: usize,
    most: usize,
}

impl Together {
    /// Nothing is known yet. `most` bounds the calls of a batch.
    pub(crate) fn new(most: u32) -> Self {
        Self { calls: 1, most: most.max(1) as usize }
    }

    /// How many messages a batch may have, with so many in a call.
    pub(crate) fn messages(self, call_size: usize) -> usize {
        let calls = self.calls.min(MOST_MESSAGES / call_size.max(1)).max(1);
        calls.saturating_mul(call_size)
    }

    /// A batch has come back whole after so long.
    pub(crate) fn learn(&mut self, took: Duration, succeeded: bool) {
        self.calls = match (succeeded, took <= SOON) {
            (false, _) => 1,
            (true, false) => (self.calls / 2).max(1),
            (true, true) => (self.calls * 2).min(self.most),
        };
    }

    /// Forgets what is known.
    pub(crate) fn forget(&mut self) {
        self.calls = 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quick_successes_are_handed_over_together_and_nothing_else() {
        let (soon, late) = (SOON, SOON + Duration::from_millis(1));
        let mut together = Together::new(20);
        let mut calls = |took, succeeded| {
            together.learn(took, succeeded);
            together.messages(1)
        };
        assert_eq!([0; 6].map(|_| calls(soon, true)), [2, 4, 8, 16, 20, 20]);
        assert_eq!([0; 3].map(|_| calls(late, true)), [10, 5, 2]);
        assert_eq!(calls(soon, true), 4);
        assert_eq!(calls(soon, false), 1);
        assert_eq!([0; 2].map(|_| calls(late, true)), [1, 1]);
        together.learn(soon, true);
        together.forget();
        assert_eq!(together, Together::new(20));
    }

    #[test]
    fn a_batch_of_several_calls_is_bounded_in_messages() {
        let mut together = Together::new(32);
        (0..9).for_each(|_| together.learn(Duration::ZERO, true));
        let table = [(1, 32), (2, 64), (8, 256), (9, 252), (32, 256), (129, 129), (256, 256), (1024, 1024)];
        for (call_size, messages) in table {
            assert_eq!(together.messages(call_size), messages, "{call_size} in a call");
        }
        let one = Together::new(1);
        assert_eq!((one.messages(1), one.messages(700)), (1, 700));
    }
}
