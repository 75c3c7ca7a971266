//! `gantry status`: a running host at a glance.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::admin::{AdminArgs, at, print_table, text};
use super::plugin::list;
use super::print_json;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gantry status
  gantry status --admin http://10.0.0.7:8088 --json

Exit codes: 0 the host is ready, 1 it cannot be asked, 3 it is not ready.")]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    admin: AdminArgs,
    /// One JSON object, as GET /status gives it.
    #[arg(long)]
    json: bool,
}

/// The exit code of a host that is not ready.
const NOT_READY: u8 = 3;

pub(crate) fn status(args: &StatusArgs) -> anyhow::Result<ExitCode> {
    let status = args.admin.get("/status")?;
    let ready = at(&status, "/ready").as_bool().unwrap_or(false);
    if args.json {
        print_json(&status)?;
    } else {
        say!("host {}: {}", text(at(&status, "/clientId")), if ready { "ready" } else { "not ready" });
        say!("name server {}\n", text(at(&status, "/nameServer")));
        list::print(at(&status, "/plugins"));
        say!();
        print_table(&queues(&status));
    }
    Ok(if ready { ExitCode::SUCCESS } else { ExitCode::from(NOT_READY) })
}

fn queues(status: &Value) -> Vec<Vec<String>> {
    let head = ["GROUP", "TOPIC", "QUEUE", "PHASE", "LAG", "WINDOW", "HELD BY"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for group in at(status, "/groups").as_array().into_iter().flatten() {
        for queue in at(group, "/queues").as_array().into_iter().flatten() {
            let (end, commit) = (at(queue, "/maxOffset").as_i64(), at(queue, "/commitOffset").as_i64());
            let lag = end.zip(commit).map(|(end, commit)| (end - commit).max(0).to_string());
            rows.push(vec![
                text(at(group, "/group")),
                text(at(queue, "/topic")),
                format!("{}/{}", text(at(queue, "/brokerName")), text(at(queue, "/queueId"))),
                text(at(queue, "/phase")),
                lag.unwrap_or_else(|| "-".to_owned()),
                text(at(queue, "/cachedMessages")),
                text(at(queue, "/heldBy")),
            ]);
        }
    }
    rows
}
