//! Where a topic is: its brokers and queues, as the name server tells clients.

use std::process::ExitCode;

use gantry_host::client_instance::ClientInstance;
use gantry_protocol::perm;
use serde_json::json;

use super::OneTopicArgs;
use crate::commands::cluster::with_client;
use crate::commands::print_json;
use crate::commands::table::{Table, left, right};

pub(crate) async fn route(args: OneTopicArgs) -> anyhow::Result<ExitCode> {
    let asked =
        async |client: &ClientInstance| Ok(client.topic_route(&client.namespace().wrap(&args.topic)).await?);
    let route = with_client(&args.cluster, asked).await?;
    let mut queues: Vec<_> = route.queue_datas.iter().collect();
    queues.sort_by(|a, b| a.broker_name.cmp(&b.broker_name));
    let addresses = |name: &str| {
        let broker = route.broker_datas.iter().find(|broker| broker.broker_name == name);
        broker.map(|broker| broker.broker_addrs.clone()).unwrap_or_default()
    };
    if args.json {
        let brokers: Vec<_> = queues
            .iter()
            .map(|queue| {
                json!({
                    "brokerName": queue.broker_name,
                    "readQueues": queue.read_queue_nums,
                    "writeQueues": queue.write_queue_nums,
                    "permission": permission(queue.perm),
                    "addresses": addresses(&queue.broker_name),
                })
            })
            .collect();
        print_json(&json!({ "topic": args.topic, "brokers": brokers }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let columns =
        [left("BROKER"), right("READ QUEUES"), right("WRITE QUEUES"), left("PERM"), left("ADDRESSES")];
    let mut table = Table::new(columns);
    for queue in queues {
        let of_id = |(id, addr): (i64, String)| if id == 0 { addr } else { format!("{addr} (slave {id})") };
        let addresses: Vec<_> = addresses(&queue.broker_name).into_iter().map(of_id).collect();
        table.row([
            queue.broker_name.clone(),
            queue.read_queue_nums.to_string(),
            queue.write_queue_nums.to_string(),
            permission(queue.perm),
            addresses.join(", "),
        ]);
    }
    table.print();
    Ok(ExitCode::SUCCESS)
}

/// As RocketMQ writes it, such as `RW-`.
fn permission(bits: i32) -> String {
    let letter = |has: bool, letter: char| if has { letter } else { '-' };
    [
        letter(perm::is_readable(bits), 'R'),
        letter(perm::is_writable(bits), 'W'),
        letter(perm::is_inherited(bits), 'X'),
    ]
    .iter()
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_are_written_as_rocketmq_does() {
        assert_eq!(
            [permission(6), permission(7), permission(4), permission(0)],
            ["RW-", "RWX", "R--", "---"]
        );
    }
}
