//! One assigned queue: what was read ahead of it, what poll has returned, and which offset may be committed
//! (RocketMQ: AssignedMessageQueue, ProcessQueue).

use std::collections::VecDeque;

use gantry_protocol::MessageExt;

use super::settings::LitePullConsumerConfig;
use crate::client_instance::PullStatus;
use crate::pull_consumer::puller::PullResult;

/// Tells the times a queue is read apart, each assignment and each seek, so that what was asked in one does not count in
/// another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Generation {
    assignment: u64,
    seek: u64,
}

/// What the queue's fetcher is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Find out where the queue begins.
    Locate(Generation),
    /// Pull from this offset on.
    Pull(Generation, i64),
    /// Nothing, until somebody says so.
    Wait,
}

/// The state of one queue.
#[derive(Debug, Default)]
pub(super) struct AssignedQueue {
    generation: Generation,
    /// The next offset to pull; none until it is known.
    position: Option<i64>,
    cached: VecDeque<MessageExt>,
    cached_bytes: usize,
    /// Where the first message is that poll has returned and that may still be worked on.
    in_hand: Option<i64>,
    paused: bool,
}

impl AssignedQueue {
    /// A queue that is read from now on; no other has this number.
    pub(super) fn new(assignment: u64) -> Self {
        Self { generation: Generation { assignment, seek: 0 }, ..Self::default() }
    }

    pub(super) fn step(&self, config: &LitePullConsumerConfig) -> Step {
        match self.position {
            _ if self.paused => Step::Wait,
            None => Step::Locate(self.generation),
            Some(offset) if self.has_room(config) => Step::Pull(self.generation, offset),
            Some(_) => Step::Wait,
        }
    }

    fn has_room(&self, config: &LitePullConsumerConfig) -> bool {
        self.cached.len() < config.pull_threshold_for_queue
            && self.cached_bytes < config.pull_threshold_size_for_queue
            && self.span() <= config.consume_max_span
    }

    fn span(&self) -> i64 {
        match (self.cached.front(), self.cached.back()) {
            (Some(first), Some(last)) => last.queue_offset().saturating_sub(first.queue_offset()),
            _ => 0,
        }
    }

    /// Takes where the queue begins, unless somebody has said something else meanwhile.
    pub(super) fn located(&mut self, generation: Generation, offset: i64) {
        if generation == self.generation {
            self.position.get_or_insert(offset);
        }
    }

    /// Takes a pull's result; whether it brought messages. That of a pull before the last seek is dropped.
    pub(super) fn pulled(&mut self, generation: Generation, result: PullResult) -> bool {
        let Some(position) = self.position.filter(|_| generation == self.generation) else { return false };
        if result.status == PullStatus::OffsetIllegal && result.next_begin_offset < position {
            // Moved back: what was read ahead comes again, and no offset may pass what lies between.
            self.clear();
        }
        self.position = Some(result.next_begin_offset);
        self.cached_bytes += result.messages.iter().map(MessageExt::stored_size).sum::<usize>();
        let found = !result.messages.is_empty();
        self.cached.extend(result.messages);
        found
    }

    /// Messages for poll, `max` at most; none while the queue is paused.
    pub(super) fn take(&mut self, max: u32) -> Vec<MessageExt> {
        if self.paused || self.cached.is_empty() {
            return Vec::new();
        }
        let first = self.returned_up_to();
        let count = self.cached.len().min(usize::try_from(max).unwrap_or(usize::MAX));
        let messages: Vec<_> = self.cached.drain(..count).collect();
        self.cached_bytes -= messages.iter().map(MessageExt::stored_size).sum::<usize>();
        self.in_hand = self.in_hand.or(first);
        messages
    }

    /// What poll has returned is done.
    pub(super) fn finish(&mut self) {
        self.in_hand = None;
    }

    /// Where the first message is that poll has not returned; none until the queue's begin is known.
    pub(super) fn returned_up_to(&self) -> Option<i64> {
        self.cached.front().map(MessageExt::queue_offset).or(self.position)
    }

    /// Where the first message is that is not surely done.
    pub(super) fn finished_up_to(&self) -> Option<i64> {
        self.in_hand.or_else(|| self.returned_up_to())
    }

    /// Goes on at this offset, whatever was read ahead.
    pub(super) fn seek(&mut self, offset: i64) {
        self.clear();
        self.generation.seek += 1;
        self.position = Some(offset);
    }

    fn clear(&mut self) {
        self.cached.clear();
        self.cached_bytes = 0;
        self.in_hand = None;
    }

    pub(super) fn pause(&mut self, paused: bool) {
        self.paused = paused;
    }

    /// Messages read ahead.
    pub(super) fn cached(&self) -> usize {
        self.cached.len()
    }

    /// Their bytes.
    pub(super) fn cached_bytes(&self) -> usize {
        self.cached_bytes
    }

