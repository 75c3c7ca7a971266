//! Popping messages and settling them one by one (RocketMQ: MQClientAPIImpl.popMessageAsync, ackMessageAsync,
//! changeInvisibleTimeAsync, queryAssignment).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gantry_protocol::body::{
    BatchAckMessageRequestBody, MessageModel, MessageQueueAssignment, QueryAssignmentRequestBody,
    QueryAssignmentResponseBody,
};
use gantry_protocol::header::{
    AckMessageRequestHeader, ChangeInvisibleTimeRequestHeader, ChangeInvisibleTimeResponseHeader,
    PopMessageRequestHeader, PopMessageResponseHeader,
};
use gantry_protocol::pop::PopReceipt;
use gantry_protocol::{MessageExt, RemotingCommand, RequestCode, ResponseCode, decode_all};

use super::ClientInstance;
use super::call::{Answer, with_json};
use super::error::CallError;

/// How the brokers' own strategy divides queues (RocketMQ: AllocateMessageQueueAveragely.getName).
const AVERAGELY: &str = "AVG";

/// How a pop ended (RocketMQ: PopStatus).
#[derive(Debug, Clone)]
pub enum PopAnswer {
    /// SUCCESS (0): there are messages.
    Found {
        /// What the broker says of them.
        header: PopMessageResponseHeader,
        /// Stored messages, one after the other.
        body: Bytes,
    },
    /// POLLING_TIMEOUT (210), PULL_NOT_FOUND (19): there is nothing yet.
    NothingYet,
    /// POLLING_FULL (209): too many pops wait at the broker.
    PollingFull,
}

impl PopAnswer {
    /// The messages, each a slice of the body, with what settles them. Takes time in proportion to their number.
    ///
    /// # Errors
    /// The body, or what is said of a message, is not what the protocol says; in words.
    pub fn messages(&self) -> Result<Vec<(MessageExt, PopReceipt)>, String> {
        let Self::Found { header, body } = self else { return Ok(Vec::new()) };
        let messages: Result<Vec<MessageExt>, _> = decode_all(body.clone()).collect();
        let messages = messages.map_err(|error| error.to_string())?;
        let receipts = PopReceipt::of_answer(header, &messages).map_err(|error| error.to_string())?;
        Ok(messages.into_iter().zip(receipts).collect())
    }
}

impl ClientInstance {
    /// POP_MESSAGE, at the broker's master. `timeout` has to exceed the time the broker may hold the request.
    ///
    /// # Errors
    /// See [`CallError`]; a code other than the four of a pop is [`CallError::Refused`].
    pub async fn pop(
        &self,
        broker_name: &Arc<str>,
        mut header: PopMessageRequestHeader,
        timeout: Duration,
    ) -> Result<PopAnswer, CallError> {
        let addr = self.master(&header.topic, broker_name).await?;
        header.broker_name.get_or_insert_with(|| broker_name.to_string());
        let request = RemotingCommand::request(RequestCode::POP_MESSAGE, &header);
        let answer = self.ask(&addr, request, timeout).await?;
        match answer.code() {
            ResponseCode::SUCCESS => {
                Ok(PopAnswer::Found { header: answer.header()?, body: answer.command.body })
            }
            ResponseCode::POLLING_TIMEOUT | ResponseCode::PULL_NOT_FOUND => Ok(PopAnswer::NothingYet),
            ResponseCode::POLLING_FULL => Ok(PopAnswer::PollingFull),
            _ => Err(answer.refusal()),
        }
    }

