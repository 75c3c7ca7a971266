//! A message as a line of JSON says it.

use std::collections::BTreeMap;

use gantry_host::client_instance::{Delay, OutgoingMessage};
use serde::Deserialize;
use serde_json::Value;

use super::args::{self, SendArgs};
use super::source::Item;
use crate::commands::written::{Keys, body_of, body_of_base64, json, reason};

/// As written.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    topic: Option<String>,
    #[serde(alias = "tags")]
    tag: Option<String>,
    keys: Option<Keys>,
    body: Option<Value>,
    body_base64: Option<String>,
    #[serde(default)]
    properties: BTreeMap<String, String>,
    delay: Option<Value>,
    at: Option<String>,
    arg: Option<String>,
}

/// Reads a line; what it leaves out is as the arguments say.
pub(super) fn read(text: &str, args: &SendArgs) -> Result<Item, String> {
    let value = json(text)?;
    if !value.is_object() {
        return Err("not an object; a line is {\"body\": \"...\"} or the like".to_owned());
    }
    let written: Written = serde_json::from_value(value).map_err(|error| reason(&error))?;
    let body = match (&written.body, &written.body_base64) {
        (Some(body), None) => body_of(body),
        (None, Some(text)) => body_of_base64(text)?,
        _ => return Err("a message has one body: give one of `body` and `bodyBase64`".to_owned()),
    };
    let delay = delay(&written)?.unwrap_or(args.delay());
    if args.batch.is_some() && delay != Delay::None {
        return Err("messages of a batch cannot be delayed; send it without --batch".to_owned());
    }
    let mut properties = args.property.clone();
    properties.retain(|(name, _)| !written.properties.contains_key(name));
    properties.extend(written.properties);
    let message = OutgoingMessage {
        tag: written.tag.or_else(|| args.tag.clone()),
        keys: written.keys.map_or_else(|| Ok(args.key.clone()), Keys::listed)?,
        properties,
        delay,
        ..OutgoingMessage::new(written.topic.unwrap_or_else(|| args.topic.clone()), body)
    };
    Ok(Item { line: None, message, arg: written.arg.unwrap_or_else(|| args.arg.clone()) })
}

fn delay(written: &Written) -> Result<Option<Delay>, String> {
    match (&written.delay, &written.at) {
        (None, None) => Ok(None),
        (Some(Value::String(text)), None) => args::delay(text).map(Some),
        (Some(level @ Value::Number(_)), None) => args::delay(&level.to_string()).map(Some),
        (None, Some(time)) => Ok(Some(args::at(time.parse()?))),
        (Some(_), None) => Err("`delay` is a level from 1 to 18, or a duration such as \"90s\"".to_owned()),
        (Some(_), Some(_)) => Err("give one of `delay` and `at`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: SendArgs,
    }

    fn args(more: &[&str]) -> SendArgs {
        Line::parse_from([&["send", "orders", "--jsonl", "-"], more].concat()).args
    }

    #[test]
    fn a_line_says_all_of_a_message() {
        let line = r#"{"topic": "t", "tag": "a", "keys": ["k1", "k2"], "properties": {"p": "q"}, "delay": "90s", "arg": "x",
            "bodyBase64": "AP8="}"#;
        let item = read(line, &args(&[])).unwrap();
        let expected = OutgoingMessage::new("t", vec![0, 255]).with_tag("a").with_key("k1").with_key("k2");
        let expected = expected.with_property("p", "q").with_delay(Delay::Millis(90_000));
        assert_eq!((item.message, item.arg.as_str()), (expected, "x"));
    }

    #[test]
    fn the_arguments_give_what_a_line_leaves_out() {
        let args =
            args(&["--tag", "a", "--key", "k", "--property", "p=1", "--property", "q=2", "--delay", "3"]);
        let item = read(r#"{"body": {"id": 1}, "properties": {"q": "3"}}"#, &args).unwrap();
        let expected = OutgoingMessage::new("orders", r#"{"id":1}"#).with_tag("a").with_key("k");
        let expected = expected.with_property("p", "1").with_property("q", "3").with_delay(Delay::Level(3));
        assert_eq!(item.message, expected);
        let at = read(r#"{"body": "x", "at": "@1795689000000"}"#, &args).unwrap();
        assert_eq!(at.message.delay, Delay::At(1_795_689_000_000));
    }

    #[test]
    fn a_line_that_is_unsound_says_why() {
        for (line, expected) in [
            ("{", "not JSON"),
            ("[]", "not an object"),
            ("{}", "one body"),
            (r#"{"body": "x", "bodyBase64": "AA=="}"#, "one body"),
            (r#"{"bodyBase64": "*"}"#, "not base64"),
            (r#"{"body": "x", "colour": "red"}"#, "unknown field `colour`"),
            (r#"{"body": "x", "keys": ["a b"]}"#, "a space in it"),
            (r#"{"body": "x", "delay": 19}"#, "1 to 18"),
            (r#"{"body": "x", "delay": true}"#, "1 to 18"),
            (r#"{"body": "x", "delay": 1, "at": "@1"}"#, "one of `delay` and `at`"),
            (r#"{"body": "x", "at": "soon"}"#, "expected a time"),
        ] {
            let error = read(line, &args(&[])).unwrap_err();
            assert!(error.contains(expected), "{line}: {error}");
        }
        let error = read(r#"{"body": "x", "delay": 1}"#, &args(&["--batch", "10"])).unwrap_err();
        assert!(error.contains("without --batch"), "{error}");
    }
}
