//! One queue the group owns: its window, its pulls, its offset, and where it stands.

use std::time::{Duration, Instant};

use gantry_protocol::{MessageExt, MessageQueue};

use crate::flow_control::Limits;
use crate::id::QueueKey;
use crate::lanes::Lanes;
use crate::lock::QueueLock;
use crate::offset::CommitOffset;
use crate::places::{Run, Seq};
use crate::process_queue::ProcessQueue;
use crate::pull::PullState;
use crate::ramp::Ramp;
use crate::settled::SettledOffsets;
use crate::status::{QueuePhase, QueueStatus};

/// What is asked to learn where to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Locating {
    Stored,
    Max,
    Time(u64),
}

/// Where a queue stands, and what it waits for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Phase {
    /// Waits for the broker's lock.
    Locking,
    /// `asked` is the question on the way; none while waiting to ask again.
    Locating {
        step: Locating,
        asked: Option<u64>,
        failures: u32,
    },
    Consuming,
    /// The broker wants to move the offset back further than it may by itself: no new work until an operator decides, or
    /// the broker has the messages again.
    Halted {
        to: i64,
    },
    /// No new work; batches and send-backs in flight still count, until the deadline.
    Draining {
        deadline: Instant,
    },
    /// Nothing counts any more; the offset is on its way (`asked`), until the deadline.
    Storing {
        offset: i64,
        asked: Option<u64>,
        failures: u32,
        deadline: Instant,
    },
    /// Everything is done; the lock is on its way back (`asked`), until the deadline.
    Unlocking {
        stored: bool,
        asked: Option<u64>,
        failures: u32,
        deadline: Instant,
    },
}

#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) key: QueueKey,
    pub(crate) mq: MessageQueue,
    pub(crate) retry_topic: bool,
    pub(crate) phase: Phase,
    /// Set while the queue drains because the broker or an operator moved its offset; it then goes on from here.
    pub(crate) corrected: Option<Correction>,
    /// Let go when drained and stored, rather than resumed.
    pub(crate) revoked: bool,
    /// Allocated to this client again while it was being let go.
    pub(crate) wanted_again: bool,
    pub(crate) window: ProcessQueue<MessageExt>,
    pub(crate) lanes: Lanes,
    pub(crate) pull: PullState,
    pub(crate) offset: CommitOffset,
    pub(crate) limits: Limits,
    /// The lock it is consumed under, where it needs one.
    pub(crate) lock: Option<QueueLock>,
    /// What was settled before this ownership began, to be skipped.
    pub(crate) skip: Option<SettledOffsets>,
    /// The largest store timestamp of settled messages: of the last of each that were settled together, as a broker stores a queue
    /// in the order of time. Where its clock went back it is too small, and a message may come twice.
    pub(crate) newest_settled: i64,
    /// Something was settled since the last snapshot for the journal.
    pub(crate) journal_due: bool,
    /// Holds back after the queue was taken over.
    pub(crate) ramp: Option<Ramp>,
    /// An orderly queue whose head failed is given out again then.
    pub(crate) suspended_until: Option<Instant>,
    /// The head of an orderly queue and how often it has come again in place.
    pub(crate) head_retries: Option<(Seq, u32)>,
    pub(crate) watch: Watch,
    /// In the line of queues with something to consume.
    pub(crate) in_line: bool,
    /// Batches at listeners.
    pub(crate) running: usize,
    /// Messages in those.
    pub(crate) in_flight: usize,
    /// Messages on their way back or about to be.
    pub(crate) sending: usize,
    /// Messages whose send-back failed and waits.
    pub(crate) held: usize,
    pub(crate) last_consume: Option<Instant>,
}

/// What is watched for progress.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Watch {
    /// When this ownership began.
    pub(crate) began: Instant,
    /// The commit point as it was last seen to move.
    pub(crate) commit: i64,
    /// When.
    pub(crate) since: Instant,
    /// Alarms given since.
    pub(crate) alarms: u32,
}

/// Where the broker or an operator moved an offset.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Correction {
    pub(crate) from: i64,
    pub(crate) to: i64,
}

