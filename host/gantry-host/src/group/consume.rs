//! A batch's way through a listener: to a guest thread, and back as one settlement a message.

use std::sync::Arc;
use std::time::Duration;

use gantry_core::{Batch, BatchId, DEFAULT_MAX_RECONSUME_TIMES, MessageModel, RetryDelay, Settlement};
use gantry_engine::{
    BatchReport, Cause, ConsumeContext, ConsumeJob, ConsumeResult, Job, MessageBatch, Order, Outcome,
};
use gantry_protocol::{MessageExt, delay_level};
use tokio::sync::mpsc;

use super::batch::{Corrupt, HostBatch};
use super::input::Input;
use super::listener::{Call, Listener};
use super::tally::{Tallies, Tally};
use super::threads::ListenerThreads;
use crate::observer::{Settled, SettledAs, SharedObserver};
use crate::status::Outcomes;

const AGAIN: Settlement = Settlement::ReconsumeLater(RetryDelay::ByAttempts);

/// What every batch of a group needs on its way.
#[derive(Clone)]
pub(super) struct Consumption {
    pub(super) group: Arc<str>,
    pub(super) threads: Arc<ListenerThreads>,
    pub(super) observer: SharedObserver,
    pub(super) inputs: mpsc::Sender<Input>,
    pub(super) tallies: Arc<Tallies>,
}

/// Where a batch comes from, and how long a call with it may take.
pub(super) struct Way {
    /// The topic the listener subscribed to.
    pub(super) topic: Arc<str>,
    pub(super) broker_name: Arc<str>,
    pub(super) queue_id: u32,
    pub(super) deadline: Duration,
    pub(super) order: Order,
}

/// The batch was not taken: no version serves, or the listener's threads are busy and their queue full.
pub(super) struct NotTaken(pub(super) BatchId);

impl Consumption {
    /// Hands the batch to a guest thread; the answer arrives as [`Input::Consumed`].
    pub(super) fn submit(&self, listener: &Arc<Listener>, batch: Batch) -> Result<(), NotTaken> {
        let Batch { id, topic, mq, messages, head_retries, in_order, .. } = batch;
        let call = listener.call().ok_or(NotTaken(id))?;
        let count = messages.len();
        let (sound, corrupt) = HostBatch::new(messages, head_retries, in_order);
        let sound = Arc::new(sound);
        let back = Return {
            id,
            topic: Arc::clone(&topic),
            consumption: self.clone(),
            listener: Arc::clone(listener),
            version: call.version().to_owned(),
            tally: self.tallies.of(&mq.topic),
            batch: Arc::clone(&sound),
            messages: count,
            in_order,
            corrupt,
        };
        let way = Way {
            topic,
            broker_name: mq.broker_name,
            queue_id: mq.queue_id.max(0).unsigned_abs(),
            deadline: listener.plan().consume_timeout,
            order: if in_order { Order::Kept } else { Order::Any },
        };
        let job = self.job(call, way, sound, move |report| back.report(report));
        self.threads.try_submit(listener.id, job).map_err(|_busy| NotTaken(id))
    }

    /// What a guest thread is given; `done` is called there.
    pub(super) fn job(
        &self,
        call: Call,
        way: Way,
        batch: Arc<HostBatch>,
        done: impl FnOnce(BatchReport) + Send + 'static,
    ) -> Job {
        let Way { topic, broker_name, queue_id, deadline, order } = way;
        let consumer_group = Arc::clone(&self.group);
        match call {
            Call::Guest(lease) => Job::Consume(ConsumeJob {
                lease,
                consumer_group,
                topic,
                broker_name,
                queue_id,
                batch,
                deadline,
                order,
                done: Box::new(done),
            }),
            Call::Native(native) => Job::work(move || {
                let (consumer_group, topic, broker_name) = (&*consumer_group, &*topic, &*broker_name);
                let context = ConsumeContext { consumer_group, topic, broker_name, queue_id };
                done(native.consume(&context, &*batch));
            }),
        }
    }
}

/// What brings a batch's outcomes home.
struct Return {
    id: BatchId,
    topic: Arc<str>,
    consumption: Consumption,
    listener: Arc<Listener>,
    version: String,
    tally: Arc<Tally>,
    batch: Arc<HostBatch>,
    /// How many there are, with those that are corrupt.
    messages: usize,
    in_order: bool,
    corrupt: Vec<Corrupt>,
}

