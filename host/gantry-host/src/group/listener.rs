//! A listener as its group sees it: what serves it, under which plan, and how it has done.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use arc_swap::{ArcSwap, ArcSwapOption};
use gantry_core::{ListenerId, ListenerSpec, Subscription};
use gantry_engine::{Figures, Lease, ListenerModule, PoolStats, Record, Retired, Slot};
use gantry_protocol::Namespace;

use super::breaker::{Admission, Breaker, Change};
use super::counters::Counters;
use super::native::Native;
use super::shadow::Shadow;
use super::trial::Trial;
use crate::config::BreakerSettings;
use crate::plugins::ListenerPlan;
use crate::status::{BreakerStatus, Outcomes};

/// One plugin's listener, which outlives the versions that serve it; or a native one.
pub(crate) struct Listener {
    /// What the core calls it.
    pub id: ListenerId,
    /// The plugin's file name without `.wasm`, or the native listener's name.
    pub plugin: String,
    serving: Serving,
    plan: ArcSwap<ListenerPlan>,
    pub(crate) counters: Counters,
    trial: ArcSwapOption<Trial>,
    shadow: ArcSwapOption<Shadow>,
    breaker: Mutex<Breaker>,
    /// Whether the breaker is not closed: read for every batch, so without the lock.
    holding: AtomicBool,
}

/// The code behind a listener.
enum Serving {
    Plugin(Slot),
    Native(Arc<Native>),
}

/// The code for one batch.
pub(super) enum Call {
    /// The version of the plugin that serves now.
    Guest(Lease),
    /// The native listener.
    Native(Arc<Native>),
}

impl Listener {
    /// A plugin's listener, served by `module` at first.
    pub(crate) fn plugin(
        id: ListenerId,
        plugin: &str,
        plan: ListenerPlan,
        breaker: BreakerSettings,
        module: ListenerModule,
    ) -> Self {
        let slot = Slot::new();
        slot.switch(module);
        Self::new(id, plugin, plan, breaker, Serving::Plugin(slot))
    }

    /// A native listener.
    pub(crate) fn native(
        id: ListenerId,
        name: &str,
        plan: ListenerPlan,
        breaker: BreakerSettings,
        native: Native,
    ) -> Self {
        Self::new(id, name, plan, breaker, Serving::Native(Arc::new(native)))
    }

    fn new(
        id: ListenerId,
        name: &str,
        plan: ListenerPlan,
        breaker: BreakerSettings,
        serving: Serving,
    ) -> Self {
        Self {
            id,
            plugin: name.to_owned(),
            serving,
            plan: ArcSwap::from_pointee(plan),
            counters: Counters::default(),
            trial: ArcSwapOption::empty(),
            shadow: ArcSwapOption::empty(),
            breaker: Mutex::new(Breaker::new(breaker)),
            holding: AtomicBool::new(false),
        }
    }

    /// Whether it is part of the embedding program, so that no file of its name can serve it.
    pub(crate) fn is_native(&self) -> bool {
        matches!(self.serving, Serving::Native(_))
    }

    /// Lets another version serve from now on; the one before it drains. Nothing changes for a native listener.
    pub(crate) fn switch(&self, module: ListenerModule) -> Option<Retired> {
        match &self.serving {
            Serving::Plugin(slot) => {
                let retired = slot.switch(module).1;
                self.with_breaker(Breaker::reset);
                retired
            }
            Serving::Native(_) => None,
        }
    }

    /// Lets no version serve from now on.
    pub(crate) fn clear(&self) -> Option<Retired> {
        match &self.serving {
            Serving::Plugin(slot) => slot.clear(),
            Serving::Native(_) => None,
        }
    }

    /// What a batch that leaves now is to run, where no version on trial does; none if no version serves.
    pub(super) fn call(&self) -> Option<Call> {
        match &self.serving {
            Serving::Plugin(slot) => slot.lease().map(Call::Guest),
            Serving::Native(native) => Some(Call::Native(Arc::clone(native))),
        }
    }

    /// Its part in the group, as of now.
    pub(crate) fn plan(&self) -> Arc<ListenerPlan> {
        self.plan.load_full()
    }

    /// Gives it another plan of the same group.
    pub(crate) fn set_plan(&self, plan: ListenerPlan) {
        self.plan.store(Arc::new(plan));
    }

