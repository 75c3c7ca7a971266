//! The queue selectors that plugins bring, for whoever sends through them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use gantry_engine::{OutgoingMessage, SelectorModule};
use gantry_protocol::MessageQueue;
use serde::Serialize;

/// What one question to a selector may take.
const DEADLINE: Duration = Duration::from_secs(1);

/// The selectors that serve, by their files' names without `.wasm`. Cloning is cheap, and every clone is the same.
#[derive(Debug, Clone, Default)]
pub struct Selectors(Arc<ArcSwap<BTreeMap<String, Serving>>>);

/// The version that serves, and what all versions of the file have been asked.
#[derive(Debug, Clone)]
struct Serving {
    module: SelectorModule,
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    calls: AtomicU64,
    failures: AtomicU64,
}

/// What a selector plugin has been asked since its file came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Selections {
    /// Messages it was asked about.
    pub calls: u64,
    /// Of these, the ones it gave no usable answer for, so that the sender's fallback chose the queue.
    pub fallbacks: u64,
}

impl Counters {
    pub(crate) fn read(&self) -> Selections {
        Selections {
            calls: self.calls.load(Ordering::Relaxed),
            fallbacks: self.failures.load(Ordering::Relaxed),
        }
    }
}

impl Selectors {
    /// Lets another version of a selector serve, or none, and returns what counts its calls. One task calls this, the
    /// registry's.
    pub(super) fn set(&self, name: &str, selector: Option<SelectorModule>) -> Option<Arc<Counters>> {
        let present = self.0.load();
        if selector.is_none() && !present.contains_key(name) {
            return None;
        }
        let mut serving = BTreeMap::clone(&present);
        let before = serving.remove(name);
        let counters = selector.map(|module| {
            let counters = before.map_or_else(Arc::default, |before| before.counters);
            serving.insert(name.to_owned(), Serving { module, counters: Arc::clone(&counters) });
            counters
        });
        self.0.store(Arc::new(serving));
        counters
    }

    /// Asks the selector in the file `name` which of `queues`, the writable ones of the message's topic, sorted, `message`
    /// goes to; `arg` is what the sender gave. The answer is an index in `queues`. Blocks, for a second or so where the plugin is at fault: call it on a
    /// thread that may.
    ///
    /// # Errors
    /// Why there is no usable answer, for people: there is no such selector, or it trapped, ran past its deadline of 1 s, was
    /// refused memory, answered `err`, or chose a queue that there is not. It is counted as a fallback.
    pub fn select(
        &self,
        name: &str,
        queues: &[MessageQueue],
        message: &OutgoingMessage,
        arg: &str,
    ) -> Result<usize, String> {
        let serving = self.0.load().get(name).cloned();
        let Serving { module, counters } = serving.ok_or_else(|| {
            format!("there is no selector plugin {name}: put {name}.wasm into the plugins directory")
        })?;
        let queues: Vec<_> = queues.iter().map(super::strategies::lowered).collect();
        counters.calls.fetch_add(1, Ordering::Relaxed);
        module.select(&queues, message, arg, DEADLINE).map_err(|failure| {
            counters.failures.fetch_add(1, Ordering::Relaxed);
            failure.to_string()
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use gantry_engine::{Engine, EngineConfig, Grants};

    use super::*;

    fn load(name: &str) -> Option<SelectorModule> {
        let repository = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
        let target =
            std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository.join("target"), PathBuf::from);
        let file = target.join("guests/components").join(format!("{name}.wasm"));
        let bytes = std::fs::read(&file)
            .unwrap_or_else(|error| panic!("{}: {error}: run `cargo xtask guests` first", file.display()));
        let engine = Engine::new(EngineConfig { max_instances: 8, ..EngineConfig::default() }).unwrap();
        engine.load_plugin(&bytes, &Grants::NONE, &mut |_| ()).unwrap().selector
    }

    fn select(selectors: &Selectors, name: &str) -> Result<usize, String> {
        let queues: Vec<_> = (0..4).map(|id| MessageQueue::new("orders", "broker-a", id)).collect();
        selectors.select(name, &queues, &OutgoingMessage::default(), "order-7")
    }

    #[test]
    fn versions_come_and_go_and_their_calls_are_counted_together() {
        let selectors = Selectors::default();
        let counters = selectors.set("mine", load("jump-hash")).unwrap();
        let chosen = select(&selectors, "mine").unwrap();
        assert!(chosen < 4);
        let after = selectors.set("mine", load("selector-traps")).unwrap();
        let error = select(&selectors, "mine").unwrap_err();
        assert!(error.starts_with("the selector trapped"), "{error}");
        assert_eq!(counters.read(), Selections { calls: 2, fallbacks: 1 });
        assert_eq!(after.read(), counters.read());
        assert!(selectors.set("mine", None).is_none());
        let error = select(&selectors, "mine").unwrap_err();
        assert_eq!(error, "there is no selector plugin mine: put mine.wasm into the plugins directory");
    }

    #[test]
    fn a_selector_that_is_late_or_absurd_gives_no_answer() {
        let selectors = Selectors::default();
        selectors.set("absurd", load("selector-absurd"));
        selectors.set("spins", load("selector-spins"));
        assert_eq!(
            select(&selectors, "absurd").unwrap_err(),
            "the selector chose queue 4 where there are 4, counted from 0"
        );
        let error = select(&selectors, "spins").unwrap_err();
        assert!(error.contains("stopped at its deadline of 1s"), "{error}");
    }
}
