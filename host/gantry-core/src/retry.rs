//! Messages on their way back to the broker (RocketMQ: sendMessageBack).
//!
//! A message whose send-back fails stays in its window and holds the offset; the *send-back* is tried again, not the
//! listener, so that a broker in trouble does not make listeners do their work twice.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gantry_protocol::{MessageExt, MessageQueue, delay_level};

use crate::action::SendBackRequest;
use crate::backoff::{ANSWER_OVERDUE, Backoff};
use crate::id::{QueueKey, SendBackId};
use crate::input::{RetryDelay, Settlement};
use crate::places::Seq;

/// RocketMQ submits a batch again 5 s after its send-back failed; ours doubles from there.
pub(crate) const AGAIN: Backoff = Backoff { first: Duration::from_secs(5), most: Duration::from_secs(60) };

/// Straight to the dead-letter topic.
const DEAD_LETTER: i32 = -1;
/// The broker decides by attempts.
const BY_ATTEMPTS: i32 = 0;

/// The delay level a settlement asks the broker for; none when the message is done.
pub(crate) fn delay_level(settlement: &Settlement) -> Option<i32> {
    match settlement {
        Settlement::Success => None,
        Settlement::DeadLetter(_) => Some(DEAD_LETTER),
        Settlement::ReconsumeLater(RetryDelay::ByAttempts) => Some(BY_ATTEMPTS),
        Settlement::ReconsumeLater(RetryDelay::Level(level)) => {
            Some(i32::from(*level).clamp(1, delay_level::MAX_LEVEL))
        }
        Settlement::ReconsumeLater(RetryDelay::Millis(ms)) => Some(delay_level::level_for_delay(*ms)),
    }
}

/// One message to give back.
#[derive(Debug, Clone)]
pub(crate) struct SendBack {
    pub(crate) queue: QueueKey,
    pub(crate) seq: Seq,
    pub(crate) mq: MessageQueue,
    pub(crate) message: MessageExt,
    pub(crate) origin_topic: Arc<str>,
    pub(crate) delay_level: i32,
    pub(crate) max_reconsume_times: i32,
    /// Why it is to be a dead letter, where the listener said so.
    pub(crate) reason: Option<String>,
    pub(crate) failures: u32,
}

impl SendBack {
    /// Why the broker files it in the dead-letter topic, if it does.
    pub(crate) fn dead_letter_reason(&self) -> Option<String> {
        if self.delay_level == DEAD_LETTER {
            return Some(self.reason.clone().unwrap_or_default());
        }
        let times = self.message.reconsume_times();
        (times >= self.max_reconsume_times)
            .then(|| format!("it was given back {} times", times.saturating_add(1)))
    }
}

/// All send-backs of a group: waiting their turn, waiting for another try, and on the way.
#[derive(Debug)]
pub(crate) struct SendBacks {
    most_in_flight: usize,
    waiting: VecDeque<SendBack>,
    delayed: BTreeMap<(Instant, u64), SendBack>,
    /// With the time each was started.
    in_flight: BTreeMap<SendBackId, (Instant, SendBack)>,
    serial: u64,
}

impl SendBacks {
    pub(crate) fn new(most_in_flight: usize) -> Self {
        Self {
            most_in_flight,
            waiting: VecDeque::new(),
            delayed: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            serial: 0,
        }
    }

    pub(crate) fn push(&mut self, send_back: SendBack) {
        self.waiting.push_back(send_back);
    }

    /// Keeps one that failed for another try.
    pub(crate) fn delay(&mut self, until: Instant, send_back: SendBack) {
        self.serial += 1;
        self.delayed.insert((until, self.serial), send_back);
    }

    /// When the next one is to be tried again or given up.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let again = self.delayed.keys().next().map(|&(until, _)| until);
        let overdue = self.in_flight.values().map(|(since, _)| *since + ANSWER_OVERDUE);
        again.into_iter().chain(overdue).min()
    }

    /// One whose answer got lost.
    pub(crate) fn overdue(&self, now: Instant) -> Option<SendBackId> {
        self.in_flight.iter().find(|(_, (since, _))| *since + ANSWER_OVERDUE <= now).map(|(&id, _)| id)
    }

    /// Those whose wait is over, back in the line; the queue of each is returned.
    pub(crate) fn wake(&mut self, now: Instant) -> Vec<QueueKey> {
        let mut woken = Vec::new();
        while let Some(entry) = self.delayed.first_entry().filter(|entry| entry.key().0 <= now) {
            let send_back = entry.remove();
            woken.push(send_back.queue);
            self.waiting.push_back(send_back);
        }
        woken
    }

    /// The next one to go, if there is room for it.
    pub(crate) fn start(&mut self, now: Instant) -> Option<SendBackRequest> {
        if self.in_flight.len() >= self.most_in_flight {
            return None;
        }
        let send_back = self.waiting.pop_front()?;
        self.serial += 1;
        let id = SendBackId { queue: send_back.queue, serial: self.serial };
        let request = SendBackRequest {
            id,
            mq: send_back.mq.clone(),
            message: send_back.message.clone(),
            origin_topic: send_back.origin_topic.clone(),
            delay_level: send_back.delay_level,
            max_reconsume_times: send_back.max_reconsume_times,
        };
        self.in_flight.insert(id, (now, send_back));
        Some(request)
    }

    pub(crate) fn answered(&mut self, id: SendBackId) -> Option<SendBack> {
        self.in_flight.remove(&id).map(|(_, send_back)| send_back)
    }

    /// Forgets those of a queue that wait for another try.
    pub(crate) fn forget_delayed(&mut self, queue: QueueKey) {
        self.delayed.retain(|_, send_back| send_back.queue != queue);
    }

    /// Forgets those of a queue that have not started; nothing is sent back for a queue that has been let go.
    pub(crate) fn forget(&mut self, queue: QueueKey) {
        self.forget_delayed(queue);
        self.waiting.retain(|send_back| send_back.queue != queue);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delay_levels_read_like_the_table() {
        let table = include_str!("testdata/retry_levels.txt");
        for line in table.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
            let (asked, level) = line.split_once("->").unwrap();
            let words: Vec<&str> = asked.split_whitespace().collect();
            let settlement = match words[..] {
                ["success"] => Settlement::Success,
                ["dead-letter"] => Settlement::DeadLetter("why".to_owned()),
                ["by-attempts"] => Settlement::ReconsumeLater(RetryDelay::ByAttempts),
                ["level", level] => Settlement::ReconsumeLater(RetryDelay::Level(level.parse().unwrap())),
                ["ms", ms] => Settlement::ReconsumeLater(RetryDelay::Millis(ms.parse().unwrap())),
                _ => panic!("unknown settlement in {line:?}"),
            };
            assert_eq!(delay_level(&settlement), level.trim().parse().ok(), "{line}");
        }
    }
}
