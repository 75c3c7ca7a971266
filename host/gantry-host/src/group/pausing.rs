//! Which listeners of a group are paused because their breakers are not closed: the machine keeps their messages in the
//! windows, flow control stops the pulls, and no offset passes them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use gantry_core::ListenerId;

use super::breaker::Admission;
use super::listener::Listener;
use super::machine::Machine;

/// How the machine was last told of each listener whose breaker is not closed.
#[derive(Debug, Default)]
pub(super) struct Pausing {
    paused: BTreeMap<ListenerId, Option<Instant>>,
}

impl Pausing {
    /// Pauses those that are to have nothing, and resumes those that may.
    pub(super) fn look(
        &mut self,
        now: Instant,
        listeners: &BTreeMap<ListenerId, Arc<Listener>>,
        machine: &mut Machine,
    ) {
        for (id, listener) in listeners {
            match listener.admission(now) {
                Admission::Nothing { until } => {
                    if self.paused.insert(*id, until).is_none() {
                        machine.pause_listener(*id);
                    }
                }
                Admission::All | Admission::Probe => {
                    if self.paused.remove(id).is_some() {
                        machine.resume_listener(now, *id);
                    }
                }
            }
        }
        self.paused.retain(|id, _| listeners.contains_key(id));
    }

    /// Whether a batch may go to the listener, and if so whether it is a probe. The machine may have given it out before
    /// the listener was paused.
    pub(super) fn admits(&self, now: Instant, listener: &Listener) -> Option<bool> {
        match listener.admission(now) {
            Admission::All => Some(false),
            Admission::Probe => Some(true),
            Admission::Nothing { .. } => None,
        }
    }

    /// The probe is at the listener: nothing more until it has ended.
    pub(super) fn probe_left(&mut self, listener: &Listener, machine: &mut Machine) {
        listener.probe_left();
        self.paused.insert(listener.id, None);
        machine.pause_listener(listener.id);
    }

    /// When a pause ends next.
    pub(super) fn due(&self) -> Option<Instant> {
        self.paused.values().flatten().min().copied()
    }

    /// The machine was told anew who its listeners are, and pauses none.
    pub(super) fn forget(&mut self) {
        self.paused.clear();
    }
}
