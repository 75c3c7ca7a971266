//! A broker's messages of one topic as one group pops them: hidden for a while, and there again where nobody has settled them
//! (RocketMQ: PopMessageProcessor, AckMessageProcessor, ChangeInvisibleTimeProcessor, PopReviveService).

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use gantry_core::PoppedMessage;
use gantry_protocol::pop::PopReceipt;

use crate::pop_solo::{message, popped};

#[derive(Debug, Default)]
pub(crate) struct Broker {
    /// By their number, which is their offset.
    messages: BTreeMap<i64, Stored>,
    pub(crate) dead_letters: BTreeSet<i64>,
    /// Of the last pop; no two are the same.
    pop_time: i64,
}

#[derive(Debug, Default)]
struct Stored {
    reconsume_times: i32,
    hidden: Option<Hidden>,
}

#[derive(Debug)]
struct Hidden {
    until: Instant,
    pop_time: i64,
    /// Whether it has not counted as an attempt when it comes again.
    suspended: bool,
}

impl Broker {
    pub(crate) fn store(&mut self, number: i64) {
        self.messages.insert(number, Stored::default());
    }

    /// Whether everything is settled.
    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    pub(crate) fn pop(&mut self, now: Instant, most: usize, invisible: Duration) -> Vec<PoppedMessage> {
        self.revive(now);
        let visible = self.messages.iter_mut().filter(|(_, stored)| stored.hidden.is_none());
        let mut found = Vec::new();
        self.pop_time += 1;
        for (&number, stored) in visible.take(most) {
            let (until, pop_time) = (now + invisible, self.pop_time);
            stored.hidden = Some(Hidden { until, pop_time, suspended: false });
            found.push(popped(message(number, "a", stored.reconsume_times), pop_time, invisible));
        }
        found
    }

    fn revive(&mut self, now: Instant) {
        for stored in self.messages.values_mut() {
            if let Some(hidden) = stored.hidden.take_if(|hidden| hidden.until <= now) {
                stored.reconsume_times += i32::from(!hidden.suspended);
            }
        }
    }

    /// Settles a message; a receipt whose time is up settles nothing.
    pub(crate) fn ack(&mut self, receipt: &PopReceipt) {
        let stored = self.messages.get(&receipt.offset).and_then(|stored| stored.hidden.as_ref());
        if stored.is_some_and(|hidden| hidden.pop_time == receipt.pop_time) {
            self.messages.remove(&receipt.offset);
        }
    }

    pub(crate) fn change(
        &mut self,
        now: Instant,
        receipt: &PopReceipt,
        invisible: Duration,
        suspended: bool,
    ) -> PopReceipt {
        self.pop_time += 1;
        let stored = self.messages.get_mut(&receipt.offset).and_then(|stored| stored.hidden.as_mut());
        if let Some(hidden) = stored.filter(|hidden| hidden.pop_time == receipt.pop_time) {
            *hidden = Hidden { until: now + invisible, pop_time: self.pop_time, suspended };
        }
        receipt.changed(self.pop_time, i64::try_from(invisible.as_millis()).unwrap(), 0)
    }
}
