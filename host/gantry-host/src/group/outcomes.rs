//! What becomes of a message, its batch, its instance and its plugin, whatever a listener does: the one place that says so.
//! `docs/outcomes.md` is the same as a table for people; a test holds the two together.
//!
//! The engine decides about instances and about trying messages alone ([`gantry_engine::consume_isolated`]), and hands over
//! a result and a cause a message. From these follow, here, what the core is told ([`settlement`]), what observers and
//! counters are told ([`settled_as`]), and what is counted against the version ([`gantry_engine::Fault`]).

use gantry_core::{MessageModel, RetryDelay, Settlement};
use gantry_engine::{Cause, ConsumeResult};
use gantry_protocol::delay_level;

use crate::observer::SettledAs;

/// What a message gets that nobody has answered for.
pub(super) const AGAIN: Settlement = Settlement::ReconsumeLater(RetryDelay::ByAttempts);

/// How messages come to the listener, and how often one may.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    pub(super) message_model: MessageModel,
    /// Whether the message's queue is consumed in order.
    pub(super) in_order: bool,
    pub(super) max_reconsume_times: u32,
}

/// What the core is told of a message.
pub(super) fn settlement(result: ConsumeResult) -> Settlement {
    use gantry_engine::RetryDelay as Asked;
    match result {
        ConsumeResult::Success => Settlement::Success,
        ConsumeResult::DeadLetter(reason) => Settlement::DeadLetter(reason),
        ConsumeResult::ReconsumeLater(Asked::ByAttempts) => AGAIN,
        ConsumeResult::ReconsumeLater(Asked::Level(level)) => {
            Settlement::ReconsumeLater(RetryDelay::Level(level))
        }
        ConsumeResult::ReconsumeLater(Asked::Milliseconds(ms)) => {
            Settlement::ReconsumeLater(RetryDelay::Millis(ms))
        }
    }
}

/// What the core makes of a settlement, in the words of observers: it has come `times` before, and `failure` is why the
/// listener did not answer for itself.
pub(super) fn settled_as(
    settlement: &Settlement,
    terms: Terms,
    times: i32,
    failure: Option<&str>,
) -> SettledAs {
    let spent = i64::from(times) >= i64::from(terms.max_reconsume_times);
    let broadcasting = terms.message_model == MessageModel::Broadcasting;
    let limit = || format!("reconsumed {times} times, which is the limit");
    match settlement {
        Settlement::Success => SettledAs::Success,
        Settlement::DeadLetter(reason) if broadcasting => SettledAs::Dropped { reason: reason.clone() },
        Settlement::DeadLetter(reason) => SettledAs::DeadLetter { reason: reason.clone() },
        Settlement::ReconsumeLater(_) if broadcasting && (spent || !terms.in_order) => {
            SettledAs::Dropped { reason: failure.map_or_else(limit, str::to_owned) }
        }
        Settlement::ReconsumeLater(_) if spent => SettledAs::DeadLetter { reason: limit() },
        Settlement::ReconsumeLater(delay) => SettledAs::ReconsumeLater { level: level(*delay) },
    }
}

fn level(delay: RetryDelay) -> u8 {
    match delay {
        RetryDelay::ByAttempts => 0,
        RetryDelay::Level(level) => level.clamp(1, 18),
        RetryDelay::Millis(ms) => u8::try_from(delay_level::level_for_delay(ms)).unwrap_or(18),
    }
}

