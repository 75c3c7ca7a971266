//! Changes of the tables beside the log, and what is due in them.

use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{Connection, Row, Transaction, params};

use super::command::{Change, Popped};
use super::find::Finder;
use super::log::Log;
use super::writer::save_offsets;
use crate::error::StoreError;

/// Most due rows looked at together.
const AT_ONCE: i64 = 256;

/// Carries a change out; answers how many rows it changed.
pub(super) fn apply(tx: &Transaction<'_>, change: &Change) -> Result<usize, StoreError> {
    let changed = match change {
        Change::Pop { popped: Popped { group, queue, offset, popped_ms }, due_ms } => tx
            .prepare_cached(
                "INSERT OR REPLACE INTO popped(group_name, queue, position, popped_ms, due_ms) VALUES(?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![&**group, queue, offset, popped_ms, due_ms])?,
        Change::PopLonger { popped: Popped { group, queue, offset, popped_ms }, again_ms, due_ms } => tx
            .prepare_cached(
                "UPDATE popped SET popped_ms = ?5, due_ms = ?6
                 WHERE group_name = ?1 AND queue = ?2 AND position = ?3 AND popped_ms = ?4",
            )?
            .execute(params![&**group, queue, offset, popped_ms, again_ms, due_ms])?,
        Change::Settle(Popped { group, queue, offset, popped_ms }) => tx
            .prepare_cached(
                "DELETE FROM popped WHERE group_name = ?1 AND queue = ?2 AND position = ?3 AND popped_ms = ?4",
            )?
            .execute(params![&**group, queue, offset, popped_ms])?,
        Change::Offset(row) => {
            save_offsets(tx, std::slice::from_ref(row))?;
            1
        }
        Change::Order { group, queue, state: Some(state) } => tx
            .prepare_cached(
                "INSERT OR REPLACE INTO popped_in_order(group_name, queue, state) VALUES(?1, ?2, ?3)",
            )?
            .execute(params![&**group, queue, state])?,
        Change::Order { group, queue, state: None } => tx
            .prepare_cached("DELETE FROM popped_in_order WHERE group_name = ?1 AND queue = ?2")?
            .execute(params![&**group, queue])?,
        Change::EndTransaction { physical } => {
            tx.prepare_cached("DELETE FROM prepared WHERE physical = ?1")?.execute([physical])?
        }
        Change::Checked { physical, checks, next_check_ms } => tx
            .prepare_cached("UPDATE prepared SET checks = ?2, next_check_ms = ?3 WHERE physical = ?1")?
            .execute(params![physical, checks, next_check_ms])?,
        Change::Unschedule { due_ms, physical } => tx
            .prepare_cached("DELETE FROM schedule WHERE due_ms = ?1 AND physical = ?2")?
            .execute(params![due_ms, physical])?,
    };
    Ok(changed)
}

/// A prepared record whose transaction has not ended.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) physical: i64,
    /// How often it was asked about.
    pub(crate) checks: i32,
    pub(crate) record: Bytes,
}

/// A popped record that was not settled in time; `None` for the record of a deleted topic.
#[derive(Debug)]
pub(crate) struct Expired {
    pub(crate) popped: Popped,
    pub(crate) record: Option<Bytes>,
}

/// Prepared records to ask about, the longest waiting first.
pub(super) fn to_check(connection: &Connection, log: &Log, now_ms: i64) -> rusqlite::Result<Vec<Prepared>> {
    let mut select = connection.prepare_cached(
        "SELECT physical, checks FROM prepared WHERE next_check_ms <= ?1 ORDER BY next_check_ms, physical LIMIT ?2",
    )?;
    let (mut rows, mut finder) = (select.query(params![now_ms, AT_ONCE])?, Finder::new(log));
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let physical = row.get(0)?;
        if let Some(record) = finder.at(connection, physical)? {
            found.push(Prepared { physical, checks: row.get(1)?, record });
        }
    }
    Ok(found)
}

/// Popped records whose time is up, the longest waiting first.
pub(super) fn expired(connection: &Connection, log: &Log, now_ms: i64) -> rusqlite::Result<Vec<Expired>> {
    let mut select = connection.prepare_cached(
        "SELECT group_name, queue, position, popped_ms FROM popped
         WHERE due_ms <= ?1 ORDER BY due_ms, queue, position LIMIT ?2",
    )?;
    let popped = |row: &Row<'_>| {
        let group: String = row.get(0)?;
        Ok(Popped {
            group: Arc::from(group),
            queue: row.get(1)?,
            offset: row.get(2)?,
            popped_ms: row.get(3)?,
        })
    };
    let mut finder = Finder::new(log);
    let rows = select.query_map(params![now_ms, AT_ONCE], popped)?;
    rows.map(|popped| {
        let popped = popped?;
        let record = finder.of_queue(connection, popped.queue, popped.offset)?;
        Ok(Expired { popped, record })
    })
    .collect()
}

/// The first scheduled record due from `from_ms` until before `until_ms` that is wanted: when it is due, and where.
pub(super) fn find_scheduled(
    connection: &Connection,
    log: &Log,
    from_ms: i64,
    until_ms: i64,
    wanted: impl Fn(Bytes) -> bool,
) -> rusqlite::Result<Option<(i64, i64)>> {
    let mut select = connection.prepare_cached(
        "SELECT due_ms, physical FROM schedule WHERE due_ms >= ?1 AND due_ms < ?2 ORDER BY due_ms, physical",
    )?;
    let (mut rows, mut finder) = (select.query(params![from_ms, until_ms])?, Finder::new(log));
    while let Some(row) = rows.next()? {
        let (due_ms, physical) = (row.get(0)?, row.get(1)?);
        if finder.at(connection, physical)?.is_some_and(&wanted) {
            return Ok(Some((due_ms, physical)));
        }
    }
    Ok(None)
}
