//! Sending dead letters to their topics again: slowly, resumable, each once.

use std::path::PathBuf;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use gantry_host::client_instance::{CallError, ClientInstance, dead_letter_origin};
use gantry_protocol::{MessageExt, ResponseCode};
use serde_json::json;
use tokio::time::{Interval, MissedTickBehavior, interval, sleep};

use super::Filter;
use super::letters::{Letter, Letters};
use super::position::Position;
use crate::cli::ClusterArgs;
use crate::commands::cluster::with_client;
use crate::commands::exit::{NotFound, STOPPED};
use crate::commands::print_json;
use crate::commands::progress::progress;
use crate::signals::asked_to_stop;

/// How often a broker that certainly has not stored a message is asked again.
const ATTEMPTS: u32 = 5;
/// The pause before the second attempt; each further one is as much longer.
const PAUSE: Duration = Duration::from_millis(200);

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gantry dlq replay orders-group
  gantry dlq replay orders-group --rate 20
  gantry dlq replay orders-group --id C00002022A504E0E2F2A7608A8090000
  gantry dlq replay orders-group --tag paid --position paid.json

Each message is stored again in the topic it was first sent to, for every group that consumes it, with its tag, keys, properties
and id; reconsume times begin at 0. The dead letters stay in the dead-letter topic until the broker removes them by age.

A replay of all keeps its position at the brokers, as offsets of group GANTRY_REPLAY, after every message: the next one goes
on there, whether the last one ended, was stopped, failed or was killed. A replay that picks messages keeps its position only
in the file given with --position. A message is sent twice only if the answer to it was lost.")]
pub(crate) struct ReplayArgs {
    /// The consumer group.
    group: String,
    #[command(flatten)]
    filter: Filter,
    /// Send to this topic instead of the messages' own.
    #[arg(long, value_name = "TOPIC")]
    to_topic: Option<String>,
    /// Most messages per second.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// Keep the position in this file instead of at the brokers.
    #[arg(long, value_name = "FILE")]
    position: Option<PathBuf>,
    /// Begin at the oldest dead letter again, whatever was replayed before.
    #[arg(long)]
    from_start: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
}

/// What a replay did.
#[derive(Debug, Default)]
struct Tally {
    replayed: u64,
    passed_over: u64,
    left: u64,
    stopped: bool,
}

pub(crate) async fn replay(args: ReplayArgs) -> anyhow::Result<ExitCode> {
    let mut position = match &args.position {
        Some(file) => Position::in_file(file)?,
        None if args.filter.takes_all() => Position::Brokers,
        None => Position::Nowhere,
    };
    let tally =
        with_client(&args.cluster, async |client| replay_all(client, &args, &mut position).await).await?;
    if tally.replayed == 0 && !args.filter.id.is_empty() && !tally.stopped {
        return Err(NotFound(format!("group {} has no such dead letter", args.group)).into());
    }
    if args.json {
        print_json(&json!({
            "group": args.group, "replayed": tally.replayed, "passedOver": tally.passed_over, "left": tally.left,
            "stopped": tally.stopped,
        }))?;
    } else {
        say!("replayed {} dead letters of {}, passed over {}", tally.replayed, args.group, tally.passed_over);
    }
    if tally.stopped {
        eprintln!("stopped with {} left; the same command goes on there", tally.left);
        return Ok(STOPPED.into());
    }
    Ok(ExitCode::SUCCESS)
}

async fn replay_all(
    client: &ClientInstance,
    args: &ReplayArgs,
    position: &mut Position,
) -> anyhow::Result<Tally> {
    let mut letters = match args.from_start {
        true => Letters::all(client, &args.group).await?,
        false => Letters::after(client, &args.group, position).await?,
    };
    let bar = progress(Some(letters.left()), args.json);
    let mut pace = pace(args.rate);
    let mut stop = pin!(asked_to_stop());
    let mut tally = Tally::default();
    loop {
        let letter = tokio::select! {
            biased;
            asked = &mut stop => {
                asked?;
                tally.stopped = true;
                break;
            }
            letter = next_in_turn(&mut letters, &args.filter, &mut pace) => letter?,
        };
        let Some(letter) = letter else { break };
        if args.filter.takes(&letter.message) {
            let sent = send(client, args, &letter.message).await;
            sent.with_context(|| {
                format!(
                    "replayed {} dead letters, then {} failed",
                    tally.replayed,
                    letter.message.message_id()
                )
            })?;
            tally.replayed += 1;
        } else {
            tally.passed_over += 1;
        }
        position.keep(client, &letter.mq, letter.next_offset).await?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    // What was read when the signal came is not sent.
    tally.left = letters.left();
    Ok(tally)
}

fn pace(rate: u32) -> Interval {
    let mut pace = interval(Duration::from_secs(1) / rate);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pace
}

/// The next dead letter, when it is time for it. One that was taken when this is dropped is lost to this replay,
/// which ends then, and the position is before it.
async fn next_in_turn(
    letters: &mut Letters<'_>,
    filter: &Filter,
    pace: &mut Interval,
) -> anyhow::Result<Option<Letter>> {
    let letter = letters.next().await?;
    if letter.as_ref().is_some_and(|letter| filter.takes(&letter.message)) {
        pace.tick().await;
    }
    Ok(letter)
}

async fn send(client: &ClientInstance, args: &ReplayArgs, message: &MessageExt) -> anyhow::Result<()> {
    let topic = match &args.to_topic {
        Some(topic) => client.namespace().wrap(topic),
        None => dead_letter_origin(message)
            .context("it does not say which topic it was sent to; give it with --to-topic")?
            .into(),
    };
    let queues = client.route(&topic).await?.publish_queues.clone();
    let mut attempt = 1;
    loop {
        let queue = fastrand::choice(&queues)
            .with_context(|| format!("topic {topic} has no queue that may be written"))?;
        match client.republish(message, queue).await {
            Ok(_) => return Ok(()),
            Err(error) if attempt < ATTEMPTS && was_not_stored(&error) => {
                sleep(PAUSE * attempt).await;
                attempt += 1;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Whether asking again cannot store the message twice, and may help.
fn was_not_stored(error: &CallError) -> bool {
    match error {
        CallError::Refused { code, .. } => {
            matches!(*code, ResponseCode::SYSTEM_BUSY | ResponseCode::SERVICE_NOT_AVAILABLE)
        }
        CallError::Invoke(error) => !error.may_have_been_sent(),
        _ => false,
    }
}
