//! What popped messages are to become at their brokers, on its way there.
//!
//! Acknowledgements of one broker gather while others are on their way, and leave together.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gantry_protocol::MessageQueue;

use super::queue::Popped;
use crate::action::{AckRequest, Action, ChangeRequest, SendBackRequest};
use crate::backoff::{ANSWER_OVERDUE, Backoff};
use crate::id::{AckId, BatchId, ChangeId, QueueKey, SendBackId};

/// Waits between the tries of one settlement, as long as the message's invisible time lasts. RocketMQ tries once.
pub(super) const AGAIN: Backoff = Backoff { first: Duration::from_secs(1), most: Duration::from_secs(10) };
/// Requests with acknowledgements on their way to one broker.
const ACKS_IN_FLIGHT: usize = 2;
/// Acknowledgements in one request.
const ACKS_AT_ONCE: usize = 256;
/// Straight to the dead-letter topic.
const DEAD_LETTER: i32 = -1;

/// What is asked of the broker for one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ask {
    /// It is done.
    Ack,
    /// It comes again after this time, because its listener said so.
    ComeAgain(Duration),
    /// It may come again at once: no listener has had it.
    GiveBack,
    /// Its listener is still at work: the `place`th message of this batch.
    Lengthen { batch: BatchId, place: usize, by: Duration },
    /// To the dead-letter topic, for this reason; it is acknowledged when it is there.
    DeadLetter { reason: String, max_reconsume_times: i32 },
}

/// One message and what is asked for it.
#[derive(Debug)]
pub(super) struct Unsettled {
    pub(super) queue: QueueKey,
    /// The queue it was popped from, never −1.
    pub(super) mq: MessageQueue,
    pub(super) popped: Popped,
    pub(super) ask: Ask,
    pub(super) failures: u32,
}

#[derive(Debug, Default)]
struct AckLane {
    waiting: VecDeque<Unsettled>,
    in_flight: usize,
}

/// All settlements of a group: waiting their turn, waiting for another try, and on their way.
#[derive(Debug)]
pub(super) struct Settlements {
    /// Most requests on their way that are no acknowledgements.
    most_in_flight: usize,
    acks: BTreeMap<Arc<str>, AckLane>,
    others: VecDeque<Unsettled>,
    delayed: BTreeMap<(Instant, u64), Unsettled>,
    /// With the time each was started.
    acks_in_flight: BTreeMap<AckId, (Instant, Vec<Unsettled>)>,
    others_in_flight: BTreeMap<u64, (Instant, Unsettled)>,
    serial: u64,
}

impl Settlements {
    pub(super) fn new(most_in_flight: usize) -> Self {
        Self {
            most_in_flight,
            acks: BTreeMap::new(),
            others: VecDeque::new(),
            delayed: BTreeMap::new(),
            acks_in_flight: BTreeMap::new(),
            others_in_flight: BTreeMap::new(),
            serial: 0,
        }
    }

    pub(super) fn push(&mut self, unsettled: Unsettled) {
        if unsettled.ask != Ask::Ack {
            return self.others.push_back(unsettled);
        }
        match self.acks.get_mut(&unsettled.mq.broker_name) {
            Some(lane) => lane.waiting.push_back(unsettled),
            None => {
                let broker_name = unsettled.mq.broker_name.clone();
                self.acks.entry(broker_name).or_default().waiting.push_back(unsettled);
            }
        }
    }

    /// Keeps one that failed for another try.
    pub(super) fn delay(&mut self, until: Instant, unsettled: Unsettled) {
        self.serial += 1;
        self.delayed.insert((until, self.serial), unsettled);
    }

    /// Those whose wait is over, back in the line.
    pub(super) fn wake(&mut self, now: Instant) {
        while let Some(entry) = self.delayed.first_entry().filter(|entry| entry.key().0 <= now) {
            let unsettled = entry.remove();
            self.push(unsettled);
        }
    }

    /// The next request, if there is room for it.
    pub(super) fn start(&mut self, now: Instant) -> Option<Action> {
        self.start_acks(now).or_else(|| self.start_other(now))
    }

