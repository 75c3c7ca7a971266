//! What a pop takes: messages of a group's queues and of its retry topic, hidden in the same transaction in which
//! the group's offset passes them, so that a kill at any instant loses none.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};
use gantry_protocol::pop::{PopHandle, PopRetry, QueueOffsets};
use gantry_protocol::properties::keys;
use gantry_protocol::{MessageExt, MessageRecord, ResponseCode, decode_all};

use super::message::messages_in;
use super::offset::is_young;
use super::pop::revive_queue;
use crate::core::{Core, Refusal};
use crate::filter::Filter;
use crate::props::Properties;
use crate::state::order::Order;
use crate::state::popping::Orders;
use crate::store::{Change, OffsetRow, Popped, Queue, ReadRange, ReadResult};

/// Of how many pops one looks into the retry topic first (RocketMQ: popFromRetryProbability, 20 %).
const RETRY_FIRST_OF: u32 = 5;

/// A pop that passed its checks.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) group: Arc<str>,
    pub(super) topic: Arc<str>,
    /// In the order to look at them.
    pub(super) queues: Vec<i32>,
    /// As asked: -1 is any.
    pub(super) queue_id: i32,
    pub(super) most: usize,
    pub(super) invisible_ms: i64,
    pub(super) filter: Filter,
    /// Whether a new group begins at the end.
    pub(super) from_end: bool,
    pub(super) order: bool,
    pub(super) attempt: Option<String>,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            group: Arc::from(""),
            topic: Arc::from(""),
            queues: Vec::new(),
            queue_id: -1,
            most: 1,
            invisible_ms: 0,
            filter: Filter::All,
            from_end: false,
            order: false,
            attempt: None,
        }
    }
}

impl Wanted {
    /// Where messages of this group and topic are that were not settled in time, whichever form of name was in use then.
    pub(super) fn retry_topics(&self) -> [(PopRetry, String); 2] {
        [PopRetry::RetryV1, PopRetry::RetryV2].map(|retry| (retry, retry.topic(&self.group, &self.topic)))
    }
}

/// What was taken.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) popped_ms: i64,
    pub(super) revive_queue_id: i32,
    pub(super) body: BytesMut,
    count: usize,
    /// First offset by queue.
    pub(super) starts: Vec<QueueOffsets>,
    /// Offsets by queue.
    pub(super) offsets: Vec<QueueOffsets>,
    /// For each of them, the offset of the record behind it.
    ends: Vec<Vec<i64>>,
    /// orderCountInfo by queue.
    pub(super) counts: Vec<String>,
    /// Messages left in the queues looked at.
    pub(super) rest: i64,
    /// When a queue that is blocked now may be popped again.
    blocked_until_ms: Option<i64>,
    changes: Vec<Change>,
    commits: Vec<OffsetRow>,
}

impl Taken {
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How long nothing changes by itself, as far as is known.
    pub(super) fn nap_ms(&self, now_ms: i64) -> Option<i64> {
        self.blocked_until_ms.map(|until_ms| (until_ms - now_ms).max(1))
    }
}

/// Pops.
pub(super) async fn take(core: &Core, wanted: &Wanted) -> Result<Taken, Refusal> {
    let full = || Refusal::new(ResponseCode::SYSTEM_BUSY, "too many groups and topics are popped already");
    let lane = core.popping.lane(&wanted.group, &wanted.topic).ok_or_else(full)?;
    let mut orders = lane.lock().await;
    let mut changes = Vec::new();
    for queue_id in &wanted.queues {
        // The offset is that of the reset already; here it ends, and commits count again.
        if core.offsets.take_reset(&wanted.group, &wanted.topic, *queue_id).is_some()
            && orders.remove(queue_id).is_some()
        {
            changes.push(order_change(core, wanted, *queue_id, None));
        }
    }
    let mut taken = look(core, wanted, &orders).await?;
    let ordered = if wanted.order { next_orders(wanted, &mut taken, &orders) } else { Vec::new() };
    changes.append(&mut taken.changes);
    changes
        .extend(ordered.iter().map(|(queue_id, order)| order_change(core, wanted, *queue_id, Some(order))));
    if !changes.is_empty() {
        core.store.change(changes, Vec::new()).await?;
    }
    for row in std::mem::take(&mut taken.commits) {
        core.offsets.commit(&row.group, &row.topic, row.queue_id, row.offset);
    }
    orders.extend(ordered);
    Ok(taken)
}

fn order_change(core: &Core, wanted: &Wanted, queue_id: i32, order: Option<&Order>) -> Change {
    let queue = core.store.queue(&wanted.topic, queue_id).id;
    Change::Order { group: Arc::clone(&wanted.group), queue, state: order.and_then(Order::stored) }
}

