//! The admin HTTP API, on loopback: health for supervisors, status for people and tools, and the one decision that is an
//! operator's.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use gantry_core::HaltDecision;
use gantry_protocol::MessageQueue;
use serde::Deserialize;

use crate::group::GroupMap;
use crate::status::HostStatus;
use crate::tasks::Tasks;

/// Where the status comes from at each request.
pub(crate) type StatusSource = Arc<dyn Fn() -> HostStatus + Send + Sync>;

/// The admin API could not listen.
#[derive(Debug, thiserror::Error)]
#[error(
    "the admin API cannot listen on {address}: {source}; choose another with [admin] listen or --admin-listen, or port 0 for a free one"
)]
pub struct AdminError {
    address: SocketAddr,
    source: std::io::Error,
}

/// Serves the API on `address` until the host stops; returns the address it got.
pub(crate) async fn serve(
    address: SocketAddr,
    status: StatusSource,
    groups: GroupMap,
    tasks: &Tasks,
) -> Result<SocketAddr, AdminError> {
    let fail = |source| AdminError { address, source };
    let listener = tokio::net::TcpListener::bind(address).await.map_err(fail)?;
    let bound = listener.local_addr().map_err(fail)?;
    let token = tasks.token();
    tasks.spawn("admin-api", async move {
        let server =
            axum::serve(listener, router(status, groups)).with_graceful_shutdown(token.cancelled_owned());
        if let Err(error) = server.await {
            tracing::error!(%error, "the admin API ended");
        }
    });
    Ok(bound)
}

fn router(status: StatusSource, groups: GroupMap) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/status", get(async |State(status): State<StatusSource>| Json(status())))
        .with_state(status)
        .merge(Router::new().route("/groups/{group}/decide", post(decide)).with_state(groups))
}

async fn index() -> &'static str {
    "gantry\n\nGET /healthz  200 while the process serves\nGET /readyz   200 once plugins serve and routes are known, else 503\nGET /status   plugins, groups and queues as JSON\nPOST /groups/GROUP/decide   where a queue that was stopped for its backward jump is read:\n  {\"topic\": \"t\", \"brokerName\": \"b\", \"queueId\": 0, \"readFrom\": \"broker\"} or an offset for readFrom\n"
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
    State(groups): State<GroupMap>,
    Path(group): Path<String>,
    Json(decision): Json<Decision>,
) -> Response {
    let Some(running) = groups.load().get(&group).cloned() else {
        return (StatusCode::NOT_FOUND, format!("there is no group {group} here: see /status\n"))
            .into_response();
    };
    let mq = MessageQueue::new(decision.topic, decision.broker_name, decision.queue_id);
    let choice = match decision.read_from {
        ReadFrom::Word(Word::Broker) => HaltDecision::Obey,
        ReadFrom::Offset(offset) => HaltDecision::ReadFrom(offset),
    };
    match running.decide(mq.clone(), choice).await {
        true => (StatusCode::OK, format!("{mq} goes on\n")).into_response(),
        false => (
            StatusCode::CONFLICT,
            format!("{mq} is not halted in group {group} on this host: see its phase in /status\n"),
        )
            .into_response(),
    }
}

async fn ready(State(status): State<StatusSource>) -> Response {
    if status().ready {
        "ready\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready: see /status\n").into_response()
    }
}
