//! `gantry send`: messages from the command line, a file, or standard input.

use std::io::BufRead as _;
use std::io::IsTerminal as _;
use std::process::ExitCode;

use anyhow::Context as _;
use bytes::Bytes;
use gantry_host::client_instance::{Delay, OutgoingMessage, Producer, ProducerConfig, SendReceipt};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::cluster::client;
use super::print_json;
use super::select::Sender;
use crate::cli::SendArgs;

pub(crate) async fn run(args: SendArgs) -> anyhow::Result<ExitCode> {
    let client = client(&args.cluster).await?;
    let name_servers = client.name_servers().join(";");
    let producer = Producer::new(client.clone(), ProducerConfig::default());
    let sender = Sender::new(client.clone(), producer, args.selector.as_ref(), &args.arg).await?;
    let sent = send_all(&args, &sender).await;
    client.close().await;
    let sent = sent.with_context(|| format!("through name server {name_servers}"))?;
    if !args.json && sent != 1 {
        println!("sent {sent} messages to {}", args.topic);
    }
    Ok(ExitCode::SUCCESS)
}

async fn send_all(args: &SendArgs, producer: &Sender) -> anyhow::Result<u64> {
    if args.lines {
        return send_lines(args, producer).await;
    }
    let body = match (&args.body, &args.file) {
        (Some(body), _) => Bytes::from(body.clone()),
        (None, Some(file)) => {
            std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?.into()
        }
        (None, None) => anyhow::bail!("no body: give one, or --file, or --lines"),
    };
    let message = message(args, body);
    let bar = progress(args);
    for _ in 0..args.count {
        let receipt = producer.send(&message).await?;
        show(args, &receipt)?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(args.count)
}

async fn send_lines(args: &SendArgs, producer: &Sender) -> anyhow::Result<u64> {
    let mut sent = 0;
    for line in std::io::stdin().lock().lines() {
        let line = line.context("cannot read standard input")?;
        if line.is_empty() {
            continue;
        }
        let message = message(args, line.into());
        for _ in 0..args.count {
            let receipt = producer.send(&message).await.with_context(|| format!("after {sent} messages"))?;
            show(args, &receipt)?;
            sent += 1;
        }
    }
    Ok(sent)
}

fn message(args: &SendArgs, body: Bytes) -> OutgoingMessage {
    OutgoingMessage {
        tag: args.tag.clone(),
        keys: args.key.clone(),
        properties: args.property.clone(),
        delay: args.delay_level.map_or(Delay::None, |level| Delay::Level(level.into())),
        ..OutgoingMessage::new(args.topic.clone(), body)
    }
}

fn show(args: &SendArgs, receipt: &SendReceipt) -> anyhow::Result<()> {
    let SendReceipt { message_id, queue, queue_offset, .. } = receipt;
    if args.json {
        return print_json(&json!({
            "messageId": message_id, "offsetMessageId": receipt.offset_msg_id, "topic": &*queue.topic,
            "brokerName": &*queue.broker_name, "queueId": queue.queue_id, "queueOffset": queue_offset,
        }));
    }
    if args.count == 1 && !args.lines {
        println!(
            "sent {message_id} to {}, queue {} of {}, offset {queue_offset}",
            queue.topic, queue.queue_id, queue.broker_name
        );
    }
    Ok(())
}

fn progress(args: &SendArgs) -> ProgressBar {
    if args.json || args.count < 100 || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(args.count);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} messages, {per_sec}, {eta} left") {
        bar.set_style(style);
    }
    bar
}
