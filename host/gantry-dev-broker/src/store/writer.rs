use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use super::Shared;
use super::change;
use super::command::{Command, NewRecords, OffsetRow, Place, Settings, Stored};
use super::find::Finder;
use super::log::{End, Log, LogWriter};
use super::open_run::OpenRun;
use super::queue::{Queue, Tails};
use super::run::RUN_BYTES;
use crate::clock::Clock;
use crate::error::StoreError;
use crate::sync::lock;

/// Most scheduled records moved in one transaction.
const DELIVER_AT_ONCE: i64 = 256;

/// The one that writes. It commits a group of commands in one transaction, makes it visible and only then answers.
pub(super) struct Writer {
    pub(super) connection: Arc<Mutex<Connection>>,
    pub(super) log: LogWriter,
    pub(super) shared: Arc<Shared>,
    pub(super) tails: Tails,
    pub(super) clock: Arc<Clock>,
    /// Physical offset of the next record.
    pub(super) next_physical: i64,
    /// Queues that have their row in the database.
    pub(super) known_queues: HashSet<i64>,
}

/// What one transaction has changed so far; taken over when it commits, dropped when it does not.
struct Pending {
    next_physical: i64,
    next_offsets: HashMap<i64, i64>,
    /// In the order of their physical offsets; those from `written` on are still to be written.
    runs: Vec<OpenRun>,
    written: usize,
    /// The run of each queue that takes more records.
    open: HashMap<i64, usize>,
    /// Bytes that are still to come for each queue, so that its runs have their room at once.
    to_come: HashMap<i64, usize>,
    new_queues: Vec<i64>,
    earliest_due: i64,
    delivered: bool,
}

impl Writer {
    /// Flushes the files, and notes it, so that the next start need not look at them.
    pub(super) fn close(mut self) -> Result<(), StoreError> {
        self.log.flush()?;
        let connection = lock(&self.connection);
        connection.execute(
            "INSERT OR REPLACE INTO meta(name, value) VALUES('flushed_physical', ?1)",
            [self.next_physical],
        )?;
        Ok(connection.execute_batch("PRAGMA optimize")?)
    }

    /// Commits the group and makes it visible; when that fails each command is tried alone, so that one which cannot
    /// succeed, or needs more room than there is, does not refuse its neighbours. What succeeded is still to be answered.
    pub(super) fn write_group(&mut self, mut group: Vec<Command>) -> Vec<Written> {
        match self.commit(&mut group) {
            Ok(runs) => {
                let begins = runs.iter().map(|run| run.physical).collect();
                runs.into_iter().for_each(|run| self.publish(run));
                group.iter().for_each(|command| self.forget_deleted(command));
                vec![Written { group, begins }]
            }
            Err(error) if group.len() > 1 => {
                tracing::debug!(%error, commands = group.len(), "a group of writes failed; trying each alone");
                group.into_iter().flat_map(|command| self.write_group(vec![command])).collect()
            }
            Err(error) => {
                tracing::warn!(%error, "a write was refused");
                self.shared.counters.writes_refused.fetch_add(1, Ordering::Relaxed);
                group.into_iter().for_each(|command| command.refuse(error.clone()));
                Vec::new()
            }
        }
    }

    /// Answers the runs that were written.
    fn commit(&mut self, group: &mut [Command]) -> Result<Vec<OpenRun>, StoreError> {
        let end = self.log.end();
        let committed = self.commit_from(group, end);
        if committed.is_err() {
            self.log.back_to(end);
        }
        committed
    }

