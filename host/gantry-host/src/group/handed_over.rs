//! Hand-overs that have not come home. Where one of several calls takes long, all are recalled: what has ended in them counts, and
//! what nobody has begun goes out again, one call a batch.
//!
//! All of them, and the last first, because calls begin in their order: so nothing that is taken back is ahead of something that
//! was begun. A queue that is let go right then keeps no gap, whose end another member would consume again.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use gantry_core::BatchId;

use super::hand_over::{HandOver, Recalled};
use super::input::Input;
use super::machine::Machine;

/// How long the calls of a hand-over may take together.
const PATIENCE: Duration = Duration::from_millis(100);

/// In the order they left. Most come home about as they went. None is kept by this: with it would be the version it runs.
#[derive(Default)]
pub(super) struct HandedOver(VecDeque<Left>);

struct Left {
    at: Instant,
    id: BatchId,
    hand_over: Weak<HandOver>,
}

impl HandedOver {
    /// One has left.
    pub(super) fn left(&mut self, now: Instant, hand_over: &Arc<HandOver>) {
        self.0.push_back(Left { at: now, id: hand_over.id(), hand_over: Arc::downgrade(hand_over) });
    }

    /// One has come home.
    pub(super) fn is_home(&mut self, id: BatchId) {
        if let Some(place) = self.0.iter().position(|left| left.id == id) {
            self.0.remove(place);
        }
    }

    /// Recalls them for the machine, if one has taken long. To be called every now and then.
    pub(super) fn look(&mut self, now: Instant, machine: &mut Machine) {
        for (id, recalled) in self.recall(now) {
            if !recalled.ended.is_empty() {
                machine.take(now, Input::ConsumedPart(id, recalled.ended));
            }
            if !recalled.untouched.is_empty() {
                machine.handle_returned_part(now, id, &recalled.untouched);
            }
        }
    }

    /// A single call that takes long is no reason: nothing waits for it.
    fn recall(&mut self, now: Instant) -> Vec<(BatchId, Recalled)> {
        // One that is gone without coming home was given up by its threads.
        self.0.retain(|left| left.hand_over.strong_count() > 0);
        let late = |left: &Left| {
            now.saturating_duration_since(left.at) >= PATIENCE
                && left.hand_over.upgrade().is_some_and(|hand_over| hand_over.calls() > 1)
        };
        if !self.0.iter().any(late) {
            return Vec::new();
        }
        let all = self.0.drain(..).rev();
        all.filter_map(|left| Some((left.id, left.hand_over.upgrade()?.recall()?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use gantry_engine::Calls as _;

    use super::*;
    use crate::group::hand_over::tests::hand_over;

    #[test]
    fn where_one_is_late_all_are_recalled_from_the_last_so_that_nothing_begun_is_behind_what_is_taken_back() {
        let mut handed_over = HandedOver::default();
        let left = Instant::now();
        let several: Vec<_> = [3, 2, 1].map(|calls| Arc::new(hand_over(calls, 1, &[]).0)).into();
        for (late, hand_over) in several.iter().enumerate() {
            handed_over.left(left + PATIENCE / 2 * late as u32, hand_over);
        }
        assert_eq!(several[0].begin(), Some(0));
        assert!(handed_over.recall(left + PATIENCE / 2).is_empty());
        let recalled = handed_over.recall(left + PATIENCE);
        let untouched: Vec<_> = recalled.into_iter().map(|(_, recalled)| recalled.untouched).collect();
        assert_eq!(untouched, [vec![0], vec![0, 1], vec![1, 2]]);
        assert!(several.iter().all(|hand_over| hand_over.begin().is_none()));
        assert!(handed_over.recall(left + 10 * PATIENCE).is_empty(), "once");
    }

    #[test]
    fn a_single_call_may_take_long() {
        let mut handed_over = HandedOver::default();
        let left = Instant::now();
        let single = Arc::new(hand_over(1, 1, &[]).0);
        handed_over.left(left, &single);
        assert!(handed_over.recall(left + 10 * PATIENCE).is_empty());
        assert_eq!((single.begin(), handed_over.0.len()), (Some(0), 1), "it goes on");
        drop(single);
        assert!(handed_over.recall(left + 10 * PATIENCE).is_empty());
        assert!(handed_over.0.is_empty(), "one that is given up is not kept");
    }
}
