//! What happened that an operator may want to read. Each prints as one plain sentence.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use gantry_protocol::{MessageQueue, ResponseCode};

use crate::allocate::{AllocateError, AllocationFault};
use crate::id::ListenerId;

/// How much attention an event wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The ordinary course.
    Info,
    /// Something to look at.
    Warn,
    /// Somebody has to do something.
    Alarm,
}

/// One thing that happened in a group.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// The name server does not know a subscribed topic. Said once until it appears.
    TopicMissing {
        /// The topic.
        topic: Arc<str>,
    },
    /// A topic's readable queues are now these many.
    RouteChanged {
        /// The topic.
        topic: Arc<str>,
        /// Its queues.
        queues: usize,
    },
    /// The group took a queue and will read it from `offset`.
    QueueAssigned {
        /// The queue.
        mq: MessageQueue,
        /// The first offset to read.
        offset: i64,
    },
    /// The start offset of a queue could not be learnt; it is asked again.
    StartOffsetUnknown {
        /// The queue.
        mq: MessageQueue,
        /// Why.
        reason: String,
        /// When.
        retry_in: Duration,
    },
    /// The group no longer owns a queue and lets it drain.
    QueueRevoked {
        /// The queue.
        mq: MessageQueue,
    },
    /// A queue has been let go.
    QueueReleased {
        /// The queue.
        mq: MessageQueue,
        /// The offset its next owner starts from, if it was stored.
        stored: Option<i64>,
        /// Messages that were cached and not settled.
        unsettled: usize,
        /// Messages still at listeners, whose results will be ignored.
        running: usize,
    },
    /// The broker moved a queue's offset.
    OffsetCorrected {
        /// The queue.
        mq: MessageQueue,
        /// Where the group wanted to read.
        from: i64,
        /// Where it reads now.
        to: i64,
        /// Cached messages that were dropped.
        dropped: usize,
    },
    /// An operator moved a queue's offset.
    OffsetReset {
        /// The queue.
        mq: MessageQueue,
        /// Where the group reads now.
        to: i64,
        /// Cached messages that were dropped.
        dropped: usize,
    },
    /// A pull was refused by the broker.
    PullRefused {
        /// The queue.
        mq: MessageQueue,
        /// The broker's code.
        code: ResponseCode,
        /// The broker's words.
        remark: String,
        /// When the next pull follows.
        retry_in: Duration,
    },
    /// A pull had no usable answer.
    PullFailed {
        /// The queue.
        mq: MessageQueue,
        /// Why.
        reason: String,
        /// When the next pull follows.
        retry_in: Duration,
    },
    /// The members of the group could not be learnt; the present allocation stays.
    MembersUnknown {
        /// The topic whose brokers were asked.
        topic: Arc<str>,
    },
    /// The allocation strategy gave no answer; the present allocation stays.
    AllocationRefused {
        /// The topic.
        topic: Arc<str>,
        /// Why.
        error: AllocateError,
    },
    /// The allocation strategy's answers do not fit together; the present allocation stays.
    AllocationUnsound {
        /// The topic.
        topic: Arc<str>,
        /// The rule that is broken.
        fault: AllocationFault,
    },
    /// A strategy that was asked gave no answer; the present allocation stays.
    StrategyFailed {
        /// The topic.
        topic: Arc<str>,
        /// The strategy.
        strategy: Arc<str>,
        /// Why.
        reason: String,
    },
    /// Queues of a topic change hands in another way from now on.
    RebalanceModeChanged {
        /// The topic.
        topic: Arc<str>,
        /// Cooperatively, or eagerly.
        cooperative: bool,
    },
    /// A queue's lock is another member's; it is asked for until it is free. Said after some tries.
    LockHeld {
        /// The queue.
        mq: MessageQueue,
    },
    /// Another member has the lock of a queue that was consumed here: what was not stored is consumed again there.
    LockLost {
        /// The queue.
        mq: MessageQueue,
    },
    /// A broker does not let this client lock queues, so they change hands eagerly.
    LocksRefused {
        /// Its words.
        reason: String,
    },
    /// A lock could not be given back; the queue's next owner waits until it ends by itself.
    LockNotReleased {
        /// The queue.
        mq: MessageQueue,
    },
    /// The broker wants to move a queue's offset back further than it may by itself. The queue is stopped.
    BackwardJump {
        /// The queue.
        mq: MessageQueue,
        /// Where the group wanted to read.
        from: i64,
        /// Where the broker would have it read.
        to: i64,
        /// How far back it may.
        most: u64,
    },
    /// A stopped queue goes on: the broker has its messages again.
    BackwardJumpOver {
        /// The queue.
        mq: MessageQueue,
    },
    /// A queue has messages to consume and makes no progress.
    QueueStuck {
        /// The queue.
        mq: MessageQueue,
        /// Since how long.
        since: Duration,
        /// Messages between the commit point and the end of the queue.
        lag: u64,
        /// What it waits for.
        cause: StuckCause,
    },
    /// A message of a broadcasting group failed; there is nobody to give it back to.
    Dropped {
        /// The queue.
        mq: MessageQueue,
        /// Its offset.
        offset: i64,
        /// Its id.
        message_id: String,
        /// The listener's reason, or how often it was tried.
        reason: String,
    },
    /// What was settled before does not belong to the queue's stored offset: somebody else has moved it.
    JournalIgnored {
        /// The queue.
        mq: MessageQueue,
        /// The stored offset.
        stored: i64,
        /// Where this host had settled everything.
        commit: i64,
    },
    /// No broker took the heartbeat.
    HeartbeatFailed {
        /// When the next one follows.
        retry_in: Duration,
    },
    /// An offset could not be stored.
    PersistFailed {
        /// The queue.
        mq: MessageQueue,
        /// The offset.
        offset: i64,
        /// Why.
        reason: String,
    },
    /// A message could not be given back. It is kept, holds the offset, and is tried again.
    SendBackFailed {
        /// The queue.
        mq: MessageQueue,
        /// The message's offset in it.
        offset: i64,
        /// Why.
        reason: String,
        /// When it is tried again; none when its queue is being given up.
        retry_in: Option<Duration>,
    },
    /// A message went to the dead-letter topic.
    DeadLettered {
        /// The queue it was pulled from.
        mq: MessageQueue,
        /// Its offset in it.
        offset: i64,
        /// Its id, as tools show it.
        message_id: String,
        /// The listener's reason, or that its retries are used up.
        reason: String,
    },
    /// A listener answered with another number of results than it was given messages.
    ResultCountWrong {
        /// The listener.
        listener: ListenerId,
        /// Messages in the batch.
        expected: usize,
        /// Results.
        got: usize,
    },
    /// Messages were settled because no listener wants them any more.
    Unwanted {
        /// The queue they were pulled from.
        mq: MessageQueue,
        /// How many.
        count: usize,
    },
    /// The group pops this queue from now on.
    PopAssigned {
        /// The queue; −1 is any of the broker's.
        mq: MessageQueue,
    },
    /// A pop was refused by the broker.
    PopRefused {
        /// The queue.
        mq: MessageQueue,
        /// The broker's code.
        code: ResponseCode,
        /// The broker's words.
        remark: String,
        /// When the next pop follows.
        retry_in: Duration,
    },
    /// A pop had no usable answer.
    PopFailed {
        /// The queue.
        mq: MessageQueue,
        /// Why.
        reason: String,
        /// When the next pop follows.
        retry_in: Duration,
    },
    /// The invisible time of popped messages ended before a listener had them, or before it had answered: the broker
    /// delivers them again.
    PopExpired {
        /// The queue.
        mq: MessageQueue,
        /// How many.
        count: usize,
    },
    /// A popped message could not be settled at its broker.
    NotSettled {
        /// The queue it was popped from.
        mq: MessageQueue,
        /// Its offset in it.
        offset: i64,
        /// Why.
        reason: String,
        /// When it is tried again; none when its invisible time ends before, and the broker delivers it again.
        retry_in: Option<Duration>,
    },
    /// What the group asks the brokers for has changed.
    Resubscribed {
        /// Topics that are new.
        added: Vec<Arc<str>>,
        /// Topics no longer wanted.
        removed: Vec<Arc<str>>,
        /// Topics whose expression changed.
        changed: Vec<Arc<str>>,
    },
}

