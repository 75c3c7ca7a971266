//! What a host can see of a group while it works, and when it has ended.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gantry_protocol::MessageQueue;

use crate::flow_control::Gate;
use crate::id::ListenerId;

/// One queue the group owns (RocketMQ: ProcessQueueInfo).
#[derive(Debug, Clone)]
pub struct QueueStatus {
    /// The queue.
    pub mq: MessageQueue,
    /// Where it stands.
    pub phase: QueuePhase,
    /// The offset of the first message not known to be settled; −1 while the start offset is still being learnt.
    pub commit_offset: i64,
    /// Where the next pull reads.
    pub next_offset: i64,
    /// The largest end of the queue a broker has told of; −1 before the first answer. The lag is this less
    /// `commit_offset`.
    pub max_offset: i64,
    /// Messages in the window that are not settled.
    pub cached_count: usize,
    /// Their stored size in bytes.
    pub cached_bytes: u64,
    /// Offset of the newest less offset of the oldest of them.
    pub span: u64,
    /// How long the oldest of them has been here.
    pub head_age: Option<Duration>,
    /// How long the longest-running batch of this queue has been at its listener.
    pub longest_running: Option<Duration>,
    /// Messages at listeners.
    pub in_flight: usize,
    /// Messages on their way back to the broker, or waiting to be tried again.
    pub sending_back: usize,
    /// Why the queue is not pulled right now, if flow control holds it.
    pub gate: Option<Gate>,
    /// Whether the broker's lock has been granted; none where the queue needs none.
    pub locked: Option<bool>,
    /// Until when an orderly queue waits after a message that failed.
    pub suspended_until: Option<Instant>,
    /// Since when the queue has messages to consume and makes no progress, once that has been an alarm.
    pub stuck_since: Option<Instant>,
    /// The queue has been taken away and takes no new work (RocketMQ: dropped).
    pub dropped: bool,
    /// When it was last pulled.
    pub last_pull: Option<Instant>,
    /// When a batch of it last came back from a listener.
    pub last_consume: Option<Instant>,
}

/// Where a queue stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueuePhase {
    /// The broker's lock is waited for: another member may still hold it.
    Locking,
    /// Its start offset is being learnt.
    Locating,
    /// It is pulled and consumed.
    Consuming,
    /// The broker wants to move the offset back further than `max_backward_jump`; an operator is to decide.
    Halted,
    /// The broker or an operator moved its offset; batches in flight are waited for, then the new offset is stored.
    Correcting,
    /// It is being given up; batches in flight are waited for.
    Draining,
    /// It is being given up; its offset is on the way to the broker.
    Storing,
    /// It is being given up; its lock is on the way back to the broker.
    Unlocking,
}

/// One batch at a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchStatus {
    /// Who has it.
    pub listener: ListenerId,
    /// The topic the listener subscribed to.
    pub topic: Arc<str>,
    /// The queue it was pulled from; none once that has been let go, so that the results will be ignored.
    pub mq: Option<MessageQueue>,
    /// Its messages that have not come back.
    pub messages: usize,
    /// For how long it has been there.
    pub running: Duration,
}

/// Counts since the group started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GroupStats {
    /// Messages pulled.
    pub pulled: u64,
    /// Messages dropped from a pull because no listener's tags match, though the broker's hash filter let them through.
    pub filtered: u64,
    /// Messages settled without a listener because no listener wants them any more.
    pub unwanted: u64,
    /// Messages handed to listeners.
    pub delivered: u64,
    /// Messages skipped because they had been settled before this host was restarted, or lost the queue for a while.
    pub skipped: u64,
    /// Messages settled by success.
    pub succeeded: u64,
    /// Messages given back to the broker to come again.
    pub reconsumed: u64,
    /// Messages given back to the broker for the dead-letter topic: at once, or because their retries are used up.
    pub dead_lettered: u64,
    /// Times a message of an orderly queue was kept to come again in place.
    pub retried_in_place: u64,
    /// Messages of a broadcasting group that failed and were dropped.
    pub dropped: u64,
    /// Locks that another member got before this one had let go.
    pub locks_lost: u64,
    /// Alarms of queues without progress.
    pub stuck_alarms: u64,
    /// Attempts to give a message back that failed.
    pub send_back_failures: u64,
    /// Results that came after their queue had been let go, and were ignored.
    pub late_results: u64,
    /// Pulls refused or failed.
    pub pull_failures: u64,
    /// Pulls put off by flow control.
    pub flow_controlled: u64,
    /// Queues taken and let go.
    pub queues_assigned: u64,
    /// Queues let go.
    pub queues_released: u64,
    /// Offsets corrected after OFFSET_ILLEGAL.
    pub offsets_corrected: u64,
    /// Popped messages whose invisible time ended before they were settled.
    pub expired: u64,
    /// Times a popped message's invisible time was lengthened because its listener was still at work.
    pub lengthened: u64,
}

/// How a group ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TerminationReport {
    /// Messages that were in windows and not settled; the broker delivers them again.
    pub unsettled: usize,
    /// Batches still at listeners when the grace period ended; their results are ignored.
    pub batches_running: usize,
    /// Queues whose offset could not be stored; they are read again from the last stored one.
    pub offsets_not_stored: Vec<MessageQueue>,
}

impl TerminationReport {
    /// Nothing was running and every offset was stored. Messages that were only cached are no blemish.
    pub fn is_graceful(&self) -> bool {
        self.batches_running == 0 && self.offsets_not_stored.is_empty()
    }
}
