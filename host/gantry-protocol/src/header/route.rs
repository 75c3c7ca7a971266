command_header! {
    /// GET_ROUTEINFO_BY_TOPIC 105. The answer's body is a [`crate::body::TopicRouteData`].
    GetRouteInfoRequestHeader {
        /// The topic.
        topic: String = "topic",
        /// Whether the answer must be standard JSON; name servers assume so from version 401 on.
        accept_standard_json_only: Option<bool> = "acceptStandardJsonOnly",
    }

    /// What any request may carry besides its own fields (RocketMQ: RpcRequestHeader, TopicRequestHeader).
    RpcRequestHeader {
        /// The namespace.
        namespace: Option<String> = "ns",
        /// Whether topic and group are to be wrapped in the namespace.
        namespaced: Option<bool> = "nsd",
        /// Whether nobody waits for the answer.
        oneway: Option<bool> = "oway",
        /// Whether the queue is a logical one.
        logical: Option<bool> = "lo",
        /// The kind of client: 0 is a stream (pull) consumer.
        request_type: Option<i32> = "ReqT",
    }

    /// Access control: what a signed request carries besides its own fields (RocketMQ: AclClientRPCHook).
    AclRequestHeader {
        /// Who sends.
        access_key: Option<String> = "AccessKey",
        /// A temporary credential.
        security_token: Option<String> = "SecurityToken",
        /// HMAC-SHA1 over the other fields and the body, in base64.
        signature: Option<String> = "Signature",
    }
}
