//! So many lines of a plugin's in the log each second, over all its instances.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Lets so many lines a second pass.
#[derive(Debug)]
pub(crate) struct LineLimit {
    most: u32,
    window: Mutex<Window>,
}

/// One second's lines.
#[derive(Debug)]
struct Window {
    began: Instant,
    written: u32,
    /// In this second, and not told of yet.
    dropped_now: u64,
    /// Ever.
    dropped: u64,
}

/// What becomes of a line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Written, after so many that were dropped in the last second that had any.
    Written { dropped_before: u64 },
    /// The first to be dropped in this second.
    FirstDropped,
    /// Dropped as others before it.
    Dropped,
}

impl LineLimit {
    /// At most `most` lines a second.
    pub(crate) fn new(most: u32) -> Self {
        Self { most, window: Mutex::new(Window::new(Instant::now())) }
    }

    /// How many lines a second pass.
    pub(crate) const fn most(&self) -> u32 {
        self.most
    }

    /// Whether a line passes now.
    pub(crate) fn admit(&self) -> Verdict {
        self.lock().judge(Instant::now(), self.most)
    }

    /// How many lines were dropped so far.
    pub(crate) fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    fn lock(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Window {
    const fn new(began: Instant) -> Self {
        Self { began, written: 0, dropped_now: 0, dropped: 0 }
    }

    fn judge(&mut self, now: Instant, most: u32) -> Verdict {
        let mut dropped_before = 0;
        if now.saturating_duration_since(self.began) >= Duration::from_secs(1) {
            dropped_before = std::mem::take(&mut self.dropped_now);
            (self.began, self.written) = (now, 0);
        }
        if self.written < most {
            self.written += 1;
            return Verdict::Written { dropped_before };
        }
        self.dropped_now += 1;
        self.dropped += 1;
        if self.dropped_now == 1 { Verdict::FirstDropped } else { Verdict::Dropped }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_so_many_lines_and_the_next_tells_how_many_were_dropped() {
        let start = Instant::now();
        let mut window = Window::new(start);
        let judge = |window: &mut Window, ms| window.judge(start + Duration::from_millis(ms), 2);
        let written = |dropped_before| Verdict::Written { dropped_before };
        assert_eq!(judge(&mut window, 0), written(0));
        assert_eq!(judge(&mut window, 10), written(0));
        assert_eq!(judge(&mut window, 20), Verdict::FirstDropped);
        assert_eq!(judge(&mut window, 999), Verdict::Dropped);
        assert_eq!(judge(&mut window, 1_000), written(2));
        assert_eq!(judge(&mut window, 1_001), written(0));
        assert_eq!(judge(&mut window, 1_002), Verdict::FirstDropped);
        assert_eq!(judge(&mut window, 5_000), written(1));
        assert_eq!(window.dropped, 3);
    }
}
