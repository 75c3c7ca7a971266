//! How far groups are, for administrators: GET_CONSUME_STATS 208, QUERY_CONSUME_TIME_SPAN 303, GET_BROKER_CONSUME_STATS
//! 317. Rates are given as 0.

use std::collections::BTreeMap;
use std::sync::Arc;

use gantry_protocol::body::{ConsumeStats, OffsetWrapper, QueueMap};
use gantry_protocol::header::GetConsumeStatsRequestHeader;
use gantry_protocol::{RemotingCommand, ResponseCode};
use serde_json::json;

use super::admin::message_queue;
use super::inventory::text;
use super::{Answer, with_json};
use crate::core::{Core, Refusal};
use crate::store::Queue;

/// GET_CONSUME_STATS 208: how far the group is in each queue of its topics.
pub(super) async fn of_group(core: &Core, request: &RemotingCommand) -> Answer {
    let header: GetConsumeStatsRequestHeader = request.header()?;
    let asked = header.topic.filter(|topic| !topic.is_empty());
    let topics = match asked {
        Some(topic) => vec![Arc::from(topic)],
        None => core.offsets.topics_of(&header.consumer_group),
    };
    let mut offset_table = QueueMap::default();
    for topic in topics {
        add(core, &header.consumer_group, &topic, &mut offset_table).await?;
    }
    with_json(&ConsumeStats { consume_tps: 0.0, offset_table })
}

/// Adds the queues of a topic, if it exists.
async fn add(
    core: &Core,
    group: &str,
    topic: &str,
    table: &mut QueueMap<OffsetWrapper>,
) -> Result<(), Refusal> {
    let queues = core.topics.get(topic).map_or(0, |config| config.read_queue_nums);
    for queue_id in 0..queues {
        let queue = core.store.existing_queue(topic, queue_id);
        let broker_offset = queue.as_ref().map_or(0, |queue| queue.span().max);
        let consumer_offset = core.offsets.get(group, topic, queue_id).unwrap_or(0);
        let last_timestamp = stored_at(core, queue.as_deref(), consumer_offset - 1).await?.unwrap_or(0);
        let progress =
            OffsetWrapper { broker_offset, consumer_offset, last_timestamp, pull_offset: consumer_offset };
        table.insert(message_queue(core, topic, queue_id), progress);
    }
    Ok(())
}

async fn stored_at(core: &Core, queue: Option<&Queue>, offset: i64) -> Result<Option<i64>, Refusal> {
    match queue {
        Some(queue) if offset >= 0 => Ok(core.store.stored_at(queue, offset).await?),
        _ => Ok(None),
    }
}

/// QUERY_CONSUME_TIME_SPAN 303: from when to when each queue's messages are, and up to when the group has consumed.
pub(super) async fn time_spans(core: &Core, request: &RemotingCommand) -> Answer {
    let (topic, group) = (text(request, "topic")?, text(request, "group")?);
    let missing = || Refusal::new(ResponseCode::TOPIC_NOT_EXIST, format!("topic[{topic}] not exist"));
    let config = core.topics.get(topic).ok_or_else(missing)?;
    let mut spans = Vec::new();
    for queue_id in 0..config.write_queue_nums {
        let queue = core.store.existing_queue(topic, queue_id);
        let at = async |offset| stored_at(core, queue.as_deref(), offset).await;
        let (min, max) = queue.as_ref().map_or((0, 0), |queue| (queue.span().min, queue.span().max));
        let consumed = core.offsets.get(group, topic, queue_id).unwrap_or(0);
        let first_ms = at(min).await?.unwrap_or(-1);
        let consumed_ms = if consumed > 0 { at(consumed - 1).await?.unwrap_or(-1) } else { first_ms };
        let delay_ms = at(consumed.max(min)).await?.map_or(0, |stored_ms| core.clock.wall_ms() - stored_ms);
        spans.push(json!({
            "consumeTimeStamp": consumed_ms,
            "delayTime": delay_ms,
            "maxTimeStamp": at(max - 1).await?.unwrap_or(-1),
            "messageQueue": message_queue(core, topic, queue_id),
            "minTimeStamp": first_ms,
        }));
    }
    with_json(&json!({ "consumeTimeSpanSet": spans }))
}

/// GET_BROKER_CONSUME_STATS 317: how far every group is in every topic it has offsets of.
pub(super) async fn of_broker(core: &Core, request: &RemotingCommand) -> Answer {
    let only_ordered = request.ext_fields.get("isOrder") == Some("true");
    let (mut groups, mut behind) = (Vec::new(), 0);
    for settings in core.settings.all() {
        let group = settings.group_name.as_str();
        let mut of_group = Vec::new();
        for topic in core.offsets.topics_of(group) {
            if only_ordered && !core.topics.get(&topic).is_some_and(|config| config.order) {
                continue;
            }
            let mut offset_table = QueueMap::default();
            add(core, group, &topic, &mut offset_table).await?;
            behind +=
                offset_table.values().map(|queue| queue.broker_offset - queue.consumer_offset).sum::<i64>();
            of_group.push(ConsumeStats { consume_tps: 0.0, offset_table });
        }
        groups.push(BTreeMap::from([(group.to_owned(), of_group)]));
    }
    with_json(&ConsumeStatsList {
        broker_addr: core.address.to_string(),
        consume_stats_list: groups,
        total_diff: behind,
        total_inflight_diff: 0,
    })
}

/// The answer to GET_BROKER_CONSUME_STATS (RocketMQ: ConsumeStatsList).
#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct ConsumeStatsList {
    broker_addr: String,
    consume_stats_list: Vec<BTreeMap<String, Vec<ConsumeStats>>>,
    total_diff: i64,
    total_inflight_diff: i64,
}
