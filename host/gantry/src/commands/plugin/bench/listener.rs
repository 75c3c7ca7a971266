//! A listener: its cost per message in batches of several sizes, per call, and per instance.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::ops::Deref as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use gantry_engine::{
    Cause, ConsumeContext, ConsumeMode, ConsumeResult, ListenerModule, MessageBatch, Order, OwnedMessage,
    consume_isolated,
};

use super::Plan;
use crate::commands::bench::calls::instance;
use crate::commands::bench::figure::Figure;

/// Messages in a batch, and what the figures are called.
const SIZES: [(usize, [&str; 4]); 3] = [
    (1, ["guest-1", "guest, batches of 1, per message", "native-1", "native, batches of 1, per message"]),
    (
        32,
        ["guest-32", "guest, batches of 32, per message", "native-32", "native, batches of 32, per message"],
    ),
    (
        256,
        [
            "guest-256",
            "guest, batches of 256, per message",
            "native-256",
            "native, batches of 256, per message",
        ],
    ),
];
/// Instances made for the figures of making one.
const INSTANCES: usize = 200;
/// Calls after which an instance's memory is looked at again.
const CALLS: usize = 1_000;
const DEADLINE: Duration = Duration::from_secs(60);

pub(super) struct Measured {
    pub(super) figures: Vec<Figure>,
    /// What the messages were answered with.
    pub(super) answers: String,
}

pub(super) fn measure(
    module: &ListenerModule,
    messages: &[OwnedMessage],
    plan: Plan,
) -> anyhow::Result<Measured> {
    let said = module.description();
    let topic = said.subscriptions.first().context("the plugin subscribes to nothing")?.topic.as_str();
    let context =
        ConsumeContext { consumer_group: &said.consumer_group, topic, broker_name: "broker-a", queue_id: 0 };
    let order = match said.consume_mode {
        ConsumeMode::Orderly => Order::Kept,
        ConsumeMode::Concurrently => Order::Any,
    };
    let answers = answers(module, &context, messages, order)?;
    let mut figures = Vec::new();
    for (size, [key, label, native_key, native_label]) in SIZES {
        let batch = batch(messages, size);
        let each =
            |rounds: Vec<f64>| rounds.into_iter().map(|nanoseconds| nanoseconds / size as f64).collect();
        let guest = plan.rounds(|| {
            drop(black_box(consume_isolated(module, &context, &batch, 0..batch.len(), DEADLINE, order)))
        });
        let native = plan.rounds(|| drop(black_box(nothing(&*batch))));
        figures.push(Figure::new(key, label, "ns", each(guest)));
        figures.push(Figure::new(native_key, native_label, "ns", each(native)));
    }
    figures.extend(empty_call(module, &context, plan)?);
    figures.extend(instances(module, &context, messages)?);
    Ok(Measured { figures, answers })
}

/// What a listener that does nothing does: it looks at each message and answers.
fn nothing(batch: &dyn MessageBatch) -> Vec<ConsumeResult> {
    let answer = |index| {
        black_box(batch.body(index).len());
        ConsumeResult::Success
    };
    (0..batch.len()).map(answer).collect()
}

/// So many messages, those given over and over.
fn batch(messages: &[OwnedMessage], size: usize) -> Arc<dyn MessageBatch> {
    let offset =
        |(offset, message): (u64, &OwnedMessage)| OwnedMessage { queue_offset: offset, ..message.clone() };
    Arc::new((0..).zip(messages.iter().cycle().take(size)).map(offset).collect::<Vec<_>>())
}

/// How each message is answered, counted: a plugin that fails is no measure of anything.
fn answers(
    module: &ListenerModule,
    context: &ConsumeContext<'_>,
    messages: &[OwnedMessage],
    order: Order,
) -> anyhow::Result<String> {
    let mut counts = BTreeMap::<&str, usize>::new();
    for message in messages {
        let batch = batch(std::slice::from_ref(message), 1);
        let report = consume_isolated(module, context, &batch, 0..batch.len(), DEADLINE, order);
        let outcome = report.outcomes.first().context("no outcome")?;
        if outcome.cause != Cause::Answered {
            let why = outcome.cause.failure().map(ToString::to_string).unwrap_or_default();
            anyhow::bail!(
                "the plugin fails with these messages ({}): {why}\ngive it ones that it takes: --messages FILE",
                outcome.cause.name()
            );
        }
        let kind = match outcome.result {
            ConsumeResult::Success => "success",
            ConsumeResult::ReconsumeLater(_) => "reconsume-later",
            ConsumeResult::DeadLetter(_) => "dead-letter",
        };
        *counts.entry(kind).or_default() += 1;
    }
    let counts: Vec<String> = counts.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    Ok(counts.join(", "))
}

/// The call alone; `None` where the plugin does not take an empty batch.
fn empty_call(
    module: &ListenerModule,
    context: &ConsumeContext<'_>,
    plan: Plan,
) -> anyhow::Result<Option<Figure>> {
    let (empty, mut instance) = (batch(&[], 0), module.checkout()?);
    if instance.consume_message(context, &empty, DEADLINE).is_err() {
        return Ok(None);
    }
    let rounds = plan.rounds(|| drop(black_box(instance.consume_message(context, &empty, DEADLINE))));
    let microseconds = rounds.into_iter().map(|nanoseconds| nanoseconds / 1e3).collect();
    Ok(Some(Figure::new("empty-call", "a call without messages", "µs", microseconds)))
}

fn instances(
    module: &ListenerModule,
    context: &ConsumeContext<'_>,
    messages: &[OwnedMessage],
) -> anyhow::Result<Vec<Figure>> {
    let fresh = instance(INSTANCES, || module.fresh());
    let reused = instance(INSTANCES, || module.checkout());
    let mut instance = module.fresh()?;
    let before = kibibytes(instance.memory_bytes());
    let batch = batch(messages, SIZES[1].0);
    for _ in 0..CALLS {
        // An answer is not wanted here, and what fails fails in the figures above as well.
        if instance
            .consume_range(context, &batch, 0..batch.deref().len(), DEADLINE)
            .is_err_and(|failure| failure.is_fatal())
        {
            break;
        }
    }
    let after = kibibytes(instance.memory_bytes());
    Ok(vec![
        Figure::new("instance-fresh", "an instance, made anew", "µs", fresh),
        Figure::new("instance-reused", "an instance, from those ready", "µs", reused),
        Figure::new("memory-fresh", "memory of a new instance", "KiB", vec![before]),
        Figure::new("memory-used", "memory of it after 1,000 batches of 32", "KiB", vec![after]),
    ])
}

fn kibibytes(bytes: usize) -> f64 {
    bytes as f64 / 1024.0
}
