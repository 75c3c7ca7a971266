use bytes::Bytes;

use super::queue::{ReadRange, ReadResult, SCAN_LIMIT};
use super::run::Run;
use crate::filter::Filter;

/// Chooses what a read returns, run by run, in pieces that share the runs' bytes.
pub(super) struct Picker<'a> {
    range: &'a ReadRange,
    read: ReadResult,
    size: usize,
    scanned: usize,
}

impl<'a> Picker<'a> {
    pub(super) fn new(range: &'a ReadRange) -> Self {
        let read = ReadResult { next_offset: range.offset, ..ReadResult::default() };
        Self { range, read, size: 0, scanned: 0 }
    }

    /// Takes from a run what is wanted of it; `false` when the read is full.
    pub(super) fn look(&mut self, run: &Run) -> bool {
        let filter = &self.range.filter;
        let mut piece = 0..0;
        let mut goes_on = true;
        for (entry, begin, end_offset) in run.entries_from(self.range.offset) {
            if self.scanned == SCAN_LIMIT {
                goes_on = false;
                break;
            }
            self.scanned += 1;
            let end = entry.end as usize;
            let wanted = filter.passes_tags(entry.tags)
                && (!filter.reads_records() || filter.passes_record(&run.bytes.slice(begin..end)));
            if wanted {
                let size = self.size + (end - begin);
                let count = self.read.count + entry.messages as usize;
                if self.read.count > 0 && (count > self.range.max_count || size > self.range.max_bytes) {
                    goes_on = false;
                    break;
                }
                (self.size, self.read.count) = (size, count);
                if piece.end != begin {
                    self.keep(&run.bytes, &piece);
                    piece.start = begin;
                }
                piece.end = end;
            }
            self.read.next_offset = end_offset;
        }
        self.keep(&run.bytes, &piece);
        goes_on
    }

    /// Whether a further run need not be looked at. With a filter, one may be passed over still.
    pub(super) fn is_full(&self) -> bool {
        let enough = self.read.count >= self.range.max_count || self.size >= self.range.max_bytes;
        self.scanned >= SCAN_LIMIT || (enough && matches!(self.range.filter, Filter::All))
    }

    pub(super) fn finish(self) -> ReadResult {
        self.read
    }

    fn keep(&mut self, bytes: &Bytes, piece: &std::ops::Range<usize>) {
        if !piece.is_empty() {
            self.read.pieces.push(bytes.slice(piece.clone()));
        }
    }
}
