//! Settling popped messages: ACK_MESSAGE 200051, BATCH_ACK_MESSAGE 200151, CHANGE_MESSAGE_INVISIBLETIME 200053
//! (RocketMQ: AckMessageProcessor, ChangeInvisibleTimeProcessor).
//!
//! A handle whose time is up settles nothing: the message is on its way to the group again. That is no error.

use std::sync::Arc;

use gantry_protocol::body::{BatchAck, BatchAckMessageRequestBody};
use gantry_protocol::header::{
    AckMessageRequestHeader, ChangeInvisibleTimeRequestHeader, ChangeInvisibleTimeResponseHeader,
};
use gantry_protocol::pop::{ORDERLY_REVIVE_QUEUE, PopHandle, PopRetry};
use gantry_protocol::{RemotingCommand, ResponseCode};

use super::{Answer, no_such_topic, read_json, success};
use crate::core::{Core, Refusal};
use crate::state::order::Order;
use crate::state::popping::Lane;
use crate::store::{Change, OffsetRow, Popped, Queue};

/// A popped message, as its handle names it.
struct Handled {
    group: Arc<str>,
    queue: Arc<Queue>,
    offset: i64,
    popped_ms: i64,
}

impl Handled {
    fn popped(&self) -> Popped {
        let Self { group, queue, offset, popped_ms } = self;
        Popped { group: Arc::clone(group), queue: queue.id, offset: *offset, popped_ms: *popped_ms }
    }
}

/// ACK_MESSAGE 200051.
pub(super) async fn ack(core: &Core, request: &RemotingCommand) -> Answer {
    let header: AckMessageRequestHeader = request.header()?;
    let handle = handle(&header.extra_info)?;
    let place = (header.topic.as_str(), header.queue_id, header.offset);
    let handled = handled(core, &header.consumer_group, place, handle.pop_time)?;
    if handle.is_orderly() {
        settle_in_order(core, &handled).await?;
    } else {
        core.store.change(vec![Change::Settle(handled.popped())], Vec::new()).await?;
    }
    Ok(success())
}

/// BATCH_ACK_MESSAGE 200151: what is out of its queue's bounds is passed over, as in RocketMQ.
pub(super) async fn batch_ack(core: &Core, request: &RemotingCommand) -> Answer {
    let body: BatchAckMessageRequestBody = read_json(request)?;
    if !body.broker_name.is_empty() && body.broker_name != core.config.broker_name {
        let remark = format!("the broker name {} is not {}", body.broker_name, core.config.broker_name);
        return Err(Refusal::new(ResponseCode::MESSAGE_ILLEGAL, remark));
    }
    let mut changes = Vec::new();
    for ack in &body.acks {
        for handled in batch(core, ack) {
            if ack.revive_queue_id == ORDERLY_REVIVE_QUEUE {
                settle_in_order(core, &handled).await?;
            } else {
                changes.push(Change::Settle(handled.popped()));
            }
        }
    }
    core.store.change(changes, Vec::new()).await?;
    Ok(success())
}

fn batch<'a>(core: &'a Core, ack: &'a BatchAck) -> impl Iterator<Item = Handled> + 'a {
    let retry = match ack.retry.as_str() {
        "1" => PopRetry::RetryV1,
        "2" => PopRetry::RetryV2,
        _ => PopRetry::Normal,
    };
    let topic = retry.topic(&ack.consumer_group, &ack.topic);
    ack.bits.iter().filter_map(move |bit| {
        let offset = ack.start_offset.checked_add(i64::try_from(bit).ok()?)?;
        handled(core, &ack.consumer_group, (&topic, ack.queue_id, offset), ack.pop_time).ok()
    })
}

