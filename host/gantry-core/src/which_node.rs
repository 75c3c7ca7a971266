//! Which broker of a queue's broker name is asked: the one that was suggested, and a replica while the master does not
//! answer (RocketMQ: PullAPIWrapper.pullFromWhichNodeTable, recalculatePullFromWhichNode).

use std::time::{Duration, Instant};

use gantry_protocol::names::MASTER_ID;

use crate::backoff::Backoff;

/// How long a replica is read before the master is tried again. A master that hangs costs each try the whole time-out of a
/// pull, so they become rare.
const MASTER_AWAY: Backoff = Backoff { first: Duration::from_secs(5), most: Duration::from_secs(60) };

/// Which broker of a name a pull goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullFrom {
    /// The one of this id, as the last answer suggested (suggestWhichBrokerId): 0 is the master. When the route no longer
    /// names it, the master; when it names no master either, any.
    Broker(u64),
    /// Any but the master, which does not answer; the master when the route names no other.
    Replica,
}

/// The broker id of masters.
pub(crate) const MASTER: u64 = MASTER_ID.unsigned_abs();

/// What one queue's pulls have shown of the brokers of its name.
#[derive(Debug)]
pub(crate) struct WhichNode {
    suggested: u64,
    /// Whom the last pull asked.
    asked: PullFrom,
    /// Replicas are asked until then, since the master does not answer.
    master_away: Option<Instant>,
    /// Times in a row it was found so.
    master_failures: u32,
    /// The last answer came from a replica.
    replica_answers: bool,
}

impl WhichNode {
    pub(crate) fn new() -> Self {
        Self {
            suggested: MASTER,
            asked: PullFrom::Broker(MASTER),
            master_away: None,
            master_failures: 0,
            replica_answers: false,
        }
    }

    /// Whom the pull that begins now asks.
    pub(crate) fn ask(&mut self, now: Instant) -> PullFrom {
        self.asked = match self.master_away {
            Some(until) if now < until => PullFrom::Replica,
            _ => PullFrom::Broker(self.suggested),
        };
        self.asked
    }

    /// The broker with this id answered, and suggests that one for the next pull.
    pub(crate) fn answered(&mut self, by: u64, suggested: u64) {
        self.suggested = suggested;
        self.replica_answers = by != MASTER;
        if by == MASTER {
            (self.master_away, self.master_failures) = (None, 0);
        }
    }

    /// The broker that was asked did answer, with a refusal.
    pub(crate) fn refused(&mut self) {
        self.suggested = MASTER;
        if self.asked == PullFrom::Replica {
            self.master_away = None;
        }
    }

    /// Nobody answered. True when the next pull goes to a replica that is known to answer, and so need not wait.
    pub(crate) fn failed(&mut self, now: Instant, random: &mut fastrand::Rng) -> bool {
        let replica_answers = std::mem::take(&mut self.replica_answers);
        self.suggested = MASTER;
        if self.asked != PullFrom::Broker(MASTER) {
            // What was suggested may be what failed; the master is always right to ask.
            self.master_away = None;
            return false;
        }
        self.master_failures = self.master_failures.saturating_add(1);
        self.master_away = Some(now + MASTER_AWAY.after(self.master_failures, random));
        replica_answers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each line is one pull: seconds since the start, whom it asks, and how it ends.
    #[test]
    fn the_node_that_is_asked_reads_like_the_table() {
        let table = include_str!("testdata/which_node.txt");
        let (start, mut random) = (Instant::now(), fastrand::Rng::with_seed(5));
        let mut node = WhichNode::new();
        for line in table.lines() {
            if line.starts_with('#') {
                node = WhichNode::new();
            }
            let words: Vec<&str> = line.split_whitespace().collect();
            let [seconds, asked, "->", ended @ ..] = &words[..] else { continue };
            let now = start + Duration::from_secs(seconds.parse().unwrap());
            let asks = match node.ask(now) {
                PullFrom::Broker(MASTER) => "master".to_owned(),
                PullFrom::Broker(id) => id.to_string(),
                PullFrom::Replica => "replica".to_owned(),
            };
            assert_eq!(asks, *asked, "{line}");
            match ended {
                ["answered", "by", by, "suggests", suggested] => {
                    node.answered(by.parse().unwrap(), suggested.parse().unwrap());
                }
                ["refused"] => node.refused(),
                ["failed", then @ ..] => {
                    let at_once = node.failed(now, &mut random);
                    assert_eq!(at_once, then == ["at", "once"], "{line}");
                }
                _ => panic!("{line}"),
            }
        }
    }
}
