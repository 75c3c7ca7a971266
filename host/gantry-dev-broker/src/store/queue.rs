use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::{Bytes, BytesMut};

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
    records: VecDeque<CachedRecord>,
}

/// A record that is kept in memory.
#[derive(Clone, Debug)]
pub(crate) struct CachedRecord {
    pub(crate) offset: i64,
    /// How many messages it holds: as many offsets are its own.
    pub(crate) messages: i64,
    pub(crate) tags: i64,
    pub(crate) stored_ms: i64,
    pub(crate) bytes: Bytes,
}

impl CachedRecord {
    /// Offset of the record behind it.
    fn end(&self) -> i64 {
        self.offset + self.messages
    }
}

/// How many bytes the tails of all queues hold together, and may hold.
#[derive(Debug)]
pub(crate) struct TailBudget {
    limit: usize,
    used: AtomicUsize,
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

/// What was read: records laid end to end, and where to go on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReadResult {
    pub(crate) body: Bytes,
    /// Messages in it.
    pub(crate) count: usize,
    pub(crate) next_offset: i64,
}

impl Tail {
    /// The records from an offset on; `None` when some of them are not here any more.
    fn from(&self, offset: i64) -> Option<impl Iterator<Item = &CachedRecord>> {
        if offset < self.records.front()?.offset {
            return None;
        }
        let passed = self.records.partition_point(|record| record.end() <= offset);
        Some(self.records.range(passed..))
    }
}

impl TailBudget {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, used: AtomicUsize::new(0) }
    }

    fn exceeded(&self) -> bool {
        self.used.load(Ordering::Relaxed) > self.limit
    }
}

