use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::pick::Picker;
use super::run::Run;
use crate::filter::Filter;
use crate::sync::lock;

/// Most index entries one pull walks before it answers what it has (RocketMQ: maxFilterMessageCount).
pub(crate) const SCAN_LIMIT: usize = 4096;

/// One message queue: where it begins and ends, and its most recent records (RocketMQ: ConsumeQueue).
///
/// Offsets here are those of committed records only: a record is visible once it is safe.
#[derive(Debug)]
pub(crate) struct Queue {
    /// Key of the queue in the database.
    pub(crate) id: i64,
    pub(crate) topic: Arc<str>,
    pub(crate) queue_id: i32,
    tail: Mutex<Tail>,
    /// Held pulls on this queue, so that appends to a queue nobody waits for wake nobody.
    pub(crate) waiting: AtomicUsize,
    /// Whether the queue is already on the list of queues with arrivals.
    pub(crate) arrived: AtomicBool,
    /// The topic was deleted; nothing more may be appended.
    pub(crate) deleted: AtomicBool,
}

#[derive(Debug)]
struct Tail {
    min: i64,
    max: i64,
    last_stored_ms: i64,
    runs: VecDeque<Run>,
}

/// What the tails of all queues hold together, and may hold: the oldest runs of all go first. Kept by the one who publishes.
#[derive(Debug)]
pub(super) struct Tails {
    limit: usize,
    used: usize,
    /// The queue of each run, in the order they were published.
    order: VecDeque<Arc<Queue>>,
}

/// Where a queue begins and ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// Offset of the oldest record.
    pub(crate) min: i64,
    /// Offset the next record gets.
    pub(crate) max: i64,
    /// When the newest record was stored, 0 when there is none.
    pub(crate) last_stored_ms: i64,
}

/// How much of a queue to read.
#[derive(Clone, Debug)]
pub(crate) struct ReadRange {
    /// An offset in the middle of an inner batch reads the whole of it, as in RocketMQ.
    pub(crate) offset: i64,
    /// Most messages, though always one record.
    pub(crate) max_count: usize,
    pub(crate) max_bytes: usize,
    pub(crate) filter: Filter,
}

/// What was read, and where to go on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReadResult {
    /// Records laid end to end, in pieces that share memory with what is kept of the queue.
    pub(crate) pieces: Vec<Bytes>,
    /// Messages in them.
    pub(crate) count: usize,
    pub(crate) next_offset: i64,
}

impl Tail {
    /// The runs from an offset on; `None` when some of them are not here any more.
    fn from(&self, offset: i64) -> Option<impl Iterator<Item = &Run>> {
        if offset < self.runs.front()?.offset {
            return None;
        }
        let passed = self.runs.partition_point(|run| run.end <= offset);
        Some(self.runs.range(passed..))
    }
}

impl Tails {
    /// Bounded by so many bytes, but for one run.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, used: 0, order: VecDeque::new() }
    }

    /// Makes a committed run visible, and drops the oldest ones past the bound.
    pub(super) fn publish(&mut self, queue: &Arc<Queue>, run: Run) {
        self.used += run.size();
        queue.append(run);
        self.order.push_back(Arc::clone(queue));
        while self.used > self.limit
            && self.order.len() > 1
            && let Some(oldest) = self.order.pop_front()
        {
            self.used -= oldest.drop_oldest();
        }
    }

    /// Forgets the tail of a deleted queue.
    pub(super) fn forget(&mut self, queue: &Arc<Queue>) {
        self.used -= queue.drop_all();
        self.order.retain(|known| !Arc::ptr_eq(known, queue));
    }
}

impl Queue {
    pub(crate) fn new(id: i64, topic: Arc<str>, queue_id: i32, span: Span) -> Self {
        let tail =
            Tail { min: span.min, max: span.max, last_stored_ms: span.last_stored_ms, runs: VecDeque::new() };
        Self {
            id,
            topic,
            queue_id,
            tail: Mutex::new(tail),
            waiting: AtomicUsize::new(0),
            arrived: AtomicBool::new(false),
            deleted: AtomicBool::new(false),
        }
    }

    pub(crate) fn span(&self) -> Span {
        let tail = lock(&self.tail);
        Span { min: tail.min, max: tail.max, last_stored_ms: tail.last_stored_ms }
    }

