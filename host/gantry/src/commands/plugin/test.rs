//! `gantry plugin test`: messages from a file through a plugin, and its answers beside the expected ones. No broker.
//!
//! What runs a message is what runs it in a host: batches of one queue, the deadline, the isolation of a poison message.

mod compare;
mod lines;
mod listener;
mod message;
mod queues;
mod rewrite;
mod selector;
mod show;
mod strategy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use gantry_engine::{Engine, EngineConfig, Grants, OwnedMessage, Plugin};

use crate::commands::print_json;
use compare::{Actual, Verdict};
use lines::{Case, Line};

/// What is tested, and with what.
#[derive(Debug, Args)]
#[command(
    after_help = "Each line of the messages file is one JSON object; blank lines and lines that begin with // are passed over.

A message, for a listener: topic (the plugin's first), body (text, or any JSON) or bodyBase64 or bodyFile, tags, keys,
properties, messageId, reconsumeTimes, brokerName, queueId, queueOffset, bornTimestamp, storeTimestamp, expect.
expect: \"success\", \"reconsume-later\", {\"reconsume-later\": {\"level\": 2}}, \"dead-letter\", {\"dead-letter\": \"the reason\"},
{\"dead-letter\": \"/a pattern/\"}, \"fails\", {\"fails\": \"trap\"}, or \"filtered\": the subscription does not want it.

A question, for a strategy: queues (a number, or [\"broker-a:0\", ...]), members ([\"a\", \"b\"]), topic, consumerGroup, expect.
expect: \"sound\" (each queue has one owner), {\"a\": [\"broker-a:0\"], \"b\": []}, \"fails\".

A question, for a selector: arg (a text), queues, topic, message (tags, keys, properties, body), expect.
expect: the queue, \"broker-a:0\", or \"fails\".

Examples:
  gantry plugin test orders.wasm --messages messages.jsonl
  gantry plugin test orders.wasm --messages messages.jsonl --update

With --log info the plugin's own output is shown.
Exit codes: 0 every expectation was met (or --update wrote what was not), 1 one was not, 2 nothing was run: the plugin would be
rejected, or the file has lines that say nothing sound."
)]
pub(crate) struct TestArgs {
    /// The .wasm file, a component.
    file: PathBuf,
    /// The messages, or questions to a strategy or selector: a JSON object a line.
    #[arg(short, long, value_name = "FILE")]
    messages: PathBuf,
    /// Most messages in one call. [default: what the plugin says, else 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    batch: Option<u32>,
    /// Deadline of one call. [default: what the plugin says, else 30s]
    #[arg(long, value_name = "DURATION", value_parser = crate::cli::duration)]
    consume_timeout: Option<Duration>,
    /// Grant an import, as `grants` in gantry.toml does. May be given several times.
    #[arg(long, value_name = "NAME")]
    grant: Vec<String>,
    /// Write the results into the file where an expectation was not met or is missing.
    #[arg(long)]
    update: bool,
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
}

/// A case and what came of it.
struct Ran {
    line: usize,
    expect: Option<compare::Expectation>,
    actual: Actual,
}

impl Ran {
    fn verdict(&self) -> Verdict {
        match &self.expect {
            None => Verdict::NotJudged,
            Some(expectation) if expectation.is_met_by(&self.actual) => Verdict::AsExpected,
            Some(_) => Verdict::Unexpected,
        }
    }
}

pub(crate) fn test(args: &TestArgs) -> anyhow::Result<ExitCode> {
    match prepare(args) {
        Ok((plugin, lines)) => run(args, &plugin, lines),
        Err(error) => {
            eprintln!("error: {error:#}");
            Ok(ExitCode::from(2))
        }
    }
}

/// Everything that may be wrong before the first message is run.
fn prepare(args: &TestArgs) -> anyhow::Result<(Plugin, Vec<Line>)> {
    let file = args.file.display();
    let grants = Grants::from_names(&args.grant)?;
    let bytes = std::fs::read(&args.file).with_context(|| format!("cannot read {file}"))?;
    let plugin = Engine::new(EngineConfig::default())?
        .load_plugin(&bytes, &grants, &mut |_| ())
        .with_context(|| format!("{file} would be rejected"))?;
    let lines = lines::read(&args.messages)?;
    lines::check_against(&lines, &plugin, &args.messages)?;
    Ok((plugin, lines))
}

/// The messages of a file, whatever is expected of them.
pub(super) fn messages(file: &Path) -> anyhow::Result<Vec<OwnedMessage>> {
    let lines = lines::read(file)?.into_iter();
    let messages: Vec<OwnedMessage> = lines
        .filter_map(|line| match line.case {
            Case::Message(message) => Some(message.stored(0)),
            Case::Question(_) | Case::Choice(_) => None,
        })
        .collect();
    anyhow::ensure!(!messages.is_empty(), "{} has no message, only questions", file.display());
    Ok(messages)
}

fn run(args: &TestArgs, plugin: &Plugin, lines: Vec<Line>) -> anyhow::Result<ExitCode> {
    let (mut messages, mut ran) = (Vec::new(), Vec::new());
    for Line { number, expect, case } in lines {
        match case {
            Case::Message(message) => messages.push((number, expect, *message)),
            Case::Question(question) => {
                // That there is a strategy to ask was checked with the lines.
                let Some(strategy) = &plugin.strategy else { continue };
                let actual = strategy::ask(strategy, &question);
                ran.push(Ran { line: number, expect, actual });
            }
            Case::Choice(choice) => {
                let Some(module) = &plugin.selector else { continue };
                ran.push(Ran { line: number, expect, actual: selector::ask(module, &choice) });
            }
        }
    }
    let mut calls = 0;
    if let Some(module) = &plugin.listener {
        let settings = listener::Settings::of(module.description(), args.batch, args.consume_timeout);
        calls = listener::consume(module, &settings, messages, &mut ran)?;
    }
    ran.sort_by_key(|ran| ran.line);
    let updated = if args.update { rewrite::update(&args.messages, &ran)? } else { 0 };
    let summary = show::Summary::of(&ran, calls, updated);
    match args.json {
        true => print_json(&show::json(&args.file, plugin, &ran, &summary))?,
        false => show::text(&args.file, plugin, &ran, &summary),
    }
    let good = summary.unexpected == 0 || args.update;
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
