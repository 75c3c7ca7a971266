//! The client side of one cluster (RocketMQ: `MQClientInstance`).
//!
//! A [`ClientInstance`] is what all consumer groups and producers of a host that talk to one cluster share: one
//! client id, one set of connections, one table of routes, one place where brokers' own requests arrive. It turns
//! every question a group or producer has into a typed call with a typed error.
//!
//! It knows nothing of what a group does with the answers: when to pull, what to consume and which offset to store
//! is decided by the machine in gantry-core. It keeps two clocks of its own, as a net under the groups': routes
//! nobody has asked for within `poll_name_server_interval`, and heartbeats nobody has sent within
//! `heartbeat_broker_interval`, are asked for and sent. What was done on demand counts.
//!
//! A group's life: [`ClientInstance::refresh_route`] of its topics, [`ClientInstance::register_group`],
//! [`ClientInstance::heartbeat_group`] (before the first pull, which brokers refuse with SUBSCRIPTION_NOT_EXIST
//! otherwise), the calls, and at the end [`ClientInstance::unregister_group`].

mod address_server;
mod admin;
mod call;
mod config;
mod consumer_calls;
mod error;
mod groups;
mod heartbeat;
mod identity;
mod name_service;
mod pop;
mod producer;
mod producers;
mod pull;
mod pull_turns;
mod pushes;
mod replies;
mod route;
mod route_table;
mod trace;
mod upkeep;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use gantry_protocol::Namespace;
use gantry_remoting::{Client, NameServers, Stats, TlsDialer, parse_addresses};
use tokio::sync::watch;
use tokio::time::Instant;

pub use address_server::AddressServerError;
pub use admin::{MessageQuery, TopicSettings, dead_letter_origin};
pub use config::ClientConfig;
pub use error::{CallError, RouteError, SendError, StartError};
pub use groups::{Answering, GroupListener, Unanswered};
pub use heartbeat::HeartbeatRound;
pub use identity::{GANTRY_INSTANCE, Identity};
pub use pop::PopAnswer;
pub use producer::{
    Delay, MessageQueueSelector, OutgoingMessage, Producer, ProducerConfig, RecallError, RequestError,
    SelectMessageQueueByHash, SelectMessageQueueByMachineRoom, SelectMessageQueueByRandom,
    SelectMessageQueueByRoundRobin, SendReceipt, SendStatus,
};
pub use pull::{PullAnswer, PullBodyError, PullStatus};
pub(crate) use pull_turns::{PullTurns, Turn};
pub use replies::TooManyRequests;
pub use route::{BrokerAddrs, TopicRoute};
pub(crate) use route_table::BrokerAddress;
pub use route_table::RouteState;
pub use trace::TraceDispatcher;

use crate::tasks::Tasks;
use address_server::AddressServer;
use call::vip_channel;
use groups::Groups;
use name_service::NameService;
use producers::Producers;
use pushes::Pushes;
use replies::Replies;
use route_table::RouteTable;

/// How long the instance's tasks may take to end.
const CLOSE_GRACE: Duration = Duration::from_secs(5);

/// The client side of one cluster. Cheap to clone; all clones are one instance.
#[derive(Clone)]
pub struct ClientInstance(Arc<Inner>);

struct Inner {
    client_id: String,
    identity: Identity,
    config: ClientConfig,
    client: Client,
    names: NameService,
    routes: RouteTable,
    groups: Arc<Groups>,
    producers: Producers,
    replies: Arc<Replies>,
    tasks: Tasks,
    pull_turns: PullTurns,
}

impl fmt::Debug for ClientInstance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &self.0;
        f.debug_struct("ClientInstance")
            .field("client_id", &inner.client_id)
            .field("groups", &inner.groups)
            .finish()
    }
}

impl ClientInstance {
    /// Starts the instance: its name, its connections (none is made yet), and its upkeep. A name server that cannot
    /// be reached is no error here, nor is an address server; they are asked again as long as the instance lives.
    ///
    /// # Errors
    /// The list of name servers, the client id or a file TLS needs is not usable.
    pub async fn start(config: ClientConfig) -> Result<Self, StartError> {
        let address_server = AddressServer::of(&config.name_servers, config.mq_client_api_timeout)?;
        let addresses = match &address_server {
            None => parse_addresses(&config.name_servers)?,
            Some(server) => server.fetch().await.unwrap_or_else(|error| {
                tracing::warn!("{error}; no name server is known yet, and asking goes on");
                Vec::new()
            }),
        };
        let identity = match &address_server {
            Some(server) if addresses.is_empty() => Identity::towards(&[server.authority()]).await,
            _ => Identity::towards(&addresses).await,
        };
        let client_id = config.client_id.clone().unwrap_or_else(|| identity.client_id(&config));
        if client_id.is_empty() || client_id.contains(char::is_whitespace) {
            return Err(StartError::ClientId(client_id));
        }
        let (groups, replies) = (Arc::<Groups>::default(), Arc::<Replies>::default());
        let pushes = Pushes::new(Arc::clone(&groups), Arc::clone(&replies));
        let client = connections(&config, Arc::new(pushes))?;
        let servers = NameServers::new(client.clone(), addresses);
        let names = NameService::new(servers, config.mq_client_api_timeout);
        let (routes, tasks) = (RouteTable::default(), Tasks::default());
        let instance = Self(Arc::new(Inner {
            client_id,
            identity,
            config,
            client,
            names,
            routes,
            groups,
            producers: Producers::default(),
            replies,
            pull_turns: PullTurns::new(&tasks),
            tasks,
        }));
        instance.start_upkeep(address_server);
        tracing::info!(
            client_id = instance.client_id(),
            name_servers = instance.0.config.name_servers,
            "client started"
        );
        Ok(instance)
    }

