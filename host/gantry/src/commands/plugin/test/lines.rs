//! The messages file: one case a line, each error with its place.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Context as _;
use gantry_engine::{MessageQueue, Plugin};
use serde::Deserialize;
use serde_json::Value;

use super::compare::Expectation;
use super::message::Message;
use super::queues::{Queues, doubled};
use super::selector::Choice;
use crate::commands::written::{json, reason, says_something};

/// Most unsound lines told of at once.
const MAX_TOLD: usize = 20;
/// Most members of one question.
const MAX_MEMBERS: usize = 10_000;
/// Whose the members are, unless the line says so.
const GROUP: &str = "group";

/// A line that says something.
#[derive(Debug)]
pub(super) struct Line {
    /// From 1.
    pub(super) number: usize,
    pub(super) expect: Option<Expectation>,
    pub(super) case: Case,
}

/// What a line is about.
#[derive(Debug)]
pub(super) enum Case {
    /// For a listener.
    Message(Box<Message>),
    /// For a strategy.
    Question(Question),
    /// For a selector.
    Choice(Box<Choice>),
}

/// Which queues are whose?
#[derive(Debug)]
pub(super) struct Question {
    pub(super) consumer_group: String,
    pub(super) queues: Vec<MessageQueue>,
    pub(super) members: Vec<String>,
}

/// Reads every line; where some are unsound, says so of each.
pub(super) fn read(file: &Path) -> anyhow::Result<Vec<Line>> {
    let shown = file.display();
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {shown}"))?;
    let directory = file.parent().unwrap_or(Path::new(""));
    let (mut lines, mut wrong) = (Vec::new(), Vec::new());
    for (number, text) in (1..).zip(text.lines()).filter(|(_, text)| says_something(text)) {
        match line(number, text, directory) {
            Ok(line) => lines.push(line),
            Err(error) => wrong.push(format!("{shown}:{number}: {error}")),
        }
    }
    refuse(&wrong)?;
    anyhow::ensure!(!lines.is_empty(), "{shown} has no message: write one JSON object a line");
    Ok(lines)
}

/// Whether the plugin can be asked what the lines ask.
pub(super) fn check_against(lines: &[Line], plugin: &Plugin, file: &Path) -> anyhow::Result<()> {
    let topics: BTreeSet<&str> = plugin
        .listener
        .iter()
        .flat_map(|module| &module.description().subscriptions)
        .map(|subscription| subscription.topic.as_str())
        .collect();
    let other_role = |asked: &str, role: &str| Some(format!("{asked}, and the plugin is no {role}"));
    let not_subscribed = |topic: &str| {
        let topics = topics.iter().copied().collect::<Vec<_>>().join(", ");
        format!("the plugin does not subscribe to `{topic}`; give one of its topics ({topics}), or no topic")
    };
    let fault = |case: &Case| match case {
        Case::Question(_) if plugin.strategy.is_none() => {
            other_role("a line with `members` is a question for a strategy", "strategy")
        }
        Case::Choice(_) if plugin.selector.is_none() => {
            other_role("a line with `arg` is a question for a selector", "selector")
        }
        Case::Message(_) if plugin.listener.is_none() => {
            other_role("a line without `members` and `arg` is a message", "listener")
        }
        Case::Message(message) => {
            message.topic.as_deref().filter(|topic| !topics.contains(topic)).map(not_subscribed)
        }
        Case::Question(_) | Case::Choice(_) => None,
    };
    let wrong = |line: &Line| Some(format!("{}:{}: {}", file.display(), line.number, fault(&line.case)?));
    refuse(&lines.iter().filter_map(wrong).collect::<Vec<_>>())
}

fn refuse(wrong: &[String]) -> anyhow::Result<()> {
    let told = wrong.iter().take(MAX_TOLD).cloned().collect::<Vec<_>>().join("\n");
    match wrong.len() {
        0 => Ok(()),
        1..=MAX_TOLD => anyhow::bail!("{told}"),
        more => anyhow::bail!("{told}\nand {} lines more", more - MAX_TOLD),
    }
}

fn line(number: usize, text: &str, directory: &Path) -> Result<Line, String> {
    let mut value = json(text)?;
    let object = value.as_object_mut().ok_or("not an object; a line is {\"body\": \"...\"} or the like")?;
    let expect = object.remove("expect");
    let chooses = object.contains_key("arg");
    let asks = object.contains_key("queues") || object.contains_key("members");
    let (case, parse): (_, fn(&Value) -> _) = match (chooses, asks) {
        (true, _) => (Case::Choice(Box::new(Choice::read(value, directory)?)), Expectation::of_selector),
        (false, true) => (Case::Question(question(value)?), Expectation::of_strategy),
        (false, false) => {
            (Case::Message(Box::new(Message::read(value, directory)?)), Expectation::of_message)
        }
    };
    let expect = expect.as_ref().map(parse).transpose()?;
    Ok(Line { number, expect, case })
}

/// A question as written.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Asked {
    topic: Option<String>,
    consumer_group: Option<String>,
    queues: Queues,
    members: Vec<String>,
}

fn question(value: Value) -> Result<Question, String> {
    let asked: Asked = serde_json::from_value(value).map_err(|error| reason(&error))?;
    let queues = asked.queues.of(asked.topic.as_deref())?;
    let mut members = asked.members;
    if members.is_empty() || members.len() > MAX_MEMBERS {
        return Err(format!("`members` has {}; a group has 1 to {MAX_MEMBERS}", members.len()));
    }
    // As every member of a group sees them.
    members.sort();
    if doubled(&members) {
        return Err("a member is named twice".to_owned());
    }
    Ok(Question { consumer_group: asked.consumer_group.unwrap_or_else(|| GROUP.to_owned()), queues, members })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> String {
        line(1, text, Path::new("")).unwrap_err()
    }

    #[test]
    fn a_line_is_a_message_or_a_question() {
        let message = line(3, r#"{"body": "x", "expect": "success"}"#, Path::new("")).unwrap();
        assert!(matches!(message.case, Case::Message(_)) && message.number == 3 && message.expect.is_some());
        let asked = line(4, r#"{"queues": 2, "members": ["b", "a"]}"#, Path::new("")).unwrap();
        let Case::Question(question) = asked.case else { panic!("{asked:?}") };
        assert_eq!(question.members, ["a", "b"]);
        let queues: Vec<_> =
            question.queues.iter().map(|queue| (&*queue.broker_name, queue.queue_id)).collect();
        assert_eq!(queues, [("broker-a", 0), ("broker-a", 1)]);
    }

    #[test]
    fn what_is_wrong_is_said_with_what_would_be_right() {
        assert!(fault("{\"body\": ").contains("not JSON: EOF"), "{}", fault("{\"body\": "));
        assert!(fault("[]").contains("not an object"));
        assert!(fault(r#"{"bdy": "x"}"#).contains("unknown field `bdy`, expected one of `topic`"));
        assert!(fault(r#"{"queues": ["broker-a"], "members": ["a"]}"#).contains("write BROKER:ID"));
        assert!(fault(r#"{"queues": -1, "members": ["a"]}"#).contains("a number of queues"));
        assert!(fault(r#"{"queues": 1, "members": []}"#).contains("a group has 1 to"));
        assert!(fault(r#"{"queues": 1, "members": ["a", "a"]}"#).contains("a member is named twice"));
        assert!(fault(r#"{"body": "x", "expect": "succes"}"#).contains("`succes`"));
    }

    #[test]
    fn comments_and_blank_lines_say_nothing() {
        assert!(!says_something("  ") && !says_something(" // later") && says_something("{}"));
    }
}
