//! The command line of Gantry: parses, wires the crates together, prints. Nothing here is for reuse.

#![forbid(unsafe_code)]
#![expect(clippy::print_stderr, reason = "a command line program")]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        reason = "tests"
    )
)]

mod cli;
mod commands;
mod signals;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser as _;
use mimalloc::MiMalloc;
use tracing_subscriber::EnvFilter;

use cli::{Cli, Command};

/// Messages are allocated by one thread and freed by another, for which the system's allocator has locks that threads take from each
/// other.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(error) = start_logging(&cli) {
        eprintln!("error: {error:#}");
        return ExitCode::from(2);
    }
    let runtime = match cli.command {
        Command::Run(_) => gantry_host::runtime(),
        _ => tokio::runtime::Runtime::new(),
    };
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start the async runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(cli.command)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            commands::exit::code(&error)
        }
    }
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Run(args) => commands::run::run(args).await,
        Command::Broker(args) => commands::broker::run(args).await,
        Command::Demo(args) => commands::demo::run(args).await,
        Command::Bench(args) => commands::bench::run(args).await,
        Command::Send(args) => commands::send::run(args).await,
        Command::Pull(args) => commands::pull::run(args).await,
        Command::Status(args) => commands::status::status(&args),
        Command::Topic(command) => commands::topic::run(command).await,
        Command::Group(command) => commands::group::run(command).await,
        Command::Dlq(command) => commands::dlq::run(command).await,
        Command::Message(command) => commands::message::run(command).await,
        Command::Plugin(command) => commands::plugin::run(command).await,
        Command::Completions(args) => commands::completions::completions(&args),
        Command::Man(args) => commands::completions::man(&args),
    }
}

/// Logs go to standard error: `run` and `broker` tell of their work, the other commands only of trouble.
fn start_logging(cli: &Cli) -> anyhow::Result<()> {
    let usual = match cli.command {
        Command::Run(_) | Command::Broker(_) => "info",
        _ => "error",
    };
    let filter =
        cli.log.clone().or_else(|| std::env::var("GANTRY_LOG").ok()).unwrap_or_else(|| usual.to_owned());
    let filter = EnvFilter::try_new(&filter).map_err(|error| {
        anyhow::anyhow!("the log filter {filter:?} is unsound: {error}; try info or gantry_host=debug")
    })?;
    let json = matches!(&cli.command, Command::Run(args) if args.json);
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    if json {
        builder.json().init()
    } else {
        builder.with_target(false).init()
    }
    Ok(())
}
