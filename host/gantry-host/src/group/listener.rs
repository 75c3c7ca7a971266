//! A listener as its group sees it: what serves it, under which plan, and how it has done.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use gantry_core::{ListenerId, ListenerSpec};
use gantry_engine::{Lease, ListenerModule, Retired, Slot};

use super::native::Native;
use crate::plugins::ListenerPlan;
use crate::status::Outcomes;

/// One plugin's listener, which outlives the versions that serve it; or a native one.
pub(crate) struct Listener {
    /// What the core calls it.
    pub id: ListenerId,
    /// The plugin's file name without `.wasm`, or the native listener's name.
    pub plugin: String,
    serving: Serving,
    plan: ArcSwap<ListenerPlan>,
    counters: Counters,
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

#[derive(Debug, Default)]
struct Counters {
    succeeded: AtomicU64,
    reconsumed: AtomicU64,
    dead_lettered: AtomicU64,
    dropped: AtomicU64,
    failed: AtomicU64,
}

impl Listener {
    /// A plugin's listener, served by `module` at first.
    pub(crate) fn plugin(id: ListenerId, plugin: &str, plan: ListenerPlan, module: ListenerModule) -> Self {
        let slot = Slot::new();
        slot.switch(module);
        Self::new(id, plugin, plan, Serving::Plugin(slot))
    }

    /// A native listener.
    pub(crate) fn native(id: ListenerId, name: &str, plan: ListenerPlan, native: Native) -> Self {
        Self::new(id, name, plan, Serving::Native(Arc::new(native)))
    }

    fn new(id: ListenerId, name: &str, plan: ListenerPlan, serving: Serving) -> Self {
        let (plan, counters) = (ArcSwap::from_pointee(plan), Counters::default());
        Self { id, plugin: name.to_owned(), serving, plan, counters }
    }

    /// Whether it is part of the embedding program, so that no file of its name can serve it.
    pub(crate) fn is_native(&self) -> bool {
        matches!(self.serving, Serving::Native(_))
    }

    /// Lets another version serve from now on; the one before it drains. Nothing changes for a native listener.
    pub(crate) fn switch(&self, module: ListenerModule) -> Option<Retired> {
        match &self.serving {
            Serving::Plugin(slot) => slot.switch(module).1,
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

    /// What a batch that leaves now is to run; none if no version serves.
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

    /// What the core needs to know of it.
    pub(crate) fn spec(&self) -> ListenerSpec {
        let plan = self.plan.load();
        ListenerSpec {
            batch_max_size: plan.batch_max_size,
            max_reconsume_times: plan.max_reconsume_times,
            ..ListenerSpec::new(self.id, plan.subscriptions.clone())
        }
    }

    /// Counts the outcomes of one batch.
    pub(crate) fn count(&self, batch: Outcomes) {
        let add = |counter: &AtomicU64, n| _ = counter.fetch_add(n, Ordering::Relaxed);
        add(&self.counters.succeeded, batch.succeeded);
        add(&self.counters.reconsumed, batch.reconsumed);
        add(&self.counters.dead_lettered, batch.dead_lettered);
        add(&self.counters.dropped, batch.dropped);
        add(&self.counters.failed, batch.failed);
    }

    /// All outcomes so far.
    pub(crate) fn outcomes(&self) -> Outcomes {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Outcomes {
            succeeded: read(&self.counters.succeeded),
            reconsumed: read(&self.counters.reconsumed),
            dead_lettered: read(&self.counters.dead_lettered),
            dropped: read(&self.counters.dropped),
            failed: read(&self.counters.failed),
        }
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
}
