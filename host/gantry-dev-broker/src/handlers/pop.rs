//! POP_MESSAGE 200050: reading messages and hiding them from the group for a while (RocketMQ: PopMessageProcessor).

use std::sync::Arc;
use std::time::Duration;

use gantry_protocol::body::TopicConfig;
use gantry_protocol::header::{
    NotificationRequestHeader, NotificationResponseHeader, PeekMessageRequestHeader,
    PollingInfoRequestHeader, PollingInfoResponseHeader, PopMessageRequestHeader, PopMessageResponseHeader,
};
use gantry_protocol::pop::{ORDERLY_REVIVE_QUEUE, format_offset_info};
use gantry_protocol::{RemotingCommand, ResponseCode, perm};

use super::take::{self, Taken, Wanted};
use super::{Answer, no_such_topic, settle, success};
use crate::core::{Core, Refusal};
use crate::filter::Filter;
use crate::server::{Call, Peer};

/// Most messages of one pop.
const MOST: i32 = 32;
/// Longest a client can ask a pop to be held.
const MAX_HOLD_MS: i64 = 120_000;
/// Longest a held pop sleeps, so that a jump of the clock is noticed.
const NAP_MS: i64 = 1000;
/// Queues of RocketMQ's revive log, which clients only carry around.
const REVIVE_QUEUES: i32 = 8;

/// POP_MESSAGE 200050.
pub(super) fn pop(core: &Arc<Core>, call: Call, request: &RemotingCommand) {
    let wanted = request.header::<PopMessageRequestHeader>().map_err(Refusal::from);
    let wanted = wanted.and_then(|header| Ok((wanted_by(core, &call.peer, &header)?, header)));
    let (wanted, header) = match wanted {
        Ok(wanted) => wanted,
        Err(refusal) => return settle(call, Err(refusal)),
    };
    core.settings.see(&header.consumer_group, core.config.limits.topics);
    let hold_ms = hold_ms(core, header.born_time, header.poll_time);
    let core_of_task = Arc::clone(core);
    core.tasks.spawn("pop", async move {
        let answer = match until_found(&core_of_task, &call.peer, &wanted, Look::Take, hold_ms).await {
            Ok(Outcome::Found(taken)) => Ok(found(*taken, &wanted)),
            Ok(Outcome::Nothing) => Ok(nothing(&core_of_task, &wanted)),
            Ok(Outcome::TooMany) => {
                Err(Refusal::new(ResponseCode::POLLING_FULL, "too many pops wait already"))
            }
            Err(refusal) => Err(refusal),
        };
        settle(call, answer);
    });
}

/// The checks in Java's order.
fn wanted_by(core: &Core, peer: &Peer, header: &PopMessageRequestHeader) -> Result<Wanted, Refusal> {
    if header.max_msg_nums > MOST {
        let name = &core.config.broker_name;
        let remark = format!("the broker[{name}] pop message's num is greater than {MOST}");
        return Err(Refusal::new(ResponseCode::SYSTEM_ERROR, remark));
    }
    let topic = readable(core, peer, &header.topic, &header.consumer_group, header.queue_id)?;
    Ok(Wanted {
        group: Arc::from(header.consumer_group.as_str()),
        topic: Arc::from(header.topic.as_str()),
        queues: queues(&topic, header.queue_id),
        queue_id: header.queue_id,
        most: usize::try_from(header.max_msg_nums).unwrap_or(0).clamp(1, core.config.max_pull_count),
        invisible_ms: header.invisible_time.max(0),
        filter: filter(header.expression_type.as_deref(), header.expression.as_deref())?,
        from_end: header.init_mode == 1,
        order: header.order == Some(true),
        attempt: header.attempt_id.clone().filter(|attempt| !attempt.is_empty()),
    })
}

fn readable(
    core: &Core,
    peer: &Peer,
    name: &str,
    group: &str,
    queue_id: i32,
) -> Result<Arc<TopicConfig>, Refusal> {
    let topic = core.topics.get(name).ok_or_else(|| no_such_topic(name))?;
    if topic.perm & perm::READ == 0 {
        let remark = format!("the topic[{name}] peeking message is forbidden");
        return Err(Refusal::new(ResponseCode::NO_PERMISSION, remark));
    }
    if queue_id >= topic.read_queue_nums {
        let remark = format!(
            "queueId[{queue_id}] is illegal, topic:[{name}] topicConfig.readQueueNums:[{}] consumer:[/{}]",
            topic.read_queue_nums, peer.address
        );
        return Err(Refusal::new(ResponseCode::INVALID_PARAMETER, remark));
    }
    if !core.settings.of(group).consume_enable {
        let remark = format!("subscription group no permission, {group}");
        return Err(Refusal::new(ResponseCode::NO_PERMISSION, remark));
    }
    Ok(topic)
}

