//! The crate's one way to start a task: named, tracked, and inside a span.

use std::future::Future;

use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;

/// The tasks of one client. All of them end soon after [`Tasks::stop`] was called.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Tasks {
    /// Starts `task` under `name`, in a span that carries the name and the peer.
    pub(crate) fn spawn(
        &self,
        name: &'static str,
        peer: &str,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let span = tracing::debug_span!("remoting", task = name, peer);
        self.tracker.spawn(task.instrument(span));
    }

    /// Ends when the client closes.
    pub(crate) fn stopping(&self) -> &CancellationToken {
        &self.stop
    }

    /// Tells every task to end and waits until they have.
    pub(crate) async fn stop(&self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }

    /// Tasks that have not ended.
    pub(crate) fn running(&self) -> usize {
        self.tracker.len()
    }
}
