use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use gantry_protocol::body::{SubscriptionGroupConfig, TopicOffset, TopicStatsTable};
use gantry_protocol::header::{
    DeleteSubscriptionGroupRequestHeader, GetConsumerConnectionListRequestHeader,
    GetTopicStatsInfoRequestHeader,
};
use gantry_protocol::tag::{TagExpression, hash_code};
use gantry_protocol::{MessageQueue, RemotingCommand, RequestCode, ResponseCode, names};
use serde::Deserialize;
use serde_json::json;

use super::{Answer, no_such_topic, read_json, success, with_json};
use crate::core::{Core, Refusal};
use crate::filter::is_tags;
use crate::state::groups::{MemberInfo, Subscription};
use crate::store::Settings;

/// UPDATE_AND_CREATE_SUBSCRIPTIONGROUP 200.
pub(super) async fn update_group(core: &Core, request: &RemotingCommand) -> Answer {
    put_group(core, read_json(request)?).await?;
    Ok(success())
}

/// The body of UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST 225.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct GroupConfigs {
    group_config_list: Vec<SubscriptionGroupConfig>,
}

/// UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST 225: one after the other, until one is refused.
pub(super) async fn update_groups(core: &Core, request: &RemotingCommand) -> Answer {
    let configs: GroupConfigs = read_json(request)?;
    for settings in configs.group_config_list {
        put_group(core, settings).await?;
    }
    Ok(success())
}

async fn put_group(core: &Core, settings: SubscriptionGroupConfig) -> Result<(), Refusal> {
    if settings.group_name.trim().is_empty() {
        return Err(Refusal::new(ResponseCode::INVALID_PARAMETER, "the group name is blank"));
    }
    let name = settings.group_name.clone();
    let text = serde_json::to_string(&settings)
        .map_err(|error| Refusal::new(ResponseCode::SYSTEM_ERROR, error.to_string()))?;
    core.store.put(Settings::ConsumerGroup, name, text).await?;
    if core.settings.put(settings, core.config.limits.topics) {
        return Ok(());
    }
    let remark = format!("the broker has settings of {} groups already", core.config.limits.topics);
    Err(Refusal::new(ResponseCode::SYSTEM_ERROR, remark))
}

/// DELETE_SUBSCRIPTIONGROUP 207.
pub(super) async fn delete_group(core: &Core, request: &RemotingCommand) -> Answer {
    let header: DeleteSubscriptionGroupRequestHeader = request.header()?;
    core.settings.remove(&header.group_name);
    if header.clean_offset {
        core.offsets.remove_group(&header.group_name);
    }
    core.store.delete_group(header.group_name, header.clean_offset).await?;
    Ok(success())
}

/// The request of `mqadmin brokerStatus` and `clusterList`.
pub(super) const GET_BROKER_RUNTIME_INFO: RequestCode = RequestCode(28);

/// GET_BROKER_RUNTIME_INFO 28: what is known; rates are not measured.
pub(super) fn runtime_info(core: &Core) -> Answer {
    let stored = core.store.shared.counters.messages_stored.load(Ordering::Relaxed);
    with_json(&json!({"table": {
        "brokerActive": "true",
        "brokerVersionDesc": concat!("gantry-dev-broker ", env!("CARGO_PKG_VERSION")),
        "heldPulls": core.held.count().to_string(),
        "messagesStored": stored.to_string(),
        "openConnections": core.server.open.load(Ordering::Relaxed).to_string(),
        "runtime": format!("{} s", core.clock.ticks_ms() / 1000),
    }}))
}

