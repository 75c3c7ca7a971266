//! The batches at listeners, in the order they left: ids grow, and most batches come back about as they went.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use gantry_protocol::MessageQueue;

use crate::id::{BatchId, ListenerId};
use crate::places::Places;

/// A batch at its listener.
#[derive(Debug)]
pub(crate) struct RunningBatch {
    pub(crate) listener: ListenerId,
    pub(crate) mq: MessageQueue,
    pub(crate) topic: Arc<str>,
    pub(crate) max_reconsume_times: i32,
    pub(crate) places: Places,
    pub(crate) since: Instant,
}

#[derive(Debug, Default)]
pub(crate) struct Running(VecDeque<(BatchId, RunningBatch)>);

impl Running {
    /// A batch leaves. Its serial is larger than that of any before.
    pub(crate) fn insert(&mut self, id: BatchId, batch: RunningBatch) {
        self.0.push_back((id, batch));
    }

    /// A batch has come back; none when it has already.
    pub(crate) fn remove(&mut self, id: BatchId) -> Option<RunningBatch> {
        let place = self.0.binary_search_by_key(&id.serial, |(known, _)| known.serial).ok()?;
        let (_, batch) = self.0.remove(place)?;
        Some(batch)
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
            assert_eq!(running.remove(id).map(|batch| batch.listener), Some(ListenerId(id.serial)));
            assert!(running.remove(id).is_none());
        }
        assert_eq!(running.len(), 0);
        assert!(running.remove(BatchId { queue: QueueKey(7), serial: 2 }).is_none(), "was never given out");
    }
}
