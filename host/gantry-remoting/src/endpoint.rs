//! One address and one of its connections: made when needed, by one task at a time, and made again after a while.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use gantry_protocol::RequestCode;
use tokio::{
    sync::{broadcast, watch},
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    backoff,
    client::{ConnectionEvent, ConnectionState},
    connection::{Connection, Context, Deadline},
    error::{CloseReason, ConnectFailure, InvokeError},
    transport::Dialer,
};

/// What every endpoint of a client needs to make and to announce connections.
pub(crate) struct Linking {
    pub(crate) context: Arc<Context>,
    pub(crate) dialer: Arc<dyn Dialer>,
    pub(crate) events: broadcast::Sender<ConnectionEvent>,
}

/// One address of the table.
pub(crate) struct Endpoint {
    addr: Arc<str>,
    /// 0 for the connection that all know of.
    lane: usize,
    linking: Arc<Linking>,
    link: Mutex<Link>,
    changed: watch::Sender<()>,
    connected_before: AtomicBool,
    stop: CancellationToken,
}

struct Link {
    phase: Phase,
    /// Attempts in a row that came to nothing.
    failures: u32,
}

enum Phase {
    Idle,
    Dialing,
    Open(Connection),
    BackingOff { until: Instant, cause: ConnectFailure },
}

enum Step {
    Ready(Connection),
    Wait,
    Dial,
    Refuse(InvokeError),
}

impl Endpoint {
    pub(crate) fn new(addr: Arc<str>, lane: usize, linking: Arc<Linking>) -> Self {
        Self {
            addr,
            lane,
            link: Mutex::new(Link { phase: Phase::Idle, failures: 0 }),
            changed: watch::Sender::new(()),
            connected_before: AtomicBool::new(false),
            stop: linking.context.tasks.stopping().child_token(),
            linking,
        }
    }

    pub(crate) fn addr(&self) -> &Arc<str> {
        &self.addr
    }

    /// The open connection, if there is one.
    pub(crate) fn open(&self) -> Option<Connection> {
        if self.stop.is_cancelled() {
            return None;
        }
        match &self.lock().phase {
            Phase::Open(connection) if connection.is_open() => Some(connection.clone()),
            _ => None,
        }
    }

    /// The open connection. Makes one if there is none; callers that come meanwhile wait for the same attempt.
    /// After a failed attempt calls fail at once until the back-off is over.
    pub(crate) async fn connection(
        self: &Arc<Self>,
        request: RequestCode,
        deadline: &Deadline,
    ) -> Result<Connection, InvokeError> {
        if let Some(connection) = self.open() {
            return Ok(connection);
        }
        let mut changed = self.changed.subscribe();
        loop {
            match self.step() {
                Step::Ready(connection) => return Ok(connection),
                Step::Refuse(error) => return Err(error),
                Step::Dial => {
                    let link = Arc::clone(self).run_link();
                    self.linking.context.tasks.spawn("link", &self.addr, link);
                }
                Step::Wait => {}
            }
            let waited = deadline.bound(changed.changed()).await;
            waited.ok_or_else(|| deadline.error(&self.addr, request))?.ok();
        }
    }

    /// The connection takes no new calls and ends when those in flight have ended.
    pub(crate) fn retire(self: &Arc<Self>, connection: Connection) {
        {
            let mut link = self.lock();
            match &link.phase {
                Phase::Open(current) if current.same_as(&connection) => link.phase = Phase::Idle,
                _ => return,
            }
        }
        self.changed.send_replace(());
        let limit = self.linking.context.settings.drain_limit;
        self.linking.context.tasks.spawn("drain", &self.addr, async move {
            tokio::select! {
                _ = timeout(limit, connection.drained()) => connection.close(CloseReason::GoAway),
                _ = connection.closed() => {}
            }
        });
    }

    /// Closes the connection for good.
    pub(crate) fn close(&self) {
        self.stop.cancel();
    }

    /// Whether there is an open connection right now.
    pub(crate) fn is_connected(&self) -> bool {
        matches!(&self.lock().phase, Phase::Open(connection) if connection.is_open())
    }

    fn is_main(&self) -> bool {
        self.lane == 0
    }

    fn step(&self) -> Step {
        if self.stop.is_cancelled() {
            let reason = CloseReason::Requested;
            return Step::Refuse(InvokeError::Closed { addr: Arc::clone(&self.addr), reason });
        }
        let mut link = self.lock();
        match &link.phase {
            Phase::Open(connection) if connection.is_open() => return Step::Ready(connection.clone()),
            // Its task is about to notice the end.
            Phase::Open(_) | Phase::Dialing => return Step::Wait,
            Phase::BackingOff { until, cause } => {
                let retry_in = until.saturating_duration_since(Instant::now());
                if !retry_in.is_zero() {
                    let (addr, source) = (Arc::clone(&self.addr), cause.clone());
                    return Step::Refuse(InvokeError::Connect { addr, source, retry_in });
                }
            }
            Phase::Idle => {}
        }
        link.phase = Phase::Dialing;
        Step::Dial
    }

