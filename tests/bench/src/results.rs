//! What was measured, and where: samples of each figure by broker and subject.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use serde::Serialize;

use crate::brokers::Kind;
use crate::contestant::{Contestant, Setting};
use crate::latency::Latency;
use crate::run::{Outcome, Subject};
use crate::targets::Target;
use crate::topic::Load;

/// A measure, with its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Figure {
    /// Messages per second, from the first to the last.
    MessagesPerSecond,
    /// CPU seconds of the consumers for a million messages.
    CpuSecondsPerMillion,
    /// The most memory the consumers had resident, in MB.
    PeakMemoryMb,
    /// From the start of the process to the first message, in milliseconds.
    StartToFirstMs,
    /// Messages consumed more than once.
    Duplicates,
    /// Messages whose offset the broker did not have when the consumer had stopped.
    Uncommitted,
    /// Messages sent per second, one a request.
    SentSinglyPerSecond,
    /// Messages sent per second, 32 a request.
    SentTogetherPerSecond,
    /// From send to listener, in milliseconds: half of the messages took no longer.
    LatencyP50Ms,
    /// 99 of 100 took no longer.
    LatencyP99Ms,
    /// The slowest.
    LatencyMaxMs,
}

/// Samples of one figure, a round each.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Samples {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    rounds: Vec<f64>,
}

impl Samples {
    fn push(&mut self, sample: f64) {
        self.rounds.push(sample);
        let mut sorted = self.rounds.clone();
        sorted.sort_by(f64::total_cmp);
        let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
        let last = sorted.len().saturating_sub(1);
        (self.min, self.max) = (at(0), at(last));
        self.median = f64::midpoint(at(last / 2), at(sorted.len() / 2));
    }
}

/// What a subject came to at a broker.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Row {
    pub(crate) broker: Kind,
    #[serde(flatten)]
    pub(crate) subject: Subject,
    pub(crate) figures: BTreeMap<Figure, Samples>,
}

/// Everything.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Results {
    /// When it began, in RFC 3339.
    pub(crate) date: String,
    /// `release`, or `debug`, whose times say nothing.
    pub(crate) build: &'static str,
    /// What was typed.
    pub(crate) command: String,
    pub(crate) machine: BTreeMap<&'static str, String>,
    pub(crate) versions: BTreeMap<&'static str, String>,
    pub(crate) rounds: usize,
    /// The load the targets are about.
    pub(crate) load: Load,
    pub(crate) rows: Vec<Row>,
    pub(crate) targets: Vec<Target>,
    /// Who took no part, and runs that failed.
    pub(crate) notes: Vec<String>,
}

