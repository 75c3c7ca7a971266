//! Runs: what one transaction stored of one queue, record behind record, is one row of the database and one piece of
//! memory. A busy broker thus handles hundreds of records at once, an idle one a record at a time.

use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};

/// Most bytes of records in a run that has several.
pub(crate) const RUN_BYTES: usize = 256 * 1024;
/// Most records of a run.
pub(crate) const RUN_RECORDS: usize = 1024;

/// Bytes of an [`Entry`] and of a [`KeyHash`] as they are stored.
pub(super) const ENTRY: usize = 16;
pub(super) const KEY: usize = 12;

/// One record of a run: where it ends, and what a read needs to know of it without looking at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Bytes of the run up to the record's end.
    pub(crate) end: u32,
    /// How many messages it holds, 1 but for inner batches: as many offsets are its own.
    pub(crate) messages: u32,
    /// Hash of its tag, 0 for none.
    pub(crate) tags: i64,
}

/// The hash of a topic and key, and where in its run the record begins that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyHash {
    pub(crate) at: u32,
    pub(crate) hash: i64,
}

/// Records of one queue, end to end. Copies share them.
#[derive(Clone, Debug)]
pub(super) struct Run {
    /// Offset of its first message.
    pub(super) offset: i64,
    /// Offset behind its last message.
    pub(super) end: i64,
    pub(super) stored_ms: i64,
    pub(super) entries: Arc<[Entry]>,
    pub(super) bytes: Bytes,
}

impl Run {
    /// Puts a run together again; `None` when its parts do not belong together.
    pub(super) fn of(
        (offset, end): (i64, i64),
        stored_ms: i64,
        entries: Arc<[Entry]>,
        bytes: Bytes,
    ) -> Option<Self> {
        let ends_there = entries.last().is_some_and(|entry| entry.end as usize == bytes.len());
        let rises = entries.is_sorted_by_key(|entry| entry.end);
        (ends_there && rises).then_some(Self { offset, end, stored_ms, entries, bytes })
    }

    /// The entries of the records that end behind an offset, each with where its bytes begin and the offset behind it.
    pub(super) fn entries_from(&self, offset: i64) -> impl Iterator<Item = (Entry, usize, i64)> + '_ {
        let each_one = self.end - self.offset == i64::try_from(self.entries.len()).unwrap_or(i64::MAX);
        let passed = usize::try_from(offset - self.offset).ok().filter(|_| each_one).unwrap_or(0);
        let passed = passed.min(self.entries.len());
        let before = passed.checked_sub(1).and_then(|last| self.entries.get(last));
        let mut begin = before.map_or(0, |entry| entry.end as usize);
        let mut at = self.offset + i64::try_from(passed).unwrap_or(0);
        let walked = self.entries.iter().skip(passed).map(move |entry| {
            let walked = (*entry, begin, at + i64::from(entry.messages));
            (begin, at) = (entry.end as usize, walked.2);
            walked
        });
        walked.skip_while(move |(_, _, end)| *end <= offset)
    }

    /// What it takes of memory.
    pub(super) fn size(&self) -> usize {
        self.bytes.len() + self.entries.len() * size_of::<Entry>()
    }
}

/// Appends the entries as they are stored.
pub(super) fn pack_entries(entries: &[Entry], to: &mut BytesMut) {
    to.reserve(entries.len() * ENTRY);
    for entry in entries {
        to.put_u32(entry.end);
        to.put_u32(entry.messages);
        to.put_i64(entry.tags);
    }
}

pub(super) fn unpack_entries(packed: &[u8]) -> Arc<[Entry]> {
    let entry = |entry: &[u8; ENTRY]| {
        let [a, b, c, d, e, f, g, h, tags @ ..] = *entry;
        Entry {
            end: u32::from_be_bytes([a, b, c, d]),
            messages: u32::from_be_bytes([e, f, g, h]),
            tags: i64::from_be_bytes(tags),
        }
    };
    packed.as_chunks().0.iter().map(entry).collect()
}

