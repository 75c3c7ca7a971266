//! Where messages, offsets, topics and the delay schedule live: one SQLite database, one at a time that writes, mostly
//! a thread, and threads that read what is no longer in memory. What the system still has of it is read by who asks, without
//! waiting ([`Store::read_at_once`]).
//!
//! Nothing outside this module knows of SQL. Writes are gathered into transactions (group commit) and answered
//! after the commit; queue offsets become visible at the same moment.

mod buffers;
mod change;
mod command;
mod find;
mod log;
mod lot;
mod open_run;
mod packed;
mod pick;
mod queue;
mod reader;
mod recent;
mod recover;
mod run;
mod schema;
mod writer;
mod writing;

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::thread::JoinHandle;

use bytes::Bytes;
use rusqlite::Connection;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

pub(crate) use change::{Expired, Prepared};
pub(crate) use command::{Change, Done, NewRecords, OffsetRow, Popped, Redeliver, Settings, Stored};
pub(crate) use lot::Lot;
pub(crate) use queue::{Queue, ReadRange, ReadResult, Span};
pub(crate) use reader::Boundary;
pub(crate) use recover::Recovered;

use command::Command;
use log::{Log, LogWriter};
use queue::Tails;
use recent::Recent;
use schema::HeldDirectory;
use writing::Writing;

use crate::clock::Clock;
use crate::config::{BrokerConfig, FsyncPolicy, Storage};
use crate::error::{StartError, StoreError};
use crate::filter::Filter;
use crate::sync::lock;

/// Questions waiting for a reader thread.
const PENDING_QUESTIONS: usize = 1024;

/// Messages of a pull that takes about a whole run.
const LARGE_PULL: usize = run::RUN_RECORDS / 4;

/// What the store counts.
#[derive(Debug, Default)]
pub(crate) struct StoreCounters {
    pub(crate) messages_stored: AtomicU64,
    pub(crate) writes_refused: AtomicU64,
}

/// What the writer thread and everybody else share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) arrivals: Arrivals,
    pub(crate) counters: StoreCounters,
    /// When the next scheduled record is due, wall clock; `i64::MAX` when there is none.
    next_due: AtomicI64,
    /// Told when `next_due` comes earlier.
    pub(crate) due_changed: Notify,
}

/// Queues that got records while pulls wait for them.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    queues: Mutex<Vec<Arc<Queue>>>,
    pub(crate) changed: Notify,
}

/// Queues by topic and queue id.
type Registry = HashMap<Arc<str>, HashMap<i32, Arc<Queue>>>;

/// The open store. Dropping it stops the threads, and the task that answers, after what was asked before.
pub(crate) struct Store {
    pub(crate) shared: Arc<Shared>,
    log: Arc<Log>,
    recent: Arc<Mutex<Recent>>,
    at_once: AtOnce,
    queues: RwLock<Registry>,
    next_queue_id: AtomicI64,
    writing: Writing,
    questions: mpsc::Sender<reader::Question>,
    room: Arc<Semaphore>,
    room_bytes: usize,
    threads: Mutex<Vec<JoinHandle<()>>>,
    answering: TaskTracker,
    directory: Mutex<Option<HeldDirectory>>,
}

/// What a few pulls at a time are read with where they were asked for, if their records need not be waited for. The pages of the
/// database that tell where these are may have to come from the disk all the same.
struct AtOnce {
    /// Those that nobody uses now.
    connections: Mutex<Vec<Connection>>,
    log: Log,
}

