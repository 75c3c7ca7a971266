//! Which groups there are.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::progress::lag;
use crate::cli::ClusterArgs;
use crate::commands::cluster::with_client;
use crate::commands::print_json;
use crate::commands::table::{Table, left, right};

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// RocketMQ's own groups too, and those of these tools.
    #[arg(short, long)]
    all: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// A JSON array instead of text.
    #[arg(long)]
    json: bool,
}

struct Line {
    group: String,
    members: usize,
    model: Option<&'static str>,
    lag: i64,
}

pub(crate) async fn list(args: ListArgs) -> anyhow::Result<ExitCode> {
    let lines = with_client(&args.cluster, async |client| {
        let mut lines = Vec::new();
        for group in client.group_list().await? {
            let name = client.namespace().unwrap(&group);
            if !client.namespace().contains(&group) || !args.all && is_own(&name) {
                continue;
            }
            let online = client.group_connection(&group).await?;
            let lag = lag(&client.consume_stats(&group, None).await?);
            let members = online.as_ref().map_or(0, |online| online.connection_set.len());
            lines.push(Line {
                group: name.into_owned(),
                members,
                model: online.map(|online| online.message_model.as_str()),
                lag,
            });
        }
        Ok(lines)
    })
    .await?;
    if args.json {
        let groups: Vec<_> = lines
            .iter()
            .map(|line| {
                json!({ "group": line.group, "members": line.members, "messageModel": line.model, "lag": line.lag })
            })
            .collect();
        print_json(&groups)?;
    } else if lines.is_empty() {
        say!("there are no consumer groups; one appears when its first member joins");
    } else {
        let mut table = Table::new([left("GROUP"), right("MEMBERS"), left("MODEL"), right("LAG")]);
        for line in lines {
            let model = line.model.unwrap_or("-").to_owned();
            table.row([line.group, line.members.to_string(), model, line.lag.to_string()]);
        }
        table.print();
    }
    Ok(ExitCode::SUCCESS)
}

/// RocketMQ's own groups (MixAll), and those of these tools.
fn is_own(group: &str) -> bool {
    const NAMES: [&str; 10] = [
        "DEFAULT_CONSUMER",
        "TOOLS_CONSUMER",
        "SCHEDULE_CONSUMER",
        "FILTERSRV_CONSUMER",
        "__MONITOR_CONSUMER",
        "SELF_TEST_C_GROUP",
        "CID_ONS-HTTP-PROXY",
        "CID_SYS_RMQ_TRANS",
        crate::commands::dlq::REPLAY_GROUP,
        crate::commands::pull::DEFAULT_GROUP,
    ];
    group.starts_with("CID_RMQ_SYS_") || group.starts_with("CID_ONSAPI_") || NAMES.contains(&group)
}
