//! How one generation has done so far: counted once a batch, read by whoever compares versions.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use crate::{
    failure::InstantiateError,
    isolate::{BatchReport, Cause},
    wit::ConsumeResult,
};

/// Whose fault it is that a message was not answered, and how grave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// It cost the instance, or would have: a trap, the deadline, too much memory, a start-up that fails.
    Fatal,
    /// The listener broke its contract or reported its own failure: a wrong number of results, `err`.
    Broken,
    /// The host had no instance to spare, or failed itself.
    Host,
}

impl Cause {
    /// Whose fault it is; none where the listener answered for itself, and for what was held back behind another.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        match self {
            Cause::Answered | Cause::AnsweredAlone | Cause::Settled | Cause::HeldBack => None,
            Cause::FailedAlone(failure) | Cause::BatchFailed(failure) | Cause::NotRun(failure) => {
                Some(if failure.is_fatal() { Fault::Fatal } else { Fault::Broken })
            }
            Cause::NoInstance(error) => Some(match **error {
                InstantiateError::PoolExhausted { .. } => Fault::Host,
                InstantiateError::Guest(_) | InstantiateError::Init(_) => Fault::Fatal,
            }),
            Cause::HostPanic(_) => Some(Fault::Host),
        }
    }
}

/// The counters of one generation.
#[derive(Debug, Default)]
pub struct Record {
    batches: AtomicU64,
    messages: AtomicU64,
    fatal: AtomicU64,
    broken: AtomicU64,
    later: AtomicU64,
    micros: AtomicU64,
    fatal_streak: AtomicU64,
}

/// A [`Record`] at one moment, in messages unless it says otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Figures {
    /// Batches that ended.
    pub batches: u64,
    /// Messages in them that ended; those held back behind another have not.
    pub messages: u64,
    /// Of these, those with a [`Fault::Fatal`].
    pub fatal: u64,
    /// Of these, those with a [`Fault::Broken`].
    pub broken: u64,
    /// Of these, those the listener answered with reconsume-later.
    pub later: u64,
    /// What the batches took in all, in microseconds.
    pub micros: u64,
    /// Fatal batches in a row, up to now.
    pub fatal_streak: u64,
}

impl Figures {
    /// Messages that failed through the listener's fault.
    #[must_use]
    pub const fn failed(&self) -> u64 {
        self.fatal + self.broken
    }

    /// What has happened since `earlier`; the streak is the present one.
    #[must_use]
    pub const fn since(&self, earlier: &Figures) -> Figures {
        Figures {
            batches: self.batches.saturating_sub(earlier.batches),
            messages: self.messages.saturating_sub(earlier.messages),
            fatal: self.fatal.saturating_sub(earlier.fatal),
            broken: self.broken.saturating_sub(earlier.broken),
            later: self.later.saturating_sub(earlier.later),
            micros: self.micros.saturating_sub(earlier.micros),
            fatal_streak: self.fatal_streak,
        }
    }
}

impl Record {
    /// Counts a batch that has ended. Returns how many batches in a row, with this one, had a fatal failure.
    pub fn count(&self, report: &BatchReport) -> u64 {
        let (mut messages, mut fatal, mut broken, mut later) = (0, 0, 0, 0);
        for outcome in &report.outcomes {
            messages += u64::from(outcome.cause != Cause::HeldBack);
            match outcome.cause.fault() {
                Some(Fault::Fatal) => fatal += 1,
                Some(Fault::Broken) => broken += 1,
                Some(Fault::Host) => {}
                None => {
                    let asked = matches!(outcome.result, ConsumeResult::ReconsumeLater(_));
                    later += u64::from(asked && outcome.cause != Cause::HeldBack);
                }
            }
        }
        self.batches.fetch_add(1, Relaxed);
        self.messages.fetch_add(messages, Relaxed);
        self.fatal.fetch_add(fatal, Relaxed);
        self.broken.fetch_add(broken, Relaxed);
        self.later.fetch_add(later, Relaxed);
        self.micros.fetch_add(u64::try_from(report.took.as_micros()).unwrap_or(u64::MAX), Relaxed);
        if fatal > 0 {
            return self.fatal_streak.fetch_add(1, Relaxed) + 1;
        }
        self.fatal_streak.store(0, Relaxed);
        0
    }

    /// Counts batches that have ended with nothing but answered successes.
    pub fn count_successes(&self, batches: u64, messages: u64, took: Duration) {
        self.batches.fetch_add(batches, Relaxed);
        self.messages.fetch_add(messages, Relaxed);
        self.micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Relaxed);
        self.fatal_streak.store(0, Relaxed);
    }

    /// The counters now.
    #[must_use]
    pub fn figures(&self) -> Figures {
        Figures {
            batches: self.batches.load(Relaxed),
            messages: self.messages.load(Relaxed),
            fatal: self.fatal.load(Relaxed),
            broken: self.broken.load(Relaxed),
            later: self.later.load(Relaxed),
            micros: self.micros.load(Relaxed),
            fatal_streak: self.fatal_streak.load(Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::*;
    use crate::{
        failure::GuestFailure,
        isolate::Outcome,
        wit::{ConsumeResult, RetryDelay},
    };

    fn report(causes: &[Cause]) -> BatchReport {
        let later = ConsumeResult::ReconsumeLater(RetryDelay::ByAttempts);
        let outcome = |cause: &Cause| Outcome { result: later.clone(), cause: cause.clone() };
        BatchReport {
            outcomes: causes.iter().map(outcome).collect(),
            batch_failure: None,
            calls: 1,
            instances_lost: 0,
            took: Duration::from_micros(7),
        }
    }

    #[test]
    fn faults_are_counted_by_whose_they_are() {
        let trap = Arc::new(GuestFailure::Trap { reason: "unreachable".into(), last_words: None });
        let full = Cause::NoInstance(Arc::new(InstantiateError::PoolExhausted { max: 1 }));
        let (record, err) = (Record::default(), Arc::new(GuestFailure::ListenerError(String::new())));
        let mixed = [Cause::FailedAlone(trap), Cause::Answered, full, Cause::HeldBack];
        assert_eq!(record.count(&report(&mixed)), 1);
        assert_eq!(record.count(&report(&mixed)), 2);
        assert_eq!(record.count(&report(&[Cause::BatchFailed(err)])), 0);
        let expected =
            Figures { batches: 3, messages: 7, fatal: 2, broken: 1, later: 2, micros: 21, fatal_streak: 0 };
        assert_eq!(record.figures(), expected);
        assert_eq!(record.figures().since(&expected), Figures::default());
    }
}
