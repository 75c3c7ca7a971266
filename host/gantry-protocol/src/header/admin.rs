command_header! {
    /// UPDATE_AND_CREATE_TOPIC 17.
    CreateTopicRequestHeader {
        /// The topic.
        topic: String = "topic",
        /// The topic to take settings from.
        default_topic: Option<String> = "defaultTopic",
        /// Queues to read.
        read_queue_nums: i32 = "readQueueNums",
        /// Queues to write.
        write_queue_nums: i32 = "writeQueueNums",
        /// Bits of [`crate::perm`].
        perm: i32 = "perm",
        /// `SINGLE_TAG` or `MULTI_TAG`.
        topic_filter_type: Option<String> = "topicFilterType",
        /// System flag of the topic.
        topic_sys_flag: Option<i32> = "topicSysFlag",
        /// Whether the topic is ordered.
        order: Option<bool> = "order",
        /// Attributes, `+key=value` joined by commas.
        attributes: Option<String> = "attributes",
        /// Whether to overwrite what exists.
        force: Option<bool> = "force",
    }

    /// VIEW_MESSAGE_BY_ID 33. The answer's body is the message.
    ViewMessageRequestHeader {
        /// The message's topic.
        topic: Option<String> = "topic",
        /// The commit-log offset of the message.
        offset: i64 = "offset",
    }

    /// QUERY_MESSAGE 12. The answer's body is the messages.
    QueryMessageRequestHeader {
        /// The topic.
        topic: String = "topic",
        /// The key, or the unique key.
        key: String = "key",
        /// Most messages wanted.
        max_num: i32 = "maxNum",
        /// Oldest store time, in milliseconds since the epoch.
        begin_timestamp: i64 = "beginTimestamp",
        /// Newest store time, in milliseconds since the epoch.
        end_timestamp: i64 = "endTimestamp",
        /// Whether the key is a unique key.
        unique_key_query: Option<bool> = "_UNIQUE_KEY_QUERY",
        /// `U` for unique keys, `K` for keys.
        index_type: Option<String> = "indexType",
    }

    /// The answer to QUERY_MESSAGE.
    QueryMessageResponseHeader {
        /// When the index was last written, in milliseconds since the epoch.
        index_last_update_timestamp: i64 = "indexLastUpdateTimestamp",
        /// Up to which commit-log offset the index goes.
        index_last_update_phyoffset: i64 = "indexLastUpdatePhyoffset",
    }

    /// GET_CONSUMER_RUNNING_INFO 307. The answer's body is a [`crate::body::ConsumerRunningInfo`].
    GetConsumerRunningInfoRequestHeader {
        /// The consumer group.
        consumer_group: String = "consumerGroup",
        /// The client asked for.
        client_id: String = "clientId",
        /// Whether stack traces are wanted.
        jstack_enable: Option<bool> = "jstackEnable",
    }

    /// CONSUME_MESSAGE_DIRECTLY 309. The body is the message; the answer's body is a
    /// [`crate::body::ConsumeMessageDirectlyResult`].
    ConsumeMessageDirectlyRequestHeader {
        /// The consumer group.
        consumer_group: String = "consumerGroup",
        /// The client that shall consume it.
        client_id: Option<String> = "clientId",
        /// The message's offset id.
        msg_id: Option<String> = "msgId",
        /// The broker's name.
        broker_name: Option<String> = "brokerName",
        /// The topic.
        topic: Option<String> = "topic",
        /// System flag of the topic.
        topic_sys_flag: Option<i32> = "topicSysFlag",
        /// System flag of the group.
        group_sys_flag: Option<i32> = "groupSysFlag",
    }

    /// RESET_CONSUMER_CLIENT_OFFSET 220 and INVOKE_BROKER_TO_RESET_OFFSET 222.
    ResetOffsetRequestHeader {
        /// The topic.
        topic: String = "topic",
        /// The consumer group.
        group: String = "group",
        /// The queue; -1 is all.
        queue_id: Option<i32> = "queueId",
        /// The offset; -1 or absent goes by time.
        offset: Option<i64> = "offset",
        /// The time, in milliseconds since the epoch; -1 is the end.
        timestamp: i64 = "timestamp",
        /// Whether offsets may move forward too.
        is_force: bool = "isForce" or false,
    }

    /// GET_CONSUMER_STATUS_FROM_CLIENT 221 and INVOKE_BROKER_TO_GET_CONSUMER_STATUS 223.
    GetConsumerStatusRequestHeader {
        /// The topic.
        topic: String = "topic",
        /// The consumer group.
        group: String = "group",
        /// The client asked for; absent or empty is all.
        client_addr: Option<String> = "clientAddr",
    }
}
