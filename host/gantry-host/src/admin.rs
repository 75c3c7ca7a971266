//! The admin HTTP API, on loopback: health for supervisors, status for people and tools.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;

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
    tasks: &Tasks,
) -> Result<SocketAddr, AdminError> {
    let fail = |source| AdminError { address, source };
    let listener = tokio::net::TcpListener::bind(address).await.map_err(fail)?;
    let bound = listener.local_addr().map_err(fail)?;
    let token = tasks.token();
    tasks.spawn("admin-api", async move {
        let server = axum::serve(listener, router(status)).with_graceful_shutdown(token.cancelled_owned());
        if let Err(error) = server.await {
            tracing::error!(%error, "the admin API ended");
        }
    });
    Ok(bound)
}

fn router(status: StatusSource) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/status", get(async |State(status): State<StatusSource>| Json(status())))
        .with_state(status)
}

async fn index() -> &'static str {
    "gantry\n\nGET /healthz  200 while the process serves\nGET /readyz   200 once plugins serve and routes are known, else 503\nGET /status   plugins, groups and queues as JSON\n"
}

async fn ready(State(status): State<StatusSource>) -> Response {
    if status().ready {
        "ready\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready: see /status\n").into_response()
    }
}
