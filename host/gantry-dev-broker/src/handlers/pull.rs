use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use gantry_protocol::header::{PullMessageRequestHeader, PullMessageResponseHeader};
use gantry_protocol::{RemotingCommand, ResponseCode, perm, sys_flag};

use super::{HELP, no_such_topic};
use crate::core::{Core, Refusal};
use crate::filter::{Filter, FilterError, is_tags};
use crate::server::Call;
use crate::state::groups::Subscription;
use crate::state::held::{Early, Pull};
use crate::store::{ReadRange, ReadResult, Span};

/// What a pull found (RocketMQ: GetMessageStatus); the name is the reply's remark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Found,
    NoMatchedMessage,
    NoMessageInQueue,
    OffsetTooSmall,
    OffsetOverflowOne,
    OffsetOverflowBadly,
    OffsetReset,
}

impl Status {
    fn remark(self) -> &'static str {
        match self {
            Self::Found => "FOUND",
            Self::NoMatchedMessage => "NO_MATCHED_MESSAGE",
            Self::NoMessageInQueue => "NO_MESSAGE_IN_QUEUE",
            Self::OffsetTooSmall => "OFFSET_TOO_SMALL",
            Self::OffsetOverflowOne => "OFFSET_OVERFLOW_ONE",
            Self::OffsetOverflowBadly => "OFFSET_OVERFLOW_BADLY",
            Self::OffsetReset => "OFFSET_RESET",
        }
    }

    fn code(self, offset: i64) -> ResponseCode {
        match self {
            Self::Found => ResponseCode::SUCCESS,
            Self::NoMatchedMessage => ResponseCode::PULL_RETRY_IMMEDIATELY,
            Self::NoMessageInQueue if offset == 0 => ResponseCode::PULL_NOT_FOUND,
            Self::OffsetOverflowOne => ResponseCode::PULL_NOT_FOUND,
            Self::NoMessageInQueue | Self::OffsetTooSmall | Self::OffsetOverflowBadly | Self::OffsetReset => {
                ResponseCode::PULL_OFFSET_MOVED
            }
        }
    }
}

/// PULL_MESSAGE 11 and LITE_PULL_MESSAGE 361.
pub(super) fn pull(core: &Arc<Core>, call: Call, request: &RemotingCommand) {
    match request.header::<PullMessageRequestHeader>() {
        Ok(header) => start(core, call, header, true),
        Err(error) => call.refuse(ResponseCode::SYSTEM_ERROR, error.to_string()),
    }
}

/// Starts a pull. One that is ahead of its group's subscription may wait for the heartbeat that brings it: a Java
/// client pulls with the new version before it has sent that heartbeat, and when it is refused waits seconds.
fn start(core: &Arc<Core>, call: Call, header: PullMessageRequestHeader, may_wait: bool) {
    match check(core, &call, &header) {
        Ok((filter, topic_sys_flag)) => {
            core.settings.see(&header.consumer_group, core.config.limits.topics);
            let pull = Pull {
                group: Arc::from(header.consumer_group.as_str()),
                queue: core.store.queue(&header.topic, header.queue_id),
                range: range(core, &header, filter),
                topic_sys_flag,
                call,
            };
            let hold_ms = may_suspend(&header).then_some(header.suspend_timeout_millis.clamp(0, MAX_HOLD_MS));
            run(core, pull, hold_ms);
            if header.sys_flag & sys_flag::PULL_COMMIT_OFFSET != 0 && header.commit_offset >= 0 {
                core.offsets.commit(
                    &header.consumer_group,
                    &header.topic,
                    header.queue_id,
                    header.commit_offset,
                );
            }
        }
        Err(refusal) if may_wait && may_suspend(&header) && refusal.code == NOT_LATEST => {
            postpone(core, call, header)
        }
        Err(refusal) => call.refuse(refusal.code, refusal.remark),
    }
}

fn may_suspend(header: &PullMessageRequestHeader) -> bool {
    header.sys_flag & sys_flag::PULL_SUSPEND != 0
}

fn postpone(core: &Arc<Core>, call: Call, header: PullMessageRequestHeader) {
    let group = header.consumer_group.clone();
    let deadline_ms = core.clock.ticks_ms() + header.suspend_timeout_millis.clamp(0, MAX_WAIT_MS);
    match core.held.postpone(Early { call, header, deadline_ms }) {
        // The heartbeat may have come between the check and now.
        Ok(()) => subscribed(core, &group),
        Err(Early { call, header, .. }) => start(core, call, header, false),
    }
}

