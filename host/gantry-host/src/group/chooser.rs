//! Which batches a share takes: cheap, without a lock, and exact over time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use arc_swap::ArcSwap;

use crate::config::{Share, ShareOf};

/// A queue: its topic, broker and number.
type Queue = (Arc<str>, Arc<str>, u32);

/// Chooses a share of all batches, or all batches of a share of the queues.
#[derive(Debug)]
pub(crate) struct Chooser {
    share: Share,
    of: ShareOf,
    batches: AtomicU64,
    /// The queues met, and whether each is among the chosen.
    queues: ArcSwap<BTreeMap<Queue, bool>>,
}

impl Chooser {
    pub(crate) fn new(share: Share, of: ShareOf) -> Self {
        Self { share, of, batches: AtomicU64::new(0), queues: ArcSwap::default() }
    }

    /// What the share is, in words.
    pub(crate) fn describe(&self) -> String {
        match self.of {
            ShareOf::Batches => format!("{} of the batches", self.share),
            ShareOf::Queues => format!("{} of the queues", self.share),
        }
    }

    /// Whether this batch is among the chosen.
    pub(super) fn picks(&self, topic: &Arc<str>, broker_name: &Arc<str>, queue_id: u32) -> bool {
        match self.of {
            ShareOf::Batches => self.is_due(self.batches.fetch_add(1, Relaxed)),
            ShareOf::Queues => {
                let queue = (Arc::clone(topic), Arc::clone(broker_name), queue_id);
                match self.queues.load().get(&queue) {
                    Some(chosen) => *chosen,
                    None => self.meet(queue),
                }
            }
        }
    }

    /// The first met is chosen, and then each that keeps the share, so that a share of few queues is not nothing.
    fn meet(&self, queue: Queue) -> bool {
        let chosen = |queues: &BTreeMap<Queue, bool>| self.is_due(queues.len() as u64);
        self.queues.rcu(|queues| {
            let mut more = BTreeMap::clone(queues);
            let choice = chosen(&more);
            more.entry(queue.clone()).or_insert(choice);
            more
        });
        self.queues.load().get(&queue).copied().unwrap_or(false)
    }

    /// Of the numbers from 0, as many as the share is of them, evenly spread, the first among them.
    fn is_due(&self, number: u64) -> bool {
        let share = u64::from(self.share.0);
        number.wrapping_mul(share) % 1000 < share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(chooser: &Chooser, batches: u32, queues: u32) -> Vec<u32> {
        let (topic, broker) = ("t".into(), "b".into());
        (0..batches).filter(|number| chooser.picks(&topic, &broker, number % queues)).collect()
    }

    #[test]
    fn a_share_of_the_batches_is_evenly_spread() {
        let of = ShareOf::Batches;
        assert_eq!(chosen(&Chooser::new(Share(100), of), 40, 4), [0, 10, 20, 30]);
        assert_eq!(chosen(&Chooser::new(Share(500), of), 6, 4), [0, 2, 4]);
        assert_eq!(chosen(&Chooser::new(Share(1000), of), 5, 4).len(), 5);
        for share in [1, 7, 333, 999] {
            assert_eq!(
                chosen(&Chooser::new(Share(share), of), 10_000, 4).len(),
                share as usize * 10,
                "{share}"
            );
        }
    }

    #[test]
    fn a_share_of_the_queues_is_always_the_same_ones_and_at_least_one() {
        let chooser = Chooser::new(Share(100), ShareOf::Queues);
        assert_eq!(chosen(&chooser, 12, 4), [0, 4, 8]);
        assert_eq!(chosen(&chooser, 12, 4), [0, 4, 8]);
        let half = Chooser::new(Share(500), ShareOf::Queues);
        assert_eq!(chosen(&half, 8, 4), [0, 2, 4, 6]);
    }
}
