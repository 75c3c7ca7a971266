//! Which queues are whose by a plugin's strategy, and by the built-in that stands in for it where configuration names one.
//!
//! The stand-in divides where the plugin traps, is late, answers unsoundly or is not there. Other members come to the same
//! division where they use the same rule and meet the same failure, as of a plugin that fails for what it is asked; both
//! settings are therefore to be alike at every member.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use gantry_core::Allocate;
use gantry_core::allocate::verify_division;
use gantry_protocol::{MessageQueue, Namespace};

use crate::config::{BuiltInStrategy, GantryConfig};
use crate::plugins::{Shares, Strategies};

/// What answers a group's questions for all its members.
#[derive(Debug, Clone)]
pub(super) struct Divider {
    group: Arc<str>,
    /// What plugins do not see of topics.
    namespace: Namespace,
    strategies: Strategies,
    fallback: Option<Arc<Fallback>>,
}

#[derive(Debug)]
struct Fallback {
    strategy: BuiltInStrategy,
    /// How often it divided.
    times: AtomicU64,
    /// Whether it did the last time: the log says when that changes.
    divides: AtomicBool,
}

impl Divider {
    pub(super) fn new(
        group: &Arc<str>,
        namespace: &Namespace,
        strategies: Strategies,
        config: &GantryConfig,
    ) -> Self {
        let setting = config.group_settings(group).allocate_message_queue_strategy;
        let fallback = setting.and_then(|setting| setting.fallback()).map(|strategy| {
            Arc::new(Fallback { strategy, times: AtomicU64::new(0), divides: AtomicBool::new(false) })
        });
        Self { group: Arc::clone(group), namespace: namespace.clone(), strategies, fallback }
    }

    /// How often the stand-in has divided.
    pub(super) fn fallbacks(&self) -> u64 {
        self.fallback.as_ref().map_or(0, |fallback| fallback.times.load(Ordering::Relaxed))
    }

    /// The queues of every member.
    ///
    /// # Errors
    /// Why there is no answer, for people. Without a stand-in nobody has held the answers against each other yet.
    pub(super) async fn divide(&self, question: Allocate) -> Result<Shares, String> {
        let this = self.clone();
        let Allocate { strategy, queues, members, .. } = question;
        let asked = tokio::task::spawn_blocking(move || this.answer(&strategy, &queues, &members));
        asked.await.unwrap_or_else(|error| Err(format!("asking it failed inside the host: {error}")))
    }

    fn answer(&self, strategy: &str, queues: &[MessageQueue], members: &[String]) -> Result<Shares, String> {
        let answer = self.ask(strategy, queues, members);
        let Some(fallback) = &self.fallback else { return answer };
        let sound = answer.and_then(|shares| {
            let verified = verify_division(strategy, queues, shares.iter().cloned());
            verified.map(|()| shares).map_err(|fault| fault.to_string())
        });
        match sound {
            Ok(shares) => {
                if fallback.divides.swap(false, Ordering::Relaxed) {
                    tracing::info!(group = %self.group, strategy, "divides the queues again");
                }
                Ok(shares)
            }
            Err(reason) => {
                fallback.took_over(&self.group, strategy, &reason);
                fallback.divide(&self.group, queues, members)
            }
        }
    }

    /// Asks the plugin, twice: members must come to the same division, so it may depend on nothing but what it is asked.
    fn ask(&self, strategy: &str, queues: &[MessageQueue], members: &[String]) -> Result<Shares, String> {
        let plain: Vec<_> = queues.iter().map(|queue| self.namespace.unwrap_queue(queue)).collect();
        let divide = || self.strategies.divide(strategy, &self.group, &plain, members);
        let first = divide()?;
        if divide()? == first {
            let wrapped = |queues: Vec<MessageQueue>| {
                queues.iter().map(|queue| self.namespace.wrap_queue(queue)).collect()
            };
            return Ok(first.into_iter().map(|(member, queues)| (member, wrapped(queues))).collect());
        }
        Err("it answers differently when asked again; it must depend on nothing but its input".to_owned())
    }
}

impl Fallback {
    fn took_over(&self, group: &str, strategy: &str, reason: &str) {
        let times = self.times.fetch_add(1, Ordering::Relaxed) + 1;
        if !self.divides.swap(true, Ordering::Relaxed) {
            tracing::warn!(group, strategy, times, "the fallback divides the queues in its place: {reason}");
        }
    }

    fn divide(&self, group: &str, queues: &[MessageQueue], members: &[String]) -> Result<Shares, String> {
        let strategy = self.strategy.strategy().ok_or("there is no such fallback")?;
        let share = |member: &String| {
            let share = strategy.allocate(group, member, queues, members);
            share.map(|queues| (member.clone(), queues)).map_err(|error| error.to_string())
        };
        members.iter().map(share).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use gantry_engine::{Engine, EngineConfig, Grants};

    use super::*;

    /// Strategies that traps, drops queues and is sound, as `cargo xtask guests` built them.
    fn strategies() -> Strategies {
        let engine = Engine::new(EngineConfig { max_instances: 8, ..EngineConfig::default() }).unwrap();
        let strategies = Strategies::default();
        let repository = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
        let target =
            std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository.join("target"), PathBuf::from);
        for name in ["strategy-traps", "strategy-drops", "rendezvous"] {
            let file = target.join("guests/components").join(format!("{name}.wasm"));
            let bytes = std::fs::read(&file).unwrap_or_else(|error| {
                panic!("{}: {error}: run `cargo xtask guests` first", file.display())
            });
            let plugin = engine.load_plugin(&bytes, &Grants::NONE, &mut |_| ()).unwrap();
            strategies.set(name, plugin.strategy);
        }
        strategies
    }

    fn divider(setting: &str) -> Divider {
        let text = format!("[consumer]\nallocate-message-queue-strategy = {setting}\n");
        let config = GantryConfig::from_toml("gantry.toml", &text).unwrap();
        Divider::new(&"orders-group".into(), &Namespace::default(), strategies(), &config)
    }

    fn answer(divider: &Divider, strategy: &str) -> Result<Shares, String> {
        let queues: Vec<_> = (0..4).map(|id| MessageQueue::new("orders", "broker-a", id)).collect();
        divider.answer(strategy, &queues, &["a".to_owned(), "b".to_owned()])
    }

    fn numbers(shares: Shares) -> Vec<Vec<i32>> {
        shares
            .into_iter()
            .map(|(_, queues)| queues.into_iter().map(|queue| queue.queue_id).collect())
            .collect()
    }

    #[test]
    fn the_stand_in_divides_where_the_plugin_gives_no_sound_answer() {
        let divider = divider("{ plugin = \"any\", fallback = \"AVG\" }");
        for (strategy, times) in [("strategy-traps", 1), ("strategy-drops", 2), ("absent", 3)] {
            let shares = answer(&divider, strategy).unwrap();
            assert_eq!(numbers(shares), [vec![0, 1], vec![2, 3]], "{strategy}");
            assert_eq!(divider.fallbacks(), times);
        }
        let sound = answer(&divider, "rendezvous").unwrap();
        assert_eq!(sound, answer(&self::divider("\"plugin:rendezvous\""), "rendezvous").unwrap());
        assert_eq!(divider.fallbacks(), 3);
    }

    #[test]
    fn without_one_the_failure_is_the_answer() {
        let divider = divider("\"plugin:strategy-traps\"");
        assert!(answer(&divider, "strategy-traps").unwrap_err().contains("trapped"));
        assert_eq!(divider.fallbacks(), 0);
    }
}
