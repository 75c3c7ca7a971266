use serde::{Deserialize, Serialize};

use crate::MessageQueue;

/// The body of LOCK_BATCH_MQ 41 and UNLOCK_BATCH_MQ 42 (RocketMQ: LockBatchRequestBody).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LockBatchBody {
    /// Who locks.
    pub client_id: String,
    /// For which group; to the broker it is only a key.
    pub consumer_group: String,
    /// The queues.
    pub mq_set: Vec<MessageQueue>,
    /// Whether other replicas are left out.
    pub only_this_broker: bool,
}

/// The answer to LOCK_BATCH_MQ (RocketMQ: LockBatchResponseBody).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LockBatchResponseBody {
    /// The queues that the client holds now; what others hold is absent.
    #[serde(rename = "lockOKMQSet")]
    pub lock_ok_mq_set: Vec<MessageQueue>,
}
