//! `gantry plugin`: a subject a file, with its own arguments.

mod abort;
mod bench;
mod build;
mod check;
mod dev;
pub(super) mod list;
mod new;
mod promote;
mod rollback;
mod test;

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::Value;

use super::print_json;

/// What can be done with plugins.
#[derive(Debug, Subcommand)]
pub(crate) enum PluginCommand {
    /// Load a plugin file as the host would and show what it says of itself, or why it would be rejected.
    Check(check::CheckArgs),
    /// Make a directory with a new plugin, in a language and for a role.
    New(new::NewArgs),
    /// Make a component of a plugin's sources; fetch the language's compiler where that is needed.
    Build(build::BuildArgs),
    /// Watch a plugin's sources and swap each new version into a running host.
    Dev(dev::DevArgs),
    /// Measure what a plugin costs per message, beside a listener in Rust that does nothing.
    Bench(bench::BenchArgs),
    /// Run messages from a file through a plugin, without a broker, and compare its answers with the expected ones.
    Test(test::TestArgs),
    /// List the plugins of a running host: states, versions, trials, and what is held back and why.
    List(list::ListArgs),
    /// Let an earlier version of a plugin serve again.
    Rollback(rollback::RollbackArgs),
    /// Let the version on trial serve, or the content of the file that is held back.
    Promote(promote::PromoteArgs),
    /// End the trial of a version: it does not serve.
    Abort(abort::AbortArgs),
}

pub(crate) async fn run(command: PluginCommand) -> anyhow::Result<ExitCode> {
    match command {
        PluginCommand::Check(args) => check::check(&args),
        PluginCommand::New(args) => new::new(&args),
        PluginCommand::Build(args) => tokio::task::block_in_place(|| build::build(&args)),
        PluginCommand::Dev(args) => tokio::task::block_in_place(|| dev::dev(&args)),
        PluginCommand::Bench(args) => tokio::task::block_in_place(|| bench::bench(&args)),
        PluginCommand::Test(args) => tokio::task::block_in_place(|| test::test(&args)),
        PluginCommand::List(args) => list::list(&args),
        PluginCommand::Rollback(args) => rollback::rollback(&args),
        PluginCommand::Promote(args) => promote::promote(&args),
        PluginCommand::Abort(args) => abort::abort(&args),
    }
}

/// Prints what the host says it has done.
fn told(answer: &Value, json: bool) -> anyhow::Result<ExitCode> {
    match json {
        true => print_json(answer)?,
        false => say!("{}", answer.get("done").and_then(Value::as_str).unwrap_or("done")),
    }
    Ok(ExitCode::SUCCESS)
}
