use std::sync::Arc;

use gantry_protocol::header::ConsumerSendMsgBackRequestHeader;
use gantry_protocol::properties::keys;
use gantry_protocol::{MessageExt, RemotingCommand, ResponseCode, perm, sys_flag};
use tokio::sync::oneshot;

use super::message::Draft;
use super::send::{counts_retries, dead_letter_topic};
use super::{Answer, success};
use crate::core::{Core, Refusal};
use crate::error::StoreError;
use crate::props::Properties;
use crate::store::NewRecords;

/// The first retry's level; each further retry is one level longer.
const FIRST_RETRY_LEVEL: i32 = 3;

/// CONSUMER_SEND_MSG_BACK 36: files a copy of the message under the group's retry topic, due after a delay, or
/// under its dead-letter topic (RocketMQ: AbstractSendMessageProcessor.consumerSendMsgBack).
pub(super) async fn send_back(core: &Arc<Core>, request: &RemotingCommand) -> Answer {
    let header: ConsumerSendMsgBackRequestHeader = request.header()?;
    let settings = core.settings.of(&header.group);
    if settings.retry_queue_nums <= 0 {
        return Ok(success());
    }
    let retry_topic = core.ensure_retry_topic(&header.group).await?;
    if retry_topic.perm & perm::WRITE == 0 {
        let remark = format!("the topic[{}] sending message is forbidden", retry_topic.topic_name);
        return Err(Refusal::new(ResponseCode::NO_PERMISSION, remark));
    }
    let allowed = header.max_reconsume_times.filter(|_| counts_retries(request.version));
    let allowed = allowed.unwrap_or(settings.retry_max_times);
    let lost = || {
        let remark = format!("look message by offset failed, {}", header.offset);
        Refusal::new(ResponseCode::SYSTEM_ERROR, remark)
    };
    let stored = core.store.read_at(header.offset).await?.ok_or_else(lost)?;
    let message = MessageExt::decode(stored)
        .map_err(|error| Refusal::new(ResponseCode::SYSTEM_ERROR, error.to_string()))?;
    if message.sys_flag() & sys_flag::INNER_BATCH != 0 {
        // One message of it cannot be sent back, and the whole of it not either: the queues of retries keep no batches.
        return Err(Refusal::new(ResponseCode::SYSTEM_ERROR, "MESSAGE_ILLEGAL"));
    }
    let dead = header.delay_level < 0 || message.reconsume_times() >= allowed;
    let topic =
        if dead { dead_letter_topic(core, &header.group).await? } else { retry_topic.topic_name.clone() };
    let level = match header.delay_level {
        _ if dead => 0,
        0 => FIRST_RETRY_LEVEL + message.reconsume_times(),
        level => level,
    };
    let queue_id = if dead { 0 } else { fastrand::i32(0..settings.retry_queue_nums) };
    let record = copy(core, &message, topic, queue_id, level)?;
    store(core, record).await?;
    Ok(success())
}

/// The copy: born fields and body stay, the properties say where it comes from.
fn copy(
    core: &Core,
    message: &MessageExt,
    topic: String,
    queue_id: i32,
    level: i32,
) -> Result<NewRecords, Refusal> {
    let text = message.properties_str();
    let first_id = message.offset_msg_id();
    let mut properties = Properties::parse(&text);
    if properties.get(keys::RETRY_TOPIC).is_none() {
        properties.put(keys::RETRY_TOPIC, message.topic().to_owned());
    }
    if properties.get(keys::ORIGIN_MESSAGE_ID).is_none() {
        properties.put(keys::ORIGIN_MESSAGE_ID, first_id);
    }
    properties.put(keys::WAIT, "false");
    properties.put(keys::DELAY, level.to_string());
    for timer in [keys::TIMER_DELAY_SEC, keys::TIMER_DELAY_MS, keys::TIMER_DELIVER_MS] {
        properties.remove(timer);
    }
    let draft = Draft {
        topic,
        queue_id,
        flag: message.flag(),
        sys_flag: message.sys_flag(),
        born_timestamp: message.born_timestamp(),
        born_host: message.born_host(),
        reconsume_times: message.reconsume_times() + 1,
        prepared_offset: message.prepared_transaction_offset(),
        body: message.shared(message.stored_body()),
        properties,
    };
    draft.into_record(core)
}

async fn store(core: &Core, record: NewRecords) -> Result<(), StoreError> {
    let (sender, receiver) = oneshot::channel();
    // The asker may be gone; the copy is stored all the same.
    let done = move |stored: Result<_, StoreError>| drop(sender.send(stored.map(|_| ())));
    core.store.append_now(vec![record], Box::new(done)).await;
    receiver.await.unwrap_or(Err(StoreError::Closed))
}