impl Store {
    /// Opens or makes the store and says what was in it. Needs a tokio runtime.
    pub(crate) fn open(config: &BrokerConfig, clock: Arc<Clock>) -> Result<(Self, Recovered), StartError> {
        let database = schema::open(&config.storage)?;
        let unreadable = |source| StartError::Store { place: place(config), source };
        let (directory, flush_commits) = match &config.storage {
            Storage::Directory { path, fsync } => (Some(path.clone()), *fsync == FsyncPolicy::EveryCommit),
            Storage::InMemory => (None, false),
        };
        let log = Arc::new(Log::new(directory));
        log::drop_damaged(&lock(&database.writer), &log).map_err(unreadable)?;
        let mut recovered = recover::recover(&lock(&database.writer)).map_err(unreadable)?;
        let appending =
            LogWriter::open(Arc::clone(&log), &lock(&database.writer), flush_commits, config.max_store_bytes);
        let unusable = |error| StartError::DataDirectory {
            path: place(config).into(),
            source: std::io::Error::other(error),
        };
        let appending = appending.map_err(unusable)?;
        let shared = Arc::new(Shared {
            arrivals: Arrivals::default(),
            counters: StoreCounters::default(),
            next_due: AtomicI64::new(recovered.next_due),
            due_changed: Notify::new(),
        });
        let queues = std::mem::take(&mut recovered.queues);
        let writer = writer::Writer {
            connection: database.writer,
            log: appending,
            shared: Arc::clone(&shared),
            tails: Tails::new(config.tail_cache_bytes),
            clock,
            next_physical: recovered.next_physical,
            known_queues: queues.iter().map(|queue| queue.id).collect(),
        };
        let (writing, write, answer) = Writing::new(writer, !flush_commits);
        let (questions, asked) = mpsc::channel(PENDING_QUESTIONS);
        let asked = Arc::new(Mutex::new(asked));
        let mut threads = vec![thread("gantry-broker-writer", write)?];
        for connection in database.readers {
            let asked = Arc::clone(&asked);
            threads.push(thread("gantry-broker-reader", move || reader::run(&connection, &asked))?);
        }
        let answering = TaskTracker::new();
        answering.spawn(answer.instrument(tracing::debug_span!("dev_broker", task = "answer")));
        let room_bytes = config.limits.pending_store_bytes.clamp(1, Semaphore::MAX_PERMITS);
        let store = Self {
            shared,
            at_once: AtOnce { connections: database.at_once.into(), log: log.without_waiting() },
            log,
            recent: Arc::default(),
            next_queue_id: AtomicI64::new(queues.iter().map(|queue| queue.id).max().unwrap_or(0) + 1),
            queues: RwLock::new(registry(queues)),
            writing,
            questions,
            room: Arc::new(Semaphore::new(room_bytes)),
            room_bytes,
            threads: Mutex::new(threads),
            answering,
            directory: Mutex::new(database.directory),
        };
        Ok((store, recovered))
    }

    /// The queue, made in memory when it is asked for the first time. The caller has checked topic and id.
    pub(crate) fn queue(&self, topic: &str, queue_id: i32) -> Arc<Queue> {
        if let Some(queue) = self.existing_queue(topic, queue_id) {
            return queue;
        }
        let mut queues = self.queues.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        let name: Arc<str> =
            queues.get_key_value(topic).map_or_else(|| Arc::from(topic), |(name, _)| Arc::clone(name));
        let of_topic = queues.entry(Arc::clone(&name)).or_default();
        let made = of_topic.entry(queue_id).or_insert_with(|| {
            let id = self.next_queue_id.fetch_add(1, Ordering::Relaxed);
            Arc::new(Queue::new(id, name, queue_id, Span { min: 0, max: 0, last_stored_ms: 0 }))
        });
        Arc::clone(made)
    }

    /// The queue, if anything was ever asked of it.
    pub(crate) fn existing_queue(&self, topic: &str, queue_id: i32) -> Option<Arc<Queue>> {
        let queues = self.queues.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        queues.get(topic).and_then(|of_topic| of_topic.get(&queue_id)).map(Arc::clone)
    }

