//! A host with a plugins directory of its own.

use std::path::PathBuf;
use std::sync::Arc;

use gantry_host::config::{ConsumeFrom, GantryConfig, Millis, PluginSettings, SubscriptionSetting};
use gantry_host::status::{GroupStatus, HostStatus, PluginStatus};
use gantry_host::{Host, Selectors, SharedObserver, StopReport};
use tempfile::TempDir;

use crate::component::{component, project};
use crate::ledger::Scribe;
use crate::observed::Observed;
use crate::sleeper::Sleeper;
use crate::wait::{eventually, that};

/// A host's configuration and directory, before it starts and between its runs.
pub struct HostSetup {
    config: GantryConfig,
    directory: Directory,
    observed: Arc<Observed>,
    sleeper: Option<Sleeper>,
    scribe: Option<Arc<Scribe>>,
}

/// A running host.
pub struct HostUnderTest {
    host: Host,
    setup: HostSetup,
    /// What it told.
    pub observed: Arc<Observed>,
}

/// The plugins directory, and the host's own beside it; a file put in place whole appears by a rename.
struct Directory(TempDir);

impl Directory {
    fn plugins(&self) -> PathBuf {
        self.0.path().join("plugins")
    }

    fn file(&self, stem: &str) -> PathBuf {
        self.plugins().join(format!("{stem}.wasm"))
    }

    fn put(&self, stem: &str, bytes: &[u8]) {
        let aside = self.plugins().join(format!("{stem}.wasm.new"));
        std::fs::write(&aside, bytes).unwrap();
        std::fs::rename(&aside, self.file(stem)).unwrap();
    }
}

impl HostSetup {
    /// A host for these name servers: empty plugins directory, groups begin at the first offset, no admin API, and time to stop.
    pub fn new(name_server: &str) -> Self {
        let directory = Directory(tempfile::tempdir().unwrap());
        std::fs::create_dir(directory.plugins()).unwrap();
        let mut config = GantryConfig {
            name_server: name_server.to_owned(),
            plugins: directory.plugins(),
            state_dir: Some(directory.0.path().join("state")),
            ..GantryConfig::default()
        };
        config.admin.enabled = false;
        config.shutdown_grace = Millis(60_000);
        config.engine.cache_dir = Some(project().join("target/suite/compiled"));
        config.consumer.consume_from_where = Some(ConsumeFrom::FirstOffset);
        Self { config, directory, observed: Arc::default(), sleeper: None, scribe: None }
    }

    /// The plugin in the file `stem` joins `group` and subscribes to these topics and tags.
    #[must_use]
    pub fn plugin(self, stem: &str, group: &str, subscriptions: &[(&str, &str)]) -> Self {
        let subscription = |(topic, tags): &(&str, &str)| SubscriptionSetting {
            topic: (*topic).to_owned(),
            tags: Some((*tags).to_owned()),
            sql: None,
        };
        let subscriptions = subscriptions.iter().map(subscription).collect();
        self.plugin_settings(stem, |settings| {
            settings.consumer_group = Some(group.to_owned());
            settings.subscriptions = Some(subscriptions);
        })
    }

    /// The plugin in the file `stem` joins `group` and subscribes to what of `topic` this SQL92 condition holds for.
    #[must_use]
    pub fn plugin_by_sql(self, stem: &str, group: &str, topic: &str, condition: &str) -> Self {
        let (topic, sql) = (topic.to_owned(), Some(condition.to_owned()));
        self.plugin_settings(stem, |settings| {
            settings.consumer_group = Some(group.to_owned());
            settings.subscriptions = Some(vec![SubscriptionSetting { topic, tags: None, sql }]);
        })
    }

    /// Further settings of the plugin in the file `stem`.
    #[must_use]
    pub fn plugin_settings(mut self, stem: &str, set: impl FnOnce(&mut PluginSettings)) -> Self {
        set(self.config.plugin.entry(stem.to_owned()).or_default());
        self
    }

    /// How long one call of the plugin in the file `stem` may take, in milliseconds.
    #[must_use]
    pub fn consume_timeout(self, stem: &str, milliseconds: u64) -> Self {
        self.plugin_settings(stem, |settings| settings.consume_timeout = Some(Millis(milliseconds)))
    }

    /// Further settings.
    #[must_use]
    pub fn configure(mut self, set: impl FnOnce(&mut GantryConfig)) -> Self {
        set(&mut self.config);
        self
    }

    /// The file of this name that the host keeps, or kept: there is one.
    pub fn kept(&self, name: &str) -> PathBuf {
        let mut found = self.all_kept(name);
        assert_eq!(found.len(), 1, "files named {name}");
        found.remove(0)
    }

