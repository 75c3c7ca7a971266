//! Several calls in one crossing into the guest: what a crossing costs is most of what a call with one message does.
//!
//! A listener that takes many batches in a call (`lean-listener`) has them one after the other: when it asks for the next one
//! (`delivery.next-batch`), the one at hand has ended, as if its call had returned, and the next begins, with the time of a call of its
//! own.

use std::{ops::Range, sync::Arc, time::Duration};

use crate::isolate::BatchReport;

/// Calls with parts of one batch, one after the other, by who decides after each of them whether there is another.
///
/// Its methods are called on the guest thread while the guest waits: note what came of the call, and return.
pub trait Series: Send + Sync {
    /// Where the messages end that a crossing which is about to begin may take with it: with a call, all of it.
    fn end(&self) -> usize;

    /// The call at hand has ended after `took`, and all its messages are consumed. The messages of the next one, if there is one.
    fn consumed(&self, took: Duration) -> Option<Range<usize>>;

    /// The call at hand has ended otherwise. The messages of the next one, if there is one.
    fn ended(&self, report: BatchReport) -> Option<Range<usize>>;
}

/// How far a crossing may go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reach {
    /// The end of the messages the guest is given.
    pub(crate) end: usize,
    /// Further calls the instance may have after the first.
    pub(crate) calls: u64,
    /// What each may take.
    pub(crate) deadline: Duration,
    /// The same in ticks of the engine's epoch.
    pub(crate) ticks: u64,
}

/// A series under way in an instance.
pub(crate) struct Underway {
    pub(crate) series: Arc<dyn Series>,
    pub(crate) reach: Reach,
}

impl Reach {
    /// Whether the call with the messages of `next` can follow the one with those of `last` in the same crossing, as its call of this
    /// number.
    pub(crate) fn allows(&self, last: &Range<usize>, next: &Range<usize>, number: u64) -> bool {
        next.start >= last.end && next.end <= self.end && !next.is_empty() && number <= self.calls
    }
}
