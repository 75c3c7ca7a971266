command_header! {
    /// SEND_MESSAGE 10 and SEND_REPLY_MESSAGE 324: the full field names.
    SendMessageRequestHeader {
        /// The producer group.
        producer_group: String = "producerGroup",
        /// The topic.
        topic: String = "topic",
        /// The topic to take settings from when the topic must be created.
        default_topic: String = "defaultTopic",
        /// Most queues such a topic gets.
        default_topic_queue_nums: i32 = "defaultTopicQueueNums",
        /// The queue; below 0 the broker picks one.
        queue_id: i32 = "queueId",
        /// Bits of [`crate::sys_flag`].
        sys_flag: i32 = "sysFlag",
        /// When the message was made, in milliseconds since the epoch.
        born_timestamp: i64 = "bornTimestamp",
        /// The sender's own flag.
        flag: i32 = "flag",
        /// The properties' text.
        properties: Option<String> = "properties",
        /// How often the message was reconsumed.
        reconsume_times: Option<i32> = "reconsumeTimes",
        /// Unit mode.
        unit_mode: Option<bool> = "unitMode",
        /// Whether the body is a sequence of batch items.
        batch: Option<bool> = "batch",
        /// How often it may be reconsumed; sent only to retry topics.
        max_reconsume_times: Option<i32> = "maxReconsumeTimes",
        /// The broker's name.
        broker_name: Option<String> = "bname",
    }

    /// SEND_MESSAGE_V2 310, SEND_BATCH_MESSAGE 320 and SEND_REPLY_MESSAGE_V2 325: one-letter field names.
    SendMessageRequestHeaderV2 {
        /// The producer group.
        producer_group: String = "a",
        /// The topic.
        topic: String = "b",
        /// The topic to take settings from when the topic must be created.
        default_topic: String = "c",
        /// Most queues such a topic gets.
        default_topic_queue_nums: i32 = "d",
        /// The queue; below 0 the broker picks one.
        queue_id: i32 = "e",
        /// Bits of [`crate::sys_flag`].
        sys_flag: i32 = "f",
        /// When the message was made, in milliseconds since the epoch.
        born_timestamp: i64 = "g",
        /// The sender's own flag.
        flag: i32 = "h",
        /// The properties' text.
        properties: Option<String> = "i",
        /// How often the message was reconsumed.
        reconsume_times: Option<i32> = "j",
        /// Unit mode.
        unit_mode: Option<bool> = "k",
        /// How often it may be reconsumed; sent only to retry topics.
        max_reconsume_times: Option<i32> = "l",
        /// Whether the body is a sequence of batch items.
        batch: Option<bool> = "m",
        /// The broker's name.
        broker_name: Option<String> = "n",
    }

    /// The answer to a send on SUCCESS, FLUSH_DISK_TIMEOUT, SLAVE_NOT_AVAILABLE and FLUSH_SLAVE_TIMEOUT.
    SendMessageResponseHeader {
        /// Offset message ids, joined by commas for a batch.
        msg_id: String = "msgId",
        /// The queue the message went to.
        queue_id: i32 = "queueId",
        /// The offset of the (first) message.
        queue_offset: i64 = "queueOffset",
        /// The unique key of the message.
        transaction_id: Option<String> = "transactionId",
        /// The unique key of the batch.
        batch_uniq_id: Option<String> = "batchUniqId",
        /// What recalls a timer message.
        recall_handle: Option<String> = "recallHandle",
        /// The broker's region; on refusals too.
        msg_region: Option<String> = "MSG_REGION",
        /// Whether the broker wants traces; on refusals too.
        trace_on: Option<bool> = "TRACE_ON",
    }

    /// The answer to a send that was refused.
    SendMessageRefusedHeader {
        /// The broker's region.
        msg_region: Option<String> = "MSG_REGION",
        /// Whether the broker wants traces.
        trace_on: Option<bool> = "TRACE_ON",
    }

    /// RECALL_MESSAGE 370.
    RecallMessageRequestHeader {
        /// The producer group.
        producer_group: Option<String> = "producerGroup",
        /// The message's topic.
        topic: String = "topic",
        /// The handle that the send was answered with.
        recall_handle: String = "recallHandle",
        /// The broker's name.
        broker_name: Option<String> = "bname",
    }

    /// The answer to RECALL_MESSAGE.
    RecallMessageResponseHeader {
        /// The unique key of the cancelled message.
        msg_id: String = "msgId",
    }

    /// CONSUMER_SEND_MSG_BACK 36.
    ConsumerSendMsgBackRequestHeader {
        /// The commit-log offset of the message.
        offset: i64 = "offset",
        /// The consumer group.
        group: String = "group",
        /// Below 0 dead-letters, 0 lets the broker choose, above 0 is a delay level.
        delay_level: i32 = "delayLevel",
        /// The message's id.
        origin_msg_id: Option<String> = "originMsgId",
        /// The topic the message was first sent to. Send it always: a broker's way to the DLQ fails without it.
        origin_topic: Option<String> = "originTopic",
        /// Unit mode.
        unit_mode: Option<bool> = "unitMode",
        /// How often the message may be reconsumed.
        max_reconsume_times: Option<i32> = "maxReconsumeTimes",
        /// The broker's name.
        broker_name: Option<String> = "bname",
    }

    /// PUSH_REPLY_MESSAGE_TO_CLIENT 326: the body is the reply's body. The client must answer it.
    ReplyMessageRequestHeader {
        /// The replier's producer group.
        producer_group: String = "producerGroup",
        /// The reply topic of the cluster.
        topic: String = "topic",
        /// The template topic.
        default_topic: String = "defaultTopic",
        /// Most queues of a created topic.
        default_topic_queue_nums: i32 = "defaultTopicQueueNums",
        /// The queue.
        queue_id: i32 = "queueId",
        /// Bits of [`crate::sys_flag`].
        sys_flag: i32 = "sysFlag",
        /// When the reply was made, in milliseconds since the epoch.
        born_timestamp: i64 = "bornTimestamp",
        /// The sender's own flag.
        flag: i32 = "flag",
        /// The properties' text.
        properties: Option<String> = "properties",
        /// How often the message was reconsumed.
        reconsume_times: Option<i32> = "reconsumeTimes",
        /// Unit mode.
        unit_mode: Option<bool> = "unitMode",
        /// The replier's address, `ip:port`.
        born_host: String = "bornHost",
        /// The broker's address, `ip:port`.
        store_host: String = "storeHost",
        /// When the broker took the reply, in milliseconds since the epoch.
        store_timestamp: i64 = "storeTimestamp",
    }
}

/// Both send headers say the same; only the names differ.
macro_rules! same_fields {
    ($from:ident => $to:ident) => {
        impl From<$from> for $to {
            fn from(header: $from) -> Self {
                Self {
                    producer_group: header.producer_group,
                    topic: header.topic,
                    default_topic: header.default_topic,
                    default_topic_queue_nums: header.default_topic_queue_nums,
                    queue_id: header.queue_id,
                    sys_flag: header.sys_flag,
                    born_timestamp: header.born_timestamp,
                    flag: header.flag,
                    properties: header.properties,
                    reconsume_times: header.reconsume_times,
                    unit_mode: header.unit_mode,
                    batch: header.batch,
                    max_reconsume_times: header.max_reconsume_times,
                    broker_name: header.broker_name,
                }
            }
        }
    };
}

same_fields!(SendMessageRequestHeader => SendMessageRequestHeaderV2);
same_fields!(SendMessageRequestHeaderV2 => SendMessageRequestHeader);
