//! Questions that are answered: request messages and their replies (RocketMQ: DefaultMQProducer.request,
//! RequestFutureHolder, MessageUtil.createReplyMessage).

use std::time::Duration;

use bytes::Bytes;
use gantry_protocol::MessageExt;
use gantry_protocol::properties::keys;

use super::attempts::Deadline;
use super::message::OutgoingMessage;
use super::receipt::SendReceipt;
use super::{Producer, SendError};
use crate::client_instance::CallError;
use crate::client_instance::replies::TooManyRequests;

/// Why there is no reply.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RequestError {
    /// The request was not sent.
    #[error(transparent)]
    Send(#[from] SendError),
    /// No broker knows this client, so that no reply would find it.
    #[error("no broker takes this client for a producer, so that no reply would find it: {0}")]
    Unregistered(#[source] CallError),
    /// As many requests as may be are waiting for their replies.
    #[error(transparent)]
    TooMany(#[from] TooManyRequests),
    /// The request was sent, and nobody has answered it.
    #[error("no reply to {message_id} within {timeout:?}; does somebody consume the topic and reply?")]
    NoReply {
        /// The request's id.
        message_id: String,
        /// How long it was waited for, the send included.
        timeout: Duration,
    },
}

impl Producer {
    /// Sends a request message and waits for its reply, `timeout` for both together: at the first request the brokers are told
    /// that this client is a producer, for they bring the reply (PUSH_REPLY_MESSAGE_TO_CLIENT). A consumer of the topic
    /// replies with [`Producer::reply`], or in Java with `MessageUtil.createReplyMessage`.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn request(
        &self,
        message: &OutgoingMessage,
        timeout: Duration,
    ) -> Result<MessageExt, RequestError> {
        let deadline = Deadline::after(timeout);
        let instance = &self.0.instance;
        let group = self.0.namespace.wrap(&self.0.config.group);
        let registered = self.0.registered.get_or_try_init(|| instance.register_producer(&group));
        let registered =
            deadline.bound(&message.topic, "the brokers to know this producer", registered).await?;
        registered.map_err(RequestError::Unregistered)?;
        let mut waiting = instance.replies().wait_for(self.next_unique_key())?;
        let request = OutgoingMessage {
            properties: message
                .properties
                .iter()
                .cloned()
                .chain(of_request(waiting.correlation_id(), instance.client_id(), timeout))
                .collect(),
            ..message.clone()
        };
        let receipt = self.send_within(&request, deadline).await?;
        match tokio::time::timeout_at(deadline.at, waiting.reply()).await {
            Ok(Some(reply)) => Ok(reply),
            Ok(None) | Err(_) => Err(RequestError::NoReply { message_id: receipt.message_id, timeout }),
        }
    }

    /// Answers a request message that was consumed (SEND_REPLY_MESSAGE_V2): brings `body` to the client that waits for it.
    ///
    /// # Errors
    /// See [`SendError`]. A broker refuses with SYSTEM_ERROR where the client is gone; whether it still waits is not known.
    pub async fn reply(
        &self,
        request: &MessageExt,
        body: impl Into<Bytes>,
    ) -> Result<SendReceipt, SendError> {
        self.send(&OutgoingMessage::reply_to(request, body)?).await
    }
}

/// What makes a message a request.
fn of_request(correlation_id: &str, client_id: &str, timeout: Duration) -> [(String, String); 3] {
    [
        (keys::CORRELATION_ID.to_owned(), correlation_id.to_owned()),
        (keys::REPLY_TO_CLIENT.to_owned(), client_id.to_owned()),
        (keys::TTL.to_owned(), timeout.as_millis().to_string()),
    ]
}
