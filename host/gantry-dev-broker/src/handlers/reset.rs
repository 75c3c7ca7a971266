use std::sync::Arc;

use gantry_protocol::body::{OffsetList, OffsetTable, QueueMap};
use gantry_protocol::header::ResetOffsetRequestHeader;
use gantry_protocol::{LanguageCode, RemotingCommand, RequestCode, ResponseCode, fastjson};

use super::admin::{group_exists, message_queue};
use super::{Answer, pull, with_json};
use crate::core::{Core, Refusal};
use crate::store::{Boundary, Span};

/// INVOKE_BROKER_TO_RESET_OFFSET 222, by the broker itself or by the group's members, as is configured.
pub(super) async fn reset(core: &Arc<Core>, request: &RemotingCommand) -> Answer {
    let header: ResetOffsetRequestHeader = request.header()?;
    let offset_table = if core.config.server_side_reset {
        by_broker(core, &header).await?
    } else {
        by_members(core, &header, request.language).await?
    };
    with_json(&OffsetTable { offset_table })
}

/// As 5.5.0 does it by default: the offsets are stored at once, and the next pull of each queue, held ones
/// included, is told to go there.
async fn by_broker(core: &Arc<Core>, header: &ResetOffsetRequestHeader) -> Result<QueueMap<i64>, Refusal> {
    let missing = || {
        let remark = format!("Topic {} does not exist", header.topic);
        Refusal::new(ResponseCode::TOPIC_NOT_EXIST, remark)
    };
    let topic = core.topics.get(&header.topic).ok_or_else(missing)?;
    if !group_exists(core, &header.group) {
        let remark = format!("Group {} does not exist", header.group);
        return Err(Refusal::new(ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST, remark));
    }
    let mut offset_table = QueueMap::default();
    match header.queue_id.filter(|queue_id| *queue_id >= 0) {
        Some(queue_id) => {
            let offset = match header.offset.filter(|offset| *offset != -1) {
                Some(offset) => within(span(core, header, queue_id), offset)?,
                None => at_time(core, header, queue_id).await?,
            };
            offset_table.insert(message_queue(core, &header.topic, queue_id), offset);
        }
        None => {
            for queue_id in 0..topic.read_queue_nums {
                let offset = at_time(core, header, queue_id).await?;
                offset_table.insert(message_queue(core, &header.topic, queue_id), offset);
            }
        }
    }
    for (queue, offset) in offset_table.iter() {
        core.offsets.reset(&header.group, &header.topic, queue.queue_id, *offset);
    }
    core.held.take_group(&header.group).into_iter().for_each(|pull| pull::resume(core, pull));
    Ok(offset_table)
}

/// As brokers before 5.0 do it: the members are told by RESET_CONSUMER_CLIENT_OFFSET 220, and store the offsets
/// (RocketMQ: Broker2Client.resetOffset). Without force, no queue moves forward.
async fn by_members(
    core: &Core,
    header: &ResetOffsetRequestHeader,
    asked_by: LanguageCode,
) -> Result<QueueMap<i64>, Refusal> {
    let missing = || {
        let remark =
            format!("[reset-offset] reset offset failed, no topic in this broker. topic={}", header.topic);
        Refusal::new(ResponseCode::TOPIC_NOT_EXIST, remark)
    };
    let topic = core.topics.get(&header.topic).ok_or_else(missing)?;
    let mut offset_table = QueueMap::default();
    for queue_id in 0..topic.write_queue_nums {
        let Some(stored) = core.offsets.get(&header.group, &header.topic, queue_id) else {
            let remark = format!("THe consumer group <{}> not exist", header.group);
            return Err(Refusal::new(ResponseCode::SYSTEM_ERROR, remark));
        };
        let wanted = at_time(core, header, queue_id).await?;
        let offset = if header.is_force { wanted } else { wanted.min(stored) };
        offset_table.insert(message_queue(core, &header.topic, queue_id), offset);
    }
    let members = core.groups.view(&header.group).map(|view| view.members).unwrap_or_default();
    if members.is_empty() {
        let remark = format!(
            "Consumer not online, so can not reset offset, Group: {} Topic: {} Timestamp: {}",
            header.group, header.topic, header.timestamp
        );
        return Err(Refusal::new(ResponseCode::CONSUMER_NOT_ONLINE, remark));
    }
    let table = OffsetTable { offset_table };
    let push = push(header, &table, asked_by)?;
    members.iter().for_each(|member| member.peer.push(push.clone()));
    Ok(table.offset_table)
}

/// What members are told. As in RocketMQ it says nothing of force, and an asker in C++ stands for such a group,
/// whose clients read a list.
fn push(
    header: &ResetOffsetRequestHeader,
    table: &OffsetTable,
    asked_by: LanguageCode,
) -> Result<RemotingCommand, Refusal> {
    let header = ResetOffsetRequestHeader {
        topic: header.topic.clone(),
        group: header.group.clone(),
        queue_id: Some(-1),
        offset: None,
        timestamp: header.timestamp,
        is_force: false,
    };
    let body = match asked_by {
        LanguageCode::CPP => fastjson::to_vec(&OffsetList::from(table)),
        _ => fastjson::to_vec(table),
    };
    let body = body.map_err(|error| Refusal::new(ResponseCode::SYSTEM_ERROR, error.to_string()))?;
    Ok(RemotingCommand::request(RequestCode::RESET_CONSUMER_CLIENT_OFFSET, &header).with_body(body))
}

fn span(core: &Core, header: &ResetOffsetRequestHeader, queue_id: i32) -> Span {
    let queue = core.store.existing_queue(&header.topic, queue_id);
    queue.map_or(Span { min: 0, max: 0, last_stored_ms: 0 }, |queue| queue.span())
}

/// The offset, which RocketMQ lets be one past the end.
fn within(span: Span, offset: i64) -> Result<i64, Refusal> {
    if (span.min..=span.max.saturating_add(1)).contains(&offset) {
        return Ok(offset);
    }
    let remark = format!("Target offset {offset} not in consume queue range [{}-{}]", span.min, span.max);
    Err(Refusal::new(ResponseCode::SYSTEM_ERROR, remark))
}

/// The offset of the time asked for, of which a negative one is the end of the queue.
async fn at_time(core: &Core, header: &ResetOffsetRequestHeader, queue_id: i32) -> Result<i64, Refusal> {
    match core.store.existing_queue(&header.topic, queue_id) {
        None => Ok(0),
        Some(queue) if header.timestamp < 0 => Ok(queue.span().max),
        Some(queue) => Ok(core.store.offset_at(&queue, header.timestamp, Boundary::Lower).await?),
    }
}
