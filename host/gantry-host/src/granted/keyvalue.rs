//! The key-value store of one plugin: a small SQLite database in the host's directory.
//!
//! It belongs to the plugin's file name: another version of the plugin finds it as it was, and so does the next run of the
//! host. A write has happened when the call returns, for as long as the machine's power lasts: the log is synchronised
//! with the disk now and then, not with each write.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gantry_engine::{Change, KeyValue, KeyValueError, KeysFrom, Versioned};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};

/// Raised with every change of the table.
const FORMAT: i64 = 1;
/// What a key costs beside its text and its value, in bytes.
const PER_KEY: u64 = 64;
/// How long a write waits for another process that looks into the file.
const BUSY: Duration = Duration::from_secs(1);
/// What stays as it is in a plugin's name to be that of a file.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_');

const TABLE: &str = "
CREATE TABLE IF NOT EXISTS pair(
    bucket TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, version INTEGER NOT NULL,
    PRIMARY KEY(bucket, key)) WITHOUT ROWID";
const GET: &str = "SELECT value, version FROM pair WHERE bucket = ?1 AND key = ?2";
const PUT: &str = "
INSERT INTO pair(bucket, key, value, version) VALUES(?1, ?2, ?3, ?4)
ON CONFLICT(bucket, key) DO UPDATE SET value = excluded.value, version = excluded.version";
const REMOVE: &str = "DELETE FROM pair WHERE bucket = ?1 AND key = ?2";
const KEYS_AFTER: &str = "SELECT key FROM pair WHERE bucket = ?1 AND key > ?2 ORDER BY key LIMIT ?3";
const KEYS_AT: &str = "SELECT key FROM pair WHERE bucket = ?1 ORDER BY key LIMIT ?3 OFFSET ?2";
const MEASURE: &str = "SELECT COALESCE(SUM(LENGTH(bucket) + LENGTH(CAST(key AS BLOB)) + LENGTH(value) + ?1), 0), COALESCE(MAX(version), 0) FROM pair";

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    #[error("{}: {source}", file.display())]
    Directory { file: PathBuf, source: io::Error },
    #[error("{}: {source}; move the file away to begin with an empty store", file.display())]
    Database { file: PathBuf, source: rusqlite::Error },
    #[error("{} has format {found}, and this version of Gantry knows format {FORMAT} only", file.display())]
    Format { file: PathBuf, found: i64 },
}

/// A plugin's store.
#[derive(Debug)]
pub(super) struct PluginStore {
    plugin: String,
    quota: u64,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    connection: Connection,
    /// Bytes in use, as counted for the quota.
    used: u64,
    /// The last version given to a value.
    version: u64,
}

/// What a store answers.
type Answer<T> = Result<T, KeyValueError>;