/// The queue asked for, or all of them, beginning somewhere.
fn queues(topic: &TopicConfig, queue_id: i32) -> Vec<i32> {
    let count = topic.read_queue_nums.max(0);
    if queue_id >= 0 || count == 0 {
        return (queue_id >= 0).then_some(queue_id).into_iter().collect();
    }
    let first = fastrand::i32(0..count);
    (0..count).map(|queue| (first + queue) % count).collect()
}

fn filter(kind: Option<&str>, expression: Option<&str>) -> Result<Filter, Refusal> {
    let Some(expression) = expression.filter(|expression| !expression.is_empty()) else {
        return Ok(Filter::All);
    };
    Filter::parse(kind.unwrap_or_default(), expression).map_err(|error| {
        let remark = format!("parse the consumer's subscription failed: {error}");
        Refusal::new(ResponseCode::SUBSCRIPTION_PARSE_FAILED, remark)
    })
}

/// How long the request may be held, from its birth.
fn hold_ms(core: &Core, born_ms: i64, poll_ms: i64) -> i64 {
    let poll_ms = poll_ms.clamp(0, MAX_HOLD_MS);
    let left_ms = born_ms.saturating_add(poll_ms).saturating_sub(core.clock.wall_ms());
    left_ms.clamp(0, poll_ms)
}

/// Whether what is found is popped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Take,
    Peek,
}

enum Outcome {
    Found(Box<Taken>),
    Nothing,
    TooMany,
}

impl Look {
    async fn at(self, core: &Core, wanted: &Wanted) -> Result<Taken, Refusal> {
        match self {
            Self::Take => take::take(core, wanted).await,
            Self::Peek => take::peek(core, wanted).await,
        }
    }
}

/// Looks until there is something, the time is up, or nobody waits for it any more. A look that finds nothing
/// says when another one is worth while.
async fn until_found(
    core: &Core,
    peer: &Peer,
    wanted: &Wanted,
    look: Look,
    hold_ms: i64,
) -> Result<Outcome, Refusal> {
    let deadline_ms = core.clock.ticks_ms() + hold_ms;
    let found = look.at(core, wanted).await?;
    if !found.is_empty() {
        return Ok(Outcome::Found(Box::new(found)));
    }
    if hold_ms == 0 {
        return Ok(Outcome::Nothing);
    }
    let retry_topics = wanted.retry_topics().map(|(_, topic)| Arc::from(topic));
    let topics = retry_topics.into_iter().chain([Arc::clone(&wanted.topic)]).collect();
    let Some(waiter) = core.popping.wait(&wanted.group, wanted.queue_id, topics) else {
        return Ok(Outcome::TooMany);
    };
    let _waiting = take::watch(core, wanted);
    loop {
        if peer.is_closing() || core.tasks.stopping.is_cancelled() {
            return Ok(Outcome::Nothing);
        }
        let found = look.at(core, wanted).await?;
        if !found.is_empty() {
            return Ok(Outcome::Found(Box::new(found)));
        }
        let nap_ms = found.nap_ms(core.clock.wall_ms()).unwrap_or(NAP_MS).min(NAP_MS);
        let left_ms = deadline_ms - core.clock.ticks_ms();
        if left_ms <= 0 {
            return Ok(Outcome::Nothing);
        }
        let nap = Duration::from_millis(nap_ms.clamp(1, left_ms).unsigned_abs());
        tokio::select! {
            () = waiter.arrival() => {}
            () = tokio::time::sleep(nap) => {}
            () = peer.closed() => return Ok(Outcome::Nothing),
            () = core.tasks.stopping.cancelled() => return Ok(Outcome::Nothing),
        }
    }
}

fn found(taken: Taken, wanted: &Wanted) -> RemotingCommand {
    let header = PopMessageResponseHeader {
        pop_time: taken.popped_ms,
        invisible_time: wanted.invisible_ms,
        revive_queue_id: taken.revive_queue_id,
        rest_num: taken.rest,
        start_offset_info: Some(format_offset_info(&taken.starts)),
        msg_offset_info: Some(format_offset_info(&taken.offsets)),
        order_count_info: wanted.order.then(|| taken.counts.join(";")),
    };
    RemotingCommand::response(ResponseCode::SUCCESS)
        .with_remark("FOUND")
        .with_header(&header)
        .with_body(taken.body.freeze())
}

