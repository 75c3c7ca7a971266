//! `gantry plugin bench`: what a component costs per message, beside a listener in Rust that does nothing. No broker.

mod listener;
mod loading;
mod selector;
mod strategy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use gantry_engine::{Engine, EngineConfig, Grants, OwnedMessage};
use serde_json::json;

use crate::commands::bench::figure::{Figure, Table, cpu_model};
use crate::commands::print_json;

/// What is measured, and with what.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gantry plugin bench orders.wasm --messages messages.jsonl
  gantry plugin bench orders.wasm --size 1024 --json

Figures are the median, the least and the most of the rounds. A figure per message is what a batch takes from the host's buffers
to its answers, divided by its messages; `native` is the same for a listener in Rust that answers success to each.
The file is one of `gantry plugin test`; what it expects does not matter here.")]
pub(crate) struct BenchArgs {
    /// The .wasm file, a component.
    file: PathBuf,
    /// Messages to measure with, a JSON object a line, over and over. [default: bodies of --size bytes]
    #[arg(short, long, value_name = "FILE", conflicts_with = "size")]
    messages: Option<PathBuf>,
    /// Bytes of each message's body.
    #[arg(long, value_name = "BYTES", default_value_t = 128, value_parser = clap::value_parser!(u32).range(..=4_194_304))]
    size: u32,
    /// Rounds of each measurement.
    #[arg(long, value_name = "N", default_value_t = 11, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// How long a round lasts at least.
    #[arg(long, value_name = "DURATION", default_value = "50ms", value_parser = crate::cli::duration)]
    round: Duration,
    /// Grant an import, as `grants` in gantry.toml does. May be given several times.
    #[arg(long, value_name = "NAME")]
    grant: Vec<String>,
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
}

/// How long is measured.
#[derive(Debug, Clone, Copy)]
struct Plan {
    rounds: u32,
    round: Duration,
}

impl Plan {
    /// Nanoseconds of one call in each round, after a round to get warm.
    fn rounds(self, mut call: impl FnMut()) -> Vec<f64> {
        let _warm = nanoseconds(self.round, &mut call);
        (0..self.rounds).map(|_| nanoseconds(self.round, &mut call)).collect()
    }
}

/// Nanoseconds of one call, over as many as take this long.
fn nanoseconds(least: Duration, call: &mut dyn FnMut()) -> f64 {
    let mut calls = 1_u32;
    loop {
        let began = Instant::now();
        (0..calls).for_each(|_| call());
        let took = began.elapsed();
        if took >= least || calls > u32::MAX / 2 {
            return took.as_secs_f64() * 1e9 / f64::from(calls);
        }
        calls *= 2;
    }
}

pub(crate) fn bench(args: &BenchArgs) -> anyhow::Result<ExitCode> {
    let file = args.file.display();
    let grants = Grants::from_names(&args.grant)?;
    let bytes = std::fs::read(&args.file).with_context(|| format!("cannot read {file}"))?;
    let messages = match &args.messages {
        Some(file) => super::test::messages(file)?,
        None => vec![OwnedMessage::new("7F0000010A2C18B4AAC2000000000000", vec![b'x'; args.size as usize])],
    };
    let plan = Plan { rounds: args.rounds, round: args.round };
    let engine = Engine::new(EngineConfig::default())?;
    let plugin = engine
        .load_plugin(&bytes, &grants, &mut |_| ())
        .with_context(|| format!("{file} would be rejected"))?;
    let (mut figures, mut answers) = (Vec::new(), None);
    if let Some(module) = &plugin.listener {
        let measured = listener::measure(module, &messages, plan)?;
        answers = Some(measured.answers);
        figures.extend(measured.figures);
    }
    if let Some(strategy) = &plugin.strategy {
        figures.extend(strategy::measure(strategy, plan)?);
    }
    if let Some(selector) = &plugin.selector {
        figures.extend(selector::measure(selector, &messages, plan)?);
    }
    figures.extend(loading::measure(&engine, &bytes, &grants, plan)?);
    match args.json {
        true => print_json(&json!({
            "file": file.to_string(), "version": plugin.version(), "build": build(), "cores": cores(), "cpu": cpu_model(),
            "messages": args.messages, "size": args.messages.is_none().then_some(args.size), "rounds": args.rounds,
            "answers": answers, "figures": figures,
        }))?,
        false => {
            let what = args.messages.as_deref().map_or_else(|| format!("of {} B", args.size), of_file);
            print(&args.file, plugin.version(), &what, args.rounds, answers.as_deref(), &figures);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn of_file(file: &Path) -> String {
    format!("from {}", file.display())
}

fn print(file: &Path, version: &str, what: &str, rounds: u32, answers: Option<&str>, figures: &[Figure]) {
    say!("{}, version {version}; gantry {} ({} build)", file.display(), env!("CARGO_PKG_VERSION"), build());
    say!("{} cores, {}", cores(), cpu_model().as_deref().unwrap_or("processor unknown"));
    say!("messages {what}, rounds: {rounds}");
    if let Some(answers) = answers {
        say!("answered with {answers}");
    }
    crate::commands::say_text(format_args!("\n{}", Table(figures)));
}

const fn build() -> &'static str {
    if cfg!(debug_assertions) { "debug" } else { "release" }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(0, usize::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_lasts_at_least_as_long_as_asked_and_tells_the_time_of_one_call() {
        let plan = Plan { rounds: 3, round: Duration::from_millis(1) };
        let (mut calls, began) = (0_u64, Instant::now());
        let rounds = plan.rounds(|| calls += u64::from(std::hint::black_box(true)));
        assert!(began.elapsed() >= Duration::from_millis(4), "a round to get warm, and three");
        assert_eq!(rounds.len(), 3);
        assert!(rounds.iter().all(|nanoseconds| *nanoseconds > 0.0 && *nanoseconds < 1e6), "{rounds:?}");
        assert!(calls > 4);
    }
}
