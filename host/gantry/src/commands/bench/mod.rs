//! `gantry bench`: what a host costs on this machine, printed beside what it is meant to cost.
//!
//! Brokers, and hosts whose memory or start is measured, are child processes; the host whose throughput and CPU are
//! measured runs in this one, so that it can be watched message by message.

pub(in crate::commands) mod calls;
mod cost;
mod feed;
pub(in crate::commands) mod figure;
mod process;
mod stage;
mod start;
mod swap;
mod throughput;
mod worlds;

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};

use super::print_json;
use crate::cli::BenchArgs;
use figure::Results;
use stage::Stage;
use throughput::Kind;

/// Queues of the topic that is consumed.
const QUEUES: i32 = 8;
/// Bytes of each message's body.
const BODY_BYTES: usize = 128;
/// Messages in one call of a listener; also what a stock broker gives per pull.
const BATCH: usize = 32;
/// The longest any one step may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// How much is done.
#[derive(Debug, Clone, Copy)]
struct Plan {
    messages: u64,
    rounds: usize,
    swaps: usize,
    /// Swaps whose cost in messages per second is measured.
    swaps_in_a_row: usize,
    starts: usize,
    calls: usize,
}

impl Plan {
    fn of(args: &BenchArgs) -> Self {
        let usual = match args.short {
            true => Self { messages: 20_000, rounds: 1, swaps: 1, swaps_in_a_row: 2, starts: 1, calls: 500 },
            false => {
                Self { messages: 200_000, rounds: 5, swaps: 5, swaps_in_a_row: 50, starts: 5, calls: 5_000 }
            }
        };
        Self {
            messages: args.messages.unwrap_or(usual.messages),
            rounds: args.rounds.unwrap_or(usual.rounds),
            ..usual
        }
    }

    fn steps(&self) -> u64 {
        (2 * self.rounds + self.starts + 4) as u64
    }
}

pub(crate) async fn run(args: BenchArgs) -> anyhow::Result<ExitCode> {
    let plan = Plan::of(&args);
    let bar = progress(plan.steps());
    let results = measure(&args, plan, &bar).await?;
    bar.finish_and_clear();
    results.save(&args.workspace.join("results.json"))?;
    if args.json {
        print_json(&results)?
    } else {
        super::say_text(results)
    }
    Ok(ExitCode::SUCCESS)
}

async fn measure(args: &BenchArgs, plan: Plan, bar: &ProgressBar) -> anyhow::Result<Results> {
    let next = |what: String| {
        bar.inc(u64::from(!bar.message().is_empty()));
        bar.set_message(what);
    };
    let mut results = Results::new(plan);

    next("calls into a guest".into());
    let stage = Stage::set(&args.plugins, &args.workspace).await?;
    let (component, cache) = (stage.component()?, stage.cache());
    let calls = tokio::task::spawn_blocking(move || calls::measure(&component, cache, plan.calls));
    results.extend(calls.await.context("measuring calls failed")??);
    let (packed, records, cache) = (stage.component()?, stage.records_component()?, stage.cache());
    let worlds = tokio::task::spawn_blocking(move || worlds::measure(&packed, &records, cache, plan.calls));
    results.extend(worlds.await.context("measuring calls failed")??);

    next(format!("sending {} messages", plan.messages));
    stage.load(plan.messages).await?;

    let (mut wasm, mut native) = (Vec::new(), Vec::new());
    for round in 1..=plan.rounds {
        for (kind, rounds) in [(Kind::Wasm, &mut wasm), (Kind::Native, &mut native)] {
            next(format!("round {round} of {}: {}", plan.rounds, kind.name()));
            rounds.push(throughput::round(&stage, kind, round, plan.messages).await?);
        }
    }
    results.extend(throughput::figures(&wasm, &native));

    for start in 1..=plan.starts {
        next(format!("start {start} of {}", plan.starts));
        results.push(start::first_message(&stage, start).await?);
    }
    next("an idle host".into());
    results.extend(start::idle(&stage).await?);

    next(format!("{} swaps under load", plan.swaps + plan.swaps_in_a_row));
    results.extend(swap::measure(&stage, plan.swaps, plan.swaps_in_a_row).await?);
    stage.end().await;
    Ok(results)
}

/// On standard error; nothing where nobody looks.
fn progress(steps: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(steps);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed} {msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
