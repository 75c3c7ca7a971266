//! Messages through a listener: batches of one queue, as its host makes them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use gantry_engine::{
    BatchReport, Cause, ConsumeContext, ConsumeMode, FilterExpression, ListenerDescription, ListenerModule,
    MessageBatch, Order, Outcome, OwnedMessage, consume_isolated,
};
use gantry_protocol::tag::TagExpression;
use serde_json::json;

use super::Ran;
use super::compare::{Actual, Expectation};
use super::message::Message;

/// The deadline of a call where the plugin names none: enough for a message, and not the host's 15 minutes.
const USUAL_DEADLINE: Duration = Duration::from_secs(30);

/// How the listener is called.
#[derive(Debug)]
pub(super) struct Settings {
    batch: usize,
    deadline: Duration,
    order: Order,
    consumer_group: String,
}

impl Settings {
    pub(super) fn of(said: &ListenerDescription, batch: Option<u32>, deadline: Option<Duration>) -> Self {
        let batch = batch.or(said.consume_message_batch_max_size).unwrap_or(1);
        let deadline = deadline.or(said.consume_timeout.map(Duration::from_millis)).unwrap_or(USUAL_DEADLINE);
        let order = match said.consume_mode {
            ConsumeMode::Orderly => Order::Kept,
            ConsumeMode::Concurrently => Order::Any,
        };
        Self { batch: batch as usize, deadline, order, consumer_group: said.consumer_group.clone() }
    }
}

/// A queue of a topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Queue {
    topic: String,
    broker_name: String,
    id: u32,
}

/// A message that is wanted, at its place in its queue.
struct Pending {
    line: usize,
    expect: Option<Expectation>,
    message: OwnedMessage,
}

/// Runs all messages; how many calls it took.
pub(super) fn consume(
    module: &ListenerModule,
    settings: &Settings,
    messages: Vec<(usize, Option<Expectation>, Message)>,
    ran: &mut Vec<Ran>,
) -> anyhow::Result<u32> {
    let mut calls = 0;
    for (queue, pending) in queues(module.description(), messages, ran)? {
        let mut pending = VecDeque::from(pending);
        while !pending.is_empty() {
            let size = settings.batch.min(pending.len());
            let batch: Vec<Pending> = pending.drain(..size).collect();
            let report = call(module, settings, &queue, &batch);
            calls += report.calls;
            for later in settle(batch, report, ran).into_iter().rev() {
                pending.push_front(later);
            }
        }
    }
    Ok(calls)
}

/// The wanted messages of each queue, in the order of their lines. Those no subscription wants are told at once.
fn queues(
    said: &ListenerDescription,
    messages: Vec<(usize, Option<Expectation>, Message)>,
    ran: &mut Vec<Ran>,
) -> anyhow::Result<BTreeMap<Queue, Vec<Pending>>> {
    let mut queues = BTreeMap::<Queue, Vec<Pending>>::new();
    let mut next = BTreeMap::<Queue, u64>::new();
    for (line, expect, message) in messages {
        let named = |topic: &String| message.topic.as_ref().is_none_or(|wanted| wanted == topic);
        let subscription = said.subscriptions.iter().find(|subscription| named(&subscription.topic));
        let subscription = subscription.context("a message of a topic that is not subscribed to")?;
        let topic = subscription.topic.clone();
        let queue = Queue { topic, broker_name: message.broker_name.clone(), id: message.queue_id };
        let end = next.entry(queue.clone()).or_default();
        let offset = message.queue_offset.unwrap_or(*end);
        *end = offset.saturating_add(1);
        if !wants(&subscription.expression, message.message.tags.as_deref()) {
            let mut actual = Actual::new(json!("filtered"));
            actual.note =
                Some("the broker would not deliver it: its tag is not among those subscribed to".to_owned());
            ran.push(Ran { line, expect, actual });
            continue;
        }
        queues.entry(queue).or_default().push(Pending { line, expect, message: message.stored(offset) });
    }
    Ok(queues)
}

/// Whether a broker would deliver a message with this tag. Conditions in SQL92 are the broker's to decide: here all pass.
fn wants(expression: &FilterExpression, tag: Option<&str>) -> bool {
    match expression {
        FilterExpression::Tag(tags) => TagExpression::parse(tags.trim()).is_ok_and(|tags| tags.matches(tag)),
        FilterExpression::Sql92(_) => true,
    }
}

fn call(module: &ListenerModule, settings: &Settings, queue: &Queue, batch: &[Pending]) -> BatchReport {
    let context = ConsumeContext {
        consumer_group: &settings.consumer_group,
        topic: &queue.topic,
        broker_name: &queue.broker_name,
        queue_id: queue.id,
    };
    let messages: Arc<dyn MessageBatch> =
        Arc::new(batch.iter().map(|pending| pending.message.clone()).collect::<Vec<_>>());
    consume_isolated(module, &context, &messages, 0..messages.len(), settings.deadline, settings.order)
}

/// Keeps the results. What an orderly queue held back is returned: it comes again as if the message before it had been
/// settled, so that every line has a result of its own.
fn settle(batch: Vec<Pending>, report: BatchReport, ran: &mut Vec<Ran>) -> Vec<Pending> {
    let mut held_back = Vec::new();
    for (index, (pending, outcome)) in batch.into_iter().zip(report.outcomes).enumerate() {
        // The first is never held back; were it, the queue would not end.
        if outcome.cause == Cause::HeldBack && index > 0 {
            held_back.push(pending);
        } else {
            ran.push(Ran { line: pending.line, expect: pending.expect, actual: actual(&outcome) });
        }
    }
    held_back
}

fn actual(outcome: &Outcome) -> Actual {
    let failed = |why: String| Actual::failed(outcome.cause.name(), why);
    match &outcome.cause {
        Cause::Answered | Cause::AnsweredAlone => match serde_json::to_value(&outcome.result) {
            Ok(value) => Actual::new(value),
            Err(error) => failed(error.to_string()),
        },
        Cause::NoInstance(error) => failed(error.to_string()),
        Cause::HostPanic(panic) => failed(format!("the host itself panicked: {panic}")),
        Cause::NotRun(failure) => {
            failed(format!("not run again, since too many of its batch were stopped: {failure}"))
        }
        other => failed(other.failure().map(ToString::to_string).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_decide_what_a_broker_would_deliver() {
        let tags = |text: &str| FilterExpression::Tag(text.to_owned());
        assert!(wants(&tags(" * "), None) && wants(&tags("a || b"), Some("b")));
        assert!(!wants(&tags("a || b"), Some("c")) && !wants(&tags("a"), None));
        assert!(wants(&FilterExpression::Sql92("a > 1".to_owned()), None));
    }

    #[test]
    fn what_the_plugin_says_of_itself_holds_unless_the_command_says_otherwise() {
        let mut said = ListenerDescription::new("n", "g", "t");
        assert_eq!(Settings::of(&said, None, None).batch, 1);
        said.consume_message_batch_max_size = Some(32);
        said.consume_timeout = Some(1_500);
        said.consume_mode = ConsumeMode::Orderly;
        let settings = Settings::of(&said, None, None);
        assert_eq!(
            (settings.batch, settings.deadline, settings.order),
            (32, Duration::from_millis(1_500), Order::Kept)
        );
        assert_eq!(Settings::of(&said, Some(2), Some(Duration::from_secs(1))).batch, 2);
    }
}
