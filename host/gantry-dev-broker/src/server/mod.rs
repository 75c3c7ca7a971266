//! Sockets: accepts connections, cuts frames, writes replies. It knows bounds and reasons for closing, not what
//! a request means.

mod connection;
mod output;
mod peer;
mod secure;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::net::TcpListener;

pub(crate) use peer::{Call, Peer};
pub(crate) use secure::Gate;

use crate::core::Core;

/// Why a connection ended.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum CloseReason {
    #[error("the client closed it")]
    Client,
    #[error("it broke: {0}")]
    Broken(String),
    #[error("bad frame: {0}")]
    BadFrame(String),
    #[error("the client does not read what it asked for")]
    SlowReader,
    #[error("it was silent for too long")]
    Silent,
    #[error("the broker is stopping")]
    Stopping,
    #[error("no TLS: {0}")]
    Handshake(String),
}

/// Counts of connections and of why they ended.
#[derive(Debug, Default)]
pub(crate) struct ServerCounters {
    pub(crate) open: AtomicUsize,
    pub(crate) accepted: AtomicU64,
    pub(crate) turned_away: AtomicU64,
    pub(crate) bad_frames: AtomicU64,
    pub(crate) slow_readers: AtomicU64,
    pub(crate) silent: AtomicU64,
}

impl ServerCounters {
    fn count(&self, reason: &CloseReason) {
        let counter = match reason {
            CloseReason::BadFrame(_) => &self.bad_frames,
            CloseReason::SlowReader => &self.slow_readers,
            CloseReason::Silent => &self.silent,
            CloseReason::Client
            | CloseReason::Broken(_)
            | CloseReason::Stopping
            | CloseReason::Handshake(_) => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Accepts connections until the broker stops.
pub(crate) async fn accept(core: Arc<Core>, listener: TcpListener) {
    let mut next_id = 1;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = core.tasks.stopping.cancelled() => return,
        };
        let (socket, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, say: what is connected goes on, and accepting is tried again.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                continue;
            }
        };
        let counters = &core.server;
        if counters.open.load(Ordering::Relaxed) >= core.config.limits.connections {
            counters.turned_away.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(%address, "turned away: too many connections");
            continue;
        }
        counters.open.fetch_add(1, Ordering::Relaxed);
        counters.accepted.fetch_add(1, Ordering::Relaxed);
        let admitted = connection::admit(Arc::clone(&core), socket, address, next_id);
        core.tasks.spawn("admit", admitted);
        next_id += 1;
    }
}
