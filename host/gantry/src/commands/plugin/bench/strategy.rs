//! A strategy: the cost of a question, which makes an instance of its own.

use std::hint::black_box;
use std::time::Duration;

use anyhow::Context as _;
use gantry_engine::{MessageQueue, StrategyModule};

use super::Plan;
use crate::commands::bench::figure::Figure;

const QUEUES: u32 = 64;
const MEMBERS: usize = 8;
/// What a host allows.
const DEADLINE: Duration = Duration::from_secs(1);

pub(super) fn measure(strategy: &StrategyModule, plan: Plan) -> anyhow::Result<Vec<Figure>> {
    let queue = |queue_id| MessageQueue { topic: "topic".into(), broker_name: "broker-a".into(), queue_id };
    let queues: Vec<MessageQueue> = (0..QUEUES).map(queue).collect();
    let members: Vec<String> = (0..MEMBERS).map(|member| format!("10.0.0.{member}@gantry#1")).collect();
    let me = members.first().context("no members")?;
    let ask = || strategy.allocate("group", me, &queues, &members, DEADLINE);
    ask().context("the strategy does not answer")?;
    let rounds = plan.rounds(|| drop(black_box(ask())));
    let microseconds = rounds.into_iter().map(|nanoseconds| nanoseconds / 1e3).collect();
    Ok(vec![Figure::new("allocate", "a question, 64 queues and 8 members", "µs", microseconds)])
}
