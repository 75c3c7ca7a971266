//! Which broker a sender had better pass over for a while (RocketMQ: MQFaultStrategy, LatencyFaultToleranceImpl).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gantry_protocol::MessageQueue;

/// The latency a failed attempt is taken for, so that the broker is passed over for 10 s.
const ISOLATION: Duration = Duration::from_secs(10);
/// Brokers that are kept in mind; no cluster has so many that are at fault.
const MAX_BROKERS: usize = 1_024;

/// From which latency on a broker is passed over, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FaultLevel {
    /// An attempt that takes this long or longer counts (RocketMQ: `latencyMax`).
    pub latency_max: Duration,
    /// The broker is passed over for so long from then on (RocketMQ: `notAvailableDuration`).
    pub not_available_duration: Duration,
}

const fn level(latency_max: u64, not_available_duration: u64) -> FaultLevel {
    FaultLevel {
        latency_max: Duration::from_millis(latency_max),
        not_available_duration: Duration::from_millis(not_available_duration),
    }
}

/// RocketMQ's levels.
pub const FAULT_LEVELS: [FaultLevel; 7] = [
    level(50, 0),
    level(100, 0),
    level(550, 2_000),
    level(1_800, 5_000),
    level(3_000, 6_000),
    level(5_000, 10_000),
    level(15_000, 30_000),
];

/// How an attempt to send ended, as far as its broker is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// The broker took the message, or was not at fault: only the time it took counts.
    Answered,
    /// The broker answered with an error. It is passed over like a slow one, and is unreachable until it takes a message.
    Refused,
    /// There was no connection or no answer. The broker is passed over like a slow one.
    Unanswered,
}

/// What is known of the brokers that messages were sent to.
#[derive(Debug, Clone)]
pub struct FaultStrategy {
    levels: Vec<FaultLevel>,
    faults: BTreeMap<Arc<str>, Fault>,
}

#[derive(Debug, Clone, Copy)]
struct Fault {
    available_from: Instant,
    reachable: bool,
}

impl FaultStrategy {
    /// A strategy that knows of no fault yet. The last level whose latency is reached counts, so `levels` ascend;
    /// RocketMQ's are [`FAULT_LEVELS`].
    pub fn new(levels: impl Into<Vec<FaultLevel>>) -> Self {
        Self { levels: levels.into(), faults: BTreeMap::new() }
    }

    /// Takes in how an attempt at `broker` ended and how long it took. A broker that is passed over already is never
    /// taken back earlier for it.
    pub fn attempted(&mut self, broker: &Arc<str>, attempt: Attempt, latency: Duration, now: Instant) {
        let counted = if attempt == Attempt::Answered { latency } else { ISOLATION };
        let until = now + self.not_available_duration(counted);
        let before = self.faults.remove(broker);
        let fault = Fault {
            available_from: before.map_or(until, |before| before.available_from.max(until)),
            reachable: attempt != Attempt::Refused,
        };
        if fault.reachable && fault.available_from <= now {
            return;
        }
        if self.faults.len() >= MAX_BROKERS {
            self.faults.retain(|_, fault| fault.available_from > now);
        }
        if self.faults.len() < MAX_BROKERS {
            self.faults.insert(Arc::clone(broker), fault);
        }
    }

    /// The queue of this `turn`: of the brokers that are available, but for the one tried last; else of those that are
    /// reachable, but for that one; else any. `None` where there is no queue.
    pub fn select<'a>(
        &self,
        queues: &'a [MessageQueue],
        last_broker: Option<&str>,
        turn: usize,
        now: Instant,
    ) -> Option<&'a MessageQueue> {
        let other = |queue: &MessageQueue| last_broker.is_none_or(|last| *queue.broker_name != *last);
        in_turn(queues, turn, |queue| other(queue) && self.is_available(&queue.broker_name, now))
            .or_else(|| in_turn(queues, turn, |queue| other(queue) && self.is_reachable(&queue.broker_name)))
            .or_else(|| in_turn(queues, turn, |_| true))
    }

    /// Whether the broker is not passed over at the moment.
    pub fn is_available(&self, broker: &str, now: Instant) -> bool {
        self.faults.get(broker).is_none_or(|fault| fault.available_from <= now)
    }

    fn is_reachable(&self, broker: &str) -> bool {
        self.faults.get(broker).is_none_or(|fault| fault.reachable)
    }

    fn not_available_duration(&self, latency: Duration) -> Duration {
        let reached = self.levels.iter().rev().find(|level| latency >= level.latency_max);
        reached.map_or(Duration::ZERO, |level| level.not_available_duration)
    }
}

