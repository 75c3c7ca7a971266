//! The clusters of one host, each with one client instance (RocketMQ: MQClientManager).
//!
//! Nothing of one is shared with another: connections, routes, the client id, heartbeats, traces. So one that is down costs the
//! others nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use tracing::{Instrument as _, Span};

use crate::client_instance::{ClientInstance, TraceDispatcher};
use crate::config::{DEFAULT_CLUSTER, GantryConfig};
use crate::host::StartError;
use crate::status::ClusterStatus;
use crate::tasks::Tasks;

/// One cluster.
#[derive(Clone)]
pub(crate) struct Cluster {
    pub(crate) client: ClientInstance,
    /// Where sends and batches are told of, if anywhere.
    pub(crate) traces: Option<TraceDispatcher>,
    /// What its tasks run within, so that the log names it; nothing for the default one.
    pub(crate) span: Span,
}

/// All of them, by name; none for the default one. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Clusters(Arc<BTreeMap<Option<String>, Cluster>>);

impl fmt::Debug for Clusters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Clusters {
    /// Starts a client for each cluster of the configuration. `tracing` has what tells of messages, which is to end after all
    /// that may tell it.
    ///
    /// # Errors
    /// A client cannot be had on this machine; those that were started are closed then.
    pub(crate) async fn start(config: &GantryConfig, tracing: &Tasks) -> Result<Self, StartError> {
        let names = std::iter::once(None).chain(config.clusters.keys().cloned().map(Some));
        let mut clusters = BTreeMap::new();
        for name in names {
            match Cluster::start(name.as_deref(), config, tracing).await {
                Ok(cluster) => _ = clusters.insert(name, cluster),
                Err(error) => {
                    Self(Arc::new(clusters)).close().await;
                    return Err(error);
                }
            }
        }
        Ok(Self(Arc::new(clusters)))
    }

    /// The cluster of this name; none for the default one.
    ///
    /// # Errors
    /// There is no such cluster.
    pub(crate) fn get(&self, name: Option<&str>) -> Result<&Cluster, String> {
        let found = self.0.get(&name.map(str::to_owned));
        found.ok_or_else(|| {
            let name = name.unwrap_or(DEFAULT_CLUSTER);
            format!("there is no cluster {name}; add [clusters.{name}] with its name-server, and start the host anew")
        })
    }

    /// Every client.
    pub(crate) fn clients(&self) -> impl Iterator<Item = &ClientInstance> {
        self.0.values().map(|cluster| &cluster.client)
    }

    /// The default one first.
    pub(crate) fn status(&self) -> Vec<ClusterStatus> {
        let status = |(name, cluster): (&Option<String>, &Cluster)| ClusterStatus {
            cluster: name.clone().unwrap_or_else(|| DEFAULT_CLUSTER.to_owned()),
            client_id: cluster.client.client_id().to_owned(),
            name_servers: cluster.client.name_servers().iter().map(|addr| addr.to_string()).collect(),
            name_servers_reachable: cluster.client.name_servers_reachable(),
        };
        self.0.iter().map(status).collect()
    }

    /// Closes every client.
    pub(crate) async fn close(&self) {
        for client in self.clients() {
            client.close().await;
        }
    }
}

impl Cluster {
    async fn start(name: Option<&str>, config: &GantryConfig, tracing: &Tasks) -> Result<Self, StartError> {
        let span = name.map_or_else(Span::none, |name| tracing::info_span!("cluster", name));
        let client_config = config.client_config_of(name)?;
        let started = ClientInstance::start(client_config).instrument(span.clone()).await;
        let client = started.map_err(|source| {
            let cluster = name.unwrap_or(DEFAULT_CLUSTER).to_owned();
            StartError::Client { cluster, source }
        })?;
        let traces = config.trace.enabled.then(|| {
            let topic = config.trace.topic.clone();
            let (dispatcher, task) = TraceDispatcher::new(client.clone(), topic, tracing.token());
            tracing.within(span.clone()).spawn("traces", task);
            dispatcher
        });
        Ok(Self { client, traces, span })
    }
}