    /// Adds records to a lot, all or none of which are stored when it is written. Waits for room, and has the lot written when it
    /// is full.
    pub(crate) async fn append(&self, records: Vec<NewRecords>, lot: &mut Lot, done: Done<Vec<Stored>>) {
        let bytes: usize = records.iter().map(|record| record.bytes.len()).sum();
        let permits = u32::try_from(bytes.min(self.room_bytes)).unwrap_or(u32::MAX);
        let room = match Arc::clone(&self.room).try_acquire_many_owned(permits) {
            Ok(room) => Some(room),
            Err(_) => {
                // What the lot has of the room comes back once it is written.
                self.write(lot).await;
                Arc::clone(&self.room).acquire_many_owned(permits).await.ok()
            }
        };
        lot.push(Command::Append { records, room, done });
        if lot.is_full() {
            self.write(lot).await;
        }
    }

    /// Has a lot written, and empties it. Lots are written in the order of the calls. Waits for a place in the line, not for the
    /// commit.
    pub(crate) async fn write(&self, lot: &mut Lot) {
        if !lot.is_empty() {
            self.writing.send(std::mem::take(lot)).await;
        }
    }

    /// The same, for a connection that has nothing behind the lot: a single small write is done on the spot if that can be, and
    /// then `tell` is called, to tell who waits for what has arrived.
    pub(crate) async fn write_last(&self, lot: &mut Lot, tell: &(dyn Fn() + Send + Sync)) {
        if !lot.is_empty() {
            self.writing.send_last(std::mem::take(lot), tell).await;
        }
    }

    /// Stores records, all or none.
    pub(crate) async fn append_now(&self, records: Vec<NewRecords>, done: Done<Vec<Stored>>) {
        let mut lot = Lot::default();
        self.append(records, &mut lot, done).await;
        self.write(&mut lot).await;
    }

    /// Moves scheduled records that are due at `now_ms` to their queues; answers how many there were.
    pub(crate) async fn deliver_due(&self, now_ms: i64, redeliver: Redeliver) -> Result<usize, StoreError> {
        self.ask(|done| Command::DeliverDue { now_ms, redeliver, taken: 0, done }).await
    }

    /// Makes changes beside the log, and stores the records if anything changed; answers how many rows did.
    pub(crate) async fn change(
        &self,
        changes: Vec<Change>,
        records: Vec<NewRecords>,
    ) -> Result<usize, StoreError> {
        self.ask(|done| Command::Change { changes, records, changed: 0, done }).await
    }

    /// Prepared records to ask about now, a bounded number.
    pub(crate) async fn to_check(&self, now_ms: i64) -> Result<Vec<Prepared>, StoreError> {
        let log = Arc::clone(&self.log);
        self.question(move |connection| change::to_check(connection, &log, now_ms)).await
    }

    /// Popped records that were not settled in time, a bounded number.
    pub(crate) async fn expired(&self, now_ms: i64) -> Result<Vec<Expired>, StoreError> {
        let log = Arc::clone(&self.log);
        self.question(move |connection| change::expired(connection, &log, now_ms)).await
    }

    /// The first scheduled record due from `from_ms` until before `until_ms` that is wanted: when it is due, and where.
    pub(crate) async fn find_scheduled(
        &self,
        from_ms: i64,
        until_ms: i64,
        wanted: impl Fn(Bytes) -> bool + Send + 'static,
    ) -> Result<Option<(i64, i64)>, StoreError> {
        let log = Arc::clone(&self.log);
        self.question(move |connection| change::find_scheduled(connection, &log, from_ms, until_ms, wanted))
            .await
    }

    /// Writes a topic's or a group's settings.
    pub(crate) async fn put(&self, table: Settings, name: String, config: String) -> Result<(), StoreError> {
        self.ask(|done| Command::Put { table, name, config, done }).await
    }

    /// Removes a group's settings, and its offsets where asked.
    pub(crate) async fn delete_group(&self, name: String, offsets: bool) -> Result<(), StoreError> {
        self.ask(|done| Command::DeleteGroup { name, offsets, done }).await
    }

