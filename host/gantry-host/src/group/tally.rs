//! What is done for each topic, counted where it is done: without a lock, once a pull or batch.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use arc_swap::ArcSwap;

/// Counters of one topic since the start.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pulls: AtomicU64,
    pulled: AtomicU64,
    pull_micros: AtomicU64,
    calls: AtomicU64,
    call_micros: AtomicU64,
    succeeded: AtomicU64,
    failed: AtomicU64,
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Pulls that brought messages.
    pub(super) pulls: u64,
    /// Messages they brought.
    pub(super) pulled: u64,
    /// How long they took in all.
    pub(super) pull_micros: u64,
    /// Batches listeners have answered.
    pub(super) calls: u64,
    /// How long they took in all.
    pub(super) call_micros: u64,
    /// Messages answered with success.
    pub(super) succeeded: u64,
    /// Messages answered otherwise.
    pub(super) failed: u64,
}

impl Tally {
    /// A pull has brought messages.
    pub(super) fn pulled(&self, messages: usize, took: Duration) {
        self.pulls.fetch_add(1, Relaxed);
        self.pulled.fetch_add(messages as u64, Relaxed);
        self.pull_micros.fetch_add(micros(took), Relaxed);
    }

    /// A listener has answered batches.
    pub(super) fn consumed(&self, batches: u64, succeeded: u64, failed: u64, took: Duration) {
        self.calls.fetch_add(batches, Relaxed);
        self.call_micros.fetch_add(micros(took), Relaxed);
        self.succeeded.fetch_add(succeeded, Relaxed);
        self.failed.fetch_add(failed, Relaxed);
    }

    fn counts(&self) -> Counts {
        Counts {
            pulls: self.pulls.load(Relaxed),
            pulled: self.pulled.load(Relaxed),
            pull_micros: self.pull_micros.load(Relaxed),
            calls: self.calls.load(Relaxed),
            call_micros: self.call_micros.load(Relaxed),
            succeeded: self.succeeded.load(Relaxed),
            failed: self.failed.load(Relaxed),
        }
    }
}

/// The counters of a group's topics. There are as many as it has met.
#[derive(Debug, Default)]
pub(super) struct Tallies(ArcSwap<BTreeMap<Arc<str>, Arc<Tally>>>);

impl Tallies {
    /// The counters of a topic, the retry topic for itself.
    pub(super) fn of(&self, topic: &Arc<str>) -> Arc<Tally> {
        if let Some(known) = self.0.load().get(topic) {
            return Arc::clone(known);
        }
        let new = Arc::<Tally>::default();
        let before = self.0.rcu(|tallies| {
            let mut tallies = BTreeMap::clone(tallies);
            tallies.entry(Arc::clone(topic)).or_insert_with(|| Arc::clone(&new));
            tallies
        });
        before.get(topic).cloned().unwrap_or(new)
    }

    /// All of them at this moment.
    pub(super) fn counts(&self) -> BTreeMap<Arc<str>, Counts> {
        self.0.load().iter().map(|(topic, tally)| (Arc::clone(topic), tally.counts())).collect()
    }
}

fn micros(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_topic_is_counted_for_itself() {
        let tallies = Tallies::default();
        let (one, two) = ("one".into(), "two".into());
        tallies.of(&one).pulled(3, Duration::from_millis(2));
        tallies.of(&two).consumed(1, 1, 2, Duration::from_millis(5));
        tallies.of(&one).pulled(4, Duration::from_millis(1));
        let counts = tallies.counts();
        assert_eq!(counts[&one], Counts { pulls: 2, pulled: 7, pull_micros: 3_000, ..Counts::default() });
        let consumed = Counts { calls: 1, succeeded: 1, failed: 2, call_micros: 5_000, ..Counts::default() };
        assert_eq!(counts[&two], consumed);
    }
}
