//! `gantry group`: a subject a file, with its own arguments.

mod clone_offsets;
mod list;
mod members;
mod moves;
mod progress;
mod reset;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::cli::ClusterArgs;

/// What can be done with consumer groups.
#[derive(Debug, Subcommand)]
pub(crate) enum GroupCommand {
    /// List the consumer groups of the cluster, with their members and their lag.
    List(list::ListArgs),
    /// How far a group is in each queue of its topics, and how many messages are left.
    Progress(progress::ProgressArgs),
    /// The members of a group that are online, and what they subscribe to.
    Members(OneGroupArgs),
    /// Move a group's offsets of a topic: skip messages, or consume some again. Shows what would be, and does it with --yes.
    Reset(reset::ResetArgs),
    /// Let one group go on where another is in a topic. Shows what would be, and does it with --yes.
    CloneOffsets(clone_offsets::CloneOffsetsArgs),
}

/// One group and nothing else.
#[derive(Debug, Args)]
pub(crate) struct OneGroupArgs {
    /// The consumer group.
    group: String,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(command: GroupCommand) -> anyhow::Result<ExitCode> {
    match command {
        GroupCommand::List(args) => list::list(args).await,
        GroupCommand::Progress(args) => progress::progress(args).await,
        GroupCommand::Members(args) => members::members(args).await,
        GroupCommand::Reset(args) => reset::reset(args).await,
        GroupCommand::CloneOffsets(args) => clone_offsets::clone_offsets(args).await,
    }
}
