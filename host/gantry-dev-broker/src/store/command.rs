use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::sync::OwnedSemaphorePermit;

use super::queue::Queue;
use crate::error::StoreError;

/// Called once on the writer thread when the write is safe, or has failed. Must not block.
pub(crate) type Done<T> = Box<dyn FnOnce(Result<T, StoreError>) + Send>;

/// Turns a scheduled record into the record to deliver; `None` drops it.
pub(crate) type Redeliver = Arc<dyn Fn(Bytes, i64) -> Option<NewRecord> + Send + Sync>;

/// A record on its way into the store: complete but for the three fields the writer knows.
#[derive(Debug)]
pub(crate) struct NewRecord {
    pub(crate) queue: Arc<Queue>,
    /// The encoded record.
    pub(crate) bytes: BytesMut,
    /// Where in it the store timestamp is.
    pub(crate) timestamp_at: usize,
    /// How many messages it holds: 1, or those of an inner batch.
    pub(crate) messages: i64,
    /// Hash of its tag, 0 for none.
    pub(crate) tags: i64,
    /// Hashes of topic and key, for queries by key.
    pub(crate) keys: Vec<i64>,
    /// When to deliver a scheduled record.
    pub(crate) due_ms: Option<i64>,
    /// When to ask for the first time how the transaction of a prepared record ended.
    pub(crate) check_ms: Option<i64>,
    /// Where the writer put it.
    pub(crate) stored: Stored,
}

/// Where a record was put.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) offset: i64,
    pub(crate) physical: i64,
    pub(crate) stored_ms: i64,
}

/// One stored consumer offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OffsetRow {
    pub(crate) group: Arc<str>,
    pub(crate) topic: Arc<str>,
    pub(crate) queue_id: i32,
    pub(crate) offset: i64,
}

/// A message of a queue that a group has popped and not settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Popped {
    pub(crate) group: Arc<str>,
    /// [`Queue::id`].
    pub(crate) queue: i64,
    pub(crate) offset: i64,
    /// When it was popped, which tells one pop of it from the next.
    pub(crate) popped_ms: i64,
}

/// A change of the tables beside the log: what is scheduled, prepared or popped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Hide a popped message until `due_ms`.
    Pop { popped: Popped, due_ms: i64 },
    /// Hide a popped message from now, `again_ms`, until `due_ms`.
    PopLonger { popped: Popped, again_ms: i64, due_ms: i64 },
    /// A popped message is settled.
    Settle(Popped),
    /// A group's offset, together with what it popped.
    Offset(OffsetRow),
    /// What a group popped in order of a queue ([`Queue::id`]) and has not settled; `None` when it has.
    Order { group: Arc<str>, queue: i64, state: Option<String> },
    /// The prepared record at this physical offset is committed or rolled back.
    EndTransaction { physical: i64 },
    /// The prepared record at this physical offset was asked about.
    Checked { physical: i64, checks: i32, next_check_ms: i64 },
    /// A scheduled record is not to be delivered.
    Unschedule { due_ms: i64, physical: i64 },
}

/// The tables of named settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settings {
    Topic,
    ConsumerGroup,
    /// Whether a group pulls or pops a topic.
    RequestMode,
    /// The name server's keys, a namespace each.
    Keys,
}

/// What the writer thread is asked to do.
pub(super) enum Command {
    /// Store records, all or none.
    Append { records: Vec<NewRecord>, room: Option<OwnedSemaphorePermit>, done: Done<Vec<Stored>> },
    /// Move scheduled records that are due to their queues.
    DeliverDue { now_ms: i64, redeliver: Redeliver, built: Vec<NewRecord>, taken: usize, done: Done<usize> },
    /// Create or replace a topic's or a group's settings.
    Put { table: Settings, name: String, config: String, done: Done<()> },
    /// Remove a group's settings, and its offsets where asked.
    DeleteGroup { name: String, offsets: bool, done: Done<()> },
    /// Remove a topic with its records and offsets.
    DeleteTopic { name: Arc<str>, queues: Vec<Arc<Queue>>, done: Done<()> },
    /// Make the changes, and store the records if they changed anything; answers how many did.
    Change { changes: Vec<Change>, records: Vec<NewRecord>, changed: usize, done: Done<usize> },
    /// Write consumer offsets.
    SaveOffsets { rows: Vec<OffsetRow>, done: Done<()> },
    /// End, after what was asked before.
    Stop,
}

impl Command {
    /// Answers a command that will not be carried out.
    pub(super) fn refuse(self, error: StoreError) {
        match self {
            Self::Append { done, .. } => done(Err(error)),
            Self::DeliverDue { done, .. } | Self::Change { done, .. } => done(Err(error)),
            Self::Put { done, .. }
            | Self::DeleteGroup { done, .. }
            | Self::DeleteTopic { done, .. }
            | Self::SaveOffsets { done, .. } => done(Err(error)),
            Self::Stop => {}
        }
    }

    /// Bytes of records, for the bound of one transaction.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Append { records, .. } | Self::Change { records, .. } => {
                records.iter().map(|record| record.bytes.len()).sum()
            }
            _ => 0,
        }
    }
}
