//! One message through a listener because an operator wants it (CONSUME_MESSAGE_DIRECTLY): outside windows, offsets,
//! retries and counters.

use std::sync::Arc;

use gantry_engine::{
    BatchReport, ConsumeContext, ConsumeJob, ConsumeResult, Job, MessageBatch, Order, Outcome,
};
use gantry_protocol::MessageExt;
use gantry_protocol::body::{self, ConsumeMessageDirectlyResult};
use tokio::sync::oneshot;

use super::batch::HostBatch;
use super::consume::{Consumption, Way};
use super::listener::{Call, Listener};
use super::outcomes::failure_text;
use crate::client_instance::Unanswered;

type Sender = oneshot::Sender<Result<ConsumeMessageDirectlyResult, Unanswered>>;

/// What is to be consumed, and who waits for the result.
pub(super) struct Directly {
    /// The topic the listener subscribed to.
    pub(super) topic: Arc<str>,
    pub(super) broker_name: Arc<str>,
    pub(super) message: MessageExt,
    /// Whether the group consumes in order.
    pub(super) order: bool,
    pub(super) reply: Sender,
}

/// Hands the message to the listener's own threads, behind what they have in hand. Nobody may wait for the result any
/// more when it comes.
pub(super) fn consume_directly(consumption: &Consumption, listener: &Listener, directly: Directly) {
    let Directly { topic, broker_name, message, order, reply } = directly;
    let queue_id = message.queue_id().max(0).unsigned_abs();
    let (batch, corrupt) = HostBatch::new(vec![message].into(), 0, false);
    let mut pending = Pending { plugin: listener.plugin.clone(), reply: Some(reply) };
    if let Some(corrupt) = corrupt.first() {
        let remark = format!("the body cannot be inflated: {}", corrupt.error);
        return pending.send(result(order, body::ConsumeResult::ThrowException, Some(remark)));
    }
    let Some(call) = listener.call() else { return };
    let way =
        Way { topic, broker_name, queue_id, deadline: listener.plan().consume_timeout, order: Order::Any };
    let job = job(consumption, call, way, batch, move |report| pending.send(judged(order, &report)));
    let _refused_when_dropped = consumption.threads.try_submit(listener.id, job);
}

/// What a guest thread is given; `done` is called there.
fn job(
    consumption: &Consumption,
    call: Call,
    way: Way,
    batch: HostBatch,
    done: impl FnOnce(BatchReport) + Send + 'static,
) -> Job {
    let Way { topic, broker_name, queue_id, deadline, order } = way;
    let consumer_group = Arc::clone(&consumption.group);
    match call {
        Call::Guest(lease) => Job::from(ConsumeJob {
            lease,
            consumer_group,
            topic,
            broker_name,
            queue_id,
            messages: 0..batch.len(),
            batch: Arc::new(batch),
            deadline,
            order,
            done: Box::new(done),
        }),
        Call::Native(native) => Job::work(move || {
            let (consumer_group, topic, broker_name) = (&*consumer_group, &*topic, &*broker_name);
            let context = ConsumeContext { consumer_group, topic, broker_name, queue_id };
            done(native.consume(&context, &batch));
        }),
    }
}

/// An operator who waits. One whose message is dropped without being run is told so.
struct Pending {
    plugin: String,
    reply: Option<Sender>,
}

impl Pending {
    fn send(&mut self, result: ConsumeMessageDirectlyResult) {
        if let Some(reply) = self.reply.take() {
            let _asker_gone = reply.send(Ok(result));
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(reply) = self.reply.take() {
            let plugin = &self.plugin;
            let refusal = format!(
                "plugin {plugin} has not run the message: it has too much in hand, or it is being retired; try again"
            );
            let _asker_gone = reply.send(Err(Unanswered::Refused(refusal)));
        }
    }
}

fn judged(order: bool, report: &BatchReport) -> ConsumeMessageDirectlyResult {
    let (consume_result, remark) = match report.outcomes.first() {
        Some(outcome) => judge(outcome),
        None => (body::ConsumeResult::ReturnNull, None),
    };
    let spent_time_mills = i64::try_from(report.took.as_millis()).unwrap_or(i64::MAX);
    ConsumeMessageDirectlyResult { spent_time_mills, ..result(order, consume_result, remark) }
}

/// RocketMQ has no word for a dead letter: it is a message to come later, and the remark says the rest.
fn judge(outcome: &Outcome) -> (body::ConsumeResult, Option<String>) {
    if let Some(failure) = failure_text(&outcome.cause) {
        return (body::ConsumeResult::ThrowException, Some(failure));
    }
    match &outcome.result {
        ConsumeResult::Success => (body::ConsumeResult::Success, None),
        ConsumeResult::ReconsumeLater(_) => (body::ConsumeResult::Later, None),
        ConsumeResult::DeadLetter(reason) => {
            (body::ConsumeResult::Later, Some(format!("to the dead-letter topic: {reason}")))
        }
    }
}

fn result(
    order: bool,
    consume_result: body::ConsumeResult,
    remark: Option<String>,
) -> ConsumeMessageDirectlyResult {
    ConsumeMessageDirectlyResult { auto_commit: true, consume_result, order, remark, spent_time_mills: 0 }
}
