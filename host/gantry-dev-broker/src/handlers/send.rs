use std::sync::Arc;

use bytes::Bytes;
use gantry_protocol::body::TopicConfig;
use gantry_protocol::header::{
    SendMessageRefusedHeader, SendMessageRequestHeader, SendMessageRequestHeaderV2, SendMessageResponseHeader,
};
use gantry_protocol::properties::{MAX_PROPERTIES, keys};
use gantry_protocol::{RemotingCommand, RequestCode, ResponseCode, message_id, names, perm, sys_flag};

use super::message::{Draft, illegal, recall_handle};
use super::send_batch::batch;
use super::{no_such_topic, recall};
use crate::core::{Core, Refusal};
use crate::error::StoreError;
use crate::props::Properties;
use crate::server::Call;
use crate::state::topics::{self, new_topic};
use crate::store::{Lot, NewRecords, Stored};

/// The region every reply names (RocketMQ: regionId).
pub(super) const REGION: &str = "DefaultRegion";
/// The property that names a message's transaction (RocketMQ: PROPERTY_TRANSACTION_ID).
const TRANSACTION_ID: &str = "__transactionId__";

/// A send that passed its checks.
#[derive(Default)]
pub(super) struct Checked {
    pub(super) records: Vec<NewRecords>,
    pub(super) queue_id: i32,
    pub(super) transaction_id: Option<String>,
    /// The unique key of an inner batch, by which the producer knows it as one.
    pub(super) batch_id: Option<String>,
    pub(super) recall_handle: Option<String>,
}

/// SEND_MESSAGE 10, SEND_MESSAGE_V2 310, SEND_BATCH_MESSAGE 320: answered once the records are safe. Returns when
/// the connection's lot has them, so that its messages keep their order.
pub(super) async fn send(core: &Arc<Core>, call: Call, request: RemotingCommand, lot: &mut Lot) {
    let checked = match header(&request) {
        Ok(header) => check(core, &call, header, request).await,
        // Java fails on these in ways that leave no fields in the reply.
        Err(refusal) => return call.refuse(refusal.code, refusal.remark),
    };
    match checked {
        Ok(mut checked) => {
            let core_of_reply = Arc::clone(core);
            let records = std::mem::take(&mut checked.records);
            let done = move |stored: Result<Vec<Stored>, StoreError>| match stored {
                Ok(stored) => {
                    let header = accepted(&core_of_reply, &stored, checked);
                    call.answer(RemotingCommand::response(ResponseCode::SUCCESS).with_header(&header));
                }
                Err(error) => refuse(call, error.into()),
            };
            core.store.append(records, lot, Box::new(done)).await;
        }
        Err(refusal) => refuse(call, refusal),
    }
}

fn header(request: &RemotingCommand) -> Result<SendMessageRequestHeader, Refusal> {
    let mut header: SendMessageRequestHeader = match request.request_code() {
        RequestCode::SEND_MESSAGE => request.header()?,
        _ => request.header::<SendMessageRequestHeaderV2>()?.into(),
    };
    if request.request_code() == RequestCode::SEND_BATCH_MESSAGE {
        header.batch = Some(true);
    }
    if request.body.is_empty() {
        return Err(Refusal::new(ResponseCode::SYSTEM_ERROR, "the send has no body"));
    }
    Ok(header)
}

fn refuse(call: Call, refusal: Refusal) {
    let header = SendMessageRefusedHeader { msg_region: Some(REGION.to_owned()), trace_on: Some(true) };
    call.answer(RemotingCommand::response(refusal.code).with_remark(refusal.remark).with_header(&header));
}

fn accepted(core: &Core, stored: &[Stored], checked: Checked) -> SendMessageResponseHeader {
    SendMessageResponseHeader {
        msg_id: message_id::offset_msg_ids(core.address, stored.iter().map(|stored| stored.physical)),
        queue_id: checked.queue_id,
        queue_offset: stored.first().map_or(0, |stored| stored.offset),
        transaction_id: checked.transaction_id,
        batch_uniq_id: checked.batch_id,
        recall_handle: checked.recall_handle,
        msg_region: Some(REGION.to_owned()),
        trace_on: Some(true),
    }
}

