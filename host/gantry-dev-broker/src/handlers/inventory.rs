//! What there is, for administrators: topics, settings, producers, offsets. Statistics are not kept.

use std::collections::BTreeMap;

use gantry_protocol::body::{TopicConfig, TopicList};
use gantry_protocol::{RemotingCommand, ResponseCode};
use serde_json::{Value, json};

use super::admin::group_exists;
use super::{Answer, no_such_topic, success, with_json};
use crate::core::{Core, Refusal};
use crate::state::groups::MemberInfo;

pub(super) fn text<'a>(request: &'a RemotingCommand, name: &'static str) -> Result<&'a str, Refusal> {
    let missing = || Refusal::new(ResponseCode::SYSTEM_ERROR, format!("the header lacks the field {name:?}"));
    request.ext_fields.get(name).filter(|value| !value.is_empty()).ok_or_else(missing)
}

fn data_version() -> Value {
    json!({"counter": 0, "stateVersion": 0, "timestamp": 0})
}

/// GET_ALL_TOPIC_CONFIG 21, in one page.
pub(super) fn topic_configs(core: &Core) -> Answer {
    let names = core.topics.names();
    let configs = names.iter().filter_map(|name| Some((name, core.topics.get(name)?)));
    let table: BTreeMap<&String, TopicConfig> =
        configs.map(|(name, config)| (name, (*config).clone())).collect();
    with_json(&json!({"dataVersion": data_version(), "topicConfigTable": table}))
}

/// GET_BROKER_CONFIG 26: what is set here, under RocketMQ's names, as Java properties.
pub(super) fn broker_config(core: &Core) -> Answer {
    let config = &core.config;
    let delays = config.delay_levels.iter().map(|delay| format!("{}s", delay.as_secs_f64()));
    let settings = [
        ("brokerName", config.broker_name.clone()),
        ("brokerClusterName", config.cluster.clone()),
        ("brokerId", "0".to_owned()),
        ("brokerRole", "ASYNC_MASTER".to_owned()),
        ("brokerIP1", core.address.ip().to_string()),
        ("listenPort", core.address.port().to_string()),
        ("autoCreateTopicEnable", config.auto_create_topics.to_string()),
        ("defaultTopicQueueNums", config.default_topic_queue_nums.to_string()),
        ("maxMessageSize", config.max_message_size.to_string()),
        ("maxTransferCountOnMessageInMemory", config.max_pull_count.to_string()),
        ("maxTransferBytesOnMessageInMemory", config.max_pull_bytes.to_string()),
        ("messageDelayLevel", delays.collect::<Vec<_>>().join(" ")),
        ("transactionTimeOut", config.timing.transaction_timeout.as_millis().to_string()),
        ("transactionCheckInterval", config.timing.transaction_check.as_millis().to_string()),
        ("transactionCheckMax", config.timing.transaction_checks.to_string()),
        ("enableRetryTopicV2", config.pop_retry_topic_v2.to_string()),
        ("useServerSideResetOffset", config.server_side_reset.to_string()),
    ];
    let lines: String = settings.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
    let mut answer = success().with_body(lines);
    answer.ext_fields.insert("version", data_version());
    Ok(answer)
}

/// GET_ALL_CONSUMER_OFFSET 43.
pub(super) fn offsets(core: &Core) -> Answer {
    let mut table: BTreeMap<String, BTreeMap<i32, i64>> = BTreeMap::new();
    for row in core.offsets.all() {
        table.entry(format!("{}@{}", row.topic, row.group)).or_default().insert(row.queue_id, row.offset);
    }
    with_json(&json!({"dataVersion": data_version(), "offsetTable": table}))
}

/// GET_PRODUCER_CONNECTION_LIST 204.
pub(super) fn producer_connections(core: &Core, request: &RemotingCommand) -> Answer {
    let group = text(request, "producerGroup")?;
    let members = core.producers.members(group);
    if members.is_empty() {
        let remark = format!("the producer group[{group}] not exist");
        return Err(Refusal::new(ResponseCode::SYSTEM_ERROR, remark));
    }
    let connection = |member: &MemberInfo| {
        json!({
            "clientAddr": member.peer.address.to_string(),
            "clientId": member.client_id,
            "language": member.language.to_string(),
            "version": member.version,
        })
    };
    with_json(&json!({"connectionSet": members.iter().map(connection).collect::<Vec<_>>()}))
}

/// GET_ALL_PRODUCER_INFO 328.
pub(super) fn producers(core: &Core) -> Answer {
    let info = |member: &MemberInfo| {
        json!({
            "clientId": member.client_id,
            "language": member.language.to_string(),
            "lastUpdateTimestamp": core.clock.wall_ms(),
            "remoteIP": format!("/{}", member.peer.address),
            "version": member.version,
        })
    };
    let of_group = |group: String| {
        let members: Vec<Value> = core.producers.members(&group).iter().map(info).collect();
        (group, Value::from(members))
    };
    let data: serde_json::Map<String, Value> = core.producers.groups().into_iter().map(of_group).collect();
    with_json(&json!({"data": data}))
}

