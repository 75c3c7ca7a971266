//! Popped messages that were not settled in time come back under the group's POP retry topic
//! (RocketMQ: PopReviveService).

use std::sync::Arc;

use gantry_protocol::body::TopicConfig;
use gantry_protocol::pop::PopRetry;
use gantry_protocol::properties::keys;
use gantry_protocol::{MessageExt, ResponseCode, names, perm};

use super::message::Draft;
use crate::core::{Core, Refusal};
use crate::props::Properties;
use crate::state::topics::new_topic;
use crate::store::{Change, Expired, NewRecords};

/// Brings back what is due; answers how many messages there were.
pub(crate) async fn revive(core: &Core) -> Result<usize, Refusal> {
    let expired = core.store.expired(core.clock.wall_ms()).await?;
    let count = expired.len();
    for expired in expired {
        let records = match retry(core, &expired).await {
            Ok(record) => record.into_iter().collect(),
            Err(refusal) => {
                tracing::warn!(
                    reason = refusal.remark,
                    group = &*expired.popped.group,
                    "a popped message is dropped"
                );
                Vec::new()
            }
        };
        let topic = records.first().map(|record: &NewRecords| Arc::clone(&record.queue.topic));
        // Unless it was settled, or hidden for longer, just now.
        core.store.change(vec![Change::Settle(expired.popped)], records).await?;
        topic.iter().for_each(|topic| core.popping.arrived(topic));
    }
    Ok(count)
}

/// The copy for the retry topic; `None` when the message is gone with its topic.
async fn retry(core: &Core, expired: &Expired) -> Result<Option<NewRecords>, Refusal> {
    let Some(record) = expired.record.clone() else { return Ok(None) };
    let message = MessageExt::decode(record)
        .map_err(|error| Refusal::new(ResponseCode::SYSTEM_ERROR, error.to_string()))?;
    let group = &*expired.popped.group;
    let topic = match names::is_retry(message.topic()) {
        true => message.topic().to_owned(),
        false => ensure_retry_topic(core, group, message.topic()).await?.topic_name.clone(),
    };
    let text = message.properties_str();
    let mut properties = Properties::parse(&text);
    if properties.get(keys::FIRST_POP_TIME).is_none() {
        properties.put(keys::FIRST_POP_TIME, expired.popped.popped_ms.to_string());
    }
    properties.put(keys::ORIGIN_GROUP, group.to_owned());
    let draft = Draft {
        topic,
        queue_id: 0,
        flag: message.flag(),
        sys_flag: message.sys_flag(),
        born_timestamp: message.born_timestamp(),
        born_host: core.address,
        reconsume_times: message.reconsume_times() + 1,
        prepared_offset: 0,
        body: message.shared(message.stored_body()),
        properties,
    };
    draft.encode(core, true).map(Some)
}

/// The POP retry topic, which may be longer than clients may name a topic.
async fn ensure_retry_topic(core: &Core, group: &str, topic: &str) -> Result<Arc<TopicConfig>, Refusal> {
    let form = if core.config.pop_retry_topic_v2 { PopRetry::RetryV2 } else { PopRetry::RetryV1 };
    let name = form.topic(group, topic);
    match core.topics.get(&name) {
        Some(config) => Ok(config),
        None => core.put_topic(new_topic(&name, 1, perm::READ | perm::WRITE)).await,
    }
}
