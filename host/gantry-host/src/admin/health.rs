//! Health, status and metrics.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Json, Response};
use axum::routing::get;

use super::Served;
use super::answer::Failure;
use crate::metrics::CONTENT_TYPE;

pub(super) fn router() -> Router<Served> {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/status", get(async |State(served): State<Served>| Json((served.status)())))
        .route("/metrics", get(metrics))
}

async fn ready(State(served): State<Served>) -> Response {
    match (served.status)().ready {
        true => "ready\n".into_response(),
        false => Failure::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "not ready: a plugin is being loaded, or a group has no routes yet",
            "GET /status shows which",
        )
        .into_response(),
    }
}

async fn metrics(State(served): State<Served>) -> Response {
    match served.metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(error) => Failure::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("the metrics cannot be written: {error}"),
            "this is a defect of the host",
        )
        .into_response(),
    }
}