/// The queue of this `turn`, at another broker than the one tried last if there is one. `None` where there is no queue.
/// This is all of the strategy that is there without `sendLatencyFaultEnable`.
pub fn elsewhere<'a>(
    queues: &'a [MessageQueue],
    last_broker: Option<&str>,
    turn: usize,
) -> Option<&'a MessageQueue> {
    let other = last_broker.and_then(|last| in_turn(queues, turn, |queue| *queue.broker_name != *last));
    other.or_else(|| queues.get(turn.checked_rem(queues.len())?))
}

/// Counts only what is eligible, so that the neighbours of what is not are not chosen more often than others.
fn in_turn(
    queues: &[MessageQueue],
    turn: usize,
    eligible: impl Fn(&MessageQueue) -> bool,
) -> Option<&MessageQueue> {
    let eligible = || queues.iter().filter(|queue| eligible(queue));
    eligible().nth(turn.checked_rem(eligible().count())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn queues(brokers: &[&str]) -> Vec<MessageQueue> {
        let of = |broker: &&str| [0, 1].map(|id| MessageQueue::new("t", *broker, id));
        brokers.iter().flat_map(of).collect()
    }

    fn chosen(strategy: &FaultStrategy, brokers: &[&str], last: Option<&str>, now: Instant) -> String {
        let queues = queues(brokers);
        let turns = (0..queues.len()).map(|turn| strategy.select(&queues, last, turn, now).unwrap());
        let names: Vec<_> = turns.map(|queue| format!("{}{}", queue.broker_name, queue.queue_id)).collect();
        names.join(" ")
    }

    /// What computeNotAvailableDuration of Java's MQFaultStrategy gives, in milliseconds.
    #[test]
    fn a_latency_passes_a_broker_over_for_as_long_as_in_java() {
        let strategy = FaultStrategy::new(FAULT_LEVELS);
        for (latency, expected) in [
            (0, 0),
            (49, 0),
            (50, 0),
            (100, 0),
            (549, 0),
            (550, 2_000),
            (1_799, 2_000),
            (1_800, 5_000),
            (2_999, 5_000),
            (3_000, 6_000),
            (4_999, 6_000),
            (5_000, 10_000),
            (10_000, 10_000),
            (14_999, 10_000),
            (15_000, 30_000),
            (3_600_000, 30_000),
        ] {
            let duration = strategy.not_available_duration(Duration::from_millis(latency));
            assert_eq!(duration, Duration::from_millis(expected), "{latency} ms");
        }
    }

    /// Attempt, latency in ms, then for how long Java passes the broker over, and whether it calls it reachable.
    #[test]
    fn an_attempt_says_of_its_broker_what_it_does_in_java() {
        let table = [
            (Attempt::Answered, 10, 0, true),
            (Attempt::Answered, 600, 2, true),
            (Attempt::Answered, 20_000, 30, true),
            (Attempt::Unanswered, 1, 10, true),
            (Attempt::Unanswered, 20_000, 10, true),
            (Attempt::Refused, 1, 10, false),
        ];
        for (attempt, latency, seconds, reachable) in table {
            let (mut strategy, now) = (FaultStrategy::new(FAULT_LEVELS), Instant::now());
            strategy.attempted(&"a".into(), attempt, Duration::from_millis(latency), now);
            let until = now + seconds * SECOND;
            let just_before = until.checked_sub(Duration::from_millis(1)).unwrap().max(now);
            assert_eq!(strategy.is_available("a", just_before), seconds == 0, "{attempt:?} {latency}");
            assert!(strategy.is_available("a", until), "{attempt:?} {latency}");
            assert_eq!(strategy.is_reachable("a"), reachable, "{attempt:?} {latency}");
        }
    }

    /// Java's selectOneMessageQueue: available and another broker, else reachable and another broker, else any.
    #[test]
    fn the_available_come_first_then_the_reachable_then_any() {
        let (mut strategy, now) = (FaultStrategy::new(FAULT_LEVELS), Instant::now());
        let (three, two) = (["a", "b", "c"], ["a", "b"]);
        assert_eq!(chosen(&strategy, &three, None, now), "a0 a1 b0 b1 c0 c1");
        assert_eq!(chosen(&strategy, &three, Some("b"), now), "a0 a1 c0 c1 a0 a1");
        strategy.attempted(&"a".into(), Attempt::Unanswered, SECOND, now);
        assert_eq!(chosen(&strategy, &three, None, now), "b0 b1 c0 c1 b0 b1");
        assert_eq!(chosen(&strategy, &three, Some("b"), now), "c0 c1 c0 c1 c0 c1");
        strategy.attempted(&"b".into(), Attempt::Refused, SECOND, now);
        strategy.attempted(&"c".into(), Attempt::Refused, SECOND, now);
        assert_eq!(chosen(&strategy, &three, None, now), "a0 a1 a0 a1 a0 a1", "only a is reachable");
        assert_eq!(chosen(&strategy, &two, Some("a"), now), "a0 a1 b0 b1", "nothing else is left");
        let later = now + 10 * SECOND;
        assert_eq!(chosen(&strategy, &three, None, later), "a0 a1 b0 b1 c0 c1");
        assert_eq!(chosen(&strategy, &[], None, later), "");
        assert!(strategy.select(&[], None, 7, later).is_none());
    }

    #[test]
    fn a_broker_is_passed_over_as_long_as_the_worst_attempt_says_and_reachable_by_the_last() {
        let (mut strategy, now) = (FaultStrategy::new(FAULT_LEVELS), Instant::now());
        strategy.attempted(&"a".into(), Attempt::Refused, SECOND, now);
        strategy.attempted(&"a".into(), Attempt::Answered, Duration::ZERO, now);
        assert!(strategy.is_reachable("a") && !strategy.is_available("a", now + 9 * SECOND));
        strategy.attempted(&"a".into(), Attempt::Answered, Duration::ZERO, now + 10 * SECOND);
        assert!(strategy.faults.is_empty(), "nothing is kept of a broker that does well");
    }

    #[test]
    fn only_so_many_brokers_are_kept_in_mind() {
        let (mut strategy, now) = (FaultStrategy::new(FAULT_LEVELS), Instant::now());
        for broker in 0..2 * MAX_BROKERS {
            strategy.attempted(&format!("b{broker}").into(), Attempt::Refused, SECOND, now);
        }
        assert_eq!(strategy.faults.len(), MAX_BROKERS);
        strategy.attempted(&"new".into(), Attempt::Refused, SECOND, now + 60 * SECOND);
        assert_eq!(strategy.faults.len(), 1);
    }

    #[test]
    fn without_the_strategy_only_the_last_broker_is_avoided() {
        let queues = queues(&["a", "b"]);
        let chosen = |last, turn| elsewhere(&queues, last, turn).map(|queue| queue.to_string());
        let at = |broker: &str, id| Some(MessageQueue::new("t", broker, id).to_string());
        assert_eq!([chosen(None, 0), chosen(None, 3), chosen(None, 5)], [at("a", 0), at("b", 1), at("a", 1)]);
        assert_eq!([chosen(Some("a"), 0), chosen(Some("a"), 1)], [at("b", 0), at("b", 1)]);
        let only: Vec<_> = queues.iter().take(2).cloned().collect();
        assert_eq!(elsewhere(&only, Some("a"), 1), only.get(1), "there is no other");
        assert_eq!(elsewhere(&[], Some("a"), 1), None);
    }
}
