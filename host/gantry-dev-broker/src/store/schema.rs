use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::Connection;

use crate::config::{FsyncPolicy, Storage};
use crate::error::StartError;

/// Raised with every change of the tables.
const FORMAT: i64 = 5;
/// What makes a database of format 1 one of format 2.
const FROM_FORMAT_1: &str = "ALTER TABLE consume_queue ADD COLUMN messages INTEGER NOT NULL DEFAULT 1;";
/// What makes a database of format 2, which had a row for each record, one of format 3: each record becomes a run.
/// The blobs are those of [`super::run`].
const FROM_FORMAT_2: &str = "
ALTER TABLE commit_log RENAME COLUMN record TO records;
ALTER TABLE commit_log ADD COLUMN file INTEGER;
ALTER TABLE commit_log ADD COLUMN at INTEGER;
ALTER TABLE commit_log ADD COLUMN size INTEGER;
ALTER TABLE commit_log ADD COLUMN crc INTEGER;
ALTER TABLE consume_queue RENAME TO former_queue;
CREATE TABLE consume_queue(
    queue INTEGER NOT NULL, position INTEGER NOT NULL, physical INTEGER NOT NULL, messages INTEGER NOT NULL,
    stored_ms INTEGER NOT NULL, entries BLOB NOT NULL, PRIMARY KEY(queue, position)) WITHOUT ROWID;
INSERT INTO consume_queue SELECT queue, position, physical, messages, stored_ms,
    unhex(printf('%08X%08X%016X', size, messages, tags)) FROM former_queue ORDER BY queue, position;
DROP TABLE former_queue;
ALTER TABLE message_key RENAME TO former_key;
CREATE TABLE message_key(physical INTEGER PRIMARY KEY, hashes BLOB NOT NULL);
INSERT INTO message_key SELECT physical, unhex(group_concat(printf('00000000%016X', hash), ''))
    FROM former_key GROUP BY physical;
DROP TABLE former_key;
";
/// What makes a database of format 3, which had the entries and key hashes of all runs, one of format 4.
const FROM_FORMAT_3: &str = "
ALTER TABLE commit_log ADD COLUMN entries INTEGER NOT NULL DEFAULT 0;
ALTER TABLE commit_log ADD COLUMN keys INTEGER NOT NULL DEFAULT 0;
";
/// Of a new database.
const PAGE_SIZE: i64 = 4096;
/// Threads that read what is no longer in memory: two, so that one can wait for the disk.
const READERS: usize = 2;
/// How long a connection waits for another's lock on the database.
const BUSY: Duration = Duration::from_secs(5);
/// Bytes of pages between the points where the write-ahead log goes into the database.
const CHECKPOINT_BYTES: i64 = 32 * 1024 * 1024;

