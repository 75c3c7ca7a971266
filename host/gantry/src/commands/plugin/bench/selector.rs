//! A selector: the cost of a question, in an instance that is ready.

use std::hint::black_box;
use std::time::Duration;

use anyhow::Context as _;
use gantry_engine::{MessageQueue, OutgoingMessage, OwnedMessage, SelectorModule};

use super::Plan;
use crate::commands::bench::figure::Figure;

const QUEUES: u32 = 64;
/// What a host allows.
const DEADLINE: Duration = Duration::from_secs(1);

pub(super) fn measure(
    selector: &SelectorModule,
    messages: &[OwnedMessage],
    plan: Plan,
) -> anyhow::Result<Vec<Figure>> {
    let queue = |queue_id| MessageQueue { topic: "topic".into(), broker_name: "broker-a".into(), queue_id };
    let queues: Vec<MessageQueue> = (0..QUEUES).map(queue).collect();
    let body = messages.first().map(|message| message.body.clone()).unwrap_or_default();
    let message = OutgoingMessage { topic: "topic".into(), body, ..OutgoingMessage::default() };
    let ask = || selector.select(&queues, &message, "order-17", DEADLINE);
    ask().context("the selector does not answer")?;
    let rounds = plan.rounds(|| drop(black_box(ask())));
    let microseconds = rounds.into_iter().map(|nanoseconds| nanoseconds / 1e3).collect();
    Ok(vec![Figure::new("select", "a choice among 64 queues", "µs", microseconds)])
}