/// Appends the hashes as they are stored.
pub(super) fn pack_keys(keys: &[KeyHash], to: &mut BytesMut) {
    to.reserve(keys.len() * KEY);
    for key in keys {
        to.put_u32(key.at);
        to.put_i64(key.hash);
    }
}

/// Where in a run the records begin that have a hash, the last first.
pub(super) fn find_key(packed: &[u8], hash: i64) -> impl Iterator<Item = usize> + '_ {
    let wanted = hash.to_be_bytes();
    let found = move |key: &[u8; KEY]| {
        let [a, b, c, d, of_key @ ..] = *key;
        (of_key == wanted).then(|| u32::from_be_bytes([a, b, c, d]) as usize)
    };
    packed.as_chunks().0.iter().rev().filter_map(found)
}

/// The record that begins at a place in a run; `None` where none does.
pub(super) fn record_at(run: &Bytes, place: usize) -> Option<Bytes> {
    let mut at = 0;
    loop {
        let size = run.get(at..)?.first_chunk::<4>()?;
        let end = at.checked_add(usize::try_from(u32::from_be_bytes(*size)).ok()?.max(4))?;
        match at {
            _ if at == place => return (end <= run.len()).then(|| run.slice(at..end)),
            _ if at > place => return None,
            _ => at = end,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(messages: &[u32]) -> Run {
        let ends = (1..).map(|count: u32| count * 10);
        let entries: Arc<[Entry]> =
            messages.iter().zip(ends).map(|(&messages, end)| Entry { end, messages, tags: -3 }).collect();
        let end = 100 + i64::from(messages.iter().sum::<u32>());
        Run { offset: 100, end, stored_ms: 1, entries, bytes: Bytes::from(vec![0; messages.len() * 10]) }
    }

    fn places(run: &Run, offset: i64) -> Vec<(usize, i64)> {
        run.entries_from(offset).map(|(_, begin, end)| (begin, end)).collect()
    }

    #[test]
    fn a_walk_begins_at_the_record_an_offset_belongs_to() {
        let single = run(&[1, 1, 1]);
        assert_eq!(places(&single, 0), [(0, 101), (10, 102), (20, 103)]);
        assert_eq!(places(&single, 101), [(10, 102), (20, 103)]);
        assert_eq!(places(&single, 103), []);
        let batches = run(&[1, 5, 1]);
        assert_eq!(places(&batches, 104), [(10, 106), (20, 107)]);
        assert_eq!(places(&batches, 106), [(20, 107)]);
    }

    #[test]
    fn entries_come_back_as_they_were() {
        let (run, mut packed) = (run(&[1, 5, 1]), BytesMut::new());
        pack_entries(&run.entries, &mut packed);
        assert_eq!(packed.len(), 3 * ENTRY);
        assert_eq!(unpack_entries(&packed), run.entries);
    }

    #[test]
    fn keys_are_found_from_the_last_record_on() {
        let keys = [(0, 7), (0, -1), (20, 7)].map(|(at, hash)| KeyHash { at, hash });
        let mut packed = BytesMut::new();
        pack_keys(&keys, &mut packed);
        assert_eq!(packed.len(), 3 * KEY);
        assert_eq!(find_key(&packed, 7).collect::<Vec<_>>(), [20, 0]);
        assert_eq!(find_key(&packed, -1).collect::<Vec<_>>(), [0]);
        assert_eq!(find_key(&packed, 8).count(), 0);
    }

    #[test]
    fn a_record_is_found_only_where_one_begins() {
        let run = Bytes::from_static(&[0, 0, 0, 5, 1, 0, 0, 0, 6, 1, 2]);
        assert_eq!(record_at(&run, 0).unwrap().len(), 5);
        assert_eq!(record_at(&run, 5).unwrap()[..], [0, 0, 0, 6, 1, 2]);
        assert_eq!([4, 6, 11, 99].map(|place| record_at(&run, place)), [const { None }; 4]);
        assert_eq!(record_at(&Bytes::from_static(&[0, 0, 0, 9, 1]), 0), None);
    }
}
