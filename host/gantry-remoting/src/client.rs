//! The table of addresses, and calls to them.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use gantry_protocol::{RemotingCommand, ResponseCode};
use tokio::sync::broadcast;

use crate::{
    connection::{Context, Deadline},
    counters::{Counters, Stats},
    endpoint::{Endpoint, Linking},
    error::{CloseReason, ConnectFailure, InvokeError},
    processor::RequestProcessor,
    settings::RemotingSettings,
    tasks::Tasks,
    transport::{Dialer, TcpDialer},
};

/// Events a slow listener may be behind; beyond it, it is told that it missed some.
const EVENT_CAPACITY: usize = 256;

/// A change of the connection to one address.
#[derive(Clone, Debug)]
pub struct ConnectionEvent {
    /// Which address.
    pub addr: Arc<str>,
    /// What it changed to.
    pub state: ConnectionState,
}

/// What the connection to an address changed to.
#[derive(Clone, Debug)]
pub enum ConnectionState {
    /// There is a new connection. A broker knows nothing of it yet: heartbeats have to be sent again.
    Connected {
        /// Whether there was one before.
        again: bool,
    },
    /// The connection ended. The next call makes a new one.
    Closed {
        /// Why.
        reason: CloseReason,
    },
    /// An attempt to connect failed. The next call after the back-off makes another one.
    Unreachable {
        /// Why.
        cause: ConnectFailure,
    },
}

/// Pipelined connections by address (RocketMQ's `RemotingClient`). Cheap to clone; all clones are one client.
///
/// An address has one connection, by which the peer knows the client and which all calls share; only [`Self::ask`] can spread
/// calls over more.
///
/// A connection is made by the first call that needs it, one attempt at a time; calls made meanwhile wait for that
/// attempt, up to their own deadline. **After a failed attempt calls fail at once** with its reason until a growing,
/// jittered pause is over (`backoff_min` to `backoff_max`); the next call then tries again. So a caller with several
/// addresses to choose from never waits for one that is known to be down, and one with a single address decides
/// itself how to pass the time ([`InvokeError::Connect`] says how long the pause still lasts). A connection that was
/// lost after it had worked is made again without a pause.
///
/// An answer with code GO_AWAY makes the client connect anew and ask once more within the same deadline; calls
/// already in flight on the old connection may finish.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    linking: Arc<Linking>,
    endpoints: Mutex<HashMap<Arc<str>, Endpoints>>,
}

/// The connections of one address.
struct Endpoints {
    main: Arc<Endpoint>,
    /// Those of the lanes from 1 on, as far as there were calls.
    others: Vec<Arc<Endpoint>>,
}

impl Endpoints {
    fn new(addr: &Arc<str>, linking: &Arc<Linking>) -> Self {
        let main = Endpoint::new(Arc::clone(addr), 0, Arc::clone(linking));
        Self { main: Arc::new(main), others: Vec::new() }
    }

    fn of_lane(&mut self, lane: usize, linking: &Arc<Linking>) -> Arc<Endpoint> {
        for new in self.others.len() + 1..=lane {
            let endpoint = Endpoint::new(Arc::clone(self.main.addr()), new, Arc::clone(linking));
            self.others.push(Arc::new(endpoint));
        }
        let other = lane.checked_sub(1).and_then(|other| self.others.get(other));
        Arc::clone(other.unwrap_or(&self.main))
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        std::iter::once(&self.main).chain(&self.others)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.linking.context.tasks.stopping().cancel();
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("connected", &self.connected()).finish_non_exhaustive()
    }
}

impl Client {
    /// A client over plain TCP. Requests of its peers go to `processor`. Needs a tokio runtime once it is called.
    pub fn new(settings: RemotingSettings, processor: Arc<dyn RequestProcessor>) -> Self {
        Self::with_dialer(settings, processor, Arc::new(TcpDialer))
    }

    /// A client over another transport.
    pub fn with_dialer(
        settings: RemotingSettings,
        processor: Arc<dyn RequestProcessor>,
        dialer: Arc<dyn Dialer>,
    ) -> Self {
        let context =
            Arc::new(Context { settings, processor, counters: Counters::default(), tasks: Tasks::default() });
        let (events, _) = broadcast::channel(EVENT_CAPACITY);
        let linking = Arc::new(Linking { context, dialer, events });
        Self(Arc::new(Inner { linking, endpoints: Mutex::default() }))
    }

    /// Sends `command` to `addr` (`host:port`) and returns the answer, whatever its code says.
    ///
    /// # Errors
    /// See [`InvokeError`]; `timeout` bounds everything, connecting included.
    pub async fn invoke(
        &self,
        addr: &str,
        command: RemotingCommand,
        timeout: Duration,
    ) -> Result<RemotingCommand, InvokeError> {
        self.invoke_until(addr, 0, command, Deadline::after(timeout)).await
    }