/// GET_TOPICS_BY_CLUSTER 224.
pub(super) fn topics_of_cluster(core: &Core, request: &RemotingCommand) -> Answer {
    let cluster = text(request, "cluster")?;
    let topic_list = if cluster == core.config.cluster { core.topics.names() } else { Vec::new() };
    with_json(&TopicList { broker_addr: None, topic_list })
}

/// GET_SYSTEM_TOPIC_LIST_FROM_NS 304, which names clusters and brokers too, and GET_SYSTEM_TOPIC_LIST_FROM_BROKER 305.
pub(super) fn system_topics(core: &Core, of_name_server: bool) -> Answer {
    let mut topic_list: Vec<String> =
        core.topics.names().into_iter().filter(|topic| core.topics.is_system(topic)).collect();
    if of_name_server {
        topic_list.extend([core.config.cluster.clone(), core.config.broker_name.clone()]);
    }
    let broker_addr = of_name_server.then(|| core.address.to_string());
    with_json(&TopicList { broker_addr, topic_list })
}

/// QUERY_TOPICS_BY_CONSUMER 343: topics of which the group has offsets.
pub(super) fn topics_of_group(core: &Core, request: &RemotingCommand) -> Answer {
    let topics = core.offsets.topics_of(text(request, "group")?);
    with_json(&TopicList { broker_addr: None, topic_list: topics.iter().map(ToString::to_string).collect() })
}

/// QUERY_SUBSCRIPTION_BY_CONSUMER 345.
pub(super) fn subscription(core: &Core, request: &RemotingCommand) -> Answer {
    let (group, topic) = (text(request, "group")?, text(request, "topic")?);
    let known = core.groups.subscription(group, topic).flatten();
    let subscription_data = known.as_ref().map(super::admin::subscription_json);
    with_json(&json!({"group": group, "subscriptionData": subscription_data, "topic": topic}))
}

/// GET_SUBSCRIPTIONGROUP_CONFIG 352.
pub(super) fn group_config(core: &Core, request: &RemotingCommand) -> Answer {
    let group = text(request, "group")?;
    if !core.settings.knows(group) {
        let remark = format!("No group in this broker. group: {group}");
        return Err(Refusal::new(ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST, remark));
    }
    with_json(&*core.settings.of(group))
}

/// VIEW_BROKER_STATS_DATA 315: there are none.
pub(super) fn stats(request: &RemotingCommand) -> Answer {
    let (name, key) = (text(request, "statsName")?, text(request, "statsKey")?);
    Err(Refusal::new(ResponseCode::SYSTEM_ERROR, format!("The stats <{name}> <{key}> not exist")))
}

/// QUERY_CORRECTION_OFFSET 308: the least offset of all groups but those left out, by queue; where the group to compare
/// with is further, the highest number instead (RocketMQ: AdminBrokerProcessor.queryCorrectionOffset).
pub(super) fn correction_offsets(core: &Core, request: &RemotingCommand) -> Answer {
    let topic = text(request, "topic")?;
    let left_out: Vec<&str> = request.ext_fields.get("filterGroups").unwrap_or_default().split(',').collect();
    let compared = request.ext_fields.get("compareGroup").unwrap_or_default();
    let mut least: BTreeMap<i32, i64> = BTreeMap::new();
    for row in core.offsets.all().into_iter().filter(|row| &*row.topic == topic) {
        if left_out.contains(&&*row.group) {
            continue;
        }
        let known = least.entry(row.queue_id).or_insert(i64::MAX);
        *known = row.offset.min(*known);
    }
    for (queue_id, offset) in &mut least {
        if core.offsets.get(compared, topic, *queue_id).is_some_and(|reached| reached > *offset) {
            *offset = i64::MAX;
        }
    }
    with_json(&json!({"correctionOffsets": least}))
}

/// CLONE_GROUP_OFFSET 314: a group begins where another one is, in one topic or in all it has offsets of.
pub(super) fn clone_offsets(core: &Core, request: &RemotingCommand) -> Answer {
    let (from, to) = (text(request, "srcGroup")?, text(request, "destGroup")?);
    if !group_exists(core, from) {
        let remark = format!("Group {from} not exist!");
        return Err(Refusal::new(ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST, remark));
    }
    let topics = match request.ext_fields.get("topic").filter(|topic| !topic.is_empty()) {
        Some(topic) => vec![topic.into()],
        None => core.offsets.topics_of(from),
    };
    for topic in topics {
        let config = core.topics.get(&topic).ok_or_else(|| no_such_topic(&topic))?;
        for queue_id in 0..config.read_queue_nums {
            let Some(offset) = core.offsets.get(from, &topic, queue_id) else { continue };
            if !core.offsets.commit(to, &topic, queue_id, offset) {
                let remark =
                    format!("the broker has its {} consumer offsets already", core.config.limits.offsets);
                return Err(Refusal::new(ResponseCode::SYSTEM_ERROR, remark));
            }
        }
    }
    Ok(success())
}
