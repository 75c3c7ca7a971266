//! `gantry send`: messages from the command line, a file, or line by line.

mod args;
mod line;
mod parcels;
mod select;
mod show;
mod source;

use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use gantry_host::client_instance::{ClientInstance, OutgoingMessage, Producer, ProducerConfig};
use tokio::task::JoinSet;

use super::cluster::{client, plugins_directory};
use super::exit::STOPPED;
use super::progress::progress;
use crate::signals::asked_to_stop;
use parcels::Parcels;
use select::Selector;
use show::{Sent, Show};
use source::{Item, Source};

pub(crate) use args::SendArgs;

/// Stopped at once by a second signal.
const STOPPED_AT_ONCE: u8 = 130;

pub(crate) async fn run(args: SendArgs) -> anyhow::Result<ExitCode> {
    let client = client(&args.cluster).await?;
    let name_servers = client.name_servers().join(";");
    let ended = send_all(&args, &client).await;
    client.close().await;
    ended.with_context(|| format!("through name server {name_servers}"))
}

/// How far it is.
#[derive(Default)]
struct Tally {
    sent: u64,
    /// Why messages were not sent: as many as are under way at once, at most.
    failed: Vec<anyhow::Error>,
}

async fn send_all(args: &SendArgs, client: &ClientInstance) -> anyhow::Result<ExitCode> {
    let source = Source::open(args)?;
    let several = source.is_of_lines() || args.count > 1;
    let show = Show { json: args.json, single: !several };
    let shipper = Arc::new(Shipper::new(args, client).await?);
    let bar = progress((!source.is_of_lines()).then_some(args.count), args.json || !several);
    let mut parcels = Parcels::new(args, source);
    let (mut under_way, mut tally) = (JoinSet::new(), Tally::default());
    let (mut stop, mut over, mut stopped) = (pin!(asked_to_stop()), false, None);
    let settle = |tally: &mut Tally, (parcel, sent): (Vec<Item>, anyhow::Result<Sent>)| {
        match sent {
            Ok(sent) => {
                let messages = u64::try_from(parcel.len()).unwrap_or(u64::MAX);
                tally.sent += messages;
                bar.inc(messages);
                show.sent(&parcel, &sent)?;
            }
            Err(error) => tally.failed.push(in_line(parcel.first(), error)),
        }
        anyhow::Ok(())
    };
    while tally.failed.is_empty() && stopped.is_none() && !(over && under_way.is_empty()) {
        let room = !over && under_way.len() < args.concurrency;
        tokio::select! {
            biased;
            asked = &mut stop => {
                asked?;
                stopped = Some(STOPPED);
            }
            Some(ended) = under_way.join_next() => settle(&mut tally, ended?)?,
            next = parcels.next(), if room => match next {
                Ok(Some(parcel)) => {
                    let shipper = Arc::clone(&shipper);
                    under_way.spawn(async move {
                        let sent = shipper.send(&parcel).await;
                        (parcel, sent)
                    });
                }
                Ok(None) => over = true,
                Err(error) => tally.failed.push(error),
            },
        }
    }
    // What is under way is waited for; a second signal does not.
    let mut again = pin!(asked_to_stop());
    loop {
        tokio::select! {
            biased;
            asked = &mut again => {
                asked?;
                stopped = Some(STOPPED_AT_ONCE);
                break;
            }
            ended = under_way.join_next() => match ended {
                Some(ended) => settle(&mut tally, ended?)?,
                None => break,
            },
        }
    }
    bar.finish_and_clear();
    report(args, tally, several, stopped)
}

fn report(args: &SendArgs, tally: Tally, several: bool, stopped: Option<u8>) -> anyhow::Result<ExitCode> {
    let sent = tally.sent;
    let mut failed = tally.failed.into_iter();
    if let Some(first) = failed.next() {
        failed.for_each(|more| eprintln!("{more:#}"));
        return Err(if several { first.context(format!("after {sent} messages")) } else { first });
    }
    if let Some(code) = stopped {
        eprintln!("stopped; {sent} messages were sent to {}", args.topic);
        return Ok(code.into());
    }
    if several && !args.json && !args.request {
        say!("sent {sent} messages to {}", args.topic);
    }
    Ok(ExitCode::SUCCESS)
}

fn in_line(item: Option<&Item>, error: anyhow::Error) -> anyhow::Error {
    match item.and_then(|item| item.line) {
        Some(line) => error.context(format!("line {line}")),
        None => error,
    }
}

/// Sends parcels, each in the way the arguments say.
struct Shipper {
    client: ClientInstance,
    producer: Producer,
    selector: Option<Selector>,
    mode: CommunicationMode,
}

/// How a single message is sent (RocketMQ: CommunicationMode).
#[derive(Clone, Copy)]
enum CommunicationMode {
    Sync,
    OneWay,
    Request(std::time::Duration),
}

impl Shipper {
    async fn new(args: &SendArgs, client: &ClientInstance) -> anyhow::Result<Self> {
        let selector = match &args.selector {
            Some(named) => {
                let directory = args.plugins.clone().map_or_else(|| plugins_directory(&args.cluster), Ok)?;
                Some(Selector::new(named, &directory).await?)
            }
            None => None,
        };
        let mode = match (args.one_way, args.request) {
            (true, _) => CommunicationMode::OneWay,
            (_, true) => CommunicationMode::Request(args.timeout),
            _ => CommunicationMode::Sync,
        };
        let config = ProducerConfig { send_timeout: args.timeout, ..ProducerConfig::default() };
        let producer = Producer::new(client.clone(), config);
        Ok(Self { client: client.clone(), producer, selector, mode })
    }

    async fn send(&self, parcel: &[Item]) -> anyhow::Result<Sent> {
        let [item] = parcel else {
            let messages: Vec<OutgoingMessage> = parcel.iter().map(|item| item.message.clone()).collect();
            return Ok(Sent::Stored(self.producer.send_batch(&messages).await?));
        };
        let (producer, message) = (&self.producer, &item.message);
        let queue = match &self.selector {
            Some(selector) => Some(selector.choose(&self.client, message, &item.arg).await?),
            None => None,
        };
        Ok(match (self.mode, queue) {
            (CommunicationMode::Sync, None) => Sent::Stored(producer.send(message).await?),
            (CommunicationMode::Sync, Some(queue)) => Sent::Stored(producer.send_to(&queue, message).await?),
            (CommunicationMode::OneWay, None) => {
                producer.send_one_way(message).await.map(|()| Sent::OneWay)?
            }
            (CommunicationMode::OneWay, Some(queue)) => {
                producer.send_one_way_to(&queue, message).await.map(|()| Sent::OneWay)?
            }
            (CommunicationMode::Request(timeout), _) => {
                Sent::Reply(Box::new(producer.request(message, timeout).await?))
            }
        })
    }
}
