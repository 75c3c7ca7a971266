//! What is aimed at, and whether it is met.

use serde::Serialize;

use crate::brokers::Kind;
use crate::contestant::{Contestant, Setting};
use crate::plan::LONGER;
use crate::results::{Figure, Results};
use crate::run::Subject;
use crate::topic::Load;

use Contestant::{Bare, GoClient, JavaClient, Native, Records, Rust};
use Setting::{By32, By1024, Defaults};

/// A bound.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtLeast(bound) => write!(f, "≥ {bound}"),
            Self::AtMost(bound) => write!(f, "≤ {bound}"),
        }
    }
}

/// One target. "Gantry" is its listener in Rust that takes bytes, "tuned" 1,024 messages a pull and a call.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Target {
    /// The broker; none where both are compared.
    pub(crate) broker: Option<Kind>,
    pub(crate) what: &'static str,
    pub(crate) bound: Bound,
    /// None where it was not measured.
    pub(crate) value: Option<f64>,
}

impl Target {
    /// Whether it is met, where it was measured.
    pub(crate) fn met(&self) -> Option<bool> {
        let value = self.value?;
        Some(match self.bound {
            Bound::AtLeast(bound) => value >= bound,
            Bound::AtMost(bound) => value <= bound,
        })
    }

    /// In words.
    pub(crate) fn verdict(&self) -> &'static str {
        match self.met() {
            Some(true) => "met",
            Some(false) => "not met",
            None => "not measured",
        }
    }
}

/// All targets, by these results.
pub(crate) fn of(results: &Results) -> Vec<Target> {
    let mut targets = Vec::new();
    let brokers = [Kind::Apache, Kind::Embedded];
    for broker in brokers.into_iter().filter(|broker| results.rows.iter().any(|row| row.broker == *broker)) {
        targets.extend(At { results, broker }.targets());
    }
    targets.extend(between(results));
    targets
}

/// Results at one broker.
struct At<'a> {
    results: &'a Results,
    broker: Kind,
}