    /// [`Self::invoke`] for a caller that does not wait: `done` is called once with what came of it. Where there is a
    /// connection with room, the connection itself calls it, without a task for the call: so it has to return soon,
    /// and must not panic. That the deadline is over is then noticed up to a second later.
    ///
    /// Answers of many bytes hold each other up on one connection, at the peer as here. `lane` chooses one of
    /// [`RemotingSettings::lanes`], as its remainder: 0 is the connection of all other calls, and [`Self::events`] and
    /// [`Self::connected`] are about that one.
    ///
    /// Has to be called on a tokio runtime.
    pub fn ask(
        &self,
        addr: &str,
        lane: usize,
        mut command: RemotingCommand,
        timeout: Duration,
        done: impl FnOnce(Result<RemotingCommand, InvokeError>) + Send + 'static,
    ) {
        let deadline = Deadline::after(timeout);
        let open = self.endpoint(addr, lane).ok().and_then(|endpoint| Some((endpoint.open()?, endpoint)));
        let Some((connection, endpoint)) = open else {
            return self.ask_by_task(addr, lane, command, deadline, done);
        };
        let Some(ready) = connection.ready(&mut command) else {
            return self.ask_by_task(addr, lane, command, deadline, done);
        };
        let (client, connection) = (self.clone(), connection.clone());
        ready.ask(deadline, move |ended| match ended {
            Ok(answer) if answer.response_code() == ResponseCode::GO_AWAY => {
                endpoint.retire(connection);
                client.ask_by_task(endpoint.addr(), lane, command, deadline, done);
            }
            ended => done(ended),
        });
    }

    fn ask_by_task(
        &self,
        addr: &str,
        lane: usize,
        command: RemotingCommand,
        deadline: Deadline,
        done: impl FnOnce(Result<RemotingCommand, InvokeError>) + Send + 'static,
    ) {
        let (client, peer) = (self.clone(), addr.to_owned());
        self.0.linking.context.tasks.spawn("ask", addr, async move {
            done(client.invoke_until(&peer, lane, command, deadline).await);
        });
    }

    async fn invoke_until(
        &self,
        addr: &str,
        lane: usize,
        mut command: RemotingCommand,
        deadline: Deadline,
    ) -> Result<RemotingCommand, InvokeError> {
        let endpoint = self.endpoint(addr, lane)?;
        for _ in 0..2 {
            let connection = endpoint.connection(command.request_code(), &deadline).await?;
            let answer = connection.invoke(&mut command, &deadline).await?;
            if answer.response_code() != ResponseCode::GO_AWAY {
                return Ok(answer);
            }
            endpoint.retire(connection);
        }
        Err(InvokeError::Closed { addr: addr.into(), reason: CloseReason::GoAway })
    }

    /// Queues `command` for `addr` as one that nobody answers. It has left the client, or will, unless the
    /// connection ends first; more is not known.
    ///
    /// # Errors
    /// See [`InvokeError`]; `oneway_timeout` bounds connecting and the wait for room in the output queue.
    pub async fn oneway(&self, addr: &str, command: RemotingCommand) -> Result<(), InvokeError> {
        let mut command = command.into_oneway();
        let deadline = Deadline::after(self.0.linking.context.settings.oneway_timeout);
        let endpoint = self.endpoint(addr, 0)?;
        let connection = endpoint.connection(command.request_code(), &deadline).await?;
        connection.oneway(&mut command, &deadline).await
    }

    /// Connections made, lost and failed from now on. A listener that lags by more than 256 events is told so by
    /// the channel and should look at [`Self::connected`].
    pub fn events(&self) -> broadcast::Receiver<ConnectionEvent> {
        self.0.linking.events.subscribe()
    }

    /// Addresses with an open connection.
    pub fn connected(&self) -> Vec<Arc<str>> {
        let endpoints = self.endpoints();
        endpoints
            .iter()
            .filter(|(_, endpoints)| endpoints.main.is_connected())
            .map(|(addr, _)| Arc::clone(addr))
            .collect()
    }

    /// Closes the connections to `addr` and drops the address from the table. A later call makes a new one.
    pub fn forget(&self, addr: &str) {
        let endpoints = self.endpoints().remove(addr);
        if let Some(endpoints) = endpoints {
            endpoints.all().for_each(|endpoint| endpoint.close());
        }
    }

    /// What happened so far, in numbers.
    pub fn stats(&self) -> Stats {
        self.0.linking.context.counters.snapshot()
    }

    /// Tasks of this client that are running: none before the first call and after [`Self::close`].
    pub fn running_tasks(&self) -> usize {
        self.0.linking.context.tasks.running()
    }

    /// Closes every connection and returns when no task is left. Pending calls fail at once; commands already queued
    /// still leave, for at most `flush_limit`. Later calls fail with [`CloseReason::Requested`].
    pub async fn close(&self) {
        self.0.linking.context.tasks.stop().await;
        self.endpoints().clear();
    }

    fn endpoint(&self, addr: &str, lane: usize) -> Result<Arc<Endpoint>, InvokeError> {
        let linking = &self.0.linking;
        let (lanes, limit) = (linking.context.settings.lanes, linking.context.settings.max_peers);
        let lane = lane.checked_rem(lanes).unwrap_or(0);
        let mut table = self.endpoints();
        if let Some(endpoints) = table.get_mut(addr) {
            return Ok(endpoints.of_lane(lane, linking));
        }
        let addr: Arc<str> = addr.into();
        if table.len() >= limit {
            return Err(InvokeError::TooManyPeers { addr, limit });
        }
        let mut endpoints = Endpoints::new(&addr, linking);
        let endpoint = endpoints.of_lane(lane, linking);
        table.insert(addr, endpoints);
        Ok(endpoint)
    }

    fn endpoints(&self) -> MutexGuard<'_, HashMap<Arc<str>, Endpoints>> {
        self.0.endpoints.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
