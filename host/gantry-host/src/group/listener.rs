//! A listener as its group sees it: which plugin serves it, under which plan, and how it has done.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use gantry_core::{ListenerId, ListenerSpec};
use gantry_engine::Slot;

use crate::plugins::ListenerPlan;
use crate::status::Outcomes;

/// One plugin's listener. It outlives the versions that serve it.
#[derive(Debug)]
pub struct Listener {
    /// What the core calls it.
    pub id: ListenerId,
    /// The plugin's file name without `.wasm`.
    pub plugin: String,
    /// The version that serves.
    pub slot: Slot,
    plan: ArcSwap<ListenerPlan>,
    counters: Counters,
}

#[derive(Debug, Default)]
struct Counters {
    succeeded: AtomicU64,
    reconsumed: AtomicU64,
    dead_lettered: AtomicU64,
    failed: AtomicU64,
}

impl Listener {
    /// A listener that no version serves yet.
    pub fn new(id: ListenerId, plugin: String, plan: ListenerPlan) -> Self {
        let (slot, plan, counters) = (Slot::new(), ArcSwap::from_pointee(plan), Counters::default());
        Self { id, plugin, slot, plan, counters }
    }

    /// Its part in the group, as of now.
    pub fn plan(&self) -> Arc<ListenerPlan> {
        self.plan.load_full()
    }

    /// Gives it another plan of the same group.
    pub fn set_plan(&self, plan: ListenerPlan) {
        self.plan.store(Arc::new(plan));
    }

    /// What the core needs to know of it.
    pub fn spec(&self) -> ListenerSpec {
        let plan = self.plan.load();
        ListenerSpec {
            batch_max_size: plan.batch_max_size,
            max_reconsume_times: plan.max_reconsume_times,
            ..ListenerSpec::new(self.id, plan.subscriptions.clone())
        }
    }

    /// Counts the outcomes of one batch.
    pub fn count(&self, batch: Outcomes) {
        let add = |counter: &AtomicU64, n| _ = counter.fetch_add(n, Ordering::Relaxed);
        add(&self.counters.succeeded, batch.succeeded);
        add(&self.counters.reconsumed, batch.reconsumed);
        add(&self.counters.dead_lettered, batch.dead_lettered);
        add(&self.counters.failed, batch.failed);
    }

    /// All outcomes so far.
    pub fn outcomes(&self) -> Outcomes {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Outcomes {
            succeeded: read(&self.counters.succeeded),
            reconsumed: read(&self.counters.reconsumed),
            dead_lettered: read(&self.counters.dead_lettered),
            failed: read(&self.counters.failed),
        }
    }
}
