//! Cancelling a timer message before it is due: by RECALL_MESSAGE 370, or by a message that names it
//! (RocketMQ: RecallMessageProcessor, TimerMessageStore.needDelete).

use gantry_protocol::header::{RecallMessageRequestHeader, RecallMessageResponseHeader};
use gantry_protocol::properties::keys;
use gantry_protocol::{MessageExt, RecallHandle, RemotingCommand, ResponseCode};

use super::message::{timer_due, whole_seconds};
use super::{Answer, no_such_topic, success};
use crate::core::{Core, Refusal};
use crate::props::Properties;
use crate::state::topics::TIMER_TOPIC;
use crate::store::Change;

/// The unique key of the timer message that a message cancels (RocketMQ: PROPERTY_TIMER_DEL_UNIQKEY).
const CANCELS: &str = "TIMER_DEL_UNIQKEY";
/// A timer is looked for in the second it is due in, as in RocketMQ.
const SLOT_MS: i64 = 1000;

/// A timer message, as its canceller names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Timer {
    topic: String,
    unique_key: String,
    due_ms: i64,
}

/// RECALL_MESSAGE 370.
pub(super) async fn recall(core: &Core, request: &RemotingCommand) -> Answer {
    let header: RecallMessageRequestHeader = request.header()?;
    let illegal = |remark: &str| Refusal::new(ResponseCode::ILLEGAL_OPERATION, remark);
    if core.topics.get(&header.topic).is_none() {
        return Err(no_such_topic(&header.topic));
    }
    let handle = RecallHandle::parse(&header.recall_handle)
        .map_err(|_| illegal("recall failed, recall handle is invalid"))?;
    if handle.topic != header.topic {
        return Err(illegal("recall failed, topic not match"));
    }
    if handle.broker_name != core.config.broker_name {
        return Err(illegal("recall failed, broker service not available"));
    }
    if handle.deliver_ms <= core.clock.wall_ms() {
        return Err(illegal("recall failed, timestamp invalid"));
    }
    let answer = RecallMessageResponseHeader { msg_id: handle.unique_key.clone() };
    let timer = Timer { topic: handle.topic, unique_key: handle.unique_key, due_ms: handle.deliver_ms };
    cancel(core, timer).await?;
    Ok(success().with_header(&answer))
}

/// The timer that a message cancels, if it is such a message. The key may be written `topic+key`.
pub(super) fn cancelled(core: &Core, topic: &str, properties: &Properties<'_>) -> Option<Timer> {
    let key = properties.get(CANCELS)?;
    let due_ms = timer_due(properties, core.clock.wall_ms())?;
    let (topic, unique_key) = key.split_once('+').unwrap_or((topic, key));
    Some(Timer { topic: topic.to_owned(), unique_key: unique_key.to_owned(), due_ms })
}

/// Takes the timer out of the schedule. One that is not there any more has been delivered, and that is no error.
pub(super) async fn cancel(core: &Core, timer: Timer) -> Result<(), Refusal> {
    let from_ms = whole_seconds(timer.due_ms);
    let is_it = move |record| {
        MessageExt::decode(record).is_ok_and(|message| {
            message.topic() == TIMER_TOPIC
                && message.unique_key() == Some(&timer.unique_key)
                && message.property(keys::REAL_TOPIC) == Some(&timer.topic)
        })
    };
    if let Some((due_ms, physical)) = core.store.find_scheduled(from_ms, from_ms + SLOT_MS, is_it).await? {
        core.store.change(vec![Change::Unschedule { due_ms, physical }], Vec::new()).await?;
    }
    Ok(())
}