fn nothing(core: &Core, wanted: &Wanted) -> RemotingCommand {
    let header = PopMessageResponseHeader {
        pop_time: core.clock.wall_ms(),
        invisible_time: wanted.invisible_ms,
        revive_queue_id: revive_queue(wanted.order),
        rest_num: 0,
        start_offset_info: Some(String::new()),
        msg_offset_info: Some(String::new()),
        order_count_info: wanted.order.then(String::new),
    };
    RemotingCommand::response(ResponseCode::POLLING_TIMEOUT)
        .with_remark("NO_MESSAGE_IN_QUEUE")
        .with_header(&header)
}

pub(super) fn revive_queue(order: bool) -> i32 {
    if order { ORDERLY_REVIVE_QUEUE } else { fastrand::i32(0..REVIVE_QUEUES) }
}

/// PEEK_MESSAGE 200052: what a pop would find, without popping it.
pub(super) async fn peek(core: &Core, peer: &Peer, request: &RemotingCommand) -> Answer {
    let header: PeekMessageRequestHeader = request.header()?;
    let topic = readable(core, peer, &header.topic, &header.consumer_group, header.queue_id)?;
    let wanted = Wanted {
        group: Arc::from(header.consumer_group.as_str()),
        topic: Arc::from(header.topic.as_str()),
        queues: queues(&topic, header.queue_id),
        queue_id: header.queue_id,
        most: usize::try_from(header.max_msg_nums).unwrap_or(0).clamp(1, core.config.max_pull_count),
        ..Wanted::default()
    };
    let peeked = take::peek(core, &wanted).await?;
    let header = PopMessageResponseHeader { rest_num: peeked.rest, ..PopMessageResponseHeader::default() };
    let (code, remark) = match peeked.is_empty() {
        true => (ResponseCode::PULL_NOT_FOUND, "NO_MESSAGE_IN_QUEUE"),
        false => (ResponseCode::SUCCESS, "FOUND"),
    };
    let answer = RemotingCommand::response(code).with_remark(remark).with_header(&header);
    Ok(answer.with_body(peeked.body.freeze()))
}

/// NOTIFICATION 200054: waits until a pop would find something.
pub(super) fn notification(core: &Arc<Core>, call: Call, request: &RemotingCommand) {
    let wanted = request.header::<NotificationRequestHeader>().map_err(Refusal::from);
    let wanted = wanted.and_then(|header| {
        let topic = readable(core, &call.peer, &header.topic, &header.consumer_group, header.queue_id)?;
        let wanted = Wanted {
            group: Arc::from(header.consumer_group.as_str()),
            topic: Arc::from(header.topic.as_str()),
            queues: queues(&topic, header.queue_id),
            queue_id: header.queue_id,
            most: 1,
            filter: filter(header.expression_type.as_deref(), header.expression.as_deref())?,
            order: header.order == Some(true),
            attempt: header.attempt_id.clone().filter(|attempt| !attempt.is_empty()),
            ..Wanted::default()
        };
        Ok((wanted, header))
    });
    let (wanted, header) = match wanted {
        Ok(wanted) => wanted,
        Err(refusal) => return settle(call, Err(refusal)),
    };
    let hold_ms = hold_ms(core, header.born_time, header.poll_time);
    let core_of_task = Arc::clone(core);
    core.tasks.spawn("notification", async move {
        let found = until_found(&core_of_task, &call.peer, &wanted, Look::Peek, hold_ms).await;
        let answer = found.map(|outcome| {
            let has_msg = matches!(outcome, Outcome::Found(_));
            let polling_full = matches!(outcome, Outcome::TooMany);
            success().with_header(&NotificationResponseHeader { has_msg, polling_full })
        });
        settle(call, answer);
    });
}

/// POLLING_INFO 200055: how many requests of the group wait for the queue.
pub(super) fn polling_info(core: &Core, request: &RemotingCommand) -> Answer {
    let header: PollingInfoRequestHeader = request.header()?;
    let waiting = core.popping.waiting(&header.consumer_group, &header.topic, header.queue_id);
    let polling_num = i32::try_from(waiting).unwrap_or(i32::MAX);
    Ok(success().with_header(&PollingInfoResponseHeader { polling_num }))
}
