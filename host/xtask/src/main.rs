//! xtask: everything about building and trying Gantry that needs more than one cargo command.
//!
//! It knows how to get compilers and servers and how to turn crates into components. It knows nothing of what the
//! host does with them: of the product's crates, only `gantry-build` is among its dependencies.

#![forbid(unsafe_code)]
#![expect(clippy::print_stderr, reason = "a command line tool: progress goes to the terminal")]

mod bindings;
mod guests;
mod project;
mod rocketmq;
mod toolchain;
mod whole;

use anyhow::Result;
use clap::{Parser, Subcommand};
use project::Project;
use std::process::ExitCode;

/// Builds of guests and their toolchains, Apache RocketMQ for tests.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Write the guest SDK's bindings from wit/.
    Bindings {
        /// Change nothing; fail when a file differs from what wit/ asks for.
        #[arg(long)]
        check: bool,
    },
    /// Build the plugins and the tests' guests into target/guests/components, and a compiler for them first if need be.
    #[command(alias = "plugins")]
    Guests {
        /// Only these, by the name of their directory.
        names: Vec<String>,
        /// Compile with a toolchain made from Debian's packages, even where the one at hand would do.
        #[arg(long)]
        debian_toolchain: bool,
    },
    /// Apache RocketMQ for tests, from its Maven artifacts.
    #[command(subcommand)]
    Rocketmq(rocketmq::Rocketmq),
    /// Build everything, then run `gantry demo`.
    Demo {
        /// Passed on, such as `--for 20s --json`; `--help` tells them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Build everything for speed, then measure on this machine: what a host costs by itself (`gantry bench`), then Gantry
    /// beside Apache's Java and Go clients, rocketmq-client-rust and raw pulls, at Apache RocketMQ and the embedded broker.
    ///
    /// Tables with targets go to standard output, JSON and plots to target/bench, the whole comparison as a page to
    /// docs/benchmarks.md. It takes an hour on a machine with nothing else to do; `--short` takes two minutes.
    Bench(whole::Bench),
    /// Build everything, then hosts and Java consumers that join, leave and are killed, at full size: 100,000 messages each.
    ///
    /// `cargo xtask test` runs the same with a fifth of the messages. Prints how many messages were lost and consumed again
    /// and how long queues stood still, on the embedded broker and on Apache RocketMQ, and what Java alone comes to.
    /// Takes a quarter of an hour; timings want a machine with nothing else to do.
    Soak {
        /// Passed on to the test program, such as `--skip apache`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Build everything, then run every test of the workspace.
    ///
    /// Half of the suites run against Apache RocketMQ, which needs a JDK and Maven. Without them that half is skipped, with
    /// a note; where GANTRY_REQUIRE_ROCKETMQ is set, as in CI, it fails. So it is with plugins in C, Go, JavaScript and Python
    /// whose compilers are neither there nor to be fetched, and GANTRY_REQUIRE_LANGUAGES.
    Test {
        /// Passed on to `cargo test --workspace`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<()> {
    let project = Project::locate()?;
    match task {
        Task::Bindings { check } => bindings::bindings(&project, check),
        Task::Guests { names, debian_toolchain } => guests::guests(&project, &names, debian_toolchain),
        Task::Rocketmq(task) => rocketmq::rocketmq(&project, task),
        Task::Demo { arguments } => whole::demo(&project, &arguments),
        Task::Bench(bench) => whole::bench(&project, &bench),
        Task::Soak { arguments } => whole::soak(&project, &arguments),
        Task::Test { arguments } => whole::test(&project, &arguments),
    }
}
