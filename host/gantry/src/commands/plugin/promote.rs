//! `gantry plugin promote`: the version on trial serves, or the file's content that is held back.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::told;
use crate::commands::admin::{AdminArgs, segment};

#[derive(Debug, Args)]
#[command(after_help = "Example:
  gantry plugin promote orders

Ends a canary or a shadow well. Without one, lets the content of the plugin's file serve though it is in quarantine, or held
back since a rollback. Exit codes: 0 the version serves, 1 it does not, and why.")]
pub(crate) struct PromoteArgs {
    /// The plugin: its file's name without .wasm.
    name: String,
    #[command(flatten)]
    admin: AdminArgs,
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
}

pub(super) fn promote(args: &PromoteArgs) -> anyhow::Result<ExitCode> {
    let path = format!("/plugins/{}/promote", segment(&args.name));
    told(&args.admin.post(&path, &json!({}))?, args.json)
}
