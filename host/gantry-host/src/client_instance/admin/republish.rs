//! Sending a dead letter to its topic again.
//!
//! RocketMQ has no request for it: the message is stored anew, as the Java client does when it puts a message back
//! itself. What the sender said stays (tag, keys, properties, flag, body, and the unique key, so that the id is the
//! same), what retries and delays added goes, and reconsume times begin at 0. `ORIGIN_MESSAGE_ID` says where it comes from.

use std::time::Duration;

use gantry_protocol::header::{SendMessageRequestHeaderV2, SendMessageResponseHeader};
use gantry_protocol::names::{self, AUTO_CREATE_TOPIC, is_dlq};
use gantry_protocol::properties::{self, keys};
use gantry_protocol::{MessageExt, MessageQueue, RemotingCommand, RequestCode, ResponseCode, sys_flag};

use crate::client_instance::{CallError, ClientInstance};

/// The producer group that brokers are told.
const PRODUCER_GROUP: &str = "GANTRY_REPLAY";
/// How long a send may take; RocketMQ's `sendMsgTimeout`.
const SEND_TIMEOUT: Duration = Duration::from_secs(3);
/// Queues of a topic that has to be created; RocketMQ's `defaultTopicQueueNums`.
const DEFAULT_QUEUES: i32 = 4;

impl ClientInstance {
    /// Stores a dead letter in a queue of its topic (SEND_MESSAGE_V2), once. Returns its offset there.
    ///
    /// # Errors
    /// See [`CallError`]. After a time-out the broker may have stored it all the same.
    pub async fn republish(&self, message: &MessageExt, queue: &MessageQueue) -> Result<i64, CallError> {
        let addr = self.master(&queue.topic, &queue.broker_name).await?;
        let request = RemotingCommand::request(RequestCode::SEND_MESSAGE_V2, &header(message, queue))
            .with_body(message.shared(message.stored_body()));
        let answer = self.ask(&addr, request, SEND_TIMEOUT).await?;
        let is_stored = matches!(
            answer.code(),
            ResponseCode::SUCCESS
                | ResponseCode::FLUSH_DISK_TIMEOUT
                | ResponseCode::FLUSH_SLAVE_TIMEOUT
                | ResponseCode::SLAVE_NOT_AVAILABLE
        );
        if !is_stored {
            return Err(answer.refusal());
        }
        Ok(answer.header::<SendMessageResponseHeader>()?.queue_offset)
    }
}

/// The topic a dead letter was first sent to; `None` where it does not say.
pub fn dead_letter_origin(message: &MessageExt) -> Option<&str> {
    let named = message.property(keys::DLQ_ORIGIN_TOPIC);
    let topic = named.or_else(|| message.property(keys::RETRY_TOPIC)).filter(|topic| !is_dlq(topic))?;
    // One that was popped and had come again names the retry topic it lay in.
    let group = names::group_of(message.topic()).unwrap_or_default();
    Some(names::pop_retry_origin(group, topic).unwrap_or(topic))
}

fn header(message: &MessageExt, queue: &MessageQueue) -> SendMessageRequestHeaderV2 {
    let kept = sys_flag::COMPRESSED | sys_flag::COMPRESSION_TYPE_MASK | sys_flag::MULTI_TAGS;
    SendMessageRequestHeaderV2 {
        producer_group: PRODUCER_GROUP.to_owned(),
        topic: queue.topic.to_string(),
        default_topic: AUTO_CREATE_TOPIC.to_owned(),
        default_topic_queue_nums: DEFAULT_QUEUES,
        queue_id: queue.queue_id,
        sys_flag: message.sys_flag() & kept,
        born_timestamp: message.born_timestamp(),
        flag: message.flag(),
        properties: Some(senders_properties(message)),
        reconsume_times: Some(0),
        unit_mode: Some(false),
        batch: Some(false),
        broker_name: Some(queue.broker_name.to_string()),
        ..SendMessageRequestHeaderV2::default()
    }
}

fn senders_properties(message: &MessageExt) -> String {
    let kept = message.properties().filter(|(name, _)| !is_of_its_past(name));
    let mut text = String::new();
    for (name, value) in kept.chain([(keys::WAIT, "true")]) {
        properties::push(&mut text, name, value);
    }
    text
}

