use std::fmt;

macro_rules! codes {
    ($(#[$type_doc:meta])* $type:ident { $($(#[$doc:meta])* $name:ident = $number:literal,)* }) => {
        $(#[$type_doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $type(pub i32);

        impl $type {
            $($(#[$doc])* pub const $name: Self = Self($number);)*

            /// Every listed code, in the order of their declaration.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// RocketMQ's name of the code; `None` for a code that is not listed.
            pub fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.name() {
                    Some(name) => write!(f, "{name}({})", self.0),
                    None => write!(f, "code {}", self.0),
                }
            }
        }
    };
}

codes! {
    /// What a request asks for (RocketMQ: RequestCode). Displays as `PULL_MESSAGE(11)`.
    RequestCode {
        /// Store one message, header with full field names.
        SEND_MESSAGE = 10,
        /// Read messages of one queue, long-polling when asked.
        PULL_MESSAGE = 11,
        /// Find messages by key or unique id.
        QUERY_MESSAGE = 12,
        /// Read a group's stored offset of one queue.
        QUERY_CONSUMER_OFFSET = 14,
        /// Store a group's offset of one queue.
        UPDATE_CONSUMER_OFFSET = 15,
        /// Create or change a topic.
        UPDATE_AND_CREATE_TOPIC = 17,
        /// Change broker settings; body is Java properties text.
        UPDATE_BROKER_CONFIG = 25,
        /// Facts about a broker, by name.
        GET_BROKER_RUNTIME_INFO = 28,
        /// Find the offset of a point in time.
        SEARCH_OFFSET_BY_TIMESTAMP = 29,
        /// The offset after the last message of a queue.
        GET_MAX_OFFSET = 30,
        /// The offset of the oldest message of a queue.
        GET_MIN_OFFSET = 31,
        /// When the oldest message of a queue was stored.
        GET_EARLIEST_MSG_STORETIME = 32,
        /// Read the message at a commit-log offset.
        VIEW_MESSAGE_BY_ID = 33,
        /// Say which groups a client belongs to and what it subscribes.
        HEART_BEAT = 34,
        /// Leave a producer or consumer group.
        UNREGISTER_CLIENT = 35,
        /// Hand a message back for a later retry.
        CONSUMER_SEND_MSG_BACK = 36,
        /// Commit or roll back a prepared message.
        END_TRANSACTION = 37,
        /// The client ids of a consumer group.
        GET_CONSUMER_LIST_BY_GROUP = 38,
        /// Broker to producer: how did this transaction end?
        CHECK_TRANSACTION_STATE = 39,
        /// Broker to client: the members of a group changed.
        NOTIFY_CONSUMER_IDS_CHANGED = 40,
        /// Lock queues for an orderly consumer.
        LOCK_BATCH_MQ = 41,
        /// Give locked queues back.
        UNLOCK_BATCH_MQ = 42,
        /// Have a subscription expression checked.
        CHECK_CLIENT_CONFIG = 46,
        /// Write a key of the name server's table.
        PUT_KV_CONFIG = 100,
        /// Read a key of the name server's table.
        GET_KV_CONFIG = 101,
        /// Remove a key of the name server's table.
        DELETE_KV_CONFIG = 102,
        /// Broker to name server: here I am, with these topics.
        REGISTER_BROKER = 103,
        /// Broker to name server: I am leaving.
        UNREGISTER_BROKER = 104,
        /// The brokers and queues of a topic.
        GET_ROUTEINFO_BY_TOPIC = 105,
        /// The clusters and their brokers.
        GET_BROKER_CLUSTER_INFO = 106,
        /// Create or change a consumer group's settings.
        UPDATE_AND_CREATE_SUBSCRIPTIONGROUP = 200,
        /// Settings of every consumer group.
        GET_ALL_SUBSCRIPTIONGROUP_CONFIG = 201,
        /// Offsets and write rate of a topic's queues.
        GET_TOPIC_STATS_INFO = 202,
        /// The connected members of a consumer group.
        GET_CONSUMER_CONNECTION_LIST = 203,
        /// The names of all topics, from the name server.
        GET_ALL_TOPIC_LIST_FROM_NAMESERVER = 206,
        /// Remove a consumer group's settings.
        DELETE_SUBSCRIPTIONGROUP = 207,
        /// A group's progress per queue.
        GET_CONSUME_STATS = 208,
        /// Remove a topic at the broker.
        DELETE_TOPIC_IN_BROKER = 215,
        /// Remove a topic at the name server.
        DELETE_TOPIC_IN_NAMESRV = 216,
        /// Broker to client: move to these offsets.
        RESET_CONSUMER_CLIENT_OFFSET = 220,
        /// Broker to client: at which offsets are you?
        GET_CONSUMER_STATUS_FROM_CLIENT = 221,
        /// Admin to broker: reset a group's offsets by time.
        INVOKE_BROKER_TO_RESET_OFFSET = 222,
        /// Admin to broker: ask the clients of a group for their offsets.
        INVOKE_BROKER_TO_GET_CONSUMER_STATUS = 223,
        /// Groups that consume a topic.
        QUERY_TOPIC_CONSUME_BY_WHO = 300,
        /// What a client consumes at the moment (relayed by the broker).
        GET_CONSUMER_RUNNING_INFO = 307,
        /// Consume one given message now (relayed by the broker).
        CONSUME_MESSAGE_DIRECTLY = 309,
        /// Store one message, header with one-letter field names.
        SEND_MESSAGE_V2 = 310,
        /// Store several messages of one queue at once.
        SEND_BATCH_MESSAGE = 320,
        /// Answer a request message, header with full field names.
        SEND_REPLY_MESSAGE = 324,
        /// Answer a request message, header with one-letter field names.
        SEND_REPLY_MESSAGE_V2 = 325,
        /// Broker to client: the answer to your request message.
        PUSH_REPLY_MESSAGE_TO_CLIENT = 326,
        /// The settings of one topic.
        GET_TOPIC_CONFIG = 351,
        /// [`Self::PULL_MESSAGE`] of a lite pull consumer.
        LITE_PULL_MESSAGE = 361,
        /// Cancel a timer message that is not due yet.
        RECALL_MESSAGE = 370,
        /// Which queues a client shall consume, computed by the broker.
        QUERY_ASSIGNMENT = 400,
        /// Whether a group pulls or pops a topic.
        SET_MESSAGE_REQUEST_MODE = 401,
        /// Read messages and make them invisible to the group for a while.
        POP_MESSAGE = 200_050,
        /// Settle a popped message.
        ACK_MESSAGE = 200_051,
        /// Read messages without any effect on the group.
        PEEK_MESSAGE = 200_052,
        /// Change how long a popped message stays invisible.
        CHANGE_MESSAGE_INVISIBLETIME = 200_053,
        /// Wait for messages to pop, without reading them.
        NOTIFICATION = 200_054,
        /// How many pops wait at a queue.
        POLLING_INFO = 200_055,
        /// Settle many popped messages at once.
        BATCH_ACK_MESSAGE = 200_151,
    }
}

codes! {
    /// How a request went (RocketMQ: ResponseCode, RemotingSysResponseCode). Displays as `SUCCESS(0)`.
    ResponseCode {
        /// A client could not tell what went wrong with its own request.
        RPC_UNKNOWN = -1000,
        /// A client had no address to send to.
        RPC_ADDR_IS_NULL = -1002,
        /// A client could not write to its connection.
        RPC_SEND_TO_CHANNEL_FAILED = -1004,
        /// A client waited in vain for the answer.
        RPC_TIME_OUT = -1006,
        /// Done.
        SUCCESS = 0,
        /// The peer failed; the remark says how.
        SYSTEM_ERROR = 1,
        /// The peer is overloaded; try again later.
        SYSTEM_BUSY = 2,
        /// The peer does not know the request code.
        REQUEST_CODE_NOT_SUPPORTED = 3,
        /// A transaction failed.
        TRANSACTION_FAILED = 4,
        /// Stored, but not flushed to disk in time.
        FLUSH_DISK_TIMEOUT = 10,
        /// Stored, but no slave had it.
        SLAVE_NOT_AVAILABLE = 11,
        /// Stored, but no slave had it in time.
        FLUSH_SLAVE_TIMEOUT = 12,
        /// The message breaks a rule of the broker.
        MESSAGE_ILLEGAL = 13,
        /// The broker does not take this now.
        SERVICE_NOT_AVAILABLE = 14,
        /// The client's version is too old for this.
        VERSION_NOT_SUPPORTED = 15,
        /// Topic, group or broker does not permit this.
        NO_PERMISSION = 16,
        /// No such topic.
        TOPIC_NOT_EXIST = 17,
        /// The topic exists already.
        TOPIC_EXIST_ALREADY = 18,
        /// No new message at this offset.
        PULL_NOT_FOUND = 19,
        /// Messages passed, none matched: pull again at the next offset.
        PULL_RETRY_IMMEDIATELY = 20,
        /// The offset is outside the queue, or was reset: go on at the next offset.
        PULL_OFFSET_MOVED = 21,
        /// Nothing stored under what was asked.
        QUERY_NOT_FOUND = 22,
        /// The subscription expression cannot be parsed.
        SUBSCRIPTION_PARSE_FAILED = 23,
        /// The broker knows no such subscription (no heartbeat yet).
        SUBSCRIPTION_NOT_EXIST = 24,
        /// The broker's version of the subscription is older than the request's.
        SUBSCRIPTION_NOT_LATEST = 25,
        /// No such consumer group.
        SUBSCRIPTION_GROUP_NOT_EXIST = 26,
        /// No filter data for the subscription.
        FILTER_DATA_NOT_EXIST = 27,
        /// The filter data is older than the request's.
        FILTER_DATA_NOT_LATEST = 28,
        /// A parameter breaks a rule; the remark says which.
        INVALID_PARAMETER = 29,
        /// The transaction should be committed.
        TRANSACTION_SHOULD_COMMIT = 200,
        /// The transaction should be rolled back.
        TRANSACTION_SHOULD_ROLLBACK = 201,
        /// The transaction's state is unknown.
        TRANSACTION_STATE_UNKNOW = 202,
        /// The transaction's state group is wrong.
        TRANSACTION_STATE_GROUP_WRONG = 203,
        /// No buyer id.
        NO_BUYER_ID = 204,
        /// Not in the current unit.
        NOT_IN_CURRENT_UNIT = 205,
        /// The consumer asked for is not connected.
        CONSUMER_NOT_ONLINE = 206,
        /// A directly consumed message took too long.
        CONSUME_MSG_TIMEOUT = 207,
        /// No such popped message.
        NO_MESSAGE = 208,
        /// Too many pops wait already.
        POLLING_FULL = 209,
        /// A pop waited in vain.
        POLLING_TIMEOUT = 210,
        /// No such broker.
        BROKER_NOT_EXIST = 211,
        /// The broker has not yet dispatched what is asked.
        BROKER_DISPATCH_NOT_COMPLETE = 212,
        /// The group consumes by broadcasting.
        BROADCAST_CONSUMPTION = 213,
        /// The broker throttles: wait a little.
        FLOW_CONTROL = 215,
        /// This broker does not lead the queue.
        NOT_LEADER_FOR_QUEUE = 501,
        /// The operation is not allowed.
        ILLEGAL_OPERATION = 604,
        /// The peer is going down: reconnect elsewhere.
        GO_AWAY = 1500,
        /// No such user (access control).
        USER_NOT_EXIST = 3001,
        /// No such policy (access control).
        POLICY_NOT_EXIST = 3002,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_displays_its_name_and_number() {
        assert_eq!(RequestCode::PULL_MESSAGE.to_string(), "PULL_MESSAGE(11)");
        assert_eq!(ResponseCode::PULL_OFFSET_MOVED.to_string(), "PULL_OFFSET_MOVED(21)");
        assert_eq!(RequestCode(9999).to_string(), "code 9999");
    }
}
