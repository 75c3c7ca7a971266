//! A group's dead letters, one by one.

use std::process::ExitCode;

use clap::Args;
use gantry_host::client_instance::dead_letter_origin;
use gantry_protocol::{MessageExt, Namespace};

use super::Filter;
use super::letters::Letters;
use crate::cli::ClusterArgs;
use crate::commands::cluster::with_client;
use crate::commands::exit::NotFound;
use crate::commands::moment::shown;
use crate::commands::table::{Table, left, right};
use crate::commands::{print_json, stored};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gantry dlq show orders-group
  gantry dlq show orders-group --tag paid --max 100 --json
  gantry dlq show orders-group --id C00002022A504E0E2F2A7608A8090000

With --id a message is shown whole.")]
pub(crate) struct ShowArgs {
    /// The consumer group.
    group: String,
    #[command(flatten)]
    filter: Filter,
    /// Most messages shown, oldest first.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..))]
    max: u32,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// One JSON object per message.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn show(args: ShowArgs) -> anyhow::Result<ExitCode> {
    let (found, more, namespace) = with_client(&args.cluster, async |client| {
        let namespace = client.namespace().clone();
        let mut letters = Letters::all(client, &args.group).await?;
        let mut found = Vec::new();
        while let Some(letter) = letters.next().await? {
            if !args.filter.takes(&letter.message) {
                continue;
            }
            if found.len() as u64 == u64::from(args.max) {
                return Ok((found, true, namespace));
            }
            found.push(letter.message);
        }
        Ok((found, false, namespace))
    })
    .await?;
    if args.json {
        found.iter().try_for_each(|message| print_json(&stored::to_json(message)?))?;
    } else if found.is_empty() && args.filter.takes_all() {
        say!("group {} has no dead letters", args.group);
    } else if !args.filter.id.is_empty() {
        found.iter().try_for_each(stored::print)?;
    } else {
        print(&found, more, &namespace);
    }
    if found.is_empty() && !args.filter.takes_all() {
        return Err(NotFound(format!("group {} has no such dead letter", args.group)).into());
    }
    Ok(ExitCode::SUCCESS)
}

fn print(found: &[MessageExt], more: bool, namespace: &Namespace) {
    let mut table = Table::new([
        left("MESSAGE ID"),
        left("TOPIC"),
        left("TAG"),
        left("KEYS"),
        right("RECONSUMED"),
        left("DEAD SINCE"),
        right("BYTES"),
    ]);
    for message in found {
        table.row([
            message.message_id(),
            dead_letter_origin(message).map_or("-".into(), |topic| namespace.unwrap(topic)).into_owned(),
            message.tags().unwrap_or("-").to_owned(),
            message.keys().unwrap_or("-").to_owned(),
            message.reconsume_times().to_string(),
            shown(message.store_timestamp()),
            message.stored_body().len().to_string(),
        ]);
    }
    table.print();
    if more {
        say!("there are more; --max shows them");
    }
}