    fn append(&self, run: Run) {
        let mut tail = lock(&self.tail);
        tail.max = run.end;
        tail.last_stored_ms = run.stored_ms;
        tail.runs.push_back(run);
    }

    /// Answers the bytes it gave free.
    fn drop_oldest(&self) -> usize {
        lock(&self.tail).runs.pop_front().map_or(0, |run| run.size())
    }

    /// Answers the bytes it gave free.
    fn drop_all(&self) -> usize {
        lock(&self.tail).runs.drain(..).map(|run| run.size()).sum()
    }

    /// Reads from memory; `None` when the range begins before the cached tail.
    pub(crate) fn read_tail(&self, range: &ReadRange) -> Option<ReadResult> {
        let mut picker = Picker::new(range);
        // Evaluating an expression takes longer than appends should wait, and so it is done outside the lock.
        let runs = self.reachable(range)?;
        for run in &runs {
            if !picker.look(run) || picker.is_full() {
                break;
            }
        }
        Some(picker.finish())
    }

    /// The runs a read may get to.
    fn reachable(&self, range: &ReadRange) -> Option<Vec<Run>> {
        let tail = lock(&self.tail);
        let (mut messages, mut records) = (0, 0);
        let all_wanted = matches!(range.filter, Filter::All);
        let near = tail.from(range.offset)?.take_while(|run| {
            let near = records < SCAN_LIMIT && !(all_wanted && messages >= range.max_count);
            // Of the first run only a part may be behind the offset.
            messages += usize::try_from(run.end - run.offset.max(range.offset)).unwrap_or(0);
            records += run.entries.len();
            near
        });
        Some(near.cloned().collect())
    }