    fn start_acks(&mut self, now: Instant) -> Option<Action> {
        let ready = |lane: &AckLane| !lane.waiting.is_empty() && lane.in_flight < ACKS_IN_FLIGHT;
        let (broker_name, lane) = self.acks.iter_mut().find(|(_, lane)| ready(lane))?;
        let count = lane.waiting.len().min(ACKS_AT_ONCE);
        let batch: Vec<_> = lane.waiting.drain(..count).collect();
        lane.in_flight += 1;
        self.serial += 1;
        let id = AckId(self.serial);
        let acks = batch.iter().map(|one| (one.mq.topic.clone(), one.popped.receipt)).collect();
        let request = AckRequest { id, broker_name: broker_name.clone(), acks };
        self.acks_in_flight.insert(id, (now, batch));
        Some(Action::Ack(request))
    }

    fn start_other(&mut self, now: Instant) -> Option<Action> {
        if self.others_in_flight.len() >= self.most_in_flight {
            return None;
        }
        let one = self.others.pop_front()?;
        self.serial += 1;
        let (serial, queue) = (self.serial, one.queue);
        let change = |invisible_time, suspend| {
            Action::ChangeInvisibleTime(ChangeRequest {
                id: ChangeId { queue, serial },
                broker_name: one.mq.broker_name.clone(),
                topic: one.mq.topic.clone(),
                receipt: one.popped.receipt,
                invisible_time,
                suspend,
            })
        };
        let action = match &one.ask {
            Ask::ComeAgain(after) => change(*after, false),
            Ask::GiveBack | Ask::Ack => change(Duration::from_millis(1), true),
            Ask::Lengthen { by, .. } => change(*by, false),
            Ask::DeadLetter { max_reconsume_times, .. } => Action::SendBack(SendBackRequest {
                id: SendBackId { queue, serial },
                mq: one.mq.clone(),
                message: one.popped.message.clone(),
                origin_topic: one.mq.topic.clone(),
                delay_level: DEAD_LETTER,
                max_reconsume_times: *max_reconsume_times,
            }),
        };
        self.others_in_flight.insert(serial, (now, one));
        Some(action)
    }

    pub(super) fn acked(&mut self, id: AckId) -> Vec<Unsettled> {
        let Some((_, batch)) = self.acks_in_flight.remove(&id) else { return Vec::new() };
        let broker_name = batch.first().map(|one| &one.mq.broker_name);
        if let Some(lane) = broker_name.and_then(|name| self.acks.get_mut(name)) {
            lane.in_flight -= 1;
        }
        batch
    }

    pub(super) fn answered(&mut self, serial: u64) -> Option<Unsettled> {
        self.others_in_flight.remove(&serial).map(|(_, one)| one)
    }

    /// When the next one is to be tried again or given up.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let again = self.delayed.keys().next().map(|&(until, _)| until);
        // Ids grow with time, so the first has left first.
        let acks = self.acks_in_flight.values().next().map(|(since, _)| *since + ANSWER_OVERDUE);
        let others = self.others_in_flight.values().next().map(|(since, _)| *since + ANSWER_OVERDUE);
        [again, acks, others].into_iter().flatten().min()
    }

    /// Acknowledgements whose answer got lost.
    pub(super) fn overdue_acks(&self, now: Instant) -> Option<AckId> {
        let (&id, (since, _)) = self.acks_in_flight.first_key_value()?;
        (*since + ANSWER_OVERDUE <= now).then_some(id)
    }

    /// Another one whose answer got lost.
    pub(super) fn overdue(&self, now: Instant) -> Option<(u64, QueueKey)> {
        let (&serial, (since, one)) = self.others_in_flight.first_key_value()?;
        (*since + ANSWER_OVERDUE <= now).then_some((serial, one.queue))
    }

    /// How many are on their way or about to leave.
    pub(super) fn busy(&self) -> usize {
        let waiting: usize = self.acks.values().map(|lane| lane.waiting.len()).sum();
        let acks: usize = self.acks_in_flight.values().map(|(_, batch)| batch.len()).sum();
        waiting + acks + self.others.len() + self.others_in_flight.len()
    }

    /// How many wait for another try.
    pub(super) fn delayed(&self) -> usize {
        self.delayed.len()
    }
}
