use std::sync::{Arc, Mutex};

use bytes::{Bytes, BytesMut};
use rusqlite::{Connection, OptionalExtension as _, params};
use tokio::sync::mpsc;

use super::queue::{ReadRange, ReadResult, SCAN_LIMIT, Span};
use crate::sync::lock;

/// What the reader thread is asked to do.
pub(super) enum Question {
    /// Answer this from the database.
    Ask(Box<dyn FnOnce(&Connection) + Send>),
    /// End.
    Stop,
}

/// The one thread that reads what is no longer in memory.
pub(super) fn run(connection: &Mutex<Connection>, mut questions: mpsc::Receiver<Question>) {
    while let Some(Question::Ask(question)) = questions.blocking_recv() {
        question(&lock(connection));
    }
}

/// Reads records of a queue, as [`super::Queue::read_tail`] does from memory.
/// Records from `until` on are not visible yet.
pub(super) fn read_range(
    connection: &Connection,
    queue: i64,
    until: i64,
    range: &ReadRange,
) -> rusqlite::Result<ReadResult> {
    let mut index = connection.prepare_cached(
        "SELECT position, physical, size, tags, messages FROM consume_queue
         WHERE queue = ?1 AND position < ?3 AND position >= COALESCE(
             (SELECT MAX(position) FROM consume_queue WHERE queue = ?1 AND position <= ?2), ?2)
         ORDER BY position LIMIT ?4",
    )?;
    let mut log = connection.prepare_cached("SELECT record FROM commit_log WHERE physical = ?1")?;
    let scan = i64::try_from(SCAN_LIMIT).unwrap_or(i64::MAX);
    let mut rows = index.query(params![queue, range.offset, until, scan])?;
    let mut body = BytesMut::new();
    let (mut next_offset, mut count) = (range.offset, 0);
    while let Some(row) = rows.next()? {
        let (position, physical): (i64, i64) = (row.get(0)?, row.get(1)?);
        let (size, tags, messages): (i64, i64, i64) = (row.get(2)?, row.get(3)?, row.get(4)?);
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let with_it = count + usize::try_from(messages).unwrap_or(1);
        if range.filter.passes_tags(tags) {
            let full = with_it > range.max_count || body.len().saturating_add(size) > range.max_bytes;
            // A record that would not fit need not be read, unless only its properties tell whether it is wanted.
            if full && count > 0 && !range.filter.reads_records() {
                break;
            }
            let read = |row: &rusqlite::Row<'_>| Ok(Bytes::copy_from_slice(row.get_ref(0)?.as_blob()?));
            let record = log.query_row([physical], read)?;
            if range.filter.passes_record(&record) {
                if full && count > 0 {
                    break;
                }
                body.extend_from_slice(&record);
                count = with_it;
            }
        }
        next_offset = position + messages;
    }
    Ok(ReadResult { body: body.freeze(), count, next_offset })
}

/// The record at a physical offset, which must be where a record begins.
pub(super) fn read_at(connection: &Connection, physical: i64) -> rusqlite::Result<Option<Bytes>> {
    connection
        .prepare_cached("SELECT record FROM commit_log WHERE physical = ?1")?
        .query_row([physical], |row| Ok(Bytes::copy_from_slice(row.get_ref(0)?.as_blob()?)))
        .optional()
}

/// Records with the hash of a key, newest first. The caller compares the keys themselves.
pub(super) fn read_by_key(connection: &Connection, hash: i64, most: usize) -> rusqlite::Result<Vec<Bytes>> {
    let mut select = connection.prepare_cached(
        "SELECT l.record FROM message_key k JOIN commit_log l ON l.physical = k.physical
         WHERE k.hash = ?1 ORDER BY k.rowid DESC LIMIT ?2",
    )?;
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let rows = select
        .query_map(params![hash, most], |row| Ok(Bytes::copy_from_slice(row.get_ref(0)?.as_blob()?)))?;
    rows.collect()
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

/// Bytes from the beginning of the record at an offset to the beginning of the newest record.
pub(super) fn bytes_since(
    connection: &Connection,
    queue: i64,
    position: i64,
) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached(
            "SELECT (SELECT MAX(physical) FROM commit_log) - physical FROM consume_queue WHERE queue = ?1 AND position = ?2",
        )?
        .query_row(params![queue, position], |row| row.get(0))
        .optional()
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

/// A reader thread's connection, kept alive by the thread.
pub(super) type SharedConnection = Arc<Mutex<Connection>>;