    /// The client id, unique among all clients of the cluster.
    pub fn client_id(&self) -> &str {
        &self.0.client_id
    }

    /// Whether the client id was given in the configuration, so that it need not be unique.
    pub fn client_id_is_configured(&self) -> bool {
        self.0.config.client_id.is_some()
    }

    /// What its users' topics and groups are called at the brokers.
    pub fn namespace(&self) -> &Namespace {
        &self.0.config.namespace
    }

    /// Whether its groups and sends are those of a unit.
    pub fn unit_mode(&self) -> bool {
        self.0.config.unit_mode
    }

    /// Address and process of this client.
    pub fn identity(&self) -> Identity {
        self.0.identity
    }

    /// The name servers it was given, or those of its address server now.
    pub fn name_servers(&self) -> Arc<[Arc<str>]> {
        self.0.names.addresses()
    }

    fn take_name_servers(&self, addresses: Vec<Arc<str>>) {
        let gone = self.0.names.replace(addresses);
        for addr in gone.iter().filter(|addr| !self.0.routes.names(addr)) {
            self.0.client.forget(addr);
        }
        if !gone.is_empty() {
            tracing::info!(name_servers = self.name_servers().join(";"), "other name servers from now on");
        }
    }

    /// Whether a name server answered the last time one was asked.
    pub fn name_servers_reachable(&self) -> bool {
        self.0.names.is_reachable()
    }

    /// Brokers and name servers there is a connection to.
    pub fn connected(&self) -> Vec<Arc<str>> {
        self.0.client.connected()
    }

    /// What the connections have done so far, in numbers.
    pub fn remoting_stats(&self) -> Stats {
        self.0.client.stats()
    }

    /// Asks a name server for a topic's route, takes it over and returns it. Where no name server can be asked, and
    /// where the topic is gone, a route that was known stays in use.
    ///
    /// # Errors
    /// See [`RouteError`].
    pub async fn refresh_route(&self, topic: &str) -> Result<Arc<TopicRoute>, RouteError> {
        let inner = &self.0;
        let topic: Arc<str> = topic.into();
        match inner.names.route(&topic).await {
            Ok(route) => {
                let route = Arc::new(route);
                for gone in inner.routes.found(&route, Instant::now()) {
                    if !inner.names.addresses().contains(&gone) {
                        inner.client.forget(&gone);
                        if let Some(vip) = vip_channel(&gone).filter(|_| inner.config.vip_channel_enabled) {
                            inner.client.forget(&vip);
                        }
                    }
                }
                Ok(route)
            }
            Err(error) => {
                if matches!(error, RouteError::Missing { .. }) {
                    inner.routes.missing(&topic, Instant::now());
                }
                Err(error)
            }
        }
    }

    /// The topic's route: what is known, or else what a name server says.
    ///
    /// # Errors
    /// See [`RouteError`].
    pub async fn route(&self, topic: &str) -> Result<Arc<TopicRoute>, RouteError> {
        match self.0.routes.route(topic, Instant::now()) {
            Some(route) => Ok(route),
            None => self.refresh_route(topic).await,
        }
    }

    /// What is known of the topic's route, now and whenever it changes. While somebody watches, the topic is kept
    /// up to date.
    pub fn watch_route(&self, topic: &str) -> watch::Receiver<RouteState> {
        self.0.routes.watch(topic)
    }

    /// The turns that the pulls of all its groups take.
    pub(crate) fn pull_turns(&self) -> &PullTurns {
        &self.0.pull_turns
    }

    fn replies(&self) -> &Replies {
        &self.0.replies
    }

    /// Ends the instance's tasks and closes its connections; commands already queued still leave. Groups should be
    /// unregistered before.
    pub async fn close(&self) {
        let finished = self.0.tasks.finish(CLOSE_GRACE).await;
        self.0.client.close().await;
        tracing::info!(client_id = self.client_id(), finished, "client closed");
    }
}

fn connections(config: &ClientConfig, pushes: Arc<Pushes>) -> Result<Client, StartError> {
    let remoting = config.remoting.clone();
    Ok(match &config.tls {
        Some(tls) => Client::with_dialer(remoting, pushes, Arc::new(TlsDialer::new(tls)?)),
        None => Client::new(remoting, pushes),
    })
}
