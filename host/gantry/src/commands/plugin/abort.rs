//! `gantry plugin abort`: the trial of a version ends, and it does not serve.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::told;
use crate::commands::admin::{AdminArgs, segment};

#[derive(Debug, Args)]
#[command(after_help = "Example:
  gantry plugin abort orders

The version on trial, canary or shadow, is put in quarantine: its content is not tried again by itself.
Exit codes: 0 the trial has ended, 1 there was none, or the host cannot be asked.")]
pub(crate) struct AbortArgs {
    /// The plugin: its file's name without .wasm.
    name: String,
    #[command(flatten)]
    admin: AdminArgs,
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
}

pub(super) fn abort(args: &AbortArgs) -> anyhow::Result<ExitCode> {
    let path = format!("/plugins/{}/abort", segment(&args.name));
    told(&args.admin.post(&path, &json!({}))?, args.json)
}
