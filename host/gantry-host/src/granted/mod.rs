//! What the host puts behind a plugin's grants: one producer for all plugins of a cluster, a store for each, their figures, their log.
//!
//! The services of a plugin belong to its file's name, not to a version of it: another version finds the same store, the
//! same figures, and the same bound on what is under way.

mod keyvalue;
mod metrics;
mod producer;
mod select;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use gantry_engine::{Directory, Grant, Grants, HttpGrant, PluginLog};

use crate::client_instance::{Producer, ProducerConfig};
use crate::clusters::{Cluster, Clusters};
use crate::config::PluginSettings;
use crate::tasks::Tasks;
use keyvalue::PluginStore;
pub(crate) use metrics::PluginMetrics;
use producer::PluginProducer;
pub(crate) use select::SelectByPlugin;
#[cfg(test)]
pub(crate) use select::no_selectors;

/// Everything that may be behind a grant. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Services(Arc<Inner>);

struct Inner {
    clusters: Clusters,
    selectors: SelectByPlugin,
    runtime: tokio::runtime::Handle,
    tasks: Tasks,
    metrics: PluginMetrics,
    /// The host's own directory, where stores are kept.
    state: PathBuf,
    plugins: Mutex<BTreeMap<String, Kept>>,
}

/// What is kept of one plugin from version to version.
#[derive(Default)]
struct Kept {
    /// None once its file is gone.
    present: Option<Present>,
    /// There while anything of the plugin still runs: a store must not be opened twice.
    store: Weak<PluginStore>,
}

#[derive(Default)]
struct Present {
    producer: Option<Arc<PluginProducer>>,
    store: Option<Arc<PluginStore>>,
    log: Option<Arc<PluginLog>>,
}

impl Services {
    /// Services over the connections of `clusters`, with stores under the directory `state`. To be called on a thread of the
    /// runtime that sends.
    pub(crate) fn new(clusters: &Clusters, selectors: SelectByPlugin, state: &Path, tasks: &Tasks) -> Self {
        Self(Arc::new(Inner {
            clusters: clusters.clone(),
            selectors,
            runtime: tokio::runtime::Handle::current(),
            tasks: tasks.clone(),
            metrics: PluginMetrics::default(),
            state: state.to_owned(),
            plugins: Mutex::default(),
        }))
    }

    /// The figures of all plugins.
    pub(crate) fn metrics(&self) -> &PluginMetrics {
        &self.0.metrics
    }

    /// What `settings` grant to the plugin in the file `stem`. Opens its store where it has one: call it on a thread that
    /// may block.
    ///
    /// # Errors
    /// Which setting cannot be kept, and why, for people.
    pub(crate) fn grants(&self, stem: &str, settings: &PluginSettings) -> Result<Grants, String> {
        let mut grants = Grants {
            config: settings.config.clone().map(Arc::new),
            http: settings.http.as_ref().map(|http| {
                Arc::new(HttpGrant::to(http.hosts.clone()).with_timeout(http.timeout.duration()))
            }),
            directories: settings.directories.iter().map(Directory::from).collect(),
            environment: settings.environment.clone().into_iter().collect(),
            ..Grants::NONE
        };
        for directory in &grants.directories {
            check_directory(stem, directory)?;
        }
        let mut plugins = self.0.plugins.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = plugins.entry(stem.to_owned()).or_default();
        let present = kept.present.get_or_insert_default();
        for name in &settings.grants {
            match Grant::listed(name).map_err(|error| format!("[plugin.{stem}] grants: {error}"))? {
                Grant::Producer => {
                    let producer = match present.producer.take() {
                        Some(producer) => producer,
                        None => self.producer(stem, settings)?,
                    };
                    grants.producer = Some(Arc::clone(present.producer.insert(producer)) as _);
                }
                Grant::Keyvalue => {
                    let store = match present.store.clone().or_else(|| kept.store.upgrade()) {
                        Some(store) => store,
                        None => Arc::new(self.open_store(stem, settings)?),
                    };
                    kept.store = Arc::downgrade(&store);
                    grants.keyvalue = Some(Arc::clone(present.store.insert(store)) as _);
                }
                Grant::Logging => {
                    let lines = settings.logging.lines_per_second;
                    let log = present.log.get_or_insert_with(|| Arc::new(PluginLog::new(stem, lines)));
                    grants.logging = Some(Arc::clone(log));
                }
                Grant::Metrics => grants.metrics = Some(Arc::new(self.0.metrics.of(stem))),
                grant => grants.allow(grant),
            }
        }
        Ok(grants)
    }

