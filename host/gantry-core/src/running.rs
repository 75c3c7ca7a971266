//! The batches at listeners, in the order they left: ids grow, and most batches come back about as they went.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use gantry_protocol::MessageQueue;

use crate::id::{BatchId, ListenerId};
use crate::places::Places;

/// A batch at its listener.
#[derive(Debug, Clone)]
pub(crate) struct RunningBatch {
    pub(crate) listener: ListenerId,
    pub(crate) mq: MessageQueue,
    pub(crate) topic: Arc<str>,
    pub(crate) max_reconsume_times: i32,
    pub(crate) places: Places,
    pub(crate) since: Instant,
    /// How many of its messages have not come back.
    pub(crate) left: usize,
}

/// What has come back of a batch.
pub(crate) struct Returned {
    pub(crate) batch: RunningBatch,
    /// How many of its messages came back now.
    pub(crate) messages: usize,
    /// Whether that is the last of it.
    pub(crate) whole: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Running(VecDeque<(BatchId, RunningBatch)>);

impl Running {
    /// A batch leaves. Its serial is larger than that of any before.
    pub(crate) fn insert(&mut self, id: BatchId, batch: RunningBatch) {
        self.0.push_back((id, batch));
    }

    /// What is left of a batch has come back; none when all of it has already.
    pub(crate) fn rest(&mut self, id: BatchId) -> Option<Returned> {
        let (_, batch) = self.0.remove(self.place(id)?)?;
        let messages = batch.left;
        Some(Returned { batch, messages, whole: true })
    }

    /// So many messages of a batch have come back; none when all of it has already.
    pub(crate) fn part(&mut self, id: BatchId, messages: usize) -> Option<Returned> {
        let (_, batch) = self.0.get_mut(self.place(id)?)?;
        if messages >= batch.left {
            return self.rest(id);
        }
        batch.left -= messages;
        Some(Returned { batch: batch.clone(), messages, whole: false })
    }

    fn place(&self, id: BatchId) -> Option<usize> {
        self.0.binary_search_by_key(&id.serial, |(known, _)| known.serial).ok()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (BatchId, &RunningBatch)> {
        self.0.iter().map(|(id, batch)| (*id, batch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::QueueKey;

    fn batch(listener: u64) -> RunningBatch {
        RunningBatch {
            listener: ListenerId(listener),
            mq: MessageQueue::new("t", "b", 0),
            topic: "t".into(),
            max_reconsume_times: 16,
            places: Places::default(),
            since: Instant::now(),
            left: 3,
        }
    }

    #[test]
    fn batches_come_back_in_any_order_and_once() {
        let mut running = Running::default();
        let ids = [1, 4, 5, 9].map(|serial| BatchId { queue: QueueKey(7), serial });
        for id in ids {
            running.insert(id, batch(id.serial));
        }
        for id in [ids[2], ids[0], ids[3], ids[1]] {
            let listener = running.rest(id).map(|returned| returned.batch.listener);
            assert_eq!(listener, Some(ListenerId(id.serial)));
            assert!(running.rest(id).is_none());
        }
        assert_eq!(running.len(), 0);
        assert!(running.rest(BatchId { queue: QueueKey(7), serial: 2 }).is_none(), "was never given out");
    }

    #[test]
    fn a_batch_that_comes_back_in_parts_is_there_until_its_last_message() {
        let mut running = Running::default();
        let id = BatchId { queue: QueueKey(7), serial: 1 };
        running.insert(id, batch(1));
        let mut part = |messages| running.part(id, messages).map(|part| (part.messages, part.whole));
        assert_eq!(part(1), Some((1, false)));
        assert_eq!(part(5), Some((2, true)), "no more than there are");
        assert_eq!(part(1), None);
    }
}
