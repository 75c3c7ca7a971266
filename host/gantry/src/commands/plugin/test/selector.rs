//! A question to a selector: to which of a topic's queues a message goes.

use std::path::Path;
use std::time::Duration;

use gantry_engine::{MessageQueue, OutgoingMessage, SelectorModule};
use serde::Deserialize;
use serde_json::{Value, json};

use super::compare::Actual;
use super::message::Message;
use super::queues::{Queues, name};
use crate::commands::written::reason;

/// What a host allows.
const DEADLINE: Duration = Duration::from_secs(1);

/// Which queue does this message go to?
#[derive(Debug)]
pub(super) struct Choice {
    queues: Vec<MessageQueue>,
    message: OutgoingMessage,
    arg: String,
}

/// As written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    topic: Option<String>,
    queues: Queues,
    arg: String,
    message: Option<Value>,
}

impl Choice {
    /// Reads a line; a message's `bodyFile` is looked for in `directory`.
    pub(super) fn read(value: Value, directory: &Path) -> Result<Self, String> {
        let written: Written = serde_json::from_value(value).map_err(|error| reason(&error))?;
        let queues = written.queues.of(written.topic.as_deref())?;
        let Some(first) = queues.first() else {
            return Err("`queues` is empty; a selector is asked only where there are some".to_owned());
        };
        let sent = Message::read(written.message.unwrap_or_else(|| json!({})), directory)?.message;
        let message = OutgoingMessage {
            topic: first.topic.clone(),
            tags: sent.tags,
            keys: sent.keys.split_whitespace().map(str::to_owned).collect(),
            body: sent.body,
            properties: sent.user_properties,
            ..OutgoingMessage::default()
        };
        Ok(Self { queues, message, arg: written.arg })
    }
}

/// Asks as a producer does.
pub(super) fn ask(selector: &SelectorModule, choice: &Choice) -> Actual {
    match selector.select(&choice.queues, &choice.message, &choice.arg, DEADLINE) {
        Ok(index) => match choice.queues.get(index) {
            Some(queue) => Actual::new(json!(name(queue))),
            None => Actual::failed("no-such-queue", format!("the selector chose queue {index}")),
        },
        Err(failure) => Actual::failed(failure.name(), failure.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_gives_queues_an_argument_and_if_wanted_a_message() {
        let read = |value| Choice::read(value, Path::new(""));
        let choice = read(json!({ "queues": 2, "arg": "A-1" })).unwrap();
        assert_eq!((choice.queues.len(), &*choice.arg, choice.message.body.len()), (2, "A-1", 0));
        let message = json!({ "body": "x", "tags": "t", "keys": "a b", "properties": { "region": "eu" } });
        let line = json!({ "queues": ["b:3"], "topic": "orders", "arg": "A-1", "message": message });
        let sent = read(line).unwrap().message;
        assert_eq!((&*sent.topic, sent.tags.as_deref(), sent.keys.len()), ("orders", Some("t"), 2));
        assert_eq!(sent.properties, [("region".to_owned(), "eu".to_owned())]);
        assert!(read(json!({ "queues": 0, "arg": "" })).unwrap_err().contains("`queues` is empty"));
        assert!(read(json!({ "arg": "" })).unwrap_err().contains("missing field `queues`"));
    }
}