/// CHANGE_MESSAGE_INVISIBLETIME 200053: hides the message for so long from now on.
pub(super) async fn change_invisible_time(core: &Core, request: &RemotingCommand) -> Answer {
    let header: ChangeInvisibleTimeRequestHeader = request.header()?;
    let handle = handle(&header.extra_info)?;
    let place = (header.topic.as_str(), header.queue_id, header.offset);
    let handled = handled(core, &header.consumer_group, place, handle.pop_time)?;
    let now_ms = core.clock.wall_ms();
    let invisible_ms = header.invisible_time.max(0);
    let due_ms = now_ms.saturating_add(invisible_ms);
    let (pop_time, invisible_time) = if handle.is_orderly() {
        hide_in_order(core, &handled, due_ms).await?;
        (handled.popped_ms, due_ms - handled.popped_ms)
    } else {
        let longer = Change::PopLonger { popped: handled.popped(), again_ms: now_ms, due_ms };
        core.store.change(vec![longer], Vec::new()).await?;
        (now_ms, invisible_ms)
    };
    let revive_queue_id = handle.revive_queue_id;
    Ok(success().with_header(&ChangeInvisibleTimeResponseHeader {
        pop_time,
        invisible_time,
        revive_queue_id,
    }))
}

fn handle(text: &str) -> Result<PopHandle, Refusal> {
    PopHandle::parse(text).map_err(|error| Refusal::new(ResponseCode::SYSTEM_ERROR, error.to_string()))
}

fn handled(
    core: &Core,
    group: &str,
    (topic, queue_id, offset): (&str, i32, i64),
    popped_ms: i64,
) -> Result<Handled, Refusal> {
    let config = core.topics.get(topic).ok_or_else(|| no_such_topic(topic))?;
    if !(0..config.read_queue_nums).contains(&queue_id) {
        let remark = format!(
            "queueId[{queue_id}] is illegal, topic:[{topic}] topicConfig.readQueueNums:[{}]",
            config.read_queue_nums
        );
        return Err(Refusal::new(ResponseCode::MESSAGE_ILLEGAL, remark));
    }
    let queue = core.store.queue(topic, queue_id);
    let span = queue.span();
    if !(span.min..=span.max).contains(&offset) {
        let remark = format!(
            "offset is illegal, key:{topic}@{queue_id}, commit:{offset}, store:{}~{}",
            span.min, span.max
        );
        return Err(Refusal::new(ResponseCode::NO_MESSAGE, remark));
    }
    Ok(Handled { group: Arc::from(group), queue, offset, popped_ms })
}

/// Settles a message that was popped in order: the group's offset moves to the first that is not settled.
async fn settle_in_order(core: &Core, handled: &Handled) -> Result<(), Refusal> {
    let lane = lane(core, handled)?;
    let mut orders = lane.lock().await;
    let queue = &handled.queue;
    let order = orders.get_mut(&queue.queue_id);
    let Some(offset) = order.and_then(|order| order.settle(handled.offset, handled.popped_ms)) else {
        return Ok(());
    };
    let (group, topic) = (Arc::clone(&handled.group), Arc::clone(&queue.topic));
    let row = OffsetRow { group, topic, queue_id: queue.queue_id, offset };
    let changes = vec![Change::Offset(row.clone()), order_change(handled, orders.get(&queue.queue_id))];
    core.store.change(changes, Vec::new()).await?;
    if orders.get(&queue.queue_id).is_some_and(Order::is_over) {
        orders.remove(&queue.queue_id);
    }
    core.offsets.commit(&row.group, &row.topic, row.queue_id, row.offset);
    drop(orders);
    core.popping.arrived(&queue.topic);
    Ok(())
}

async fn hide_in_order(core: &Core, handled: &Handled, until_ms: i64) -> Result<(), Refusal> {
    let lane = lane(core, handled)?;
    let mut orders = lane.lock().await;
    let order = orders.get_mut(&handled.queue.queue_id);
    if order.and_then(|order| order.hide(handled.offset, handled.popped_ms, until_ms)).is_none() {
        return Ok(());
    }
    let change = order_change(handled, orders.get(&handled.queue.queue_id));
    core.store.change(vec![change], Vec::new()).await?;
    drop(orders);
    core.popping.arrived(&handled.queue.topic);
    Ok(())
}

fn order_change(handled: &Handled, order: Option<&Order>) -> Change {
    let group = Arc::clone(&handled.group);
    Change::Order { group, queue: handled.queue.id, state: order.and_then(Order::stored) }
}

fn lane(core: &Core, handled: &Handled) -> Result<Lane, Refusal> {
    let full = || Refusal::new(ResponseCode::SYSTEM_BUSY, "too many groups and topics are popped already");
    core.popping.lane(&handled.group, &handled.queue.topic).ok_or_else(full)
}
