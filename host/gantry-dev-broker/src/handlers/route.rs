use std::sync::Arc;

use gantry_protocol::body::{BrokerData, ClusterInfo, QueueData, TopicConfig, TopicList, TopicRouteData};
use gantry_protocol::names::{MASTER_ID, RETRY_PREFIX};
use gantry_protocol::{RemotingCommand, ResponseCode};
use serde::Serialize;

use super::{Answer, HELP, kv, success};
use crate::core::{Core, Refusal};
use crate::server::Peer;
use crate::state::topics::check_name;

/// GET_ROUTEINFO_BY_TOPIC 105, the name server's part. A retry topic exists as soon as somebody asks for it: a
/// consumer asks before its first heartbeat, and asks again only half a minute later.
pub(super) async fn route(core: &Arc<Core>, peer: &Peer, request: &RemotingCommand) -> Answer {
    let topic = request.ext_fields.get("topic");
    let missing = || {
        let name = topic.unwrap_or("null");
        let remark = format!("No topic route info in name server for the topic: {name}\n{HELP}");
        Refusal::new(ResponseCode::TOPIC_NOT_EXIST, remark)
    };
    let name = topic.ok_or_else(missing)?;
    let config = match (core.topics.get(name), name.strip_prefix(RETRY_PREFIX)) {
        (Some(config), _) => config,
        (None, Some(group)) if !group.is_empty() && check_name(name).is_ok() => {
            core.ensure_retry_topic(group).await?
        }
        (None, _) => return Err(missing()),
    };
    with_standard_json(&route_of(core, peer, &config))
}

fn route_of(core: &Core, peer: &Peer, config: &TopicConfig) -> TopicRouteData {
    let queues = QueueData {
        broker_name: core.config.broker_name.clone(),
        perm: config.perm,
        read_queue_nums: config.read_queue_nums,
        topic_sys_flag: config.topic_sys_flag,
        write_queue_nums: config.write_queue_nums,
    };
    TopicRouteData {
        broker_datas: vec![broker_data(core, peer)],
        queue_datas: vec![queues],
        order_topic_conf: core.keys.get(kv::ORDER_TOPICS, &config.topic_name),
        ..TopicRouteData::default()
    }
}

fn broker_data(core: &Core, peer: &Peer) -> BrokerData {
    // Listening on every address, the broker is best reached where this client has reached it.
    let anywhere = core.address.ip().is_unspecified();
    let address = if anywhere { peer.reached_at.unwrap_or(core.address) } else { core.address };
    BrokerData {
        broker_addrs: [(MASTER_ID, address.to_string())].into(),
        broker_name: core.config.broker_name.clone(),
        cluster: core.config.cluster.clone(),
        ..BrokerData::default()
    }
}

/// GET_BROKER_CLUSTER_INFO 106.
pub(super) fn cluster(core: &Core, peer: &Peer) -> Answer {
    let name = core.config.broker_name.clone();
    with_standard_json(&ClusterInfo {
        broker_addr_table: [(name.clone(), broker_data(core, peer))].into(),
        cluster_addr_table: [(core.config.cluster.clone(), vec![name])].into(),
    })
}

/// GET_ALL_TOPIC_LIST_FROM_NAMESERVER 206.
pub(super) fn topic_list(core: &Core) -> Answer {
    with_standard_json(&TopicList { broker_addr: None, topic_list: core.topics.names() })
}

/// SUCCESS with a body every client reads: numeric keys are quoted.
fn with_standard_json(body: &impl Serialize) -> Answer {
    match serde_json::to_vec(body) {
        Ok(json) => Ok(success().with_body(json)),
        Err(error) => Err(Refusal::new(ResponseCode::SYSTEM_ERROR, error.to_string())),
    }
}