impl Queue {
    pub(crate) fn new(
        now: Instant,
        key: QueueKey,
        mq: MessageQueue,
        retry_topic: bool,
        limits: Limits,
    ) -> Self {
        Self {
            key,
            mq,
            retry_topic,
            phase: Phase::Locking,
            corrected: None,
            revoked: false,
            wanted_again: false,
            window: ProcessQueue::new(0),
            lanes: Lanes::default(),
            pull: PullState::new(),
            offset: CommitOffset::stored(-1),
            limits,
            lock: None,
            skip: None,
            newest_settled: i64::MIN,
            journal_due: false,
            ramp: None,
            suspended_until: None,
            head_retries: None,
            watch: Watch { began: now, commit: -1, since: now, alarms: 0 },
            in_line: false,
            running: 0,
            in_flight: 0,
            sending: 0,
            held: 0,
            last_consume: None,
        }
    }

    /// Begins to consume at `offset.value()`.
    pub(crate) fn begin(&mut self, offset: CommitOffset) {
        self.window = ProcessQueue::new(offset.value());
        self.offset = offset;
        self.phase = Phase::Consuming;
    }

    pub(crate) fn is_consuming(&self) -> bool {
        matches!(self.phase, Phase::Consuming)
    }

    /// Whether it has a window: its start offset is known.
    pub(crate) fn is_located(&self) -> bool {
        self.offset.value() >= 0
    }

    /// Whether it may be pulled.
    pub(crate) fn reads(&self) -> bool {
        matches!(self.phase, Phase::Consuming | Phase::Halted { .. })
    }

    /// Whether its lock, if it needs one, lets it be consumed.
    pub(crate) fn is_unlocked_for(&self, now: Instant, live: Duration) -> bool {
        self.lock.as_ref().is_none_or(|lock| lock.is_valid(now, live))
    }

    /// Whether something of an orderly queue is at a listener or on its way to the dead-letter topic.
    pub(crate) fn is_busy(&self) -> bool {
        self.running + self.sending + self.held > 0
    }

    pub(crate) fn is_draining(&self) -> bool {
        matches!(self.phase, Phase::Draining { .. })
    }

    /// Whether results and send-backs still count.
    pub(crate) fn settles(&self) -> bool {
        self.reads() || self.is_draining()
    }

    pub(crate) fn is_drained(&self) -> bool {
        self.is_draining() && self.running == 0 && self.sending == 0
    }

    /// Moves the offset to what is settled; not after a correction, which is what counts then.
    pub(crate) fn advance_offset(&mut self) {
        if self.corrected.is_none() {
            self.offset.advance(self.window.commit_point());
        }
    }

    /// Where its next owner is to begin.
    pub(crate) fn offset_to_leave(&self) -> i64 {
        self.corrected.map_or(self.offset.value(), |correction| correction.to)
    }

    /// Settles messages of the window.
    pub(crate) fn settle(&mut self, runs: impl IntoIterator<Item = Run>) {
        for run in runs {
            self.window.settle(run, |last| {
                self.newest_settled = self.newest_settled.max(last.store_timestamp());
                self.journal_due = true;
            });
        }
        self.window.trim();
    }

    pub(crate) fn status(&self, now: Instant, longest_running: Option<Duration>) -> QueueStatus {
        let load = self.window.load();
        QueueStatus {
            mq: self.mq.clone(),
            phase: match self.phase {
                Phase::Locating { .. } => QueuePhase::Locating,
                Phase::Locking => QueuePhase::Locking,
                Phase::Consuming => QueuePhase::Consuming,
                Phase::Halted { .. } => QueuePhase::Halted,
                Phase::Unlocking { .. } => QueuePhase::Unlocking,
                _ if !self.revoked => QueuePhase::Correcting,
                Phase::Draining { .. } => QueuePhase::Draining,
                Phase::Storing { .. } => QueuePhase::Storing,
            },
            commit_offset: self.offset.value(),
            next_offset: if self.is_located() { self.window.end() } else { -1 },
            max_offset: self.pull.max_offset,
            cached_count: load.count,
            cached_bytes: load.bytes,
            span: load.span,
            head_age: self.window.head_since().map(|since| now.saturating_duration_since(since)),
            longest_running,
            in_flight: self.in_flight,
            sending_back: self.sending + self.held,
            gate: self.pull.gate,
            locked: self.lock.as_ref().map(QueueLock::is_granted),
            suspended_until: self.suspended_until.filter(|&until| until > now),
            stuck_since: (self.watch.alarms > 0).then_some(self.watch.since),
            dropped: self.revoked,
            last_pull: self.pull.last,
            last_consume: self.last_consume,
        }
    }
}
