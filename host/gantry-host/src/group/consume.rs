//! A batch's way through a listener: to a guest thread, and back as one settlement a message.

use std::sync::Arc;
use std::time::Duration;

use gantry_core::{Batch, BatchId, DEFAULT_MAX_RECONSUME_TIMES, Settlement};
use gantry_engine::{
    BatchReport, Cause, ConsumeContext, ConsumeJob, Fault, Job, MessageBatch, Order, Record,
};
use gantry_protocol::{MessageExt, Namespace};
use tokio::sync::mpsc::{self, error::TrySendError};

use super::batch::{Corrupt, HostBatch};
use super::counters::BatchCounts;
use super::input::Input;
use super::listener::{Call, Listener};
use super::outcomes::{AGAIN, Terms, failure_text, settled_as, settlement};
use super::tally::{Tallies, Tally};
use super::threads::ListenerThreads;
use super::traces::{self, Ended};
use super::trial::Trial;
use crate::client_instance::TraceDispatcher;
use crate::observer::{Settled, SharedObserver};

/// What every batch of a group needs on its way; batches share it.
pub(super) struct Consumption {
    /// The group's name in this host.
    pub(super) name: Arc<str>,
    /// The consumer group, as its listeners and traces know it.
    pub(super) group: Arc<str>,
    /// What listeners and observers do not see of topics.
    pub(super) namespace: Namespace,
    pub(super) threads: Arc<ListenerThreads>,
    pub(super) observer: SharedObserver,
    pub(super) inputs: mpsc::Sender<Input>,
    pub(super) tallies: Arc<Tallies>,
    /// Where batches are told of, if anywhere.
    pub(super) traces: Option<TraceDispatcher>,
}

