//! When queues are allocated again, and what an allocation changes (RocketMQ: RebalanceService, RebalanceImpl).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gantry_protocol::MessageQueue;

use crate::allocate::AllocateError;
use crate::backoff::ANSWER_OVERDUE;
use crate::id::AllocateId;

/// How many times running the brokers must leave this client out of the members before it believes that its queues are
/// others' now. Once or twice, and a broker may merely not have its heartbeat yet.
const ABSENCES_BELIEVED: u32 = 3;

/// A question to a strategy that is on its way.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) id: AllocateId,
    /// The queues it was asked about.
    pub(crate) queues: Arc<[MessageQueue]>,
}

/// One topic's round of asking for members.
#[derive(Debug, Default)]
struct Round {
    /// Since when an answer is waited for.
    asking: Option<Instant>,
    /// Ask once more when the answer is there: something changed meanwhile.
    again: bool,
    absences: u32,
    /// Since when members are missed that may only be on their way back to their broker.
    missing: Option<Instant>,
    /// Whether queues change hands cooperatively, once that is known.
    cooperative: Option<bool>,
    /// The last question to a strategy; one that was asked before it finds nothing.
    strategy: Option<Asked>,
    /// The present trouble has been told.
    trouble_told: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Rounds {
    topics: BTreeMap<Arc<str>, Round>,
}

impl Rounds {
    /// Whether to ask for the topic's members now; if a question is on the way, it is repeated after its answer.
    pub(crate) fn begin(&mut self, now: Instant, topic: &Arc<str>) -> bool {
        let round = self.topics.entry(topic.clone()).or_default();
        round.again = round.asking.is_some_and(|since| now < since + ANSWER_OVERDUE);
        if !round.again {
            round.asking = Some(now);
        }
        !round.again
    }

    /// Takes an answer; whether to ask again at once.
    pub(crate) fn answered(&mut self, topic: &str) -> bool {
        let Some(round) = self.topics.get_mut(topic) else { return false };
        round.asking = None;
        std::mem::take(&mut round.again)
    }

    pub(crate) fn remove(&mut self, topic: &str) {
        self.topics.remove(topic);
    }

    /// Whether to give members that are missed more time, as this has not been done for long.
    pub(crate) fn wait_for_missing(&mut self, now: Instant, topic: &str, patience: Duration) -> bool {
        self.topics.get_mut(topic).is_some_and(|round| now < *round.missing.get_or_insert(now) + patience)
    }

    /// No member is missed any more, or none is waited for.
    pub(crate) fn all_there(&mut self, topic: &str) {
        if let Some(round) = self.topics.get_mut(topic) {
            round.missing = None;
        }
    }

    /// Takes the mode queues change hands in; whether there was one before.
    pub(crate) fn mode(&mut self, topic: &str, cooperative: bool) -> bool {
        let round = self.topics.get_mut(topic);
        round.is_some_and(|round| round.cooperative.replace(cooperative).is_some())
    }

    /// Keeps a question to a strategy in place of the one before.
    pub(crate) fn ask(&mut self, topic: &Arc<str>, asked: Asked) {
        self.topics.entry(topic.clone()).or_default().strategy = Some(asked);
    }

    /// The topic and the question that an answer belongs to.
    pub(crate) fn asked(&mut self, id: AllocateId) -> Option<(Arc<str>, Asked)> {
        let belongs = |round: &Round| round.strategy.as_ref().is_some_and(|asked| asked.id == id);
        let (topic, round) = self.topics.iter_mut().find(|(_, round)| belongs(round))?;
        Some((topic.clone(), round.strategy.take()?))
    }

    /// This client is in the list.
    pub(crate) fn well(&mut self, topic: &str) {
        if let Some(round) = self.topics.get_mut(topic) {
            (round.absences, round.trouble_told) = (0, false);
        }
    }

