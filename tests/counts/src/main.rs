//! What a message costs, counted: allocations and instructions of each stretch of its way through a consumer, at RocketMQ's
//! defaults and tuned. Counts do not depend on what else the machine does, so that a change of them is a change of the code.

mod allocations;
mod answers;
mod instructions;
mod machine;
mod setting;
mod table;
mod way;
mod whole;

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Parser, Subcommand, ValueEnum as _};

use allocations::Allocations;
use setting::{SETTINGS, Setting};
use table::{Row, Table};
use way::{Reach, Way};
use whole::{BrokerProcess, Listening};

/// Counts what a message costs, segment by segment.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where the sample plugin `minimal.wasm` is.
    #[arg(long, default_value = "target/guests/components")]
    plugins: PathBuf,
    /// A tenth of the messages.
    #[arg(long)]
    short: bool,
    /// Allocations alone: of a debug build the instructions say nothing.
    #[arg(long)]
    allocations: bool,
    /// JSON instead of the table.
    #[arg(long)]
    json: bool,
    #[command(subcommand)]
    part: Option<Part>,
}

/// One run, for this program's own use.
#[derive(Debug, Subcommand)]
enum Part {
    /// Takes answers along their way on one thread.
    #[command(hide = true)]
    Way {
        reach: Reach,
        pull: usize,
        batch: usize,
        /// Answers.
        pulls: usize,
        /// How many of them are taken.
        taken: usize,
    },
    /// A host consumes messages.
    #[command(hide = true)]
    Whole { listening: Listening, pull: usize, batch: usize, messages: usize },
    /// A broker that holds messages.
    #[command(hide = true)]
    Broker {
        #[arg(long)]
        messages: usize,
    },
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let component = arguments.plugins.join(whole::PLUGIN).with_extension("wasm");
    match arguments.part {
        None => everything(&arguments, &component),
        Some(Part::Way { reach, pull, batch, pulls, taken }) => {
            walk(reach, Setting { pull, batch }, pulls, taken, &component).map(drop)
        }
        Some(Part::Whole { listening, pull, batch, messages }) => {
            whole(listening, Setting { pull, batch }, messages, &component).map(drop)
        }
        Some(Part::Broker { messages }) => runtime()?.block_on(whole::broker(messages)),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

fn everything(arguments: &Arguments, component: &Path) -> Result<()> {
    let messages = if arguments.short { 20_480 } else { 204_800 };
    let mut table = Table::default();
    for setting in SETTINGS {
        let pulls = messages / setting.pull;
        for reach in Reach::value_variants() {
            let allocations = walk(*reach, setting, pulls, pulls, component)?;
            let instructions = match arguments.allocations {
                true => None,
                false => instructions_of_way(&arguments.plugins, *reach, setting, pulls)?,
            };
            table.push(Row::new(reach.label(), setting, messages as u64, allocations, instructions));
        }
        for listening in Listening::value_variants() {
            let (allocations, count) = whole(*listening, setting, messages, component)?;
            let instructions = match arguments.allocations {
                true => None,
                false => instructions_of_whole(&arguments.plugins, *listening, setting, messages)?,
            };
            table.push(Row::new(listening.label(), setting, count, allocations, instructions));
        }
    }
    table.print(arguments.json)
}

/// Of the answers that are taken; making them is subtracted.
fn instructions_of_way(plugins: &Path, reach: Reach, setting: Setting, pulls: usize) -> Result<Option<u64>> {
    let run = |taken: usize| {
        let numbers = [setting.pull, setting.batch, pulls, taken].map(|number| number.to_string());
        instructions::of(plugins, ["way", reach.word()], &numbers)
    };
    Ok(run(pulls)?.zip(run(0)?).map(|(all, none)| all.saturating_sub(none)))
}

/// Of half the messages: starting and stopping are in what the other half took.
fn instructions_of_whole(
    plugins: &Path,
    listening: Listening,
    setting: Setting,
    messages: usize,
) -> Result<Option<u64>> {
    let run = |messages: usize| {
        let numbers = [setting.pull, setting.batch, messages].map(|number| number.to_string());
        instructions::of(plugins, ["whole", listening.word()], &numbers)
    };
    // The component's code for the processor that Valgrind shows is made by the first run, and kept.
    run(setting.pull)?;
    Ok(run(messages)?.zip(run(messages / 2)?).map(|(all, half)| 2 * all.saturating_sub(half)))
}

fn walk(reach: Reach, setting: Setting, pulls: usize, taken: usize, component: &Path) -> Result<Allocations> {
    let answers = way::answers(setting, pulls)?;
    let mut way = Way::new(reach, setting, component)?;
    let before = Allocations::now();
    let mut messages = 0;
    for answer in answers.into_iter().take(taken) {
        messages += way.take(answer)?;
    }
    let allocated = Allocations::now() - before;
    way.check(messages)?;
    Ok(allocated)
}

fn whole(
    listening: Listening,
    setting: Setting,
    messages: usize,
    component: &Path,
) -> Result<(Allocations, u64)> {
    let broker = BrokerProcess::start(messages)?;
    runtime()?.block_on(whole::consume(&broker, listening, setting, messages, component))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Allocations a message, decoded, through the machine, and through a native listener, in each setting: what they are,
    /// rounded up, so that a change that adds some is seen. Lower them when you have lowered the counts.
    const MOST: [(Setting, [f64; 3]); 3] = [
        (SETTINGS[0], [0.13, 0.19, 2.19]),
        (SETTINGS[1], [0.13, 0.19, 0.26]),
        (SETTINGS[2], [0.005, 0.007, 0.009]),
    ];

    #[test]
    fn a_message_costs_no_more_allocations_than_it_did() {
        let mut table = Table::default();
        for (setting, most) in MOST {
            let (messages, component) = (20_480, Path::new(""));
            let pulls = messages / setting.pull;
            for (reach, most) in [Reach::Decoded, Reach::Settled, Reach::Native].into_iter().zip(most) {
                let allocated = walk(reach, setting, pulls, pulls, component).unwrap();
                let each = allocated.calls as f64 / messages as f64;
                assert!(
                    each <= most,
                    "{setting}, {}: {each:.3} allocations a message, not {most}",
                    reach.label()
                );
                table.push(Row::new(reach.label(), setting, messages as u64, allocated, None));
            }
        }
        table.print(false).unwrap();
    }
}
