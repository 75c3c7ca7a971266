command_header! {
    /// The answer to HEART_BEAT 34.
    HeartbeatResponseHeader {
        /// Whether the broker takes heartbeats without subscriptions while nothing changes.
        support_heart_beat_v2: Option<bool> = "IS_SUPPORT_HEART_BEAT_V2",
        /// Whether the subscription changed; always true for heartbeats of the first form.
        sub_change: Option<bool> = "IS_SUB_CHANGE",
    }

    /// UNREGISTER_CLIENT 35: one group per request.
    UnregisterClientRequestHeader {
        /// The client id (spelt `clientID` on the wire).
        client_id: String = "clientID",
        /// The producer group to leave.
        producer_group: Option<String> = "producerGroup",
        /// The consumer group to leave.
        consumer_group: Option<String> = "consumerGroup",
    }

    /// GET_CONSUMER_LIST_BY_GROUP 38. The answer's body is a [`crate::body::ConsumerListBody`].
    GetConsumerListByGroupRequestHeader {
        /// The consumer group.
        consumer_group: String = "consumerGroup",
        /// The broker's name.
        broker_name: Option<String> = "bname",
    }

    /// NOTIFY_CONSUMER_IDS_CHANGED 40, from the broker, one-way.
    NotifyConsumerIdsChangedRequestHeader {
        /// The consumer group.
        consumer_group: String = "consumerGroup",
    }
}
