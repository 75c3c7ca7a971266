//! The name server's table of keys: PUT_KV_CONFIG 100, GET_KV_CONFIG 101, DELETE_KV_CONFIG 102,
//! GET_KVLIST_BY_NAMESPACE 219 (RocketMQ: KVConfigManager). Routes name the order of topics that is in it.

use gantry_protocol::{RemotingCommand, ResponseCode};
use serde_json::json;

use super::{Answer, success, with_json};
use crate::core::{Core, Refusal};
use crate::store::Settings;

/// The namespace of ordered topics: `broker:queues` joined by `;`, by topic (RocketMQ: NAMESPACE_ORDER_TOPIC_CONFIG).
pub(super) const ORDER_TOPICS: &str = "ORDER_TOPIC_CONFIG";

fn place(request: &RemotingCommand) -> Result<(&str, &str), Refusal> {
    let missing = || Refusal::new(ResponseCode::SYSTEM_ERROR, "namespace or key is null");
    let namespace = request.ext_fields.get("namespace").ok_or_else(missing)?;
    Ok((namespace, request.ext_fields.get("key").ok_or_else(missing)?))
}

/// PUT_KV_CONFIG 100.
pub(super) async fn put(core: &Core, request: &RemotingCommand) -> Answer {
    let (namespace, key) = place(request)?;
    let value = request.ext_fields.get("value");
    let value = value.ok_or_else(|| Refusal::new(ResponseCode::SYSTEM_ERROR, "value is null"))?;
    if !core.keys.put(namespace, key, value) {
        let remark = format!("the broker has its {} keys already", core.config.limits.topics);
        return Err(Refusal::new(ResponseCode::SYSTEM_ERROR, remark));
    }
    save(core, namespace).await
}

/// GET_KV_CONFIG 101.
pub(super) fn get(core: &Core, request: &RemotingCommand) -> Answer {
    let (namespace, key) = place(request)?;
    let Some(value) = core.keys.get(namespace, key) else {
        let remark = format!("No config item, Namespace: {namespace} Key: {key}");
        return Err(Refusal::new(ResponseCode::QUERY_NOT_FOUND, remark));
    };
    let mut answer = success();
    answer.ext_fields.insert("value", value);
    Ok(answer)
}

/// DELETE_KV_CONFIG 102.
pub(super) async fn delete(core: &Core, request: &RemotingCommand) -> Answer {
    let (namespace, key) = place(request)?;
    if core.keys.remove(namespace, key) { save(core, namespace).await } else { Ok(success()) }
}

/// GET_KVLIST_BY_NAMESPACE 219.
pub(super) fn list(core: &Core, request: &RemotingCommand) -> Answer {
    let namespace = request.ext_fields.get("namespace").unwrap_or_default();
    let table = core.keys.namespace(namespace);
    if table.is_empty() {
        let remark = format!("No config item, Namespace: {namespace}");
        return Err(Refusal::new(ResponseCode::QUERY_NOT_FOUND, remark));
    }
    with_json(&json!({"table": table}))
}

async fn save(core: &Core, namespace: &str) -> Answer {
    let text = serde_json::to_string(&core.keys.namespace(namespace))
        .map_err(|error| Refusal::new(ResponseCode::SYSTEM_ERROR, error.to_string()))?;
    core.store.put(Settings::Keys, namespace.to_owned(), text).await?;
    Ok(success())
}
