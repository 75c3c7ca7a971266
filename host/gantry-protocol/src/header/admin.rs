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

command_header! {
    /// GET_CONSUMER_CONNECTION_LIST 203. The answer's body is a [`crate::body::ConsumerConnection`].
    GetConsumerConnectionListRequestHeader {
        /// The consumer group.
        consumer_group: String = "consumerGroup",
        /// The broker's name.
        broker_name: Option<String> = "bname",
    }

    /// GET_TOPIC_STATS_INFO 202. The answer's body is a [`crate::body::TopicStatsTable`].
    GetTopicStatsInfoRequestHeader {
        /// The topic.
        topic: String = "topic",
        /// The broker's name.
        broker_name: Option<String> = "bname",
    }

    /// GET_CONSUME_STATS 208. The answer's body is a [`crate::body::ConsumeStats`].
    GetConsumeStatsRequestHeader {
        /// The consumer group.
        consumer_group: String = "consumerGroup",
        /// The topic; absent is all.
        topic: Option<String> = "topic",
        /// The broker's name.
        broker_name: Option<String> = "bname",
    }

    /// QUERY_TOPIC_CONSUME_BY_WHO 300. The answer's body is a [`crate::body::GroupList`].
    QueryTopicConsumeByWhoRequestHeader {
        /// The topic.
        topic: String = "topic",
    }

    /// GET_ALL_SUBSCRIPTIONGROUP_CONFIG 201. Brokers before 5.4 know no pages and answer everything. The answer's body is
    /// a [`crate::body::SubscriptionGroupTable`].
    GetAllSubscriptionGroupRequestHeader {
        /// How many groups were read already.
        group_seq: i32 = "groupSeq",
        /// The data version of the pages read already, as JSON; another one begins again.
        data_version: Option<String> = "dataVersion",
        /// Most groups wanted.
        max_group_num: Option<i32> = "maxGroupNum",
    }

    /// The answer to GET_ALL_SUBSCRIPTIONGROUP_CONFIG.
    GetAllSubscriptionGroupResponseHeader {
        /// How many groups there are; absent where there are no pages.
        total_group_num: Option<i32> = "totalGroupNum",
    }

    /// GET_TOPIC_CONFIG 351. The answer's body is a [`crate::body::TopicConfig`].
    GetTopicConfigRequestHeader {
        /// The topic.
        topic: String = "topic",
    }

    /// DELETE_SUBSCRIPTIONGROUP 207.
    DeleteSubscriptionGroupRequestHeader {
        /// The consumer group.
        group_name: String = "groupName",
        /// Whether its offsets are removed too.
        clean_offset: bool = "cleanOffset" or false,
    }

    /// DELETE_TOPIC_IN_BROKER 215 and DELETE_TOPIC_IN_NAMESRV 216.
    DeleteTopicRequestHeader {
        /// The topic.
        topic: String = "topic",
        /// The cluster, at a name server.
        cluster_name: Option<String> = "clusterName",
    }

    /// PUT_KV_CONFIG 100.
    PutKvConfigRequestHeader {
        /// The namespace of the key.
        namespace: String = "namespace",
        /// The key.
        key: String = "key",
        /// The value.
        value: String = "value",
    }

    /// GET_KV_CONFIG 101 and DELETE_KV_CONFIG 102.
    KvConfigRequestHeader {
        /// The namespace of the key.
        namespace: String = "namespace",
        /// The key.
        key: String = "key",
    }

    /// The answer to GET_KV_CONFIG.
    GetKvConfigResponseHeader {
        /// The value.
        value: Option<String> = "value",
    }

    /// REGISTER_BROKER 103. The body is a [`crate::body::RegisterBrokerBody`].
    RegisterBrokerRequestHeader {
        /// The broker's name.
        broker_name: String = "brokerName",
        /// The broker's address, `ip:port`.
        broker_addr: String = "brokerAddr",
        /// The broker's cluster.
        cluster_name: String = "clusterName",
        /// The address replicas connect to, `ip:port`.
        ha_server_addr: Option<String> = "haServerAddr",
        /// The broker's id; 0 is the master.
        broker_id: i64 = "brokerId",
        /// How long silence may last, in milliseconds.
        heartbeat_timeout_millis: Option<i64> = "heartbeatTimeoutMillis",
        /// Whether a slave may act as master.
        enable_acting_master: Option<bool> = "enableActingMaster",
        /// Whether the body is compressed.
        compressed: bool = "compressed" or false,
        /// Checksum of the body: CRC-32, the top bit cleared.
        body_crc32: i32 = "bodyCrc32" or 0,
    }

    /// The answer to REGISTER_BROKER; a master gets neither.
    RegisterBrokerResponseHeader {
        /// The address replicas connect to.
        ha_server_addr: Option<String> = "haServerAddr",
        /// The master's address.
        master_addr: Option<String> = "masterAddr",
    }

    /// UNREGISTER_BROKER 104.
    UnregisterBrokerRequestHeader {
        /// The broker's name.
        broker_name: String = "brokerName",
        /// The broker's address, `ip:port`.
        broker_addr: String = "brokerAddr",
        /// The broker's cluster.
        cluster_name: String = "clusterName",
        /// The broker's id.
        broker_id: i64 = "brokerId",
    }
}
