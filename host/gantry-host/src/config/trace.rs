//! `[trace]`: telling the brokers what becomes of each message.

use serde::Deserialize;

use gantry_protocol::names::{self, TRACE_TOPIC};

/// Message traces, which `mqadmin queryMsgTraceById` reads (RocketMQ: enableTrace).
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct TraceSettings {
    /// Whether sends of plugins and consumed batches are told. Where too many traces wait they are dropped: nothing waits
    /// for them. Default `false`.
    pub enabled: bool,
    /// The topic they go to (RocketMQ: traceTopic). Brokers have the default one with `traceTopicEnable`. Default
    /// `RMQ_SYS_TRACE_TOPIC`.
    pub topic: String,
}

impl Default for TraceSettings {
    fn default() -> Self {
        Self { enabled: false, topic: TRACE_TOPIC.to_owned() }
    }
}

impl TraceSettings {
    pub(super) fn check(&self) -> Result<(), (String, String)> {
        names::check_topic(&self.topic).map_err(|error| ("topic".to_owned(), error.to_string()))
    }
}
