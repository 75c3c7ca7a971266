//! Taking a timer message back before its time (RocketMQ: DefaultMQProducer.recallMessage).

use std::sync::Arc;

use gantry_protocol::header::{RecallMessageRequestHeader, RecallMessageResponseHeader};
use gantry_protocol::names::{NameError, check_topic, is_dlq, is_retry};
use gantry_protocol::{RecallHandle, RecallHandleError, RemotingCommand, RequestCode};

use super::Producer;
use crate::client_instance::CallError;

/// Why a message was not recalled.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RecallError {
    /// The topic's name is not one.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The handle cannot be read.
    #[error(transparent)]
    Handle(#[from] RecallHandleError),
    /// The handle is of a message in another topic, or the topic is of retries or dead letters.
    #[error("a message of topic {topic} cannot be recalled as one of {named}; name the topic it was sent to")]
    Topic {
        /// The handle's topic.
        topic: String,
        /// The topic that was named.
        named: String,
    },
    /// The broker did not do it. ILLEGAL_OPERATION where the time is over, or the broker has no such timer.
    #[error(transparent)]
    Call(#[from] CallError),
}

impl Producer {
    /// Takes a timer message back that is not due yet, by the handle its send was answered with
    /// ([`SendReceipt::recall_handle`](super::SendReceipt::recall_handle)). Returns its message id. A broker says the same of
    /// a message that was delivered a moment before (RECALL_MESSAGE, RocketMQ since 5.3).
    ///
    /// # Errors
    /// See [`RecallError`].
    pub async fn recall(&self, topic: &str, handle: &str) -> Result<String, RecallError> {
        check_topic(topic)?;
        let place = RecallHandle::parse(handle)?;
        let (namespace, plain) = (&self.0.namespace, topic);
        let topic = &*namespace.wrap(plain);
        if place.topic != topic || is_retry(topic) || is_dlq(topic) {
            return Err(RecallError::Topic {
                topic: namespace.unwrap(&place.topic).into_owned(),
                named: plain.to_owned(),
            });
        }
        let (instance, broker_name) = (&self.0.instance, Arc::from(place.broker_name.as_str()));
        let addr = instance.master(topic, &broker_name).await?;
        let header = RecallMessageRequestHeader {
            producer_group: Some(namespace.wrap(&self.0.config.group).into_owned()),
            topic: topic.to_owned(),
            recall_handle: handle.to_owned(),
            broker_name: Some(place.broker_name),
        };
        let request = RemotingCommand::request(RequestCode::RECALL_MESSAGE, &header);
        let answer = instance.ask(&addr, request, self.0.config.send_timeout).await?.success()?;
        Ok(answer.header::<RecallMessageResponseHeader>()?.msg_id)
    }
}