    /// Lets go of what was kept of a plugin whose file is gone. Its store stays on disk.
    pub(crate) fn forget(&self, stem: &str) {
        let mut plugins = self.0.plugins.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = plugins.get_mut(stem) {
            kept.present = None;
        }
        plugins.retain(|_, kept| kept.present.is_some() || kept.store.strong_count() > 0);
        self.0.metrics.remove(stem);
    }

    /// A producer of the plugin's cluster.
    fn producer(&self, stem: &str, settings: &PluginSettings) -> Result<Arc<PluginProducer>, String> {
        let Inner { clusters, selectors, runtime, tasks, .. } = &*self.0;
        let Cluster { client, traces, span } = clusters.get(settings.cluster())?;
        let config = ProducerConfig { traces: traces.clone(), ..ProducerConfig::default() };
        let producer = Producer::new(client.clone(), config);
        let tasks = tasks.within(span.clone());
        Ok(Arc::new(PluginProducer::new(stem, &producer, selectors, runtime, &tasks)))
    }

    fn open_store(&self, stem: &str, settings: &PluginSettings) -> Result<PluginStore, String> {
        let opened = PluginStore::open(&self.0.state, stem, settings.keyvalue.quota.0);
        opened.map_err(|error| format!("its key-value store cannot be opened: {error}"))
    }
}

fn check_directory(stem: &str, directory: &Directory) -> Result<(), String> {
    let found = std::fs::metadata(&directory.host);
    let why = match found {
        Ok(found) if found.is_dir() => return Ok(()),
        Ok(_) => "it is no directory".to_owned(),
        Err(error) => error.to_string(),
    };
    let host = directory.host.display();
    Err(format!(
        "[[plugin.{stem}.directories]] host = \"{host}\" cannot be granted: {why}; create it, or remove the entry"
    ))
}

#[cfg(test)]
mod tests {
    use gantry_engine::Change;

    use super::*;
    use crate::config::GantryConfig;

    /// Services whose host reaches nobody, and the directory they keep things in.
    async fn services() -> (Services, tempfile::TempDir) {
        let config = GantryConfig { name_server: "127.0.0.1:1".into(), ..GantryConfig::default() };
        let clusters = Clusters::start(&config, &Tasks::default()).await.unwrap();
        let state = tempfile::tempdir().unwrap();
        (Services::new(&clusters, no_selectors(), state.path(), &Tasks::default()), state)
    }

    fn settings(text: &str) -> PluginSettings {
        GantryConfig::from_toml("gantry.toml", text).unwrap().plugin_settings("orders")
    }

    #[tokio::test]
    async fn nothing_is_granted_unless_configuration_says_so() {
        let (services, _state) = services().await;
        let grants = services.grants("orders", &PluginSettings::default()).unwrap();
        assert!(Grant::ALL.into_iter().all(|grant| !grants.allows(grant)), "{grants:?}");
        let all = "[plugin.orders]\ngrants = [\"clocks\", \"random\", \"producer\", \"keyvalue\", \"logging\", \"metrics\"]\n\
                   config = {}\nhttp = { hosts = [] }\n";
        let grants = services.grants("orders", &settings(all)).unwrap();
        assert!(Grant::ALL.into_iter().all(|grant| grants.allows(grant)), "{grants:?}");
    }

    #[tokio::test]
    async fn what_cannot_be_granted_is_named() {
        let (services, state) = services().await;
        let listed = PluginSettings { grants: vec!["http".to_owned()], ..PluginSettings::default() };
        let error = services.grants("orders", &listed).unwrap_err();
        assert!(error.starts_with("[plugin.orders] grants: `http`") && error.contains("tables"), "{error}");
        let gone = state.path().join("gone").display().to_string();
        let table = format!("[[plugin.orders.directories]]\nhost = {gone:?}\nguest = \"/data\"\n");
        let error = services.grants("orders", &settings(&table)).unwrap_err();
        assert!(error.contains(&gone) && error.contains("create it"), "{error}");
    }

    #[tokio::test]
    async fn every_version_of_a_plugin_has_the_same_store_while_any_of_them_runs() {
        let (services, _state) = services().await;
        let settings = settings("[plugin.orders]\ngrants = [\"keyvalue\"]\n");
        let store = |services: &Services| services.grants("orders", &settings).unwrap().keyvalue.unwrap();
        let (first, second) = (store(&services), store(&services));
        first.write("b", &[Change::Set("k", b"v")]).unwrap();
        assert!(Arc::ptr_eq(&first, &second));
        services.forget("orders");
        assert!(Arc::ptr_eq(&first, &store(&services)), "the first still runs");
        services.forget("orders");
        drop((first, second));
        assert_eq!(store(&services).get("b", "k").unwrap().unwrap().value, b"v");
    }
}
