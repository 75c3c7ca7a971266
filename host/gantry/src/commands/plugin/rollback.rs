//! `gantry plugin rollback`: an earlier version serves again.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::told;
use crate::commands::admin::{AdminArgs, segment};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gantry plugin rollback orders
  gantry plugin rollback orders --to 1f0c93ab

The plugin's file is left alone and held back until its content changes again, or until `gantry plugin promote`.
Exit codes: 0 the version serves, 1 it does not, and why.")]
pub(crate) struct RollbackArgs {
    /// The plugin: its file's name without .wasm.
    name: String,
    /// The version's content hash, or the first 4 or more digits of it. [default: the version before]
    #[arg(long, value_name = "HASH")]
    to: Option<String>,
    #[command(flatten)]
    admin: AdminArgs,
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
}

pub(super) fn rollback(args: &RollbackArgs) -> anyhow::Result<ExitCode> {
    let path = format!("/plugins/{}/rollback", segment(&args.name));
    told(&args.admin.post(&path, &json!({ "hash": args.to }))?, args.json)
}