/// Where a batch comes from, and how long a call with it may take.
#[derive(Clone)]
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
    pub(super) fn submit(self: &Arc<Self>, listener: &Arc<Listener>, batch: Batch) -> Result<(), NotTaken> {
        let Batch { id, topic, mq, messages, head_retries, in_order, .. } = batch;
        let queue_id = mq.queue_id.max(0).unsigned_abs();
        let (call, trial) = listener.call_for(&mq.topic, &mq.broker_name, queue_id).ok_or(NotTaken(id))?;
        let (topic, count) = (self.namespace.unwrap_shared(&topic), messages.len());
        let (sound, corrupt) = HostBatch::new(messages, head_retries, in_order);
        let sound = Arc::new(sound);
        let way = Way {
            topic: Arc::clone(&topic),
            broker_name: mq.broker_name,
            queue_id,
            deadline: listener.plan().consume_timeout,
            order: if in_order { Order::Kept } else { Order::Any },
        };
        let back = Return {
            id,
            topic,
            consumption: Arc::clone(self),
            listener: Arc::clone(listener),
            version: call.version().to_owned(),
            record: call.record(),
            trial,
            way: way.clone(),
            tally: self.tallies.of(&mq.topic),
            batch: Arc::clone(&sound),
            messages: count,
            in_order,
            corrupt,
        };
        let job = self.job(call, way, sound, move |report| back.report(report));
        self.threads.try_submit(listener.id, job).map_err(|_busy| NotTaken(id))
    }

    /// Brings an answer to the group's task, from a guest thread.
    fn tell(&self, input: Input) {
        // Waiting takes some readying, and there is nearly always room. The group may be gone: then nobody waits for the
        // answer, and the next owner gets the messages again.
        if let Err(TrySendError::Full(input)) = self.inputs.try_send(input) {
            let _group_gone = self.inputs.blocking_send(input);
        }
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
    consumption: Arc<Consumption>,
    listener: Arc<Listener>,
    version: String,
    /// Counts how the version does.
    record: Arc<Record>,
    /// The trial that the batch is part of, if it is.
    trial: Option<Arc<Trial>>,
    way: Way,
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
                group = %self.consumption.name, plugin = %self.listener.plugin, version = %self.version,
                messages = self.batch.len(), calls = report.calls, "{failure}"
            );
        }
        self.judge(&report);
        let (calls, instances_lost, took) = (report.calls, report.instances_lost, report.took);
        let mut ends: Vec<End<'_>> = Vec::with_capacity(self.messages);
        for ((index, message), outcome) in self.batch.stored().iter().enumerate().zip(report.outcomes) {
            let failure = failure_text(&outcome.cause);
            let times = self.batch.reconsume_times(index);
            let (settlement, cause) = (settlement(outcome.result), Some(outcome.cause));
            ends.push(End { message, times, settlement, cause, failure });
        }
        for Corrupt { index, stored, error } in &self.corrupt {
            let text = format!("the body cannot be inflated: {error}");
            tracing::warn!(group = %self.consumption.name, message = stored.message_id(), "{text}; it is given back");
            let (settlement, times) = (AGAIN, stored.reconsume_times());
            let end = End { message: stored, times, settlement, cause: None, failure: Some(text) };
            ends.insert((*index).min(ends.len()), end);
        }
        let good = ends.iter().take_while(|end| end.settlement == Settlement::Success).count();
        // In order, what follows the first failure has not ended.
        let ended = if self.in_order { good + 1 } else { ends.len() };
        let (mut counts, terms) = (BatchCounts::default(), self.terms());
        for end in ends.iter().take(ended) {
            self.observe(end, terms, &mut counts);
        }
        if let Some(traces) = &self.consumption.traces {
            let told = ends.iter().take(ended).map(End::traced);
            if let Some(events) = traces::consumed(&self.consumption.group, took, told) {
                traces.tell(events);
            }
        }
        self.listener.counters.batch(&counts, calls, instances_lost, took);
        let mut settlements: Vec<Settlement> = ends.into_iter().map(|end| end.settlement).collect();
        settlements.resize(self.messages, AGAIN);
        let outcomes = counts.outcomes();
        self.tally.consumed(outcomes.succeeded, outcomes.reconsumed + outcomes.dead_lettered, took);
        self.consumption.tell(Input::Consumed(self.id, settlements));
    }

    /// Counts the batch for whoever judges the version that ran it, and hands a copy to a version in the shadow.
    fn judge(&self, report: &BatchReport) {
        let fatal_streak = self.record.count(report);
        if let Some(trial) = &self.trial {
            return trial.ended(fatal_streak);
        }
        let at_fault = |cause: &Cause| matches!(cause.fault(), Some(Fault::Fatal | Fault::Broken));
        let held_back = report.outcomes.iter().filter(|outcome| outcome.cause == Cause::HeldBack).count();
        let failed = report.outcomes.iter().filter(|outcome| at_fault(&outcome.cause)).count();
        self.listener.judge((report.outcomes.len() - held_back) as u64, failed as u64);
        if let Some(shadow) = self.listener.shadow() {
            shadow.watch(&self.consumption.group, self.way.clone(), &self.batch, &report.outcomes);
        }
    }

    fn terms(&self) -> Terms {
        let plan = self.listener.plan();
        Terms {
            message_model: plan.message_model,
            in_order: self.in_order,
            max_reconsume_times: plan.max_reconsume_times.unwrap_or(DEFAULT_MAX_RECONSUME_TIMES),
        }
    }

    fn observe(&self, end: &End<'_>, terms: Terms, counts: &mut BatchCounts) {
        let failure = end.failure.as_deref();
        let as_ = settled_as(&end.settlement, terms, end.times, failure);
        counts.add(&as_, end.cause.as_ref(), failure.is_some());
        self.consumption.observer.settled(&Settled {
            group: &self.consumption.name,
            plugin: &self.listener.plugin,
            version: &self.version,
            message: end.message,
            topic: &self.topic,
            reconsume_times: end.times,
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
    /// None where its body cannot be read.
    cause: Option<Cause>,
    failure: Option<String>,
}

impl End<'_> {
    fn traced(&self) -> Ended<'_> {
        Ended {
            message: self.message,
            times: self.times,
            settlement: &self.settlement,
            cause: self.cause.as_ref(),
        }
    }
}
