//! What can be said to `gantry send`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args};
use gantry_host::client_instance::Delay;

use super::select::SelectorArg;
use crate::cli::{ClusterArgs, duration};
use crate::commands::moment::Moment;

/// What to send, and how.
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("what").required(true).args(["body", "file", "lines", "jsonl"]),
    group = ArgGroup::new("way").args(["batch", "one_way", "request"]),
    override_usage = "gantry send [OPTIONS] <TOPIC> <BODY|--file FILE|--lines|--jsonl FILE>",
    after_help = "Examples:
  gantry send orders '{\"id\":1,\"amount\":12.5}' --tag created --key order-1
  gantry send orders --file order.json --count 10000 --concurrency 32
  jq -c '.[]' orders.json | gantry send orders --lines --rate 100
  gantry send orders --jsonl orders.jsonl --selector by-hash
  gantry send orders 'pay now' --delay 90s --json
  gantry send prices 'EUR/USD' --request

A line of --jsonl is an object with `body` (text, or JSON that stands for itself) or `bodyBase64`, and what else is wanted of
`topic`, `tag`, `keys`, `properties`, `delay`, `at`, `arg`; the options give what a line leaves out. Empty lines and those that
begin with // are passed over. The first message that is not sent ends the command, and is named by its line; Ctrl-C ends it
too, and it says how many were sent.

Exit codes: 0 all was sent; 1 something was not; 2 the command line is wrong; 3 the topic does not exist; 4 stopped by a signal."
)]
pub(crate) struct SendArgs {
    /// The topic. A stock broker makes it if it may (autoCreateTopicEnable).
    pub(super) topic: String,
    /// The message's body.
    pub(super) body: Option<String>,
    /// The body from a file.
    #[arg(short, long, value_name = "FILE")]
    pub(super) file: Option<PathBuf>,
    /// One message per line of standard input, but for empty ones.
    #[arg(long)]
    pub(super) lines: bool,
    /// One message per line of a file, `-` for standard input: a JSON object, see below.
    #[arg(long, value_name = "FILE")]
    pub(super) jsonl: Option<PathBuf>,
    #[command(flatten)]
    pub(super) cluster: ClusterArgs,
    /// The tag.
    #[arg(short, long)]
    pub(super) tag: Option<String>,
    /// A key to find the message by. May be given several times.
    #[arg(short, long, value_name = "KEY")]
    pub(super) key: Vec<String>,
    /// A user property. May be given several times.
    #[arg(long, value_name = "NAME=VALUE", value_parser = property)]
    pub(super) property: Vec<(String, String)>,
    /// Deliver later: after a delay level from 1 (1 s) to 18 (2 h), or after a time such as 90s, 250ms or 2h, where the broker
    /// has RocketMQ 5's timers.
    #[arg(long, alias = "delay-level", value_name = "LEVEL|DURATION", value_parser = delay, conflicts_with_all = ["at", "batch"])]
    pub(super) delay: Option<Delay>,
    /// Deliver at this time, where the broker has timers: 2026-11-26T16:00:00Z, without zone local time, or @MILLISECONDS.
    #[arg(long, value_name = "TIME", conflicts_with = "batch")]
    pub(super) at: Option<Moment>,
    /// Which queue it goes to: `by-hash` of --arg, `by-random`, `by-machine-room` (brokers called ROOM@NAME whose room is in
    /// --arg), `round-robin`, or as a selector plugin says: `plugin:FILE.wasm`, or `plugin:NAME` of a plugins directory. Without
    /// it the topic's queues take turns, and a broker that fails is passed over for another.
    #[arg(long, value_name = "SELECTOR", conflicts_with_all = ["batch", "request"])]
    pub(super) selector: Option<SelectorArg>,
    /// What the selector goes by, such as an order's id.
    #[arg(long, value_name = "TEXT", requires = "selector", default_value = "", hide_default_value = true)]
    pub(super) arg: String,
    /// Where `--selector plugin:NAME` is looked for. [default: `plugins` of --config, else plugins]
    #[arg(long, value_name = "DIR", requires = "selector")]
    pub(super) plugins: Option<PathBuf>,
    /// Send each message this many times.
    #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) count: u64,
    /// Most messages per second. [default: as fast as they are taken]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(super) rate: Option<u32>,
    /// So many sends under way at once. With more than one, messages may be stored, and are shown, in another order.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = concurrency)]
    pub(super) concurrency: usize,
    /// Send up to so many messages of one topic together, into one queue (RocketMQ: a batch).
    #[arg(long, value_name = "N", value_parser = batch)]
    pub(super) batch: Option<usize>,
    /// Wait for no answer: faster, and messages may be lost without a word.
    #[arg(long)]
    pub(super) one_way: bool,
    /// Wait for a consumer's reply to each message, and print it.
    #[arg(long)]
    pub(super) request: bool,
    /// How long one message may take, its repetitions included, and with --request until its reply.
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = duration)]
    pub(super) timeout: Duration,
    /// One JSON object per message.
    #[arg(long)]
    pub(super) json: bool,
}

impl SendArgs {
    /// When messages are to be delivered that do not say so themselves.
    pub(super) fn delay(&self) -> Delay {
        self.at.map(at).or(self.delay).unwrap_or_default()
    }
}

/// Delivery at a time.
pub(super) fn at(moment: Moment) -> Delay {
    Delay::At(u64::try_from(moment.0).unwrap_or_default())
}

/// A delay level, or a duration by timer.
pub(super) fn delay(text: &str) -> Result<Delay, String> {
    const EXPECTED: &str = "expected a delay level from 1 to 18, or a duration with its unit, such as 90s";
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        let level = text.parse().ok().filter(|level| (1..=18).contains(level));
        return level.map(Delay::Level).ok_or_else(|| EXPECTED.to_owned());
    }
    let delay = duration(text).ok().and_then(|delay| u64::try_from(delay.as_millis()).ok());
    delay.map(Delay::Millis).ok_or_else(|| EXPECTED.to_owned())
}

fn concurrency(text: &str) -> Result<usize, String> {
    within(text, 1..=1_024)
}

fn batch(text: &str) -> Result<usize, String> {
    within(text, 2..=10_000)
}

fn within(text: &str, range: std::ops::RangeInclusive<usize>) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| format!("expected {} to {}", range.start(), range.end()))
}

fn property(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => {
            Ok((name.to_owned(), value.to_owned()))
        }
        _ => Err("expected NAME=VALUE, both not empty".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_name_and_value() {
        assert_eq!(property("color=blue"), Ok(("color".into(), "blue".into())));
        assert!(property("color").is_err() && property("=blue").is_err());
    }

    #[test]
    fn a_delay_is_a_level_or_a_duration() {
        assert_eq!(delay("3"), Ok(Delay::Level(3)));
        assert_eq!(delay("90s"), Ok(Delay::Millis(90_000)));
        assert_eq!(delay("250ms"), Ok(Delay::Millis(250)));
        for wrong in ["0", "19", "", "soon", "-5s"] {
            assert!(delay(wrong).unwrap_err().contains("1 to 18"), "{wrong}");
        }
    }
}
