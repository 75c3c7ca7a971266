//! `gantry topic`: a subject a file.

mod manage;
mod route;
mod stats;

use std::process::ExitCode;

use crate::cli::TopicCommand;

pub(crate) async fn run(command: TopicCommand) -> anyhow::Result<ExitCode> {
    match command {
        TopicCommand::Create(args) => manage::create(args).await,
        TopicCommand::List(args) => manage::list(args).await,
        TopicCommand::Route(args) => route::route(args).await,
        TopicCommand::Stats(args) => stats::stats(args).await,
        TopicCommand::Delete(args) => manage::delete(args).await,
    }
}