/// The checks in Java's order (RocketMQ: AbstractSendMessageProcessor.msgCheck, SendMessageProcessor).
async fn check(
    core: &Core,
    call: &Call,
    header: SendMessageRequestHeader,
    request: RemotingCommand,
) -> Result<Checked, Refusal> {
    topics::check_name(&header.topic)
        .map_err(|error| Refusal::new(ResponseCode::INVALID_PARAMETER, error.to_string()))?;
    if topics::sending_forbidden(&header.topic) {
        let remark = format!("Sending message to topic[{}] is forbidden.", header.topic);
        return Err(Refusal::new(ResponseCode::NO_PERMISSION, remark));
    }
    let topic = topic_for(core, &header).await?;
    let queue_id = queue_for(&topic, header.queue_id, call)?;
    if topic.perm & perm::WRITE == 0 {
        let remark = format!("the topic[{}] sending message is forbidden", header.topic);
        return Err(Refusal::new(ResponseCode::NO_PERMISSION, remark));
    }
    if request.body.len() > core.config.max_message_size {
        return Err(illegal(core));
    }
    if header.batch == Some(true) {
        batch(core, call, &header, (&topic, queue_id), request.body)
    } else {
        single(core, call, &header, queue_id, request).await
    }
}

/// The topic, created after its template when that is allowed (RocketMQ: createTopicInSendMessageMethod).
async fn topic_for(core: &Core, header: &SendMessageRequestHeader) -> Result<Arc<TopicConfig>, Refusal> {
    if let Some(topic) = core.topics.get(&header.topic) {
        return Ok(topic);
    }
    if let Some(group) = header.topic.strip_prefix(names::RETRY_PREFIX) {
        return core.ensure_retry_topic(group).await;
    }
    let template =
        core.topics.get(&header.default_topic).filter(|template| template.perm & perm::INHERIT != 0);
    let Some(template) = template else { return Err(no_such_topic(&header.topic)) };
    let queues = header.default_topic_queue_nums.min(template.write_queue_nums).max(1);
    core.put_topic(new_topic(&header.topic, queues, template.perm & !perm::INHERIT)).await
}

fn queue_for(topic: &TopicConfig, queue_id: i32, call: &Call) -> Result<i32, Refusal> {
    if queue_id >= topic.write_queue_nums.max(topic.read_queue_nums) {
        let remark = format!(
            "request queueId[{queue_id}] is illegal, {} Producer: {}",
            topics::describe(topic),
            call.peer.address
        );
        return Err(Refusal::new(ResponseCode::INVALID_PARAMETER, remark));
    }
    Ok(if queue_id < 0 { fastrand::i32(0..topic.write_queue_nums.max(1)) } else { queue_id })
}