/// Looks at what a pop would take.
pub(super) async fn peek(core: &Core, wanted: &Wanted) -> Result<Taken, Refusal> {
    let Some(lane) = core.popping.lane(&wanted.group, &wanted.topic) else { return Ok(Taken::default()) };
    let orders = lane.lock().await;
    look(core, wanted, &orders).await
}

async fn look(core: &Core, wanted: &Wanted, orders: &Orders) -> Result<Taken, Refusal> {
    let mut taken = Taken {
        popped_ms: core.clock.wall_ms(),
        revive_queue_id: revive_queue(wanted.order),
        ..Taken::default()
    };
    let retry_first = !wanted.order && fastrand::u32(0..RETRY_FIRST_OF) == 0;
    if retry_first {
        look_at_retries(core, wanted, &mut taken).await?;
    }
    for &queue_id in &wanted.queues {
        if let Some(order) = orders.get(&queue_id).filter(|_| wanted.order)
            && let Some(until_ms) = order.blocked_until(wanted.attempt.as_deref(), taken.popped_ms)
        {
            let sooner = taken.blocked_until_ms.map_or(until_ms, |known| known.min(until_ms));
            taken.blocked_until_ms = Some(sooner);
            continue;
        }
        let queue = core.store.queue(&wanted.topic, queue_id);
        look_at(core, wanted, &queue, PopRetry::Normal, &mut taken).await?;
    }
    if !wanted.order && !retry_first {
        look_at_retries(core, wanted, &mut taken).await?;
    }
    Ok(taken)
}

async fn look_at_retries(core: &Core, wanted: &Wanted, taken: &mut Taken) -> Result<(), Refusal> {
    for (retry, topic) in wanted.retry_topics() {
        let Some(config) = core.topics.get(&topic) else { continue };
        for queue_id in 0..config.read_queue_nums {
            let queue = core.store.queue(&topic, queue_id);
            look_at(core, wanted, &queue, retry, taken).await?;
        }
    }
    Ok(())
}

async fn look_at(
    core: &Core,
    wanted: &Wanted,
    queue: &Arc<Queue>,
    retry: PopRetry,
    taken: &mut Taken,
) -> Result<(), Refusal> {
    let span = queue.span();
    if span.max == 0 {
        return Ok(());
    }
    let known = core.offsets.get(&wanted.group, &queue.topic, queue.queue_id);
    if known.is_none() && core.offsets.is_full() {
        let remark = format!("the broker has its {} consumer offsets already", core.config.limits.offsets);
        return Err(Refusal::new(ResponseCode::SYSTEM_ERROR, remark));
    }
    let begin = match known {
        Some(offset) => offset.clamp(span.min, span.max),
        None => first_offset(core, wanted, queue, retry).await?,
    };
    let filter = if retry == PopRetry::Normal { wanted.filter.clone() } else { Filter::All };
    let mut offset = begin;
    while taken.count < wanted.most && offset < span.max {
        let range = ReadRange {
            offset,
            max_count: wanted.most - taken.count,
            max_bytes: core.config.max_pull_bytes,
            filter: filter.clone(),
        };
        let read = read(core, queue, range).await?;
        let (found, next) = (read.count > 0, read.next_offset.max(offset + 1));
        add(core, wanted, queue, retry, read, taken)?;
        offset = next;
        if found {
            break;
        }
    }
    taken.rest += span.max - offset;
    // In order, the offset passes messages when they are settled, or when nobody wants them.
    let found = taken.offsets.last().is_some_and(|of| of.queue_id == queue.queue_id && of.retry == retry);
    let offset = if wanted.order && found { begin } else { offset };
    if known != Some(offset) {
        let (group, topic) = (Arc::clone(&wanted.group), Arc::clone(&queue.topic));
        let row = OffsetRow { group, topic, queue_id: queue.queue_id, offset };
        taken.changes.push(Change::Offset(row.clone()));
        taken.commits.push(row);
    }
    Ok(())
}

/// Where a group begins that has no offset yet.
async fn first_offset(core: &Core, wanted: &Wanted, queue: &Queue, retry: PopRetry) -> Result<i64, Refusal> {
    let span = queue.span();
    if retry != PopRetry::Normal || !wanted.from_end {
        return Ok(span.min);
    }
    if is_young(core, &queue.topic, queue.queue_id).await? {
        return Ok(0);
    }
    // As in RocketMQ, the last message is popped so that the group gets an offset.
    Ok((span.max - 1).max(0))
}

async fn read(core: &Core, queue: &Queue, range: ReadRange) -> Result<ReadResult, Refusal> {
    match core.store.read_at_once(queue, &range) {
        Some(read) => Ok(read),
        None => Ok(core.store.read_range(queue, range).await?),
    }
}