impl Results {
    pub(crate) fn new(command: String, rounds: usize, load: Load) -> Self {
        let now = jiff::Timestamp::now().round(jiff::Unit::Second);
        Self {
            date: now.map(|now| now.to_string()).unwrap_or_default(),
            build: if cfg!(debug_assertions) { "debug" } else { "release" },
            command,
            machine: machine(),
            versions: versions(),
            rounds,
            load,
            rows: Vec::new(),
            targets: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// One more sample.
    pub(crate) fn push(&mut self, broker: Kind, subject: Subject, figure: Figure, sample: f64) {
        let is_it = |row: &&mut Row| row.broker == broker && row.subject == subject;
        let figures = match self.rows.iter_mut().find(is_it) {
            Some(row) => &mut row.figures,
            None => {
                self.rows.push(Row { broker, subject, figures: BTreeMap::new() });
                let Some(row) = self.rows.last_mut() else { return };
                &mut row.figures
            }
        };
        figures.entry(figure).or_default().push(sample);
    }

    pub(crate) fn push_outcome(&mut self, broker: Kind, subject: Subject, outcome: &Outcome) {
        let whole = |count: u64| Some(count as f64);
        let samples = [
            (Figure::MessagesPerSecond, Some(outcome.per_second)),
            (Figure::CpuSecondsPerMillion, outcome.cpu),
            (Figure::PeakMemoryMb, outcome.memory),
            (Figure::StartToFirstMs, Some(outcome.first)),
            (Figure::Duplicates, whole(outcome.duplicates)),
            (Figure::Uncommitted, whole(outcome.uncommitted)),
        ];
        for (figure, sample) in samples {
            if let Some(sample) = sample {
                self.push(broker, subject, figure, sample);
            }
        }
    }

    pub(crate) fn push_latency(&mut self, broker: Kind, subject: Subject, latency: Latency) {
        self.push(broker, subject, Figure::LatencyP50Ms, latency.p50);
        self.push(broker, subject, Figure::LatencyP99Ms, latency.p99);
        self.push(broker, subject, Figure::LatencyMaxMs, latency.longest);
    }

    /// The median of a figure, of the first row that is it.
    pub(crate) fn median(
        &self,
        broker: Kind,
        figure: Figure,
        is_it: impl Fn(&Subject) -> bool,
    ) -> Option<f64> {
        let mut rows = self.rows.iter().filter(|row| row.broker == broker && is_it(&row.subject));
        rows.find_map(|row| row.figures.get(&figure)).map(|samples| samples.median)
    }

    /// The median of a contestant alone, at the load the targets are about.
    pub(crate) fn alone(
        &self,
        broker: Kind,
        contestant: Contestant,
        setting: Setting,
        figure: Figure,
    ) -> Option<f64> {
        let subject = Subject::single(contestant, setting, self.load);
        self.median(broker, figure, |other| *other == subject)
    }

    pub(crate) fn save(&self, file: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
    }
}

fn machine() -> BTreeMap<&'static str, String> {
    let read = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        line.split_once(':').map(|(_, value)| value.trim().to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = field(&read("/proc/meminfo"), "MemTotal");
    let memory = memory.and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok());
    let found = [
        ("processor", field(&read("/proc/cpuinfo"), "model name")),
        ("cores", Some(cores.to_string())),
        ("memory", memory.map(|kilobytes| format!("{:.0} GB", kilobytes * 1024.0 / 1e9))),
        ("system", said("uname", &["-sr"])),
    ];
    found.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

fn versions() -> BTreeMap<&'static str, String> {
    let quoted = |text: String| text.split('"').nth(1).map(str::to_owned);
    let found = [
        ("Gantry", Some(env!("CARGO_PKG_VERSION").to_owned())),
        ("Apache RocketMQ and its Java client", Some(gantry_apache::VERSION.to_owned())),
        ("Java", said("java", &["-version"]).and_then(quoted)),
        ("rocketmq-client-go", required(include_str!("../../go/go.mod"), "rocketmq-client-go/v2 ")),
        ("Go", said("go", &["env", "GOVERSION"])),
        (
            "rocketmq-client-rust",
            required(include_str!("../peer-rust/Cargo.toml"), "rocketmq-client-rust = "),
        ),
        ("Rust", said("rustc", &["--version"])),
    ];
    found.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// The version behind a name in a manifest.
fn required(manifest: &str, name: &str) -> Option<String> {
    let (_, rest) = manifest.split_once(name)?;
    let version = rest.trim_start_matches(|c: char| !c.is_ascii_digit());
    Some(version.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect())
}

/// The first line a program says of itself.
fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let output =
        Command::new(program).args(arguments).output().ok().filter(|output| output.status.success())?;
    let text = [output.stdout, output.stderr].concat();
    Some(String::from_utf8_lossy(&text).lines().next()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_have_a_median_and_a_spread() {
        let mut samples = Samples::default();
        [5.0, 1.0, 3.0].into_iter().for_each(|sample| samples.push(sample));
        assert_eq!((samples.min, samples.median, samples.max), (1.0, 3.0, 5.0));
        samples.push(4.0);
        assert_eq!(samples.median, 3.5);
    }

    #[test]
    fn the_clients_versions_are_those_of_their_manifests() {
        let versions = versions();
        assert_eq!(versions["rocketmq-client-rust"], "1.0.0");
        assert!(versions["rocketmq-client-go"].starts_with("2."));
    }

    #[test]
    fn samples_of_one_subject_make_one_row() {
        let load = Load { queues: 8, messages: 10, body: 1 };
        let mut results = Results::new(String::new(), 2, load);
        let subject = Subject::single(Contestant::Rust, Setting::Defaults, load);
        for sample in [1.0, 2.0] {
            results.push(Kind::Apache, subject, Figure::LatencyP50Ms, sample);
        }
        results.push(Kind::Embedded, subject, Figure::LatencyP50Ms, 9.0);
        assert_eq!(results.rows.len(), 2);
        let median = results.alone(Kind::Apache, Contestant::Rust, Setting::Defaults, Figure::LatencyP50Ms);
        assert_eq!(median, Some(1.5));
    }
}