    /// There is no allocation; whether this is the first time of a row.
    pub(crate) fn trouble(&mut self, topic: &str) -> bool {
        self.topics.get_mut(topic).is_some_and(|round| !std::mem::replace(&mut round.trouble_told, true))
    }

    /// This client was left out of the list; whether that has happened often enough to be believed.
    pub(crate) fn absent(&mut self, topic: &str) -> bool {
        self.topics.get_mut(topic).is_some_and(|round| {
            round.absences = round.absences.saturating_add(1);
            round.absences >= ABSENCES_BELIEVED
        })
    }
}

/// Holds a strategy to its contract: only queues the topic has, each once. What is of other topics is left out: a fixed
/// list (RocketMQ: AllocateMessageQueueByConfig) is the answer for every topic, and each topic has its own round.
pub(crate) fn check_allocation(
    strategy: &str,
    queues: &[MessageQueue],
    mut allocated: Vec<MessageQueue>,
) -> Result<BTreeSet<MessageQueue>, AllocateError> {
    allocated.retain(|mq| queues.first().is_none_or(|queue| queue.topic == mq.topic));
    let count = allocated.len();
    if let Some(unknown) = allocated.iter().find(|mq| queues.binary_search(mq).is_err()) {
        return Err(AllocateError::Unsound(format!(
            "strategy {strategy} allocated {unknown}, which the topic has not"
        )));
    }
    let distinct: BTreeSet<MessageQueue> = allocated.into_iter().collect();
    if distinct.len() != count {
        return Err(AllocateError::Unsound(format!("strategy {strategy} allocated a queue twice")));
    }
    Ok(distinct)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_question_at_a_time_and_one_more_when_something_changed() {
        let (mut rounds, topic, now) = (Rounds::default(), Arc::<str>::from("t"), Instant::now());
        assert!(rounds.begin(now, &topic));
        assert!(!rounds.begin(now, &topic));
        assert!(rounds.answered("t"), "asked meanwhile");
        assert!(rounds.begin(now, &topic));
        assert!(!rounds.answered("t"));
        assert!(rounds.begin(now, &topic));
        assert!(rounds.begin(now + ANSWER_OVERDUE, &topic), "the answer got lost");
        assert!(!rounds.answered("unknown"));
    }

    #[test]
    fn being_left_out_is_believed_the_third_time_running() {
        let (mut rounds, topic) = (Rounds::default(), Arc::<str>::from("t"));
        rounds.begin(Instant::now(), &topic);
        assert_eq!([(); 3].map(|()| rounds.absent("t")), [false, false, true]);
        rounds.well("t");
        assert!(!rounds.absent("t"));
    }

    #[test]
    fn trouble_is_told_once_until_it_is_over() {
        let (mut rounds, topic) = (Rounds::default(), Arc::<str>::from("t"));
        rounds.begin(Instant::now(), &topic);
        assert_eq!([(); 2].map(|()| rounds.trouble("t")), [true, false]);
        rounds.well("t");
        assert!(rounds.trouble("t"));
    }

    #[test]
    fn an_allocation_has_known_queues_each_once() {
        let queues: Vec<_> = (0..3).map(|id| MessageQueue::new("t", "b", id)).collect();
        let check = |ids: &[i32]| {
            let allocated = ids.iter().map(|&id| MessageQueue::new("t", "b", id)).collect();
            check_allocation("S", &queues, allocated).map(|set| set.len())
        };
        assert_eq!(check(&[2, 0]), Ok(2));
        assert!(check(&[1, 1]).unwrap_err().to_string().contains("twice"));
        assert!(check(&[3]).unwrap_err().to_string().contains("queueId=3"));
    }

    #[test]
    fn queues_of_other_topics_are_left_for_their_own_round() {
        let queues: Vec<_> = (0..3).map(|id| MessageQueue::new("t", "b", id)).collect();
        let list = vec![MessageQueue::new("other", "b", 0), queues[1].clone()];
        assert_eq!(check_allocation("CONFIG", &queues, list), Ok(BTreeSet::from([queues[1].clone()])));
    }
}