    fn commit_from(&mut self, group: &mut [Command], end: End) -> Result<Vec<OpenRun>, StoreError> {
        let connection = Arc::clone(&self.connection);
        let mut connection = lock(&connection);
        let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        let mut pending = Pending {
            next_physical: self.next_physical,
            next_offsets: HashMap::new(),
            runs: Vec::new(),
            written: 0,
            open: HashMap::new(),
            to_come: HashMap::new(),
            new_queues: Vec::new(),
            earliest_due: i64::MAX,
            delivered: false,
        };
        for records in group.iter().flat_map(Command::records) {
            *pending.to_come.entry(records.queue.id).or_default() += records.stored_size();
        }
        for command in group.iter_mut() {
            self.apply(&transaction, &mut pending, command)?;
        }
        self.write_runs(&transaction, &mut pending)?;
        let next_due = if pending.delivered { Some(next_due(&transaction)?) } else { None };
        self.log.before_commit(end)?;
        transaction.commit()?;
        if group.iter().any(|command| matches!(command, Command::DeleteTopic { .. }))
            && let Err(error) = self.log.forget_dead(&connection)
        {
            tracing::warn!(%error, "files of deleted topics were not removed; the next start does it");
        }
        self.next_physical = pending.next_physical;
        self.known_queues.extend(pending.new_queues);
        match next_due {
            Some(due) => self.shared.set_next_due(due),
            None => self.shared.lower_next_due(pending.earliest_due),
        }
        Ok(pending.runs)
    }

    fn apply(
        &mut self,
        tx: &Transaction<'_>,
        pending: &mut Pending,
        command: &mut Command,
    ) -> Result<(), StoreError> {
        match command {
            Command::Append { records, .. } => {
                records.iter_mut().try_for_each(|records| self.append(tx, pending, records))
            }
            Command::DeliverDue { now_ms, redeliver, taken, .. } => {
                let due = due_records(tx, &self.log.log, *now_ms)?;
                *taken = due.len();
                let mut delete =
                    tx.prepare_cached("DELETE FROM schedule WHERE due_ms = ?1 AND physical = ?2")?;
                for (due_ms, physical, record) in due {
                    delete.execute(params![due_ms, physical])?;
                    if let Some(mut records) = record.and_then(|record| redeliver(record, physical)) {
                        self.append(tx, pending, &mut records)?;
                    }
                }
                pending.delivered = true;
                Ok(())
            }
            Command::Change { changes, records, changed, .. } => {
                *changed = 0;
                for change in changes.iter() {
                    *changed += change::apply(tx, change)?;
                }
                if *changed == 0 {
                    return Ok(());
                }
                records.iter_mut().try_for_each(|records| self.append(tx, pending, records))
            }
            Command::Put { table, name, config, .. } => put_settings(tx, *table, name, config),
            Command::DeleteGroup { name, offsets, .. } => delete_group(tx, name, *offsets),
            Command::DeleteTopic { name, queues, .. } => {
                // What was appended before goes too.
                self.write_runs(tx, pending)?;
                delete_topic(tx, name, queues, pending.next_physical)
            }
            Command::SaveOffsets { rows, .. } => save_offsets(tx, rows),
            Command::Stop => Ok(()),
        }
    }

    /// Puts records behind those of their queue; [`Self::write_runs`] writes them.
    fn append(
        &self,
        tx: &Transaction<'_>,
        pending: &mut Pending,
        records: &mut NewRecords,
    ) -> Result<(), StoreError> {
        let queue = &records.queue;
        if queue.deleted.load(Ordering::Relaxed) {
            return Err(StoreError::Database(format!("topic {} was deleted meanwhile", queue.topic)));
        }
        self.ensure_queue_row(tx, pending, queue)?;
        let next_offset = pending.next_offsets.entry(queue.id).or_insert_with(|| queue.span().max);
        let to_come = pending.to_come.entry(queue.id).or_default();
        let room = (*to_come).clamp(records.stored_size(), RUN_BYTES.max(records.stored_size()));
        *to_come = to_come.saturating_sub(records.stored_size());
        let open = pending.open.get(&queue.id).copied();
        let with_room =
            open.filter(|index| pending.runs.get(*index).is_some_and(|run| run.has_room(records)));
        let index = with_room.unwrap_or_else(|| {
            pending.runs.push(OpenRun::new(Arc::clone(queue), *next_offset, room));
            pending.open.insert(queue.id, pending.runs.len() - 1);
            pending.runs.len() - 1
        });
        if let Some(run) = pending.runs.get_mut(index) {
            records.place = Place { run: index, at: run.bytes.len(), offset: *next_offset };
            *next_offset += run.push(records);
        }
        Ok(())
    }

