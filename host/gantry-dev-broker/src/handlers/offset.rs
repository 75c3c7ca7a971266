use gantry_protocol::header::{
    BoundaryType, GetEarliestMsgStoretimeRequestHeader, GetEarliestMsgStoretimeResponseHeader,
    GetMaxOffsetRequestHeader, GetMaxOffsetResponseHeader, GetMinOffsetRequestHeader,
    GetMinOffsetResponseHeader, QueryConsumerOffsetRequestHeader, QueryConsumerOffsetResponseHeader,
    SearchOffsetRequestHeader, SearchOffsetResponseHeader, UpdateConsumerOffsetRequestHeader,
};
use gantry_protocol::{RemotingCommand, ResponseCode};

use super::admin::group_exists;
use super::{Answer, success};
use crate::core::{Core, Refusal};
use crate::store::{Boundary, Span};

/// UPDATE_CONSUMER_OFFSET 15: stored as it is, also a smaller one. The group must have joined or pulled before.
pub(super) fn update(core: &Core, request: &RemotingCommand) -> Answer {
    let header: UpdateConsumerOffsetRequestHeader = request.header()?;
    if core.topics.get(&header.topic).is_none() {
        let remark = format!("Topic {} not exist!", header.topic);
        return Err(Refusal::new(ResponseCode::TOPIC_NOT_EXIST, remark));
    }
    if !group_exists(core, &header.consumer_group) {
        let remark = format!("Group {} not exist!", header.consumer_group);
        return Err(Refusal::new(ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST, remark));
    }
    if core.offsets.commit(&header.consumer_group, &header.topic, header.queue_id, header.commit_offset) {
        return Ok(success());
    }
    let remark = format!("the broker has its {} consumer offsets already", core.config.limits.offsets);
    Err(Refusal::new(ResponseCode::SYSTEM_ERROR, remark))
}

/// QUERY_CONSUMER_OFFSET 14. A group without an offset starts a young queue at 0, whatever it asks for: the
/// queue's first message is still there, so nothing before it can have been missed.
pub(super) fn query(core: &Core, request: &RemotingCommand) -> Answer {
    let header: QueryConsumerOffsetRequestHeader = request.header()?;
    let found = |offset| Ok(success().with_header(&QueryConsumerOffsetResponseHeader { offset }));
    if let Some(offset) = core.offsets.get(&header.consumer_group, &header.topic, header.queue_id) {
        return found(offset);
    }
    let span = span(core, &header.topic, header.queue_id);
    let young = span.is_some_and(|span| span.min <= 0 && span.max > 0);
    let remark = match (young, header.set_zero_if_not_found) {
        (true, Some(false)) => "Not found, do not set to zero, maybe this group boot first",
        (true, _) => return found(0),
        (false, _) => "Not found, V3_0_6_SNAPSHOT maybe this group consumer boot first",
    };
    Err(Refusal::new(ResponseCode::QUERY_NOT_FOUND, remark))
}

/// GET_MAX_OFFSET 30: 0 for a queue nobody has sent to.
pub(super) fn max(core: &Core, request: &RemotingCommand) -> Answer {
    let header: GetMaxOffsetRequestHeader = request.header()?;
    let offset = span(core, &header.topic, header.queue_id).map_or(0, |span| span.max);
    Ok(success().with_header(&GetMaxOffsetResponseHeader { offset }))
}

/// GET_MIN_OFFSET 31.
pub(super) fn min(core: &Core, request: &RemotingCommand) -> Answer {
    let header: GetMinOffsetRequestHeader = request.header()?;
    let offset = span(core, &header.topic, header.queue_id).map_or(0, |span| span.min);
    Ok(success().with_header(&GetMinOffsetResponseHeader { offset }))
}

/// SEARCH_OFFSET_BY_TIMESTAMP 29.
pub(super) async fn search(core: &Core, request: &RemotingCommand) -> Answer {
    let header: SearchOffsetRequestHeader = request.header()?;
    let offset = match core.store.existing_queue(&header.topic, header.queue_id) {
        Some(queue) => {
            let boundary = match header.boundary_type.unwrap_or_default() {
                BoundaryType::Lower => Boundary::Lower,
                BoundaryType::Upper => Boundary::Upper,
            };
            core.store.offset_at(&queue, header.timestamp, boundary).await?
        }
        None => 0,
    };
    Ok(success().with_header(&SearchOffsetResponseHeader { offset }))
}

/// GET_EARLIEST_MSG_STORETIME 32: -1 for an empty queue.
pub(super) async fn earliest(core: &Core, request: &RemotingCommand) -> Answer {
    let header: GetEarliestMsgStoretimeRequestHeader = request.header()?;
    let timestamp = match core.store.existing_queue(&header.topic, header.queue_id) {
        Some(queue) => core.store.stored_at(&queue, queue.span().min).await?.unwrap_or(-1),
        None => -1,
    };
    Ok(success().with_header(&GetEarliestMsgStoretimeResponseHeader { timestamp }))
}

fn span(core: &Core, topic: &str, queue_id: i32) -> Option<Span> {
    core.store.existing_queue(topic, queue_id).map(|queue| queue.span())
}