/// GET_TOPIC_STATS_INFO 202: where each queue begins and ends. The rate is not measured and given as 0.
pub(super) fn topic_stats(core: &Core, request: &RemotingCommand) -> Answer {
    let header: GetTopicStatsInfoRequestHeader = request.header()?;
    let topic = core.topics.get(&header.topic).ok_or_else(|| no_such_topic(&header.topic))?;
    let queues = 0..topic.write_queue_nums.max(topic.read_queue_nums);
    let offset_table = queues.map(|queue_id| {
        let span = core.store.existing_queue(&header.topic, queue_id).map(|queue| queue.span());
        let offsets = span.map_or_else(TopicOffset::default, |span| TopicOffset {
            last_update_timestamp: span.last_stored_ms,
            max_offset: span.max,
            min_offset: span.min,
        });
        (message_queue(core, &header.topic, queue_id), offsets)
    });
    with_json(&TopicStatsTable { offset_table: offset_table.collect(), topic_put_tps: 0.0 })
}

/// QUERY_TOPIC_CONSUME_BY_WHO 300: groups that subscribe to a topic or have offsets of it.
pub(super) fn consumers_of(core: &Core, request: &RemotingCommand) -> Answer {
    let topic = request.ext_fields.get("topic").unwrap_or_default();
    let mut groups = core.groups.subscribers_of(topic);
    groups.extend(core.offsets.groups_of(topic));
    groups.sort_unstable();
    groups.dedup();
    with_json(&json!({"groupList": groups}))
}

/// GET_ALL_SUBSCRIPTIONGROUP_CONFIG 201: settings of the groups somebody configured or that have pulled, in one page.
pub(super) fn group_configs(core: &Core) -> Answer {
    let settings = core.settings.all();
    let table: BTreeMap<&str, &SubscriptionGroupConfig> =
        settings.iter().map(|settings| (settings.group_name.as_str(), &**settings)).collect();
    with_json(&json!({
        "dataVersion": {"counter": 0, "stateVersion": 0, "timestamp": 0},
        "forbiddenTable": {},
        "subscriptionGroupTable": table,
    }))
}

/// GET_CONSUMER_CONNECTION_LIST 203.
pub(super) fn consumer_connections(core: &Core, request: &RemotingCommand) -> Answer {
    let header: GetConsumerConnectionListRequestHeader = request.header()?;
    let Some(view) = core.groups.view(&header.consumer_group) else {
        let remark = format!("the consumer group[{}] not online", header.consumer_group);
        return Err(Refusal::new(ResponseCode::CONSUMER_NOT_ONLINE, remark));
    };
    let connection = |member: &MemberInfo| {
        json!({
            "clientAddr": member.peer.address.to_string(),
            "clientId": member.client_id,
            "language": member.language.to_string(),
            "version": member.version,
        })
    };
    let subscriptions: serde_json::Map<String, serde_json::Value> = view
        .subscriptions
        .iter()
        .map(|subscription| (subscription.topic.clone(), subscription_json(subscription)))
        .collect();
    with_json(&json!({
        "connectionSet": view.members.iter().map(connection).collect::<Vec<_>>(),
        "consumeFromWhere": view.kind.consume_from_where,
        "consumeType": view.kind.consume_type,
        "messageModel": view.kind.message_model,
        "subscriptionTable": subscriptions,
    }))
}

pub(super) fn subscription_json(subscription: &Subscription) -> serde_json::Value {
    let tags: Vec<String> = match TagExpression::parse(&subscription.expression) {
        Ok(TagExpression::Tags(tags)) if is_tags(&subscription.expression_type) => tags.into_iter().collect(),
        _ => Vec::new(),
    };
    json!({
        "classFilterMode": false,
        "codeSet": tags.iter().map(|tag| hash_code(tag)).collect::<Vec<_>>(),
        "expressionType": subscription.expression_type,
        "subString": subscription.expression,
        "subVersion": subscription.version,
        "tagsSet": tags,
        "topic": subscription.topic,
    })
}

pub(super) fn message_queue(core: &Core, topic: &str, queue_id: i32) -> MessageQueue {
    MessageQueue::new(topic, core.config.broker_name.as_str(), queue_id)
}

/// Whether anything is known of the group: settings, members or offsets.
pub(super) fn group_exists(core: &Core, group: &str) -> bool {
    core.settings.knows(group)
        || core.groups.is_online(group)
        || core.offsets.knows(group)
        || core.topics.get(&names::retry_topic(group)).is_some()
}