    /// One connection's life, from the attempt to make it to its end.
    async fn run_link(self: Arc<Self>) {
        let dialed = tokio::select! {
            () = self.stop.cancelled() => return self.set(Phase::Idle),
            dialed = self.dial() => dialed,
        };
        let connection = match dialed {
            Ok(connection) => connection,
            Err(cause) => return self.dial_failed(cause),
        };
        self.opened(&connection);
        let reason = tokio::select! {
            reason = connection.closed() => reason,
            () = self.stop.cancelled() => {
                connection.close(CloseReason::Requested);
                CloseReason::Requested
            }
        };
        self.ended(&connection, reason);
    }

    async fn dial(&self) -> Result<Connection, ConnectFailure> {
        let limit = self.linking.context.settings.connect_timeout;
        match timeout(limit, self.linking.dialer.dial(&self.addr)).await {
            Ok(Ok(halves)) => {
                Ok(Connection::start(halves, Arc::clone(&self.addr), Arc::clone(&self.linking.context)))
            }
            Ok(Err(error)) => Err(ConnectFailure::Io(Arc::new(error))),
            Err(_) => Err(ConnectFailure::TimedOut(limit)),
        }
    }

    fn opened(&self, connection: &Connection) {
        self.linking.context.counters.connects.add(1);
        let again = self.connected_before.swap(true, Relaxed);
        if self.is_main() {
            tracing::info!(peer = %self.addr, again, "connected");
        } else {
            tracing::debug!(peer = %self.addr, lane = self.lane, again, "connected");
        }
        self.set(Phase::Open(connection.clone()));
        self.announce(ConnectionState::Connected { again });
    }

    fn dial_failed(&self, cause: ConnectFailure) {
        self.linking.context.counters.connect_failures.add(1);
        let failures = self.back_off(&cause);
        if failures == 1 && self.is_main() {
            tracing::warn!(peer = %self.addr, reason = %cause, "cannot connect; trying again with growing pauses");
        } else {
            tracing::debug!(peer = %self.addr, lane = self.lane, reason = %cause, failures, "still cannot connect");
        }
        self.announce(ConnectionState::Unreachable { cause });
    }

    fn ended(&self, connection: &Connection, reason: CloseReason) {
        let counters = &self.linking.context.counters;
        counters.closes.add(1);
        match &reason {
            // Peers close connections that rest, and there is another.
            _ if !self.is_main() => {
                tracing::debug!(peer = %self.addr, lane = self.lane, %reason, "connection closed");
            }
            CloseReason::Requested | CloseReason::GoAway => {
                tracing::info!(peer = %self.addr, %reason, "connection closed");
            }
            _ => tracing::warn!(peer = %self.addr, %reason, "connection lost"),
        }
        if matches!(reason, CloseReason::BadFrame(_)) {
            counters.bad_frames.add(1);
        }
        self.leave(connection, &reason);
        self.announce(ConnectionState::Closed { reason });
    }

    /// A peer that closes before it has sent a single frame counts as one that cannot be reached, or a broken one
    /// would be connected to without a pause.
    fn leave(&self, connection: &Connection, reason: &CloseReason) {
        let current = matches!(&self.lock().phase, Phase::Open(open) if open.same_as(connection));
        if !current {
            return;
        }
        if connection.is_proved() || matches!(reason, CloseReason::Requested) {
            self.lock().failures = 0;
            self.set(Phase::Idle);
        } else {
            self.back_off(&ConnectFailure::ClosedUnused(reason.clone()));
        }
    }

    fn back_off(&self, cause: &ConnectFailure) -> u32 {
        let settings = &self.linking.context.settings;
        let failures = {
            let mut link = self.lock();
            link.failures = link.failures.saturating_add(1);
            let wait =
                backoff::delay(settings.backoff_min, settings.backoff_max, link.failures, fastrand::f64());
            link.phase = Phase::BackingOff { until: Instant::now() + wait, cause: cause.clone() };
            link.failures
        };
        self.changed.send_replace(());
        failures
    }

    fn set(&self, phase: Phase) {
        self.lock().phase = phase;
        self.changed.send_replace(());
    }

    fn announce(&self, state: ConnectionState) {
        if !self.is_main() {
            return;
        }
        // Nobody may be listening.
        let _ = self.linking.events.send(ConnectionEvent { addr: Arc::clone(&self.addr), state });
    }

    fn lock(&self) -> MutexGuard<'_, Link> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
