//! gantry-peers: Gantry, other RocketMQ clients and raw pulls side by side, at Apache's broker and at the embedded one.
//! `cargo xtask bench` prepares and runs it.

#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line program")]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests"))]

mod admin;
mod brokers;
mod child;
mod contestant;
mod drain;
mod latency;
mod library;
mod plan;
mod plot;
mod programs;
mod report;
mod results;
mod run;
mod tally;
mod targets;
mod topic;
mod wire;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand, ValueEnum};
use mimalloc::MiMalloc;

use brokers::{Kind, Running};
use contestant::{Contestant, Setting};
use plan::Plan;
use programs::Programs;
use results::{Figure, Results};
use run::{Stage, Subject};

/// Messages are allocated by one thread and freed by another, for which the system's allocator has locks that threads take from each
/// other.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Gantry and other RocketMQ clients side by side: throughput, CPU, memory, latency.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    part: Option<Part>,
    #[command(flatten)]
    compare: Compare,
}

/// What takes part, as a process of its own.
#[derive(Debug, Subcommand)]
enum Part {
    /// Raw pulls.
    #[command(hide = true)]
    Drain(drain::Drain),
    /// The host as a library.
    #[command(hide = true)]
    Host(library::Library),
    /// The embedded broker.
    #[command(hide = true)]
    Broker(brokers::Embedded),
}

#[derive(Debug, clap::Args)]
struct Compare {
    /// A fiftieth of the load, one round, few consumers: shows that everything works.
    #[arg(long)]
    short: bool,
    /// One JSON object instead of the tables; peers.json has it in either case.
    #[arg(long)]
    json: bool,
    /// Rounds of everything. [default: 3, with --short 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: Option<u16>,
    /// Messages of the main load; the others follow it. [default: 1000000, with --short 20000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(10_000..=10_000_000))]
    messages: Option<u64>,
    /// Only these consumers.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<Contestant>,
    /// Only these brokers.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    brokers: Vec<Kind>,
    /// The directory with minimal.wasm and minimal-records.wasm.
    #[arg(long, value_name = "DIR", default_value = "target/guests/components")]
    plugins: PathBuf,
    /// Where peers.json, the plots and the page go, and what is built and written meanwhile.
    #[arg(long, value_name = "DIR", default_value = "target/bench")]
    workspace: PathBuf,
    /// Write the page here as well, with its plots beside it.
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
}