    /// Writes the runs that were not written yet.
    fn write_runs(&mut self, tx: &Transaction<'_>, pending: &mut Pending) -> Result<(), StoreError> {
        pending.open.clear();
        let (stored_ms, written) = (self.clock.wall_ms(), pending.written);
        let to_files = self.log.takes(pending.runs.iter().skip(written).map(|run| run.bytes.len()).sum());
        for run in pending.runs.iter_mut().skip(written) {
            run.stamp(pending.next_physical, stored_ms);
            pending.next_physical += run.write(tx, to_files.then_some(&mut self.log))?;
            if let Some(due_ms) = run.earliest_due() {
                pending.earliest_due = pending.earliest_due.min(due_ms);
            }
        }
        pending.written = pending.runs.len();
        Ok(())
    }

    fn ensure_queue_row(
        &self,
        tx: &Transaction<'_>,
        pending: &mut Pending,
        queue: &Queue,
    ) -> Result<(), StoreError> {
        if self.known_queues.contains(&queue.id) || pending.new_queues.contains(&queue.id) {
            return Ok(());
        }
        tx.prepare_cached("INSERT INTO queue(id, topic, queue_id) VALUES(?1, ?2, ?3)")?.execute(params![
            queue.id,
            &*queue.topic,
            queue.queue_id
        ])?;
        pending.new_queues.push(queue.id);
        Ok(())
    }

    fn forget_deleted(&mut self, command: &Command) {
        if let Command::DeleteTopic { queues, .. } = command {
            queues.iter().for_each(|queue| self.tails.forget(queue));
        }
    }

    /// Makes a committed run visible.
    fn publish(&mut self, run: OpenRun) {
        let (queue, messages) = (Arc::clone(&run.queue), run.messages);
        self.tails.publish(&queue, run.close());
        self.shared.counters.messages_stored.fetch_add(messages.unsigned_abs(), Ordering::Relaxed);
        self.shared.arrivals.mark(&queue);
    }
}

/// Commands that were committed, and where the runs they are in begin.
pub(super) struct Written {
    group: Vec<Command>,
    begins: Vec<i64>,
}

impl Written {
    /// Tells who asked.
    pub(super) fn answer(self) {
        let Self { group, begins } = self;
        group.into_iter().for_each(|command| answer(command, &begins));
    }
}

fn answer(command: Command, begins: &[i64]) {
    match command {
        Command::Append { records, room, done } => {
            let stored = records.iter().flat_map(|records| stored(records, begins)).collect();
            drop((records, room));
            done(Ok(stored));
        }
        Command::DeliverDue { taken, done, .. } => done(Ok(taken)),
        Command::Change { changed, done, .. } => done(Ok(changed)),
        Command::Put { done, .. }
        | Command::DeleteGroup { done, .. }
        | Command::DeleteTopic { done, .. }
        | Command::SaveOffsets { done, .. } => done(Ok(())),
        Command::Stop => {}
    }
}

/// Where each of the records was put.
fn stored<'a>(records: &'a NewRecords, begins: &[i64]) -> impl Iterator<Item = Stored> + 'a {
    let begin = begins.get(records.place.run).copied().unwrap_or_default();
    let physical = |at: usize| begin + i64::try_from(at).unwrap_or_default();
    let mut next = (records.place.offset, physical(records.place.at));
    let first = next.1;
    records.entries.iter().map(move |entry| {
        let (offset, physical) = next;
        next = (offset + i64::from(entry.messages), first + i64::from(entry.end));
        Stored { offset, physical }
    })
}

/// Scheduled records that are due: when, where, and the record unless its topic was deleted.
type DueRecord = (i64, i64, Option<Bytes>);

