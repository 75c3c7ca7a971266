//! `gantry plugin`: a subject a file, with its own arguments.

mod build;
mod check;
mod dev;
mod new;

use std::process::ExitCode;

use clap::Subcommand;

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
}

pub(crate) async fn run(command: PluginCommand) -> anyhow::Result<ExitCode> {
    match command {
        PluginCommand::Check(args) => check::check(&args),
        PluginCommand::New(args) => new::new(&args),
        PluginCommand::Build(args) => tokio::task::block_in_place(|| build::build(&args)),
        PluginCommand::Dev(args) => tokio::task::block_in_place(|| dev::dev(&args)),
    }
}
