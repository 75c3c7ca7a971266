//! A message as a line of the messages file says it.

use std::collections::BTreeMap;
use std::path::Path;

use gantry_engine::OwnedMessage;
use gantry_protocol::properties::keys;
use serde::Deserialize;
use serde_json::Value;

use crate::commands::written::{Keys, body_of, body_of_base64, reason};

/// A message for a listener.
#[derive(Debug)]
pub(crate) struct Message {
    /// `None`: the first that the plugin subscribes to.
    pub(crate) topic: Option<String>,
    pub(crate) broker_name: String,
    pub(crate) queue_id: u32,
    /// Where the line names one; else they are counted up.
    pub(crate) queue_offset: Option<u64>,
    pub(crate) message: OwnedMessage,
}

/// As written.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    topic: Option<String>,
    tags: Option<String>,
    keys: Option<Keys>,
    body: Option<Value>,
    body_base64: Option<String>,
    body_file: Option<String>,
    #[serde(default)]
    properties: BTreeMap<String, String>,
    message_id: Option<String>,
    #[serde(default)]
    reconsume_times: u32,
    broker_name: Option<String>,
    #[serde(default)]
    queue_id: u32,
    queue_offset: Option<u64>,
    #[serde(default)]
    born_timestamp: u64,
    #[serde(default)]
    store_timestamp: u64,
}

impl Message {
    /// Reads a line; a `bodyFile` is looked for in `directory`.
    pub(super) fn read(value: Value, directory: &Path) -> Result<Self, String> {
        let written: Written = serde_json::from_value(value).map_err(|error| reason(&error))?;
        let body = body(&written, directory)?;
        let keys = written.keys.map_or_else(|| Ok(Vec::new()), Keys::listed)?.join(" ");
        let mut message = OwnedMessage::new(written.message_id.unwrap_or_default(), body);
        message.reconsume_times = written.reconsume_times;
        message.born_timestamp = written.born_timestamp;
        message.store_timestamp = written.store_timestamp;
        let (system, user): (Vec<_>, Vec<_>) =
            written.properties.into_iter().partition(|(name, _)| keys::is_system(name));
        (message.system_properties, message.user_properties) = (system, user);
        message.tags = written.tags;
        message.keys = keys;
        Ok(Self {
            topic: written.topic,
            broker_name: written.broker_name.unwrap_or_else(|| "broker-a".to_owned()),
            queue_id: written.queue_id,
            queue_offset: written.queue_offset,
            message,
        })
    }

    /// The message as it lies at this offset of its queue, with the properties a broker would have it carry.
    pub(super) fn stored(self, offset: u64) -> OwnedMessage {
        let mut message = self.message;
        message.queue_offset = offset;
        let carried = [
            (keys::UNIQUE_KEY, Some(message.message_id.clone()).filter(|id| !id.is_empty())),
            (keys::TAGS, message.tags.clone()),
            (keys::KEYS, Some(message.keys.clone()).filter(|keys| !keys.is_empty())),
        ];
        for (name, value) in carried {
            let said = message.system_properties.iter().any(|(said, _)| said == name);
            if let Some(value) = value.filter(|_| !said) {
                message.system_properties.push((name.to_owned(), value));
            }
        }
        if message.message_id.is_empty() {
            // As a consumer does without the producer's id: the broker's own.
            message.message_id = format!("{}-{}-{offset}", self.broker_name, self.queue_id);
        }
        message
    }
}

fn body(written: &Written, directory: &Path) -> Result<Vec<u8>, String> {
    match (&written.body, &written.body_base64, &written.body_file) {
        (None, None, None) => Ok(Vec::new()),
        (Some(body), None, None) => Ok(body_of(body)),
        (None, Some(text), None) => body_of_base64(text),
        (None, None, Some(file)) => {
            let file = directory.join(file);
            std::fs::read(&file)
                .map_err(|error| format!("`bodyFile`: cannot read {}: {error}", file.display()))
        }
        _ => Err("a message has one body: give one of `body`, `bodyBase64` and `bodyFile`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: Value) -> Result<Message, String> {
        Message::read(value, Path::new("/nonexistent"))
    }

    fn bytes(value: Value) -> Vec<u8> {
        read(value).unwrap().message.body
    }

    #[test]
    fn a_body_is_text_json_or_bytes() {
        assert_eq!(bytes(json!({ "body": "hello" })), b"hello");
        assert_eq!(bytes(json!({ "body": { "id": "A-1", "amount": 5 } })), br#"{"amount":5,"id":"A-1"}"#);
        assert_eq!(bytes(json!({ "bodyBase64": "AP8=" })), [0, 255]);
        assert_eq!(bytes(json!({})), b"");
        assert!(read(json!({ "body": "a", "bodyBase64": "" })).unwrap_err().contains("one body"));
        assert!(read(json!({ "bodyBase64": "*" })).unwrap_err().contains("not base64"));
        assert!(read(json!({ "bodyFile": "x.bin" })).unwrap_err().contains("/nonexistent/x.bin"));
    }

    #[test]
    fn a_stored_message_carries_what_a_broker_would_give_it() {
        let line = json!({
            "tags": "paid", "keys": ["a", "b"], "properties": { "region": "eu", "UNIQ_KEY": "7F00" }, "messageId": "7F00"
        });
        let stored = read(line).unwrap().stored(7);
        assert_eq!((stored.queue_offset, &*stored.keys), (7, "a b"));
        assert_eq!(stored.user_properties, [("region".to_owned(), "eu".to_owned())]);
        let system: Vec<_> =
            stored.system_properties.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(system, [("UNIQ_KEY", "7F00"), ("TAGS", "paid"), ("KEYS", "a b")]);
        assert_eq!(read(json!({})).unwrap().stored(3).message_id, "broker-a-0-3");
    }
}
