//! The messages file: one case a line, each error with its place.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Context as _;
use gantry_engine::{MessageQueue, Plugin};
use serde::Deserialize;
use serde_json::Value;

use super::compare::Expectation;
use super::message::Message;

/// Most unsound lines told of at once.
const MAX_TOLD: usize = 20;
/// Most queues, and most members, of one question.
const MAX_SHARED: usize = 10_000;
/// What a strategy's queues are queues of, and whose the members are, unless the line says so.
const TOPIC: &str = "topic";
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

/// Whether a line is more than white space or a comment.
pub(super) fn says_something(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && !line.starts_with("//")
}

/// Whether the plugin can be asked what the lines ask.
pub(super) fn check_against(lines: &[Line], plugin: &Plugin, file: &Path) -> anyhow::Result<()> {
    let topics: BTreeSet<&str> = plugin
        .listener
        .iter()
        .flat_map(|module| &module.description().subscriptions)
        .map(|subscription| subscription.topic.as_str())
        .collect();
    let fault = |case: &Case| {
        match case {
        Case::Question(_) if plugin.strategy.is_none() => {
            Some("a question for a strategy, and the plugin is none; leave `queues` out for a message".to_owned())
        }
        Case::Message(_) if plugin.listener.is_none() => {
            Some("a message, and the plugin is no listener; give `queues` and `members` to ask a strategy".to_owned())
        }
        Case::Message(message) => message.topic.as_deref().filter(|topic| !topics.contains(topic)).map(|topic| {
            let topics = topics.iter().copied().collect::<Vec<_>>().join(", ");
            format!("the plugin does not subscribe to `{topic}`; give one of its topics ({topics}), or no topic")
        }),
        Case::Question(_) => None,
    }
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
    let mut value: Value = serde_json::from_str(text)
        .map_err(|error| format!("not JSON: {} (column {})", reason(&error), error.column()))?;
    let object = value.as_object_mut().ok_or("not an object; a line is {\"body\": \"...\"} or the like")?;
    let expect = object.remove("expect");
    let asks = object.contains_key("queues") || object.contains_key("members");
    let (case, parse): (_, fn(&Value) -> _) = match asks {
        true => (Case::Question(question(value)?), Expectation::of_strategy),
        false => (Case::Message(Box::new(Message::read(value, directory)?)), Expectation::of_message),
    };
    let expect = expect.as_ref().map(parse).transpose()?;
    Ok(Line { number, expect, case })
}

/// What serde says, without its own line number, which is always 1.
pub(super) fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.clone(), |(reason, _)| reason.to_owned())
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

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "`queues` is a number of queues at `broker-a`, or a list such as [\"broker-a:0\"]"
)]
enum Queues {
    Count(u32),
    Named(Vec<String>),
}

fn question(value: Value) -> Result<Question, String> {
    let asked: Asked = serde_json::from_value(value).map_err(|error| reason(&error))?;
    let topic = asked.topic.as_deref().unwrap_or(TOPIC);
    let names = match asked.queues {
        Queues::Count(count) if count as usize <= MAX_SHARED => {
            (0..count).map(|id| format!("broker-a:{id}")).collect()
        }
        Queues::Named(names) if names.len() <= MAX_SHARED => names,
        _ => return Err(format!("too many queues; at most {MAX_SHARED}")),
    };
    let mut queues = names.iter().map(|name| queue(topic, name)).collect::<Result<Vec<_>, _>>()?;
    let mut members = asked.members;
    if members.is_empty() || members.len() > MAX_SHARED {
        return Err(format!("`members` has {}; a group has 1 to {MAX_SHARED}", members.len()));
    }
    // As every member of a group sees them.
    queues.sort();
    members.sort();
    for (twice, what) in [(doubled(&queues), "queue"), (doubled(&members), "member")] {
        if twice {
            return Err(format!("a {what} is named twice"));
        }
    }
    Ok(Question { consumer_group: asked.consumer_group.unwrap_or_else(|| GROUP.to_owned()), queues, members })
}

/// Whether something sorted has neighbours alike.
fn doubled<T: PartialEq>(sorted: &[T]) -> bool {
    sorted.windows(2).any(|pair| pair.first() == pair.last())
}

fn queue(topic: &str, name: &str) -> Result<MessageQueue, String> {
    let read = name.rsplit_once(':').and_then(|(broker, id)| Some((broker, id.parse().ok()?)));
    let (broker, queue_id) = read
        .filter(|(broker, _)| !broker.is_empty())
        .ok_or_else(|| format!("`{name}` is no queue; write BROKER:ID, such as broker-a:0"))?;
    Ok(MessageQueue { topic: topic.to_owned(), broker_name: broker.to_owned(), queue_id })
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
