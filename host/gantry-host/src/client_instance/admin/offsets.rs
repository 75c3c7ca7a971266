//! Moving a group's offsets.

use std::sync::Arc;

use gantry_protocol::body::OffsetTable;
use gantry_protocol::header::ResetOffsetRequestHeader;
use gantry_protocol::{MessageQueue, RemotingCommand, RequestCode};

use crate::client_instance::{CallError, ClientInstance};

/// Asks for all queues, and for no particular offset.
const ALL: i32 = -1;

impl ClientInstance {
    /// Moves the group's offset of every queue of a topic to the first message stored at or after `timestamp`, in
    /// milliseconds since the epoch; below 0 is the end (INVOKE_BROKER_TO_RESET_OFFSET). Members that run go there:
    /// told by brokers since 5.0 with their next pull, before by a push, which reaches only a group that is online.
    /// Returns where each queue went.
    ///
    /// # Errors
    /// See [`CallError`]; the first broker that refuses or cannot be asked ends it, those before it have reset.
    pub async fn reset_offsets_by_time(
        &self,
        group: &str,
        topic: &str,
        timestamp: i64,
    ) -> Result<OffsetTable, CallError> {
        let header = ResetOffsetRequestHeader {
            topic: topic.to_owned(),
            group: group.to_owned(),
            queue_id: Some(ALL),
            offset: Some(ALL.into()),
            timestamp,
            is_force: true,
        };
        let mut whole = OffsetTable::default();
        for (_, addr) in self.refresh_route(topic).await?.masters() {
            whole.offset_table.0.extend(self.reset(addr, &header).await?.offset_table.0);
        }
        Ok(whole)
    }

    /// Moves the group's offset of one queue (INVOKE_BROKER_TO_RESET_OFFSET of one queue, which brokers have since
    /// 5.0). Members that run go there. Returns what the broker moved.
    ///
    /// # Errors
    /// See [`CallError`]; an offset outside the queue is refused with SYSTEM_ERROR.
    pub async fn reset_offset(
        &self,
        group: &str,
        mq: &MessageQueue,
        offset: i64,
    ) -> Result<OffsetTable, CallError> {
        let addr = self.master(&mq.topic, &mq.broker_name).await?;
        let header = ResetOffsetRequestHeader {
            topic: mq.topic.to_string(),
            group: group.to_owned(),
            queue_id: Some(mq.queue_id),
            offset: Some(offset),
            timestamp: 0,
            is_force: true,
        };
        self.reset(&addr, &header).await
    }

    async fn reset(
        &self,
        addr: &Arc<str>,
        header: &ResetOffsetRequestHeader,
    ) -> Result<OffsetTable, CallError> {
        let request = RemotingCommand::request(RequestCode::INVOKE_BROKER_TO_RESET_OFFSET, header);
        self.ask(addr, request, self.api_timeout()).await?.success()?.body()
    }
}
