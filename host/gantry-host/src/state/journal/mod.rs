//! What is settled above each queue's commit point, so that a host that was killed runs again only what was in flight.
//!
//! A queue's newest snapshot is put into a map in memory, which costs no more than the lock of a map. A thread of its own
//! writes what has changed into a SQLite database, a few milliseconds later. That survives the end of the process, however
//! it comes, not a power failure: after one the database may lack the latest snapshots, or be damaged and begun
//! afresh. Both cost duplicates, never messages: settled stays settled, and damage is told by checksums.

mod database;
#[cfg(test)]
mod tests;

use std::collections::hash_map::Entry as MapEntry;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use gantry_protocol::MessageQueue;
use rusqlite::Connection;

use super::{lock, unix_millis};

/// Shortest time between two writes.
const WRITE_INTERVAL: Duration = Duration::from_millis(5);
/// How long a write that failed waits for its repetition.
const RETRY_PAUSE: Duration = Duration::from_millis(250);
/// Most ranges kept of one queue, the lowest: what is above is consumed again after a kill.
pub(crate) const MAX_RANGES: usize = 4096;
/// Most queues kept.
pub(crate) const MAX_QUEUES: usize = 65_536;

/// What is settled of one queue, at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// The last offset known to be at the broker, or on its way there.
    pub(crate) stored: i64,
    /// The commit point: every message below is settled.
    pub(crate) commit: i64,
    /// The latest store timestamp among the settled messages, in milliseconds since the Unix epoch.
    pub(crate) newest_store_timestamp: i64,
    /// What is settled above the commit point: half-open ranges, ascending, apart from each other.
    pub(crate) ranges: Vec<(i64, i64)>,
}

/// A snapshot as an earlier life left it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct QueueJournal {
    /// The last offset known to be at the broker, or on its way there.
    pub(crate) stored: i64,
    /// The commit point: every message below is settled.
    pub(crate) commit: i64,
    /// The latest store timestamp among the settled messages, in milliseconds since the Unix epoch.
    pub(crate) newest_store_timestamp: i64,
    /// What is settled above the commit point: half-open ranges, ascending, apart from each other.
    pub(crate) ranges: Vec<(i64, i64)>,
    /// When it was written, in milliseconds since the Unix epoch.
    pub(crate) written_at_ms: i64,
}

impl QueueJournal {
    fn new(snapshot: Snapshot, written_at_ms: i64) -> Self {
        let Snapshot { stored, commit, newest_store_timestamp, ranges } = snapshot;
        Self { stored, commit, newest_store_timestamp, ranges, written_at_ms }
    }
}

/// The journal cannot be kept. The host can do without: a kill then costs more duplicates.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JournalError {
    /// The database cannot be opened.
    #[error(
        "cannot keep the journal of settled messages in {}: {source}; without it a killed host consumes again what it had settled above its commit points",
        file.display()
    )]
    Database {
        /// The database.
        file: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// The database is damaged and in the way of a new one.
    #[error(
        "the journal of settled messages {} is damaged and cannot be renamed: {source}; move it away",
        file.display()
    )]
    InTheWay {
        /// The database.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The system gives no more threads.
    #[error("cannot start the thread that writes the journal of settled messages: {0}")]
    Thread(io::Error),
}

/// A queue of a group.
type Key = (Arc<str>, MessageQueue);

/// What waits for the writer: a queue's newest snapshot, or none for a queue to forget.
#[derive(Debug, Default)]
struct Pending {
    queues: HashMap<Key, Option<Snapshot>>,
    closing: bool,
}

#[derive(Debug)]
struct Shared {
    file: PathBuf,
    pending: Mutex<Pending>,
    /// There is something to write, or the end has come.
    changed: Condvar,
    /// Taken before `pending` where both are, so that what is in neither is in the database.
    connection: Mutex<Connection>,
    failures: AtomicU64,
    failing: AtomicBool,
}

/// The journal of one host. Dropping it writes what waits and ends its thread.
#[derive(Debug)]
pub(crate) struct Journal {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

impl Journal {
    /// Opens `settled.db` in the host's directory, without what is older than 7 days and beyond 65,536 queues. A damaged
    /// one is kept aside, which is logged, and a fresh one begun. Blocks for some file operations.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub(crate) fn open(directory: &Path) -> Result<Self, JournalError> {
        let file = directory.join("settled.db");
        let connection = database::open(&file, unix_millis())?;
        let shared = Arc::new(Shared {
            file,
            pending: Mutex::default(),
            changed: Condvar::new(),
            connection: Mutex::new(connection),
            failures: AtomicU64::new(0),
            failing: AtomicBool::new(false),
        });
        let writing = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("settled-journal".into());
        let writer = thread.spawn(move || writing.run()).map_err(JournalError::Thread)?;
        Ok(Self { shared, writer: Some(writer) })
    }

