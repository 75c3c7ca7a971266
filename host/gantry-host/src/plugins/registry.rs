//! Every plugin file and the version of it that serves: load, swap, reject, retire.
//!
//! One task owns the registry and takes the directory's reports in order, operators' commands, and the loads that have
//! ended. A version that fails anywhere before the switch leaves the serving one untouched. Which version is to serve, and
//! when it gives way, is in [`life`](super::life).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arc_swap::ArcSwap;
use gantry_core::ListenerId;
use gantry_engine::{ContentHash, Engine, ListenerModule, Plugin, PluginState, Retired};
use tokio::sync::{mpsc, oneshot};

use super::arriving::Arriving;
use super::candidate::Candidate;
use super::commands::Command;
use super::directory::FileEvent;
use super::life::Life;
use super::loads::{LoadParts, Loaded, Loads};
use super::plan::ListenerPlan;
use super::selectors::{Counters, Selectors};
use super::trials::LOOK;
use crate::config::GantryConfig;
use crate::granted::Services;
use crate::group::{GroupHandle, Groups, Listener, Native, NativeListener};
use crate::native::NativeError;
use crate::observer::{PluginChange, SharedObserver};
use crate::state::StateDirectory;
use crate::state::versions::{VersionRecord, Versions};
use crate::status::{Outcomes, PluginDetail, PluginStatus};
use crate::tasks::Tasks;

/// One plugin file as the status shows it.
#[derive(Clone, Default)]
pub(crate) struct PluginEntry {
    pub(super) state: &'static str,
    pub(super) rejected: Option<String>,
    rejections: u64,
    version: Option<String>,
    pub(super) hash: Option<ContentHash>,
    /// What it serves as: `listener`, `strategy`, `selector`. Empty while no version serves.
    pub(super) roles: Vec<&'static str>,
    pub(super) listener: Option<Arc<Listener>>,
    /// What its selector, if it has one, was asked.
    selections: Option<Arc<Counters>>,
    swaps: u64,
    /// Why the file's content does not serve though nothing is wrong with it.
    pub(super) held: Option<String>,
    pub(super) candidate: Option<Arc<Candidate>>,
    pub(super) record: Arc<VersionRecord>,
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
            consumer_group: plan.as_ref().map(|plan| plan.consumer_group.clone()),
            cluster: plan.as_ref().and_then(|plan| plan.cluster.clone()),
            subscriptions: plan.as_ref().map(|plan| plan.subscription_lines()).unwrap_or_default(),
            swaps: self.swaps,
            selections: self.selections.as_ref().map(|counters| counters.read()),
            generation: self.listener.as_ref().and_then(|listener| listener.generation()).map(|(n, ..)| n),
            rejections: self.rejections,
            held: self.held.clone(),
            candidate: self.candidate.as_ref().map(|candidate| candidate.status(self.listener.as_deref())),
            breaker: self.listener.as_ref().map(|listener| listener.breaker()),
            outcomes: self.listener.as_ref().map_or(Outcomes::default(), |listener| listener.outcomes()),
        }
    }
}

impl PluginEntry {
    /// The same with its history.
    pub(crate) fn detail(&self, name: &str) -> PluginDetail {
        PluginDetail {
            status: self.status(name),
            history: self.record.served.clone(),
            held_back: self.record.held_back.clone(),
            quarantined: self.record.quarantined.clone(),
        }
    }

    /// Its listener, if it has one that serves.
    pub(crate) fn listener(&self) -> Option<&Arc<Listener>> {
        self.listener.as_ref()
    }

    /// Whether a version serves.
    pub(super) fn serves(&self) -> bool {
        !self.roles.is_empty()
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
    pub(super) loads: Loads,
    pub(super) lives: BTreeMap<String, Life>,
    /// Plugins that were there at the start and are being loaded, in the order they join their groups.
    pub(super) arriving: Arriving,
    state: Arc<StateDirectory>,
    pub(crate) config: Arc<GantryConfig>,
    pub(crate) groups: Groups,
    next_listener: u64,
    selectors: Selectors,
    services: Services,
    pub(crate) observer: SharedObserver,
    pub(crate) tasks: Tasks,
    pub(crate) entries: Entries,
    /// Whether every plugin that was there at the start has been taken or rejected.
    pub(crate) surveyed: Arc<AtomicBool>,
}

/// What a registry is made of.
pub(crate) struct Parts {
    pub(crate) engine: Engine,
    pub(crate) config: Arc<GantryConfig>,
    pub(crate) groups: Groups,
    pub(crate) services: Services,
    pub(crate) selectors: Selectors,
    pub(crate) observer: SharedObserver,
    pub(crate) tasks: Tasks,
    pub(crate) state: Arc<StateDirectory>,
    pub(crate) entries: Entries,
    /// See [`Registry::surveyed`].
    pub(crate) surveyed: Arc<AtomicBool>,
}

/// What comes to the registry.
pub(crate) struct Inbox {
    pub(crate) events: mpsc::Receiver<FileEvent>,
    pub(crate) additions: mpsc::Receiver<Addition>,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) loaded: mpsc::Receiver<Loaded>,
}

impl Registry {
    /// A registry without a plugin, and what comes to it.
    pub(crate) fn new(parts: Parts) -> (Self, mpsc::Receiver<Loaded>) {
        let Parts { engine, config, groups, services, selectors, observer, tasks, state, entries, surveyed } =
            parts;
        let loading = LoadParts {
            engine,
            signatures: config.signatures.clone(),
            services: services.clone(),
            observer: Arc::clone(&observer),
            tasks: tasks.clone(),
        };
        let (loads, loaded) = Loads::new(loading);
        let (lives, arriving) = (BTreeMap::new(), Arriving::default());
        let registry = Self {
            loads,
            lives,
            arriving,
            state,
            config,
            groups,
            selectors,
            services,
            next_listener: 0,
            observer,
            tasks,
            entries,
            surveyed,
        };
        (registry, loaded)
    }