fn due_records(tx: &Transaction<'_>, log: &Log, now_ms: i64) -> Result<Vec<DueRecord>, StoreError> {
    let mut select = tx.prepare_cached(
        "SELECT due_ms, physical FROM schedule WHERE due_ms <= ?1 ORDER BY due_ms, physical LIMIT ?2",
    )?;
    let (mut rows, mut finder) = (select.query(params![now_ms, DELIVER_AT_ONCE])?, Finder::new(log));
    let mut due = Vec::new();
    while let Some(row) = rows.next()? {
        let physical = row.get(1)?;
        due.push((row.get(0)?, physical, finder.at(tx, physical)?));
    }
    Ok(due)
}

fn next_due(tx: &Transaction<'_>) -> Result<i64, StoreError> {
    let due = tx
        .prepare_cached("SELECT due_ms FROM schedule ORDER BY due_ms LIMIT 1")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(due.unwrap_or(i64::MAX))
}

fn put_settings(tx: &Transaction<'_>, table: Settings, name: &str, config: &str) -> Result<(), StoreError> {
    let statement = match table {
        Settings::Topic => "INSERT OR REPLACE INTO topic(name, config) VALUES(?1, ?2)",
        Settings::ConsumerGroup => "INSERT OR REPLACE INTO consumer_group(name, config) VALUES(?1, ?2)",
        Settings::RequestMode => "INSERT OR REPLACE INTO request_mode(name, config) VALUES(?1, ?2)",
        Settings::Keys => "INSERT OR REPLACE INTO key_value(name, config) VALUES(?1, ?2)",
    };
    tx.prepare_cached(statement)?.execute(params![name, config])?;
    Ok(())
}

fn delete_group(tx: &Transaction<'_>, name: &str, offsets: bool) -> Result<(), StoreError> {
    tx.execute("DELETE FROM consumer_group WHERE name = ?1", [name])?;
    if offsets {
        tx.execute("DELETE FROM consumer_offset WHERE group_name = ?1", [name])?;
        tx.execute("DELETE FROM popped WHERE group_name = ?1", [name])?;
        tx.execute("DELETE FROM popped_in_order WHERE group_name = ?1", [name])?;
    }
    Ok(())
}

fn delete_topic(
    tx: &Transaction<'_>,
    name: &str,
    queues: &[Arc<Queue>],
    physical: i64,
) -> Result<(), StoreError> {
    for queue in queues {
        let log =
            "DELETE FROM commit_log WHERE physical IN (SELECT physical FROM consume_queue WHERE queue = ?1)";
        let keys =
            "DELETE FROM message_key WHERE physical IN (SELECT physical FROM consume_queue WHERE queue = ?1)";
        for statement in [
            keys,
            log,
            "DELETE FROM consume_queue WHERE queue = ?1",
            "DELETE FROM popped WHERE queue = ?1",
            "DELETE FROM popped_in_order WHERE queue = ?1",
            "DELETE FROM queue WHERE id = ?1",
        ] {
            tx.execute(statement, [queue.id])?;
        }
    }
    // A physical offset is part of a message's id, so it must not come back when the newest records are gone.
    tx.execute("INSERT OR REPLACE INTO meta(name, value) VALUES('next_physical', ?1)", [physical])?;
    tx.execute("DELETE FROM topic WHERE name = ?1", [name])?;
    tx.execute("DELETE FROM consumer_offset WHERE topic = ?1", [name])?;
    Ok(())
}

pub(super) fn save_offsets(tx: &Transaction<'_>, rows: &[OffsetRow]) -> Result<(), StoreError> {
    let mut insert = tx.prepare_cached(
        "INSERT OR REPLACE INTO consumer_offset(group_name, topic, queue_id, next_offset) VALUES(?1, ?2, ?3, ?4)",
    )?;
    for row in rows {
        insert.execute(params![&*row.group, &*row.topic, row.queue_id, row.offset])?;
    }
    Ok(())
}
