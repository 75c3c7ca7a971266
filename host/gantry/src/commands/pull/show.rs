//! What `gantry pull` prints: messages, statuses, the end; as text or as lines of JSON.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Write as _};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use gantry_host::client_instance::PullStatus;
use gantry_host::pull_consumer::PullResult;
use gantry_protocol::{MessageExt, MessageQueue};
use serde_json::{Value, json};

use crate::commands::stored::body_text;

/// Prints. Nothing is printed to standard output but by it, so a reader that goes away is an error to be handled.
#[derive(Debug, Clone, Copy)]
pub(super) struct Show {
    pub(super) json: bool,
}

impl Show {
    pub(super) fn message(self, mq: &MessageQueue, message: &MessageExt) -> io::Result<()> {
        if self.json {
            return print(&message_json(mq, message).to_string());
        }
        print(&format!("{}\n  {}", headline(mq, message), body_text(message)))
    }

    /// What a pull from `offset` on ended with.
    pub(super) fn status(self, mq: &MessageQueue, offset: i64, result: &PullResult) -> io::Result<()> {
        let (status, next, count) = (name(result.status), result.next_begin_offset, result.messages.len());
        if self.json {
            let event = json!({
                "event": "pull", "brokerName": &*mq.broker_name, "queueId": mq.queue_id, "offset": offset,
                "status": status, "messages": count, "nextBeginOffset": next,
                "minOffset": result.min_offset, "maxOffset": result.max_offset,
            });
            return print(&event.to_string());
        }
        let queue = queue(mq);
        match result.status {
            PullStatus::Found => eprintln!("{queue} at {offset}: {status}, {count} messages"),
            PullStatus::NoNewMsg => eprintln!("{queue} at {offset}: {status}"),
            PullStatus::NoMatchedMsg => eprintln!("{queue} at {offset}: {status}, none up to {next}"),
            PullStatus::OffsetIllegal => eprintln!(
                "{queue} at {offset}: {status}, the broker has {} to {}; goes on at {next}",
                result.min_offset, result.max_offset
            ),
        }
        Ok(())
    }

    /// Something a queue could not be asked.
    pub(super) fn failure(self, mq: &MessageQueue, error: &dyn std::error::Error) -> io::Result<()> {
        if self.json {
            let event = json!({
                "event": "error", "brokerName": &*mq.broker_name, "queueId": mq.queue_id, "error": error.to_string(),
            });
            return print(&event.to_string());
        }
        eprintln!("{}: error: {error}", queue(mq));
        Ok(())
    }

    /// How far each queue was read.
    pub(super) fn end(self, read: u64, next: &BTreeMap<MessageQueue, i64>) -> io::Result<()> {
        if self.json {
            let queues = next.iter().map(|(mq, next)| {
                json!({ "brokerName": &*mq.broker_name, "queueId": mq.queue_id, "nextBeginOffset": next })
            });
            let queues: Vec<Value> = queues.collect();
            return print(&json!({ "event": "end", "messages": read, "queues": queues }).to_string());
        }
        eprintln!("read {read} messages from {} queues", next.len());
        Ok(())
    }
}

fn print(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// RocketMQ's word for a status.
fn name(status: PullStatus) -> &'static str {
    match status {
        PullStatus::Found => "FOUND",
        PullStatus::NoNewMsg => "NO_NEW_MSG",
        PullStatus::NoMatchedMsg => "NO_MATCHED_MSG",
        PullStatus::OffsetIllegal => "OFFSET_ILLEGAL",
    }
}

fn queue(mq: &MessageQueue) -> String {
    format!("{}:{}", mq.broker_name, mq.queue_id)
}

fn headline(mq: &MessageQueue, message: &MessageExt) -> String {
    let mut line = format!(
        "{} offset {}, stored {}, id {}",
        queue(mq),
        message.queue_offset(),
        time(message.store_timestamp()),
        plain(&message.message_id())
    );
    let mut add = |what: &str, value: Option<&str>| {
        if let Some(value) = value {
            line += &format!(", {what} {}", plain(value));
        }
    };
    add("tag", message.tags());
    add("keys", message.keys());
    if message.reconsume_times() > 0 {
        add("reconsumed", Some(&message.reconsume_times().to_string()));
    }
    line
}

fn message_json(mq: &MessageQueue, message: &MessageExt) -> Value {
    let properties: BTreeMap<_, _> = message.properties().collect();
    let mut value = json!({
        "event": "message", "topic": &*mq.topic, "brokerName": &*mq.broker_name, "queueId": mq.queue_id,
        "queueOffset": message.queue_offset(), "messageId": message.message_id(),
        "offsetMessageId": message.offset_msg_id(), "tag": message.tags(), "keys": message.keys(),
        "properties": properties, "bornTimestamp": message.born_timestamp(),
        "storeTimestamp": message.store_timestamp(), "reconsumeTimes": message.reconsume_times(),
    });
    let (name, body) = match message.body() {
        Err(error) => ("bodyError", error.to_string()),
        Ok(body) => match std::str::from_utf8(&body) {
            Ok(text) => ("body", text.to_owned()),
            Err(_binary) => ("bodyBase64", STANDARD.encode(&body)),
        },
    };
    if let Some(object) = value.as_object_mut() {
        object.insert(name.to_owned(), body.into());
    }
    value
}

/// Text of somebody else's on a line of ours: control characters are written out.
fn plain(text: &str) -> Cow<'_, str> {
    match text.contains(char::is_control) {
        true => text.escape_debug().to_string().into(),
        false => text.into(),
    }
}

fn time(millis: i64) -> String {
    match jiff::Timestamp::from_millisecond(millis) {
        Ok(time) => time.to_string(),
        Err(_out_of_range) => format!("{millis} ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_cannot_steer_a_terminal() {
        assert_eq!(plain("a\u{1b}b"), "a\\u{1b}b");
        assert_eq!(time(1_795_689_000_000), "2026-11-26T10:30:00Z");
    }
}
