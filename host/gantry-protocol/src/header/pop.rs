command_header! {
    /// POP_MESSAGE 200050. The answer's body is the messages.
    PopMessageRequestHeader {
        /// The consumer group.
        consumer_group: String = "consumerGroup",
        /// The topic.
        topic: String = "topic",
        /// The queue; -1 is any.
        queue_id: i32 = "queueId",
        /// Most messages wanted.
        max_msg_nums: i32 = "maxMsgNums",
        /// How long the messages stay hidden from the group, in milliseconds.
        invisible_time: i64 = "invisibleTime",
        /// How long the broker may hold the request, in milliseconds.
        poll_time: i64 = "pollTime",
        /// When the request was made, in milliseconds since the epoch; polling counts from here.
        born_time: i64 = "bornTime",
        /// Where a new group begins: 0 at the oldest message, 1 at the end.
        init_mode: i32 = "initMode",
        /// `TAG` or `SQL92`.
        expression_type: Option<String> = "expType",
        /// The subscription expression.
        expression: Option<String> = "exp",
        /// Whether messages of a queue come strictly in order.
        order: Option<bool> = "order",
        /// Tells a repeated ordered pop from a new one.
        attempt_id: Option<String> = "attemptId",
        /// The broker's name.
        broker_name: Option<String> = "bname",
    }

    /// The answer to POP_MESSAGE, on SUCCESS and POLLING_TIMEOUT.
    PopMessageResponseHeader {
        /// When the messages were popped, in milliseconds since the epoch.
        pop_time: i64 = "popTime",
        /// How long they stay hidden, in milliseconds.
        invisible_time: i64 = "invisibleTime",
        /// The queue of the broker's revive log; 999 for ordered pops.
        revive_queue_id: i32 = "reviveQid",
        /// Messages left in the queue.
        rest_num: i64 = "restNum",
        /// First offset by queue: `retry queue offset` joined by `;`.
        start_offset_info: Option<String> = "startOffsetInfo",
        /// Offsets by queue: `retry queue offset,offset` joined by `;`.
        msg_offset_info: Option<String> = "msgOffsetInfo",
        /// How often ordered messages were consumed, by queue and by message.
        order_count_info: Option<String> = "orderCountInfo",
    }

    /// PEEK_MESSAGE 200052.
    PeekMessageRequestHeader {
        /// The consumer group.
        consumer_group: String = "consumerGroup",
        /// The topic.
        topic: String = "topic",
        /// The queue; -1 is any.
        queue_id: i32 = "queueId",
        /// Most messages wanted.
        max_msg_nums: i32 = "maxMsgNums",
        /// The broker's name.
        broker_name: Option<String> = "bname",
    }

    /// ACK_MESSAGE 200051.
    AckMessageRequestHeader {
        /// The consumer group.
        consumer_group: String = "consumerGroup",
        /// The topic the message is stored under: the retry topic for retries.
        topic: String = "topic",
        /// The queue.
        queue_id: i32 = "queueId",
        /// The handle the message came with (property POP_CK).
        extra_info: String = "extraInfo",
        /// The message's offset in the queue.
        offset: i64 = "offset",
        /// The broker's name.
        broker_name: Option<String> = "bname",
    }

    /// CHANGE_MESSAGE_INVISIBLETIME 200053.
    ChangeInvisibleTimeRequestHeader {
        /// The consumer group.
        consumer_group: String = "consumerGroup",
        /// The topic the message is stored under.
        topic: String = "topic",
        /// The queue.
        queue_id: i32 = "queueId",
        /// The handle the message came with (property POP_CK).
        extra_info: String = "extraInfo",
        /// The message's offset in the queue.
        offset: i64 = "offset",
        /// How long it stays hidden from now on, in milliseconds.
        invisible_time: i64 = "invisibleTime",
        /// Whether the attempt does not count.
        suspend: Option<bool> = "suspend",
        /// The broker's name.
        broker_name: Option<String> = "bname",
    }

    /// The answer to CHANGE_MESSAGE_INVISIBLETIME: the parts of the new handle.
    ChangeInvisibleTimeResponseHeader {
        /// From when the time counts, in milliseconds since the epoch.
        pop_time: i64 = "popTime",
        /// How long the message stays hidden, in milliseconds.
        invisible_time: i64 = "invisibleTime",
        /// The queue of the broker's revive log.
        revive_queue_id: i32 = "reviveQid",
    }

    /// NOTIFICATION 200054.
    NotificationRequestHeader {
        /// The consumer group.
        consumer_group: String = "consumerGroup",
        /// The topic.
        topic: String = "topic",
        /// The queue; -1 is any.
        queue_id: i32 = "queueId",
        /// How long the broker may hold the request, in milliseconds.
        poll_time: i64 = "pollTime",
        /// When the request was made, in milliseconds since the epoch.
        born_time: i64 = "bornTime",
        /// Whether messages of a queue come strictly in order.
        order: Option<bool> = "order",
        /// Tells a repeated ordered request from a new one.
        attempt_id: Option<String> = "attemptId",
        /// `TAG` or `SQL92`.
        expression_type: Option<String> = "expType",
        /// The subscription expression.
        expression: Option<String> = "exp",
        /// The broker's name.
        broker_name: Option<String> = "bname",
    }

    /// The answer to NOTIFICATION.
    NotificationResponseHeader {
        /// Whether there are messages to pop.
        has_msg: bool = "hasMsg",
        /// Whether too many requests wait already.
        polling_full: bool = "pollingFull" or false,
    }

    /// POLLING_INFO 200055.
    PollingInfoRequestHeader {
        /// The consumer group.
        consumer_group: String = "consumerGroup",
        /// The topic.
        topic: String = "topic",
        /// The queue.
        queue_id: i32 = "queueId",
        /// The broker's name.
        broker_name: Option<String> = "bname",
    }

    /// The answer to POLLING_INFO.
    PollingInfoResponseHeader {
        /// How many requests wait.
        polling_num: i32 = "pollingNum",
    }
}
