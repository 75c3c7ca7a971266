//! The database behind the journal: one row a queue, each under a checksum.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};

use gantry_protocol::MessageQueue;
use rusqlite::{Connection, ErrorCode, Row, TransactionBehavior, params};

use super::{JournalError, Key, MAX_QUEUES, QueueJournal, Snapshot};
use crate::state::files;

/// Raised with every change of the table.
const FORMAT: i64 = 1;
/// Rows older than this are dropped at the start. Brokers keep messages for 3 days unless told otherwise.
const KEPT_MS: i64 = 7 * 24 * 3600 * 1000;
/// Bytes of a range: two offsets.
const RANGE: usize = 16;

const TABLE: &str = "
CREATE TABLE IF NOT EXISTS settled(
    id INTEGER PRIMARY KEY,
    group_name TEXT NOT NULL, topic TEXT NOT NULL, broker_name TEXT NOT NULL, queue_id INTEGER NOT NULL,
    stored INTEGER NOT NULL, commit_point INTEGER NOT NULL, newest_store_timestamp INTEGER NOT NULL,
    ranges BLOB NOT NULL, written_at_ms INTEGER NOT NULL, checksum INTEGER NOT NULL,
    UNIQUE(group_name, topic, broker_name, queue_id))";
const PUT: &str = "
INSERT INTO settled(group_name, topic, broker_name, queue_id,
                    stored, commit_point, newest_store_timestamp, ranges, written_at_ms, checksum)
VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
ON CONFLICT(group_name, topic, broker_name, queue_id) DO UPDATE SET
    stored = excluded.stored, commit_point = excluded.commit_point,
    newest_store_timestamp = excluded.newest_store_timestamp, ranges = excluded.ranges,
    written_at_ms = excluded.written_at_ms, checksum = excluded.checksum";
const REMOVE: &str =
    "DELETE FROM settled WHERE group_name = ?1 AND topic = ?2 AND broker_name = ?3 AND queue_id = ?4";
const LOAD: &str = "
SELECT topic, broker_name, queue_id, stored, commit_point, newest_store_timestamp, ranges, written_at_ms, checksum
FROM settled WHERE group_name = ?1";

/// Why a database that is there is not used.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error("{0}")]
    Unsound(String),
    #[error("it has format {0}, and this version of Gantry knows format {FORMAT} only")]
    Format(i64),
}

/// Opens the database, or begins a fresh one where there is none or it is damaged.
pub(super) fn open(file: &Path, now_ms: i64) -> Result<Connection, JournalError> {
    let unusable = |source| JournalError::Database { file: file.to_owned(), source };
    match open_as_it_is(file, now_ms) {
        Ok(connection) => Ok(connection),
        Err(Fault::Sqlite(error)) if !is_damage(&error) => Err(unusable(error)),
        Err(fault) => {
            let aside = set_aside(file)?;
            tell(file, &aside, &fault);
            match open_as_it_is(file, now_ms) {
                Ok(connection) => Ok(connection),
                Err(Fault::Sqlite(error)) => Err(unusable(error)),
                Err(_not_of_a_new_one) => Err(unusable(rusqlite::Error::InvalidQuery)),
            }
        }
    }
}

/// Sets the database behind `connection` aside and opens a new one in its place.
pub(super) fn begin_afresh(
    file: &Path,
    connection: &mut Connection,
    why: &rusqlite::Error,
) -> Result<(), JournalError> {
    let unusable = |source| JournalError::Database { file: file.to_owned(), source };
    // Closed first: closing removes the log that has the database's name, which must not be the new one's.
    *connection = Connection::open_in_memory().map_err(unusable)?;
    let aside = set_aside(file)?;
    tell(file, &aside, why);
    *connection = open(file, super::unix_millis())?;
    Ok(())
}

fn tell(file: &Path, aside: &Path, fault: &dyn std::fmt::Display) {
    tracing::warn!(
        "the journal of settled messages {} cannot be used: {fault}; it is kept as {} and a fresh one is begun: what was settled above the commit points is consumed again",
        file.display(),
        aside.display()
    );
}

/// Whether the error says that the file is damaged, or no database at all.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

fn open_as_it_is(file: &Path, now_ms: i64) -> Result<Connection, Fault> {
    let connection = Connection::open(file)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // Nothing is ever flushed to the disk: the writer never waits for it, and the system keeps what was written when the
    // process is killed.
    connection.pragma_update(None, "synchronous", "OFF")?;
    let format: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if format != 0 && format != FORMAT {
        return Err(Fault::Format(format));
    }
    let check: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if check != "ok" {
        return Err(Fault::Unsound(check));
    }
    connection.execute_batch(TABLE)?;
    connection.pragma_update(None, "user_version", FORMAT)?;
    prune(&connection, now_ms)?;
    Ok(connection)
}

