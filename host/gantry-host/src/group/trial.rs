//! A version on trial as a canary: it gets its share of the batches, until it has crashed too often in a row.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use gantry_engine::{Figures, Lease, ListenerModule, Record, Retired, Slot};

use super::chooser::Chooser;

/// The candidate, and how batches are chosen for it.
#[derive(Debug)]
pub(crate) struct Trial {
    slot: Slot,
    record: Arc<Record>,
    share: Chooser,
    crash_streak: u64,
    tripped: AtomicBool,
}

impl Trial {
    /// A trial of `module`, which ends at once after `crash_streak` fatal batches in a row.
    pub(crate) fn new(module: ListenerModule, share: Chooser, crash_streak: u64) -> Self {
        let slot = Slot::new();
        slot.switch(module);
        let record = slot.serving(|generation| Arc::clone(generation.record())).unwrap_or_default();
        Self { slot, record, share, crash_streak, tripped: AtomicBool::new(false) }
    }

    /// The candidate, if this batch is for it.
    pub(super) fn lease(&self, topic: &Arc<str>, broker_name: &Arc<str>, queue_id: u32) -> Option<Lease> {
        if self.tripped.load(Relaxed) || !self.share.picks(topic, broker_name, queue_id) {
            return None;
        }
        self.slot.lease()
    }

    /// A batch of the candidate's has ended, its so-manieth fatal one in a row.
    pub(super) fn ended(&self, fatal_streak: u64) {
        if fatal_streak >= self.crash_streak {
            self.tripped.store(true, Relaxed);
        }
    }

    /// Whether it has crashed too often in a row, and gets nothing more.
    pub(crate) fn is_tripped(&self) -> bool {
        self.tripped.load(Relaxed)
    }

    /// How the candidate has done.
    pub(crate) fn figures(&self) -> Figures {
        self.record.figures()
    }

    /// What it gets, in words.
    pub(crate) fn share(&self) -> String {
        self.share.describe()
    }

    /// Ends it: the candidate finishes what it has.
    pub(super) fn end(&self) -> Option<Retired> {
        self.slot.clear()
    }
}
