//! Finding a record by its physical offset, or by its place in a queue.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::log::Log;
use super::packed::Packed;
use super::run::{record_at, unpack_entries};

/// The records of a run that was looked at last: what is looked for one after the other is often in one run.
#[derive(Debug)]
pub(super) struct Finder<'a> {
    log: &'a Log,
    last: Option<(i64, Bytes)>,
}

impl<'a> Finder<'a> {
    pub(super) fn new(log: &'a Log) -> Self {
        Self { log, last: None }
    }

    /// The record at a physical offset, which must be where a record begins.
    pub(super) fn at(&mut self, connection: &Connection, physical: i64) -> rusqlite::Result<Option<Bytes>> {
        if let Some((begin, run)) = &self.last
            && let Some(place) = place(*begin, physical).filter(|place| *place < run.len())
        {
            return Ok(record_at(run, place));
        }
        let mut select = connection.prepare_cached(
            "SELECT physical, records, file, at, size, crc, entries, keys FROM commit_log WHERE physical <= ?1
             ORDER BY physical DESC LIMIT 1",
        )?;
        let found = |row: &Row<'_>| Ok((row.get(0)?, Packed::of(row, 1)?.records(self.log)?));
        self.last = select.query_row([physical], found).optional()?;
        let Some((begin, run)) = &self.last else { return Ok(None) };
        Ok(place(*begin, physical).and_then(|place| record_at(run, place)))
    }

    /// The record that begins at an offset of a queue ([`super::Queue::id`]).
    pub(super) fn of_queue(
        &mut self,
        connection: &Connection,
        queue: i64,
        position: i64,
    ) -> rusqlite::Result<Option<Bytes>> {
        match physical_of(connection, self.log, queue, position)? {
            Some(physical) => self.at(connection, physical),
            None => Ok(None),
        }
    }
}

/// The physical offset of the record that begins at an offset of a queue.
pub(super) fn physical_of(
    connection: &Connection,
    log: &Log,
    queue: i64,
    position: i64,
) -> rusqlite::Result<Option<i64>> {
    let mut select = connection.prepare_cached(
        "SELECT position, physical, q.entries, records, file, at, size, crc, c.entries, keys
         FROM consume_queue q JOIN commit_log c USING(physical) WHERE queue = ?1 AND position <= ?2
         ORDER BY position DESC LIMIT 1",
    )?;
    let found = select.query_row(params![queue, position], |row| {
        let entries = match Packed::of(row, 3)?.entries(log)? {
            Some(entries) => entries,
            None => unpack_entries(row.get_ref(2)?.as_blob()?),
        };
        let (mut offset, mut physical): (i64, i64) = (row.get(0)?, row.get(1)?);
        let begin = physical;
        for entry in entries.iter() {
            if offset >= position {
                break;
            }
            offset += i64::from(entry.messages);
            physical = begin + i64::from(entry.end);
        }
        let in_run = entries.last().is_some_and(|entry| physical < begin + i64::from(entry.end));
        Ok((offset == position && in_run).then_some(physical))
    });
    Ok(found.optional()?.flatten())
}

fn place(begin: i64, physical: i64) -> Option<usize> {
    usize::try_from(physical.checked_sub(begin)?).ok()
}