fn add(
    core: &Core,
    wanted: &Wanted,
    queue: &Queue,
    retry: PopRetry,
    read: ReadResult,
    taken: &mut Taken,
) -> Result<(), Refusal> {
    let (mut offsets, mut ends) = (Vec::with_capacity(read.count), Vec::with_capacity(read.count));
    let mut start = None;
    for message in read.pieces.into_iter().flat_map(decode_all) {
        let message = message.map_err(|error| Refusal::new(ResponseCode::SYSTEM_ERROR, error.to_string()))?;
        let offset = message.queue_offset();
        let first = *start.get_or_insert(offset);
        let messages = messages_in(&message);
        offsets.push(offset);
        ends.push(offset.saturating_add(i64::try_from(messages).unwrap_or(i64::MAX)));
        taken.count += messages;
        if !wanted.order {
            let popped = Popped {
                group: Arc::clone(&wanted.group),
                queue: queue.id,
                offset,
                popped_ms: taken.popped_ms,
            };
            let due_ms = taken.popped_ms.saturating_add(wanted.invisible_ms);
            taken.changes.push(Change::Pop { popped, due_ms });
        }
        match retry {
            PopRetry::Normal => taken.body.extend_from_slice(message.record()),
            _ => {
                let shown = as_original(core, wanted, &message, (first, retry), taken)?;
                taken.body.extend_from_slice(&shown);
            }
        }
    }
    if let Some(first) = start {
        let queue_id = queue.queue_id;
        taken.starts.push(QueueOffsets { retry, queue_id, offsets: vec![first] });
        taken.offsets.push(QueueOffsets { retry, queue_id, offsets });
        taken.ends.push(ends);
    }
    Ok(())
}

/// A retry as clients see it: of its own topic, with the handle that settles it under the retry topic.
fn as_original(
    core: &Core,
    wanted: &Wanted,
    message: &MessageExt,
    (first, retry): (i64, PopRetry),
    taken: &Taken,
) -> Result<Bytes, Refusal> {
    let handle = PopHandle {
        check_point_offset: first,
        pop_time: taken.popped_ms,
        invisible_time: wanted.invisible_ms,
        revive_queue_id: taken.revive_queue_id,
        retry,
        broker_name: core.config.broker_name.clone(),
        queue_id: message.queue_id(),
        offset: Some(message.queue_offset()),
    };
    let text = message.properties_str();
    let mut properties = Properties::parse(&text);
    properties.put(keys::POP_CK, handle.to_string());
    let record = MessageRecord {
        topic: wanted.topic.to_string(),
        properties: properties.encode().into(),
        ..MessageRecord::from(message)
    };
    let mut bytes = BytesMut::with_capacity(record.encoded_len());
    let encoded = record.encode(&mut bytes);
    encoded.map_err(|error| Refusal::new(ResponseCode::SYSTEM_ERROR, error.to_string()))?;
    Ok(bytes.freeze())
}

/// What was popped in order, to be remembered until it is settled.
fn next_orders(wanted: &Wanted, taken: &mut Taken, orders: &Orders) -> Vec<(i32, Order)> {
    let hidden_until_ms = taken.popped_ms.saturating_add(wanted.invisible_ms);
    let mut next = Vec::with_capacity(taken.offsets.len());
    for (QueueOffsets { queue_id, offsets, .. }, ends) in taken.offsets.iter().zip(&taken.ends) {
        let records: Vec<(i64, i64)> = offsets.iter().copied().zip(ends.iter().copied()).collect();
        let last = orders.get(queue_id).cloned().unwrap_or_default();
        let order = last.next(wanted.attempt.clone(), &records, taken.popped_ms, hidden_until_ms);
        taken.counts.push(order.counts(*queue_id));
        next.push((*queue_id, order));
    }
    next
}

/// Has arrivals in the wanted queues told, as long as the answer lives.
pub(super) fn watch(core: &Core, wanted: &Wanted) -> Watch {
    // A retry topic that does not exist yet has no queue to watch; who makes it tells of the arrival.
    let retry_topics = wanted.retry_topics().into_iter().map(|(_, topic)| topic);
    let existing = retry_topics.filter(|topic| core.topics.get(topic).is_some());
    let retries = existing.map(|topic| core.store.queue(&topic, 0));
    let queues = wanted.queues.iter().map(|queue_id| core.store.queue(&wanted.topic, *queue_id));
    let queues: Vec<Arc<Queue>> = queues.chain(retries).collect();
    for queue in &queues {
        queue.waiting.fetch_add(1, Ordering::SeqCst);
    }
    Watch(queues)
}

/// Queues whose arrivals are told.
#[derive(Debug)]
pub(super) struct Watch(Vec<Arc<Queue>>);

impl Drop for Watch {
    fn drop(&mut self) {
        for queue in &self.0 {
            queue.waiting.fetch_sub(1, Ordering::SeqCst);
        }
    }
}
