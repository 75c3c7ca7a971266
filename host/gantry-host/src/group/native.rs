//! Listeners that are Rust code of the embedding program: the same way through the group, without a sandbox.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gantry_engine::{
    BatchReport, Cause, ConsumeContext, ConsumeResult, GuestFailure, ListenerDescription, MessageBatch,
    Outcome, Record, RetryDelay,
};

/// A listener in Rust, part of the program that embeds the host (RocketMQ: `MessageListenerConcurrently`).
///
/// It runs on threads of its own, as a plugin does, several batches at a time. It is trusted: nothing stops it at a deadline,
/// bounds its memory or tries the messages of a failed batch one by one.
pub trait NativeListener: Send + Sync + 'static {
    /// Its name, group and subscriptions; asked once, when it is added. `[plugin.NAME]` in the configuration goes over it
    /// as over a component's. `consume-timeout` has no effect.
    fn describe(&self) -> ListenerDescription;

    /// Answers a batch: one result for each message, in their order. Another number of results, or a panic, gives the
    /// whole batch back.
    fn consume(&self, context: &ConsumeContext<'_>, batch: &dyn MessageBatch) -> Vec<ConsumeResult>;
}

/// A native listener that serves.
pub(crate) struct Native {
    code: Arc<dyn NativeListener>,
    version: String,
    record: Arc<Record>,
}

impl Native {
    pub(crate) fn new(code: Arc<dyn NativeListener>, version: String) -> Self {
        Self { code, version, record: Arc::default() }
    }

    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    pub(super) fn record(&self) -> &Arc<Record> {
        &self.record
    }

    /// One outcome for every message, whatever the listener does.
    pub(super) fn consume(&self, context: &ConsumeContext<'_>, batch: &dyn MessageBatch) -> BatchReport {
        let (expected, began) = (batch.len(), Instant::now());
        let answered = catch_unwind(AssertUnwindSafe(|| self.code.consume(context, batch)));
        let failure = match answered {
            Ok(results) if results.len() == expected => {
                return report(answers(results), None, began.elapsed());
            }
            Ok(results) => GuestFailure::WrongCount { expected, got: results.len() },
            Err(panic) => GuestFailure::ListenerError(format!("it panicked: {}", words(&*panic))),
        };
        let failure = Arc::new(failure);
        let given_back = Outcome {
            result: ConsumeResult::ReconsumeLater(RetryDelay::ByAttempts),
            cause: Cause::BatchFailed(Arc::clone(&failure)),
        };
        report(vec![given_back; expected], Some(failure), began.elapsed())
    }
}

fn answers(results: Vec<ConsumeResult>) -> Vec<Outcome> {
    results.into_iter().map(|result| Outcome { result, cause: Cause::Answered }).collect()
}

fn report(outcomes: Vec<Outcome>, batch_failure: Option<Arc<GuestFailure>>, took: Duration) -> BatchReport {
    BatchReport { outcomes, batch_failure, calls: 1, instances_lost: 0, took }
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let owned = || panic.downcast_ref::<String>().map(String::as_str);
    panic.downcast_ref::<&str>().copied().or_else(owned).unwrap_or("without a message")
}