/// Lets pulls of the group go on whose subscription has come.
pub(super) fn subscribed(core: &Arc<Core>, group: &str) {
    let has_come = |early: &Early| {
        let known = core.groups.subscription(group, &early.header.topic).flatten();
        early.header.consumer_group == group
            && known.is_some_and(|known| known.version >= early.header.sub_version)
    };
    for early in core.held.take_early(has_come) {
        start(core, early.call, early.header, false);
    }
}

/// Answers what waits for messages in queues that have got some.
pub(crate) fn arrived(core: &Arc<Core>) {
    for queue in core.store.shared.arrivals.take() {
        core.held.take_matching(&queue).into_iter().for_each(|pull| resume(core, pull));
        core.popping.arrived(&queue.topic);
    }
}

/// Answers held pulls whose time is up, and those that only non-matching messages passed by.
pub(crate) fn sweep(core: &Arc<Core>) {
    let now_ms = core.clock.ticks_ms();
    core.held.take_for_sweep(now_ms).into_iter().for_each(|pull| resume(core, pull));
    for early in core.held.take_early(|early| now_ms >= early.deadline_ms) {
        start(core, early.call, early.header, false);
    }
}

const NOT_LATEST: ResponseCode = ResponseCode::SUBSCRIPTION_NOT_LATEST;
/// Longest a pull waits for its subscription.
const MAX_WAIT_MS: i64 = 5_000;
/// Longest a client can ask a pull to be held.
const MAX_HOLD_MS: i64 = 120_000;

/// Runs a pull again that was held; it is answered now, whatever there is.
pub(super) fn resume(core: &Arc<Core>, pull: Pull) {
    run(core, pull, None);
}

/// The checks in Java's order; answers the filter and the topic's flag.
fn check(core: &Core, call: &Call, header: &PullMessageRequestHeader) -> Result<(Filter, i32), Refusal> {
    if !core.settings.of(&header.consumer_group).consume_enable {
        let remark = format!("subscription group no permission, {}", header.consumer_group);
        return Err(Refusal::new(ResponseCode::NO_PERMISSION, remark));
    }
    let Some(topic) = core.topics.get(&header.topic) else { return Err(no_such_topic(&header.topic)) };
    if topic.perm & perm::READ == 0 {
        let remark = format!("the topic[{}] pulling message is forbidden", header.topic);
        return Err(Refusal::new(ResponseCode::NO_PERMISSION, remark));
    }
    if header.queue_id < 0 || header.queue_id >= topic.read_queue_nums {
        let remark = format!(
            "queueId[{}] is illegal, topic:[{}] topicConfig.readQueueNums:[{}] consumer:[/{}]",
            header.queue_id, header.topic, topic.read_queue_nums, call.peer.address
        );
        return Err(Refusal::new(ResponseCode::INVALID_PARAMETER, remark));
    }
    Ok((filter(core, header)?, topic.topic_sys_flag))
}

fn filter(core: &Core, header: &PullMessageRequestHeader) -> Result<Filter, Refusal> {
    if header.sys_flag & sys_flag::PULL_SUBSCRIPTION != 0 {
        return own_filter(header);
    }
    let missing = |what: &str| {
        let remark = format!("the consumer's {what} not exist\n{HELP}");
        Refusal::new(ResponseCode::SUBSCRIPTION_NOT_EXIST, remark)
    };
    let of_group = core.groups.subscription(&header.consumer_group, &header.topic);
    let subscription =
        of_group.ok_or_else(|| missing("group info"))?.ok_or_else(|| missing("subscription"))?;
    if subscription.version < header.sub_version {
        return Err(Refusal::new(NOT_LATEST, "the consumer's subscription not latest"));
    }
    let Subscription { filter, expression_type, .. } = subscription;
    filter.map_err(|error| match is_tags(&expression_type) {
        true => unreadable(&error),
        false => {
            let remark = format!(
                "The broker's consumer filter data is not exist!Your expression may be wrong! {error}"
            );
            Refusal::new(ResponseCode::FILTER_DATA_NOT_EXIST, remark)
        }
    })
}

/// The filter a pull carries. As in RocketMQ, one that is there but not understood lets everything through.
fn own_filter(header: &PullMessageRequestHeader) -> Result<Filter, Refusal> {
    let kind = header.expression_type.as_deref().unwrap_or_default();
    let expression = header.subscription.as_deref();
    match Filter::parse(kind, expression.unwrap_or(if is_tags(kind) { "*" } else { "" })) {
        Ok(filter) => Ok(filter),
        Err(error) if is_tags(kind) || expression.is_none_or(str::is_empty) => Err(unreadable(&error)),
        Err(error) => {
            let group = &header.consumer_group;
            tracing::warn!(%error, %group, "a pull's expression is passed over, and so every message returned");
            Ok(Filter::All)
        }
    }
}

fn unreadable(error: &FilterError) -> Refusal {
    let remark = format!("parse the consumer's subscription failed: {error}");
    Refusal::new(ResponseCode::SUBSCRIPTION_PARSE_FAILED, remark)
}