    /// The newest snapshot of each of the group's queues, of this life or an earlier one, in queue order. What cannot
    /// be read is logged and left out. Blocks for some file operations.
    pub(crate) fn load(&self, group: &str) -> Vec<(MessageQueue, QueueJournal)> {
        let connection = lock(&self.shared.connection);
        let mut queues: BTreeMap<_, _> = database::load(&connection, group).unwrap_or_else(|error| {
            self.shared.failures.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(group, "cannot read {}: {error}", self.shared.file.display());
            BTreeMap::new()
        });
        for ((_, queue), snapshot) in
            lock(&self.shared.pending).queues.iter().filter(|((g, _), _)| **g == *group)
        {
            match snapshot {
                Some(snapshot) => {
                    queues.insert(queue.clone(), QueueJournal::new(snapshot.clone(), unix_millis()))
                }
                None => queues.remove(queue),
            };
        }
        queues.into_iter().collect()
    }

    /// Takes a queue's newest snapshot, in the place of the one before. Does no input or output and waits for none. Of
    /// more than 4,096 ranges the lowest are kept.
    pub(crate) fn put(&self, group: &Arc<str>, queue: MessageQueue, mut snapshot: Snapshot) {
        snapshot.ranges.truncate(MAX_RANGES);
        self.change(group, queue, Some(snapshot));
    }

    /// Forgets a queue. As cheap as a put.
    pub(crate) fn remove(&self, group: &Arc<str>, queue: MessageQueue) {
        self.change(group, queue, None);
    }

    fn change(&self, group: &Arc<str>, queue: MessageQueue, snapshot: Option<Snapshot>) {
        let mut pending = lock(&self.shared.pending);
        let was_empty = pending.queues.is_empty();
        let room = pending.queues.len() < MAX_QUEUES;
        match pending.queues.entry((Arc::clone(group), queue)) {
            MapEntry::Occupied(mut former) => _ = former.insert(snapshot),
            MapEntry::Vacant(place) if room => _ = place.insert(snapshot),
            MapEntry::Vacant(_) => _ = self.shared.failures.fetch_add(1, Ordering::Relaxed),
        }
        drop(pending);
        if was_empty {
            self.shared.changed.notify_one();
        }
    }

    #[cfg(test)]
    /// Writes what waits, on this thread, and says whether that went well. Blocks for some file operations.
    pub(crate) fn flush(&self) -> bool {
        self.shared.write()
    }

    /// Writes and reads that failed so far, and snapshots that found no room. The first of a row of failures is logged,
    /// and the end of the row.
    pub(crate) fn failures(&self) -> u64 {
        self.shared.failures.load(Ordering::Relaxed)
    }

    #[cfg(test)]
    /// Writes what waits and ends the writer. Blocks for some file operations.
    pub(crate) fn close(self) {
        drop(self);
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        lock(&self.shared.pending).closing = true;
        self.shared.changed.notify_one();
        let panicked = self.writer.take().is_some_and(|writer| writer.join().is_err());
        if panicked {
            tracing::error!("the thread that writes {} has panicked", self.shared.file.display());
        }
    }
}

impl Shared {
    /// The writer: writes what waits, rests, and so on to the end.
    fn run(&self) {
        loop {
            let idle = |pending: &mut Pending| pending.queues.is_empty() && !pending.closing;
            let closing = {
                let waited = self.changed.wait_while(lock(&self.pending), idle);
                waited.unwrap_or_else(PoisonError::into_inner).closing
            };
            let written = self.write();
            if closing {
                return self.tell_what_is_left();
            }
            let rest = if written { WRITE_INTERVAL } else { RETRY_PAUSE };
            let open = |pending: &mut Pending| !pending.closing;
            let _rested = self.changed.wait_timeout_while(lock(&self.pending), rest, open);
        }
    }

    /// Writes what waits in one transaction; what cannot be written waits on, unless something newer has come.
    fn write(&self) -> bool {
        let mut connection = lock(&self.connection);
        let queues = std::mem::take(&mut lock(&self.pending).queues);
        if queues.is_empty() {
            return true;
        }
        match database::save(&mut connection, &queues, unix_millis()) {
            Ok(()) => self.works(),
            Err(error) => {
                let mut pending = lock(&self.pending);
                for (key, snapshot) in queues {
                    pending.queues.entry(key).or_insert(snapshot);
                }
                drop(pending);
                self.fails(&error);
                self.mend(&mut connection, &error);
                false
            }
        }
    }

    fn works(&self) -> bool {
        if self.failing.swap(false, Ordering::Relaxed) {
            tracing::info!("{} can be written again", self.file.display());
        }
        true
    }

    fn fails(&self, error: &rusqlite::Error) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        if !self.failing.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "cannot write {}: {error}; consuming goes on, but until it can be written a kill costs more duplicates",
                self.file.display()
            );
        }
    }

    /// Begins a fresh database where the old one turns out to be damaged.
    fn mend(&self, connection: &mut Connection, error: &rusqlite::Error) {
        if !database::is_damage(error) {
            return;
        }
        if let Err(error) = database::begin_afresh(&self.file, connection, error) {
            tracing::warn!("{error}");
        }
    }

    fn tell_what_is_left(&self) {
        let left = lock(&self.pending).queues.len();
        if left > 0 {
            tracing::warn!(
                "what is settled of {left} queues could not be written to {}",
                self.file.display()
            );
        }
    }
}
