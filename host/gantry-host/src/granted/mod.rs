//! What the host puts behind a plugin's grants: one producer for all plugins, a store for each, their figures, their log.
//!
//! The services of a plugin belong to its file's name, not to a version of it: another version finds the same store, the
//! same figures, and the same bound on what is under way.

mod keyvalue;
mod metrics;
mod producer;
mod select;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use gantry_engine::{Directory, Grant, Grants, HttpGrant, KeyValue, PluginLog};

use crate::client_instance::{ClientInstance, Producer, ProducerConfig};
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
    producer: Producer,
    selectors: SelectByPlugin,
    runtime: tokio::runtime::Handle,
    tasks: Tasks,
    metrics: PluginMetrics,
    /// The host's own directory, where stores are kept.
    state: PathBuf,
    plugins: Mutex<BTreeMap<String, Kept>>,
}

/// What is kept of one plugin from version to version.
#[derive(Clone, Default)]
struct Kept {
    producer: Option<Arc<PluginProducer>>,
    store: Option<Arc<PluginStore>>,
    log: Option<Arc<PluginLog>>,
}

impl Services {
    /// Services over the connections of `client`, with stores under the directory `state`. To be called on a thread of the
    /// runtime that sends.
    pub(crate) fn new(
        client: &ClientInstance,
        selectors: SelectByPlugin,
        state: &Path,
        tasks: &Tasks,
    ) -> Self {
        Self(Arc::new(Inner {
            producer: Producer::new(client.clone(), ProducerConfig::default()),
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
        for name in &settings.grants {
            match Grant::listed(name).map_err(|error| format!("[plugin.{stem}] grants: {error}"))? {
                Grant::Producer => {
                    let producer = kept.producer.get_or_insert_with(|| self.producer(stem));
                    grants.producer = Some(Arc::clone(producer) as _);
                }
                Grant::Keyvalue => grants.keyvalue = Some(self.store(stem, settings, kept)?),
                Grant::Logging => {
                    let lines = settings.logging.lines_per_second;
                    let log = kept.log.get_or_insert_with(|| Arc::new(PluginLog::new(stem, lines)));
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
        self.0.plugins.lock().unwrap_or_else(PoisonError::into_inner).remove(stem);
        self.0.metrics.remove(stem);
    }

    fn producer(&self, stem: &str) -> Arc<PluginProducer> {
        let Inner { producer, selectors, runtime, tasks, .. } = &*self.0;
        Arc::new(PluginProducer::new(stem, producer, selectors, runtime, tasks))
    }

    fn store(
        &self,
        stem: &str,
        settings: &PluginSettings,
        kept: &mut Kept,
    ) -> Result<Arc<dyn KeyValue>, String> {
        let store = match &kept.store {
            Some(store) => Arc::clone(store),
            None => {
                let store = PluginStore::open(&self.0.state, stem, settings.keyvalue.quota.0)
                    .map_err(|error| format!("its key-value store cannot be opened: {error}"))?;
                Arc::clone(kept.store.insert(Arc::new(store)))
            }
        };
        Ok(store)
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
