//! Hand-overs of several calls that have not come home: one that takes long is recalled, so that what has ended in it counts,
//! and what nobody has begun goes out again, one call a batch.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gantry_core::BatchId;

use super::hand_over::HandOver;
use super::input::Input;
use super::machine::Machine;

/// How long the calls of a hand-over may take together.
const PATIENCE: Duration = Duration::from_millis(100);

/// In the order they left. Most come home about as they went.
#[derive(Default)]
pub(super) struct HandedOver(VecDeque<(Instant, Arc<HandOver>)>);

impl HandedOver {
    /// One has left. One of a single call needs no watching.
    pub(super) fn left(&mut self, now: Instant, hand_over: Arc<HandOver>) {
        if hand_over.calls() > 1 {
            self.0.push_back((now, hand_over));
        }
    }

    /// One has come home.
    pub(super) fn is_home(&mut self, id: BatchId) {
        if let Some(place) = self.0.iter().position(|(_, hand_over)| hand_over.id() == id) {
            self.0.remove(place);
        }
    }

    /// Recalls those that have taken long, for the machine. To be called every now and then.
    pub(super) fn look(&mut self, now: Instant, machine: &mut Machine) {
        let late = |(left, _): &(Instant, Arc<HandOver>)| now.saturating_duration_since(*left) >= PATIENCE;
        while self.0.front().is_some_and(late) {
            let Some((_, hand_over)) = self.0.pop_front() else { return };
            let Some(recalled) = hand_over.recall() else { continue };
            if !recalled.ended.is_empty() {
                machine.take(now, Input::ConsumedPart(hand_over.id(), recalled.ended));
            }
            if !recalled.untouched.is_empty() {
                machine.handle_returned_part(now, hand_over.id(), &recalled.untouched);
            }
        }
    }
}