async fn single(
    core: &Core,
    call: &Call,
    header: &SendMessageRequestHeader,
    queue_id: i32,
    request: RemotingCommand,
) -> Result<Checked, Refusal> {
    let text = header.properties.as_deref().unwrap_or_default();
    if text.len() > MAX_PROPERTIES {
        return Err(illegal(core));
    }
    let mut properties = Properties::parse(text);
    // An inner batch is made of a batch, never sent as one (RocketMQ: HookUtils.checkInnerBatch).
    if header.sys_flag & sys_flag::INNER_BATCH != 0 || properties.get(keys::INNER_NUM).is_some() {
        return Err(illegal(core));
    }
    // A popped message that is sent on has a handle of its own when it is popped there.
    properties.remove(keys::POP_CK);
    let unique_key = match properties.get(keys::UNIQUE_KEY) {
        Some(key) => key.to_owned(),
        None => core.unique_keys.next(u64::try_from(core.clock.wall_ms()).unwrap_or(0)).to_string(),
    };
    properties.put(keys::UNIQUE_KEY, unique_key.clone());
    properties.put(keys::MSG_REGION, REGION);
    properties.put(keys::TRACE_SWITCH, "true");
    properties.put(keys::CLUSTER, core.config.cluster.as_str());
    let (topic, queue_id) = match dead_letter_group(core, header, request.version) {
        Some(group) => {
            properties.put(keys::DELAY, "-1");
            (dead_letter_topic(core, &group).await?, 0)
        }
        None => (header.topic.clone(), queue_id),
    };
    let prepared = is_prepared(header, &properties);
    if prepared {
        properties.put(TRANSACTION_ID, unique_key.clone());
        if properties.get(keys::PRODUCER_GROUP).is_none() {
            properties.put(keys::PRODUCER_GROUP, header.producer_group.clone());
        }
    }
    let cancelled = if prepared { None } else { recall::cancelled(core, &topic, &properties) };
    let recall_handle = recall_handle(core, &topic, &properties).filter(|_| cancelled.is_none() && !prepared);
    let place = (call, header, queue_id);
    let draft = Draft { topic, ..draft_of(place, header.flag, request.body, properties) };
    let record = match cancelled {
        _ if prepared => draft.into_prepared(core)?,
        Some(timer) => {
            recall::cancel(core, timer).await?;
            draft.into_timer_mark(core)?
        }
        None => draft.into_record(core)?,
    };
    let transaction_id = Some(unique_key);
    Ok(Checked { records: vec![record], queue_id, transaction_id, recall_handle, ..Checked::default() })
}

/// Whether the message is the first half of a transaction: its property or its flag says so.
fn is_prepared(header: &SendMessageRequestHeader, properties: &Properties<'_>) -> bool {
    let says_so = properties.get(keys::TRANSACTION_PREPARED).is_some_and(|value| value == "true");
    let delayed = properties.number(keys::DELAY).is_some_and(|level| level > 0);
    let retried = header.reconsume_times.unwrap_or(0) > 0 && delayed;
    let flagged = header.sys_flag & sys_flag::TRANSACTION_MASK == sys_flag::TRANSACTION_PREPARED;
    (says_so || flagged) && !retried
}

/// The group whose dead-letter topic takes a send to its retry topic: retried too often, or an orderly group,
/// which never retries through the broker (RocketMQ: handleRetryAndDLQ).
fn dead_letter_group(core: &Core, header: &SendMessageRequestHeader, version: i32) -> Option<String> {
    let group = header.topic.strip_prefix(names::RETRY_PREFIX)?;
    let configured = core.settings.of(group).retry_max_times;
    let allowed = header.max_reconsume_times.filter(|_| counts_retries(version)).unwrap_or(configured);
    let exceeded = header.reconsume_times.unwrap_or(0) > allowed;
    let orderly = core.locks.any_held(group, core.clock.ticks_ms());
    (exceeded || orderly).then(|| group.to_owned())
}

/// Whether clients of this version say how often a message may be retried (RocketMQ: V3_4_9).
pub(super) fn counts_retries(version: i32) -> bool {
    const V3_4_9: i32 = 121;
    version >= V3_4_9
}

/// The dead-letter topic of a group, made when it is not there yet.
pub(super) async fn dead_letter_topic(core: &Core, group: &str) -> Result<String, Refusal> {
    let topic = names::dlq_topic(group);
    core.ensure_topic(&topic, 1).await?;
    Ok(topic)
}

pub(super) fn draft_of<'a>(
    (call, header, queue_id): (&Call, &SendMessageRequestHeader, i32),
    flag: i32,
    body: Bytes,
    properties: Properties<'a>,
) -> Draft<'a> {
    Draft {
        topic: header.topic.clone(),
        queue_id,
        flag,
        sys_flag: header.sys_flag,
        born_timestamp: header.born_timestamp,
        born_host: call.peer.address,
        reconsume_times: header.reconsume_times.unwrap_or(0),
        prepared_offset: 0,
        body,
        properties,
    }
}