    /// Takes what comes until the host stops, then lets every group end.
    pub(crate) async fn run(mut self, mut inbox: Inbox) {
        let mut look_at = tokio::time::Instant::now();
        loop {
            let watches = self.lives.values().any(Life::is_watched);
            tokio::select! {
                event = inbox.events.recv() => match event {
                    Some(event) => self.handle(event).await,
                    None => {
                        tracing::error!("the plugins directory is no longer watched; plugins stay as they are");
                        self.tasks.cancelled().await;
                        break;
                    }
                },
                Some(loaded) = inbox.loaded.recv() => self.arrived(loaded).await,
                Some(command) = inbox.commands.recv() => self.command(command).await,
                Some(Addition { code, done }) = inbox.additions.recv() => {
                    let _caller_gone = done.send(self.add_native(code).await);
                }
                () = tokio::time::sleep_until(look_at), if watches => {
                    self.look().await;
                    look_at = tokio::time::Instant::now() + LOOK;
                }
                () = self.tasks.cancelled() => break,
            }
        }
        drop(inbox);
        self.groups.stop_all(self.config.shutdown_grace.duration()).await;
    }

    /// What is kept of the plugin in the file `stem`.
    pub(super) fn life(&mut self, stem: &str) -> &mut Life {
        let state = &self.state;
        self.lives.entry(stem.to_owned()).or_insert_with(|| Life::new(Versions::open(state, stem)))
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
        let breaker = self.config.plugin_settings(name).breaker;
        let listener = Arc::new(Listener::native(self.next_id(), name, plan, breaker, native));
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
            FileEvent::Changed { stem, bytes, signature } => self.changed(&stem, bytes, signature),
            FileEvent::Unusable { stem, reason, .. } => self.reject(&stem, reason),
            FileEvent::Surveyed => {
                self.arriving.all_reported = true;
                self.begin_when_all_have_arrived();
            }
            FileEvent::Removed { stem } => self.removed(&stem).await,
        }
    }

    fn changed(&mut self, stem: &str, bytes: Vec<u8>, signature: Option<String>) {
        if self.config.plugin_settings(stem).enabled == Some(false) {
            return self.update(stem, "disabled", None, |_| ());
        }
        self.consider(stem, bytes, signature);
        let arrives = !self.arriving.all_reported && self.is_loading(stem);
        if arrives && !self.arriving.order.iter().any(|other| other == stem) {
            self.arriving.order.push_back(stem.to_owned());
        }
        self.show_record(stem);
    }

    /// Lets a version serve in every role it plays, and in none that only the one before it played. `held` is why the file's
    /// content does not, if it is another.
    pub(super) async fn serve(
        &mut self,
        stem: &str,
        plugin: Plugin,
        held: Option<String>,
    ) -> Result<(), String> {
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
            (entry.rejected, entry.held) = (None, held);
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
                let listener = self.new_listener(stem, plan, module);
                self.join(&listener).await?;
                Ok((listener, retired))
            }
            moved => {
                let listener = self.new_listener(stem, plan, module);
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

    fn new_listener(&mut self, stem: &str, plan: ListenerPlan, module: &ListenerModule) -> Arc<Listener> {
        let breaker = self.config.plugin_settings(stem).breaker;
        Arc::new(Listener::plugin(self.next_id(), stem, plan, breaker, module.clone()))
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
        const WHY: &str = "its file was removed";
        let reason = || Some(WHY.to_owned());
        self.end_candidate(stem, WHY);
        if let Some(life) = self.lives.get_mut(stem) {
            life.loading.give_up();
            life.versions.ended(WHY);
            life.file = None;
        }
        if !self.is_loading(stem) {
            self.lives.remove(stem);
        }
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

    pub(super) fn reject(&self, stem: &str, reason: String) {
        let serving = self.entry(stem).is_some_and(|entry| entry.serves());
        let state = if serving { PluginState::Active.name() } else { "rejected" };
        let note = if serving { "; the version before it serves on" } else { "" };
        tracing::warn!("plugin {stem} rejected: {reason}{note}");
        let told = reason.clone();
        self.change(|entries| {
            let entry = entries.entry(stem.to_owned()).or_default();
            entry.state = state;
            entry.rejections += 1;
            entry.rejected = Some(reason);
        });
        let change =
            PluginChange { plugin: stem.to_owned(), state: "rejected", version: None, reason: Some(told) };
        self.observer.plugin_changed(&change);
    }

    pub(super) fn await_drain(&self, stem: &str, retired: Retired) {
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

    pub(super) fn is_native(&self, name: &str) -> bool {
        let entries = self.entries.load();
        entries
            .get(name)
            .and_then(|entry| entry.listener.as_ref())
            .is_some_and(|listener| listener.is_native())
    }

    pub(super) fn entry(&self, stem: &str) -> Option<PluginEntry> {
        self.entries.load().get(stem).cloned()
    }

    pub(super) fn change(&self, edit: impl FnOnce(&mut BTreeMap<String, PluginEntry>)) {
        let mut entries = BTreeMap::clone(&self.entries.load());
        edit(&mut entries);
        self.entries.store(Arc::new(entries));
    }

    pub(super) fn update(
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

    pub(super) fn say(
        &self,
        stem: &str,
        state: &'static str,
        version: Option<String>,
        reason: Option<String>,
    ) {
        say(&self.observer, stem, state, version, reason);
    }
}

pub(super) fn say(
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
