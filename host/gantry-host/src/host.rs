//! A host from start to stop: configuration, then parts, then tasks, then drain.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use gantry_engine::{Engine, EngineConfig, EngineError};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::admin::{self, AdminError, StatusSource};
use crate::client_instance::StartError as ClientError;
use crate::clusters::Clusters;
use crate::config::{ByteSize, CredentialsError, GantryConfig};
use crate::filter::{FilterHooks, FilterMessageHook};
use crate::granted::Services;
use crate::group::{GroupMap, Groups, Keeping, ListenerThreads, NativeListener};
use crate::metrics::Metrics;
use crate::native::NativeError;
use crate::observer::SharedObserver;
use crate::plugins::{
    self, Addition, DirectoryError, Inbox, Parts, PluginEntry, Registry, Selectors, Strategies,
};
use crate::state::journal::Journal;
use crate::state::{self, StateDirectory, StateError};
use crate::status::HostStatus;
use crate::tasks::Tasks;

/// Native listeners waiting to be added.
const ADDITIONS: usize = 16;
/// Operators' commands waiting for the registry.
const COMMANDS: usize = 16;
/// What the last traces may take.
const TRACES_GRACE: Duration = Duration::from_secs(5);
/// What is added to the configured grace for the host's own tasks.
const TASKS_GRACE: Duration = Duration::from_secs(10);

