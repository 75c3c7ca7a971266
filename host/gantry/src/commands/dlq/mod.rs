//! `gantry dlq`: messages a group gave up, in its dead-letter topic; a subject a file, with its own arguments.

mod export;
mod letters;
mod list;
mod position;
mod replay;
mod show;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use gantry_protocol::MessageExt;

/// The group that remembers at the brokers how far each dead-letter topic was replayed.
pub(crate) const REPLAY_GROUP: &str = "GANTRY_REPLAY";

/// What can be done with dead letters.
#[derive(Debug, Subcommand)]
pub(crate) enum DlqCommand {
    /// List the groups that have dead letters, how many, and how many were not replayed.
    List(list::ListArgs),
    /// Show a group's dead letters.
    Show(show::ShowArgs),
    /// Send a group's dead letters to their topics again.
    Replay(replay::ReplayArgs),
    /// Write a group's dead letters into a file, one JSON object a line.
    Export(export::ExportArgs),
}

/// Which dead letters are meant; all where nothing is given.
#[derive(Debug, Args)]
pub(crate) struct Filter {
    /// Only the message with this id, or with this offset message id. May be given several times.
    #[arg(long, value_name = "ID")]
    id: Vec<String>,
    /// Only messages with this tag.
    #[arg(long)]
    tag: Option<String>,
    /// Only messages with this key.
    #[arg(long)]
    key: Option<String>,
}

impl Filter {
    /// Whether nothing is left out.
    pub(crate) fn takes_all(&self) -> bool {
        self.id.is_empty() && self.tag.is_none() && self.key.is_none()
    }

    /// Whether the message is meant.
    pub(crate) fn takes(&self, message: &MessageExt) -> bool {
        let named = |id: &String| *id == message.message_id() || *id == message.offset_msg_id();
        let has_key =
            |key: &str| message.keys().is_some_and(|keys| keys.split(' ').any(|known| known == key));
        (self.id.is_empty() || self.id.iter().any(named))
            && self.tag.as_deref().is_none_or(|tag| message.tags() == Some(tag))
            && self.key.as_deref().is_none_or(has_key)
    }
}

pub(crate) async fn run(command: DlqCommand) -> anyhow::Result<ExitCode> {
    match command {
        DlqCommand::List(args) => list::list(args).await,
        DlqCommand::Show(args) => show::show(args).await,
        DlqCommand::Replay(args) => replay::replay(args).await,
        DlqCommand::Export(args) => export::export(args).await,
    }
}
