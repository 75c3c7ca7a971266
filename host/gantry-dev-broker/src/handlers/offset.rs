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

/// QUERY_CONSUMER_OFFSET 14, when there is an offset.
pub(super) fn query(core: &Core, request: &RemotingCommand) -> Option<Answer> {
    let header: QueryConsumerOffsetRequestHeader = match request.header() {
        Ok(header) => header,
        Err(error) => return Some(Err(error.into())),
    };
    let offset = core.offsets.get(&header.consumer_group, &header.topic, header.queue_id)?;
    Some(found(offset))
}

/// QUERY_CONSUMER_OFFSET 14, when there was no offset at once. A group without one starts a young queue at 0,
/// whatever it asks for: the queue's first message is still among the recent ones (RocketMQ:
/// checkInMemByConsumeOffset).
pub(super) async fn query_first(core: &Core, request: &RemotingCommand) -> Answer {
    let header: QueryConsumerOffsetRequestHeader = request.header()?;
    let remark = match (is_young(core, &header.topic, header.queue_id).await?, header.set_zero_if_not_found) {
        (true, Some(false)) => "Not found, do not set to zero, maybe this group boot first",
        (true, _) => return found(0),
        (false, _) => "Not found, V3_0_6_SNAPSHOT maybe this group consumer boot first",
    };
    Err(Refusal::new(ResponseCode::QUERY_NOT_FOUND, remark))
}

/// Whether no more has been stored since the queue's first message than is kept in memory. A queue without a message is
/// young too: in RocketMQ it is not, and what comes between a new group's questions for its offset and for the queue's end
/// is passed over.
pub(super) async fn is_young(core: &Core, topic: &str, queue_id: i32) -> Result<bool, Refusal> {
    let queue = core.store.existing_queue(topic, queue_id).filter(|queue| queue.span().max > 0);
    let Some(queue) = queue else {
        let config = core.topics.get(topic);
        return Ok(config.is_some_and(|config| (0..config.read_queue_nums).contains(&queue_id)));
    };
    if queue.span().min > 0 {
        return Ok(false);
    }
    let since = core.store.bytes_since(&queue, 0).await?;
    Ok(since
        .is_some_and(|bytes| usize::try_from(bytes).is_ok_and(|bytes| bytes <= core.config.tail_cache_bytes)))
}

fn found(offset: i64) -> Answer {
    Ok(success().with_header(&QueryConsumerOffsetResponseHeader { offset }))
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