impl Event {
    /// How much attention it wants.
    pub fn severity(&self) -> Severity {
        match self {
            Event::RouteChanged { .. }
            | Event::QueueAssigned { .. }
            | Event::QueueRevoked { .. }
            | Event::PopAssigned { .. }
            | Event::OffsetReset { .. }
            | Event::DeadLettered { .. }
            | Event::RebalanceModeChanged { .. }
            | Event::LockHeld { .. }
            | Event::BackwardJumpOver { .. }
            | Event::JournalIgnored { .. }
            | Event::Resubscribed { .. } => Severity::Info,
            Event::QueueReleased { stored: Some(_), running: 0, .. } => Severity::Info,
            Event::AllocationUnsound { .. }
            | Event::StrategyFailed { .. }
            | Event::BackwardJump { .. }
            | Event::QueueStuck { .. } => Severity::Alarm,
            _ => Severity::Warn,
        }
    }
}

/// What a queue without progress waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StuckCause {
    /// A batch has been at its listener this long.
    Listener(Duration),
    /// Its oldest message is tried again in place.
    Suspended,
    /// Messages that cannot be given back to the broker.
    SendBack,
    /// The broker's lock; it is asked for again.
    Lock,
    /// Its start offset.
    Offset,
    /// An operator's decision about a backward jump.
    Halted,
    /// The broker's answers to its pulls; it is pulled again.
    Broker,
    /// Nothing that is known; queues are allocated again.
    Unknown,
}

