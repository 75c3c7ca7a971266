//! `gantry topic`: a subject a file. The arguments of create and list are in [`crate::cli`].

mod manage;
mod route;
mod stats;

use std::process::ExitCode;

use clap::Args;

use crate::cli::{ClusterArgs, TopicCommand};

/// One topic and nothing else.
#[derive(Debug, Args)]
pub(crate) struct OneTopicArgs {
    /// The topic.
    topic: String,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    /// The topic.
    topic: String,
    /// Do it. Without, only what would be lost is shown.
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(command: TopicCommand) -> anyhow::Result<ExitCode> {
    match command {
        TopicCommand::Create(args) => manage::create(args).await,
        TopicCommand::List(args) => manage::list(args).await,
        TopicCommand::Route(args) => route::route(args).await,
        TopicCommand::Stats(args) => stats::stats(args).await,
        TopicCommand::Delete(args) => manage::delete(args).await,
    }
}
