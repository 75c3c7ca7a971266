//! The plugins that were there when the host started: they join their groups in the directory's order, and groups begin when
//! all have arrived.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering;

use super::loads::Loaded;
use super::registry::Registry;

/// The order in which the plugins of the start join their groups: that of the directory, whichever is compiled first. It
/// decides who gets a message that two want.
#[derive(Default)]
pub(super) struct Arriving {
    pub(super) order: VecDeque<String>,
    loaded: BTreeMap<String, Loaded>,
    pub(super) all_reported: bool,
}

impl Registry {
    /// A load has ended; at the start, those before it in the directory come first.
    pub(super) async fn arrived(&mut self, loaded: Loaded) {
        if !self.arriving.order.contains(&loaded.stem) {
            return self.loaded(loaded).await;
        }
        self.arriving.loaded.insert(loaded.stem.clone(), loaded);
        while let Some(stem) = self.arriving.order.front().cloned()
            && let Some(first) = self.arriving.loaded.remove(&stem)
        {
            self.loaded(first).await;
            // Newer content of it may be on its way.
            if self.is_loading(&stem) {
                return;
            }
            self.arriving.order.pop_front();
        }
        self.begin_when_all_have_arrived();
    }

    pub(super) fn is_loading(&self, stem: &str) -> bool {
        self.lives.get(stem).is_some_and(|life| life.loading.is_running())
    }

    pub(super) fn begin_when_all_have_arrived(&mut self) {
        if self.arriving.all_reported && self.arriving.order.is_empty() {
            self.surveyed.store(true, Ordering::Relaxed);
            self.groups.begin.cancel();
        }
    }
}
