//! Every plugin file and the version of it that serves: load, swap, reject, retire.
//!
//! One task owns the registry and takes the directory's reports in order, so a swap during a swap waits its turn. A
//! version that fails anywhere before the switch leaves the serving one untouched.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use gantry_core::ListenerId;
use gantry_engine::{ContentHash, Engine, ListenerModule, LoadError, Plugin, PluginState, Retired};
use tokio::sync::{mpsc, oneshot};

use super::directory::FileEvent;
use super::plan::ListenerPlan;
use super::selectors::{Counters, Selectors};
use crate::config::GantryConfig;
use crate::granted::Services;
use crate::group::{GroupHandle, Groups, Listener, Native, NativeListener};
use crate::native::NativeError;
use crate::observer::{PluginChange, SharedObserver};
use crate::status::{Outcomes, PluginStatus};
use crate::tasks::Tasks;

/// Instances made before a version serves its first batch.
const WARM_INSTANCES: usize = 2;

/// One plugin file as the status shows it.
#[derive(Debug, Clone, Default)]
pub(crate) struct PluginEntry {
    state: &'static str,
    rejected: Option<String>,
    version: Option<String>,
    hash: Option<ContentHash>,
    /// What it serves as: `listener`, `strategy`, `selector`. Empty while no version serves.
    roles: Vec<&'static str>,
    listener: Option<Arc<Listener>>,
    /// What its selector, if it has one, was asked.
    selections: Option<Arc<Counters>>,
    swaps: u64,
}

impl PluginEntry {
    /// The entry of the plugin `name` as the status shows it.
    pub(crate) fn status(&self, name: &str) -> PluginStatus {
        let plan = self.listener.as_ref().map(|listener| listener.plan());
        PluginStatus {
            name: name.to_owned(),
            state: self.state.to_owned(),
            rejected: self.rejected.clone(),
            version: self.version.clone(),
            hash: self.hash.map(|hash| hash.to_string()),
            roles: self.roles.iter().map(|role| (*role).to_owned()).collect(),
            consumer_group: plan.as_ref().map(|plan| plan.group.clone()),
            subscriptions: plan.as_ref().map(|plan| plan.subscription_lines()).unwrap_or_default(),
            swaps: self.swaps,
            selections: self.selections.as_ref().map(|counters| counters.read()),
            outcomes: self.listener.as_ref().map_or(Outcomes::default(), |listener| listener.outcomes()),
        }
    }
}

/// A native listener on its way into the host, and who waits to hear how it went.
pub(crate) struct Addition {
    pub(crate) code: Arc<dyn NativeListener>,
    pub(crate) done: oneshot::Sender<Result<(), NativeError>>,
}

/// All entries, shared with the status.
pub(crate) type Entries = Arc<ArcSwap<BTreeMap<String, PluginEntry>>>;

/// The plugins of one host.
pub(crate) struct Registry {
    pub(crate) engine: Engine,
    pub(crate) config: Arc<GantryConfig>,
    pub(crate) groups: Groups,
    /// What is behind the plugins' grants.
    pub(crate) services: Services,
    pub(crate) selectors: Selectors,
    pub(crate) observer: SharedObserver,
    pub(crate) tasks: Tasks,
    pub(crate) entries: Entries,
    /// Whether every plugin that was there at the start has been taken or rejected.
    pub(crate) surveyed: Arc<AtomicBool>,
    pub(crate) next_listener: u64,
}

