//! What is run in a round, and in which order.

use crate::contestant::{Contestant, Setting};
use crate::latency::RATE;
use crate::run::Subject;
use crate::topic::Load;

/// How much is done.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) rounds: usize,
    /// Consumers of whole topics.
    pub(crate) runs: Vec<Subject>,
    /// Consumers of few messages.
    pub(crate) latencies: Vec<Subject>,
    /// What is sent, for how long it takes.
    pub(crate) sends: Load,
}

/// The load that figures are compared at: this many messages, by default a million or in short 20,000.
pub(crate) const fn main(messages: u64) -> Load {
    Load { queues: 8, messages, body: 128 }
}

/// What is consumed before anything is measured, so that every component is compiled.
pub(crate) const WARMING: Load = Load { queues: 1, messages: 100, body: 128 };
const QUEUES: [u32; 2] = [64, 512];
const PLUGINS: [u32; 3] = [1, 10, 50];
const HOSTS: [u32; 3] = [2, 3, 4];
/// How much more there is to catch up with where it is seen whether that takes as much longer.
pub(crate) const LONGER: u64 = 4;

/// Who takes part in short.
pub(crate) const IN_SHORT: [Contestant; 4] =
    [Contestant::Native, Contestant::Rust, Contestant::JavaClient, Contestant::Bare];

impl Plan {
    /// Everything these can do.
    pub(crate) fn whole(contestants: &[Contestant], rounds: usize, main: Load) -> Self {
        let has = |contestant| contestants.contains(&contestant);
        let mut runs = Vec::new();
        for load in [main, Load { messages: main.messages / 5, body: 1024, ..main }] {
            for setting in [Setting::Defaults, Setting::By32, Setting::By1024] {
                let bare_once_tuned =
                    |contestant: &&Contestant| **contestant != Contestant::Bare || setting != Setting::By32;
                let who = contestants.iter().filter(bare_once_tuned);
                runs.extend(who.map(|contestant| Subject::single(*contestant, setting, load)));
            }
        }
        let others = [Contestant::Rust, Contestant::Bare].into_iter().chain(Contestant::PEERS);
        for queues in QUEUES {
            let load = Load { queues, ..main };
            let who = others.clone().filter(|contestant| has(*contestant));
            runs.extend(who.map(|contestant| Subject::single(contestant, Setting::By1024, load)));
        }
        if has(Contestant::Rust) {
            let gantry = |load| Subject::single(Contestant::Rust, Setting::By1024, load);
            // As many for each plugin, so that what it costs to begin has the same part in all of them.
            let each = Load { messages: main.messages / 2, ..main };
            runs.extend(PLUGINS.map(|plugins| Subject { plugins, ..gantry(each) }));
            runs.push(gantry(Load { messages: main.messages * LONGER, ..main }));
            runs.extend(HOSTS.map(|hosts| Subject { hosts, ..gantry(main) }));
        }
        let mut seen = std::collections::BTreeSet::new();
        runs.retain(|subject| seen.insert(*subject));
        Self {
            rounds,
            runs,
            latencies: latencies(contestants, 10 * RATE),
            sends: Load { messages: main.messages / 5, ..main },
        }
    }

    /// Shows that everything works.
    pub(crate) fn short(contestants: &[Contestant], rounds: usize, main: Load) -> Self {
        let mut runs = Vec::new();
        for setting in [Setting::Defaults, Setting::By1024] {
            runs.extend(contestants.iter().map(|contestant| Subject::single(*contestant, setting, main)));
        }
        Self { rounds, runs, latencies: latencies(contestants, RATE), sends: main }
    }

    /// The topics that are consumed.
    pub(crate) fn loads(&self) -> Vec<Load> {
        let mut loads: Vec<_> = self.runs.iter().map(|subject| subject.load).collect();
        loads.sort_unstable();
        loads.dedup();
        loads
    }
}

/// The listeners in other languages differ from Rust's by less than a clock tells.
fn latencies(contestants: &[Contestant], messages: u64) -> Vec<Subject> {
    let who = [Contestant::Native, Contestant::Rust, Contestant::Bare].into_iter().chain(Contestant::PEERS);
    let who = who.filter(|contestant| contestants.contains(contestant));
    let load = Load { queues: 8, messages, body: 128 };
    who.map(|contestant| Subject::single(contestant, Setting::Defaults, load)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOAD: Load = main(1_000_000);

    #[test]
    fn nothing_is_run_twice_in_a_round() {
        for plan in [Plan::whole(&Contestant::ALL, 3, LOAD), Plan::short(&IN_SHORT, 1, LOAD)] {
            let mut runs = plan.runs.clone();
            runs.sort_unstable();
            runs.dedup();
            assert_eq!(runs.len(), plan.runs.len());
        }
    }

    #[test]
    fn only_who_takes_part_is_run() {
        let plan = Plan::whole(&[Contestant::JavaClient], 3, LOAD);
        let all = plan.runs.iter().chain(&plan.latencies);
        assert!(all.clone().count() > 0);
        assert!(all.clone().all(|subject| subject.contestant == Contestant::JavaClient));
    }
}
