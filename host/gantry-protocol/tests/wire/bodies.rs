use gantry_protocol::body::*;
use gantry_protocol::{LanguageCode, fastjson};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::captures;

/// Reads a body as `B` and writes it again, both as plain values: what comes out is what `B` knows of it.
fn rewrite<B: Serialize + DeserializeOwned>(body: &[u8]) -> Result<Value, serde_json::Error> {
    let typed: B = fastjson::from_slice(body)?;
    fastjson::from_slice(&fastjson::to_vec(&typed)?)
}

type Rewrite = fn(&[u8]) -> Result<Value, serde_json::Error>;

/// The typed body of a request or response, by the name the captures give it.
fn typed_body(name: &str) -> Option<Rewrite> {
    Some(match name {
        "GET_ROUTEINFO_BY_TOPIC SUCCESS" => rewrite::<TopicRouteData>,
        "GET_BROKER_CLUSTER_INFO SUCCESS" => rewrite::<ClusterInfo>,
        "GET_ALL_TOPIC_LIST_FROM_NAMESERVER SUCCESS" => rewrite::<TopicList>,
        "REGISTER_BROKER" => rewrite::<RegisterBrokerBody>,
        "HEART_BEAT" => rewrite::<HeartbeatData>,
        "CHECK_CLIENT_CONFIG" => rewrite::<CheckClientRequestBody>,
        "GET_CONSUMER_LIST_BY_GROUP SUCCESS" => rewrite::<ConsumerListBody>,
        "LOCK_BATCH_MQ" | "UNLOCK_BATCH_MQ" => rewrite::<LockBatchBody>,
        "LOCK_BATCH_MQ SUCCESS" => rewrite::<LockBatchResponseBody>,
        "RESET_CONSUMER_CLIENT_OFFSET" | "INVOKE_BROKER_TO_RESET_OFFSET SUCCESS" => rewrite_offsets,
        "GET_CONSUMER_STATUS_FROM_CLIENT SUCCESS" | "INVOKE_BROKER_TO_GET_CONSUMER_STATUS SUCCESS" => {
            rewrite::<GetConsumerStatusBody>
        }
        "GET_CONSUMER_RUNNING_INFO SUCCESS" => rewrite::<ConsumerRunningInfo>,
        "CONSUME_MESSAGE_DIRECTLY SUCCESS" => rewrite::<ConsumeMessageDirectlyResult>,
        "GET_CONSUMER_CONNECTION_LIST SUCCESS" => rewrite::<ConsumerConnection>,
        "GET_TOPIC_STATS_INFO SUCCESS" => rewrite::<TopicStatsTable>,
        "GET_CONSUME_STATS SUCCESS" => rewrite::<ConsumeStats>,
        "GET_TOPIC_CONFIG SUCCESS" => rewrite::<TopicConfig>,
        "UPDATE_AND_CREATE_SUBSCRIPTIONGROUP" => rewrite::<SubscriptionGroupConfig>,
        "QUERY_ASSIGNMENT" => rewrite::<QueryAssignmentRequestBody>,
        "QUERY_ASSIGNMENT SUCCESS" => rewrite::<QueryAssignmentResponseBody>,
        "SET_MESSAGE_REQUEST_MODE" => rewrite::<SetMessageRequestModeRequestBody>,
        "BATCH_ACK_MESSAGE" => rewrite::<BatchAckMessageRequestBody>,
        _ => return None,
    })
}

/// Offsets come in two shapes; each is written again in its own.
fn rewrite_offsets(body: &[u8]) -> Result<Value, serde_json::Error> {
    let table: OffsetTable = fastjson::from_slice(body)?;
    if !body.starts_with(br#"{"offsetTable":["#) {
        return fastjson::from_slice(&fastjson::to_vec(&table)?);
    }
    let list: OffsetList = fastjson::from_slice(body)?;
    let mut sorted = OffsetList::from(&table).offset_table;
    sorted.sort_by_key(|entry| list.offset_table.iter().position(|other| other == entry));
    fastjson::from_slice(&fastjson::to_vec(&OffsetList { offset_table: sorted })?)
}

/// Bodies that are not JSON, and what they are.
fn other_body(name: &str) -> Option<&'static str> {
    Some(match name {
        "SEND_MESSAGE" | "SEND_MESSAGE_V2" | "SEND_REPLY_MESSAGE_V2" | "PUSH_REPLY_MESSAGE_TO_CLIENT" => {
            "a message body"
        }
        "SEND_BATCH_MESSAGE" => "batch items: records.rs",
        "PULL_MESSAGE SUCCESS" | "LITE_PULL_MESSAGE SUCCESS" | "POP_MESSAGE SUCCESS" => "records: records.rs",
        "QUERY_MESSAGE SUCCESS" | "VIEW_MESSAGE_BY_ID SUCCESS" => "records: records.rs",
        "CHECK_TRANSACTION_STATE" | "CONSUME_MESSAGE_DIRECTLY" => "a record: records.rs",
        "UPDATE_BROKER_CONFIG" => "Java properties text",
        _ => return None,
    })
}

#[test]
fn every_captured_body_is_typed_without_losing_a_field() {
    let mut count = 0;
    for frame in captures::well_formed() {
        let (body, name) = (frame.command().body, frame.name.clone().unwrap());
        if body.is_empty() || other_body(&name).is_some() {
            continue;
        }
        let rewrite =
            typed_body(&name).unwrap_or_else(|| panic!("{}: {name} has no typed body", frame.place));
        let written = rewrite(&body).unwrap_or_else(|error| panic!("{} {name}: {error}", frame.place));
        let captured: Value = fastjson::from_slice(&body).unwrap();
        // Java writes every field, but for an assignment that is empty; probes made by hand leave some out.
        if frame.command().language == LanguageCode::JAVA && captured != json!({}) {
            assert_eq!(written, captured, "{} {name}", frame.place);
        } else {
            assert!(covers(&written, &captured), "{} {name}: {written} of {captured}", frame.place);
        }
        count += 1;
    }
    assert!(count > 300, "{count} typed bodies");
}