    /// Whether a record at `from` or later matches; records no longer cached count as matching.
    pub(crate) fn has_match(&self, from: i64, filter: &Filter) -> bool {
        let tail = lock(&self.tail);
        if from >= tail.max {
            return false;
        }
        let Some(runs) = tail.from(from) else { return true };
        if matches!(filter, Filter::All) {
            return true;
        }
        let runs: Vec<Run> = runs.cloned().collect();
        drop(tail);
        let matches = |run: &Run| {
            run.entries_from(from).any(|(entry, begin, _)| {
                filter.passes_tags(entry.tags)
                    && (!filter.reads_records()
                        || filter.passes_record(&run.bytes.slice(begin..entry.end as usize)))
            })
        };
        runs.iter().any(matches)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::run::Entry;

    fn queue() -> Arc<Queue> {
        Arc::new(Queue::new(1, "t".into(), 0, Span { min: 0, max: 0, last_stored_ms: 0 }))
    }

    /// A run of records of ten bytes, each of so many messages and with this tag.
    fn run(offset: i64, records: &[(u32, i64)]) -> Run {
        let ends = (1..).map(|count: u32| count * 10);
        let entries: Arc<[Entry]> =
            records.iter().zip(ends).map(|(&(messages, tags), end)| Entry { end, messages, tags }).collect();
        let messages: u32 = records.iter().map(|(messages, _)| messages).sum();
        let bytes = Bytes::from(vec![b'a'; records.len() * 10]);
        Run::of((offset, offset + i64::from(messages)), 1, entries, bytes).unwrap()
    }

    fn record(offset: i64, tags: i64) -> Run {
        run(offset, &[(1, tags)])
    }

    fn size(read: &ReadResult) -> usize {
        read.pieces.iter().map(Bytes::len).sum()
    }

    fn range(offset: i64, max_count: usize, max_bytes: usize, filter: Filter) -> ReadRange {
        ReadRange { offset, max_count, max_bytes, filter }
    }

    #[test]
    fn a_read_stops_at_the_count_and_says_where_to_go_on() {
        let (queue, mut tails) = (queue(), Tails::new(1000));
        (0..5).for_each(|offset| tails.publish(&queue, record(offset, 0)));
        let read = queue.read_tail(&range(1, 2, 1000, Filter::All)).unwrap();
        assert_eq!((read.count, size(&read), read.next_offset), (2, 20, 3));
    }

    #[test]
    fn a_read_returns_one_record_even_past_its_bytes() {
        let (queue, mut tails) = (queue(), Tails::new(1000));
        (0..3).for_each(|offset| tails.publish(&queue, record(offset, 0)));
        let read = queue.read_tail(&range(0, 32, 5, Filter::All)).unwrap();
        assert_eq!((read.count, read.next_offset), (1, 1));
    }

    #[test]
    fn a_record_of_several_messages_is_read_whole_from_any_of_its_offsets() {
        let (queue, mut tails) = (queue(), Tails::new(1000));
        tails.publish(&queue, record(0, 0));
        tails.publish(&queue, run(1, &[(5, 0)]));
        tails.publish(&queue, record(6, 0));
        assert_eq!(queue.span().max, 7);
        let read = |offset, most| queue.read_tail(&range(offset, most, 1000, Filter::All)).unwrap();
        assert_eq!((read(3, 32).count, read(3, 32).next_offset), (6, 7));
        assert_eq!((read(5, 1).count, read(5, 1).next_offset), (5, 6));
        assert_eq!((read(0, 5).count, read(0, 5).next_offset), (1, 1));
        assert!(queue.has_match(4, &Filter::All));
    }

    #[test]
    fn filtered_records_are_passed_over() {
        let (queue, mut tails) = (queue(), Tails::new(1000));
        (0..6).for_each(|offset| tails.publish(&queue, record(offset, offset % 3)));
        let filter = Filter::codes([1]);
        let read = queue.read_tail(&range(0, 32, 1000, filter.clone())).unwrap();
        assert_eq!((read.count, read.next_offset), (2, 6));
        assert!(queue.has_match(2, &filter));
        assert!(!queue.has_match(5, &filter));
    }

    #[test]
    fn the_cache_keeps_to_its_budget_and_older_reads_go_to_the_database() {
        let (queue, mut tails) = (queue(), Tails::new(52));
        (0..5).for_each(|offset| tails.publish(&queue, record(offset, 0)));
        assert_eq!(queue.read_tail(&range(0, 1, 100, Filter::All)), None);
        assert_eq!(queue.read_tail(&range(3, 9, 100, Filter::All)).unwrap().count, 2);
        assert_eq!(queue.span().max, 5);
    }

    #[test]
    fn a_run_is_read_from_any_of_its_records_and_up_to_any() {
        let (queue, mut tails) = (queue(), Tails::new(1000));
        tails.publish(&queue, run(0, &[(1, 0); 5]));
        tails.publish(&queue, run(5, &[(1, 0); 5]));
        let read = |offset, most, bytes| {
            let read = queue.read_tail(&range(offset, most, bytes, Filter::All)).unwrap();
            (read.pieces.iter().map(Bytes::len).collect::<Vec<_>>(), read.next_offset)
        };
        assert_eq!(read(0, 100, 1000), (vec![50, 50], 10));
        assert_eq!(read(3, 4, 1000), (vec![20, 20], 7));
        assert_eq!(read(6, 2, 1000), (vec![20], 8));
        assert_eq!(read(0, 5, 1000), (vec![50], 5));
        assert_eq!(read(2, 100, 45), (vec![30, 10], 6));
    }

    #[test]
    fn what_a_filter_leaves_of_a_run_is_in_as_few_pieces_as_can_be() {
        let (queue, mut tails) = (queue(), Tails::new(1000));
        tails.publish(&queue, run(0, &[(1, 1), (1, 1), (1, 2), (1, 1), (1, 2)]));
        let read = queue.read_tail(&range(0, 32, 1000, Filter::codes([1]))).unwrap();
        assert_eq!(read.pieces.iter().map(Bytes::len).collect::<Vec<_>>(), [20, 10]);
        assert_eq!((read.count, read.next_offset), (3, 5));
    }

    #[test]
    fn the_oldest_run_of_all_queues_goes_first_and_a_deleted_queue_takes_no_room() {
        let (idle, busy, mut tails) = (queue(), queue(), Tails::new(4 * 26));
        let cached = |queue: &Queue, offset| queue.read_tail(&range(offset, 1, 100, Filter::All)).is_some();
        tails.publish(&idle, record(0, 0));
        (0..4).for_each(|offset| tails.publish(&busy, record(offset, 0)));
        assert!(!cached(&idle, 0));
        assert!((0..4).all(|offset| cached(&busy, offset)));
        tails.forget(&busy);
        (1..5).for_each(|offset| tails.publish(&idle, record(offset, 0)));
        assert!((1..5).all(|offset| cached(&idle, offset)));
    }
}