    /// Removes a topic with its records and offsets.
    pub(crate) async fn delete_topic(&self, name: &str) -> Result<(), StoreError> {
        let removed = {
            let mut queues = self.queues.write().unwrap_or_else(std::sync::PoisonError::into_inner);
            queues.remove(name).unwrap_or_default()
        };
        let queues: Vec<Arc<Queue>> = removed.into_values().collect();
        queues.iter().for_each(|queue| queue.deleted.store(true, Ordering::Relaxed));
        self.ask(|done| Command::DeleteTopic { name: Arc::from(name), queues, done }).await
    }

    /// Writes consumer offsets.
    pub(crate) async fn save_offsets(&self, rows: Vec<OffsetRow>) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        self.ask(|done| Command::SaveOffsets { rows, done }).await
    }

    /// Waits until every write asked for so far is answered.
    pub(crate) async fn settled(&self) {
        if let Err(error) = self.ask(|done| Command::SaveOffsets { rows: Vec::new(), done }).await {
            tracing::debug!(%error, "the store did not say that it is done");
        }
    }

    /// Reads records that are no longer in memory.
    pub(crate) async fn read_range(&self, queue: &Queue, range: ReadRange) -> Result<ReadResult, StoreError> {
        let id = queue.id;
        let until = queue.span().max;
        let (log, recent) = (Arc::clone(&self.log), Arc::clone(&self.recent));
        self.question(move |connection| reader::read_range(connection, (&log, &recent), id, until, &range))
            .await
    }

    /// Reads records without waiting, where that can be.
    pub(crate) fn read_at_once(&self, queue: &Queue, range: &ReadRange) -> Option<ReadResult> {
        let read = queue.read_tail(range).or_else(|| reader::read_recent(&self.recent, queue.id, range));
        read.or_else(|| self.read_present(queue, range))
    }

    /// Reads records that the system has in memory, unless it may take long, others are at it, or only a small part of what is read
    /// is wanted: that is left to threads, while the connection's other pulls go on. What fails here is for
    /// [`Self::read_range`] to say.
    fn read_present(&self, queue: &Queue, range: &ReadRange) -> Option<ReadResult> {
        if range.max_count < LARGE_PULL || !matches!(range.filter, Filter::All) {
            return None;
        }
        let connection = lock(&self.at_once.connections).pop()?;
        let files = (&self.at_once.log, &*self.recent);
        let read = reader::read_range(&connection, files, queue.id, queue.span().max, range);
        lock(&self.at_once.connections).push(connection);
        read.ok()
    }

    /// The record at a physical offset.
    pub(crate) async fn read_at(&self, physical: i64) -> Result<Option<Bytes>, StoreError> {
        let log = Arc::clone(&self.log);
        self.question(move |connection| reader::read_at(connection, &log, physical)).await
    }

    /// Records whose topic and key have this hash, newest first.
    pub(crate) async fn read_by_key(&self, hash: i64, most: usize) -> Result<Vec<Bytes>, StoreError> {
        let log = Arc::clone(&self.log);
        self.question(move |connection| reader::read_by_key(connection, &log, hash, most)).await
    }

    /// The offset of a point in time.
    pub(crate) async fn offset_at(
        &self,
        queue: &Queue,
        at_ms: i64,
        boundary: Boundary,
    ) -> Result<i64, StoreError> {
        let (id, span) = (queue.id, queue.span());
        self.question(move |connection| reader::offset_at(connection, id, span, at_ms, boundary)).await
    }

    /// Bytes stored after the beginning of the record at an offset, in all queues; `None` without such a record.
    pub(crate) async fn bytes_since(&self, queue: &Queue, offset: i64) -> Result<Option<i64>, StoreError> {
        let (log, id) = (Arc::clone(&self.log), queue.id);
        self.question(move |connection| reader::bytes_since(connection, &log, id, offset)).await
    }

    /// When the record at an offset was stored.
    pub(crate) async fn stored_at(&self, queue: &Queue, offset: i64) -> Result<Option<i64>, StoreError> {
        let id = queue.id;
        self.question(move |connection| reader::stored_at(connection, id, offset)).await
    }

    /// Stops the threads after everything asked so far, and lets go of the data directory.
    pub(crate) async fn close(&self) {
        let (threads, directory) = (std::mem::take(&mut *lock(&self.threads)), lock(&self.directory).take());
        self.writing.send(Command::Stop.into()).await;
        lock(&self.at_once.connections).clear();
        for _ in &threads {
            // The reader threads may be gone already; then there is nothing to stop.
            drop(self.questions.send(reader::Question::Stop).await);
        }
        let joined = tokio::task::spawn_blocking(move || {
            for thread in threads {
                if thread.join().is_err() {
                    tracing::error!("a thread of the message store panicked");
                }
            }
            drop(directory);
        });
        if joined.await.is_err() {
            tracing::error!("the message store was not closed in order");
        }
        self.answering.close();
        self.answering.wait().await;
    }

    async fn ask<T: Send + 'static>(
        &self,
        command: impl FnOnce(Done<T>) -> Command,
    ) -> Result<T, StoreError> {
        let (sender, receiver) = oneshot::channel();
        // The asker may have gone meanwhile; then nobody wants the answer.
        self.writing.send(command(Box::new(move |answer| drop(sender.send(answer)))).into()).await;
        receiver.await.unwrap_or(Err(StoreError::Closed))
    }

    async fn question<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (sender, receiver) = oneshot::channel();
        let asked = reader::Question::Ask(Box::new(move |connection| {
            // The asker may have gone meanwhile; then nobody wants the answer.
            drop(sender.send(question(connection)));
        }));
        if self.questions.send(asked).await.is_err() {
            return Err(StoreError::Closed);
        }
        Ok(receiver.await.map_err(|_| StoreError::Closed)??)
    }
}

