use std::sync::Arc;

use gantry_protocol::body::{OffsetTable, QueueMap};
use gantry_protocol::header::ResetOffsetRequestHeader;
use gantry_protocol::{RemotingCommand, ResponseCode};

use super::admin::{group_exists, message_queue};
use super::{Answer, no_such_topic, pull, with_json};
use crate::core::{Core, Refusal};
use crate::store::Boundary;

/// INVOKE_BROKER_TO_RESET_OFFSET 222, on the broker's side as 5.5.0 does it by default: the offsets are stored at
/// once, and the next pull of each queue, held ones included, is told to go there.
pub(super) async fn reset(core: &Arc<Core>, request: &RemotingCommand) -> Answer {
    let header: ResetOffsetRequestHeader = request.header()?;
    let topic = core.topics.get(&header.topic).ok_or_else(|| no_such_topic(&header.topic))?;
    if !group_exists(core, &header.group) {
        let remark = format!("Group {} does not exist", header.group);
        return Err(Refusal::new(ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST, remark));
    }
    let queues = match header.queue_id.filter(|queue_id| *queue_id >= 0) {
        Some(queue_id) => queue_id..queue_id.saturating_add(1),
        None => 0..topic.read_queue_nums,
    };
    let mut offset_table = QueueMap::default();
    for queue_id in queues {
        let offset = target(core, &header, queue_id).await?;
        core.offsets.reset(&header.group, &header.topic, queue_id, offset);
        offset_table.insert(message_queue(core, &header.topic, queue_id), offset);
    }
    core.held.take_group(&header.group).into_iter().for_each(|pull| pull::resume(core, pull));
    with_json(&OffsetTable { offset_table })
}

async fn target(core: &Core, header: &ResetOffsetRequestHeader, queue_id: i32) -> Result<i64, Refusal> {
    let Some(queue) = core.store.existing_queue(&header.topic, queue_id) else { return Ok(0) };
    let span = queue.span();
    match header.offset.filter(|offset| *offset >= 0) {
        Some(offset) => Ok(offset.clamp(span.min, span.max)),
        // A negative time asks for the end of the queue.
        None if header.timestamp < 0 => Ok(span.max),
        None => Ok(core.store.offset_at(&queue, header.timestamp, Boundary::Lower).await?),
    }
}
