use gantry_protocol::body::{CheckClientRequestBody, ConsumerListBody, LockBatchBody, LockBatchResponseBody};
use gantry_protocol::header::{GetConsumerListByGroupRequestHeader, UnregisterClientRequestHeader};
use gantry_protocol::{MessageQueue, RemotingCommand, ResponseCode};

use super::{Answer, read_json, success, with_json};
use crate::core::{Core, Refusal};
use crate::filter::Filter;
use crate::server::Peer;
use crate::state::locks::LockedQueue;

/// GET_CONSUMER_LIST_BY_GROUP 38.
pub(super) fn members(core: &Core, request: &RemotingCommand) -> Answer {
    let header: GetConsumerListByGroupRequestHeader = request.header()?;
    let consumer_id_list = core.groups.client_ids(&header.consumer_group);
    if consumer_id_list.is_empty() {
        let remark = format!("no consumer for this group, {}", header.consumer_group);
        return Err(Refusal::new(ResponseCode::SYSTEM_ERROR, remark));
    }
    with_json(&ConsumerListBody { consumer_id_list })
}

/// UNREGISTER_CLIENT 35: leave a producer group, a consumer group, or both.
pub(super) fn unregister(core: &Core, peer: &Peer, request: &RemotingCommand) -> Answer {
    let header: UnregisterClientRequestHeader = request.header()?;
    if let Some(group) = header.producer_group {
        core.producers.leave(peer.id, &group);
    }
    if let Some(group) = header.consumer_group
        && core.groups.leave(peer.id, &group)
    {
        core.notify_group(&group);
    }
    Ok(success())
}

/// LOCK_BATCH_MQ 41: answers the queues that are the client's now.
pub(super) fn lock(core: &Core, request: &RemotingCommand) -> Answer {
    let body: LockBatchBody = read_json(request)?;
    let now_ms = core.clock.ticks_ms();
    let asked = body.mq_set.iter().map(locked_queue);
    let locked = core.locks.lock(&body.consumer_group, &body.client_id, asked, now_ms);
    let lock_ok_mq_set = locked.into_iter().map(message_queue).collect();
    with_json(&LockBatchResponseBody { lock_ok_mq_set })
}

/// UNLOCK_BATCH_MQ 42.
pub(super) fn unlock(core: &Core, request: &RemotingCommand) -> Answer {
    let body: LockBatchBody = read_json(request)?;
    core.locks.unlock(&body.consumer_group, &body.client_id, body.mq_set.iter().map(locked_queue));
    Ok(success())
}

fn locked_queue(queue: &MessageQueue) -> LockedQueue {
    LockedQueue {
        topic: queue.topic.to_string(),
        broker_name: queue.broker_name.to_string(),
        queue_id: queue.queue_id,
    }
}

fn message_queue(queue: LockedQueue) -> MessageQueue {
    MessageQueue::new(queue.topic, queue.broker_name, queue.queue_id)
}

/// CHECK_CLIENT_CONFIG 46: can the broker filter by this expression?
pub(super) fn check(request: &RemotingCommand) -> Answer {
    let body: CheckClientRequestBody = read_json(request)?;
    let subscription = body.subscription_data;
    match Filter::parse(&subscription.expression_type, &subscription.sub_string) {
        Ok(_) => Ok(success()),
        Err(error) => Err(Refusal::new(ResponseCode::SUBSCRIPTION_PARSE_FAILED, error.to_string())),
    }
}
