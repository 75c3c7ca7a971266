//! The allocation strategies that plugins bring, for the groups whose configuration names them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use gantry_engine::StrategyModule;
use gantry_protocol::MessageQueue;
use tokio::sync::watch;

/// What one question to a strategy may take.
const DEADLINE: Duration = Duration::from_secs(1);
/// What the questions for all members of a group may take together.
const DIVISION_DEADLINE: Duration = Duration::from_secs(10);

/// A share for each member, by client id.
pub(crate) type Shares = Vec<(String, Vec<MessageQueue>)>;

/// The strategies that serve, by their files' names without `.wasm`. Cloning is cheap, and every clone is the same.
#[derive(Debug, Clone)]
pub(crate) struct Strategies {
    serving: Arc<ArcSwap<BTreeMap<String, StrategyModule>>>,
    changed: watch::Sender<()>,
}

impl Default for Strategies {
    fn default() -> Self {
        Self { serving: Arc::default(), changed: watch::Sender::new(()) }
    }
}

impl Strategies {
    /// The version of the strategy in the file `name` that serves now.
    pub(crate) fn get(&self, name: &str) -> Option<StrategyModule> {
        self.serving.load().get(name).cloned()
    }

    /// Lets another version of a strategy serve, or none, and tells whoever watches if that is a change. One task calls
    /// this, the registry's.
    pub(crate) fn set(&self, name: &str, strategy: Option<StrategyModule>) {
        let hash = |module: &StrategyModule| module.hash();
        if self.get(name).as_ref().map(hash) == strategy.as_ref().map(hash) {
            return;
        }
        let mut serving = BTreeMap::clone(&self.serving.load());
        match strategy {
            Some(strategy) => _ = serving.insert(name.to_owned(), strategy),
            None => _ = serving.remove(name),
        }
        self.serving.store(Arc::new(serving));
        self.changed.send_replace(());
    }

    /// Sees every change from now on.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Asks the strategy `name` for the queues of every member of `group`. `queues`, of one topic, and `members` are sorted.
    /// Nobody has held the answers against each other yet. Blocks for 10 s at most: call it on a thread that may.
    ///
    /// # Errors
    /// Why there is no answer for one of them, for people.
    pub(crate) fn divide(
        &self,
        name: &str,
        group: &str,
        queues: &[MessageQueue],
        members: &[String],
    ) -> Result<Shares, String> {
        let strategy = self.get(name).ok_or_else(|| {
            format!("there is no strategy plugin {name}: put {name}.wasm into the plugins directory")
        })?;
        let asked: Vec<_> = queues.iter().map(lowered).collect();
        let until = Instant::now() + DIVISION_DEADLINE;
        let share = |member: &String| {
            let deadline = DEADLINE.min(until.saturating_duration_since(Instant::now()));
            let share = strategy
                .allocate(group, member, &asked, members, deadline)
                .map_err(|failure| format!("asked for the queues of {member}: {failure}"))?;
            Ok((member.clone(), share.into_iter().map(lifted).collect()))
        };
        members.iter().map(share).collect()
    }
}

pub(super) fn lowered(queue: &MessageQueue) -> gantry_engine::MessageQueue {
    gantry_engine::MessageQueue {
        topic: queue.topic.to_string(),
        broker_name: queue.broker_name.to_string(),
        queue_id: queue.queue_id.max(0).unsigned_abs(),
    }
}

/// A number that no queue of RocketMQ's can have becomes the highest one, which none has.
fn lifted(queue: gantry_engine::MessageQueue) -> MessageQueue {
    let gantry_engine::MessageQueue { topic, broker_name, queue_id } = queue;
    MessageQueue::new(topic, broker_name, i32::try_from(queue_id).unwrap_or(i32::MAX))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use gantry_engine::{Engine, EngineConfig, Grants};

    use super::*;

    /// These guests, as `cargo xtask guests` built them.
    fn strategies(names: &[&str]) -> Strategies {
        let engine = Engine::new(EngineConfig { max_instances: 8, ..EngineConfig::default() }).unwrap();
        let strategies = Strategies::default();
        for name in names {
            strategies.set(name, load(&engine, name));
        }
        strategies
    }

    fn load(engine: &Engine, name: &str) -> Option<StrategyModule> {
        let repository = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
        let target =
            std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository.join("target"), PathBuf::from);
        let file = target.join("guests/components").join(format!("{name}.wasm"));
        let bytes = std::fs::read(&file)
            .unwrap_or_else(|error| panic!("{}: {error}: run `cargo xtask guests` first", file.display()));
        engine.load_plugin(&bytes, &Grants::NONE, &mut |_| ()).unwrap().strategy
    }

    fn divide(strategies: &Strategies, name: &str) -> Result<Shares, String> {
        let queues: Vec<_> = (0..4).map(|id| MessageQueue::new("orders", "broker-a", id)).collect();
        strategies.divide(name, "orders-group", &queues, &["a".into(), "b".into()])
    }

    #[test]
    fn every_member_has_an_answer_in_the_members_order() {
        let shares = divide(&strategies(&["listener-and-strategy"]), "listener-and-strategy").unwrap();
        let queues: Vec<_> = (0..4).map(|id| MessageQueue::new("orders", "broker-a", id)).collect();
        assert_eq!(shares, [("a".into(), queues), ("b".into(), Vec::new())]);
    }

    #[test]
    fn a_failure_names_the_member_and_what_happened() {
        let strategies = strategies(&["strategy-traps", "strategy-spins"]);
        let error = divide(&strategies, "strategy-traps").unwrap_err();
        assert!(error.starts_with("asked for the queues of a: the strategy trapped"), "{error}");
        let error = divide(&strategies, "strategy-spins").unwrap_err();
        assert!(error.contains("stopped at its deadline of 1s"), "{error}");
        let error = divide(&strategies, "absent").unwrap_err();
        assert!(error.contains("put absent.wasm into the plugins directory"), "{error}");
    }

    #[test]
    fn only_another_version_is_a_change() {
        let engine = Engine::new(EngineConfig::default()).unwrap();
        let strategies = Strategies::default();
        let changed = |strategy: Option<StrategyModule>| {
            let changes = strategies.changes();
            strategies.set("mine", strategy);
            changes.has_changed().unwrap()
        };
        let (one, other) = (load(&engine, "rendezvous"), load(&engine, "strategy-drops"));
        assert!(!changed(None));
        assert!(changed(one.clone()));
        assert!(!changed(one));
        assert!(changed(other));
        assert!(changed(None));
        assert!(strategies.get("mine").is_none());
    }
}