impl Queue {
    pub(crate) fn new(id: i64, topic: Arc<str>, queue_id: i32, span: Span) -> Self {
        let tail = Tail {
            min: span.min,
            max: span.max,
            last_stored_ms: span.last_stored_ms,
            records: VecDeque::new(),
        };
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

    /// Makes committed records visible, oldest first, and drops the oldest of the cache past the budget.
    pub(super) fn publish(&self, record: CachedRecord, budget: &TailBudget) {
        let mut tail = lock(&self.tail);
        tail.max = record.end();
        tail.last_stored_ms = record.stored_ms;
        budget.used.fetch_add(record.bytes.len(), Ordering::Relaxed);
        tail.records.push_back(record);
        while budget.exceeded() && tail.records.len() > 1 {
            if let Some(oldest) = tail.records.pop_front() {
                budget.used.fetch_sub(oldest.bytes.len(), Ordering::Relaxed);
            }
        }
    }

    /// Forgets the cache of a deleted queue.
    pub(super) fn release(&self, budget: &TailBudget) {
        let mut tail = lock(&self.tail);
        for record in tail.records.drain(..) {
            budget.used.fetch_sub(record.bytes.len(), Ordering::Relaxed);
        }
    }

    /// Reads from memory; `None` when the range begins before the cached tail.
    pub(crate) fn read_tail(&self, range: &ReadRange) -> Option<ReadResult> {
        let picked = self.pick(range)?;
        let mut body = BytesMut::with_capacity(picked.size);
        for record in &picked.records {
            body.extend_from_slice(record);
        }
        Some(ReadResult { body: body.freeze(), count: picked.count, next_offset: picked.next_offset })
    }

    /// Chooses the records; copying them is done outside the lock.
    fn pick(&self, range: &ReadRange) -> Option<Picked> {
        let tail = lock(&self.tail);
        let scanned = tail.from(range.offset)?.take(SCAN_LIMIT);
        if !range.filter.reads_records() {
            return Some(choose(scanned, range));
        }
        // Evaluating an expression takes longer than appends should wait.
        let scanned: Vec<CachedRecord> = scanned.cloned().collect();
        drop(tail);
        Some(choose(scanned.iter(), range))
    }

    /// Whether a record at `from` or later matches; records no longer cached count as matching.
    pub(crate) fn has_match(&self, from: i64, filter: &Filter) -> bool {
        let tail = lock(&self.tail);
        if from >= tail.max {
            return false;
        }
        let Some(records) = tail.from(from) else { return true };
        let mut passing = records.filter(|record| filter.passes_tags(record.tags));
        if !filter.reads_records() {
            return passing.next().is_some();
        }
        let passing: Vec<Bytes> = passing.map(|record| record.bytes.clone()).collect();
        drop(tail);
        passing.iter().any(|record| filter.passes_record(record))
    }
}

/// Records chosen for a read.
#[derive(Debug, Default)]
struct Picked {
    records: Vec<Bytes>,
    count: usize,
    size: usize,
    next_offset: i64,
}

fn choose<'a>(records: impl Iterator<Item = &'a CachedRecord>, range: &ReadRange) -> Picked {
    let mut picked = Picked { next_offset: range.offset, ..Picked::default() };
    for record in records {
        if range.filter.passes_tags(record.tags) && range.filter.passes_record(&record.bytes) {
            let size = picked.size + record.bytes.len();
            let count = picked.count + usize::try_from(record.messages).unwrap_or(1);
            if !picked.records.is_empty() && (count > range.max_count || size > range.max_bytes) {
                break;
            }
            (picked.count, picked.size) = (count, size);
            picked.records.push(record.bytes.clone());
        }
        picked.next_offset = record.end();
    }
    picked
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> Queue {
        Queue::new(1, "t".into(), 0, Span { min: 0, max: 0, last_stored_ms: 0 })
    }

    fn record(offset: i64, tags: i64) -> CachedRecord {
        CachedRecord { offset, messages: 1, tags, stored_ms: 1, bytes: Bytes::from(vec![b'a'; 10]) }
    }

    fn range(offset: i64, max_count: usize, max_bytes: usize, filter: Filter) -> ReadRange {
        ReadRange { offset, max_count, max_bytes, filter }
    }

    #[test]
    fn a_read_stops_at_the_count_and_says_where_to_go_on() {
        let (queue, budget) = (queue(), TailBudget::new(1000));
        (0..5).for_each(|offset| queue.publish(record(offset, 0), &budget));
        let read = queue.read_tail(&range(1, 2, 1000, Filter::All)).unwrap();
        assert_eq!((read.count, read.body.len(), read.next_offset), (2, 20, 3));
    }

    #[test]
    fn a_read_returns_one_record_even_past_its_bytes() {
        let (queue, budget) = (queue(), TailBudget::new(1000));
        (0..3).for_each(|offset| queue.publish(record(offset, 0), &budget));
        let read = queue.read_tail(&range(0, 32, 5, Filter::All)).unwrap();
        assert_eq!((read.count, read.next_offset), (1, 1));
    }

    #[test]
    fn a_record_of_several_messages_is_read_whole_from_any_of_its_offsets() {
        let (queue, budget) = (queue(), TailBudget::new(1000));
        queue.publish(record(0, 0), &budget);
        queue.publish(CachedRecord { messages: 5, ..record(1, 0) }, &budget);
        queue.publish(record(6, 0), &budget);
        assert_eq!(queue.span().max, 7);
        let read = |offset, most| queue.read_tail(&range(offset, most, 1000, Filter::All)).unwrap();
        assert_eq!((read(3, 32).count, read(3, 32).next_offset), (6, 7));
        assert_eq!((read(5, 1).count, read(5, 1).next_offset), (5, 6));
        assert_eq!((read(0, 5).count, read(0, 5).next_offset), (1, 1));
        assert!(queue.has_match(4, &Filter::All));
    }

    #[test]
    fn filtered_records_are_passed_over() {
        let (queue, budget) = (queue(), TailBudget::new(1000));
        (0..6).for_each(|offset| queue.publish(record(offset, offset % 3), &budget));
        let filter = Filter::codes([1]);
        let read = queue.read_tail(&range(0, 32, 1000, filter.clone())).unwrap();
        assert_eq!((read.count, read.next_offset), (2, 6));
        assert!(queue.has_match(2, &filter));
        assert!(!queue.has_match(5, &filter));
    }

    #[test]
    fn the_cache_keeps_to_its_budget_and_older_reads_go_to_the_database() {
        let (queue, budget) = (queue(), TailBudget::new(25));
        (0..5).for_each(|offset| queue.publish(record(offset, 0), &budget));
        assert_eq!(queue.read_tail(&range(0, 1, 100, Filter::All)), None);
        assert_eq!(queue.read_tail(&range(3, 9, 100, Filter::All)).unwrap().count, 2);
        assert_eq!(queue.span().max, 5);
    }
}
