use std::collections::BTreeMap;

use gantry_protocol::body::TopicConfig;
use gantry_protocol::header::{
    CreateTopicRequestHeader, DeleteTopicRequestHeader, GetTopicConfigRequestHeader,
};
use gantry_protocol::{RemotingCommand, ResponseCode};
use serde::Deserialize;

use super::attributes::altered;
use super::{Answer, no_such_topic, read_json, success, with_json};
use crate::core::{Core, Refusal};
use crate::state::topics::check_name;

/// Most queues a topic may have here.
const MAX_QUEUES: i32 = 1024;

/// UPDATE_AND_CREATE_TOPIC 17. Consumers see new queues with their next look at the route; groups that subscribe
/// to the topic are told to look now.
pub(super) async fn create(core: &Core, request: &RemotingCommand) -> Answer {
    let header: CreateTopicRequestHeader = request.header()?;
    let config = TopicConfig {
        topic_name: header.topic,
        read_queue_nums: header.read_queue_nums,
        write_queue_nums: header.write_queue_nums,
        perm: header.perm,
        topic_filter_type: header.topic_filter_type.unwrap_or_else(|| "SINGLE_TAG".to_owned()),
        topic_sys_flag: header.topic_sys_flag.unwrap_or(0),
        order: header.order.unwrap_or(false),
        attributes: BTreeMap::new(),
    };
    define(core, config, header.attributes.as_deref().unwrap_or_default()).await?;
    Ok(success())
}

/// The body of UPDATE_AND_CREATE_TOPIC_LIST 18.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TopicConfigs {
    topic_config_list: Vec<TopicConfig>,
}

/// UPDATE_AND_CREATE_TOPIC_LIST 18: one after the other, until one is refused.
pub(super) async fn create_list(core: &Core, request: &RemotingCommand) -> Answer {
    let configs: TopicConfigs = read_json(request)?;
    for mut config in configs.topic_config_list {
        let attributes = std::mem::take(&mut config.attributes);
        let changes: Vec<String> = attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
        define(core, config, &changes.join(",")).await?;
    }
    Ok(success())
}

async fn define(core: &Core, config: TopicConfig, attributes: &str) -> Result<(), Refusal> {
    let invalid = |remark: String| Refusal::new(ResponseCode::INVALID_PARAMETER, remark);
    let name = config.topic_name.clone();
    check_name(&name).map_err(|error| invalid(error.to_string()))?;
    if core.topics.is_system(&name) {
        return Err(invalid(format!("The topic[{name}] is conflict with system topic.")));
    }
    for (field, queues) in
        [("readQueueNums", config.read_queue_nums), ("writeQueueNums", config.write_queue_nums)]
    {
        if !(0..=MAX_QUEUES).contains(&queues) {
            return Err(invalid(format!("{field} is {queues}: a topic has 0 to {MAX_QUEUES} queues here")));
        }
    }
    let known = core.topics.get(&name);
    let attributes = altered(known.as_ref().map(|known| &known.attributes), attributes)?;
    let changed = known.is_some_and(|known| known.read_queue_nums != config.read_queue_nums);
    core.put_topic(TopicConfig { attributes, ..config }).await?;
    if changed {
        core.groups.subscribers_of(&name).iter().for_each(|group| core.notify_group(group));
    }
    Ok(())
}

/// DELETE_TOPIC_IN_BROKER 215: the topic, its messages and every group's offsets of it.
pub(super) async fn delete(core: &Core, request: &RemotingCommand) -> Answer {
    let header: DeleteTopicRequestHeader = request.header()?;
    if core.topics.is_system(&header.topic) {
        let remark = format!("The topic[{}] is conflict with system topic.", header.topic);
        return Err(Refusal::new(ResponseCode::INVALID_PARAMETER, remark));
    }
    core.topics.remove(&header.topic);
    core.offsets.remove_topic(&header.topic);
    core.store.delete_topic(&header.topic).await?;
    Ok(success())
}

/// GET_TOPIC_CONFIG 351.
pub(super) fn config(core: &Core, request: &RemotingCommand) -> Answer {
    let header: GetTopicConfigRequestHeader = request.header()?;
    let topic = core.topics.get(&header.topic).ok_or_else(|| no_such_topic(&header.topic))?;
    with_json(&*topic)
}
