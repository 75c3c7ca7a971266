use super::BoundaryType;

command_header! {
    /// QUERY_CONSUMER_OFFSET 14.
    QueryConsumerOffsetRequestHeader {
        /// The consumer group.
        consumer_group: String = "consumerGroup",
        /// The topic.
        topic: String = "topic",
        /// The queue.
        queue_id: i32 = "queueId",
        /// Whether a young queue without a stored offset may answer 0; the broker assumes so.
        set_zero_if_not_found: Option<bool> = "setZeroIfNotFound",
        /// The broker's name.
        broker_name: Option<String> = "bname",
    }

    /// The answer to QUERY_CONSUMER_OFFSET.
    QueryConsumerOffsetResponseHeader {
        /// The stored offset.
        offset: i64 = "offset",
    }

    /// UPDATE_CONSUMER_OFFSET 15.
    UpdateConsumerOffsetRequestHeader {
        /// The consumer group.
        consumer_group: String = "consumerGroup",
        /// The topic.
        topic: String = "topic",
        /// The queue.
        queue_id: i32 = "queueId",
        /// The offset to store: that of the next message to consume.
        commit_offset: i64 = "commitOffset",
        /// The broker's name.
        broker_name: Option<String> = "bname",
    }

    /// SEARCH_OFFSET_BY_TIMESTAMP 29.
    SearchOffsetRequestHeader {
        /// The topic.
        topic: String = "topic",
        /// The queue.
        queue_id: i32 = "queueId",
        /// The time, in milliseconds since the epoch.
        timestamp: i64 = "timestamp",
        /// Which of several equal timestamps is meant; LOWER when absent.
        boundary_type: Option<BoundaryType> = "boundaryType",
        /// The broker's name.
        broker_name: Option<String> = "bname",
    }

    /// The answer to SEARCH_OFFSET_BY_TIMESTAMP.
    SearchOffsetResponseHeader {
        /// The offset found.
        offset: i64 = "offset",
    }

    /// GET_MAX_OFFSET 30.
    GetMaxOffsetRequestHeader {
        /// The topic.
        topic: String = "topic",
        /// The queue.
        queue_id: i32 = "queueId",
        /// Whether only committed messages count; so it is when absent.
        committed: Option<bool> = "committed",
        /// The broker's name.
        broker_name: Option<String> = "bname",
    }

    /// The answer to GET_MAX_OFFSET.
    GetMaxOffsetResponseHeader {
        /// The offset after the last message.
        offset: i64 = "offset",
    }

    /// GET_MIN_OFFSET 31.
    GetMinOffsetRequestHeader {
        /// The topic.
        topic: String = "topic",
        /// The queue.
        queue_id: i32 = "queueId",
        /// The broker's name.
        broker_name: Option<String> = "bname",
    }

    /// The answer to GET_MIN_OFFSET.
    GetMinOffsetResponseHeader {
        /// The offset of the oldest message.
        offset: i64 = "offset",
    }

    /// GET_EARLIEST_MSG_STORETIME 32.
    GetEarliestMsgStoretimeRequestHeader {
        /// The topic.
        topic: String = "topic",
        /// The queue.
        queue_id: i32 = "queueId",
        /// The broker's name.
        broker_name: Option<String> = "bname",
    }

    /// The answer to GET_EARLIEST_MSG_STORETIME.
    GetEarliestMsgStoretimeResponseHeader {
        /// When the oldest message was stored, in milliseconds since the epoch.
        timestamp: i64 = "timestamp",
    }
}
