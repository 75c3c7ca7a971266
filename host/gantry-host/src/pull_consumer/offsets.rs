//! Where a pull consumer's offsets are kept (RocketMQ: OffsetStore; RemoteBrokerOffsetStore, LocalFileOffsetStore).
//!
//! An offset that is set is in memory at first; persisting brings it to its place. Persists of one store do not overlap:
//! a broker keeps what comes last.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gantry_protocol::MessageQueue;

use super::error::PullConsumerError;
use super::plain::PlainClient;
use crate::client_instance::CallError;
use crate::state::offsets_file::OffsetsFile;

/// Where offsets are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum OffsetStore {
    /// At the brokers, under the group's name, where `mqadmin consumerProgress` sees them.
    #[default]
    Broker,
    /// In a file of this machine, in the format of Java's `offsets.json`, topics with their namespace. One consumer a
    /// file.
    File(PathBuf),
}

/// The offsets of one group in one place.
#[derive(Debug)]
pub(super) struct Offsets {
    client: PlainClient,
    place: Place,
    /// Held while persisting.
    lane: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
enum Place {
    Broker(Mutex<BTreeMap<MessageQueue, Kept>>),
    File(PathBuf, Arc<OffsetsFile>),
}

#[derive(Debug, Clone, Copy)]
struct Kept {
    offset: i64,
    persisted: bool,
}

impl Offsets {
    /// Reads the file, if it is one. A damaged one is kept aside with a warning.
    pub(super) async fn open(client: PlainClient, group: &str, store: &OffsetStore) -> Self {
        let place = match store {
            OffsetStore::Broker => Place::Broker(Mutex::default()),
            OffsetStore::File(path) => {
                let file = path.clone();
                let opening = tokio::task::spawn_blocking(move || OffsetsFile::open(file));
                let (file, warning) = opening.await.unwrap_or_else(|_ended| OffsetsFile::open(path));
                if let Some(warning) = warning {
                    tracing::warn!(group, "{warning}");
                }
                Place::File(path.clone(), Arc::new(file))
            }
        };
        Self { client, place, lane: tokio::sync::Mutex::default() }
    }

    /// Sets a queue's offset, which may also be lower than before.
    pub(super) fn set(&self, mq: &MessageQueue, offset: i64) {
        match &self.place {
            Place::File(_, file) => file.set(&self.client.namespace().wrap_queue(mq), offset),
            Place::Broker(table) => {
                let mut table = lock(table);
                if table.get(mq).is_none_or(|kept| kept.offset != offset) {
                    table.insert(mq.clone(), Kept { offset, persisted: false });
                }
            }
        }
    }

    /// A queue's offset as it was set last, else as it is stored; none if there is none yet.
    pub(super) async fn get(&self, mq: &MessageQueue) -> Result<Option<i64>, CallError> {
        if let Place::Broker(table) = &self.place
            && let Some(kept) = lock(table).get(mq).copied()
        {
            return Ok(Some(kept.offset));
        }
        self.stored(mq).await
    }

    /// A queue's offset as it is stored: at the broker, or as the file will have it.
    pub(super) async fn stored(&self, mq: &MessageQueue) -> Result<Option<i64>, CallError> {
        match &self.place {
            Place::File(_, file) => Ok(file.get(&self.client.namespace().wrap_queue(mq))),
            Place::Broker(_) => self.client.query_offset(mq).await,
        }
    }

    /// Brings every offset that was set to its place, and waits until it is there.
    ///
    /// # Errors
    /// The first failure; what could not be stored stays set, and is tried again with the next call.
    pub(super) async fn persist(&self) -> Result<(), PullConsumerError> {
        let _alone = self.lane.lock().await;
        match &self.place {
            Place::Broker(table) => self.persist_at_brokers(table).await.map_err(PullConsumerError::Call),
            Place::File(path, file) => {
                let writer = Arc::clone(file);
                let written = tokio::task::spawn_blocking(move || writer.persist()).await;
                let written = written.unwrap_or_else(|ended| Err(io::Error::other(ended)));
                written.map_err(|source| PullConsumerError::File { file: path.clone(), source })
            }
        }
    }

    /// No broker is asked again that has failed once: each question to it may take seconds.
    async fn persist_at_brokers(&self, table: &Mutex<BTreeMap<MessageQueue, Kept>>) -> Result<(), CallError> {
        let set: Vec<(MessageQueue, i64)> = {
            let table = lock(table);
            let set = table.iter().filter(|(_, kept)| !kept.persisted);
            set.map(|(mq, kept)| (mq.clone(), kept.offset)).collect()
        };
        let mut failed = BTreeSet::new();
        let mut outcome = Ok(());
        for (mq, offset) in set {
            if failed.contains(&mq.broker_name) {
                continue;
            }
            match self.client.update_offset(&mq, offset).await {
                Ok(()) => persisted(table, &mq, offset),
                Err(error) => {
                    failed.insert(mq.broker_name);
                    outcome = outcome.and(Err(error));
                }
            }
        }
        outcome
    }

    /// Forgets what was set for a queue that others may have now, stored or not.
    pub(super) fn forget(&self, mq: &MessageQueue) {
        if let Place::Broker(table) = &self.place {
            lock(table).remove(mq);
        }
    }
}

fn persisted(table: &Mutex<BTreeMap<MessageQueue, Kept>>, mq: &MessageQueue, offset: i64) {
    if let Some(kept) = lock(table).get_mut(mq) {
        kept.persisted |= kept.offset == offset;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
