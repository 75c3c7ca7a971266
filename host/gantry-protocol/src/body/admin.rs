use serde::{Deserialize, Serialize};

/// How a directly consumed message went (RocketMQ: CMResult).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ConsumeResult {
    /// Consumed.
    #[serde(rename = "CR_SUCCESS")]
    Success,
    /// To be consumed again later.
    #[serde(rename = "CR_LATER")]
    Later,
    /// An orderly listener rolled back.
    #[serde(rename = "CR_ROLLBACK")]
    Rollback,
    /// An orderly listener committed.
    #[serde(rename = "CR_COMMIT")]
    Commit,
    /// The listener threw.
    #[serde(rename = "CR_THROW_EXCEPTION")]
    ThrowException,
    /// The listener returned null.
    #[serde(rename = "CR_RETURN_NULL")]
    ReturnNull,
}

/// The answer to CONSUME_MESSAGE_DIRECTLY 309 (RocketMQ: ConsumeMessageDirectlyResult).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConsumeMessageDirectlyResult {
    /// Whether an orderly listener commits by itself.
    #[serde(default)]
    pub auto_commit: bool,
    /// How it went.
    pub consume_result: ConsumeResult,
    /// Whether the listener is an orderly one.
    #[serde(default)]
    pub order: bool,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remark: Option<String>,
    /// How long it took, in milliseconds.
    #[serde(default)]
    pub spent_time_mills: i64,
}