/// What brokers and retries added, and would act upon or add again.
fn is_of_its_past(name: &str) -> bool {
    matches!(
        name,
        keys::RETRY_TOPIC
            | keys::RECONSUME_TIME
            | keys::MAX_RECONSUME_TIMES
            | keys::DLQ_ORIGIN_TOPIC
            | keys::DLQ_ORIGIN_MESSAGE_ID
            | keys::DELAY
            | keys::REAL_TOPIC
            | keys::REAL_QUEUE_ID
            | keys::TIMER_DELAY_SEC
            | keys::TIMER_DELAY_MS
            | keys::TIMER_DELIVER_MS
            | keys::TIMER_OUT_MS
            | keys::TIMER_ENQUEUE_MS
            | keys::TIMER_DEQUEUE_MS
            | keys::TRANSACTION_PREPARED
            | keys::PRODUCER_GROUP
            | keys::MIN_OFFSET
            | keys::MAX_OFFSET
            | keys::CONSUME_START_TIME
            | keys::POP_CK
            | keys::POP_CK_OFFSET
            | keys::FIRST_POP_TIME
            | keys::ORIGIN_GROUP
            | keys::INNER_NUM
            | keys::INNER_BASE
            | keys::MSG_REGION
            | keys::TRACE_SWITCH
            | keys::CLUSTER
            | keys::WAIT
            | keys::CRC32
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::{Bytes, BytesMut};
    use gantry_protocol::MessageRecord;

    fn dead_letter(properties: &[(&str, &str)]) -> MessageExt {
        let record = MessageRecord {
            topic: "%DLQ%g".to_owned(),
            queue_id: 0,
            flag: 7,
            queue_offset: 3,
            physical_offset: 100,
            sys_flag: 0x301 | sys_flag::TRANSACTION_COMMIT,
            born_timestamp: 5,
            born_host: "127.0.0.1:1".parse().unwrap(),
            store_timestamp: 6,
            store_host: "127.0.0.1:2".parse().unwrap(),
            reconsume_times: 16,
            prepared_transaction_offset: 0,
            body: Bytes::from_static(b"stored body"),
            properties: properties::encode(properties.iter().copied()).into(),
        };
        let mut bytes = BytesMut::new();
        record.encode(&mut bytes).unwrap();
        MessageExt::decode(bytes.freeze()).unwrap()
    }

    #[test]
    fn what_the_sender_said_stays_and_what_retries_added_goes() {
        let message = dead_letter(&[
            ("TAGS", "TagA"),
            ("KEYS", "a b"),
            ("größe", "ü€"),
            ("__SHARDINGKEY", "order-1"),
            ("UNIQ_KEY", "U"),
            ("ORIGIN_MESSAGE_ID", "O"),
            ("RETRY_TOPIC", "orders"),
            ("DELAY", "18"),
            ("REAL_TOPIC", "%RETRY%g"),
            ("REAL_QID", "0"),
            ("TRACE_ON", "true"),
            ("CLUSTER", "c"),
            ("WAIT", "false"),
        ]);
        assert_eq!(dead_letter_origin(&message), Some("orders"));
        let header = header(&message, &MessageQueue::new("orders", "b", 2));
        let text = header.properties.unwrap();
        let kept: Vec<_> = properties::parse(&text).collect();
        let expected = [
            ("TAGS", "TagA"),
            ("KEYS", "a b"),
            ("größe", "ü€"),
            ("__SHARDINGKEY", "order-1"),
            ("UNIQ_KEY", "U"),
            ("ORIGIN_MESSAGE_ID", "O"),
            ("WAIT", "true"),
        ];
        assert_eq!(kept, expected);
        assert_eq!((header.reconsume_times, header.flag, header.queue_id), (Some(0), 7, 2));
        assert_eq!(header.sys_flag, 0x301, "compressed as it is, and no transaction any more");
    }

    #[test]
    fn a_dead_letter_says_where_it_comes_from_or_not() {
        assert_eq!(dead_letter_origin(&dead_letter(&[("KEYS", "a")])), None);
        let by_proxy = dead_letter(&[("DLQ_ORIGIN_TOPIC", "orders"), ("RETRY_TOPIC", "%DLQ%g")]);
        assert_eq!(dead_letter_origin(&by_proxy), Some("orders"));
        assert_eq!(dead_letter_origin(&dead_letter(&[("RETRY_TOPIC", "%DLQ%g")])), None);
        let popped = dead_letter(&[("RETRY_TOPIC", "%RETRY%g_orders")]);
        assert_eq!(dead_letter_origin(&popped), Some("orders"));
    }
}
