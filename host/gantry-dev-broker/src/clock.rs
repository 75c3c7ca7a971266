use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The broker's only source of time, so that a test can let leases and memberships expire.
#[derive(Debug)]
pub(crate) struct Clock {
    start: Instant,
    /// Added to both readings, in milliseconds.
    advanced: AtomicI64,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now(), advanced: AtomicI64::new(0) }
    }

    /// Milliseconds since the Unix epoch: for what is stored or sent.
    pub(crate) fn wall_ms(&self) -> i64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        millis(now.as_millis()) + self.advanced.load(Ordering::Relaxed)
    }

    /// Milliseconds since the broker started, never going back: for leases and expiry.
    pub(crate) fn ticks_ms(&self) -> i64 {
        millis(self.start.elapsed().as_millis()) + self.advanced.load(Ordering::Relaxed)
    }

    /// Lets time jump forward.
    pub(crate) fn advance(&self, by: std::time::Duration) {
        self.advanced.fetch_add(millis(by.as_millis()), Ordering::Relaxed);
    }
}

/// Milliseconds of a duration as the signed number the protocol uses.
pub(crate) fn millis(value: u128) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
