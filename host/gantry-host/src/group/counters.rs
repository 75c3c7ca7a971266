//! What a listener has done since it joined, whichever version did it: counted once a call, without a lock.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use gantry_engine::Cause;

use crate::observer::SettledAs;
use crate::status::Outcomes;

/// How messages end, by name.
pub(crate) const OUTCOMES: [&str; 4] = ["success", "reconsume-later", "dead-letter", "dropped"];
/// Why they do: the engine's names, and the host's own for a body that cannot be read.
pub(crate) const CAUSES: [&str; 12] = [
    "answered",
    "answered-alone",
    "settled",
    "trap",
    "deadline",
    "memory-exceeded",
    "wrong-count",
    "listener-error",
    "not-run",
    "no-instance",
    "host-panic",
    "corrupt-body",
];
/// Upper bounds of the histogram of batches by what they took, in seconds.
pub(crate) const BUCKETS: [f64; 14] =
    [0.000_01, 0.000_05, 0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 300.0];

type Matrix<T> = [[T; CAUSES.len()]; OUTCOMES.len()];

/// Messages of one batch by outcome and cause, before they are added.
#[derive(Debug, Default)]
pub(super) struct BatchCounts {
    /// Successes that were answered: nearly all there are.
    consumed: u64,
    /// The others.
    others: Option<Box<Matrix<u64>>>,
    failed: u64,
}

impl BatchCounts {
    /// A message has ended so; without a cause, because its body cannot be read. `failed` says that the listener did not
    /// answer for itself.
    pub(super) fn add(&mut self, as_: &SettledAs, cause: Option<&Cause>, failed: bool) {
        self.failed += u64::from(failed);
        let outcome = match as_ {
            SettledAs::Success if cause == Some(&Cause::Answered) => {
                self.consumed += 1;
                return;
            }
            SettledAs::Success => 0,
            SettledAs::ReconsumeLater { .. } => 1,
            SettledAs::DeadLetter { .. } => 2,
            SettledAs::Dropped { .. } => 3,
        };
        let name = cause.map_or("corrupt-body", Cause::name);
        let place = CAUSES.iter().position(|known| *known == name);
        let others = self.others.get_or_insert_default();
        let cell = place.and_then(|place| others.get_mut(outcome)?.get_mut(place));
        if let Some(cell) = cell {
            *cell += 1;
        }
    }

    /// The same without causes.
    pub(super) fn outcomes(&self) -> Outcomes {
        let sums = self.others.as_ref().map(|others| others.map(|causes| causes.iter().sum::<u64>()));
        let [others, reconsumed, dead_lettered, dropped] = sums.unwrap_or_default();
        let succeeded = self.consumed + others;
        Outcomes { succeeded, reconsumed, dead_lettered, dropped, failed: self.failed }
    }
}

/// Calls in which each message was answered with success, which nearly all are, before they are added.
#[derive(Debug, Default)]
pub(super) struct Successes {
    pub(super) calls: u64,
    pub(super) messages: u64,
    pub(super) took: Duration,
    buckets: [u64; BUCKETS.len()],
}

impl Successes {
    /// How many calls like these take about so long; any number where there are none.
    pub(super) fn within(&self, time: Duration) -> usize {
        let calls = time.as_nanos().saturating_mul(self.calls.into()).checked_div(self.took.as_nanos());
        calls.map_or(usize::MAX, |calls| usize::try_from(calls).unwrap_or(usize::MAX))
    }

    /// A call has ended so.
    pub(super) fn add(&mut self, messages: usize, took: Duration) {
        self.calls += 1;
        self.messages += messages as u64;
        self.took += took;
        if let Some(bucket) = bucket_of(took).and_then(|place| self.buckets.get_mut(place)) {
            *bucket += 1;
        }
    }
}

fn bucket_of(took: Duration) -> Option<usize> {
    BUCKETS.iter().position(|bound| took.as_secs_f64() <= *bound)
}

fn micros(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
}

/// The counters of one listener.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    ended: Matrix<AtomicU64>,
    failed: AtomicU64,
    batches: AtomicU64,
    calls: AtomicU64,
    instances_lost: AtomicU64,
    micros: AtomicU64,
    buckets: [AtomicU64; BUCKETS.len()],
}

impl Counters {
    /// A batch has ended.
    pub(super) fn batch(&self, counts: &BatchCounts, calls: u32, instances_lost: u32, took: Duration) {
        let [[answered_successes, ..], ..] = &self.ended;
        answered_successes.fetch_add(counts.consumed, Relaxed);
        if let Some(others) = &counts.others {
            let cells = self.ended.iter().flatten().zip(others.iter().flatten());
            for (cell, more) in cells.filter(|(_, more)| **more > 0) {
                cell.fetch_add(*more, Relaxed);
            }
        }
        self.failed.fetch_add(counts.failed, Relaxed);
        self.batches.fetch_add(1, Relaxed);
        self.calls.fetch_add(calls.into(), Relaxed);
        self.instances_lost.fetch_add(instances_lost.into(), Relaxed);
        self.micros.fetch_add(micros(took), Relaxed);
        if let Some(bucket) = bucket_of(took).and_then(|place| self.buckets.get(place)) {
            bucket.fetch_add(1, Relaxed);
        }
    }

