//! `--update`: the results become the expectations, and all else in the file stays as its author wrote it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use anyhow::Context as _;
use serde_json::Value;

use super::Ran;
use super::compare::Verdict;

/// Writes what was not met, or not said; how many lines that were.
pub(super) fn update(file: &Path, ran: &[Ran]) -> anyhow::Result<usize> {
    let fresh: BTreeMap<usize, &Value> = ran
        .iter()
        .filter(|ran| ran.verdict() != Verdict::AsExpected)
        .map(|ran| (ran.line, &ran.actual.value))
        .collect();
    if fresh.is_empty() {
        return Ok(0);
    }
    let shown = file.display();
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {shown}"))?;
    let mut lines = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        lines.push(match fresh.get(&number) {
            None => line.to_owned(),
            Some(value) => {
                with_expect(line, value).with_context(|| format!("{shown}:{number} has changed"))?
            }
        });
    }
    let ending = if text.ends_with('\n') { "\n" } else { "" };
    // Whole or not at all: the file is the author's.
    let beside = file.with_extension("jsonl.new");
    std::fs::write(&beside, lines.join("\n") + ending)
        .with_context(|| format!("cannot write {}", beside.display()))?;
    std::fs::rename(&beside, file).with_context(|| format!("cannot replace {shown}"))?;
    Ok(fresh.len())
}

/// The line with this value for `expect`, in the place of the one before or at the object's end.
fn with_expect(line: &str, value: &Value) -> Option<String> {
    let (mut spans, end) = members(line)?;
    match spans.remove("expect") {
        Some(span) => Some([line.get(..span.start)?, &value.to_string(), line.get(span.end..)?].concat()),
        None => {
            let (head, tail) = line.split_at_checked(end)?;
            let comma = if spans.is_empty() { "" } else { ", " };
            let space = if head.trim_end().len() < head.len() { " " } else { "" };
            Some(format!("{}{comma}\"expect\": {value}{space}{tail}", head.trim_end()))
        }
    }
}

/// Where the values of an object's members are, by name, and where its closing brace is.
fn members(line: &str) -> Option<(BTreeMap<String, Range<usize>>, usize)> {
    let (mut depth, mut name, mut starts) = (0_usize, None::<String>, None::<usize>);
    let mut members = BTreeMap::new();
    let mut characters = line.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => {
                let end = string_end(line, at)?;
                if depth == 1 && name.is_none() {
                    name = serde_json::from_str(line.get(at..end)?).ok();
                }
                while characters.clone().next().is_some_and(|(next, _)| next < end) {
                    characters.next();
                }
            }
            ':' if depth == 1 => starts = Some(at + 1),
            '{' | '[' => depth += 1,
            ',' | '}' | ']' => {
                if depth == 1
                    && let (Some(name), Some(start)) = (name.take(), starts.take())
                {
                    members.insert(name, trimmed(line, start..at)?);
                }
                if character != ',' {
                    depth = depth.checked_sub(1)?;
                }
                if depth == 0 {
                    return Some((members, at));
                }
            }
            _ => {}
        }
    }
    None
}

/// Past the closing quote of the text that begins at `start`.
fn string_end(line: &str, start: usize) -> Option<usize> {
    let mut escaped = false;
    let quote = line.get(start + 1..)?.char_indices().find(|(_, character)| {
        let ends = *character == '"' && !escaped;
        escaped = *character == '\\' && !escaped;
        ends
    });
    quote.map(|(at, _)| start + 1 + at + 1)
}

fn trimmed(line: &str, range: Range<usize>) -> Option<Range<usize>> {
    let text = line.get(range.clone())?;
    let start = range.start + (text.len() - text.trim_start().len());
    Some(start..start + text.trim().len())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_the_expectation_changes() {
        let dead = json!({ "dead-letter": "no id" });
        let with = |line: &str| with_expect(line, &dead).unwrap();
        assert_eq!(with(r#"{"body": "a"}"#), r#"{"body": "a", "expect": {"dead-letter":"no id"}}"#);
        assert_eq!(with(r#"{ "body": "a" }"#), r#"{ "body": "a", "expect": {"dead-letter":"no id"} }"#);
        assert_eq!(with("{}"), r#"{"expect": {"dead-letter":"no id"}}"#);
        assert_eq!(
            with(r#"{"expect" : {"reconsume-later": {"level": 2}} , "tags":"t"}"#),
            r#"{"expect" : {"dead-letter":"no id"} , "tags":"t"}"#
        );
    }

    #[test]
    fn what_only_looks_like_an_expectation_stays() {
        let line =
            r#"{"body": "{\"expect\": \"x\"} , é", "properties": {"expect": "y"}, "expect": "success"}"#;
        let updated = with_expect(line, &json!("filtered")).unwrap();
        assert_eq!(updated, line.replace("\"success\"", "\"filtered\""));
        assert_eq!(with_expect("not JSON", &json!("success")), None);
    }
}