fn prune(connection: &Connection, now_ms: i64) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM settled WHERE written_at_ms < ?1", [now_ms.saturating_sub(KEPT_MS)])?;
    let most = i64::try_from(MAX_QUEUES).unwrap_or(i64::MAX);
    let beyond = "DELETE FROM settled WHERE id IN
        (SELECT id FROM settled ORDER BY written_at_ms DESC LIMIT -1 OFFSET ?1)";
    connection.execute(beyond, [most])?;
    Ok(())
}

/// Renames the database and its write-ahead log alike, so that they stay together.
fn set_aside(file: &Path) -> Result<PathBuf, JournalError> {
    let in_the_way = |source| JournalError::InTheWay { file: file.to_owned(), source };
    let aside = files::set_aside(file).map_err(in_the_way)?;
    for suffix in ["-wal", "-shm"] {
        match std::fs::rename(files::beside(file, suffix), files::beside(&aside, suffix)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(in_the_way(error)),
            _ => {}
        }
    }
    Ok(aside)
}

/// Writes the changes in one transaction.
pub(super) fn save(
    connection: &mut Connection,
    queues: &HashMap<Key, Option<Snapshot>>,
    now_ms: i64,
) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    {
        let mut put = transaction.prepare_cached(PUT)?;
        let mut remove = transaction.prepare_cached(REMOVE)?;
        for ((group, queue), snapshot) in queues {
            let (topic, broker, id) = (&*queue.topic, &*queue.broker_name, queue.queue_id);
            let Some(snapshot) = snapshot else {
                remove.execute(params![&**group, topic, broker, id])?;
                continue;
            };
            let Snapshot { stored, commit, newest_store_timestamp, ranges } = snapshot;
            let ranges = encode(ranges);
            let numbers = [*stored, *commit, *newest_store_timestamp, now_ms];
            let checksum = checksum(group, queue, numbers, &ranges);
            put.execute(params![
                &**group,
                topic,
                broker,
                id,
                stored,
                commit,
                newest_store_timestamp,
                ranges,
                now_ms,
                checksum
            ])?;
        }
    }
    transaction.commit()
}

/// The rows of a group. One that is not as it was written is logged and left out.
pub(super) fn load(
    connection: &Connection,
    group: &str,
) -> rusqlite::Result<BTreeMap<MessageQueue, QueueJournal>> {
    let mut select = connection.prepare_cached(LOAD)?;
    let mut rows = select.query([group])?;
    let mut queues = BTreeMap::new();
    while let Some(row) = rows.next()? {
        match read(group, row) {
            Some((queue, journal)) => _ = queues.insert(queue, journal),
            None => tracing::warn!(group, "left out a damaged row of the journal of settled messages"),
        }
    }
    Ok(queues)
}

fn read(group: &str, row: &Row<'_>) -> Option<(MessageQueue, QueueJournal)> {
    let (topic, broker): (String, String) = (row.get(0).ok()?, row.get(1).ok()?);
    let queue = MessageQueue::new(topic, broker, row.get(2).ok()?);
    let bytes: Vec<u8> = row.get(6).ok()?;
    let journal = QueueJournal {
        stored: row.get(3).ok()?,
        commit: row.get(4).ok()?,
        newest_store_timestamp: row.get(5).ok()?,
        ranges: decode(&bytes),
        written_at_ms: row.get(7).ok()?,
    };
    let numbers = [journal.stored, journal.commit, journal.newest_store_timestamp, journal.written_at_ms];
    let sound = row.get::<_, u32>(8).ok()? == checksum(group, &queue, numbers, &bytes);
    sound.then_some((queue, journal))
}

fn encode(ranges: &[(i64, i64)]) -> Vec<u8> {
    ranges.iter().flat_map(|(from, to)| [from.to_le_bytes(), to.to_le_bytes()]).flatten().collect()
}

fn decode(bytes: &[u8]) -> Vec<(i64, i64)> {
    let (ranges, _rest) = bytes.as_chunks::<RANGE>();
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0_i64, |value, byte| value << 8 | i64::from(*byte));
    ranges
        .iter()
        .map(|range| range.split_at(RANGE / 2))
        .map(|(from, to)| (number(from), number(to)))
        .collect()
}

/// SQLite tells damage of its own structure, not of what is in it.
fn checksum(group: &str, queue: &MessageQueue, numbers: [i64; 4], ranges: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for text in [group, &queue.topic, &queue.broker_name] {
        hasher.update(text.as_bytes());
        hasher.update(&[0]);
    }
    hasher.update(&queue.queue_id.to_le_bytes());
    numbers.iter().for_each(|number| hasher.update(&number.to_le_bytes()));
    hasher.update(ranges);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_they_were_written() {
        let ranges = [(0, 1), (-5, 7), (i64::MIN, i64::MAX), (1 << 40, (1 << 40) + 3)];
        assert_eq!(decode(&encode(&ranges)), ranges);
    }
}