impl At<'_> {
    fn targets(&self) -> Vec<Target> {
        use Figure::{CpuSecondsPerMillion as Cpu, MessagesPerSecond as Rate, PeakMemoryMb};
        let to = |who, setting, figure| ratio(self.of(Rust, setting, figure), self.of(who, setting, figure));
        let best = |setting, figure, better: fn(f64, f64) -> f64| {
            ratio(self.of(Rust, setting, figure), self.best(setting, figure, better))
        };
        let latency = |figure| ratio(self.latency(Rust, figure), self.best_latency(figure));
        let memory = self.of(Rust, By1024, PeakMemoryMb).zip(self.of(GoClient, By1024, PeakMemoryMb));
        let target = |what, bound, value| Target { broker: Some(self.broker), what, bound, value };
        vec![
            target("throughput tuned, to the best peer", Bound::AtLeast(1.8), best(By1024, Rate, f64::max)),
            target("throughput tuned, to the bare drain", Bound::AtLeast(0.8), to(Bare, By1024, Rate)),
            target(
                "throughput at defaults, to the best peer",
                Bound::AtLeast(1.5),
                best(Defaults, Rate, f64::max),
            ),
            target(
                "throughput at defaults, to the bare drain",
                Bound::AtLeast(0.8),
                to(Bare, Defaults, Rate),
            ),
            target(
                "CPU per message tuned, to the best peer",
                Bound::AtMost(0.15),
                best(By1024, Cpu, f64::min),
            ),
            target("CPU per message tuned, to the bare drain", Bound::AtMost(5.0), to(Bare, By1024, Cpu)),
            target(
                "CPU per message at defaults, to the Java client",
                Bound::AtMost(0.15),
                to(JavaClient, Defaults, Cpu),
            ),
            target(
                "CPU per message at defaults, to the Go client",
                Bound::AtMost(0.15),
                to(GoClient, Defaults, Cpu),
            ),
            target(
                "throughput in batches of 32, to the native listener",
                Bound::AtLeast(0.95),
                to(Native, By32, Rate),
            ),
            target(
                "throughput of records in batches of 32, to the native listener",
                Bound::AtLeast(0.7),
                ratio(self.of(Records, By32, Rate), self.of(Native, By32, Rate)),
            ),
            target("latency p50, to the best peer", Bound::AtMost(1.0), latency(Figure::LatencyP50Ms)),
            target("latency p99, to the best peer", Bound::AtMost(1.0), latency(Figure::LatencyP99Ms)),
            target(
                "peak memory tuned, MB above the Go client",
                Bound::AtMost(20.0),
                memory.map(|(own, go)| own - go),
            ),
            target(
                "CPU per message from 8 to 512 queues, dearest to cheapest",
                Bound::AtMost(1.2),
                self.growth(|subject| {
                    subject.hosts == 1
                        && subject.plugins == 1
                        && subject.load.messages == self.results.load.messages
                }),
            ),
            target(
                "CPU per message from 1 to 50 plugins, dearest to cheapest",
                Bound::AtMost(1.2),
                self.growth(|subject| {
                    subject.hosts == 1
                        && subject.load.queues == 8
                        && subject.load.messages < self.results.load.messages
                        && subject.load.body == self.results.load.body
                }),
            ),
            target("throughput of four times the messages, to the main load's", Bound::AtLeast(0.8), {
                let load = self.results.load;
                let longer = Load { messages: load.messages * LONGER, ..load };
                let longer = Subject::single(Rust, By1024, longer);
                let longer = self.results.median(self.broker, Rate, |subject| *subject == longer);
                ratio(longer, self.of(Rust, By1024, Rate))
            }),
        ]
    }

    fn of(&self, contestant: Contestant, setting: Setting, figure: Figure) -> Option<f64> {
        self.results.alone(self.broker, contestant, setting, figure)
    }

    fn best(&self, setting: Setting, figure: Figure, better: fn(f64, f64) -> f64) -> Option<f64> {
        Contestant::PEERS.into_iter().filter_map(|peer| self.of(peer, setting, figure)).reduce(better)
    }

    fn latency(&self, contestant: Contestant, figure: Figure) -> Option<f64> {
        self.results.median(self.broker, figure, |subject| subject.contestant == contestant)
    }

    fn best_latency(&self, figure: Figure) -> Option<f64> {
        Contestant::PEERS.into_iter().filter_map(|peer| self.latency(peer, figure)).reduce(f64::min)
    }

    /// The dearest of several to the cheapest.
    fn growth(&self, is_one: impl Fn(&Subject) -> bool) -> Option<f64> {
        let of_gantry = |subject: &Subject| subject.contestant == Rust && subject.setting == By1024;
        let rows =
            self.results.rows.iter().filter(|row| row.broker == self.broker && of_gantry(&row.subject));
        let costs = rows
            .filter(|row| is_one(&row.subject))
            .filter_map(|row| row.figures.get(&Figure::CpuSecondsPerMillion));
        let costs: Vec<f64> = costs.map(|samples| samples.median).collect();
        let dearest = costs.iter().copied().reduce(f64::max).filter(|_| costs.len() > 1)?;
        ratio(Some(dearest), costs.iter().copied().reduce(f64::min))
    }
}

