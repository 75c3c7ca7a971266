//! Writing dead letters into a file.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use serde_json::json;

use super::Filter;
use super::letters::Letters;
use crate::cli::ClusterArgs;
use crate::commands::cluster::with_client;
use crate::commands::progress::progress;
use crate::commands::{print_json, stored};

#[derive(Debug, Args)]
#[command(after_help = "Example:
  gantry dlq export orders-group dead.jsonl

Each line is what `gantry message show --json` shows. The dead letters stay where they are.")]
pub(crate) struct ExportArgs {
    /// The consumer group.
    group: String,
    /// The file; it must not exist.
    file: PathBuf,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn export(args: ExportArgs) -> anyhow::Result<ExitCode> {
    let file = args.file.display();
    let written = with_client(&args.cluster, async |client| {
        let mut letters = Letters::all(client, &args.group).await?;
        let output = File::create_new(&args.file)
            .with_context(|| format!("cannot make {file}; remove it or take another name"))?;
        let mut output = BufWriter::new(output);
        let bar = progress(Some(letters.left()), args.json);
        let mut written = 0_u64;
        while let Some(letter) = letters.next().await? {
            bar.inc(1);
            if args.filter.takes(&letter.message) {
                writeln!(output, "{}", stored::to_json(&letter.message)?)
                    .with_context(|| format!("cannot write {file}"))?;
                written += 1;
            }
        }
        output.flush().with_context(|| format!("cannot write {file}"))?;
        bar.finish_and_clear();
        Ok(written)
    })
    .await?;
    if args.json {
        print_json(&json!({ "group": args.group, "file": args.file, "messages": written }))?;
    } else {
        say!("wrote {written} dead letters of {} into {file}", args.group);
    }
    Ok(ExitCode::SUCCESS)
}
