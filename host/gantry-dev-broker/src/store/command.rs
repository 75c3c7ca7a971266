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
    /// Hash of its tag, 0 for none.
    pub(crate) tags: i64,
    /// Hashes of topic and key, for queries by key.
    pub(crate) keys: Vec<i64>,
    /// When to deliver a scheduled record.
    pub(crate) due_ms: Option<i64>,
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

/// The two tables of named settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settings {
    Topic,
    ConsumerGroup,
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
            Self::DeliverDue { done, .. } => done(Err(error)),
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
            Self::Append { records, .. } => records.iter().map(|record| record.bytes.len()).sum(),
            _ => 0,
        }
    }
}
