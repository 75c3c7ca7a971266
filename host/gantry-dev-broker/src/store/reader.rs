use std::sync::Mutex;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use tokio::sync::mpsc;

use super::find::{Finder, physical_of};
use super::log::Log;
use super::packed::Packed;
use super::pick::Picker;
use super::queue::{ReadRange, ReadResult, Span};
use super::recent::Recent;
use super::run::{Run, find_key, unpack_entries};
use crate::sync::lock;

/// What is asked of the database.
type Asked = Box<dyn FnOnce(&Connection) + Send>;

/// What the reader thread is asked to do.
pub(super) enum Question {
    /// Answer this.
    Ask(Asked),
    /// End.
    Stop,
}

/// What one thread does that reads what is no longer in memory. One of them waits for the next question, others for their turn to.
pub(super) fn run(connection: &Mutex<Connection>, questions: &Mutex<mpsc::Receiver<Question>>) {
    let next = || lock(questions).blocking_recv();
    while let Some(Question::Ask(question)) = next() {
        question(&lock(connection));
    }
}

/// Reads records of a queue, as [`super::Queue::read_tail`] does from memory.
/// Records from `until` on are not visible yet.
pub(super) fn read_range(
    connection: &Connection,
    (log, recent): (&Log, &Mutex<Recent>),
    queue: i64,
    until: i64,
    range: &ReadRange,
) -> rusqlite::Result<ReadResult> {
    let mut index = connection.prepare_cached(
        "SELECT position, physical, messages, stored_ms, q.entries, records, file, at, size, crc, c.entries, keys
         FROM consume_queue q JOIN commit_log c USING(physical)
         WHERE queue = ?1 AND position < ?3 AND position >= COALESCE(
             (SELECT MAX(position) FROM consume_queue WHERE queue = ?1 AND position <= ?2), ?2)
         ORDER BY position",
    )?;
    let mut rows = index.query(params![queue, range.offset, until])?;
    let mut picker = Picker::new(range);
    while let Some(row) = rows.next()? {
        let known = lock(recent).get(queue, row.get(0)?);
        let run = match known {
            Some(run) => run,
            None => {
                let run = read_run(log, row)?;
                lock(recent).put(queue, run.clone());
                run
            }
        };
        if !picker.look(&run) || picker.is_full() {
            break;
        }
    }
    Ok(picker.finish())
}

fn read_run(log: &Log, row: &Row<'_>) -> rusqlite::Result<Run> {
    let (position, physical, messages): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
    let (entries, bytes) = Packed::of(row, 5)?.entries_and_records(log)?;
    let entries = match entries {
        Some(entries) => entries,
        None => unpack_entries(row.get_ref(4)?.as_blob()?),
    };
    let damaged = || rusqlite::Error::IntegralValueOutOfRange(4, physical);
    Run::of((position, position + messages), row.get(3)?, entries, bytes).ok_or_else(damaged)
}

/// Reads from a run that was read lately; `None` when that is not all there is to be read.
pub(super) fn read_recent(recent: &Mutex<Recent>, queue: i64, range: &ReadRange) -> Option<ReadResult> {
    let run = lock(recent).get(queue, range.offset)?;
    let mut picker = Picker::new(range);
    (!picker.look(&run) || picker.is_full()).then(|| picker.finish())
}

/// The record at a physical offset, which must be where a record begins.
pub(super) fn read_at(connection: &Connection, log: &Log, physical: i64) -> rusqlite::Result<Option<Bytes>> {
    Finder::new(log).at(connection, physical)
}

/// Records with the hash of a key, newest first. The caller compares the keys themselves.
pub(super) fn read_by_key(
    connection: &Connection,
    log: &Log,
    hash: i64,
    most: usize,
) -> rusqlite::Result<Vec<Bytes>> {
    let mut select = connection.prepare_cached(
        "SELECT physical, hashes, records, file, at, size, crc, entries, keys FROM commit_log LEFT JOIN message_key USING(physical)
         WHERE keys > 0 OR hashes IS NOT NULL ORDER BY physical DESC",
    )?;
    let (mut rows, mut records, mut finder) = (select.query([])?, Vec::new(), Finder::new(log));
    while let Some(row) = rows.next()? {
        let physical: i64 = row.get(0)?;
        let hashes = match Packed::of(row, 2)?.keys(log)? {
            Some(hashes) => hashes,
            None => Bytes::copy_from_slice(row.get_ref(1)?.as_blob()?),
        };
        for at in find_key(&hashes, hash) {
            if records.len() == most {
                return Ok(records);
            }
            let place = physical.saturating_add(i64::try_from(at).unwrap_or(i64::MAX));
            records.extend(finder.at(connection, place)?);
        }
    }
    Ok(records)
}

/// Which end of the records of one point in time is asked for (RocketMQ: BoundaryType).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Boundary {
    /// The first record stored then or later.
    Lower,
    /// The last record stored then or earlier.
    Upper,
}

/// The offset of a point in time, by bisection: store timestamps grow with offsets.
pub(super) fn offset_at(
    connection: &Connection,
    queue: i64,
    span: Span,
    timestamp: i64,
    boundary: Boundary,
) -> rusqlite::Result<i64> {
    let before = |stored_ms: i64| match boundary {
        Boundary::Lower => stored_ms < timestamp,
        Boundary::Upper => stored_ms <= timestamp,
    };
    let (mut low, mut high) = (span.min, span.max);
    while low < high {
        let middle = low + (high - low) / 2;
        match stored_at(connection, queue, middle)? {
            Some(stored_ms) if before(stored_ms) => low = middle + 1,
            _ => high = middle,
        }
    }
    Ok(match boundary {
        Boundary::Lower => low,
        Boundary::Upper => (low - 1).max(span.min),
    })
}

/// Bytes from the beginning of the record at an offset to the beginning of what was stored last.
pub(super) fn bytes_since(
    connection: &Connection,
    log: &Log,
    queue: i64,
    position: i64,
) -> rusqlite::Result<Option<i64>> {
    let Some(physical) = physical_of(connection, log, queue, position)? else { return Ok(None) };
    let newest: i64 = connection
        .prepare_cached("SELECT COALESCE(MAX(physical), 0) FROM commit_log")?
        .query_row([], |row| row.get(0))?;
    Ok(Some((newest - physical).max(0)))
}

/// When the record that an offset belongs to was stored.
pub(super) fn stored_at(connection: &Connection, queue: i64, position: i64) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached(
            "SELECT stored_ms FROM consume_queue WHERE queue = ?1 AND position <= ?2 AND position + messages > ?2
             ORDER BY position DESC LIMIT 1",
        )?
        .query_row(params![queue, position], |row| row.get(0))
        .optional()
}
