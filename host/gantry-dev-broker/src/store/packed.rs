//! A run as it is stored: its records, then its entries, then its keys ([`super::run`]). They are end to end in a file
//! ([`super::log`]), or in the run's row of the commit log.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use rusqlite::Row;

use super::log::{InFile, Log, unreadable};
use super::run::{ENTRY, Entry, KEY, unpack_entries};

/// Bytes of records, and how many entries and keys follow them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parts {
    pub(super) records: usize,
    /// None up to format 4 in the database, and up to format 3 in files: the consume queue has them, as `message_key` has the keys.
    pub(super) entries: u32,
    pub(super) keys: u32,
}

/// Where a run is, as its row says.
#[derive(Debug)]
pub(super) struct Packed<'r> {
    parts: Parts,
    place: Place<'r>,
}

#[derive(Debug)]
enum Place<'r> {
    File(InFile),
    Row(&'r [u8]),
}

impl Parts {
    /// What so many bytes are, with so many entries and keys; `None` when they are too few.
    fn of(size: usize, entries: u32, keys: u32) -> Option<Self> {
        let behind = (entries as usize).checked_mul(ENTRY)?.checked_add((keys as usize).checked_mul(KEY)?)?;
        Some(Self { records: size.checked_sub(behind)?, entries, keys })
    }

    fn of_entries(self) -> Range<usize> {
        self.records..self.records + self.entries as usize * ENTRY
    }

    fn of_keys(self) -> Range<usize> {
        let begin = self.of_entries().end;
        begin..begin + self.keys as usize * KEY
    }
}

impl<'r> Packed<'r> {
    /// What the commit log's records, file, at, size, crc, entries and keys say, which a row has from this column on.
    pub(super) fn of(row: &'r Row<'_>, column: usize) -> rusqlite::Result<Self> {
        let (entries, keys): (u32, u32) = (row.get(column + 5)?, row.get(column + 6)?);
        let (place, size) = match InFile::of(row, column + 1)? {
            Some(place) => (Place::File(place), place.size as usize),
            None => {
                let blob = row.get_ref(column)?.as_blob()?;
                (Place::Row(blob), blob.len())
            }
        };
        let damaged = || rusqlite::Error::IntegralValueOutOfRange(column + 5, entries.into());
        Ok(Self { parts: Parts::of(size, entries, keys).ok_or_else(damaged)?, place })
    }

    pub(super) fn records(&self, log: &Log) -> rusqlite::Result<Bytes> {
        self.read(log, 0..self.parts.records)
    }

    /// The entries; `None` where the consume queue has them.
    pub(super) fn entries(&self, log: &Log) -> rusqlite::Result<Option<Arc<[Entry]>>> {
        match self.parts.entries {
            0 => Ok(None),
            _ => Ok(Some(unpack_entries(&self.read(log, self.parts.of_entries())?))),
        }
    }

    /// Both, read together: what a pull needs.
    pub(super) fn entries_and_records(&self, log: &Log) -> rusqlite::Result<(Option<Arc<[Entry]>>, Bytes)> {
        if self.parts.entries == 0 {
            return Ok((None, self.records(log)?));
        }
        let mut records = self.read(log, 0..self.parts.of_entries().end)?;
        let entries = records.split_off(self.parts.records);
        Ok((Some(unpack_entries(&entries)), records))
    }

    /// The keys, packed; `None` where there are none, or `message_key` has them.
    pub(super) fn keys(&self, log: &Log) -> rusqlite::Result<Option<Bytes>> {
        match self.parts.keys {
            0 => Ok(None),
            _ => Ok(Some(self.read(log, self.parts.of_keys())?)),
        }
    }

    fn read(&self, log: &Log, part: Range<usize>) -> rusqlite::Result<Bytes> {
        match self.place {
            Place::File(place) => log.read(place, part).map_err(unreadable),
            // The parts are what the row's bytes are.
            Place::Row(blob) => Ok(Bytes::copy_from_slice(blob.get(part).unwrap_or_default())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BytesMut;
    use rusqlite::Connection;

    use crate::store::run::{KeyHash, pack_entries, pack_keys};

    const ENTRIES: [Entry; 2] =
        [Entry { end: 4, messages: 1, tags: 7 }, Entry { end: 10, messages: 2, tags: -7 }];

    fn packed() -> BytesMut {
        let mut bytes = BytesMut::from(&b"0123456789"[..]);
        pack_entries(&ENTRIES, &mut bytes);
        pack_keys(&[KeyHash { at: 4, hash: 3 }], &mut bytes);
        bytes
    }

    /// What a row with these columns says.
    fn with_row<T>(columns: &str, blob: &[u8], look: impl Fn(rusqlite::Result<Packed<'_>>) -> T) -> T {
        let connection = Connection::open_in_memory().unwrap();
        let mut select = connection.prepare(&format!("SELECT ?1, {columns}")).unwrap();
        let mut rows = select.query([blob]).unwrap();
        look(Packed::of(rows.next().unwrap().unwrap(), 0))
    }

    fn check(packed: &Packed<'_>, log: &Log, bytes: &[u8]) {
        assert_eq!(packed.records(log).unwrap(), bytes[..10]);
        assert_eq!(packed.entries(log).unwrap().unwrap()[..], ENTRIES);
        assert_eq!(packed.keys(log).unwrap().unwrap(), bytes[42..]);
        let (entries, records) = packed.entries_and_records(log).unwrap();
        assert_eq!((&entries.unwrap()[..], &records[..]), (&ENTRIES[..], &bytes[..10]));
    }

    #[test]
    fn the_parts_of_a_row_are_read_apart() {
        let bytes = packed();
        let log = Log::new(None);
        with_row("NULL, NULL, NULL, NULL, 2, 1", &bytes, |packed| check(&packed.unwrap(), &log, &bytes));
        with_row("NULL, NULL, NULL, NULL, 0, 0", &bytes, |packed| {
            let packed = packed.unwrap();
            assert_eq!(packed.entries_and_records(&log).unwrap(), (None, bytes.clone().freeze()));
            assert_eq!((packed.entries(&log).unwrap(), packed.keys(&log).unwrap()), (None, None));
        });
    }

    #[test]
    fn the_parts_of_a_file_are_read_apart() {
        let directory = tempfile::tempdir().unwrap();
        let bytes = packed();
        std::fs::write(directory.path().join("records.3"), [b"before ", &bytes[..]].concat()).unwrap();
        let log = Log::new(Some(directory.path().into()));
        with_row("3, 7, 54, 0, 2, 1", b"", |packed| check(&packed.unwrap(), &log, &bytes));
    }

    #[test]
    fn a_row_with_fewer_bytes_than_its_entries_take_is_refused() {
        let refused = |columns, blob: &[u8]| with_row(columns, blob, |packed| packed.is_err());
        assert!(refused("NULL, NULL, NULL, NULL, 2, 0", &[0; 31]));
        assert!(!refused("NULL, NULL, NULL, NULL, 2, 0", &[0; 32]));
        assert!(refused("3, 7, 31, 0, 1, 2", b""));
    }
}
