use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use gantry_protocol::batch::BatchItem;
use gantry_protocol::{MessageRecord, RecordError};
use tokio::sync::OwnedSemaphorePermit;

use super::queue::Queue;
use super::run::{ENTRY, Entry, KEY, KeyHash, RUN_BYTES, RUN_RECORDS};
use crate::error::StoreError;

/// Called once by who writes when the write is safe, or has failed. Must not block.
pub(crate) type Done<T> = Box<dyn FnOnce(Result<T, StoreError>) + Send>;

/// Turns a scheduled record into the record to deliver; `None` drops it.
pub(crate) type Redeliver = Arc<dyn Fn(Bytes, i64) -> Option<NewRecords> + Send + Sync>;

/// Records of one queue on their way into the store, end to end: complete but for the fields the writer knows. They
/// stay together, so there are not more of them than a run takes.
#[derive(Debug)]
pub(crate) struct NewRecords {
    pub(crate) queue: Arc<Queue>,
    /// The encoded records.
    pub(crate) bytes: BytesMut,
    /// One for each of them.
    pub(crate) entries: Vec<Entry>,
    /// Hashes of topic and key, for queries by key; record by record.
    pub(crate) keys: Vec<KeyHash>,
    /// When to deliver a scheduled record, which is the only one then.
    pub(crate) due_ms: Option<i64>,
    /// When to ask for the first time how the transaction of a prepared record ended, which is the only one then.
    pub(crate) check_ms: Option<i64>,
    /// Where the writer put them.
    pub(super) place: Place,
}

/// Where in a transaction records were put.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Which of the transaction's runs.
    pub(super) run: usize,
    /// Which byte of it.
    pub(super) at: usize,
    /// Offset of the first message.
    pub(super) offset: i64,
}

impl NewRecords {
    pub(crate) fn new(queue: Arc<Queue>) -> Self {
        Self {
            queue,
            bytes: BytesMut::new(),
            entries: Vec::new(),
            keys: Vec::new(),
            due_ms: None,
            check_ms: None,
            place: Place::default(),
        }
    }

    /// The same, with room for so many records with a key each, and for so many bytes; what a run does not take is no room.
    pub(crate) fn with_room(queue: Arc<Queue>, records: usize, bytes: usize) -> Self {
        let records = records.min(RUN_RECORDS);
        Self {
            bytes: BytesMut::with_capacity(bytes.min(RUN_BYTES)),
            entries: Vec::with_capacity(records),
            keys: Vec::with_capacity(records),
            ..Self::new(queue)
        }
    }

    /// Adds a record: its encoded form, how many messages it holds, hash of its tag, hashes of its keys.
    ///
    /// # Errors
    /// What [`MessageRecord::encode`] says; nothing is added then.
    pub(crate) fn push(
        &mut self,
        record: &MessageRecord,
        messages: u32,
        tags: i64,
        keys: impl IntoIterator<Item = i64>,
    ) -> Result<(), RecordError> {
        self.push_item((record, record.as_item()), messages, tags, keys)
    }

    /// The same for an item of a batch, which a record like this one is made of.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub(crate) fn push_item(
        &mut self,
        (record, item): (&MessageRecord, BatchItem<'_>),
        messages: u32,
        tags: i64,
        keys: impl IntoIterator<Item = i64>,
    ) -> Result<(), RecordError> {
        // Frames are shorter than 4 GiB by far, and so is what is made of one.
        let begin = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        record.encode_item(item, &mut self.bytes)?;
        let end = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.entries.push(Entry { end, messages, tags });
        self.keys.extend(keys.into_iter().map(|hash| KeyHash { at: begin, hash }));
        Ok(())
    }

    /// What a run takes of them, stored.
    pub(super) fn stored_size(&self) -> usize {
        self.bytes.len() + self.entries.len() * ENTRY + self.keys.len() * KEY
    }

    /// Whether a record of this size has no room beside those that are there.
    pub(crate) fn is_full_for(&self, size: usize) -> bool {
        !self.entries.is_empty() && (self.entries.len() >= RUN_RECORDS || self.bytes.len() + size > RUN_BYTES)
    }
}

/// Where a record was put.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) offset: i64,
    pub(crate) physical: i64,
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

/// What the writer is asked to do.
pub(super) enum Command {
    /// Store records, all or none.
    Append { records: Vec<NewRecords>, room: Option<OwnedSemaphorePermit>, done: Done<Vec<Stored>> },
    /// Move scheduled records that are due to their queues.
    DeliverDue { now_ms: i64, redeliver: Redeliver, taken: usize, done: Done<usize> },
    /// Create or replace a topic's or a group's settings.
    Put { table: Settings, name: String, config: String, done: Done<()> },
    /// Remove a group's settings, and its offsets where asked.
    DeleteGroup { name: String, offsets: bool, done: Done<()> },
    /// Remove a topic with its records and offsets.
    DeleteTopic { name: Arc<str>, queues: Vec<Arc<Queue>>, done: Done<()> },
    /// Make the changes, and store the records if they changed anything; answers how many did.
    Change { changes: Vec<Change>, records: Vec<NewRecords>, changed: usize, done: Done<usize> },
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
        self.records().iter().map(|records| records.bytes.len()).sum()
    }

    /// What it is sure to store or may store.
    pub(super) fn records(&self) -> &[NewRecords] {
        match self {
            Self::Append { records, .. } | Self::Change { records, .. } => records,
            _ => &[],
        }
    }
}
