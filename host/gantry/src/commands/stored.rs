//! Stored messages, for people and as JSON.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use gantry_protocol::MessageExt;
use serde_json::{Map, Value, json};

use super::moment::shown;

/// A message as a JSON object. The body is `body` where it is text, and `bodyBase64` where it is not.
pub(crate) fn to_json(message: &MessageExt) -> anyhow::Result<Value> {
    let properties: Map<String, Value> =
        message.properties().map(|(name, value)| (name.to_owned(), value.into())).collect();
    let body = message.body()?;
    let mut value = json!({
        "messageId": message.message_id(),
        "offsetMessageId": message.offset_msg_id(),
        "topic": message.topic(),
        "queueId": message.queue_id(),
        "queueOffset": message.queue_offset(),
        "physicalOffset": message.physical_offset(),
        "tag": message.tags(),
        "keys": message.keys().map(|keys| keys.split(' ').collect::<Vec<_>>()).unwrap_or_default(),
        "flag": message.flag(),
        "sysFlag": message.sys_flag(),
        "reconsumeTimes": message.reconsume_times(),
        "bornTimestamp": message.born_timestamp(),
        "bornHost": message.born_host().to_string(),
        "storeTimestamp": message.store_timestamp(),
        "storeHost": message.store_host().to_string(),
        "properties": properties,
    });
    if let Some(object) = value.as_object_mut() {
        match std::str::from_utf8(&body) {
            Ok(text) => object.insert("body".to_owned(), text.into()),
            Err(_) => object.insert("bodyBase64".to_owned(), BASE64_STANDARD.encode(&body).into()),
        };
    }
    Ok(value)
}

/// The body for a person: text as it is, anything that would not be text on a terminal as base64 with a note.
pub(crate) fn body_text(message: &MessageExt) -> String {
    match message.body() {
        Err(error) => format!("(the body cannot be read: {error})"),
        Ok(body) => readable(&body),
    }
}

fn readable(body: &[u8]) -> String {
    let is_text = |text: &&str| text.chars().all(|c| !c.is_control() || matches!(c, '\n' | '\r' | '\t'));
    match std::str::from_utf8(body).ok().filter(is_text) {
        Some(text) => text.to_owned(),
        None => format!("(binary, {} bytes, as base64) {}", body.len(), BASE64_STANDARD.encode(body)),
    }
}

/// Prints a message with all that is known of it.
pub(crate) fn print(message: &MessageExt) -> anyhow::Result<()> {
    let body = message.body()?;
    let facts = [
        ("message id", message.message_id()),
        ("offset message id", message.offset_msg_id()),
        ("topic", message.topic().to_owned()),
        ("tag", message.tags().unwrap_or("-").to_owned()),
        ("keys", message.keys().unwrap_or("-").to_owned()),
        ("queue", format!("{} at offset {}", message.queue_id(), message.queue_offset())),
        ("commit log", format!("{} at offset {}", message.store_host(), message.physical_offset())),
        ("born", format!("{} at {}", shown(message.born_timestamp()), message.born_host())),
        ("stored", shown(message.store_timestamp())),
        ("reconsume times", message.reconsume_times().to_string()),
        ("flag", format!("{}, sysFlag {:#x}", message.flag(), message.sys_flag())),
    ];
    for (name, value) in facts {
        say!("{name:<18} {value}");
    }
    say!("properties");
    for (name, value) in message.properties() {
        say!("  {name} = {value}");
    }
    say!("body, {} bytes", body.len());
    say!("{}", readable(&body));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_that_would_disturb_a_terminal_are_shown_in_base64() {
        assert_eq!(readable("ü\n\t€".as_bytes()), "ü\n\t€");
        assert_eq!(readable(&[0xff, 0]), "(binary, 2 bytes, as base64) /wA=");
        assert!(readable(b"\x1b[2J").starts_with("(binary, 4 bytes"));
        assert_eq!(readable(b""), "");
    }
}
