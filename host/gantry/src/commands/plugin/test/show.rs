//! What is printed: a line for each case, and for what was not expected the difference.

use std::io::IsTerminal as _;
use std::path::Path;

use gantry_engine::Plugin;
use serde::Serialize;
use serde_json::{Value, json};
use similar::{ChangeTag, TextDiff};

use super::Ran;
use super::compare::Verdict;

/// All in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Summary {
    pub(super) as_expected: usize,
    pub(super) unexpected: usize,
    /// Without an expectation.
    pub(super) not_judged: usize,
    /// Of `consume-message`.
    calls: u32,
    /// Lines that `--update` rewrote.
    updated: usize,
}

impl Summary {
    pub(super) fn of(ran: &[Ran], calls: u32, updated: usize) -> Self {
        let count = |verdict| ran.iter().filter(|ran| ran.verdict() == verdict).count();
        Self {
            as_expected: count(Verdict::AsExpected),
            unexpected: count(Verdict::Unexpected),
            not_judged: count(Verdict::NotJudged),
            calls,
            updated,
        }
    }
}

pub(super) fn json(file: &Path, plugin: &Plugin, ran: &[Ran], summary: &Summary) -> Value {
    let case = |ran: &Ran| {
        let expected = ran.expect.as_ref().map(|expect| &expect.written);
        json!({
            "line": ran.line, "verdict": ran.verdict(), "expected": expected, "actual": ran.actual.value, "note": ran.actual.note
        })
    };
    let cases: Vec<Value> = ran.iter().map(case).collect();
    json!({ "file": file.display().to_string(), "version": plugin.version(), "roles": plugin.roles(), "cases": cases, "summary": summary })
}

pub(super) fn text(file: &Path, plugin: &Plugin, ran: &[Ran], summary: &Summary) {
    let paint = Paint::of_terminal();
    say!("{}, version {}", file.display(), plugin.version());
    let width = ran.last().map_or(1, |last| last.line.to_string().len());
    for ran in ran {
        let (mark, colour) = match ran.verdict() {
            Verdict::AsExpected => ("ok  ", GREEN),
            Verdict::Unexpected => ("FAIL", RED),
            Verdict::NotJudged => ("    ", PLAIN),
        };
        say!("{}  line {:>width$}  {}", paint.with(colour, mark), ran.line, one_line(&ran.actual.value));
        if ran.verdict() == Verdict::Unexpected {
            crate::commands::say_text(difference(ran, paint));
        }
        if let Some(note) = ran.actual.note.as_ref().filter(|_| ran.verdict() != Verdict::AsExpected) {
            note.lines().for_each(|line| say!("      {line}"));
        }
    }
    say!("{}", in_words(summary));
}

fn in_words(summary: &Summary) -> String {
    let Summary { as_expected, unexpected, not_judged, calls, updated } = *summary;
    let mut words = format!("{as_expected} as expected, {unexpected} not");
    if not_judged > 0 {
        words += &format!(", {not_judged} without expectation");
    }
    if calls > 0 {
        words += &format!("; {calls} {}", if calls == 1 { "call" } else { "calls" });
    }
    if updated > 0 {
        words +=
            &format!("; {updated} {} rewritten", if updated == 1 { "expectation" } else { "expectations" });
    }
    words
}

/// A result as a message's line would have it; a division too long for that by its number of queues.
fn one_line(value: &Value) -> String {
    const WIDEST: usize = 100;
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match value.as_object() {
        Some(shares) if shares.len() > 1 && text.len() > WIDEST => {
            let counts: Vec<String> = shares
                .iter()
                .map(|(member, share)| format!("{member}: {}", share.as_array().map_or(0, Vec::len)))
                .collect();
            format!("queues: {}", counts.join(", "))
        }
        _ => text,
    }
}

/// Lines expected and not there, and there and not expected.
fn difference(ran: &Ran, paint: Paint) -> String {
    let lines = |value: &Value| {
        let several = value.as_object().is_some_and(|object| object.len() > 1);
        let text = if several { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) };
        text.unwrap_or_default() + "\n"
    };
    let expected = ran.expect.as_ref().map(|expect| lines(&expect.written)).unwrap_or_default();
    let actual = lines(&ran.actual.value);
    let mut text = String::new();
    for change in TextDiff::from_lines(&expected, &actual).iter_all_changes() {
        let (sign, colour) = match change.tag() {
            ChangeTag::Delete => ("- expected", RED),
            ChangeTag::Insert => ("+ got     ", GREEN),
            ChangeTag::Equal => ("          ", PLAIN),
        };
        let line = format!("      {sign} {}", change.value().trim_end_matches('\n'));
        text += &paint.with(colour, &line);
        text.push('\n');
    }
    text
}

const PLAIN: &str = "";
const RED: &str = "31";
const GREEN: &str = "32";

/// Colours, where somebody sees them.
#[derive(Debug, Clone, Copy)]
struct Paint(bool);

impl Paint {
    /// On a terminal, unless NO_COLOR is set.
    fn of_terminal() -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self(std::io::stdout().is_terminal() && !unwanted)
    }

    fn with(self, colour: &str, text: &str) -> String {
        match self.0 && !colour.is_empty() {
            true => format!("\u{1b}[{colour}m{text}\u{1b}[0m"),
            false => text.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::compare::{Actual, Expectation};
    use super::*;

    fn ran(expect: Value, actual: Value) -> Ran {
        let expect = Expectation::of_strategy(&expect).or_else(|_| Expectation::of_message(&expect)).unwrap();
        Ran { line: 1, expect: Some(expect), actual: Actual::new(actual) }
    }

    #[test]
    fn a_difference_has_a_line_for_each_side() {
        let told = difference(&ran(json!("success"), json!({ "dead-letter": "no id" })), Paint(false));
        assert_eq!(told, "      - expected \"success\"\n      + got      {\"dead-letter\":\"no id\"}\n");
        let coloured = difference(&ran(json!("success"), json!("filtered")), Paint(true));
        assert!(coloured.starts_with("\u{1b}[31m      - expected \"success\"\u{1b}[0m\n"), "{coloured:?}");
    }

    #[test]
    fn of_a_division_only_the_changed_lines_are_marked() {
        let told = difference(
            &ran(json!({ "a": ["b:0"], "b": ["b:1"] }), json!({ "a": ["b:0"], "b": ["b:2"] })),
            Paint(false),
        );
        let marked: Vec<_> =
            told.lines().filter(|line| line.contains("expected") || line.contains("got")).collect();
        assert_eq!(marked.len(), 2, "{told}");
    }

    #[test]
    fn the_summary_counts_what_there_is() {
        let all = Summary { as_expected: 3, unexpected: 1, not_judged: 0, calls: 1, updated: 0 };
        assert_eq!(in_words(&all), "3 as expected, 1 not; 1 call");
        let all = Summary { as_expected: 0, unexpected: 0, not_judged: 2, calls: 2, updated: 2 };
        assert_eq!(
            in_words(&all),
            "0 as expected, 0 not, 2 without expectation; 2 calls; 2 expectations rewritten"
        );
    }
}
