//! What a send ends with when all is well.

use gantry_protocol::{MessageQueue, ResponseCode};

/// How well a sent message is kept (RocketMQ: SendStatus). It is at the broker in every case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendStatus {
    /// As well as the broker is configured to.
    Ok,
    /// Not on the broker's disk in time.
    FlushDiskTimeout,
    /// Not at a slave in time.
    FlushSlaveTimeout,
    /// There is no slave.
    SlaveNotAvailable,
}

impl SendStatus {
    /// RocketMQ's name of it, such as `SEND_OK`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "SEND_OK",
            Self::FlushDiskTimeout => "FLUSH_DISK_TIMEOUT",
            Self::FlushSlaveTimeout => "FLUSH_SLAVE_TIMEOUT",
            Self::SlaveNotAvailable => "SLAVE_NOT_AVAILABLE",
        }
    }

    /// `None` where the code says that the message is not at the broker.
    pub(super) fn of(code: ResponseCode) -> Option<Self> {
        match code {
            ResponseCode::SUCCESS => Some(Self::Ok),
            ResponseCode::FLUSH_DISK_TIMEOUT => Some(Self::FlushDiskTimeout),
            ResponseCode::FLUSH_SLAVE_TIMEOUT => Some(Self::FlushSlaveTimeout),
            ResponseCode::SLAVE_NOT_AVAILABLE => Some(Self::SlaveNotAvailable),
            _ => None,
        }
    }
}

/// A broker's word that it has a message (RocketMQ: SendResult).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendReceipt {
    /// How well the message is kept.
    pub status: SendStatus,
    /// The message's id as its consumers see it (`UNIQ_KEY`); of a batch, all of them, separated by commas.
    pub message_id: String,
    /// The id that names the place of the message at the broker; of a batch, all of them, separated by commas. `0` for a
    /// reply that the broker does not store.
    pub offset_msg_id: String,
    /// The queue it is in, or will be in when its delay is over.
    pub queue: MessageQueue,
    /// Its offset there, or with a delay that in the broker's own queue; of a batch, that of the first message.
    pub queue_offset: i64,
    /// What takes the message back before its time ([`Producer::recall`](super::Producer::recall)); only of messages
    /// that are delayed by time, and only from brokers since 5.3.
    pub recall_handle: Option<String>,
}
