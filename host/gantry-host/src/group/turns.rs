//! The calls that one guest thread makes of a hand-over, one after the other: when another may begin, and what becomes of the last.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use gantry_engine::{BatchReport, Calls as _, QUICK, Series};

use super::hand_over::HandOver;
use super::listener::Call;

/// Bytes of messages that go into a guest together, where they are those of several calls.
const MOST_BYTES: usize = 256 << 10;
/// There is no call at hand.
const NONE: usize = usize::MAX;

/// Of one thread. What changes is shared with nobody, but for who holds the other end of the series: the guest's store.
pub(super) struct Turns {
    hand_over: Arc<HandOver>,
    call: AtomicUsize,
    ran: AtomicUsize,
    /// Nanoseconds of all calls together.
    spent: AtomicU64,
}

impl Turns {
    /// The first call has begun.
    pub(super) fn new(hand_over: Arc<HandOver>, first: usize) -> Self {
        Self { hand_over, call: AtomicUsize::new(first), ran: AtomicUsize::new(0), spent: AtomicU64::new(0) }
    }

    /// The call at hand.
    pub(super) fn at_hand(&self) -> Option<usize> {
        Some(self.call.load(Ordering::Relaxed)).filter(|call| *call != NONE)
    }

    /// How many messages it has.
    pub(super) fn messages(&self) -> usize {
        self.at_hand().map_or(0, |call| self.hand_over.range(call).len())
    }

    /// How many calls have ended.
    pub(super) fn ran(&self) -> usize {
        self.ran.load(Ordering::Relaxed)
    }

    /// The call at hand has ended so. `tried` is the version that ran it, where it is one on trial.
    pub(super) fn take(&self, tried: Option<&Call>, report: BatchReport) -> Option<Range<usize>> {
        let took = report.took;
        self.go_on(took, |call| self.hand_over.ended(call, tried, report))
    }

    /// Tells of the call at hand, and begins another unless they have taken long enough.
    fn go_on(&self, took: Duration, tell: impl FnOnce(usize)) -> Option<Range<usize>> {
        let call = self.at_hand()?;
        // What panics on the way is not told of twice.
        self.call.store(NONE, Ordering::Relaxed);
        self.ran.store(self.ran() + 1, Ordering::Relaxed);
        tell(call);
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let spent = self.spent.load(Ordering::Relaxed).saturating_add(took);
        self.spent.store(spent, Ordering::Relaxed);
        if u128::from(spent) >= QUICK.as_nanos() {
            return None;
        }
        let next = self.hand_over.begin()?;
        self.call.store(next, Ordering::Relaxed);
        Some(self.hand_over.range(next))
    }
}

impl Series for Turns {
    fn end(&self) -> usize {
        self.at_hand().map_or(0, |call| self.hand_over.end_of_series(call, MOST_BYTES))
    }

    fn consumed(&self, took: Duration) -> Option<Range<usize>> {
        self.go_on(took, |call| self.hand_over.succeeded(call, took))
    }

    fn ended(&self, report: BatchReport) -> Option<Range<usize>> {
        self.take(None, report)
    }
}