fn range(core: &Core, header: &PullMessageRequestHeader, filter: Filter) -> ReadRange {
    let asked = usize::try_from(header.max_msg_nums).unwrap_or(0).max(1);
    let bytes = header.max_msg_bytes.and_then(|bytes| usize::try_from(bytes).ok()).filter(|bytes| *bytes > 0);
    ReadRange {
        offset: header.queue_offset,
        max_count: asked.min(core.config.max_pull_count),
        max_bytes: bytes.unwrap_or(usize::MAX).min(core.config.max_pull_bytes),
        filter,
    }
}

/// Answers the pull, or holds it for `hold_ms` when there is nothing new.
fn run(core: &Arc<Core>, pull: Pull, hold_ms: Option<i64>) {
    let reset = core.offsets.take_reset(&pull.group, &pull.queue.topic, pull.queue.queue_id);
    let span = pull.queue.span();
    let offset = pull.range.offset;
    let (status, next) = match reset {
        Some(offset) => (Status::OffsetReset, offset),
        None if span.max == 0 => (Status::NoMessageInQueue, 0),
        None if offset < span.min => (Status::OffsetTooSmall, span.min),
        None if offset == span.max => (Status::OffsetOverflowOne, offset),
        None if offset > span.max => (Status::OffsetOverflowBadly, span.max),
        None => return read(core, pull, span),
    };
    match hold_ms.filter(|_| status.code(offset) == ResponseCode::PULL_NOT_FOUND) {
        Some(hold_ms) => hold(core, pull, hold_ms, next),
        None => answer(pull, status, span, ReadResult { next_offset: next, ..ReadResult::default() }),
    }
}

fn hold(core: &Arc<Core>, pull: Pull, hold_ms: i64, next_offset: i64) {
    let queue = Arc::clone(&pull.queue);
    let offset = pull.range.offset;
    match core.held.hold(pull, core.clock.ticks_ms() + hold_ms) {
        // What arrived between the look at the queue and now has woken nobody.
        Ok(()) if queue.span().max > offset => {
            core.held.take_matching(&queue).into_iter().for_each(|pull| resume(core, pull));
        }
        Ok(()) => {}
        Err(pull) => {
            let status = if next_offset == 0 { Status::NoMessageInQueue } else { Status::OffsetOverflowOne };
            answer(pull, status, queue.span(), ReadResult { next_offset, ..ReadResult::default() });
        }
    }
}

/// Reads from memory, or from the database in a task.
fn read(core: &Arc<Core>, pull: Pull, span: Span) {
    if let Some(read) = core.store.read_at_once(&pull.queue, &pull.range) {
        return answer_read(pull, span, read);
    }
    let core_of_task = Arc::clone(core);
    core.tasks.spawn("read", async move {
        match core_of_task.store.read_range(&pull.queue, pull.range.clone()).await {
            Ok(read) => answer_read(pull, span, read),
            Err(error) => {
                let refusal = Refusal::from(error);
                pull.call.refuse(refusal.code, refusal.remark);
            }
        }
    });
}

fn answer_read(pull: Pull, span: Span, read: ReadResult) {
    let status = if read.count > 0 { Status::Found } else { Status::NoMatchedMessage };
    answer(pull, status, span, read);
}

fn answer(pull: Pull, status: Status, span: Span, read: ReadResult) {
    let header = PullMessageResponseHeader {
        suggest_which_broker_id: 0,
        next_begin_offset: read.next_offset,
        min_offset: span.min,
        max_offset: span.max.max(read.next_offset),
        offset_delta: None,
        topic_sys_flag: Some(pull.topic_sys_flag),
        group_sys_flag: Some(0),
        forbidden_type: None,
    };
    let response = RemotingCommand::response(status.code(pull.range.offset))
        .with_remark(status.remark())
        .with_header(&header);
    pull.call.answer_with(response, own(read.pieces));
}

/// Small pieces as one copy: a small piece would keep the whole run in memory that it is a part of.
fn own(pieces: Vec<Bytes>) -> Vec<Bytes> {
    const SMALL: usize = 32 * 1024;
    if pieces.iter().all(|piece| piece.len() >= SMALL) {
        return pieces;
    }
    let mut own = BytesMut::with_capacity(pieces.iter().map(Bytes::len).filter(|size| *size < SMALL).sum());
    let mut all = Vec::with_capacity(pieces.len());
    for piece in pieces {
        if piece.len() < SMALL {
            own.extend_from_slice(&piece);
        } else {
            all.extend([own.split().freeze(), piece]);
        }
    }
    all.push(own.freeze());
    all.retain(|piece| !piece.is_empty());
    all
}
