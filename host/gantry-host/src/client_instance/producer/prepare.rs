//! From a message to the request that carries it, whose queue is still to be chosen.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use gantry_protocol::batch::{self, BatchItem};
use gantry_protocol::header::SendMessageRequestHeaderV2;
use gantry_protocol::names::{AUTO_CREATE_TOPIC, is_retry};
use gantry_protocol::properties::{self, keys};
use gantry_protocol::{MessageQueue, RemotingCommand, RequestCode};

use super::Producer;
use super::message::{Delay, OutgoingMessage};
use crate::client_instance::SendError;

/// A request whose queue is still to be chosen.
pub(super) struct Prepared {
    code: RequestCode,
    header: SendMessageRequestHeaderV2,
    body: Bytes,
    pub(super) message_id: String,
}

impl Prepared {
    /// The request that puts it into this queue.
    pub(super) fn request(&self, queue: &MessageQueue) -> RemotingCommand {
        let header = SendMessageRequestHeaderV2 {
            queue_id: queue.queue_id,
            broker_name: Some(queue.broker_name.to_string()),
            ..self.header.clone()
        };
        RemotingCommand::request(self.code, &header).with_body(self.body.clone())
    }

    /// The topic by its name on the wire.
    pub(super) fn topic(&self) -> &str {
        &self.header.topic
    }

    /// Length of the body as it is sent, in bytes.
    pub(super) fn size(&self) -> usize {
        self.body.len()
    }
}

impl Producer {
    pub(super) fn prepare(&self, message: &OutgoingMessage) -> Result<Prepared, SendError> {
        let config = &self.0.config;
        message.check(&self.0.namespace, config.max_message_size)?;
        let message_id = self.next_unique_key();
        let properties = message.property_text(&message_id)?;
        let (body, sys_flag) = message.stored_body(config);
        let header =
            SendMessageRequestHeaderV2 { sys_flag, flag: message.flag, ..self.header(message, properties) };
        let code = match message.is_reply() {
            true => RequestCode::SEND_REPLY_MESSAGE_V2,
            false => RequestCode::SEND_MESSAGE_V2,
        };
        Ok(Prepared { code, header, body, message_id })
    }

    pub(super) fn prepare_batch(&self, messages: &[OutgoingMessage]) -> Result<Prepared, SendError> {
        let Some(first) = messages.first() else {
            return Err(OutgoingMessage::default().invalid("the batch is empty".to_owned()));
        };
        let max_size = self.0.config.max_message_size;
        if is_retry(&first.topic) {
            return Err(first.invalid("brokers take no batches for retry topics".to_owned()));
        }
        let (mut texts, mut ids) = (Vec::with_capacity(messages.len()), Vec::with_capacity(messages.len()));
        for message in messages {
            message.check(&self.0.namespace, max_size)?;
            if message.topic != first.topic {
                return Err(
                    message.invalid(format!("the batch is for {}; send one batch per topic", first.topic))
                );
            }
            if message.delay != Delay::None {
                return Err(
                    message.invalid("messages of a batch cannot be delayed; send it alone".to_owned())
                );
            }
            if message.is_reply() {
                return Err(message.invalid("a reply cannot be in a batch; send it alone".to_owned()));
            }
            let id = self.next_unique_key();
            texts.push(message.property_text(&id)?);
            ids.push(id);
        }
        let mut body = BytesMut::new();
        let items = messages.iter().zip(&texts).map(|(message, properties)| BatchItem {
            flag: message.flag,
            body: &message.body,
            properties: properties.as_bytes(),
        });
        batch::encode(items, &mut body).map_err(|error| first.invalid(error.to_string()))?;
        if body.len() > max_size {
            let length = body.len();
            return Err(first
                .invalid(format!("the batch of {length} bytes is longer than max_message_size {max_size}")));
        }
        let properties =
            properties::encode([(keys::UNIQUE_KEY, self.next_unique_key()), (keys::WAIT, "true".into())]);
        let header = SendMessageRequestHeaderV2 { batch: Some(true), ..self.header(first, properties) };
        Ok(Prepared {
            code: RequestCode::SEND_BATCH_MESSAGE,
            header,
            body: body.freeze(),
            message_id: ids.join(","),
        })
    }

    fn header(&self, message: &OutgoingMessage, properties: String) -> SendMessageRequestHeaderV2 {
        let config = &self.0.config;
        SendMessageRequestHeaderV2 {
            producer_group: self.0.namespace.wrap(&config.group).into_owned(),
            topic: message.wire_topic(&self.0.namespace).into_owned(),
            default_topic: AUTO_CREATE_TOPIC.to_owned(),
            default_topic_queue_nums: config.default_topic_queue_nums,
            born_timestamp: i64::try_from(now_ms()).unwrap_or(i64::MAX),
            properties: Some(properties),
            reconsume_times: Some(0),
            unit_mode: Some(self.0.instance.unit_mode()),
            batch: Some(false),
            ..SendMessageRequestHeaderV2::default()
        }
    }

    pub(super) fn next_unique_key(&self) -> String {
        self.0.unique_keys.next(now_ms()).to_string()
    }
}

pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
