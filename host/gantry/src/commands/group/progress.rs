//! How far a group is.

use std::process::ExitCode;

use clap::Args;
use gantry_protocol::MessageQueue;
use gantry_protocol::body::{ConsumeStats, OffsetWrapper};
use serde_json::{Value, json};

use crate::cli::ClusterArgs;
use crate::commands::cluster::with_client;
use crate::commands::exit::unknown_group;
use crate::commands::moment::shown;
use crate::commands::print_json;
use crate::commands::table::{Table, left, right};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gantry group progress orders-group
  gantry group progress orders-group --topic orders --json

LAG is what is stored after the group's offset; IN FLIGHT what its members have pulled of it already.")]
pub(crate) struct ProgressArgs {
    /// The consumer group.
    group: String,
    /// Only this topic.
    #[arg(short, long)]
    topic: Option<String>,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn progress(args: ProgressArgs) -> anyhow::Result<ExitCode> {
    let stats = with_client(&args.cluster, async |client| {
        let namespace = client.namespace();
        let group = &*namespace.wrap(&args.group);
        let topic = args.topic.as_deref().map(|topic| namespace.wrap(topic));
        if let Some(topic) = &topic {
            client.topic_route(topic).await?;
        }
        let mut stats = client.consume_stats(group, topic.as_deref()).await?;
        if !client.group_exists(group).await? {
            return Err(unknown_group(&args.group).into());
        }
        let queues = std::mem::take(&mut stats.offset_table.0).into_iter();
        stats.offset_table = queues.map(|(mq, offsets)| (namespace.unwrap_queue(&mq), offsets)).collect();
        Ok(stats)
    })
    .await?;
    if args.json {
        let queues: Vec<_> = stats.offset_table.iter().map(as_json).collect();
        print_json(
            &json!({ "group": args.group, "lag": lag(&stats), "consumeTps": stats.consume_tps, "queues": queues }),
        )?;
    } else if stats.offset_table.is_empty() {
        say!("group {} has stored no offset yet", args.group);
    } else {
        print(&stats);
    }
    Ok(ExitCode::SUCCESS)
}

/// What is left of all queues (mqadmin: Diff Total).
pub(super) fn lag(stats: &ConsumeStats) -> i64 {
    stats.offset_table.values().map(left_of).sum()
}

fn left_of(queue: &OffsetWrapper) -> i64 {
    queue.broker_offset - queue.consumer_offset
}

fn in_flight(queue: &OffsetWrapper) -> i64 {
    queue.pull_offset - queue.consumer_offset
}

fn as_json((mq, queue): (&MessageQueue, &OffsetWrapper)) -> Value {
    json!({
        "topic": &*mq.topic,
        "brokerName": &*mq.broker_name,
        "queueId": mq.queue_id,
        "brokerOffset": queue.broker_offset,
        "consumerOffset": queue.consumer_offset,
        "lag": left_of(queue),
        "inFlight": in_flight(queue),
        "lastTimestamp": queue.last_timestamp,
    })
}

fn print(stats: &ConsumeStats) {
    let mut table = Table::new([
        left("TOPIC"),
        left("BROKER"),
        right("QUEUE"),
        right("BROKER OFFSET"),
        right("CONSUMER OFFSET"),
        right("LAG"),
        right("IN FLIGHT"),
        left("LAST CONSUMED STORED"),
    ]);
    for (mq, queue) in stats.offset_table.iter() {
        table.row([
            mq.topic.to_string(),
            mq.broker_name.to_string(),
            mq.queue_id.to_string(),
            queue.broker_offset.to_string(),
            queue.consumer_offset.to_string(),
            left_of(queue).to_string(),
            in_flight(queue).to_string(),
            shown(queue.last_timestamp),
        ]);
    }
    table.print();
    say!("lag {} in {} queues", lag(stats), stats.offset_table.len());
}
