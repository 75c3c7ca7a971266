//! Which groups have dead letters.

use std::process::ExitCode;

use clap::Args;
use gantry_host::client_instance::ClientInstance;
use gantry_protocol::names::{group_of, is_dlq};
use serde_json::json;

use super::position::Position;
use crate::cli::ClusterArgs;
use crate::commands::cluster::with_client;
use crate::commands::moment::shown;
use crate::commands::print_json;
use crate::commands::table::{Table, left, right};

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// A JSON array instead of text.
    #[arg(long)]
    json: bool,
}

struct Line {
    group: String,
    messages: i64,
    waiting: i64,
    newest: i64,
}

pub(crate) async fn list(args: ListArgs) -> anyhow::Result<ExitCode> {
    let lines = with_client(&args.cluster, async |client| {
        let mut lines = Vec::new();
        for topic in client.topic_list().await? {
            if is_dlq(&topic) && client.namespace().contains(&topic) {
                lines.push(line(client, &topic).await?);
            }
        }
        Ok(lines)
    })
    .await?;
    if args.json {
        let groups: Vec<_> = lines
            .iter()
            .map(|line| {
                json!({
                    "group": line.group, "messages": line.messages, "notReplayed": line.waiting, "newestTimestamp": line.newest,
                })
            })
            .collect();
        print_json(&groups)?;
    } else if lines.is_empty() {
        say!("no group has dead letters");
    } else {
        let mut table =
            Table::new([left("GROUP"), right("DEAD LETTERS"), right("NOT REPLAYED"), left("NEWEST")]);
        for line in lines {
            table.row([line.group, line.messages.to_string(), line.waiting.to_string(), shown(line.newest)]);
        }
        table.print();
    }
    Ok(ExitCode::SUCCESS)
}

async fn line(client: &ClientInstance, topic: &str) -> anyhow::Result<Line> {
    let group = client.namespace().unwrap(group_of(topic).unwrap_or(topic)).into_owned();
    let mut line = Line { group, messages: 0, waiting: 0, newest: 0 };
    for (mq, offsets) in client.topic_stats(topic).await?.offset_table.iter() {
        let (min, max) = (offsets.min_offset, offsets.max_offset);
        let replayed =
            Position::Brokers.offset(client, mq).await?.filter(|offset| *offset <= max).unwrap_or(min);
        line.messages += max - min;
        line.waiting += max - replayed.max(min);
        line.newest = line.newest.max(offsets.last_update_timestamp);
    }
    Ok(line)
}
