//! What came out, what was expected, and whether the one is the other.

use std::collections::BTreeMap;

use regex_lite::Regex;
use serde::Serialize;
use serde_json::{Value, json};

/// What came of a message or a question, as an expectation would say it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Actual {
    pub(super) value: Value,
    /// What to know besides: a failure in full, a queue without an owner.
    pub(super) note: Option<String>,
    /// Of a strategy's answers: whether each queue has exactly one owner.
    pub(super) sound: bool,
}

impl Actual {
    pub(super) const fn new(value: Value) -> Self {
        Self { value, note: None, sound: false }
    }

    /// A message or question that got no answer of its own: `kind` is the failure's short name.
    pub(super) fn failed(kind: &str, why: String) -> Self {
        Self { value: json!({ "fails": kind }), note: Some(why), sound: false }
    }
}

/// How a result compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Verdict {
    AsExpected,
    Unexpected,
    /// Nothing was expected.
    NotJudged,
}

/// What is expected.
#[derive(Debug, Clone)]
pub(super) struct Expectation {
    /// As written.
    pub(super) written: Value,
    rule: Rule,
}

#[derive(Debug, Clone)]
enum Rule {
    /// This and nothing else.
    Exactly,
    /// Any result of this kind.
    Kind(&'static str),
    /// A result of this kind whose text is like this.
    Like(&'static str, Regex),
    /// A division that the host would obey.
    Sound,
}

const RECONSUME_LATER: &str = "reconsume-later";
const DEAD_LETTER: &str = "dead-letter";
const FAILS: &str = "fails";

impl Expectation {
    /// What a message's line expects.
    pub(super) fn of_message(written: &Value) -> Result<Self, String> {
        let rule = match written {
            Value::String(text) => match text.as_str() {
                "success" | "filtered" => Rule::Exactly,
                RECONSUME_LATER => Rule::Kind(RECONSUME_LATER),
                DEAD_LETTER => Rule::Kind(DEAD_LETTER),
                FAILS => Rule::Kind(FAILS),
                other => return Err(no_result(&format!("`{other}`"))),
            },
            other => match only_member(other) {
                Some((RECONSUME_LATER, delay)) if is_delay(delay) => Rule::Exactly,
                Some((RECONSUME_LATER, delay)) => {
                    return Err(format!(
                        "{delay} is no delay; write \"by-attempts\", {{\"level\": 1 to 18}} or {{\"milliseconds\": N}}"
                    ));
                }
                Some((DEAD_LETTER, Value::String(reason))) => reason_like(DEAD_LETTER, reason)?,
                Some((FAILS, Value::String(kind))) => reason_like(FAILS, kind)?,
                _ => return Err(no_result(&other.to_string())),
            },
        };
        Ok(Self { written: written.clone(), rule })
    }

    /// What a question's line expects.
    pub(super) fn of_strategy(written: &Value) -> Result<Self, String> {
        let rule = match written {
            Value::String(text) if text == "sound" => Rule::Sound,
            Value::String(text) if text == FAILS => Rule::Kind(FAILS),
            other => match only_member(other) {
                Some((FAILS, Value::String(kind))) => reason_like(FAILS, kind)?,
                _ if is_division(other) => Rule::Exactly,
                _ => {
                    return Err(format!(
                        "{other} is nothing a strategy could answer; expect is \"sound\", \"fails\", or each member's queues: \
                         {{\"a\": [\"broker-a:0\"], \"b\": []}}"
                    ));
                }
            },
        };
        Ok(Self { written: written.clone(), rule })
    }

    /// What a selector's line expects.
    pub(super) fn of_selector(written: &Value) -> Result<Self, String> {
        let rule = match written {
            Value::String(text) if text == FAILS => Rule::Kind(FAILS),
            Value::String(text) if text.contains(':') => Rule::Exactly,
            other => match only_member(other) {
                Some((FAILS, Value::String(kind))) => reason_like(FAILS, kind)?,
                _ => {
                    return Err(format!(
                        "{other} is nothing a selector could answer; expect is a queue, \"broker-a:0\", or \"fails\""
                    ));
                }
            },
        };
        Ok(Self { written: written.clone(), rule })
    }

    pub(super) fn is_met_by(&self, actual: &Actual) -> bool {
        match &self.rule {
            Rule::Exactly => self.written == actual.value,
            Rule::Kind(kind) => only_member(&actual.value).is_some_and(|(name, _)| name == *kind),
            Rule::Like(kind, pattern) => match only_member(&actual.value) {
                Some((name, Value::String(text))) if name == *kind => {
                    // Of a failure, what is said in full is what has something to match.
                    pattern.is_match(actual.note.as_deref().unwrap_or(text))
                }
                _ => false,
            },
            Rule::Sound => actual.sound,
        }
    }
}

fn no_result(found: &str) -> String {
    format!(
        "{found} is no result; expect is \"success\", \"reconsume-later\", {{\"reconsume-later\": {{\"level\": 2}}}}, \
         \"dead-letter\", {{\"dead-letter\": \"the reason\"}}, {{\"dead-letter\": \"/a pattern/\"}}, \"fails\" or \"filtered\""
    )
}

/// The name and value of an object that has one member.
fn only_member(value: &Value) -> Option<(&str, &Value)> {
    let object = value.as_object().filter(|object| object.len() == 1)?;
    object.iter().next().map(|(name, value)| (name.as_str(), value))
}

fn is_delay(value: &Value) -> bool {
    match only_member(value) {
        Some(("level", level)) => level.as_u64().is_some_and(|level| (1..=18).contains(&level)),
        Some(("milliseconds", milliseconds)) => milliseconds.is_u64(),
        _ => value == "by-attempts",
    }
}

fn is_division(value: &Value) -> bool {
    serde_json::from_value::<BTreeMap<String, Vec<String>>>(value.clone()).is_ok()
}

/// `/pattern/`, or the text itself.
fn reason_like(kind: &'static str, text: &str) -> Result<Rule, String> {
    match text.strip_prefix('/').and_then(|text| text.strip_suffix('/')) {
        None => Ok(Rule::Exactly),
        Some(pattern) => Regex::new(pattern)
            .map(|regex| Rule::Like(kind, regex))
            .map_err(|error| format!("`/{pattern}/` is no pattern: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn met(expect: Value, actual: Value) -> bool {
        Expectation::of_message(&expect).unwrap().is_met_by(&Actual::new(actual))
    }

    #[test]
    fn a_result_is_expected_exactly_by_kind_or_by_pattern() {
        assert!(met(json!("success"), json!("success")));
        assert!(!met(json!("success"), json!({ "dead-letter": "no id" })));
        assert!(met(json!("reconsume-later"), json!({ "reconsume-later": { "level": 3 } })));
        assert!(met(
            json!({ "reconsume-later": { "level": 3 } }),
            json!({ "reconsume-later": { "level": 3 } })
        ));
        assert!(!met(
            json!({ "reconsume-later": "by-attempts" }),
            json!({ "reconsume-later": { "level": 3 } })
        ));
        assert!(met(json!({ "dead-letter": "no id" }), json!({ "dead-letter": "no id" })));
        assert!(!met(json!({ "dead-letter": "no id" }), json!({ "dead-letter": "no identity" })));
        assert!(met(json!({ "dead-letter": "/^no id/" }), json!({ "dead-letter": "no identity" })));
        assert!(!met(json!({ "dead-letter": "/^no id/" }), json!("success")));
        assert!(met(json!("filtered"), json!("filtered")));
    }

    #[test]
    fn a_failure_is_expected_by_its_name_or_by_what_it_says() {
        let trap = Actual::failed("trap", "the listener trapped: unreachable".to_owned());
        let met = |expect: Value| Expectation::of_message(&expect).unwrap().is_met_by(&trap);
        assert!(
            met(json!("fails")) && met(json!({ "fails": "trap" })) && met(json!({ "fails": "/unreach/" }))
        );
        assert!(!met(json!({ "fails": "deadline" })) && !met(json!("dead-letter")));
    }

    #[test]
    fn an_expectation_that_nothing_can_meet_is_refused_with_what_could_be() {
        let fault = |expect: Value| Expectation::of_message(&expect).unwrap_err();
        assert!(fault(json!("ok")).contains("`ok` is no result; expect is \"success\""));
        assert!(fault(json!({ "reconsume-later": { "level": 19 } })).contains("1 to 18"));
        assert!(fault(json!({ "dead-letter": 5 })).contains("no result"));
        assert!(fault(json!({ "dead-letter": "/(/" })).contains("no pattern"));
        assert!(Expectation::of_strategy(&json!("success")).unwrap_err().contains("\"sound\""));
    }

    #[test]
    fn a_division_is_expected_as_a_whole_or_to_be_sound() {
        let shares = json!({ "a": ["broker-a:0"], "b": [] });
        let mut actual = Actual::new(shares.clone());
        let met =
            |expect: &Value, actual: &Actual| Expectation::of_strategy(expect).unwrap().is_met_by(actual);
        assert!(met(&shares, &actual) && !met(&json!("sound"), &actual));
        actual.sound = true;
        assert!(met(&json!("sound"), &actual) && !met(&json!({ "a": [], "b": ["broker-a:0"] }), &actual));
    }
}
