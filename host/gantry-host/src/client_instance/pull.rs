//! Pulling messages, and what the broker answers.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gantry_protocol::header::{PullMessageRequestHeader, PullMessageResponseHeader};
use gantry_protocol::names::MASTER_ID;
use gantry_protocol::{
    MessageError, MessageExt, RemotingCommand, RequestCode, ResponseCode, decode_all, sys_flag,
};

use super::ClientInstance;
use super::call::Answer;
use super::error::CallError;
use super::route_table::BrokerAddress;

/// The remark of PULL_RETRY_IMMEDIATELY when that is what it says (RocketMQ: GetMessageStatus.NO_MATCHED_MESSAGE).
const NO_MATCHED_MESSAGE: &str = "NO_MATCHED_MESSAGE";

/// The remark of PULL_OFFSET_MOVED after an operator's reset (RocketMQ: GetMessageStatus.OFFSET_RESET).
const OFFSET_RESET: &str = "OFFSET_RESET";

/// No record is shorter, in bytes.
const LEAST_RECORD: usize = 91;

/// The four statuses of a pull (RocketMQ: PullStatus).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullStatus {
    /// SUCCESS (0): there are messages.
    Found,
    /// PULL_NOT_FOUND (19): nothing after this offset yet.
    NoNewMsg,
    /// PULL_RETRY_IMMEDIATELY (20): there were messages, none of them wanted.
    NoMatchedMsg,
    /// PULL_OFFSET_MOVED (21): the broker has no such offset; the next begin offset is the right one.
    OffsetIllegal,
}

/// A broker's answer to a pull (RocketMQ: PullResult), its messages not decoded yet.
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
    pub broker_id: i64,
    /// Which broker of this name to ask next: 0 is the master.
    pub suggest_which_broker_id: i64,
    /// The remark says that an operator reset the group's offset.
    pub reset: bool,
    /// What is to be added to the messages' queue offsets; 0 with stock brokers.
    pub offset_delta: i64,
    /// Stored messages, one after the other; empty unless the status is [`PullStatus::Found`].
    pub body: Bytes,
}

impl PullAnswer {
    /// The messages, each a slice of the body; inner batches come as the messages they hold. Takes time in proportion
    /// to their number: meant for a place where that does not matter.
    ///
    /// # Errors
    /// See [`PullBodyError`].
    pub fn messages(&self) -> Result<Vec<MessageExt>, PullBodyError> {
        let first = self.body.first_chunk().map_or(0, |size| u32::from_be_bytes(*size) as usize);
        // As many as there are where all have the size of the first.
        let mut messages = Vec::with_capacity(self.body.len() / first.max(LEAST_RECORD));
        for record in decode_all(self.body.clone()) {
            let record = record?.with_offset_delta(self.offset_delta);
            if record.is_inner_batch() {
                messages.extend(
                    record.unwrap_inner_batch().map_err(|error| PullBodyError::InnerBatch(error.into()))?,
                );
            } else {
                messages.push(record);
            }
        }
        Ok(messages)
    }
}

/// A pull's body that is not what the protocol says.
#[derive(Debug, thiserror::Error)]
pub enum PullBodyError {
    /// A record cannot be read.
    #[error(transparent)]
    Record(#[from] MessageError),
    /// A record that holds several messages cannot be taken apart.
    #[error("{0}")]
    InnerBatch(Box<dyn Error + Send + Sync>),
}

impl ClientInstance {
    /// PULL_MESSAGE, or LITE_PULL_MESSAGE where the sysFlag says so, from the queue's broker of this id, or from its
    /// master where there is none. The commit-offset bit of the sysFlag is cleared where a slave is asked (RocketMQ:
    /// PullSysFlag.clearCommitOffsetFlag). `timeout` has to exceed the time the broker may hold the request.
    ///
    /// # Errors
    /// See [`CallError`]; a code other than the four statuses is [`CallError::Refused`].
    pub async fn pull(
        &self,
        broker_name: &Arc<str>,
        broker_id: i64,
        header: PullMessageRequestHeader,
        timeout: Duration,
    ) -> Result<PullAnswer, CallError> {
        let broker = self.broker_to_pull_from(&header.topic, broker_name, Some(broker_id)).await?;
        self.pull_from(broker, broker_name, header, timeout).await
    }

    /// The same from the first replica of the queue's broker, or from its master where there is none.
    ///
    /// # Errors
    /// See [`ClientInstance::pull`].
    pub async fn pull_from_replica(
        &self,
        broker_name: &Arc<str>,
        header: PullMessageRequestHeader,
        timeout: Duration,
    ) -> Result<PullAnswer, CallError> {
        let broker = self.broker_to_pull_from(&header.topic, broker_name, None).await?;
        self.pull_from(broker, broker_name, header, timeout).await
    }