    /// The largest offset read ahead.
    pub(super) fn last_cached(&self) -> Option<i64> {
        self.cached.back().map(MessageExt::queue_offset)
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use gantry_protocol::MessageRecord;

    use super::*;

    fn message(offset: i64) -> MessageExt {
        let mut bytes = BytesMut::new();
        let record = MessageRecord {
            topic: "t".into(),
            body: "x".into(),
            queue_offset: offset,
            ..MessageRecord::default()
        };
        record.encode(&mut bytes).unwrap();
        MessageExt::decode(bytes.freeze()).unwrap()
    }

    fn result(status: PullStatus, next_begin_offset: i64, offsets: &[i64]) -> PullResult {
        let messages = offsets.iter().map(|offset| message(*offset)).collect();
        PullResult { status, next_begin_offset, min_offset: 0, max_offset: 100, messages }
    }

    fn config() -> LitePullConsumerConfig {
        LitePullConsumerConfig::new("g")
    }

    fn at(offset: i64) -> AssignedQueue {
        let mut queue = AssignedQueue::default();
        queue.located(Generation::default(), offset);
        queue
    }

    fn offsets(messages: &[MessageExt]) -> Vec<i64> {
        messages.iter().map(MessageExt::queue_offset).collect()
    }

    #[test]
    fn a_commit_never_passes_what_poll_has_not_returned() {
        let mut queue = at(5);
        assert_eq!(queue.returned_up_to(), Some(5));
        assert!(queue.pulled(Generation::default(), result(PullStatus::Found, 10, &[5, 6, 8])));
        assert_eq!((queue.returned_up_to(), queue.finished_up_to()), (Some(5), Some(5)));
        assert_eq!(offsets(&queue.take(2)), [5, 6]);
        assert_eq!((queue.returned_up_to(), queue.finished_up_to()), (Some(8), Some(5)));
        queue.finish();
        assert_eq!(queue.finished_up_to(), Some(8));
        assert_eq!(offsets(&queue.take(2)), [8]);
        assert_eq!((queue.returned_up_to(), queue.finished_up_to()), (Some(10), Some(8)));
    }

    #[test]
    fn what_nobody_wants_is_passed_by() {
        let mut queue = at(0);
        assert!(!queue.pulled(Generation::default(), result(PullStatus::NoMatchedMsg, 32, &[])));
        assert_eq!(queue.finished_up_to(), Some(32));
        assert_eq!(queue.step(&config()), Step::Pull(Generation::default(), 32));
    }

    #[test]
    fn a_seek_forgets_what_was_read_ahead_and_what_is_on_its_way() {
        let mut queue = at(0);
        queue.pulled(Generation::default(), result(PullStatus::Found, 2, &[0, 1]));
        queue.take(1);
        queue.seek(50);
        assert!(!queue.pulled(Generation::default(), result(PullStatus::Found, 4, &[2, 3])));
        assert_eq!((queue.cached(), queue.cached_bytes(), queue.finished_up_to()), (0, 0, Some(50)));
        assert_eq!(queue.step(&config()), Step::Pull(Generation { assignment: 0, seek: 1 }, 50));
    }

    #[test]
    fn what_was_pulled_for_a_former_assignment_is_dropped() {
        let mut queue = AssignedQueue::new(2);
        let Step::Locate(asked) = queue.step(&config()) else { panic!() };
        queue.located(asked, 0);
        let former = AssignedQueue::new(1).generation;
        assert!(!queue.pulled(former, result(PullStatus::Found, 2, &[0, 1])));
        assert!(queue.pulled(asked, result(PullStatus::Found, 2, &[0, 1])));
    }

    #[test]
    fn a_seek_comes_before_the_stored_offset_that_is_being_asked_for() {
        let mut queue = AssignedQueue::default();
        let Step::Locate(asked) = queue.step(&config()) else { panic!() };
        queue.seek(7);
        queue.located(asked, 3);
        assert_eq!(queue.returned_up_to(), Some(7));
    }

    #[test]
    fn an_offset_moved_back_leaves_nothing_that_could_be_committed_past_it() {
        let mut queue = at(10);
        queue.pulled(Generation::default(), result(PullStatus::Found, 12, &[10, 11]));
        queue.take(1);
        queue.pulled(Generation::default(), result(PullStatus::OffsetIllegal, 3, &[]));
        assert_eq!((queue.cached(), queue.finished_up_to()), (0, Some(3)));
        // Forward, what was read ahead is still what comes next.
        queue.pulled(Generation::default(), result(PullStatus::Found, 5, &[3, 4]));
        queue.pulled(Generation::default(), result(PullStatus::OffsetIllegal, 40, &[]));
        assert_eq!((queue.cached(), queue.finished_up_to()), (2, Some(3)));
    }

    #[test]
    fn a_paused_queue_is_neither_pulled_nor_polled() {
        let mut queue = at(0);
        queue.pulled(Generation::default(), result(PullStatus::Found, 1, &[0]));
        queue.pause(true);
        assert_eq!((queue.step(&config()), queue.take(10).len()), (Step::Wait, 0));
        queue.pause(false);
        assert_eq!(offsets(&queue.take(10)), [0]);
    }

    #[test]
    fn each_threshold_stops_pulls() {
        let full = |change: fn(&mut LitePullConsumerConfig)| {
            let mut config = config();
            change(&mut config);
            let mut queue = at(0);
            queue.pulled(Generation::default(), result(PullStatus::Found, 60, &[0, 1, 50]));
            assert_ne!(queue.step(&self::config()), Step::Wait);
            queue.step(&config) == Step::Wait
        };
        assert!(full(|config| config.pull_threshold_for_queue = 3));
        assert!(full(|config| config.pull_threshold_size_for_queue = 100));
        assert!(full(|config| config.consume_max_span = 49));
        assert!(!full(|config| config.consume_max_span = 50));
    }
}