/// The embedded broker to Apache's.
fn between(results: &Results) -> Vec<Target> {
    let rate = |broker, figure| results.median(broker, figure, |_| true);
    let to = |figure| ratio(rate(Kind::Embedded, figure), rate(Kind::Apache, figure));
    let drain = |broker| results.alone(broker, Bare, By1024, Figure::MessagesPerSecond);
    let latency = |subject: &Subject| subject.contestant == Bare;
    let target = |what, bound, value| Target { broker: None, what, bound, value };
    vec![
        target(
            "embedded broker's sends, one a request, to Apache's",
            Bound::AtLeast(3.0),
            to(Figure::SentSinglyPerSecond),
        ),
        target(
            "embedded broker's sends, 32 a request, to Apache's",
            Bound::AtLeast(3.0),
            to(Figure::SentTogetherPerSecond),
        ),
        target(
            "embedded broker's bare drain tuned, to Apache's",
            Bound::AtLeast(3.0),
            ratio(drain(Kind::Embedded), drain(Kind::Apache)),
        ),
        target(
            "embedded broker's latency p50, ms",
            Bound::AtMost(0.3),
            results.median(Kind::Embedded, Figure::LatencyP50Ms, latency),
        ),
    ]
}

fn ratio(value: Option<f64>, to: Option<f64>) -> Option<f64> {
    Some(value? / to.filter(|to| *to > 0.0)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOAD: Load = Load { queues: 8, messages: 1000, body: 128 };

    fn target(results: &Results, what: &str) -> Target {
        of(results).into_iter().find(|target| target.what == what).unwrap()
    }

    #[test]
    fn targets_are_held_against_the_best_peer() {
        let mut results = Results::new(String::new(), 1, LOAD);
        let mut rate = |contestant, rate| {
            let subject = Subject::single(contestant, By1024, LOAD);
            results.push(Kind::Apache, subject, Figure::MessagesPerSecond, rate);
        };
        rate(Rust, 900.0);
        rate(JavaClient, 400.0);
        rate(GoClient, 500.0);
        rate(Bare, 1500.0);
        let peer = target(&results, "throughput tuned, to the best peer");
        assert_eq!((peer.value, peer.verdict()), (Some(1.8), "met"));
        let drain = target(&results, "throughput tuned, to the bare drain");
        assert_eq!((drain.value, drain.verdict()), (Some(0.6), "not met"));
        assert_eq!(target(&results, "CPU per message tuned, to the best peer").verdict(), "not measured");
    }

    #[test]
    fn growth_is_flat_when_the_dearest_is_near_the_cheapest() {
        let mut results = Results::new(String::new(), 1, LOAD);
        for (queues, cpu) in [(8, 1.0), (64, 0.9), (512, 1.35)] {
            let subject = Subject::single(Rust, By1024, Load { queues, ..LOAD });
            results.push(Kind::Embedded, subject, Figure::CpuSecondsPerMillion, cpu);
        }
        let flat = target(&results, "CPU per message from 8 to 512 queues, dearest to cheapest");
        assert_eq!((flat.value, flat.verdict()), (Some(1.5), "not met"));
        let plugins = target(&results, "CPU per message from 1 to 50 plugins, dearest to cheapest");
        assert_eq!(plugins.value, None, "no number of plugins shows no growth");
    }

    #[test]
    fn catching_up_is_linear_when_it_is_as_fast_with_more_messages() {
        let mut results = Results::new(String::new(), 1, LOAD);
        for (messages, rate) in [(LOAD.messages, 100.0), (LOAD.messages * LONGER, 90.0)] {
            let subject = Subject::single(Rust, By1024, Load { messages, ..LOAD });
            results.push(Kind::Embedded, subject, Figure::MessagesPerSecond, rate);
        }
        let linear = target(&results, "throughput of four times the messages, to the main load's");
        assert_eq!((linear.value, linear.verdict()), (Some(0.9), "met"));
    }

    #[test]
    fn the_embedded_broker_is_held_against_apaches() {
        let mut results = Results::new(String::new(), 1, LOAD);
        for (broker, rate) in [(Kind::Apache, 100.0), (Kind::Embedded, 301.0)] {
            let subject = Subject::single(Bare, Defaults, LOAD);
            results.push(broker, subject, Figure::SentSinglyPerSecond, rate);
        }
        assert_eq!(target(&results, "embedded broker's sends, one a request, to Apache's").verdict(), "met");
    }
}