impl PluginStore {
    /// Opens the store of the plugin in the file `stem` under the host's directory, or begins it.
    pub(super) fn open(state: &Path, stem: &str, quota: u64) -> Result<Self, OpenError> {
        let directory = state.join("keyvalue");
        std::fs::create_dir_all(&directory)
            .map_err(|source| OpenError::Directory { file: directory.clone(), source })?;
        let file = directory.join(format!("{}.db", utf8_percent_encode(stem, PLAIN)));
        let unusable = |source| OpenError::Database { file: file.clone(), source };
        let connection = Connection::open(&file).map_err(unusable)?;
        let found = prepare(&connection).map_err(unusable)?;
        if found != FORMAT {
            return Err(OpenError::Format { file, found });
        }
        let (used, version) = connection
            .query_row(MEASURE, params![PER_KEY as i64], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
            })
            .map_err(unusable)?;
        let (used, version) = (used.unsigned_abs(), version.unsigned_abs());
        let plugin = stem.to_owned();
        Ok(Self { plugin, quota, inner: Mutex::new(Inner { connection, used, version }) })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` as one step: all of it is kept or, with an error, nothing.
    fn step<T>(&self, work: impl FnOnce(&mut Step<'_>) -> Answer<T>) -> Answer<T> {
        let mut inner = self.lock();
        let Inner { connection, used, version } = &mut *inner;
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|error| failed(&error))?;
        let mut step =
            Step { transaction, used: *used, version: *version, quota: self.quota, plugin: &self.plugin };
        let answer = work(&mut step)?;
        let Step { transaction, used: used_then, version: version_then, .. } = step;
        transaction.commit().map_err(|error| failed(&error))?;
        (*used, *version) = (used_then, version_then);
        Ok(answer)
    }
}

/// Readies the file; returns its format.
fn prepare(connection: &Connection) -> rusqlite::Result<i64> {
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found != 0 {
        return Ok(found);
    }
    connection.execute(TABLE, [])?;
    connection.pragma_update(None, "user_version", FORMAT)?;
    Ok(FORMAT)
}

fn failed(error: &rusqlite::Error) -> KeyValueError {
    tracing::warn!("a plugin's key-value store failed: {error}");
    KeyValueError::Other(format!("the store failed: {error}"))
}

/// A step under way.
struct Step<'a> {
    transaction: Transaction<'a>,
    used: u64,
    version: u64,
    quota: u64,
    plugin: &'a str,
}

fn size(bucket: &str, key: &str, value: &[u8]) -> u64 {
    let bytes = bucket.len() + key.len() + value.len();
    u64::try_from(bytes).unwrap_or(u64::MAX).saturating_add(PER_KEY)
}

fn find(connection: &Connection, bucket: &str, key: &str) -> Answer<Option<Versioned>> {
    let row = |row: &rusqlite::Row<'_>| {
        Ok(Versioned { value: row.get(0)?, version: row.get::<_, i64>(1)?.unsigned_abs() })
    };
    let mut statement = connection.prepare_cached(GET).map_err(|error| failed(&error))?;
    statement.query_row(params![bucket, key], row).optional().map_err(|error| failed(&error))
}

impl Step<'_> {
    fn find(&self, bucket: &str, key: &str) -> Answer<Option<Versioned>> {
        find(&self.transaction, bucket, key)
    }

    fn set(&mut self, bucket: &str, key: &str, value: &[u8]) -> Answer<()> {
        let before = self.find(bucket, key)?.map_or(0, |found| size(bucket, key, &found.value));
        let used = self.used.saturating_sub(before).saturating_add(size(bucket, key, value));
        if used > self.quota && used > self.used {
            let (quota, plugin) = (self.quota, self.plugin);
            return Err(KeyValueError::Other(format!(
                "the store would hold {used} bytes; its quota is {quota} (quota under [plugin.{plugin}.keyvalue])"
            )));
        }
        self.version += 1;
        let version = i64::try_from(self.version).unwrap_or(i64::MAX);
        self.run(PUT, params![bucket, key, value, version])?;
        self.used = used;
        Ok(())
    }

    fn delete(&mut self, bucket: &str, key: &str) -> Answer<()> {
        if let Some(found) = self.find(bucket, key)? {
            self.run(REMOVE, params![bucket, key])?;
            self.used = self.used.saturating_sub(size(bucket, key, &found.value));
        }
        Ok(())
    }

    fn run(&self, sql: &str, values: impl rusqlite::Params) -> Answer<()> {
        let mut statement = self.transaction.prepare_cached(sql).map_err(|error| failed(&error))?;
        statement.execute(values).map(drop).map_err(|error| failed(&error))
    }
}

impl KeyValue for PluginStore {
    fn get(&self, bucket: &str, key: &str) -> Answer<Option<Versioned>> {
        find(&self.lock().connection, bucket, key)
    }

    fn keys(&self, bucket: &str, from: KeysFrom<'_>, limit: usize) -> Answer<Vec<String>> {
        let inner = self.lock();
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let list = |sql: &str, from: &dyn rusqlite::ToSql| -> rusqlite::Result<Vec<String>> {
            let mut statement = inner.connection.prepare_cached(sql)?;
            statement.query_map(params![bucket, from, limit], |row| row.get(0))?.collect()
        };
        let listed = match from {
            KeysFrom::After(key) => list(KEYS_AFTER, &key),
            KeysFrom::Index(index) => list(KEYS_AT, &i64::try_from(index).unwrap_or(i64::MAX)),
        };
        listed.map_err(|error| failed(&error))
    }

    fn write(&self, bucket: &str, changes: &[Change<'_>]) -> Answer<()> {
        self.step(|step| {
            changes.iter().try_for_each(|change| match *change {
                Change::Set(key, value) => step.set(bucket, key, value),
                Change::Delete(key) => step.delete(bucket, key),
            })
        })
    }

    fn increment(&self, bucket: &str, key: &str, delta: i64) -> Answer<i64> {
        self.step(|step| {
            let found = step.find(bucket, key)?;
            let number =
                found.map_or(Some(0), |found| std::str::from_utf8(&found.value).ok()?.parse::<i64>().ok());
            let number = number.ok_or_else(|| {
                KeyValueError::Other(format!(
                    "`{key}` holds no number in decimal digits, so nothing is added to it"
                ))
            })?;
            let sum = number.checked_add(delta).ok_or_else(|| {
                KeyValueError::Other(format!(
                    "`{key}` is {number}; with {delta} more it does not fit 64 bits"
                ))
            })?;
            step.set(bucket, key, sum.to_string().as_bytes())?;
            Ok(sum)
        })
    }

    fn swap(&self, bucket: &str, key: &str, version: u64, value: &[u8]) -> Answer<bool> {
        self.step(|step| {
            let now = step.find(bucket, key)?.map_or(0, |found| found.version);
            if now == version {
                step.set(bucket, key, value)?;
            }
            Ok(now == version)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(directory: &tempfile::TempDir, quota: u64) -> PluginStore {
        PluginStore::open(directory.path(), "orders/ä", quota).unwrap()
    }

    fn value(store: &PluginStore, key: &str) -> Option<String> {
        store.get("b", key).unwrap().map(|found| String::from_utf8(found.value).unwrap())
    }

    #[test]
    fn values_outlive_the_store_and_buckets_are_apart() {
        let directory = tempfile::tempdir().unwrap();
        let first = store(&directory, 1 << 20);
        first
            .write("b", &[Change::Set("k", b"one"), Change::Set("gone", b"x"), Change::Delete("gone")])
            .unwrap();
        first.write("other", &[Change::Set("k", b"two")]).unwrap();
        drop(first);
        let again = store(&directory, 1 << 20);
        assert_eq!(value(&again, "k").as_deref(), Some("one"));
        assert_eq!(value(&again, "gone"), None);
        assert_eq!(again.get("other", "k").unwrap().unwrap().value, b"two");
    }

    #[test]
    fn values_outlive_a_host_that_had_no_time_to_close_the_store() {
        let (directory, found) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let running = store(&directory, 1 << 20);
        running.increment("b", "n", 17).unwrap();
        // What a killed host leaves: the files as they are while the store is open.
        std::fs::create_dir(found.path().join("keyvalue")).unwrap();
        for entry in std::fs::read_dir(directory.path().join("keyvalue")).unwrap() {
            let file = entry.unwrap();
            std::fs::copy(file.path(), found.path().join("keyvalue").join(file.file_name())).unwrap();
        }
        assert_eq!(value(&store(&found, 1 << 20), "n").as_deref(), Some("17"));
        drop(running);
    }

    #[test]
    fn numbers_are_added_up_in_one_step() {
        let directory = tempfile::tempdir().unwrap();
        let store = store(&directory, 1 << 20);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..50).for_each(|_| assert!(store.increment("b", "n", 1).unwrap() > 0)));
            }
        });
        assert_eq!(store.increment("b", "n", -100).unwrap(), 100);
        assert_eq!(value(&store, "n").as_deref(), Some("100"));
        store.write("b", &[Change::Set("n", b"many")]).unwrap();
        let KeyValueError::Other(why) = store.increment("b", "n", 1).unwrap_err() else { panic!() };
        assert!(why.contains("no number"), "{why}");
        store.increment("b", "most", i64::MAX).unwrap();
        assert!(store.increment("b", "most", 1).is_err());
        assert_eq!(store.increment("b", "most", 0).unwrap(), i64::MAX);
    }

    #[test]
    fn a_swap_takes_the_value_it_expects_and_no_later_one() {
        let directory = tempfile::tempdir().unwrap();
        let store = store(&directory, 1 << 20);
        assert!(store.swap("b", "k", 0, b"first").unwrap());
        assert!(!store.swap("b", "k", 0, b"second").unwrap());
        let version = store.get("b", "k").unwrap().unwrap().version;
        // Away and back again is another version.
        store.write("b", &[Change::Delete("k"), Change::Set("k", b"first")]).unwrap();
        assert!(!store.swap("b", "k", version, b"second").unwrap());
        let version = store.get("b", "k").unwrap().unwrap().version;
        assert!(store.swap("b", "k", version, b"second").unwrap());
        assert_eq!(value(&store, "k").as_deref(), Some("second"));
    }

    #[test]
    fn what_goes_beyond_the_quota_is_refused_whole() {
        let directory = tempfile::tempdir().unwrap();
        let limited = store(&directory, 1_000);
        limited.write("b", &[Change::Set("a", &[0; 500])]).unwrap();
        let both = [Change::Set("c", b"small".as_slice()), Change::Set("d", &[0; 500])];
        let KeyValueError::Other(why) = limited.write("b", &both).unwrap_err() else { panic!() };
        assert!(why.contains("quota is 1000"), "{why}");
        assert_eq!(limited.get("b", "c").unwrap(), None, "none of the changes is kept");
        limited.write("b", &[Change::Set("a", &[0; 800])]).unwrap();
        drop(limited);
        // A lower quota keeps what is there, and lets it shrink.
        let lower = store(&directory, 100);
        assert!(lower.write("b", &[Change::Set("c", b"")]).is_err());
        lower.write("b", &[Change::Set("a", &[0; 700])]).unwrap();
        lower.write("b", &[Change::Delete("a"), Change::Set("c", b"")]).unwrap();
    }

    #[test]
    fn keys_are_listed_in_order_from_anywhere() {
        let directory = tempfile::tempdir().unwrap();
        let store = store(&directory, 1 << 20);
        for key in ["b", "a", "d", "c"] {
            store.write("b", &[Change::Set(key, b"")]).unwrap();
        }
        assert_eq!(store.keys("b", KeysFrom::Index(0), 3).unwrap(), ["a", "b", "c"]);
        assert_eq!(store.keys("b", KeysFrom::Index(3), 3).unwrap(), ["d"]);
        assert_eq!(store.keys("b", KeysFrom::After("b"), 3).unwrap(), ["c", "d"]);
        assert!(store.keys("elsewhere", KeysFrom::Index(0), 3).unwrap().is_empty());
    }
}
