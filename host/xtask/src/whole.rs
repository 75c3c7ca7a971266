//! The README's commands: everything made ready, then one cargo command that takes this process's place, so that
//! Ctrl-C and the exit code are its own.

use crate::bindings;
use crate::guests::guests;
use crate::project::{self, Project};
use anyhow::{Context as _, Error, Result, ensure};
use cargo_metadata::MetadataCommand;
use gantry_apache::Installation;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

/// The sample plugins, then `gantry demo`.
pub(crate) fn demo(project: &Project, arguments: &[String]) -> Result<()> {
    guests(project, &["orders".into(), "orders-v2".into(), "minimal".into()], false)?;
    let mut cargo = Command::new(project::cargo());
    cargo.args(["run", "-p", "gantry", "--", "demo", "--plugins"]).arg(project.components()).args(arguments);
    become_it(project, cargo)
}

/// How to run the benchmarks.
#[derive(Debug, clap::Args)]
pub(crate) struct Bench {
    /// Only what a host costs by itself (`gantry bench`).
    #[arg(long)]
    host: bool,
    /// Only what a message costs in allocations and instructions (`gantry-counts`).
    #[arg(long, conflicts_with = "host")]
    counts: bool,
    /// Only Gantry and other clients side by side.
    #[arg(long, conflicts_with_all = ["host", "counts"])]
    peers: bool,
    /// A fraction of the load and one round: shows that everything works.
    #[arg(long)]
    short: bool,
    /// JSON instead of tables, an object of each; target/bench has results.json and peers.json in either case.
    #[arg(long)]
    json: bool,
    /// With the debug build the tests have made. Its times say nothing.
    #[arg(long)]
    debug: bool,
    /// Passed on, with --host, --counts or --peers: `--peers -- --rounds 9 --only rust,java-client`; `-- --help` tells them.
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// The sample plugins, then what a host costs, what a message costs, and the comparison; or one of the three.
pub(crate) fn bench(project: &Project, bench: &Bench) -> Result<()> {
    let all = !(bench.host || bench.counts || bench.peers);
    ensure!(
        bench.arguments.is_empty() || !all,
        "what is passed on needs --host, --counts or --peers before it, to say whom it is for"
    );
    guests(project, &["minimal".into(), "minimal-records".into()], false)?;
    let programs = if bench.debug { tested(project)? } else { released(project)? };
    let told = |program: &str, own: &[&str]| {
        let mut command = Command::new(programs.join(program));
        command.args(own);
        let flags = [(bench.short, "--short"), (bench.json, "--json")];
        command.args(flags.into_iter().filter_map(|(set, flag)| set.then_some(flag)));
        command.arg("--plugins").arg(project.components()).args(&bench.arguments);
        command
    };
    let counted = if bench.debug { &["--allocations"][..] } else { &[] };
    let page = if bench.short || bench.debug { &[][..] } else { &["--page", "docs/benchmarks.md"] };
    let parts = [
        (bench.host, "gantry", &["bench"][..]),
        (bench.counts, "gantry-counts", counted),
        (bench.peers, "gantry-peers", page),
    ];
    for (wanted, program, own) in parts {
        if all || wanted {
            project::run(program, told(program, own).current_dir(project.root()))?;
        }
    }
    Ok(())
}

/// The directory of the programs built for speed.
fn released(project: &Project) -> Result<PathBuf> {
    let mut cargo = Command::new(project::cargo());
    cargo.args(["build", "--release", "-p", "gantry", "-p", "gantry-counts", "-p", "gantry-peers"]);
    cargo.current_dir(project.root());
    project::run("the release build", &mut cargo)?;
    Ok(target(project)?.join("release"))
}

/// The directory of the programs the tests run. Built for themselves they would have dependencies with other features, and
/// so all of them compiled again.
fn tested(project: &Project) -> Result<PathBuf> {
    let mut cargo = Command::new(project::cargo());
    cargo.args(["test", "-q", "--workspace", "--no-run"]).current_dir(project.root());
    project::run("the debug build", &mut cargo)?;
    Ok(target(project)?.join("debug"))
}

/// Where cargo builds.
fn target(project: &Project) -> Result<PathBuf> {
    let mut ask = MetadataCommand::new();
    let metadata =
        ask.manifest_path(project.path("Cargo.toml")).no_deps().exec().context("cargo metadata")?;
    Ok(metadata.target_directory.into_std_path_buf())
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

/// Guests, Apache RocketMQ, then every test of the workspace, those behind one that fails too.
pub(crate) fn test(project: &Project, arguments: &[String]) -> Result<()> {
    bindings::bindings(project, true)?;
    guests(project, &[], false)?;
    eprintln!("rocketmq: making Apache RocketMQ {} ready", gantry_apache::VERSION);
    Installation::for_tests().context("the tests need Apache RocketMQ")?;
    let mut cargo = Command::new(project::cargo());
    cargo.args(["test", "--workspace", "--no-fail-fast"]).args(arguments);
    become_it(project, cargo)
}

fn become_it(project: &Project, mut command: Command) -> Result<()> {
    let error = command.current_dir(project.root()).exec();
    Err(Error::from(error).context(format!("cannot start {}", command.get_program().to_string_lossy())))
}