impl Compare {
    fn wants(&self, broker: Kind) -> bool {
        self.brokers.is_empty() || self.brokers.contains(&broker)
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.part {
        Some(Part::Drain(drain)) => drain::run(drain).map(|()| ExitCode::SUCCESS),
        Some(Part::Host(library)) => library::run(library).map(|()| ExitCode::SUCCESS),
        Some(Part::Broker(embedded)) => brokers::serve(embedded).map(|()| ExitCode::SUCCESS),
        None => compare(&cli.compare),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn compare(compare: &Compare) -> anyhow::Result<ExitCode> {
    let workspace = std::path::absolute(&compare.workspace)?;
    let files = workspace.join("peers");
    if files.exists() {
        std::fs::remove_dir_all(&files).with_context(|| format!("cannot empty {}", files.display()))?;
    }
    std::fs::create_dir_all(&files)?;
    let all: &[Contestant] = if compare.short { &plan::IN_SHORT } else { &Contestant::ALL };
    let wanted = if compare.only.is_empty() { all } else { &compare.only };
    eprintln!("bench: making ready what is compared");
    let components = std::path::absolute(&compare.plugins)?;
    let programs = Programs::prepare(wanted, compare.wants(Kind::Apache), &components, &workspace)?;
    let rounds = usize::from(compare.rounds.unwrap_or(if compare.short { 1 } else { 3 }));
    let load = plan::main(compare.messages.unwrap_or(if compare.short { 20_000 } else { 1_000_000 }));
    let plan = match compare.short {
        true => Plan::short(&programs.contestants, rounds, load),
        false => Plan::whole(&programs.contestants, rounds, load),
    };
    let mut results = Results::new(typed(compare), rounds, load);
    results.notes.clone_from(&programs.notes);
    // One thread, which waits for its sockets itself: with more, one wakes another for each message, and latencies have that in them.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let failed = runtime.block_on(measure(compare, &programs, &plan, &files, &mut results))?;
    results.targets = targets::of(&results);
    write(compare, &workspace, &results)?;
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The command as the page tells it.
fn typed(compare: &Compare) -> String {
    let mut passed = Vec::new();
    passed.extend(compare.rounds.map(|rounds| format!("--rounds {rounds}")));
    passed.extend(compare.messages.map(|messages| format!("--messages {messages}")));
    passed.extend(names("--only", &compare.only));
    passed.extend(names("--brokers", &compare.brokers));
    let short = if compare.short { " --short" } else { "" };
    let passed = if passed.is_empty() { String::new() } else { format!(" -- {}", passed.join(" ")) };
    format!("cargo xtask bench --peers{short}{passed}")
}

/// An option with these values; none where there are none.
fn names<T: ValueEnum>(option: &str, values: &[T]) -> Option<String> {
    let names = values.iter().filter_map(|value| Some(value.to_possible_value()?.get_name().to_owned()));
    let names: Vec<_> = names.collect();
    (!names.is_empty()).then(|| format!("{option} {}", names.join(",")))
}

fn write(compare: &Compare, workspace: &Path, results: &Results) -> anyhow::Result<()> {
    results.save(&workspace.join("peers.json"))?;
    let mut pages = vec![workspace.join("benchmarks.md")];
    pages.extend(compare.page.clone());
    for page in pages {
        let beside = page.parent().context("a page without a directory")?;
        std::fs::create_dir_all(beside.join("benchmarks"))?;
        let plots = plot::draw(results, &beside.join("benchmarks"))?;
        let plots: Vec<_> =
            plots.into_iter().map(|(title, file)| (title, format!("benchmarks/{file}"))).collect();
        std::fs::write(&page, report::page(results, &plots))
            .with_context(|| format!("cannot write {}", page.display()))?;
    }
    if compare.json {
        println!("{}", serde_json::to_string_pretty(results)?);
        return Ok(());
    }
    println!("{}", report::heading(results));
    for table in report::tables(results) {
        println!("{table}");
    }
    for note in &results.notes {
        println!("{note}");
    }
    if cfg!(debug_assertions) {
        println!("A debug build: this shows that everything works, not how fast it is.");
    }
    Ok(())
}

/// Both brokers in turn; whether anything failed.
async fn measure(
    compare: &Compare,
    programs: &Programs,
    plan: &Plan,
    files: &Path,
    results: &mut Results,
) -> anyhow::Result<bool> {
    let mut failed = false;
    if let Some(installation) = programs.apache.as_ref().filter(|_| compare.wants(Kind::Apache)) {
        eprintln!("bench: starting {}", Kind::Apache);
        let broker = Running::apache(installation, &files.join("apache"))?;
        failed |= at(programs, &broker, plan, files, results).await?;
    }
    if compare.wants(Kind::Embedded) {
        let (data, log) = (files.join("embedded"), files.join("embedded.log"));
        let broker = Running::embedded(&programs.own, &data, &log).await?;
        failed |= at(programs, &broker, plan, files, results).await?;
    }
    Ok(failed)
}

/// All rounds at one broker; whether anything failed.
async fn at(
    programs: &Programs,
    broker: &Running,
    plan: &Plan,
    files: &Path,
    results: &mut Results,
) -> anyhow::Result<bool> {
    let stage = Stage { programs, broker, files: files.to_owned() };
    for load in plan.loads().into_iter().chain([plan::WARMING]) {
        eprintln!("bench: {}: sending {load}", broker.kind);
        topic::create(broker.address, broker.name_server, &load.topic(), load.queues).await?;
        topic::fill(broker.address, load, &load.topic(), TOGETHER).await?;
        topic::await_filled(broker.address, load, &load.topic()).await?;
    }
    let mut failed = false;
    for contestant in programs.components.keys() {
        eprintln!("bench: {}: compiling for {contestant}", broker.kind);
        let subject = Subject::single(*contestant, Setting::Defaults, plan::WARMING);
        if let Err(error) = run::run(&stage, &subject).await {
            failed |= note(results, broker, &subject, &error);
        }
    }
    let mut given_up = BTreeSet::new();
    for round in 1..=plan.rounds {
        let tell = |subject: &Subject, what: &str| {
            eprintln!("bench: {}, round {round} of {}: {what}{subject}", broker.kind, plan.rounds);
        };
        for subject in &plan.runs {
            if given_up.contains(subject) {
                continue;
            }
            tell(subject, "");
            match run::run(&stage, subject).await {
                Ok(outcome) => results.push_outcome(broker.kind, *subject, &outcome),
                Err(error) => {
                    failed |= note(results, broker, subject, &error);
                    given_up.insert(*subject);
                }
            }
        }
        for subject in &plan.latencies {
            tell(subject, "latency, ");
            match latency::run(&stage, subject).await {
                Ok(latency) => results.push_latency(broker.kind, *subject, latency),
                Err(error) => failed |= note(results, broker, subject, &error),
            }
        }
        send(broker, plan, round, results).await?;
    }
    Ok(failed)
}

/// Messages a request when topics are filled.
const TOGETHER: u64 = 32;

async fn send(broker: &Running, plan: &Plan, round: usize, results: &mut Results) -> anyhow::Result<()> {
    let subject = Subject::single(Contestant::Bare, Setting::Defaults, plan.sends);
    for (figure, together) in [(Figure::SentSinglyPerSecond, 1), (Figure::SentTogetherPerSecond, TOGETHER)] {
        let topic = format!("bench-sends-{together}-{round}");
        topic::create(broker.address, broker.name_server, &topic, plan.sends.queues).await?;
        let rate = topic::fill(broker.address, plan.sends, &topic, together).await?;
        results.push(broker.kind, subject, figure, rate);
    }
    Ok(())
}

/// Notes why there is no figure; whether that is a failure of the comparison, as it is not where a peer does not manage.
fn note(results: &mut Results, broker: &Running, subject: &Subject, error: &anyhow::Error) -> bool {
    let note = format!("{subject}, from {}: {error:#}", broker.kind);
    eprintln!("bench: {note}");
    results.notes.push(note);
    !Contestant::PEERS.contains(&subject.contestant)
}
