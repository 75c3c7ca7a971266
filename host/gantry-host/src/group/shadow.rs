//! A version in the shadow: it runs on batches that the serving one has answered, on a thread of its own, and its results
//! are compared and otherwise ignored. It holds up nothing: what it has no time for is dropped.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gantry_engine::{
    BatchReport, Cause, ConsumeJob, ConsumeResult, Figures, GuestThreads, ListenerModule, MessageBatch,
    Outcome, Record, Slot,
};

use super::batch::HostBatch;
use super::chooser::Chooser;
use super::consume::Way;
use super::outcomes::failure_text;
use crate::status::{ShadowDifference, ShadowStatus};

/// Batches waiting for the shadow's thread. One beyond is dropped.
const QUEUE: usize = 4;
/// Differences kept as examples, the newest.
const EXAMPLES: usize = 20;

pub(crate) struct Shadow {
    slot: Slot,
    record: Arc<Record>,
    threads: GuestThreads,
    share: Chooser,
    agreed: AtomicU64,
    differed: AtomicU64,
    dropped: AtomicU64,
    examples: Mutex<VecDeque<ShadowDifference>>,
}

/// What a version made of one message.
enum Said {
    Answered(ConsumeResult),
    /// Why there is no answer.
    Failed(String),
    /// Nothing: it is behind a message of an ordered batch that was not consumed.
    HeldBack,
}

impl Shadow {
    /// Runs `module` on a share of the batches.
    ///
    /// # Errors
    /// The system has no thread left.
    pub(crate) fn start(module: ListenerModule, share: Chooser) -> std::io::Result<Arc<Self>> {
        let slot = Slot::new();
        slot.switch(module);
        let record = slot.serving(|generation| Arc::clone(generation.record())).unwrap_or_default();
        Ok(Arc::new(Self {
            slot,
            record,
            threads: GuestThreads::start(1, QUEUE)?,
            share,
            agreed: AtomicU64::new(0),
            differed: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            examples: Mutex::default(),
        }))
    }

    /// Has messages of the batch run again if they are among its share. `answered` is what the serving version made of them.
    pub(super) fn watch(
        self: &Arc<Self>,
        group: &Arc<str>,
        way: Way,
        batch: &Arc<HostBatch>,
        messages: Range<usize>,
        answered: &[Outcome],
    ) {
        if !self.share.picks(&way.topic, &way.broker_name, way.queue_id) {
            return;
        }
        let Some(lease) = self.slot.lease() else { return };
        let answers: Vec<Said> = answered.iter().map(Said::from).collect();
        let (this, compared) = (Arc::clone(self), Arc::clone(batch));
        let first = messages.start;
        let done = move |report: BatchReport| this.compare(&compared, first, answers, &report);
        let job = ConsumeJob {
            lease,
            consumer_group: Arc::clone(group),
            topic: way.topic,
            broker_name: way.broker_name,
            queue_id: way.queue_id,
            batch: Arc::clone(batch) as Arc<dyn MessageBatch>,
            messages,
            deadline: way.deadline,
            order: way.order,
            done: Box::new(done),
        };
        if self.threads.try_submit(job).is_err() {
            self.dropped.fetch_add(1, Relaxed);
        }
    }

    fn compare(&self, batch: &HostBatch, first: usize, answers: Vec<Said>, report: &BatchReport) {
        self.record.count(report);
        for (index, (serving, outcome)) in answers.into_iter().zip(&report.outcomes).enumerate() {
            let shadow = Said::from(outcome);
            if matches!((&serving, &shadow), (Said::HeldBack, _) | (_, Said::HeldBack)) {
                return;
            }
            if serving.kind() == shadow.kind() {
                self.agreed.fetch_add(1, Relaxed);
                continue;
            }
            self.differed.fetch_add(1, Relaxed);
            let difference = ShadowDifference {
                message_id: batch.message(first + index).message_id.to_owned(),
                serving: serving.words(),
                shadow: shadow.words(),
            };
            let mut examples = self.examples.lock().unwrap_or_else(PoisonError::into_inner);
            examples.push_back(difference);
            if examples.len() > EXAMPLES {
                examples.pop_front();
            }
        }
    }

    /// How it has done.
    pub(crate) fn status(&self) -> ShadowStatus {
        let examples = self.examples.lock().unwrap_or_else(PoisonError::into_inner);
        ShadowStatus {
            agreed: self.agreed.load(Relaxed),
            differed: self.differed.load(Relaxed),
            batches_dropped: self.dropped.load(Relaxed),
            examples: examples.iter().cloned().collect(),
        }
    }

    /// How it has done, in figures.
    pub(crate) fn figures(&self) -> Figures {
        self.record.figures()
    }

    /// Ends it, after the batch it has in hand. Blocks for `bound` at most.
    pub(crate) fn end(&self, bound: Duration) -> bool {
        self.slot.clear();
        self.threads.shutdown(bound).is_clean()
    }
}

impl From<&Outcome> for Said {
    fn from(outcome: &Outcome) -> Self {
        match (&outcome.cause, failure_text(&outcome.cause)) {
            (Cause::HeldBack, _) => Self::HeldBack,
            (_, Some(failure)) => Self::Failed(failure),
            (_, None) => Self::Answered(outcome.result.clone()),
        }
    }
}

impl Said {
    /// What is compared: reasons and delays may differ.
    fn kind(&self) -> &'static str {
        match self {
            Self::Answered(ConsumeResult::Success) => "success",
            Self::Answered(ConsumeResult::ReconsumeLater(_)) => "reconsume-later",
            Self::Answered(ConsumeResult::DeadLetter(_)) => "dead-letter",
            Self::Failed(_) => "failed",
            Self::HeldBack => "held back",
        }
    }

    fn words(&self) -> String {
        match self {
            Self::Answered(ConsumeResult::DeadLetter(reason)) => format!("dead-letter: {reason}"),
            Self::Failed(failure) => failure.clone(),
            other => other.kind().to_owned(),
        }
    }
}