impl Shared {
    pub(crate) fn next_due(&self) -> i64 {
        self.next_due.load(Ordering::Acquire)
    }

    fn set_next_due(&self, due: i64) {
        self.next_due.store(due, Ordering::Release);
        self.due_changed.notify_one();
    }

    fn lower_next_due(&self, due: i64) {
        if self.next_due.fetch_min(due, Ordering::AcqRel) > due {
            self.due_changed.notify_one();
        }
    }
}

impl Arrivals {
    /// Notes that a queue got a record, when a pull waits for it; [`Self::tell`] is to follow.
    fn mark(&self, queue: &Arc<Queue>) {
        if queue.waiting.load(Ordering::SeqCst) == 0 || queue.arrived.swap(true, Ordering::SeqCst) {
            return;
        }
        lock(&self.queues).push(Arc::clone(queue));
    }

    /// Wakes who answers pulls, if any waited.
    fn tell(&self) {
        if !lock(&self.queues).is_empty() {
            self.changed.notify_one();
        }
    }

    /// Takes the queues that got records.
    pub(crate) fn take(&self) -> Vec<Arc<Queue>> {
        let queues = std::mem::take(&mut *lock(&self.queues));
        queues.iter().for_each(|queue| queue.arrived.store(false, Ordering::SeqCst));
        queues
    }
}

fn registry(queues: Vec<Queue>) -> Registry {
    let mut registry = Registry::new();
    for queue in queues {
        registry.entry(Arc::clone(&queue.topic)).or_default().insert(queue.queue_id, Arc::new(queue));
    }
    registry
}

fn thread(name: &'static str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StartError> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .map_err(|source| StartError::Thread { name, source })
}

fn place(config: &BrokerConfig) -> String {
    match &config.storage {
        crate::config::Storage::Directory { path, .. } => path.display().to_string(),
        crate::config::Storage::InMemory => "memory".to_owned(),
    }
}
