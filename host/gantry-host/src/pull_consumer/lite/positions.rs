//! Where a lite pull consumer reads, and what it commits.

use std::collections::BTreeMap;

use gantry_protocol::MessageQueue;

use super::LitePullConsumer;
use crate::pull_consumer::error::PullConsumerError;

impl LitePullConsumer {
    /// Goes on at this offset with the next poll (`seek`). What was read ahead is dropped; the next commit is from here.
    ///
    /// # Errors
    /// The queue is not assigned, the broker has no such offset, or does not answer.
    pub async fn seek(&self, mq: &MessageQueue, offset: i64) -> Result<(), PullConsumerError> {
        let client = &self.shared.client;
        self.assigned(mq)?;
        let (min, max) = tokio::try_join!(client.min_offset(mq), client.max_offset(mq))?;
        if !(min..=max).contains(&offset) {
            return Err(PullConsumerError::OutOfRange { queue: mq.clone(), offset, min, max });
        }
        self.move_to(mq, offset)
    }

    /// Goes on at the oldest message (`seekToBegin`).
    ///
    /// # Errors
    /// As [`Self::seek`].
    pub async fn seek_to_begin(&self, mq: &MessageQueue) -> Result<(), PullConsumerError> {
        self.assigned(mq)?;
        self.move_to(mq, self.shared.client.min_offset(mq).await?)
    }

    /// Goes on after the last message (`seekToEnd`).
    ///
    /// # Errors
    /// As [`Self::seek`].
    pub async fn seek_to_end(&self, mq: &MessageQueue) -> Result<(), PullConsumerError> {
        self.assigned(mq)?;
        self.move_to(mq, self.shared.client.max_offset(mq).await?)
    }

    /// Goes on at the first message stored at or after `timestamp`, in milliseconds since the epoch.
    ///
    /// # Errors
    /// As [`Self::seek`].
    pub async fn seek_to_time(&self, mq: &MessageQueue, timestamp: i64) -> Result<(), PullConsumerError> {
        self.assigned(mq)?;
        self.move_to(mq, self.shared.client.search_offset(mq, timestamp).await?)
    }

    /// The queues are neither pulled nor polled until they are resumed; what was read ahead stays. A queue that is not
    /// assigned is passed over.
    pub fn pause(&self, queues: &[MessageQueue]) {
        let mut table = self.shared.table();
        for mq in queues {
            table.pause(mq, true);
        }
    }

    /// The queues are pulled and polled again.
    pub fn resume(&self, queues: &[MessageQueue]) {
        let mut table = self.shared.table();
        for mq in queues {
            table.pause(mq, false);
        }
        self.shared.arrived.notify_one();
    }

    /// Commits what poll has returned of every assigned queue, and waits until it is stored (`commit`, with `persist`).
    ///
    /// # Errors
    /// The first failure; what failed is tried again with the next commit.
    pub async fn commit_sync(&self) -> Result<(), PullConsumerError> {
        self.open()?;
        let shared = &self.shared;
        shared.table().finish_all();
        shared.set_finished();
        shared.offsets.persist().await
    }

    /// Commits these offsets, and waits until they are stored: each is where the next member would begin.
    ///
    /// # Errors
    /// A queue is not assigned, or poll has not returned everything before its offset: then nothing is committed. Or the
    /// first failure to store one.
    pub async fn commit_offsets(
        &self,
        offsets: &BTreeMap<MessageQueue, i64>,
    ) -> Result<(), PullConsumerError> {
        self.open()?;
        for (mq, &offset) in offsets {
            let returned = self.assigned(mq)?.unwrap_or(i64::MIN);
            if offset > returned {
                return Err(PullConsumerError::NotReturned { queue: mq.clone(), offset, returned });
            }
        }
        offsets.iter().for_each(|(mq, offset)| self.shared.offsets.set(mq, *offset));
        self.shared.offsets.persist().await
    }

    /// The group's stored offset of a queue; none where there is none (`committed`).
    ///
    /// # Errors
    /// The broker does not answer.
    pub async fn committed(&self, mq: &MessageQueue) -> Result<Option<i64>, PullConsumerError> {
        Ok(self.shared.offsets.stored(mq).await?)
    }

    /// Where the first message is that poll has not returned; none until the queue's begin is known.
    ///
    /// # Errors
    /// The queue is not assigned.
    pub fn position(&self, mq: &MessageQueue) -> Result<Option<i64>, PullConsumerError> {
        self.assigned(mq)
    }

    /// The offset of the first message stored at or after `timestamp`, in milliseconds since the epoch
    /// (`offsetForTimestamp`).
    ///
    /// # Errors
    /// The broker does not answer.
    pub async fn offset_for_timestamp(
        &self,
        mq: &MessageQueue,
        timestamp: i64,
    ) -> Result<i64, PullConsumerError> {
        Ok(self.shared.client.search_offset(mq, timestamp).await?)
    }

    /// Where an assigned queue is.
    fn assigned(&self, mq: &MessageQueue) -> Result<Option<i64>, PullConsumerError> {
        let table = self.shared.table();
        let queue = table.queue(mq).ok_or_else(|| PullConsumerError::NotAssigned { queue: mq.clone() })?;
        Ok(queue.returned_up_to())
    }

    fn move_to(&self, mq: &MessageQueue, offset: i64) -> Result<(), PullConsumerError> {
        match self.shared.table().seek(mq, offset) {
            true => Ok(()),
            false => Err(PullConsumerError::NotAssigned { queue: mq.clone() }),
        }
    }
}
