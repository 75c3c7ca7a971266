//! The admin HTTP API: health for supervisors, status and metrics for people and tools, and what is an operator's to decide.
//!
//! A subject a file, each with its own `router`; an operators' page would be one more. All is JSON but the health checks
//! and `/metrics`; errors are `{"error": …, "fix": …}`.

mod answer;
mod groups;
mod guard;
mod health;
mod plugins;
mod upload;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::get;
use tokio::sync::{Semaphore, mpsc};

use crate::config::{AdminSettings, TokenError};
use crate::group::GroupMap;
use crate::metrics::Metrics;
use crate::plugins::{Command, Entries};
use crate::status::HostStatus;
use crate::tasks::Tasks;
use answer::Failure;
use guard::Guard;

/// The largest body of a request that is no upload, in bytes.
const BODY_MAX: usize = 64 << 10;

/// Where the status comes from at each request.
pub(crate) type StatusSource = Arc<dyn Fn() -> HostStatus + Send + Sync>;

/// The admin API cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// It could not listen.
    #[error(
        "the admin API cannot listen on {address}: {source}; choose another with [admin] listen or --admin-listen, or port 0 for a free one"
    )]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// It has no sound token.
    #[error(transparent)]
    Token(#[from] TokenError),
}

/// What the API shows and drives.
#[derive(Clone)]
pub(crate) struct Served {
    pub(crate) status: StatusSource,
    pub(crate) groups: GroupMap,
    pub(crate) entries: Entries,
    pub(crate) commands: mpsc::Sender<Command>,
    /// The plugins directory.
    pub(crate) plugins: PathBuf,
    pub(crate) metrics: Metrics,
    pub(crate) uploads: Arc<Semaphore>,
}

/// Serves the API until the host stops; returns the address it got.
pub(crate) async fn serve(
    settings: &AdminSettings,
    served: Served,
    tasks: &Tasks,
) -> Result<SocketAddr, AdminError> {
    let address = settings.listen;
    let asked = settings.resolve_token(|name| std::env::var(name).ok())?;
    let fail = |source| AdminError::Listen { address, source };
    let listener = tokio::net::TcpListener::bind(address).await.map_err(fail)?;
    let bound = listener.local_addr().map_err(fail)?;
    let router = router(served, Guard::new(asked, bound));
    let token = tasks.token();
    tasks.spawn("admin-api", async move {
        let server = axum::serve(listener, router).with_graceful_shutdown(token.cancelled_owned());
        if let Err(error) = server.await {
            tracing::error!(%error, "the admin API ended");
        }
    });
    Ok(bound)
}

fn router(served: Served, guard: Guard) -> Router {
    Router::new()
        .route("/", get(index))
        .merge(health::router())
        .merge(groups::router())
        .merge(plugins::router())
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .merge(upload::router())
        .fallback(async || Failure::not_found("there is no such path", "GET / lists what there is"))
        .method_not_allowed_fallback(async || Failure::method_not_allowed())
        .layer(middleware::from_fn_with_state(Arc::new(guard), guard::guard))
        .with_state(served)
}

async fn index() -> &'static str {
    INDEX
}

const INDEX: &str = r#"gantry

GET  /healthz                  200 while the process serves
GET  /readyz                   200 once plugins serve and routes are known, else 503
GET  /metrics                  Prometheus text
GET  /status                   plugins, groups and queues as JSON
GET  /plugins                  the plugins
GET  /plugins/NAME             one, with its history
PUT  /plugins/NAME             a component, to be NAME.wasm in the plugins directory
POST /plugins/NAME/rollback    the version before serves again, or {"hash": "..."}
POST /plugins/NAME/promote     the version on trial serves, or the file's content that is held back
POST /plugins/NAME/abort       the trial ends
POST /groups/GROUP/decide      where a queue that was stopped for its backward jump is read:
  {"topic": "t", "brokerName": "b", "queueId": 0, "readFrom": "broker"} or an offset for readFrom

Errors are {"error": "...", "fix": "..."}. With a token: authorization: Bearer TOKEN.
"#;
