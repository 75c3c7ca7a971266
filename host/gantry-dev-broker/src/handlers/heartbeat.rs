use std::sync::Arc;

use gantry_protocol::header::HeartbeatResponseHeader;
use gantry_protocol::{RemotingCommand, ResponseCode};
use serde::Deserialize;

use super::{Answer, pull, read_json, success};
use crate::core::{Core, Refusal};
use crate::filter::Filter;
use crate::server::Peer;
use crate::state::groups::{Change, GroupKind, Registration, Subscription};
use crate::state::producers::ProducerClient;

/// A heartbeat as the broker needs it: clients differ in how they write tag sets and enumerations, so the sets are
/// computed here from the expression, and the words are taken in any case.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Heartbeat {
    #[serde(rename = "clientID")]
    client_id: String,
    consumer_data_set: Vec<Consumer>,
    producer_data_set: Vec<Producer>,
    heartbeat_fingerprint: i64,
    without_sub: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Producer {
    group_name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Consumer {
    consume_from_where: String,
    consume_type: String,
    group_name: String,
    message_model: String,
    subscription_data_set: Vec<Subscribed>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Subscribed {
    expression_type: Option<String>,
    sub_string: Option<String>,
    sub_version: i64,
    topic: String,
}

/// HEART_BEAT 34: who produces, and who consumes what. The groups' retry topics exist from here on at the latest.
pub(super) async fn heartbeat(core: &Arc<Core>, peer: &Arc<Peer>, request: &RemotingCommand) -> Answer {
    let heartbeat: Heartbeat = read_json(request)?;
    produces(core, peer, &heartbeat, request)?;
    // Version 1 heartbeats are always answered true, as Java does.
    let mut sub_change = heartbeat.heartbeat_fingerprint == 0;
    let named = |consumer: &Consumer| !consumer.group_name.trim().is_empty();
    for consumer in heartbeat.consumer_data_set.into_iter().filter(named) {
        core.ensure_retry_topic(&consumer.group_name).await?;
        let group = consumer.group_name.clone();
        let registration = Registration {
            group: &group,
            client_id: &heartbeat.client_id,
            language: request.language,
            version: request.version,
            kind: kind(&consumer),
            fingerprint: heartbeat.heartbeat_fingerprint,
            subscriptions: (!heartbeat.without_sub).then(|| subscriptions(consumer.subscription_data_set)),
        };
        let change = core.groups.register(peer, registration, core.clock.ticks_ms());
        sub_change |= apply(core, &group, change)?;
    }
    let header = HeartbeatResponseHeader { support_heart_beat_v2: Some(true), sub_change: Some(sub_change) };
    Ok(success().with_header(&header))
}

fn produces(
    core: &Core,
    peer: &Arc<Peer>,
    heartbeat: &Heartbeat,
    request: &RemotingCommand,
) -> Result<(), Refusal> {
    let client = ProducerClient {
        client_id: &heartbeat.client_id,
        language: request.language,
        version: request.version,
    };
    let now_ms = core.clock.ticks_ms();
    let named = |producer: &&Producer| !producer.group_name.trim().is_empty();
    for producer in heartbeat.producer_data_set.iter().filter(named) {
        if !core.producers.register(peer, &producer.group_name, &client, now_ms) {
            return Err(full(core));
        }
    }
    Ok(())
}

fn full(core: &Core) -> Refusal {
    let remark = format!("the broker has its {} group members already", core.config.limits.members);
    Refusal::new(ResponseCode::SYSTEM_BUSY, remark)
}

/// Tells the group; answers whether the client must send its subscriptions again.
fn apply(core: &Arc<Core>, group: &str, change: Change) -> Result<bool, Refusal> {
    if change.full {
        return Err(full(core));
    }
    if change.notify {
        core.notify_group(group);
    }
    if change.subscribed {
        pull::subscribed(core, group);
    }
    Ok(change.fingerprint)
}

fn kind(consumer: &Consumer) -> GroupKind {
    GroupKind {
        consume_type: consumer.consume_type.to_ascii_uppercase(),
        message_model: consumer.message_model.to_ascii_uppercase(),
        consume_from_where: consumer.consume_from_where.to_ascii_uppercase(),
    }
}

fn subscriptions(subscribed: Vec<Subscribed>) -> Vec<Subscription> {
    let subscription = |subscribed: Subscribed| {
        let expression_type = subscribed.expression_type.filter(|kind| !kind.is_empty());
        let expression_type = expression_type.unwrap_or_else(|| "TAG".to_owned());
        let expression = subscribed.sub_string.unwrap_or_else(|| "*".to_owned());
        Subscription {
            filter: Filter::parse(&expression_type, &expression),
            topic: subscribed.topic,
            expression_type,
            expression,
            version: subscribed.sub_version,
        }
    };
    subscribed.into_iter().map(subscription).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heartbeat_of_go_is_understood() {
        let json = r#"{"clientID":"c","producerDataSet":[],"consumerDataSet":[{"groupName":"g","consumeType":"CONSUME_PASSIVELY",
            "messageModel":"Clustering","consumeFromWhere":"CONSUME_FROM_LAST_OFFSET","unitMode":false,
            "subscriptionDataSet":[{"classFilterMode":false,"topic":"t","subString":"A || B","tagsSet":["A","B"],
            "codeSet":["65","66"],"subVersion":7,"expressionType":"TAG"}]}]}"#;
        let heartbeat: Heartbeat = serde_json::from_str(json).unwrap();
        let consumer = heartbeat.consumer_data_set.into_iter().next().unwrap();
        assert_eq!(kind(&consumer).message_model, "CLUSTERING");
        let subscriptions = subscriptions(consumer.subscription_data_set);
        assert_eq!(subscriptions[0].filter, Ok(Filter::codes([65, 66])));
    }
}