/// What failed, if the listener did not answer for itself.
pub(super) fn failure_text(cause: &Cause) -> Option<String> {
    match cause {
        // Held back for the one before it, which says why.
        Cause::Answered | Cause::AnsweredAlone | Cause::Settled | Cause::HeldBack => None,
        Cause::FailedAlone(failure) | Cause::BatchFailed(failure) => Some(failure.to_string()),
        Cause::NotRun(failure) => Some(format!("not run, because those before it failed: {failure}")),
        Cause::NoInstance(error) => Some(error.to_string()),
        Cause::HostPanic(text) => Some(format!("the host failed: {text}")),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use gantry_engine::{Fault, GuestFailure, InstantiateError, RetryDelay as Asked};

    use super::*;

    fn cause(name: &str) -> Cause {
        let failure = match name {
            "success" | "reconsume later" | "dead letter" => return Cause::Answered,
            "wrong count" => GuestFailure::WrongCount { expected: 2, got: 1 },
            "listener error" => GuestFailure::ListenerError("no database".into()),
            "trap" => GuestFailure::Trap { reason: "unreachable".into(), last_words: None },
            "deadline" => GuestFailure::Deadline { deadline: Duration::from_secs(1) },
            "memory exceeded" => GuestFailure::MemoryExceeded { asked_bytes: 2, max_bytes: 1 },
            "no instance" => return Cause::NoInstance(Arc::new(InstantiateError::PoolExhausted { max: 1 })),
            "host error" => return Cause::HostPanic("a defect".into()),
            other => panic!("docs/outcomes.md has an outcome that is not known: {other}"),
        };
        match failure.is_fatal() {
            true => Cause::FailedAlone(Arc::new(failure)),
            false => Cause::BatchFailed(Arc::new(failure)),
        }
    }

    fn result(name: &str) -> ConsumeResult {
        match name {
            "success" => ConsumeResult::Success,
            "dead letter" => ConsumeResult::DeadLetter("rotten".into()),
            _ => ConsumeResult::ReconsumeLater(Asked::ByAttempts),
        }
    }

    fn terms(model: &str) -> Terms {
        let (message_model, in_order) = match model {
            "concurrent" => (MessageModel::Clustering, false),
            "orderly" => (MessageModel::Clustering, true),
            "broadcasting" => (MessageModel::Broadcasting, false),
            "broadcasting, orderly" => (MessageModel::Broadcasting, true),
            other => panic!("docs/outcomes.md has a kind of listener that is not known: {other}"),
        };
        Terms { message_model, in_order, max_reconsume_times: 3 }
    }

    /// The first word of a cell is what becomes of the message.
    fn word(as_: &SettledAs) -> &'static str {
        match as_ {
            SettledAs::Success => "settled",
            SettledAs::ReconsumeLater { .. } => "again",
            SettledAs::DeadLetter { .. } => "dead-lettered",
            SettledAs::Dropped { .. } => "dropped",
        }
    }

    fn cells(line: &str) -> Vec<String> {
        let inner = line.trim().trim_matches('|');
        inner.split('|').map(|cell| cell.trim().trim_matches('*').to_owned()).collect()
    }

    /// The rows of the table under this heading, by the names of its columns.
    fn table(document: &str, heading: &str) -> Vec<Vec<(String, String)>> {
        let section = document.split("\n## ").find(|section| section.starts_with(heading)).unwrap();
        let mut lines = section.lines().filter(|line| line.starts_with('|'));
        let columns = cells(lines.next().unwrap());
        let rows = lines.skip(1).map(|line| columns.iter().cloned().zip(cells(line)).collect());
        rows.collect()
    }

    #[test]
    fn the_documented_table_is_what_happens() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/outcomes.md");
        let document = std::fs::read_to_string(path).unwrap();
        let mut walked = 0;
        for (heading, times) in [("The message", 0), ("The message that has had its retries", 3)] {
            for row in table(&document, heading) {
                let name = row[0].1.clone();
                for (model, cell) in &row[1..] {
                    let failure = failure_text(&cause(&name));
                    let as_ = settled_as(&settlement(result(&name)), terms(model), times, failure.as_deref());
                    let first = cell.split([' ', ',', ';']).next().unwrap();
                    assert_eq!(first, word(&as_), "{heading}: {name}, {model}: {as_:?}");
                    walked += 1;
                }
            }
        }
        assert_eq!(
            walked,
            2 * 10 * 4,
            "every outcome in every kind of listener, with retries left and without"
        );
    }

    #[test]
    fn the_documented_faults_are_those_that_are_counted() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/outcomes.md");
        let rows = table(&std::fs::read_to_string(path).unwrap(), "The batch, the instance, the plugin");
        assert_eq!(rows.len(), 10);
        for row in rows {
            let (name, counted) = (row[0].1.clone(), row.last().unwrap().1.clone());
            let expected = match cause(&name).fault() {
                Some(Fault::Fatal) => "fatal",
                Some(Fault::Broken) => "broken",
                Some(Fault::Host) => "the host's",
                None => "none",
            };
            assert_eq!(counted, expected, "{name}");
        }
    }
}