    /// What the core needs to know of it, topics as brokers know them.
    pub(crate) fn spec(&self, namespace: &Namespace) -> ListenerSpec {
        let plan = self.plan.load();
        let wrapped = plan.subscriptions.iter().map(|subscription| Subscription {
            topic: namespace.wrap(&subscription.topic).into_owned(),
            expression: subscription.expression.clone(),
        });
        ListenerSpec {
            batch_max_size: plan.batch_max_size,
            max_reconsume_times: plan.max_reconsume_times,
            ..ListenerSpec::new(self.id, wrapped.collect())
        }
    }

    /// The version on trial, which takes its share of the calls.
    pub(super) fn trial(&self) -> Option<Arc<Trial>> {
        self.trial.load_full()
    }

    /// Puts a version on trial in place of another, which finishes what it has; or none.
    pub(crate) fn set_trial(&self, trial: Option<Arc<Trial>>) -> Option<Retired> {
        self.trial.swap(trial).and_then(|before| before.end())
    }

    /// Puts a version into the shadow, or none; the one before it is to be ended where one may wait.
    pub(crate) fn set_shadow(&self, shadow: Option<Arc<Shadow>>) -> Option<Arc<Shadow>> {
        self.shadow.swap(shadow)
    }

    /// The version in the shadow.
    pub(super) fn shadow(&self) -> Option<Arc<Shadow>> {
        self.shadow.load_full()
    }

    /// A batch of the version that serves has ended, with so many of its messages failed through its fault.
    pub(super) fn judge(&self, messages: u64, failed: u64) {
        let change = self.with_breaker(|breaker| breaker.batch(Instant::now(), messages, failed));
        self.tell(change);
    }

    /// Batches of the version that serves have ended, in which nothing failed.
    pub(super) fn judge_successes(&self, batches: u64, messages: u64) {
        let change = self.with_breaker(|breaker| breaker.successes(Instant::now(), batches, messages));
        self.tell(change);
    }

    fn tell(&self, change: Option<Change>) {
        match change {
            Some(Change::Opened { pause, why }) => tracing::error!(
                plugin = %self.plugin,
                "keeps failing: it is given nothing for {pause:?}, its messages wait, then one batch is tried: {why}"
            ),
            Some(Change::Closed) => {
                tracing::info!(plugin = %self.plugin, "works again, and is given its messages")
            }
            None => {}
        }
    }

    /// What its breaker lets pass now.
    pub(super) fn admission(&self, now: Instant) -> Admission {
        match self.holding.load(Ordering::Acquire) {
            true => self.with_breaker(|breaker| breaker.admission(now)),
            false => Admission::All,
        }
    }

    /// A batch has left though the breaker is not closed: it is the probe.
    pub(super) fn probe_left(&self) {
        self.with_breaker(Breaker::probe_left);
    }

    fn with_breaker<T>(&self, act: impl FnOnce(&mut Breaker) -> T) -> T {
        let mut breaker = self.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        let done = act(&mut breaker);
        self.holding.store(breaker.report().0 != "closed", Ordering::Release);
        done
    }

    /// Its breaker as the status shows it.
    pub(crate) fn breaker(&self) -> BreakerStatus {
        self.with_breaker(|breaker| {
            let (state, why, opened) = breaker.report();
            BreakerStatus { state, why: why.map(str::to_owned), opened }
        })
    }

    /// The serving generation's number, how it has done, and its instances; none where no version of a plugin serves.
    pub(crate) fn generation(&self) -> Option<(u64, Figures, PoolStats)> {
        match &self.serving {
            Serving::Plugin(slot) => slot.serving(|generation| {
                (generation.number(), generation.record().figures(), generation.module().stats())
            }),
            Serving::Native(_) => None,
        }
    }

    /// All outcomes so far.
    pub(crate) fn outcomes(&self) -> Outcomes {
        self.counters.outcomes()
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("id", &self.id).field("plugin", &self.plugin).finish_non_exhaustive()
    }
}

impl Call {
    /// The version of the code, for observers and logs.
    pub(super) fn version(&self) -> &str {
        match self {
            Self::Guest(lease) => &lease.module().description().version,
            Self::Native(native) => native.version(),
        }
    }

    /// What counts how this version does.
    pub(super) fn record(&self) -> &Record {
        match self {
            Self::Guest(lease) => lease.generation().record(),
            Self::Native(native) => native.record(),
        }
    }
}