    /// Calls have ended with nothing but successes.
    pub(super) fn successes(&self, successes: &Successes) {
        let [[answered_successes, ..], ..] = &self.ended;
        answered_successes.fetch_add(successes.messages, Relaxed);
        self.batches.fetch_add(successes.calls, Relaxed);
        self.calls.fetch_add(successes.calls, Relaxed);
        self.micros.fetch_add(micros(successes.took), Relaxed);
        let buckets = self.buckets.iter().zip(successes.buckets);
        for (bucket, more) in buckets.filter(|(_, more)| *more > 0) {
            bucket.fetch_add(more, Relaxed);
        }
    }

    /// Messages by how they ended.
    pub(crate) fn outcomes(&self) -> Outcomes {
        let sum = |causes: &[AtomicU64]| causes.iter().map(|cell| cell.load(Relaxed)).sum();
        let [succeeded, reconsumed, dead_lettered, dropped] = self.ended.each_ref().map(|causes| sum(causes));
        Outcomes { succeeded, reconsumed, dead_lettered, dropped, failed: self.failed.load(Relaxed) }
    }

    /// Messages by outcome and cause, where there are any.
    pub(crate) fn by_cause(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        let rows = OUTCOMES.iter().zip(&self.ended);
        let cells = rows.flat_map(|(outcome, causes)| {
            CAUSES.iter().zip(causes).map(|(cause, cell)| (*outcome, *cause, cell.load(Relaxed)))
        });
        cells.filter(|(_, _, messages)| *messages > 0)
    }

    /// Batches, calls, and instances lost.
    pub(crate) fn work(&self) -> (u64, u64, u64) {
        (self.batches.load(Relaxed), self.calls.load(Relaxed), self.instances_lost.load(Relaxed))
    }

    /// What batches took: seconds in all, their number, and how many are in each bucket, the last without a bound.
    pub(crate) fn durations(&self) -> (f64, u64, Vec<(f64, u64)>) {
        let batches = self.batches.load(Relaxed);
        let mut buckets: Vec<_> =
            BUCKETS.iter().zip(&self.buckets).map(|(bound, count)| (*bound, count.load(Relaxed))).collect();
        let within: u64 = buckets.iter().map(|(_, count)| count).sum();
        buckets.push((f64::MAX, batches.saturating_sub(within)));
        (self.micros.load(Relaxed) as f64 / 1e6, batches, buckets)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use gantry_engine::GuestFailure;

    use super::*;

    #[test]
    fn messages_are_counted_by_outcome_and_cause_and_batches_by_what_they_took() {
        let (counters, mut counts) = (Counters::default(), BatchCounts::default());
        let trap = Arc::new(GuestFailure::Trap { reason: "unreachable".into(), last_words: None });
        let later = SettledAs::ReconsumeLater { level: 0 };
        counts.add(&SettledAs::Success, Some(&Cause::AnsweredAlone), false);
        counts.add(&later, Some(&Cause::FailedAlone(trap)), true);
        counts.add(&later, None, true);
        let expected = Outcomes { succeeded: 1, reconsumed: 2, failed: 2, ..Outcomes::default() };
        assert_eq!(counts.outcomes(), expected);
        counters.batch(&counts, 4, 2, Duration::from_millis(3));
        counters.batch(&BatchCounts::default(), 1, 0, Duration::from_secs(3_000));
        assert_eq!(counters.outcomes(), expected);
        let by_cause: Vec<_> = counters.by_cause().collect();
        let cells = [
            ("success", "answered-alone", 1),
            ("reconsume-later", "trap", 1),
            ("reconsume-later", "corrupt-body", 1),
        ];
        assert_eq!(by_cause, cells);
        assert_eq!(counters.work(), (2, 5, 2));
        let (seconds, batches, buckets) = counters.durations();
        assert_eq!((batches, buckets[5], buckets[14]), (2, (0.005, 1), (f64::MAX, 1)));
        assert!((seconds - 3_000.003).abs() < 1e-6);
    }

    #[test]
    fn successes_count_together_as_they_would_one_by_one() {
        let (together, one_by_one, mut successes) =
            (Counters::default(), Counters::default(), Successes::default());
        for (messages, micros) in [(1, 7), (3, 70), (1, 7), (1, 400_000_000)] {
            let took = Duration::from_micros(micros);
            successes.add(messages, took);
            let mut counts = BatchCounts::default();
            (0..messages).for_each(|_| counts.add(&SettledAs::Success, Some(&Cause::Answered), false));
            one_by_one.batch(&counts, 1, 0, took);
        }
        together.successes(&successes);
        assert_eq!(together.outcomes(), one_by_one.outcomes());
        assert_eq!(together.work(), one_by_one.work());
        assert_eq!(together.durations(), one_by_one.durations());
        assert!(together.by_cause().eq(one_by_one.by_cause()));
    }
}
