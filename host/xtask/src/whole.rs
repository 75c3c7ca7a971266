//! The README's commands: everything made ready, then one cargo command that takes this process's place, so that
//! Ctrl-C and the exit code are its own.

use crate::bindings;
use crate::guests::guests;
use crate::project::{self, Project};
use anyhow::{Context as _, Error, Result};
use cargo_metadata::MetadataCommand;
use gantry_apache::Installation;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// The sample plugins, then `gantry demo`.
pub(crate) fn demo(project: &Project, arguments: &[String]) -> Result<()> {
    guests(project, &["orders".into(), "orders-v2".into(), "minimal".into()], false)?;
    let mut cargo = Command::new(project::cargo());
    cargo.args(["run", "-p", "gantry", "--", "demo", "--plugins"]).arg(project.components()).args(arguments);
    become_it(project, cargo)
}

/// How to run the benchmark.
#[derive(Debug, clap::Args)]
pub(crate) struct Bench {
    /// A tenth of the load and one round: shows that everything works.
    #[arg(long)]
    short: bool,
    /// One JSON object instead of the table; target/bench/results.json has it in either case.
    #[arg(long)]
    json: bool,
    /// With the debug build the tests have made. Its times say nothing.
    #[arg(long)]
    debug: bool,
    /// Passed on to `gantry bench`, such as `-- --rounds 9`.
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// The sample plugin, then `gantry bench`.
pub(crate) fn bench(project: &Project, bench: &Bench) -> Result<()> {
    guests(project, &["minimal".into(), "minimal-records".into()], false)?;
    let mut gantry = if bench.debug { tested(project)? } else { released() };
    gantry.args(["bench", "--plugins"]).arg(project.components());
    let flags = [(bench.short, "--short"), (bench.json, "--json")];
    gantry.args(flags.into_iter().filter_map(|(set, flag)| set.then_some(flag))).args(&bench.arguments);
    become_it(project, gantry)
}

fn released() -> Command {
    let mut cargo = Command::new(project::cargo());
    cargo.args(["run", "--release", "-p", "gantry", "--"]);
    cargo
}

/// The program the tests run. Built for itself it would have dependencies with other features, and so all of them
/// compiled again.
fn tested(project: &Project) -> Result<Command> {
    let mut cargo = Command::new(project::cargo());
    cargo.args(["test", "-q", "--workspace", "--no-run"]).current_dir(project.root());
    project::run("the debug build", &mut cargo)?;
    let mut ask = MetadataCommand::new();
    let metadata =
        ask.manifest_path(project.path("Cargo.toml")).no_deps().exec().context("cargo metadata")?;
    Ok(Command::new(metadata.target_directory.join("debug/gantry")))
}

/// The suites of rebalance, crashes, order and outages at their full size, one after the other, with what they count.
pub(crate) fn soak(project: &Project, arguments: &[String]) -> Result<()> {
    guests(project, &[], false)?;
    let mut cargo = Command::new(project::cargo());
    cargo.args(["test", "--workspace", "--test", "conformance", "--"]);
    cargo.args([
        "rebalancing::",
        "crashing::",
        "ordering::",
        "outage::",
        "--test-threads",
        "1",
        "--nocapture",
    ]);
    cargo.args(arguments).env("GANTRY_SOAK", "1");
    if std::env::var_os("GANTRY_LOG").is_none() {
        cargo.env("GANTRY_LOG", "error");
    }
    become_it(project, cargo)
}

/// Guests, Apache RocketMQ, then every test of the workspace.
pub(crate) fn test(project: &Project, arguments: &[String]) -> Result<()> {
    bindings::bindings(project, true)?;
    guests(project, &[], false)?;
    eprintln!("rocketmq: making Apache RocketMQ {} ready", gantry_apache::VERSION);
    Installation::for_tests().context("the tests need Apache RocketMQ")?;
    let mut cargo = Command::new(project::cargo());
    cargo.args(["test", "--workspace"]).args(arguments);
    become_it(project, cargo)
}

fn become_it(project: &Project, mut command: Command) -> Result<()> {
    let error = command.current_dir(project.root()).exec();
    Err(Error::from(error).context(format!("cannot start {}", command.get_program().to_string_lossy())))
}