    /// The files of this name that the host keeps, or kept.
    pub fn all_kept(&self, name: &str) -> Vec<PathBuf> {
        let (mut found, mut open) = (Vec::new(), vec![self.directory.0.path().join("state")]);
        while let Some(directory) = open.pop() {
            for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
                let is_named = entry.file_name() == name;
                match entry.file_type().unwrap().is_dir() {
                    true => open.push(entry.path()),
                    false if is_named => found.push(entry.path()),
                    false => {}
                }
            }
        }
        found
    }

    /// Tells this observer, which another host tells too.
    #[must_use]
    pub fn observed_by(mut self, observed: &Arc<Observed>) -> Self {
        self.observed = Arc::clone(observed);
        self
    }

    /// Has this listener too.
    #[must_use]
    pub fn sleeping(mut self, sleeper: Sleeper) -> Self {
        self.sleeper = Some(sleeper);
        self
    }

    /// Tells a ledger instead of the observer.
    #[must_use]
    pub fn written_down_by(mut self, scribe: Scribe) -> Self {
        self.scribe = Some(Arc::new(scribe));
        self
    }

    /// This many batches at once in every listener and group.
    #[must_use]
    pub fn threads(self, threads: u32) -> Self {
        self.configure(|config| {
            config.engine.threads = usize::try_from(threads).ok();
            config.consumer.consume_thread_max = Some(threads);
        })
    }

    /// Puts a component into the plugins directory before the host starts.
    #[must_use]
    pub fn with_file(self, name: &str, stem: &str) -> Self {
        self.directory.put(stem, &component(name));
        self
    }

    /// Starts the host.
    pub async fn start(self) -> HostUnderTest {
        let observed = Arc::clone(&self.observed);
        let observer: SharedObserver = match &self.scribe {
            Some(scribe) => scribe.clone(),
            None => observed.clone(),
        };
        let host = Host::start(self.config.clone(), observer).await.unwrap();
        if let Some(sleeper) = self.sleeper.clone() {
            host.add_native(sleeper).await.unwrap();
        }
        HostUnderTest { host, setup: self, observed }
    }
}

impl HostUnderTest {
    /// Its plugins directory.
    pub fn directory(&self) -> PathBuf {
        self.setup.directory.plugins()
    }

    /// Deploys a component as `stem`, by a rename.
    pub fn deploy(&self, name: &str, stem: &str) {
        self.setup.directory.put(stem, &component(name));
    }

    /// Deploys these bytes as `stem`, by a rename.
    pub fn deploy_bytes(&self, stem: &str, bytes: &[u8]) {
        self.setup.directory.put(stem, bytes);
    }

    /// Writes these bytes into the file `stem` as `cp` would: truncated first, then in pieces.
    pub fn copy_bytes(&self, stem: &str, bytes: &[u8]) {
        use std::io::Write as _;
        let mut file = std::fs::File::create(self.setup.directory.file(stem)).unwrap();
        for piece in bytes.chunks(4096) {
            file.write_all(piece).unwrap();
        }
    }

    /// Removes the file `stem`.
    pub fn remove(&self, stem: &str) {
        std::fs::remove_file(self.setup.directory.file(stem)).unwrap();
    }

    /// What it was started with.
    pub fn setup(&self) -> &HostSetup {
        &self.setup
    }

    /// The host as it is.
    pub fn status(&self) -> HostStatus {
        self.host.status()
    }

    /// A plugin as it is.
    pub fn plugin(&self, stem: &str) -> Option<PluginStatus> {
        self.status().plugins.into_iter().find(|plugin| plugin.name == stem)
    }

    /// A group as it is.
    pub fn group(&self, group: &str) -> Option<GroupStatus> {
        self.status().groups.into_iter().find(|status| status.group == group)
    }

    /// The queues of `topic` this host consumes for `group`, by id, as `broker/queue`.
    pub fn queues(&self, group: &str, topic: &str) -> Vec<String> {
        let queues = self.group(group).map(|status| status.queues).unwrap_or_default();
        let wanted = queues.into_iter().filter(|queue| queue.topic == topic && queue.consuming);
        wanted.map(|queue| format!("{}/{}", queue.broker_name, queue.queue_id)).collect()
    }

    /// The selectors among its plugins.
    pub fn selectors(&self) -> Selectors {
        self.host.selectors()
    }

    /// The figures that plugins keep.
    pub fn plugin_metrics(&self) -> String {
        self.host.plugin_metrics()
    }

    /// Waits until the plugin serves, and nothing newer was rejected.
    pub async fn active(&self, stem: &str) -> PluginStatus {
        eventually(&format!("{stem} is active"), async || {
            let plugin = self.plugin(stem).ok_or("there is no such plugin yet")?;
            that(plugin.state == "active" && plugin.rejected.is_none(), || format!("{plugin:?}"))?;
            Ok(plugin)
        })
        .await
    }

    /// Waits until the newest content of the file was rejected; returns the reason.
    pub async fn rejected(&self, stem: &str) -> String {
        eventually(&format!("{stem} is rejected"), async || {
            let plugin = self.plugin(stem).ok_or("there is no such plugin yet")?;
            plugin.rejected.clone().ok_or_else(|| format!("{plugin:?}"))
        })
        .await
    }

    /// Waits until `count` settlements were told.
    pub async fn settled(&self, count: usize) {
        eventually(&format!("{count} messages are settled"), async || {
            let records = self.observed.records();
            that(records.len() >= count, || format!("{} are: {records:#?}", records.len()))
        })
        .await;
    }

    /// Waits until each of `ok 0` to `ok count-1` has ended in success in a host that tells this observer.
    pub async fn consumed(&self, count: usize) {
        eventually(&format!("all {count} messages are consumed"), async || {
            that(self.observed.len() >= count, || format!("{} settlements", self.observed.len()))?;
            let missing = self.observed.missing(count);
            that(missing.is_empty(), || {
                format!("{} are not, such as {:?}", missing.len(), missing.iter().take(5).collect::<Vec<_>>())
            })
        })
        .await;
    }

    /// Stops the host, which must go gracefully; what is needed to start it again.
    pub async fn stop(self) -> HostSetup {
        let Self { host, setup, .. } = self;
        assert_eq!(host.stop().await, StopReport { graceful: true });
        setup
    }
}
