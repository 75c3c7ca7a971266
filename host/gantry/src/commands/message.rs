//! `gantry message`: find messages by id and by key, and take delayed ones back.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use gantry_host::client_instance::{ClientInstance, MessageQuery, Producer, ProducerConfig};
use gantry_protocol::message_id::parse_offset_msg_id;
use gantry_protocol::{MessageExt, ResponseCode};
use serde_json::json;

use super::cluster::with_client;
use super::exit::NotFound;
use super::moment::{Moment, shown};
use super::table::{Table, left, right};
use super::{print_json, stored};
use crate::cli::ClusterArgs;

/// What can be asked of messages.
#[derive(Debug, Subcommand)]
pub(crate) enum MessageCommand {
    /// Show one message: its places, times, properties and body.
    Show(ShowArgs),
    /// Find the messages of a topic that have a key.
    Query(QueryArgs),
    /// Take a message back that is delayed by time and not due yet.
    Recall(RecallArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gantry message show C00002022A504E0E2F2A7608A8090000 --topic orders
  gantry message show 7F000001000051AF0000000000005142

There are two ids. The message id (UNIQ_KEY) is what producers get and consumers see; it is found through the index of its
topic, and retries and replays of a message have the same: all are shown. The offset message id names a broker and a place
in its commit log.")]
pub(crate) struct ShowArgs {
    /// The message id, with --topic, or the offset message id.
    id: String,
    /// The topic to look for the message id in.
    #[arg(short, long)]
    topic: Option<String>,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// One JSON object per message.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gantry message query --topic orders --key order-1
  gantry message query --topic orders --key order-1 --begin -2h --json")]
pub(crate) struct QueryArgs {
    /// The topic.
    #[arg(short, long)]
    topic: String,
    /// One of the keys the messages were sent with.
    #[arg(short, long)]
    key: String,
    /// Most messages wanted. Brokers give 64 at most unless configured otherwise.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(i32).range(1..=10_000))]
    max: i32,
    /// Stored at this time or later: such as 2026-11-26T16:00:00Z, or -30m for half an hour ago.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    begin: Option<Moment>,
    /// Stored at this time or before.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    end: Option<Moment>,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// One JSON object per message.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:
  gantry message recall --topic orders djEgb3JkZXJzIGJyb2tlci1hIDE3OTU2ODkwMDAwMDEgQUJD

Brokers do it since 5.3, where they may (recallMessageEnable). They say the same of a message that has just been delivered.")]
pub(crate) struct RecallArgs {
    /// The handle that the send was answered with: `gantry send` prints it.
    handle: String,
    /// The topic it was sent to.
    #[arg(short, long)]
    topic: String,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(command: MessageCommand) -> anyhow::Result<ExitCode> {
    match command {
        MessageCommand::Show(args) => show(args).await,
        MessageCommand::Query(args) => query(args).await,
        MessageCommand::Recall(args) => recall(args).await,
    }
}

async fn recall(args: RecallArgs) -> anyhow::Result<ExitCode> {
    let message_id = with_client(&args.cluster, async |client| {
        let producer = Producer::new(client.clone(), ProducerConfig::default());
        Ok(producer.recall(&args.topic, &args.handle).await?)
    })
    .await?;
    match args.json {
        true => print_json(&json!({ "topic": args.topic, "messageId": message_id }))?,
        false => say!("recalled {message_id} of {}", args.topic),
    }
    Ok(ExitCode::SUCCESS)
}

async fn show(args: ShowArgs) -> anyhow::Result<ExitCode> {
    let found = with_client(&args.cluster, async |client| find(client, &args).await).await?;
    for (at, message) in found.iter().enumerate() {
        if args.json {
            print_json(&stored::to_json(message)?)?;
            continue;
        }
        if at > 0 {
            say!();
        }
        stored::print(message)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// By the index of the topic where one is given, else, or where the index has none, by place.
async fn find(client: &ClientInstance, args: &ShowArgs) -> anyhow::Result<Vec<MessageExt>> {
    let wire_topic = args.topic.as_deref().map(|topic| client.namespace().wrap(topic));
    if let Some(topic) = &wire_topic {
        let query = MessageQuery {
            topic: topic.to_string(),
            key: args.id.clone(),
            is_unique_key: true,
            max: 32,
            begin: 0,
            end: i64::MAX,
        };
        let found = client.query_message(&query).await?;
        if !found.is_empty() {
            return Ok(found);
        }
    }
    let place =
        parse_offset_msg_id(&args.id).ok().filter(|(broker, offset)| broker.port() > 0 && *offset >= 0);
    let Some((broker, offset)) = place else {
        let fix = match &args.topic {
            Some(topic) => format!("topic {topic} has no message {}", args.id),
            None => format!(
                "{} names no place at a broker; if it is a message id (UNIQ_KEY), give --topic",
                args.id
            ),
        };
        return Err(NotFound(fix).into());
    };
    match client.view_message(broker, offset, wire_topic.as_deref()).await {
        Ok(message) => Ok(vec![message]),
        Err(error) if error.code() == Some(ResponseCode::SYSTEM_ERROR) => Err(NotFound(format!(
            "broker {broker} has no message at offset {offset} of its commit log ({error})"
        ))
        .into()),
        Err(error) => Err(error.into()),
    }
}

async fn query(args: QueryArgs) -> anyhow::Result<ExitCode> {
    let mut found = with_client(&args.cluster, async |client| {
        let query = MessageQuery {
            topic: client.namespace().wrap(&args.topic).into_owned(),
            key: args.key.clone(),
            is_unique_key: false,
            max: args.max,
            begin: args.begin.map_or(0, |moment| moment.0),
            end: args.end.map_or(i64::MAX, |moment| moment.0),
        };
        Ok(client.query_message(&query).await?)
    })
    .await?;
    found.truncate(usize::try_from(args.max).unwrap_or(usize::MAX));
    if args.json {
        return found
            .iter()
            .try_for_each(|message| print_json(&stored::to_json(message)?))
            .map(|()| ExitCode::SUCCESS);
    }
    if found.is_empty() {
        say!("no message of {} has the key {}", args.topic, args.key);
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new([
        left("MESSAGE ID"),
        left("TAG"),
        left("KEYS"),
        right("QUEUE"),
        right("OFFSET"),
        left("STORED"),
    ]);
    for message in &found {
        table.row([
            message.message_id(),
            message.tags().unwrap_or("-").to_owned(),
            message.keys().unwrap_or("-").to_owned(),
            message.queue_id().to_string(),
            message.queue_offset().to_string(),
            shown(message.store_timestamp()),
        ]);
    }
    table.print();
    Ok(ExitCode::SUCCESS)
}
