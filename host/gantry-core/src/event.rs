//! What happened that an operator may want to read. Each prints as one plain sentence.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use gantry_protocol::{MessageQueue, ResponseCode};

use crate::allocate::AllocateError;
use crate::id::ListenerId;

/// How much attention an event wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The ordinary course.
    Info,
    /// Something to look at.
    Warn,
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
            | Event::OffsetReset { .. }
            | Event::DeadLettered { .. }
            | Event::Resubscribed { .. } => Severity::Info,
            Event::QueueReleased { stored: Some(_), running: 0, .. } => Severity::Info,
            _ => Severity::Warn,
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