    async fn pull_from(
        &self,
        broker: BrokerAddress,
        broker_name: &Arc<str>,
        header: PullMessageRequestHeader,
        timeout: Duration,
    ) -> Result<PullAnswer, CallError> {
        let (question, command) = Question::new(broker, broker_name, header);
        question.answered(self.ask(&question.broker.addr, command, timeout).await?)
    }

    /// [`ClientInstance::pull`] for a caller that does not wait: `done` is called once with what came of it, mostly by the
    /// connection, so it has to return soon. A time-out is noticed up to a second later. `lane` chooses one of several
    /// connections to the broker.
    pub(crate) fn pull_then(
        &self,
        (broker, lane): (BrokerAddress, usize),
        broker_name: &Arc<str>,
        header: PullMessageRequestHeader,
        timeout: Duration,
        done: impl FnOnce(Result<PullAnswer, CallError>) + Send + 'static,
    ) {
        let (question, command) = Question::new(broker, broker_name, header);
        let addr = Arc::clone(&question.broker.addr);
        self.ask_then(&addr, lane, command, timeout, move |answer| {
            done(answer.and_then(|answer| question.answered(answer)));
        });
    }

    /// The broker of this id to pull from, or its master where there is none; without an id its first replica, or its
    /// master where there is none.
    pub(crate) async fn broker_to_pull_from(
        &self,
        topic: &str,
        broker_name: &Arc<str>,
        id: Option<i64>,
    ) -> Result<BrokerAddress, CallError> {
        match self.known_broker(broker_name, id) {
            Some(known) => Ok(known),
            None => self.broker(topic, broker_name, id.unwrap_or(MASTER_ID)).await,
        }
    }

    /// The same, if a route that is known names it.
    pub(crate) fn known_broker(&self, broker_name: &str, id: Option<i64>) -> Option<BrokerAddress> {
        let routes = &self.0.routes;
        match id {
            Some(id) => routes.broker(broker_name, id),
            None => routes.replica(broker_name).or_else(|| routes.broker(broker_name, MASTER_ID)),
        }
    }
}

/// What a pull's answer is read by.
struct Question {
    broker: BrokerAddress,
    offset: i64,
}

impl Question {
    fn new(
        broker: BrokerAddress,
        broker_name: &str,
        mut header: PullMessageRequestHeader,
    ) -> (Self, RemotingCommand) {
        let offset = header.queue_offset;
        if !broker.is_master() {
            header.sys_flag &= !sys_flag::PULL_COMMIT_OFFSET;
        }
        header.broker_name.get_or_insert_with(|| broker_name.to_owned());
        let code = match header.sys_flag & sys_flag::PULL_LITE {
            0 => RequestCode::PULL_MESSAGE,
            _ => RequestCode::LITE_PULL_MESSAGE,
        };
        (Self { broker, offset }, RemotingCommand::request(code, &header))
    }

    fn answered(&self, answer: Answer) -> Result<PullAnswer, CallError> {
        let Self { broker, offset } = self;
        let Some(status) = status(answer.code()) else { return Err(answer.refusal()) };
        let header: PullMessageResponseHeader = answer.header()?;
        let remark = answer.command.remark.as_deref();
        // A slave says so, too, when it has not got what its master may have; then it has passed over nothing.
        let knows_nothing = status == PullStatus::NoMatchedMsg
            && !broker.is_master()
            && remark.is_some_and(|remark| remark != NO_MATCHED_MESSAGE);
        Ok(PullAnswer {
            status,
            next_begin_offset: if knows_nothing { *offset } else { header.next_begin_offset },
            min_offset: header.min_offset,
            max_offset: header.max_offset,
            broker_id: broker.id,
            suggest_which_broker_id: header.suggest_which_broker_id,
            reset: remark == Some(OFFSET_RESET),
            offset_delta: header.offset_delta.unwrap_or(0),
            body: if status == PullStatus::Found { answer.command.body } else { Bytes::new() },
        })
    }
}

fn status(code: ResponseCode) -> Option<PullStatus> {
    match code {
        ResponseCode::SUCCESS => Some(PullStatus::Found),
        ResponseCode::PULL_NOT_FOUND => Some(PullStatus::NoNewMsg),
        ResponseCode::PULL_RETRY_IMMEDIATELY => Some(PullStatus::NoMatchedMsg),
        ResponseCode::PULL_OFFSET_MOVED => Some(PullStatus::OffsetIllegal),
        _ => None,
    }
}