/// The names follow RocketMQ: records in a commit log, ordered by physical offset; a consume queue per queue
/// that points into it; message keys in the order of storing, without an index: they are searched rarely and
/// written always. A row of commit log and consume queue is a run: what a transaction stored of a queue ([`super::run`]). Its entries
/// and keys follow its records ([`super::packed`]), in the commit log or in a file ([`super::log`]). Older formats had
/// entries in the consume queue and keys in a table of their own, and such rows stay as they are.
const TABLES: &str = "
CREATE TABLE IF NOT EXISTS meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS topic(name TEXT PRIMARY KEY, config TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS consumer_group(name TEXT PRIMARY KEY, config TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS consumer_offset(
    group_name TEXT NOT NULL, topic TEXT NOT NULL, queue_id INTEGER NOT NULL, next_offset INTEGER NOT NULL,
    PRIMARY KEY(group_name, topic, queue_id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS queue(id INTEGER PRIMARY KEY, topic TEXT NOT NULL, queue_id INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS commit_log(
    physical INTEGER PRIMARY KEY, records BLOB NOT NULL, file INTEGER, at INTEGER, size INTEGER, crc INTEGER,
    entries INTEGER NOT NULL DEFAULT 0, keys INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS commit_log_file ON commit_log(file, at) WHERE file IS NOT NULL;
CREATE TABLE IF NOT EXISTS consume_queue(
    queue INTEGER NOT NULL, position INTEGER NOT NULL, physical INTEGER NOT NULL, messages INTEGER NOT NULL,
    stored_ms INTEGER NOT NULL, entries BLOB NOT NULL, PRIMARY KEY(queue, position)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS message_key(physical INTEGER PRIMARY KEY, hashes BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS schedule(
    due_ms INTEGER NOT NULL, physical INTEGER NOT NULL, PRIMARY KEY(due_ms, physical)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS prepared(
    physical INTEGER PRIMARY KEY, checks INTEGER NOT NULL, next_check_ms INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS popped(
    group_name TEXT NOT NULL, queue INTEGER NOT NULL, position INTEGER NOT NULL, popped_ms INTEGER NOT NULL,
    due_ms INTEGER NOT NULL, PRIMARY KEY(group_name, queue, position)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS popped_due ON popped(due_ms);
CREATE TABLE IF NOT EXISTS popped_in_order(
    group_name TEXT NOT NULL, queue INTEGER NOT NULL, state TEXT NOT NULL, PRIMARY KEY(group_name, queue)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS request_mode(name TEXT PRIMARY KEY, config TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS key_value(name TEXT PRIMARY KEY, config TEXT NOT NULL) WITHOUT ROWID;
";

/// The open database.
pub(super) struct Database {
    /// Written by the one writer thread.
    pub(super) writer: Arc<Mutex<Connection>>,
    /// Read by the reader threads, each its own. In memory there is one connection for all.
    pub(super) readers: Vec<Arc<Mutex<Connection>>>,
    /// Read by whoever finds one free. In memory there is none.
    pub(super) at_once: Vec<Connection>,
    /// Held as long as the store is open, so that no other broker opens the directory.
    pub(super) directory: Option<HeldDirectory>,
}

/// The lock of a data directory.
#[derive(Debug)]
pub(super) struct HeldDirectory(File);

impl Drop for HeldDirectory {
    /// Closing the file is not enough: a process that is being started has a copy of it until it runs its own program.
    fn drop(&mut self) {
        let _closed_all_the_same = self.0.unlock();
    }
}

/// Opens or makes the database.
pub(super) fn open(storage: &Storage) -> Result<Database, StartError> {
    match storage {
        Storage::InMemory => {
            let place = "memory".to_owned();
            let connection = Connection::open_in_memory()
                .and_then(|connection| prepare_in_memory(&connection).map(|()| connection))
                .map_err(|source| StartError::Store { place, source })?;
            let shared = Arc::new(Mutex::new(connection));
            Ok(Database {
                writer: Arc::clone(&shared),
                readers: vec![shared],
                at_once: Vec::new(),
                directory: None,
            })
        }
        Storage::Directory { path, fsync } => open_directory(path, *fsync),
    }
}

fn prepare_in_memory(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "page_size", PAGE_SIZE)?;
    connection.pragma_update(None, "journal_mode", "MEMORY")?;
    connection.execute_batch(TABLES)
}

fn open_directory(path: &Path, fsync: FsyncPolicy) -> Result<Database, StartError> {
    let directory = hold_directory(path)?;
    let file = path.join("store.db");
    let place = file.display().to_string();
    let failed = |source| StartError::Store { place: place.clone(), source };
    let writer = open_writer(&file, fsync).map_err(failed)?;
    let found: i64 = writer.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
    match found {
        0 => writer.pragma_update(None, "user_version", FORMAT).map_err(failed)?,
        1 => convert(&writer, &[FROM_FORMAT_1, FROM_FORMAT_2, FROM_FORMAT_3]).map_err(failed)?,
        2 => convert(&writer, &[FROM_FORMAT_2, FROM_FORMAT_3]).map_err(failed)?,
        3 => convert(&writer, &[FROM_FORMAT_3]).map_err(failed)?,
        // The rows that are there stay; only new ones are different.
        4 => convert(&writer, &[]).map_err(failed)?,
        FORMAT => {}
        _ => return Err(StartError::StoreFormat { place, found, expected: FORMAT }),
    }
    writer.execute_batch(TABLES).map_err(failed)?;
    let reader = |patience| open_reader(&file, patience).map_err(failed);
    Ok(Database {
        writer: Arc::new(Mutex::new(writer)),
        readers: (0..READERS).map(|_| Ok(Arc::new(Mutex::new(reader(BUSY)?)))).collect::<Result<_, _>>()?,
        at_once: (0..READERS).map(|_| reader(Duration::ZERO)).collect::<Result<_, _>>()?,
        directory: Some(directory),
    })
}

fn hold_directory(path: &Path) -> Result<HeldDirectory, StartError> {
    let unusable = |source| StartError::DataDirectory { path: PathBuf::from(path), source };
    std::fs::create_dir_all(path).map_err(unusable)?;
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path.join("broker.lock"))
        .map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => Ok(HeldDirectory(file)),
        Err(TryLockError::WouldBlock) => Err(StartError::DataDirectoryHeld { path: PathBuf::from(path) }),
        Err(TryLockError::Error(source)) => Err(unusable(source)),
    }
}

/// Makes a database of an older format one of the current format, or leaves it as it was.
fn convert(writer: &Connection, steps: &[&str]) -> rusqlite::Result<()> {
    let steps = steps.concat();
    let converted = writer.execute_batch(&format!("BEGIN; {steps} PRAGMA user_version = {FORMAT}; COMMIT;"));
    if converted.is_err() && !writer.is_autocommit() {
        writer.execute_batch("ROLLBACK")?;
    }
    converted
}

fn open_writer(file: &Path, fsync: FsyncPolicy) -> rusqlite::Result<Connection> {
    let connection = Connection::open(file)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "page_size", PAGE_SIZE)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // NORMAL writes each commit to the log file without flushing it, which the death of the process does not
    // undo; it flushes only where the log goes into the database, so a power failure loses the last commits
    // but never damages the file, which OFF would risk.
    let level = match fsync {
        FsyncPolicy::Os => "NORMAL",
        FsyncPolicy::EveryCommit => "FULL",
    };
    connection.pragma_update(None, "synchronous", level)?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_BYTES / page_size(&connection)?)?;
    connection.pragma_update(None, "cache_size", -64 * 1024)?;
    Ok(connection)
}

fn open_reader(file: &Path, patience: Duration) -> rusqlite::Result<Connection> {
    let connection = Connection::open(file)?;
    connection.busy_timeout(patience)?;
    connection.pragma_update(None, "query_only", true)?;
    connection.pragma_update(None, "cache_size", -16 * 1024)?;
    Ok(connection)
}

/// A database keeps what it was made with.
fn page_size(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "page_size", |row| row.get(0))
}

/// Bounds the database. A conversion at its opening needs room for both forms for a moment, so this comes after.
pub(super) fn limit_size(connection: &Connection, max_bytes: Option<u64>) -> rusqlite::Result<()> {
    match max_bytes {
        Some(bytes) => {
            let pages = (i64::try_from(bytes).unwrap_or(i64::MAX) / page_size(connection)?).max(1);
            // The pragma answers with the limit in force, which pragma_update does not expect.
            connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_was_let_go_is_free_though_another_process_has_a_copy_of_its_lock() {
        let place = tempfile::tempdir().unwrap();
        let held = hold_directory(place.path()).unwrap();
        let _copy = held.0.try_clone().unwrap();
        assert!(matches!(hold_directory(place.path()), Err(StartError::DataDirectoryHeld { .. })));
        drop(held);
        assert!(hold_directory(place.path()).is_ok());
    }
}
