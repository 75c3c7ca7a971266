//! The demo's book-keeping: every message sent, what became of it, and whether one is missing or came twice.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde::Serialize;

/// How late a retry may come before its message counts as lost: the broker looks at its schedule once a second, and
/// a busy machine adds to that.
const SLACK: Duration = Duration::from_secs(10);

/// What became of a message so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Sent, not seen by a listener.
    Sent,
    /// Given back; the broker brings it again at this time.
    Waiting { due: Instant },
    /// Consumed.
    Succeeded,
    /// In the dead-letter topic.
    DeadLettered,
}

#[derive(Debug)]
struct Record {
    fate: Fate,
    /// The reconsume count of its latest delivery, −1 before the first.
    reconsume_times: i32,
}

/// How a delivery ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Consumed.
    Success,
    /// To come again after this long.
    Later(Duration),
    /// In the dead-letter topic.
    Dead,
}

/// The sums, as `--json` prints them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Summary {
    /// Messages the broker acknowledged.
    pub(crate) sent: u64,
    /// Deliveries to the listener, retries included.
    pub(crate) consumed: u64,
    /// Messages that ended in success.
    pub(crate) succeeded: u64,
    /// Times a message was given back to come again.
    pub(crate) reconsumed: u64,
    /// Messages that ended in the dead-letter topic.
    pub(crate) dead_lettered: u64,
    /// Messages given back whose time had not come when the demo ended: they are safe at the broker.
    pub(crate) waiting: u64,
    /// Messages acknowledged by the broker that never came, or did not come again in time.
    pub(crate) lost: u64,
    /// Deliveries beyond the first of the same attempt.
    pub(crate) duplicated: u64,
    /// Times a new version of a plugin took over.
    pub(crate) swaps: u64,
}

/// The book.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    messages: HashMap<String, Record>,
    consumed: u64,
    reconsumed: u64,
    duplicated: u64,
    swaps: u64,
}

impl Tally {
    /// The broker acknowledged a message. It may have been consumed already.
    pub(crate) fn sent(&mut self, id: &str) {
        self.messages.entry(id.to_owned()).or_insert(Record { fate: Fate::Sent, reconsume_times: -1 });
    }

    /// A listener settled a message.
    pub(crate) fn settled(&mut self, now: Instant, id: &str, reconsume_times: i32, ending: Ending) {
        self.consumed += 1;
        let unseen = Record { fate: Fate::Sent, reconsume_times: -1 };
        let record = self.messages.entry(id.to_owned()).or_insert(unseen);
        if reconsume_times <= record.reconsume_times {
            self.duplicated += 1;
        }
        record.reconsume_times = record.reconsume_times.max(reconsume_times);
        record.fate = match ending {
            Ending::Success => Fate::Succeeded,
            Ending::Dead => Fate::DeadLettered,
            Ending::Later(delay) => {
                self.reconsumed += 1;
                Fate::Waiting { due: now + delay }
            }
        };
    }

    /// New versions took over so many times.
    pub(crate) fn swapped(&mut self, times: u64) {
        self.swaps = times;
    }

    /// Messages sent that no listener has seen, or whose retry is due and has not come.
    pub(crate) fn outstanding(&self, now: Instant) -> usize {
        let is_out = |r: &&Record| match r.fate {
            Fate::Sent => true,
            Fate::Waiting { due } => due <= now,
            Fate::Succeeded | Fate::DeadLettered => false,
        };
        self.messages.values().filter(is_out).count()
    }

    /// The sums at the end.
    pub(crate) fn summary(&self, now: Instant) -> Summary {
        let mut summary = Summary {
            sent: self.messages.len() as u64,
            consumed: self.consumed,
            reconsumed: self.reconsumed,
            duplicated: self.duplicated,
            swaps: self.swaps,
            ..Summary::default()
        };
        for record in self.messages.values() {
            match record.fate {
                Fate::Succeeded => summary.succeeded += 1,
                Fate::DeadLettered => summary.dead_lettered += 1,
                Fate::Waiting { due } if due + SLACK > now => summary.waiting += 1,
                Fate::Sent | Fate::Waiting { .. } => summary.lost += 1,
            }
        }
        summary
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn every_message_ends_in_exactly_one_sum() {
        let (mut tally, t) = (Tally::default(), Instant::now());
        for id in ["ok", "later", "dead", "never"] {
            tally.sent(id);
        }
        tally.settled(t, "ok", 0, Ending::Success);
        tally.settled(t, "later", 0, Ending::Later(SECOND * 30));
        tally.settled(t, "dead", 0, Ending::Dead);
        assert_eq!(tally.outstanding(t), 1);
        let s = tally.summary(t + SECOND);
        assert_eq!((s.sent, s.succeeded, s.waiting, s.dead_lettered, s.lost), (4, 1, 1, 1, 1));
        assert_eq!((s.consumed, s.reconsumed, s.duplicated), (3, 1, 0));
    }

    #[test]
    fn a_retry_that_does_not_come_is_lost_and_one_that_comes_is_not() {
        let (mut tally, t) = (Tally::default(), Instant::now());
        tally.sent("a");
        tally.settled(t, "a", 0, Ending::Later(SECOND));
        assert_eq!(tally.summary(t + SECOND * 60).lost, 1);
        tally.settled(t + SECOND, "a", 1, Ending::Success);
        let s = tally.summary(t + SECOND * 60);
        assert_eq!((s.lost, s.succeeded, s.duplicated), (0, 1, 0));
    }

    #[test]
    fn the_same_attempt_twice_is_a_duplicate() {
        let (mut tally, t) = (Tally::default(), Instant::now());
        tally.settled(t, "a", 0, Ending::Success);
        tally.settled(t, "a", 0, Ending::Success);
        assert_eq!(tally.summary(t).duplicated, 1);
    }
}
