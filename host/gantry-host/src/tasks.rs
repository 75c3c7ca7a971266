//! The host's tasks: each has a name, is counted, carries a span, and ends when the host stops.

use std::future::Future;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, Span};

/// Spawns tasks and waits for them at the end.
#[derive(Debug, Clone)]
pub(crate) struct Tasks {
    tracker: TaskTracker,
    cancelled: CancellationToken,
    /// What its tasks run within.
    span: Span,
}

impl Default for Tasks {
    /// None yet; they will run within the span that is entered now.
    fn default() -> Self {
        Self { tracker: TaskTracker::new(), cancelled: CancellationToken::new(), span: Span::current() }
    }
}

impl Tasks {
    /// Runs `future` as a task named `name`. The task ends by itself; it should watch [`Tasks::cancelled`].
    pub(crate) fn spawn(&self, name: &'static str, future: impl Future<Output = ()> + Send + 'static) {
        let span = tracing::debug_span!("task", name);
        self.tracker.spawn(future.instrument(span).instrument(self.span.clone()));
    }

    /// The same tasks; those that are spawned by this handle run within `span`.
    pub(crate) fn within(&self, span: Span) -> Self {
        Self { span, ..self.clone() }
    }

    /// Resolves once the host is stopping.
    pub(crate) async fn cancelled(&self) {
        self.cancelled.cancelled().await;
    }

    /// A token that tells of the stop, for code that needs one to keep.
    pub(crate) fn token(&self) -> CancellationToken {
        self.cancelled.clone()
    }

    /// Asks every task to end and waits for at most `grace`; `false` if some had not ended by then.
    pub(crate) async fn finish(&self, grace: Duration) -> bool {
        self.cancelled.cancel();
        self.tracker.close();
        tokio::time::timeout(grace, self.tracker.wait()).await.is_ok()
    }
}
