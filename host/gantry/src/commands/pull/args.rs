//! What can be said to `gantry pull`.

use std::path::PathBuf;

use clap::Args;
use gantry_host::FilterExpression;
use gantry_protocol::MessageQueue;

use crate::cli::ClusterArgs;
use crate::commands::moment::Place;

/// The group of pulls that name none.
pub(crate) const DEFAULT_GROUP: &str = "gantry-pull";

/// What to read.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gantry pull orders
  gantry pull orders --from 2026-11-26T10:30:00Z --max 10 --json
  gantry pull orders --queue broker-a:3 --from 1200 --sql 'amount > 100'
  gantry pull orders --follow --from end
  gantry pull orders --offsets orders.json

Every queue is read from its begin to the end it had at the start, one after the other. Messages go to standard output, the \
status of each pull (FOUND, NO_NEW_MSG, NO_MATCHED_MSG, OFFSET_ILLEGAL) to standard error; with --json both are lines of \
standard output. No group is joined and no offset of one is moved, so this may read beside any consumer.

Exit codes: 0 what was asked for was read, or Ctrl-C ended it; 1 something could not be read or kept; 2 the command line is wrong.")]
pub(crate) struct PullArgs {
    /// The topic; a group's retries and dead letters are in `%RETRY%GROUP` and `%DLQ%GROUP`.
    pub(super) topic: String,
    /// Only this queue: its number, at every broker that has it, or BROKER:NUMBER. May be given several times.
    #[arg(short, long, value_name = "QUEUE", value_parser = queue)]
    pub(super) queue: Vec<QueueName>,
    /// Where to begin: `begin`, `end`, an offset, or a time such as 2026-11-26T10:30:00Z, without zone or as 20261126103000 local
    /// time, -30m for half an hour ago, or @MILLISECONDS since 1970. Goes over the offsets file. [default: the offset in the file,
    /// else begin]
    #[arg(long, value_name = "begin|end|OFFSET|TIME", allow_hyphen_values = true)]
    pub(super) from: Option<Place>,
    /// At the end of the queues wait for more, all of them at once, until Ctrl-C.
    #[arg(short, long)]
    pub(super) follow: bool,
    /// Stop after so many messages.
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) max: Option<u64>,
    /// Only messages with one of these tags, joined by `||`.
    #[arg(short, long, value_name = "TAGS", default_value = "*")]
    pub(super) tags: String,
    /// Only messages that fulfil this SQL92 condition, which the broker evaluates (enablePropertyFilter).
    #[arg(long, value_name = "CONDITION", conflicts_with = "tags")]
    pub(super) sql: Option<String>,
    /// Keep the offsets in this file, in the format of Java's offsets.json, and go on there the next time. Made if it does not
    /// exist.
    #[arg(long, value_name = "FILE")]
    pub(super) offsets: Option<PathBuf>,
    /// The group the pulls are made in the name of, for brokers that know only certain groups or let only some read. It is not
    /// joined.
    #[arg(short, long, value_name = "GROUP", default_value = DEFAULT_GROUP)]
    pub(super) group: String,
    #[command(flatten)]
    pub(super) cluster: ClusterArgs,
    /// One JSON object a line: each message, each pull's status, the end.
    #[arg(long)]
    pub(super) json: bool,
}

impl PullArgs {
    pub(super) fn expression(&self) -> FilterExpression {
        match &self.sql {
            Some(condition) => FilterExpression::Sql92(condition.clone()),
            None => FilterExpression::Tag(self.tags.clone()),
        }
    }
}

/// A queue by its number, and perhaps its broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct QueueName {
    broker_name: Option<String>,
    queue_id: i32,
}

impl QueueName {
    pub(super) fn is(&self, mq: &MessageQueue) -> bool {
        let at_broker = self.broker_name.as_ref().is_none_or(|name| **name == *mq.broker_name);
        at_broker && self.queue_id == mq.queue_id
    }
}

impl std::fmt::Display for QueueName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.broker_name {
            Some(name) => write!(f, "{name}:{}", self.queue_id),
            None => write!(f, "{}", self.queue_id),
        }
    }
}

fn queue(text: &str) -> Result<QueueName, String> {
    let (broker_name, number) = match text.rsplit_once(':') {
        Some((name, number)) => (Some(name.to_owned()), number),
        None => (None, text),
    };
    let queue_id = number.parse::<u16>().map_err(|_no_number| {
        "expected the queue's number, such as 3, or BROKER:NUMBER, such as broker-a:3".to_owned()
    })?;
    Ok(QueueName { broker_name, queue_id: queue_id.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_named_by_its_number_and_perhaps_its_broker() {
        let (three, at_a) = (queue("3").unwrap(), queue("broker-a:3").unwrap());
        let (a, b) = (MessageQueue::new("t", "broker-a", 3), MessageQueue::new("t", "broker-b", 3));
        assert!(three.is(&a) && three.is(&b) && at_a.is(&a) && !at_a.is(&b));
        assert!(!three.is(&MessageQueue::new("t", "broker-a", 4)));
        assert_eq!((three.to_string(), at_a.to_string()), ("3".to_owned(), "broker-a:3".to_owned()));
        assert!(queue("broker-a").is_err() && queue("-1").is_err());
    }
}
