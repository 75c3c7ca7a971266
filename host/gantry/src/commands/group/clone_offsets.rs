//! Giving one group the offsets of another.

use std::process::ExitCode;

use clap::Args;
use gantry_host::client_instance::ClientInstance;
use gantry_protocol::body::SubscriptionGroupConfig;
use gantry_protocol::names::check_group;
use serde_json::json;

use super::moves::{self, Move, queues};
use crate::cli::ClusterArgs;
use crate::commands::cluster::with_client;
use crate::commands::exit::unknown_group;
use crate::commands::print_json;

#[derive(Debug, Args)]
#[command(after_help = "Example:
  gantry group clone-offsets orders-group orders-group-v2 --topic orders --yes

The group that gets the offsets must not be online: its members would store their own over them. It is created where it does
not exist.")]
pub(crate) struct CloneOffsetsArgs {
    /// The group whose offsets are taken.
    from: String,
    /// The group that gets them.
    to: String,
    /// The topic.
    #[arg(short, long)]
    topic: String,
    /// Do it. Without, only what would be done is shown.
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn clone_offsets(args: CloneOffsetsArgs) -> anyhow::Result<ExitCode> {
    let moves = with_client(&args.cluster, async |client| {
        let wire = |name: &str| client.namespace().wrap(name).into_owned();
        let (from, to) = (wire(&args.from), wire(&args.to));
        check_group(&to)?;
        let Some(moves) = plan(client, &from, &to, &wire(&args.topic)).await? else {
            return Err(unknown_group(&args.from).into());
        };
        if args.yes {
            carry_out(client, &args, &to, &moves).await?;
        }
        Ok(moves)
    })
    .await?;
    if args.json {
        let queues = moves::as_json(&moves);
        print_json(
            &json!({ "from": args.from, "to": args.to, "topic": args.topic, "done": args.yes, "queues": queues }),
        )?;
    } else if moves.is_empty() {
        say!("group {} has stored no offset of {}; there is nothing to clone", args.from, args.topic);
    } else {
        moves::print(&moves, args.yes);
    }
    Ok(ExitCode::SUCCESS)
}

/// None where there is no group `from`. Names are as brokers know them.
async fn plan(
    client: &ClientInstance,
    from: &str,
    to: &str,
    topic: &str,
) -> anyhow::Result<Option<Vec<Move>>> {
    let queues = queues(client, topic).await?;
    if !client.group_exists(from).await? {
        return Ok(None);
    }
    let mut moves = Vec::new();
    for mq in queues {
        if let Some(offset) = client.query_offset(from, &mq).await? {
            let before = client.query_offset(to, &mq).await?;
            moves.push(Move { mq, from: before, to: offset });
        }
    }
    Ok(Some(moves))
}

/// `to` is the group as brokers know it.
async fn carry_out(
    client: &ClientInstance,
    args: &CloneOffsetsArgs,
    to: &str,
    moves: &[Move],
) -> anyhow::Result<()> {
    if client.group_connection(to).await?.is_some() {
        anyhow::bail!(
            "group {} is online and its members would store their own offsets; stop them first (`gantry group members {}`)",
            args.to,
            args.to
        );
    }
    if !client.group_exists(to).await? {
        let settings =
            SubscriptionGroupConfig { group_name: to.to_owned(), ..SubscriptionGroupConfig::default() };
        client.create_group(&settings).await?;
    }
    moves::store(client, to, moves).await
}
