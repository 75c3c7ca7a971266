//! What an operation of a pull consumer can end with.

use std::io;
use std::path::PathBuf;

use gantry_protocol::MessageQueue;
use gantry_protocol::names::NameError;
use gantry_protocol::tag::TagExpressionError;

use crate::client_instance::{CallError, PullBodyError, RouteError};

/// Why a pull consumer did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum PullConsumerError {
    /// The group's name is none.
    #[error(transparent)]
    Group(#[from] NameError),
    /// This client is a member of the group already.
    #[error("this client is in group {group} already; give each consumer of one client a group of its own")]
    GroupTaken {
        /// The group.
        group: String,
    },
    /// A setting is outside what it may be.
    #[error("{setting} is {value}; expected {expected}")]
    Setting {
        /// Its name.
        setting: &'static str,
        /// What it is.
        value: String,
        /// What it may be.
        expected: &'static str,
    },
    /// The tag expression names no tag.
    #[error(transparent)]
    Expression(#[from] TagExpressionError),
    /// A broker or name server did not answer as hoped.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The messages a broker sent cannot be read.
    #[error("messages of queue {} of {} at {} cannot be read: {source}; go on behind them to pass them over", queue.queue_id, queue.topic, queue.broker_name)]
    Body {
        /// The queue.
        queue: MessageQueue,
        /// What is wrong with them.
        source: PullBodyError,
    },
    /// The file with the offsets cannot be written.
    #[error("the offsets file {} cannot be written: {source}; it is tried again with the next commit", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The queue is not assigned to this consumer.
    #[error("queue {} of {} at {} is not assigned to this consumer; assign it, or wait until the group gives it", queue.queue_id, queue.topic, queue.broker_name)]
    NotAssigned {
        /// The queue.
        queue: MessageQueue,
    },
    /// The queue has no such offset.
    #[error("offset {offset} of queue {} of {} is outside of {min} to {max}, which the broker has", queue.queue_id, queue.topic)]
    OutOfRange {
        /// The queue.
        queue: MessageQueue,
        /// The offset.
        offset: i64,
        /// The smallest the broker has.
        min: i64,
        /// One past its largest.
        max: i64,
    },
    /// The offset would pass messages that poll has not returned.
    #[error("offset {offset} of queue {} of {} is past {returned}, up to which poll has returned messages; commit that, or seek first", queue.queue_id, queue.topic)]
    NotReturned {
        /// The queue.
        queue: MessageQueue,
        /// The offset.
        offset: i64,
        /// Where the first message is that poll has not returned.
        returned: i64,
    },
    /// Queues were assigned and topics subscribed.
    #[error("a consumer either is assigned queues or subscribes to topics; use two for both")]
    AssignedAndSubscribed,
    /// The consumer was shut down.
    #[error("the consumer of group {group} was shut down")]
    Closed {
        /// The group.
        group: String,
    },
}

impl From<RouteError> for PullConsumerError {
    fn from(error: RouteError) -> Self {
        Self::Call(error.into())
    }
}
