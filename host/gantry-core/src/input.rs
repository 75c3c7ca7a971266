//! What the driver tells the core.

use gantry_protocol::pop::PopReceipt;
use gantry_protocol::{MessageExt, MessageQueue, ResponseCode};

/// What a name server said of a topic.
#[derive(Debug, Clone)]
pub enum Route {
    /// The queues that may be read: of each broker with read permission, 0 to readQueueNums − 1. May be empty.
    Found(Vec<MessageQueue>),
    /// The name server does not know the topic (TOPIC_NOT_EXIST).
    Missing,
    /// No name server could be asked. What was known stays.
    Failed(String),
}

/// How a round of heartbeats went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeartbeatOutcome {
    /// Every broker asked took it.
    Accepted,
    /// Some did.
    Partly,
    /// None did, or there was none to ask.
    Failed,
}

/// The answer to a question about an offset.
#[derive(Debug, Clone)]
pub enum OffsetAnswer {
    /// The offset.
    Found(i64),
    /// The broker has none stored for this group and queue (QUERY_NOT_FOUND).
    NotFound,
    /// It could not be learnt. It is asked again.
    Failed(String),
}

/// Why locks were not granted as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LockFailure {
    /// The broker does not let this client lock queues (NO_PERMISSION, REQUEST_CODE_NOT_SUPPORTED).
    Refused(String),
    /// No usable answer; it is asked again.
    Failed(String),
}

/// How a pull ended.
#[derive(Debug, Clone)]
pub enum PullOutcome {
    /// The broker answered with one of the four statuses of a pull.
    Answered(PullAnswer),
    /// The broker answered with any other code.
    Refused {
        /// Its code.
        code: ResponseCode,
        /// Its words.
        remark: String,
    },
    /// No usable answer: no connection, a time-out, or messages that do not decode.
    Failed(String),
}

/// A pull's answer (RocketMQ: PullResult).
#[derive(Debug, Clone)]
pub struct PullAnswer {
    /// The status.
    pub status: PullStatus,
    /// Where the next pull reads.
    pub next_begin_offset: i64,
    /// The smallest offset the broker has.
    pub min_offset: i64,
    /// One past the largest.
    pub max_offset: i64,
    /// The id of the broker that answered: 0 is the master.
    pub broker_id: u64,
    /// Which broker of this name to ask next: 0 is the master.
    pub suggest_which_broker_id: u64,
    /// An operator moved the group's offset: OFFSET_ILLEGAL with the remark OFFSET_RESET.
    pub reset: bool,
    /// The messages, in the order of their offsets; empty unless [`PullStatus::Found`].
    pub messages: Vec<MessageExt>,
}

/// The four statuses of a pull (RocketMQ: PullStatus).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullStatus {
    /// SUCCESS (0).
    Found,
    /// PULL_NOT_FOUND (19): nothing after this offset yet.
    NoNewMsg,
    /// PULL_RETRY_IMMEDIATELY (20): there were messages, none of them wanted.
    NoMatchedMsg,
    /// PULL_OFFSET_MOVED (21): the broker has no such offset; `next_begin_offset` is the right one.
    OffsetIllegal,
}

/// What a broker says of the queues a member is to pop.
#[derive(Debug, Clone)]
pub enum Assignment {
    /// These (mode POP); queue id −1 is any of the broker's.
    Queues(Vec<MessageQueue>),
    /// Nobody has set the group to pop this topic (mode PULL), or the broker has no word for it: every broker's queues are
    /// everybody's.
    Unset,
    /// It could not be learnt. What was known stays.
    Failed(String),
}

/// How a pop ended.
#[derive(Debug, Clone)]
pub enum PopOutcome {
    /// SUCCESS: messages, in the broker's order.
    Found(Vec<PoppedMessage>),
    /// POLLING_TIMEOUT (210), PULL_NOT_FOUND (19): nothing yet.
    NothingYet,
    /// POLLING_FULL (209): too many pops wait at the broker.
    PollingFull,
    /// The broker answered with any other code.
    Refused {
        /// Its code.
        code: ResponseCode,
        /// Its words.
        remark: String,
    },
    /// No usable answer: no connection, a time-out, or messages that do not decode.
    Failed(String),
}

/// One message of a pop.
#[derive(Debug, Clone)]
pub struct PoppedMessage {
    /// The message.
    pub message: MessageExt,
    /// What settles it.
    pub receipt: PopReceipt,
    /// The program's own filters take it away: it is settled without a listener.
    pub filtered: bool,
}

/// What a listener decided of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// Consumed.
    Success,
    /// Not now: the broker is to deliver it again.
    ReconsumeLater(RetryDelay),
    /// Never: to the dead-letter topic, for this reason.
    DeadLetter(String),
}

/// When a message given back comes again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryDelay {
    /// The broker's schedule: delay level 3 + reconsume times.
    ByAttempts,
    /// One of the 18 delay levels; values outside are clamped.
    Level(u8),
    /// At least this many milliseconds: the shortest level that is not less, and the longest (2 h) beyond.
    Millis(u64),
}
