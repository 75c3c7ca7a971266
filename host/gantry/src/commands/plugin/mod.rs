//! `gantry plugin`: a subject a file, with its own arguments.

mod bench;
mod check;
mod test;

use std::process::ExitCode;

use clap::Subcommand;

/// What can be done with plugins.
#[derive(Debug, Subcommand)]
pub(crate) enum PluginCommand {
    /// Load a plugin file as the host would and show what it says of itself, or why it would be rejected.
    Check(check::CheckArgs),
    /// Measure what a plugin costs per message, beside a listener in Rust that does nothing.
    Bench(bench::BenchArgs),
    /// Run messages from a file through a plugin, without a broker, and compare its answers with the expected ones.
    Test(test::TestArgs),
}

pub(crate) async fn run(command: PluginCommand) -> anyhow::Result<ExitCode> {
    match command {
        PluginCommand::Check(args) => check::check(&args),
        PluginCommand::Bench(args) => tokio::task::block_in_place(|| bench::bench(&args)),
        PluginCommand::Test(args) => tokio::task::block_in_place(|| test::test(&args)),
    }
}
