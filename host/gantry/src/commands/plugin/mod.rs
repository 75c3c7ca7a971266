//! `gantry plugin`: a subject a file, with its own arguments.

mod check;

use std::process::ExitCode;

use clap::Subcommand;

/// What can be done with plugins.
#[derive(Debug, Subcommand)]
pub(crate) enum PluginCommand {
    /// Load a plugin file as the host would and show what it says of itself, or why it would be rejected.
    Check(check::CheckArgs),
}

pub(crate) async fn run(command: PluginCommand) -> anyhow::Result<ExitCode> {
    match command {
        PluginCommand::Check(args) => check::check(&args),
    }
}
