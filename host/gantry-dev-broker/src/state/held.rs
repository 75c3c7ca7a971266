use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use gantry_protocol::header::PullMessageRequestHeader;

use crate::server::Call;
use crate::store::{Queue, ReadRange};
use crate::sync::lock;

/// A pull the broker can answer now or hold (RocketMQ: PullRequest of the broker).
#[derive(Clone, Debug)]
pub(crate) struct Pull {
    pub(crate) call: Call,
    pub(crate) group: Arc<str>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) range: ReadRange,
    pub(crate) topic_sys_flag: i32,
}

#[derive(Debug)]
struct Held {
    pull: Pull,
    deadline_ms: i64,
    /// Records before this offset have been looked at and do not match.
    checked: i64,
}

/// A pull that knows a newer subscription than the broker: the heartbeat with it is still to come.
#[derive(Clone, Debug)]
pub(crate) struct Early {
    pub(crate) call: Call,
    pub(crate) header: PullMessageRequestHeader,
    pub(crate) deadline_ms: i64,
}

/// Pulls that wait for a message (RocketMQ: PullRequestHoldService).
#[derive(Debug)]
pub(crate) struct HeldPulls {
    table: Mutex<Table>,
    limit: usize,
}

#[derive(Debug, Default)]
struct Table {
    queues: HashMap<i64, Vec<Held>>,
    early: Vec<Early>,
    count: usize,
}

impl HeldPulls {
    pub(crate) fn new(limit: usize) -> Self {
        Self { table: Mutex::default(), limit }
    }

    /// Holds the pull until `deadline_ms`, or gives it back when too many are held.
    pub(crate) fn hold(&self, pull: Pull, deadline_ms: i64) -> Result<(), Pull> {
        let mut table = lock(&self.table);
        if table.count + table.early.len() >= self.limit {
            return Err(pull);
        }
        table.count += 1;
        pull.queue.waiting.fetch_add(1, Ordering::SeqCst);
        let held = Held { deadline_ms, checked: pull.range.offset, pull };
        table.queues.entry(held.pull.queue.id).or_default().push(held);
        Ok(())
    }

    /// Takes the pulls of a queue for which a matching record arrived.
    pub(crate) fn take_matching(&self, queue: &Queue) -> Vec<Pull> {
        let max = queue.span().max;
        self.take(queue.id, |held| {
            let matches = queue.has_match(held.checked, &held.pull.range.filter);
            held.checked = held.checked.max(max);
            matches
        })
    }

    /// Takes the pulls that a sweep answers: time is up, or any record arrived, matching or not.
    pub(crate) fn take_for_sweep(&self, now_ms: i64) -> Vec<Pull> {
        let queues: Vec<i64> = lock(&self.table).queues.keys().copied().collect();
        let due = |held: &mut Held| {
            now_ms >= held.deadline_ms || held.pull.queue.span().max > held.pull.range.offset
        };
        queues.into_iter().flat_map(|queue| self.take(queue, due)).collect()
    }

    /// Takes the pulls of a group, when its offsets were reset.
    pub(crate) fn take_group(&self, group: &str) -> Vec<Pull> {
        let queues: Vec<i64> = lock(&self.table).queues.keys().copied().collect();
        queues.into_iter().flat_map(|queue| self.take(queue, |held| &*held.pull.group == group)).collect()
    }

    /// Forgets the pulls of a connection.
    pub(crate) fn forget(&self, peer: u64) {
        let queues: Vec<i64> = lock(&self.table).queues.keys().copied().collect();
        for queue in queues {
            drop(self.take(queue, |held| held.pull.call.peer.id == peer));
        }
        drop(self.take_early(|early| early.call.peer.id == peer));
    }

    /// Lets a pull wait for its subscription, or gives it back when too many are held.
    #[expect(clippy::result_large_err, reason = "the refused pull is answered at once, not passed on")]
    pub(crate) fn postpone(&self, early: Early) -> Result<(), Early> {
        let mut table = lock(&self.table);
        if table.count + table.early.len() >= self.limit {
            return Err(early);
        }
        table.early.push(early);
        Ok(())
    }

    /// Takes the pulls that wait for a subscription and need not any more.
    pub(crate) fn take_early(&self, ready: impl Fn(&Early) -> bool) -> Vec<Early> {
        lock(&self.table).early.extract_if(.., |early| ready(early)).collect()
    }

    /// Number of pulls held.
    pub(crate) fn count(&self) -> usize {
        let table = lock(&self.table);
        table.count + table.early.len()
    }

    fn take(&self, queue: i64, mut wanted: impl FnMut(&mut Held) -> bool) -> Vec<Pull> {
        let mut table = lock(&self.table);
        let Some(of_queue) = table.queues.get_mut(&queue) else { return Vec::new() };
        let taken: Vec<Pull> = of_queue.extract_if(.., |held| wanted(held)).map(|held| held.pull).collect();
        if of_queue.is_empty() {
            table.queues.remove(&queue);
        }
        table.count -= taken.len();
        for pull in &taken {
            pull.queue.waiting.fetch_sub(1, Ordering::SeqCst);
        }
        taken
    }
}
