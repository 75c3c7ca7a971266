//! What is in a topic: where each queue begins and ends.

use std::process::ExitCode;

use gantry_host::client_instance::ClientInstance;
use serde_json::json;

use super::OneTopicArgs;
use crate::commands::cluster::with_client;
use crate::commands::moment::shown;
use crate::commands::print_json;
use crate::commands::table::{Table, left, right};

pub(crate) async fn stats(args: OneTopicArgs) -> anyhow::Result<ExitCode> {
    let asked =
        async |client: &ClientInstance| Ok(client.topic_stats(&client.namespace().wrap(&args.topic)).await?);
    let stats = with_client(&args.cluster, asked).await?;
    let messages: i64 = stats.offset_table.values().map(|queue| queue.max_offset - queue.min_offset).sum();
    if args.json {
        let queues: Vec<_> = stats
            .offset_table
            .iter()
            .map(|(mq, offsets)| {
                json!({
                    "brokerName": &*mq.broker_name,
                    "queueId": mq.queue_id,
                    "minOffset": offsets.min_offset,
                    "maxOffset": offsets.max_offset,
                    "lastUpdateTimestamp": offsets.last_update_timestamp,
                })
            })
            .collect();
        let topic_put_tps = stats.topic_put_tps;
        print_json(
            &json!({ "topic": args.topic, "messages": messages, "putTps": topic_put_tps, "queues": queues }),
        )?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new([
        left("BROKER"),
        right("QUEUE"),
        right("MIN OFFSET"),
        right("MAX OFFSET"),
        right("MESSAGES"),
        left("LAST STORED"),
    ]);
    for (mq, offsets) in stats.offset_table.iter() {
        table.row([
            mq.broker_name.to_string(),
            mq.queue_id.to_string(),
            offsets.min_offset.to_string(),
            offsets.max_offset.to_string(),
            (offsets.max_offset - offsets.min_offset).to_string(),
            shown(offsets.last_update_timestamp),
        ]);
    }
    table.print();
    say!("{messages} messages in {} queues", stats.offset_table.len());
    Ok(ExitCode::SUCCESS)
}
