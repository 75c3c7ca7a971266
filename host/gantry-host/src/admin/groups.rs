//! The one decision about a queue that is an operator's.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::Json;
use axum::routing::post;
use gantry_core::HaltDecision;
use gantry_protocol::MessageQueue;
use serde::Deserialize;

use super::Served;
use super::answer::{Done, Failure, read};

const SHAPE: &str =
    r#"{"topic": "t", "brokerName": "b", "queueId": 0, "readFrom": "broker"} or an offset for readFrom"#;

pub(super) fn router() -> Router<Served> {
    Router::new().route("/groups/{group}/decide", post(decide))
}

/// An operator's decision about one queue.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Decision {
    topic: String,
    broker_name: String,
    queue_id: i32,
    read_from: ReadFrom,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Word {
    /// Where the broker would have it read.
    Broker,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum ReadFrom {
    Word(Word),
    Offset(i64),
}

async fn decide(
    State(served): State<Served>,
    Path(group): Path<String>,
    body: Bytes,
) -> Result<Json<Done>, Failure> {
    let decision: Decision = read(&body, SHAPE)?;
    let running = served.groups.load().get(&group).cloned();
    let see_status = "GET /status shows the groups, their queues and their phases";
    let running =
        running.ok_or_else(|| Failure::not_found(format!("there is no group {group} here"), see_status))?;
    let mq = MessageQueue::new(decision.topic, decision.broker_name, decision.queue_id);
    let choice = match decision.read_from {
        ReadFrom::Word(Word::Broker) => HaltDecision::Obey,
        ReadFrom::Offset(offset) => HaltDecision::ReadFrom(offset),
    };
    match running.decide(mq.clone(), choice).await {
        true => Ok(Json(Done { done: format!("{mq} goes on") })),
        false => {
            Err(Failure::conflict(format!("{mq} is not halted in group {group} on this host"), see_status))
        }
    }
}