/// Whether everything in `captured` is in `written` too.
fn covers(written: &Value, captured: &Value) -> bool {
    match (written, captured) {
        (Value::Object(written), Value::Object(captured)) => {
            captured.iter().all(|(key, value)| written.get(key).is_some_and(|written| covers(written, value)))
        }
        (Value::Array(written), Value::Array(captured)) => {
            written.len() == captured.len()
                && written.iter().zip(captured).all(|(left, right)| covers(left, right))
        }
        (written, captured) => written == captured,
    }
}

fn body_at(file: &str, name: &str) -> Vec<u8> {
    let mut frames = captures::well_formed().into_iter();
    let matches =
        |frame: &captures::Captured| frame.place.starts_with(file) && frame.name.as_deref() == Some(name);
    let frame = frames.find(|frame| matches(frame) && !frame.command().body.is_empty());
    frame.unwrap_or_else(|| panic!("no {name} in {file}")).command().body.to_vec()
}

#[test]
fn routes_with_bare_keys_and_with_quoted_keys_read_alike() {
    let bodies: Vec<_> = captures::well_formed()
        .into_iter()
        .filter(|frame| frame.name.as_deref() == Some("GET_ROUTEINFO_BY_TOPIC SUCCESS"))
        .map(|frame| frame.command().body)
        .collect();
    let bare: Vec<_> = bodies.iter().filter(|body| body.windows(3).any(|text| text == b"{0:")).collect();
    assert!(!bare.is_empty(), "a bare route was captured");
    for body in bare {
        let route: TopicRouteData = fastjson::from_slice(body).unwrap();
        assert_eq!(route.broker_datas[0].broker_addrs[&0], "127.0.0.1:20911");
        let quoted: TopicRouteData = serde_json::from_slice(&fastjson::to_vec(&route).unwrap()).unwrap();
        assert_eq!(quoted, route);
        assert_eq!(body, &fastjson::to_vec_bare_keys(&route).unwrap(), "as the name server writes it");
    }
}

#[test]
fn an_offset_reset_reads_in_both_shapes() {
    let resets: Vec<_> = captures::well_formed()
        .into_iter()
        .filter(|frame| frame.name.as_deref() == Some("RESET_CONSUMER_CLIENT_OFFSET"))
        .map(|frame| frame.command().body)
        .collect();
    assert_eq!(resets.len(), 2);
    let tables: Vec<OffsetTable> = resets.iter().map(|body| fastjson::from_slice(body).unwrap()).collect();
    assert_eq!(tables[0], tables[1]);
    assert_eq!(tables[0].offset_table.len(), 4);
    let queues: Vec<_> = tables[0].offset_table.keys().map(|queue| queue.queue_id).collect();
    assert_eq!(queues, [0, 1, 2, 3]);
}

#[test]
fn a_consumers_status_is_written_with_object_keys() {
    let body = body_at("11_admin_live", "GET_CONSUMER_STATUS_FROM_CLIENT SUCCESS");
    let status: GetConsumerStatusBody = fastjson::from_slice(&body).unwrap();
    assert_eq!(status.message_queue_table.len(), 1);
    assert_eq!(fastjson::to_vec(&status).unwrap(), body, "as Java writes it");
}

#[test]
fn a_locked_queue_is_read_from_its_odd_field() {
    let body = body_at("06_orderly", "LOCK_BATCH_MQ SUCCESS");
    let locked: LockBatchResponseBody = fastjson::from_slice(&body).unwrap();
    assert_eq!(locked.lock_ok_mq_set.len(), 1);
    assert_eq!(&*locked.lock_ok_mq_set[0].topic, "CapOrder");
    assert_eq!(fastjson::to_vec(&locked).unwrap(), body, "as Java writes it");
}

#[test]
fn running_info_tells_the_window_of_each_queue() {
    let body = body_at("11_admin_live", "GET_CONSUMER_RUNNING_INFO SUCCESS");
    let info: ConsumerRunningInfo = fastjson::from_slice(&body).unwrap();
    let (queue, window) = info.mq_table.iter().find(|(queue, _)| &*queue.topic == "CapLive").unwrap();
    assert_eq!((&*queue.broker_name, window.commit_offset, window.droped), ("broker-a", 3, false));
    assert_eq!(info.properties[PROP_CLIENT_VERSION], "V5_5_0");
    assert_eq!(info.properties[PROP_CONSUME_TYPE], "CONSUME_PASSIVELY");
    assert_eq!(info.subscription_set.len(), 2);
}

#[test]
fn an_old_go_clients_heartbeat_is_understood() {
    let body =
        br#"{"clientID":"c","producerDataSet":[],"consumerDataSet":[{"groupName":"g","consumeType":"push",
        "messageModel":"CLUSTERING","consumeFromWhere":"no such place","subscriptionDataSet":null}]}"#;
    let heartbeat: HeartbeatData = fastjson::from_slice(body).unwrap();
    let group = &heartbeat.consumer_data_set[0];
    assert_eq!(group.consume_type, ConsumeType::Passively);
    assert_eq!(group.consume_from_where, ConsumeFromWhere::LastOffset);
    assert!(group.subscription_data_set.is_empty());
}