impl Return {
    fn report(self, report: BatchReport) {
        if let Some(failure) = &report.batch_failure {
            tracing::warn!(
                group = %self.consumption.group, plugin = %self.listener.plugin, version = %self.version,
                messages = self.batch.len(), calls = report.calls, "{failure}"
            );
        }
        let mut ends: Vec<End<'_>> = Vec::with_capacity(self.messages);
        for ((index, message), outcome) in self.batch.stored().enumerate().zip(report.outcomes) {
            let failure = failure_text(&outcome.cause);
            let times = self.batch.reconsume_times(index);
            ends.push(End { message, times, settlement: settlement(outcome), failure });
        }
        for Corrupt { index, stored, error } in &self.corrupt {
            let text = format!("the body cannot be inflated: {error}");
            tracing::warn!(group = %self.consumption.group, message = stored.message_id(), "{text}; it is given back");
            let (settlement, times) = (AGAIN, stored.reconsume_times());
            let end = End { message: stored, times, settlement, failure: Some(text) };
            ends.insert((*index).min(ends.len()), end);
        }
        let good = ends.iter().take_while(|end| end.settlement == Settlement::Success).count();
        // In order, what follows the first failure has not ended.
        let ended = if self.in_order { good + 1 } else { ends.len() };
        let mut counts = Outcomes::default();
        for end in ends.iter().take(ended) {
            self.observe(end, &mut counts);
        }
        self.listener.count(counts);
        let mut settlements: Vec<Settlement> = ends.into_iter().map(|end| end.settlement).collect();
        settlements.resize(self.messages, AGAIN);
        self.tally.consumed(counts.succeeded, counts.reconsumed + counts.dead_lettered, report.took);
        // The group may be gone: then nobody waits for the answer, and the next owner gets the messages again.
        let _group_gone = self.consumption.inputs.blocking_send(Input::Consumed(self.id, settlements));
    }

    fn observe(&self, end: &End<'_>, counts: &mut Outcomes) {
        let plan = self.listener.plan();
        let (times, failure) = (end.times, end.failure.as_deref());
        let max = i64::from(plan.max_reconsume_times.unwrap_or(DEFAULT_MAX_RECONSUME_TIMES));
        let spent = i64::from(times) >= max;
        let broadcasting = plan.message_model == MessageModel::Broadcasting;
        let limit = || format!("reconsumed {times} times, which is the limit");
        let as_ = match &end.settlement {
            Settlement::Success => SettledAs::Success,
            Settlement::DeadLetter(reason) if broadcasting => SettledAs::Dropped { reason: reason.clone() },
            Settlement::DeadLetter(reason) => SettledAs::DeadLetter { reason: reason.clone() },
            Settlement::ReconsumeLater(_) if broadcasting && (spent || !self.in_order) => {
                SettledAs::Dropped { reason: failure.map_or_else(limit, str::to_owned) }
            }
            Settlement::ReconsumeLater(_) if spent => SettledAs::DeadLetter { reason: limit() },
            Settlement::ReconsumeLater(delay) => SettledAs::ReconsumeLater { level: level(*delay) },
        };
        counts.failed += u64::from(failure.is_some());
        match as_ {
            SettledAs::Success => counts.succeeded += 1,
            SettledAs::ReconsumeLater { .. } => counts.reconsumed += 1,
            SettledAs::DeadLetter { .. } => counts.dead_lettered += 1,
            SettledAs::Dropped { .. } => counts.dropped += 1,
        }
        self.consumption.observer.settled(&Settled {
            group: &self.consumption.group,
            plugin: &self.listener.plugin,
            version: &self.version,
            message: end.message,
            topic: &self.topic,
            reconsume_times: times,
            as_,
            failure,
        });
    }
}

/// How one message ended.
struct End<'a> {
    message: &'a MessageExt,
    /// How often it had come before.
    times: i32,
    settlement: Settlement,
    failure: Option<String>,
}

fn level(delay: RetryDelay) -> u8 {
    match delay {
        RetryDelay::ByAttempts => 0,
        RetryDelay::Level(level) => level.clamp(1, 18),
        RetryDelay::Millis(ms) => u8::try_from(delay_level::level_for_delay(ms)).unwrap_or(18),
    }
}

fn settlement(outcome: Outcome) -> Settlement {
    use gantry_engine::RetryDelay as Asked;
    match outcome.result {
        ConsumeResult::Success => Settlement::Success,
        ConsumeResult::DeadLetter(reason) => Settlement::DeadLetter(reason),
        ConsumeResult::ReconsumeLater(Asked::ByAttempts) => {
            Settlement::ReconsumeLater(RetryDelay::ByAttempts)
        }
        ConsumeResult::ReconsumeLater(Asked::Level(level)) => {
            Settlement::ReconsumeLater(RetryDelay::Level(level))
        }
        ConsumeResult::ReconsumeLater(Asked::Milliseconds(ms)) => {
            Settlement::ReconsumeLater(RetryDelay::Millis(ms))
        }
    }
}

/// What failed, if the listener did not answer for itself.
pub(super) fn failure_text(cause: &Cause) -> Option<String> {
    match cause {
        // Held back for the one before it, which says why.
        Cause::Answered | Cause::AnsweredAlone | Cause::Settled | Cause::HeldBack => None,
        Cause::FailedAlone(failure) | Cause::BatchFailed(failure) => Some(failure.to_string()),
        Cause::NotRun(failure) => Some(format!("not run, because those before it failed: {failure}")),
        Cause::NoInstance(error) => Some(error.to_string()),
        Cause::HostPanic(text) => Some(format!("the host failed: {text}")),
    }
}