    /// Settles popped messages of one broker, each with the topic it was first sent to: by ACK_MESSAGE where it is one, by
    /// BATCH_ACK_MESSAGE where there are more, and one by one at a broker that does not know that.
    ///
    /// # Errors
    /// See [`CallError`]. Some may be settled all the same.
    pub async fn ack(
        &self,
        group: &str,
        broker_name: &Arc<str>,
        acks: &[(Arc<str>, PopReceipt)],
    ) -> Result<(), CallError> {
        let [first, rest @ ..] = acks else { return Ok(()) };
        if !rest.is_empty() {
            let settled = acks.iter().map(|(topic, receipt)| (&**topic, *receipt));
            let body = BatchAckMessageRequestBody::new(broker_name, group, settled);
            let addr = self.master(&first.0, broker_name).await?;
            let request = with_json(&addr, RequestCode::BATCH_ACK_MESSAGE, &body)?;
            let answer = self.ask(&addr, request, self.api_timeout()).await?;
            if answer.code() != ResponseCode::REQUEST_CODE_NOT_SUPPORTED {
                return answer.success().map(drop);
            }
        }
        for (topic, receipt) in acks {
            self.ack_one(group, broker_name, topic, receipt).await?;
        }
        Ok(())
    }

    async fn ack_one(
        &self,
        group: &str,
        broker_name: &Arc<str>,
        topic: &str,
        receipt: &PopReceipt,
    ) -> Result<(), CallError> {
        let addr = self.master(topic, broker_name).await?;
        let header = AckMessageRequestHeader {
            consumer_group: group.to_owned(),
            topic: receipt.retry.topic(group, topic),
            queue_id: receipt.queue_id,
            extra_info: receipt.handle(broker_name).to_string(),
            offset: receipt.offset,
            broker_name: Some(broker_name.to_string()),
        };
        let request = RemotingCommand::request(RequestCode::ACK_MESSAGE, &header);
        self.ask(&addr, request, self.api_timeout()).await?.success().map(drop)
    }

    /// Hides a popped message for this long from now on, and returns what settles it then (CHANGE_MESSAGE_INVISIBLETIME).
    /// `topic` is the one it was first sent to. With `suspend`, that it comes again counts as no attempt, where the broker
    /// knows of that.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn change_invisible_time(
        &self,
        group: &str,
        broker_name: &Arc<str>,
        topic: &str,
        receipt: &PopReceipt,
        invisible_time: Duration,
        suspend: bool,
    ) -> Result<PopReceipt, CallError> {
        let addr = self.master(topic, broker_name).await?;
        let header = ChangeInvisibleTimeRequestHeader {
            consumer_group: group.to_owned(),
            topic: receipt.retry.topic(group, topic),
            queue_id: receipt.queue_id,
            extra_info: receipt.handle(broker_name).to_string(),
            offset: receipt.offset,
            invisible_time: i64::try_from(invisible_time.as_millis()).unwrap_or(i64::MAX),
            suspend: suspend.then_some(true),
            broker_name: Some(broker_name.to_string()),
        };
        let request = RemotingCommand::request(RequestCode::CHANGE_MESSAGE_INVISIBLETIME, &header);
        let answer = self.ask(&addr, request, self.api_timeout()).await?.success()?;
        let header: ChangeInvisibleTimeResponseHeader = answer.header()?;
        Ok(receipt.changed(header.pop_time, header.invisible_time, header.revive_queue_id))
    }

    /// Which queues of a topic this client is to consume, and how, as one broker of the topic has it (QUERY_ASSIGNMENT).
    /// Empty for a client that the broker does not know as a member of the group.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn query_assignment(
        &self,
        group: &str,
        topic: &str,
    ) -> Result<Vec<MessageQueueAssignment>, CallError> {
        let addr = self.any_broker(topic).await?;
        let body = QueryAssignmentRequestBody {
            client_id: self.client_id().to_owned(),
            consumer_group: group.to_owned(),
            message_model: MessageModel::Clustering,
            strategy_name: AVERAGELY.to_owned(),
            topic: topic.to_owned(),
        };
        let request = with_json(&addr, RequestCode::QUERY_ASSIGNMENT, &body)?;
        let answer: Answer = self.ask(&addr, request, self.api_timeout()).await?.success()?;
        Ok(answer.body::<QueryAssignmentResponseBody>()?.message_queue_assignments)
    }
}