impl fmt::Display for StuckCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StuckCause::Listener(time) => write!(f, "a batch has been at its listener for {time:.0?}"),
            StuckCause::Suspended => write!(f, "its oldest message fails again and again"),
            StuckCause::SendBack => write!(f, "messages cannot be given back to the broker"),
            StuckCause::Lock => write!(f, "its lock is not granted; asking again"),
            StuckCause::Offset => write!(f, "its start offset cannot be learnt"),
            StuckCause::Halted => write!(f, "an operator is to decide about its backward jump"),
            StuckCause::Broker => write!(f, "the broker does not answer its pulls; pulling again"),
            StuckCause::Unknown => write!(f, "nothing stands against it; allocating queues again"),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::TopicMissing { topic } => {
                write!(f, "topic {topic} does not exist yet; it is consumed as soon as it appears")
            }
            Event::RouteChanged { topic, queues } => write!(f, "topic {topic} has {queues} readable queues"),
            Event::QueueAssigned { mq, offset } => write!(f, "took {mq}, reading from offset {offset}"),
            Event::StartOffsetUnknown { mq, reason, retry_in } => {
                write!(f, "the start offset of {mq} is unknown ({reason}); asking again in {retry_in:?}")
            }
            Event::QueueRevoked { mq } => write!(f, "{mq} goes to another member; draining it"),
            Event::QueueReleased { mq, stored: Some(offset), unsettled, running } => {
                write!(f, "let go of {mq} at offset {offset} ({unsettled} cached, {running} still running)")
            }
            Event::QueueReleased { mq, stored: None, unsettled, running } => write!(
                f,
                "let go of {mq} without storing its offset ({unsettled} cached, {running} still running)"
            ),
            Event::OffsetCorrected { mq, from, to, dropped } => {
                write!(
                    f,
                    "the broker moved {mq} from offset {from} to {to}; {dropped} cached messages dropped"
                )
            }
            Event::OffsetReset { mq, to, dropped } => {
                write!(f, "an operator set {mq} to offset {to}; {dropped} cached messages dropped")
            }
            Event::PullRefused { mq, code, remark, retry_in } => {
                write!(f, "the broker refused to let {mq} be pulled: {code}, {remark}; again in {retry_in:?}")
            }
            Event::PullFailed { mq, reason, retry_in } => {
                write!(f, "pulling {mq} failed: {reason}; again in {retry_in:?}")
            }
            Event::MembersUnknown { topic } => {
                write!(
                    f,
                    "the group's members could not be learnt from the brokers of {topic}; queues stay as they are"
                )
            }
            Event::AllocationRefused { topic, error } => {
                write!(f, "the queues of {topic} stay as they are: {error}")
            }
            Event::AllocationUnsound { topic, fault } => {
                write!(f, "the queues of {topic} stay as they are: {fault}")
            }
            Event::StrategyFailed { topic, strategy, reason } => {
                write!(f, "the queues of {topic} stay as they are: strategy {strategy} failed: {reason}")
            }
            Event::RebalanceModeChanged { topic, cooperative: true } => write!(
                f,
                "queues of {topic} change hands cooperatively: every member of the group is a Gantry host"
            ),
            Event::RebalanceModeChanged { topic, cooperative: false } => {
                write!(
                    f,
                    "queues of {topic} change hands eagerly: not every member of the group is a Gantry host"
                )
            }
            Event::LockHeld { mq } => write!(f, "{mq} is still another member's; taking it when it is free"),
            Event::LockLost { mq } => write!(
                f,
                "another member has taken the lock of {mq}; what was not stored here is consumed again there"
            ),
            Event::LocksRefused { reason } => write!(
                f,
                "the broker does not let this client lock queues ({reason}), so they change hands eagerly; grant it to lock, or set rebalance to eager"
            ),
            Event::LockNotReleased { mq } => write!(
                f,
                "the lock of {mq} could not be given back; its next owner waits up to 60 s until it ends by itself"
            ),
            Event::BackwardJump { mq, from, to, most } => write!(
                f,
                "the broker would move {mq} from offset {from} back to {to}, more than the {most} messages it may; the queue is stopped until an operator decides (POST /groups/GROUP/decide of the admin API), or the broker has those messages again"
            ),
            Event::BackwardJumpOver { mq } => {
                write!(f, "{mq} goes on where it was stopped: the broker has its messages again")
            }
            Event::QueueStuck { mq, since, lag, cause } => {
                write!(f, "{mq} makes no progress for {since:.0?} with {lag} messages to consume: {cause}")
            }
            Event::Dropped { mq, offset, message_id, reason } => write!(
                f,
                "message {message_id} (offset {offset} of {mq}) failed and is not tried again, as its group is broadcasting: {reason}"
            ),
            Event::JournalIgnored { mq, stored, commit } => write!(
                f,
                "{mq} begins at offset {stored}, which this host has not stored (it had settled everything below {commit}); what it remembers of the queue is ignored"
            ),
            Event::HeartbeatFailed { retry_in } => {
                write!(f, "no broker took the heartbeat; again in {retry_in:?}")
            }
            Event::PersistFailed { mq, offset, reason } => {
                write!(f, "offset {offset} of {mq} could not be stored: {reason}")
            }
            Event::SendBackFailed { mq, offset, reason, retry_in: Some(retry_in) } => write!(
                f,
                "the message at offset {offset} of {mq} could not be given back: {reason}; again in {retry_in:?}"
            ),
            Event::SendBackFailed { mq, offset, reason, retry_in: None } => write!(
                f,
                "the message at offset {offset} of {mq} could not be given back: {reason}; its next owner gets it again"
            ),
            Event::DeadLettered { mq, offset, message_id, reason } => write!(
                f,
                "message {message_id} (offset {offset} of {mq}) went to the dead-letter topic: {reason}"
            ),
            Event::ResultCountWrong { listener, expected, got } => write!(
                f,
                "{listener} answered {got} results for {expected} messages; the batch is reconsumed later"
            ),
            Event::Unwanted { mq, count } => {
                write!(f, "{count} messages of {mq} were skipped: no listener wants them any more")
            }
            Event::PopAssigned { mq } => write!(f, "{mq} is popped"),
            Event::PopRefused { mq, code: ResponseCode::REQUEST_CODE_NOT_SUPPORTED, .. } => write!(
                f,
                "the broker of {mq} does not know POP, which takes RocketMQ 5: set mode = \"pull\" for the group, or use a newer broker"
            ),
            Event::PopRefused { mq, code, remark, retry_in } => {
                write!(f, "pop of {mq} refused with {code}: {remark}; again in {retry_in:?}")
            }
            Event::PopFailed { mq, reason, retry_in } => {
                write!(f, "pop of {mq} failed: {reason}; again in {retry_in:?}")
            }
            Event::PopExpired { mq, count } => write!(
                f,
                "the invisible time of {count} messages of {mq} ended before they were settled; the broker delivers them again. If this is often so, listeners are too slow for pop-threshold-for-queue, or pop-invisible-time is too short"
            ),
            Event::NotSettled { mq, offset, reason, retry_in: Some(retry_in) } => write!(
                f,
                "the message at offset {offset} of {mq} could not be settled: {reason}; again in {retry_in:?}"
            ),
            Event::NotSettled { mq, offset, reason, retry_in: None } => write!(
                f,
                "the message at offset {offset} of {mq} could not be settled: {reason}; the broker delivers it again"
            ),
            Event::Resubscribed { added, removed, changed } => write!(
                f,
                "subscriptions changed: added [{}], removed [{}], changed [{}]",
                added.join(", "),
                removed.join(", "),
                changed.join(", ")
            ),
        }
    }
}
