use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::command::OffsetRow;
use super::queue::{Queue, Span};
use super::run::{ENTRY, KEY};

/// Group, topic, queue id, and what the group popped in order of it.
type OrderRow = (Arc<str>, Arc<str>, i32, String);

/// What the database held when it was opened.
#[derive(Debug, Default)]
pub(crate) struct Recovered {
    /// Name and settings.
    pub(crate) topics: Vec<(String, String)>,
    /// Name and settings.
    pub(crate) groups: Vec<(String, String)>,
    /// Group and topic as one name, and settings.
    pub(crate) request_modes: Vec<(String, String)>,
    /// Namespace and its keys.
    pub(crate) keys: Vec<(String, String)>,
    pub(crate) offsets: Vec<OffsetRow>,
    pub(crate) orders: Vec<OrderRow>,
    pub(super) queues: Vec<Queue>,
    pub(super) next_physical: i64,
    pub(super) next_due: i64,
}

pub(super) fn recover(connection: &Connection) -> rusqlite::Result<Recovered> {
    Ok(Recovered {
        topics: settings(connection, "SELECT name, config FROM topic")?,
        groups: settings(connection, "SELECT name, config FROM consumer_group")?,
        request_modes: settings(connection, "SELECT name, config FROM request_mode")?,
        keys: settings(connection, "SELECT name, config FROM key_value")?,
        offsets: offsets(connection)?,
        orders: orders(connection)?,
        queues: queues(connection)?,
        next_physical: next_physical(connection)?,
        next_due: connection
            .query_row("SELECT due_ms FROM schedule ORDER BY due_ms LIMIT 1", [], |row| row.get(0))
            .optional()?
            .unwrap_or(i64::MAX),
    })
}

fn settings(connection: &Connection, statement: &str) -> rusqlite::Result<Vec<(String, String)>> {
    connection.prepare(statement)?.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

fn offsets(connection: &Connection) -> rusqlite::Result<Vec<OffsetRow>> {
    let mut select =
        connection.prepare("SELECT group_name, topic, queue_id, next_offset FROM consumer_offset")?;
    let rows = select.query_map([], |row| {
        let (group, topic): (String, String) = (row.get(0)?, row.get(1)?);
        Ok(OffsetRow { group: group.into(), topic: topic.into(), queue_id: row.get(2)?, offset: row.get(3)? })
    })?;
    rows.collect()
}

fn orders(connection: &Connection) -> rusqlite::Result<Vec<OrderRow>> {
    let mut select = connection.prepare(
        "SELECT o.group_name, q.topic, q.queue_id, o.state FROM popped_in_order o JOIN queue q ON q.id = o.queue",
    )?;
    let rows = select.query_map([], |row| {
        let (group, topic): (String, String) = (row.get(0)?, row.get(1)?);
        Ok((group.into(), topic.into(), row.get(2)?, row.get(3)?))
    })?;
    rows.collect()
}

fn queues(connection: &Connection) -> rusqlite::Result<Vec<Queue>> {
    let rows: Vec<(i64, String, i32)> = connection
        .prepare("SELECT id, topic, queue_id FROM queue")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    rows.into_iter()
        .map(|(id, topic, queue_id)| Ok(Queue::new(id, Arc::from(topic), queue_id, span(connection, id)?)))
        .collect()
}

fn span(connection: &Connection, queue: i64) -> rusqlite::Result<Span> {
    let min = connection
        .prepare_cached("SELECT position FROM consume_queue WHERE queue = ?1 ORDER BY position LIMIT 1")?
        .query_row([queue], |row| row.get(0))
        .optional()?;
    let newest = connection
        .prepare_cached(
            "SELECT position + messages, stored_ms FROM consume_queue WHERE queue = ?1
             ORDER BY position DESC LIMIT 1",
        )?
        .query_row([queue], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (max, last_stored_ms) = newest.unwrap_or((0, 0));
    Ok(Span { min: min.unwrap_or(0), max, last_stored_ms })
}

fn next_physical(connection: &Connection) -> rusqlite::Result<i64> {
    let newest = connection
        .query_row(
            "SELECT physical + COALESCE(size, length(records)) - entries * ?1 - keys * ?2 FROM commit_log
             ORDER BY physical DESC LIMIT 1",
            [i64::try_from(ENTRY).unwrap_or_default(), i64::try_from(KEY).unwrap_or_default()],
            |row| row.get::<_, i64>(0),
        )
        .optional()?;
    let noted = connection
        .query_row("SELECT value FROM meta WHERE name = ?1", params!["next_physical"], |row| row.get(0))
        .optional()?;
    Ok(newest.unwrap_or(0).max(noted.unwrap_or(0)))
}