impl Registry {
    /// Takes the directory's reports and native listeners until the host stops, then lets every group end.
    pub(crate) async fn run(
        mut self,
        mut events: mpsc::Receiver<FileEvent>,
        mut additions: mpsc::Receiver<Addition>,
    ) {
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => self.handle(event).await,
                    None => {
                        tracing::error!("the plugins directory is no longer watched; plugins stay as they are");
                        self.tasks.cancelled().await;
                        break;
                    }
                },
                Some(Addition { code, done }) = additions.recv() => {
                    let _caller_gone = done.send(self.add_native(code).await);
                }
                () = self.tasks.cancelled() => break,
            }
        }
        drop((events, additions));
        self.groups.stop_all(self.config.shutdown_grace.duration()).await;
    }

    async fn add_native(&mut self, code: Arc<dyn NativeListener>) -> Result<(), NativeError> {
        let description = code.describe();
        description.check()?;
        let name = description.name.as_str();
        if self.entry(name).is_some() {
            return Err(NativeError::NameTaken(name.to_owned()));
        }
        let plan = ListenerPlan::new(name, &description, &self.config);
        let native = Native::new(code, description.version.clone());
        let listener = Arc::new(Listener::native(self.next_id(), name, plan, native));
        self.join(&listener).await.map_err(NativeError::Refused)?;
        self.update(name, PluginState::Active.name(), None, |entry| {
            entry.version = Some(description.version.clone());
            entry.roles = vec!["listener"];
            entry.listener = Some(listener);
        });
        Ok(())
    }

    async fn handle(&mut self, event: FileEvent) {
        if let Some(stem) = event.stem().filter(|stem| self.is_native(stem)) {
            return tracing::warn!(
                plugin = stem,
                "left alone: a native listener has this name; rename the file"
            );
        }
        match event {
            FileEvent::Changed { stem, bytes, .. } => self.changed(stem, bytes).await,
            FileEvent::Unusable { stem, reason, .. } => self.reject(&stem, reason),
            FileEvent::Surveyed => {
                self.surveyed.store(true, Ordering::Relaxed);
                self.groups.begin.cancel();
            }
            FileEvent::Removed { stem } => self.removed(&stem).await,
        }
    }

    async fn changed(&mut self, stem: String, bytes: Vec<u8>) {
        if self.config.plugin_settings(&stem).enabled == Some(false) {
            return self.update(&stem, "disabled", None, |_| ());
        }
        let serving = self.entry(&stem).and_then(|entry| entry.hash);
        if serving == Some(ContentHash::of(&bytes)) {
            // The file is back at what serves: whatever was rejected in between no longer matters.
            return self.update(&stem, PluginState::Active.name(), None, |entry| entry.rejected = None);
        }
        self.say(&stem, PluginState::Discovered.name(), None, None);
        match self.load(&stem, bytes).await {
            Err(reason) => self.reject(&stem, reason),
            Ok(plugin) => {
                if let Err(reason) = self.serve(&stem, plugin).await {
                    self.reject(&stem, reason);
                }
            }
        }
    }

    /// Validates, compiles and warms, all off the async threads.
    async fn load(&self, stem: &str, bytes: Vec<u8>) -> Result<Plugin, String> {
        let (services, settings) = (self.services.clone(), self.config.plugin_settings(stem));
        let engine = self.engine.clone();
        let (observer, name) = (Arc::clone(&self.observer), stem.to_owned());
        let work = move || {
            let grants = services.grants(&name, &settings)?;
            // The engine does not know the file's name, by which gantry.toml knows the plugin.
            let named =
                |error: LoadError| error.to_string().replace("[plugin.NAME", &format!("[plugin.{name}"));
            let plugin = engine
                .load_plugin(&bytes, &grants, &mut |state| say(&observer, &name, state.name(), None, None))
                .map_err(named)?;
            if let Some(listener) = &plugin.listener {
                listener.warm(WARM_INSTANCES).map_err(|error| error.to_string())?;
            }
            Ok(plugin)
        };
        let joined = tokio::task::spawn_blocking(work).await;
        joined.map_err(|error| format!("loading failed inside the host: {error}"))?
    }

    /// Lets a version serve in every role it plays, and in none that only the one before it played.
    async fn serve(&mut self, stem: &str, plugin: Plugin) -> Result<(), String> {
        let (listener, retired) = match &plugin.listener {
            Some(module) => {
                let (listener, retired) = self.serve_listener(stem, module).await?;
                (Some(listener), retired)
            }
            None => (None, self.leave_present(stem).await),
        };
        self.groups.strategies.set(stem, plugin.strategy.clone());
        let selections = self.selectors.set(stem, plugin.selector.clone());
        self.update(stem, PluginState::Active.name(), None, |entry| {
            entry.swaps += u64::from(!entry.roles.is_empty());
            entry.rejected = None;
            entry.version = Some(plugin.version().to_owned());
            entry.hash = Some(plugin.hash);
            entry.roles = plugin.roles();
            entry.listener = listener;
            entry.selections = selections;
        });
        if let Some(retired) = retired {
            self.await_drain(stem, retired);
        }
        Ok(())
    }

    /// Lets a version consume: the listener, and what of the one before it drains.
    async fn serve_listener(
        &mut self,
        stem: &str,
        module: &ListenerModule,
    ) -> Result<(Arc<Listener>, Option<Retired>), String> {
        let plan = ListenerPlan::of_module(stem, module, &self.config)?;
        let present = self.entry(stem).and_then(|entry| entry.listener.clone());
        match present {
            Some(listener) if listener.plan().joins_like(&plan) => self.swap(listener, plan, module).await,
            Some(old) if old.plan().group == plan.group => {
                self.recast(&old, &plan)?;
                let retired = self.leave(&old).await;
                let listener = Arc::new(Listener::plugin(self.next_id(), stem, plan, module.clone()));
                self.join(&listener).await?;
                Ok((listener, retired))
            }
            moved => {
                let listener = Arc::new(Listener::plugin(self.next_id(), stem, plan, module.clone()));
                self.join(&listener).await?;
                let retired = match moved {
                    Some(old) => self.leave(&old).await,
                    None => None,
                };
                Ok((listener, retired))
            }
        }
    }

    /// Lets the listener of `stem` leave its group, if it has one.
    async fn leave_present(&mut self, stem: &str) -> Option<Retired> {
        let listener = self.entry(stem).and_then(|entry| entry.listener.clone())?;
        self.leave(&listener).await
    }

    /// A version of another kind than the one before it founds the group anew, which takes that nobody else is in it.
    fn recast(&self, old: &Listener, plan: &ListenerPlan) -> Result<(), String> {
        let entries = self.entries.load();
        let mut listeners = entries.iter().filter_map(|(name, entry)| Some((name, entry.listener.as_ref()?)));
        let other = listeners.find(|(_, other)| other.id != old.id && other.plan().group == plan.group);
        other.map_or(Ok(()), |(name, _)| {
            Err(format!(
                "it is {} now and was {} before, but group {} has plugin {name} too, and the listeners of a group are of one kind: \
                 deploy it under another consumer-group",
                plan.kind(),
                old.plan().kind(),
                plan.group
            ))
        })
    }

    /// Another version of a listener in the same group.
    async fn swap(
        &self,
        listener: Arc<Listener>,
        plan: ListenerPlan,
        module: &ListenerModule,
    ) -> Result<(Arc<Listener>, Option<Retired>), String> {
        let before = listener.plan();
        if *before != plan {
            let group = self.groups.get(&plan.group).ok_or("its consumer group is gone")?;
            listener.set_plan(plan);
            if let Err(reason) = group.refresh().await {
                listener.set_plan(ListenerPlan::clone(&before));
                return Err(reason);
            }
        }
        let retired = listener.switch(module.clone());
        Ok((listener, retired))
    }

    /// A listener that is new to its group; it gets threads of its own.
    async fn join(&self, listener: &Arc<Listener>) -> Result<(), String> {
        let no_threads = |error| format!("there are no threads to run it: {error}");
        self.groups.threads.start(listener.id).map_err(no_threads)?;
        let joined = self.join_group(listener).await;
        if joined.is_err() {
            self.retire_threads(listener);
        }
        joined
    }

    /// The group starts with its first listener.
    async fn join_group(&self, listener: &Arc<Listener>) -> Result<(), String> {
        let group: GroupHandle = self.groups.of(listener).await?;
        let added = group.add(Arc::clone(listener)).await;
        if added.is_err() {
            self.groups.stop_if_empty(&group, self.config.shutdown_grace.duration()).await;
        }
        added
    }

    fn next_id(&mut self) -> ListenerId {
        self.next_listener += 1;
        ListenerId(self.next_listener)
    }

    async fn leave(&mut self, listener: &Arc<Listener>) -> Option<Retired> {
        let group = self.groups.get(&listener.plan().group)?;
        if let Err(reason) = group.remove(listener.id).await {
            tracing::error!(plugin = %listener.plugin, "the group kept a listener that is gone: {reason}");
        }
        self.groups.stop_if_empty(&group, self.config.shutdown_grace.duration()).await;
        let retired = listener.clear();
        self.retire_threads(listener);
        retired
    }

    /// Lets the threads of a listener that is gone end, while others go on.
    fn retire_threads(&self, listener: &Listener) {
        let (threads, grace) = (Arc::clone(&self.groups.threads), self.config.shutdown_grace.duration());
        let (id, plugin) = (listener.id, listener.plugin.clone());
        self.tasks.spawn("retire-threads", async move {
            let ended = tokio::task::spawn_blocking(move || threads.retire(id, grace)).await;
            if !ended.unwrap_or(false) {
                tracing::warn!(plugin, "is gone, but still runs; its thread ends with the call it is in");
            }
        });
    }

    async fn removed(&mut self, stem: &str) {
        let reason = || Some("its file was removed".to_owned());
        if self.entry(stem).is_some_and(|entry| entry.listener.is_some()) {
            self.say(stem, "draining", None, reason());
        }
        if let Some(retired) = self.leave_present(stem).await {
            self.await_drain(stem, retired);
        }
        self.groups.strategies.set(stem, None);
        self.services.forget(stem);
        self.selectors.set(stem, None);
        self.change(|entries| _ = entries.remove(stem));
        self.say(stem, PluginState::Retired.name(), None, reason());
    }

    fn reject(&self, stem: &str, reason: String) {
        let serving = self.entry(stem).is_some_and(|entry| !entry.roles.is_empty());
        let state = if serving { PluginState::Active.name() } else { "rejected" };
        let note = if serving { "; the version before it serves on" } else { "" };
        tracing::warn!("plugin {stem} rejected: {reason}{note}");
        let told = reason.clone();
        self.change(|entries| {
            let entry = entries.entry(stem.to_owned()).or_default();
            entry.state = state;
            entry.rejected = Some(reason);
        });
        let change =
            PluginChange { plugin: stem.to_owned(), state: "rejected", version: None, reason: Some(told) };
        self.observer.plugin_changed(&change);
    }

    fn await_drain(&self, stem: &str, retired: Retired) {
        let (stem, observer, token) = (stem.to_owned(), Arc::clone(&self.observer), self.tasks.token());
        self.tasks.spawn("drain-generation", async move {
            tokio::select! {
                () = retired.drained() => {
                    let reason = Some(format!("content {} has finished its batches", retired.hash().short()));
                    say(&observer, &stem, PluginState::Retired.name(), None, reason);
                }
                () = token.cancelled() => {}
            }
        });
    }

    fn is_native(&self, name: &str) -> bool {
        let entries = self.entries.load();
        entries
            .get(name)
            .and_then(|entry| entry.listener.as_ref())
            .is_some_and(|listener| listener.is_native())
    }

    fn entry(&self, stem: &str) -> Option<PluginEntry> {
        self.entries.load().get(stem).cloned()
    }

    fn change(&self, edit: impl FnOnce(&mut BTreeMap<String, PluginEntry>)) {
        let mut entries = BTreeMap::clone(&self.entries.load());
        edit(&mut entries);
        self.entries.store(Arc::new(entries));
    }

    fn update(
        &self,
        stem: &str,
        state: &'static str,
        reason: Option<String>,
        edit: impl FnOnce(&mut PluginEntry),
    ) {
        let mut version = None;
        self.change(|entries| {
            let entry = entries.entry(stem.to_owned()).or_default();
            entry.state = state;
            edit(entry);
            version = entry.version.clone();
        });
        self.say(stem, state, version, reason);
    }

    fn say(&self, stem: &str, state: &'static str, version: Option<String>, reason: Option<String>) {
        say(&self.observer, stem, state, version, reason);
    }
}

fn say(
    observer: &SharedObserver,
    plugin: &str,
    state: &'static str,
    version: Option<String>,
    reason: Option<String>,
) {
    let shown = version.as_deref().map(|version| format!(", version {version}")).unwrap_or_default();
    let why = reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
    match state {
        "discovered" | "validated" | "compiled" | "warmed" => {
            tracing::debug!("plugin {plugin} {state}{shown}{why}")
        }
        _ => tracing::info!("plugin {plugin} {state}{shown}{why}"),
    }
    observer.plugin_changed(&PluginChange { plugin: plugin.to_owned(), state, version, reason });
}
