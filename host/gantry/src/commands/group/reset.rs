//! Moving a group to another place of a topic.

use std::process::ExitCode;

use clap::Args;
use gantry_host::client_instance::{CallError, ClientInstance};
use gantry_protocol::MessageQueue;
use serde_json::json;

use super::moves::{self, Move, queues};
use crate::cli::ClusterArgs;
use crate::commands::cluster::with_client;
use crate::commands::exit::unknown_group;
use crate::commands::moment::Place;
use crate::commands::print_json;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gantry group reset orders-group --topic orders --to begin
  gantry group reset orders-group --topic orders --to 2026-11-26T16:00:00Z --yes
  gantry group reset orders-group --topic orders --to -30m --yes

Members that run go there too: with brokers since 5.0 at the next pull of each queue. An offset below a queue's oldest message, or
after its end, becomes that. Single offsets need brokers since 5.0 while members are online.")]
pub(crate) struct ResetArgs {
    /// The consumer group.
    group: String,
    /// The topic.
    #[arg(short, long)]
    topic: String,
    /// begin, end, an offset, or a time: 2026-11-26T16:00:00Z, without zone local time, -30m for half an hour ago, or
    /// @MILLISECONDS since 1970.
    #[arg(long, value_name = "begin|end|TIME|OFFSET", allow_hyphen_values = true)]
    to: Place,
    /// Do it. Without, only what would be done is shown.
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
}

/// What is asked, group and topic as brokers know them.
struct Reset<'a> {
    group: String,
    topic: String,
    args: &'a ResetArgs,
}

pub(crate) async fn reset(args: ResetArgs) -> anyhow::Result<ExitCode> {
    let moves = with_client(&args.cluster, async |client| {
        let wrap = |name: &str| client.namespace().wrap(name).into_owned();
        let reset = Reset { group: wrap(&args.group), topic: wrap(&args.topic), args: &args };
        let mut moves = plan(client, &reset).await?;
        if args.yes {
            carry_out(client, &reset, &mut moves).await?;
        }
        Ok(moves)
    })
    .await?;
    if args.json {
        let queues = moves::as_json(&moves);
        print_json(&json!({ "group": args.group, "topic": args.topic, "done": args.yes, "queues": queues }))?;
    } else {
        moves::print(&moves, args.yes);
    }
    Ok(ExitCode::SUCCESS)
}

async fn plan(client: &ClientInstance, reset: &Reset<'_>) -> anyhow::Result<Vec<Move>> {
    let queues = queues(client, &reset.topic).await?;
    if !client.group_exists(&reset.group).await? {
        return Err(unknown_group(&reset.args.group).into());
    }
    let mut moves = Vec::new();
    for mq in queues {
        let from = client.query_offset(&reset.group, &mq).await?;
        let to = place(client, &mq, reset.args.to).await?;
        moves.push(Move { mq, from, to });
    }
    Ok(moves)
}

async fn place(client: &ClientInstance, mq: &MessageQueue, place: Place) -> Result<i64, CallError> {
    match place {
        Place::Begin => client.min_offset(mq).await,
        Place::End => client.max_offset(mq).await,
        Place::Time(moment) => client.search_offset(mq, moment.0).await,
        Place::Offset(offset) => {
            let (min, max) = (client.min_offset(mq).await?, client.max_offset(mq).await?);
            Ok(offset.clamp(min, max.max(min)))
        }
    }
}

/// By the brokers, which tell the members; where they cannot because nobody is online, the offsets are stored.
async fn carry_out(client: &ClientInstance, reset: &Reset<'_>, moves: &mut [Move]) -> anyhow::Result<()> {
    let asked = match reset.args.to {
        Place::Begin => by_time(client, reset, moves, 0).await,
        Place::End => by_time(client, reset, moves, -1).await,
        Place::Time(moment) => by_time(client, reset, moves, moment.0).await,
        Place::Offset(_) => by_queue(client, &reset.group, moves).await,
    };
    let Err(error) = asked else { return Ok(()) };
    let is_refused = matches!(error.downcast_ref(), Some(CallError::Refused { .. }));
    if is_refused && client.group_connection(&reset.group).await?.is_none() {
        return moves::store(client, &reset.group, moves).await;
    }
    Err(error.context(format!("group {} was not reset at every broker", reset.args.group)))
}

/// Which every broker can; it says where each queue went.
async fn by_time(
    client: &ClientInstance,
    reset: &Reset<'_>,
    moves: &mut [Move],
    timestamp: i64,
) -> anyhow::Result<()> {
    let moved = client.reset_offsets_by_time(&reset.group, &reset.topic, timestamp).await?.offset_table;
    for queue in moves {
        queue.to = moved.get(&queue.mq).copied().unwrap_or(queue.to);
    }
    Ok(())
}

async fn by_queue(client: &ClientInstance, group: &str, moves: &[Move]) -> anyhow::Result<()> {
    for queue in moves {
        let moved = client.reset_offset(group, &queue.mq, queue.to).await?.offset_table;
        if moved.len() != 1 || moved.get(&queue.mq) != Some(&queue.to) {
            anyhow::bail!(
                "broker {} cannot reset single queues (it is older than 5.0, or useServerSideResetOffset is off) and moved \
                 others instead; stop the members of {group}, or reset by time",
                queue.mq.broker_name
            );
        }
    }
    Ok(())
}