/// The host could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The plugins directory.
    #[error(transparent)]
    Plugins(#[from] DirectoryError),
    /// The host's own directory.
    #[error(transparent)]
    State(#[from] StateError),
    /// The WebAssembly engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The account requests are to be signed with.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The client of a cluster.
    #[error("cluster {cluster}: {source}")]
    Client {
        /// Which.
        cluster: String,
        /// Why.
        source: ClientError,
    },
    /// The admin API.
    #[error(transparent)]
    Admin(#[from] AdminError),
}

/// How a stop went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StopReport {
    /// Every task ended within its grace; the log says what each group left.
    pub graceful: bool,
}

/// A running host.
pub struct Host {
    clusters: Clusters,
    state: Arc<StateDirectory>,
    tasks: Tasks,
    threads: Arc<ListenerThreads>,
    status: StatusSource,
    admin: Option<SocketAddr>,
    additions: mpsc::Sender<Addition>,
    hooks: FilterHooks,
    services: Services,
    /// Ends after all that may tell traces.
    tracing: Tasks,
    selectors: Selectors,
    grace: Duration,
}

impl Host {
    /// Starts a host. Name servers that cannot be reached are no error: the host keeps trying and says so.
    ///
    /// # Errors
    /// What could not be had on this machine; nothing is left running then.
    pub async fn start(config: GantryConfig, observer: SharedObserver) -> Result<Self, StartError> {
        let config = Arc::new(config);
        let tasks = Tasks::default();
        match Self::assemble(Arc::clone(&config), observer, &tasks).await {
            Ok(host) => Ok(host),
            Err(error) => {
                tasks.finish(TASKS_GRACE).await;
                Err(error)
            }
        }
    }

    async fn assemble(
        config: Arc<GantryConfig>,
        observer: SharedObserver,
        tasks: &Tasks,
    ) -> Result<Self, StartError> {
        let state = Arc::new(take_state(&config)?);
        let events = plugins::watch(&config.plugins)?;
        let engine = Engine::new(engine_config(&config))?;
        let threads = Arc::new(ListenerThreads::new(config.engine.threads()));
        let tracing = Tasks::default();
        let clusters = Clusters::start(&config, &tracing).await?;
        remember(&state, &clusters);
        let journal = open_journal(&state).await;
        let running = GroupMap::default();
        let hooks = FilterHooks::default();
        let entries = Arc::new(ArcSwap::from_pointee(BTreeMap::<String, PluginEntry>::new()));
        let surveyed = Arc::new(AtomicBool::new(false));
        let status = status_source(&clusters, &config, &running, &entries, &surveyed, &journal);
        let selectors = Selectors::default();
        let chosen_by = selectors.clone();
        let by_plugin = Arc::new(move |name: &str, queues: &[_], message: &_, arg: &str| {
            chosen_by.select(name, queues, message, arg)
        });
        let services = Services::new(&clusters, by_plugin, state.path(), tasks);
        let (commanding, commands) = mpsc::channel(COMMANDS);
        let served = admin::Served {
            status: Arc::clone(&status),
            groups: Arc::clone(&running),
            entries: Arc::clone(&entries),
            commands: commanding,
            plugins: config.plugins.clone(),
            metrics: Metrics::new(Arc::clone(&status), Arc::clone(&entries), services.metrics().clone()),
            uploads: Arc::new(Semaphore::new(1)),
        };
        let admin = match config.admin.enabled {
            true => Some(admin::serve(&config.admin, served, tasks).await?),
            false => None,
        };
        let groups = Groups {
            clusters: clusters.clone(),
            config: Arc::clone(&config),
            threads: Arc::clone(&threads),
            observer: Arc::clone(&observer),
            keeping: Keeping { state: Arc::clone(&state), journal },
            tasks: tasks.clone(),
            hooks: hooks.clone(),
            running,
            strategies: Strategies::default(),
            begin: CancellationToken::new(),
        };
        let grace = config.shutdown_grace.duration();
        let (registry, loaded) = Registry::new(Parts {
            engine,
            config,
            groups,
            services: services.clone(),
            selectors: selectors.clone(),
            observer,
            tasks: tasks.clone(),
            state: Arc::clone(&state),
            entries,
            surveyed,
        });
        let (additions, receiver) = mpsc::channel(ADDITIONS);
        tasks.spawn("plugins", registry.run(Inbox { events, additions: receiver, commands, loaded }));
        Ok(Self {
            clusters,
            state,
            tasks: tasks.clone(),
            threads,
            status,
            admin,
            additions,
            hooks,
            services,
            tracing,
            selectors,
            grace,
        })
    }

    /// Adds a filter before the windows of every group, for what is pulled from now on.
    pub fn add_filter_hook(&self, hook: impl FilterMessageHook) {
        self.hooks.add(Arc::new(hook));
    }

    /// Adds a listener that is Rust code of this program. It serves until the host stops.
    ///
    /// # Errors
    /// See [`NativeError`]; nothing has changed then.
    pub async fn add_native(&self, listener: impl NativeListener) -> Result<(), NativeError> {
        let (done, added) = oneshot::channel();
        let addition = Addition { code: Arc::new(listener), done };
        self.additions.send(addition).await.map_err(|_gone| NativeError::Stopping)?;
        added.await.map_err(|_gone| NativeError::Stopping)?
    }

    /// The queue selectors of this host's plugins, as they come and go, for sending through them.
    pub fn selectors(&self) -> Selectors {
        self.selectors.clone()
    }

    /// Where the admin API listens, if it does.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// The host at this moment.
    pub fn status(&self) -> HostStatus {
        (self.status)()
    }

    /// The figures that plugins keep, in Prometheus's text format.
    pub fn plugin_metrics(&self) -> String {
        let mut text = String::new();
        self.services.metrics().encode(&mut text);
        text
    }

    /// Stops pulling, waits for listeners within the configured grace, commits, unregisters, ends.
    pub async fn stop(self) -> StopReport {
        let tasks_ended = self.tasks.finish(self.grace + TASKS_GRACE).await;
        let traces_sent = self.tracing.finish(TRACES_GRACE).await;
        self.clusters.close().await;
        let threads = Arc::clone(&self.threads);
        let grace = self.grace;
        let joined = tokio::task::spawn_blocking(move || threads.shutdown(grace)).await;
        let threads_ended = joined.unwrap_or(false);
        // Last: whoever takes the directory next finds everything in it.
        drop(self.state);
        StopReport { graceful: tasks_ended && threads_ended && traces_sent }
    }
}

fn status_source(
    clusters: &Clusters,
    config: &Arc<GantryConfig>,
    running: &GroupMap,
    entries: &Arc<ArcSwap<BTreeMap<String, PluginEntry>>>,
    surveyed: &Arc<AtomicBool>,
    journal: &Option<Arc<Journal>>,
) -> StatusSource {
    let (clusters, config) = (clusters.clone(), Arc::clone(config));
    let (running, entries, surveyed) = (Arc::clone(running), Arc::clone(entries), Arc::clone(surveyed));
    let journal = journal.clone();
    Arc::new(move || {
        let plugins: Vec<_> = entries.load().iter().map(|(name, entry)| entry.status(name)).collect();
        let groups: Vec<_> = running.load().values().map(|group| (*group.status()).clone()).collect();
        let clusters = clusters.status();
        HostStatus {
            client_id: clusters.first().map(|default| default.client_id.clone()).unwrap_or_default(),
            name_server: config.name_server.clone(),
            clusters,
            ready: surveyed.load(Ordering::Relaxed) && groups.iter().all(|group| group.ready),
            journal_failures: journal.as_ref().map(|journal| journal.failures()),
            plugins,
            groups,
        }
    })
}

fn take_state(config: &GantryConfig) -> Result<StateDirectory, StateError> {
    let base = config.state_dir.clone().unwrap_or_else(|| state::default_base(|name| std::env::var_os(name)));
    StateDirectory::take(&base, &config.instance_name)
}

/// A host that cannot keep its journal goes on without.
async fn open_journal(state: &Arc<StateDirectory>) -> Option<Arc<Journal>> {
    let directory = state.path().to_owned();
    match tokio::task::spawn_blocking(move || Journal::open(&directory)).await {
        Ok(Ok(journal)) => Some(Arc::new(journal)),
        Ok(Err(error)) => {
            tracing::warn!("{error}");
            None
        }
        Err(error) => {
            tracing::error!("opening the journal failed inside the host: {error}");
            None
        }
    }
}

/// Without its client ids the next life cannot release this one's broker locks, which then expire by themselves.
fn remember(state: &StateDirectory, clusters: &Clusters) {
    for client in clusters.clients() {
        if let Err(error) = state.record_client_id(client.client_id()) {
            tracing::warn!("cannot remember this host's client id for its next start: {error}");
        }
    }
}

fn bytes(size: ByteSize) -> usize {
    usize::try_from(size.0).unwrap_or(usize::MAX)
}

fn engine_config(config: &GantryConfig) -> EngineConfig {
    EngineConfig {
        cache_dir: config.engine.cache_dir.clone().or_else(default_cache_dir),
        memory_max_bytes: bytes(config.engine.memory_max),
        instance_memory_high_water: config.engine.instance_memory_high_water.map(bytes),
        max_calls_per_instance: config.engine.max_calls_per_instance,
        ..EngineConfig::default()
    }
}

/// `$XDG_CACHE_HOME/gantry` or `~/.cache/gantry`; none where there is no home.
fn default_cache_dir() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")))?;
    Some(base.join("gantry"))
}
