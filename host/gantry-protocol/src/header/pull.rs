command_header! {
    /// PULL_MESSAGE 11 and LITE_PULL_MESSAGE 361.
    PullMessageRequestHeader {
        /// The consumer group.
        consumer_group: String = "consumerGroup",
        /// The topic.
        topic: String = "topic",
        /// The queue.
        queue_id: i32 = "queueId",
        /// The first offset wanted.
        queue_offset: i64 = "queueOffset",
        /// Most messages wanted; a stock broker gives 32 at most.
        max_msg_nums: i32 = "maxMsgNums",
        /// PULL_* bits of [`crate::sys_flag`].
        sys_flag: i32 = "sysFlag",
        /// Offset to store for the group, when the sysFlag says so.
        commit_offset: i64 = "commitOffset",
        /// How long the broker may hold the request, in milliseconds.
        suspend_timeout_millis: i64 = "suspendTimeoutMillis",
        /// The subscription expression, when the sysFlag says so.
        subscription: Option<String> = "subscription",
        /// Version of the subscription, milliseconds since the epoch; 0 for pull consumers.
        sub_version: i64 = "subVersion",
        /// `TAG` or `SQL92`.
        expression_type: Option<String> = "expressionType",
        /// Most bytes wanted.
        max_msg_bytes: Option<i32> = "maxMsgBytes",
        /// Where the request comes from, set by proxies.
        request_source: Option<i32> = "requestSource",
        /// The client a proxy forwards for (misspelt on the wire).
        proxy_forward_client_id: Option<String> = "proxyFrowardClientId",
        /// The broker's name.
        broker_name: Option<String> = "bname",
    }

    /// The answer to a pull, on SUCCESS, PULL_NOT_FOUND, PULL_RETRY_IMMEDIATELY and PULL_OFFSET_MOVED.
    PullMessageResponseHeader {
        /// The broker id to pull from next.
        suggest_which_broker_id: i64 = "suggestWhichBrokerId",
        /// The offset to pull from next.
        next_begin_offset: i64 = "nextBeginOffset",
        /// The oldest offset of the queue.
        min_offset: i64 = "minOffset",
        /// The offset after the newest of the queue.
        max_offset: i64 = "maxOffset",
        /// What is to be added to the queue offsets of the messages.
        offset_delta: Option<i64> = "offsetDelta",
        /// System flag of the topic.
        topic_sys_flag: Option<i32> = "topicSysFlag",
        /// System flag of the group.
        group_sys_flag: Option<i32> = "groupSysFlag",
        /// Why reading was forbidden.
        forbidden_type: Option<i32> = "forbiddenType",
    }
}
