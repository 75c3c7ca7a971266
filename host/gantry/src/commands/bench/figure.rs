//! Figures: samples of one measure, the target beside them, and how they are shown.

use std::fmt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use serde::Serialize;

use super::{BATCH, BODY_BYTES, Plan, QUEUES};

/// One measure.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::commands) struct Figure {
    /// For programs.
    pub(super) key: &'static str,
    /// For people.
    pub(super) label: &'static str,
    pub(super) unit: &'static str,
    /// What it is meant to stay below.
    pub(super) below: Option<f64>,
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
    pub(super) samples: Vec<f64>,
}

impl Figure {
    pub(in crate::commands) fn new(
        key: &'static str,
        label: &'static str,
        unit: &'static str,
        samples: Vec<f64>,
    ) -> Self {
        let mut figure = Self { key, label, unit, below: None, median: 0.0, min: 0.0, max: 0.0, samples };
        figure.summarise();
        figure
    }

    pub(super) fn below(mut self, target: f64) -> Self {
        self.below = Some(target);
        self
    }

    fn summarise(&mut self) {
        let mut sorted = self.samples.clone();
        sorted.sort_by(f64::total_cmp);
        let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
        let last = sorted.len().saturating_sub(1);
        (self.min, self.max) = (at(0), at(last));
        self.median = f64::midpoint(at(last / 2), at(sorted.len() / 2));
    }

    fn verdict(&self, judged: bool) -> &'static str {
        match self.below {
            Some(target) if judged => {
                if self.median < target {
                    "met"
                } else {
                    "missed"
                }
            }
            _ => "",
        }
    }
}

/// Everything measured, and where.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Results {
    version: &'static str,
    /// `release`, or `debug`, whose times say nothing.
    build: &'static str,
    unix_seconds: u64,
    cores: usize,
    cpu: Option<String>,
    messages: u64,
    body_bytes: usize,
    queues: i32,
    batch: usize,
    rounds: usize,
    figures: Vec<Figure>,
}

impl Results {
    pub(super) fn new(plan: Plan) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
            build: if cfg!(debug_assertions) { "debug" } else { "release" },
            unix_seconds: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            cpu: cpu_model(),
            messages: plan.messages,
            body_bytes: BODY_BYTES,
            queues: QUEUES,
            batch: BATCH,
            rounds: plan.rounds,
            figures: Vec::new(),
        }
    }

    /// Adds a figure, or its samples to the figure of the same key.
    pub(super) fn push(&mut self, figure: Figure) {
        match self.figures.iter_mut().find(|present| present.key == figure.key) {
            Some(present) => {
                present.samples.extend(figure.samples);
                present.summarise();
            }
            None => self.figures.push(figure),
        }
    }

    pub(super) fn extend(&mut self, figures: impl IntoIterator<Item = Figure>) {
        figures.into_iter().for_each(|figure| self.push(figure));
    }

    pub(super) fn save(&self, file: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        std::fs::write(file, text + "\n").with_context(|| format!("cannot write {}", file.display()))
    }
}

impl fmt::Display for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cpu = self.cpu.as_deref().unwrap_or("processor unknown");
        writeln!(f, "gantry {} ({} build), {} cores, {cpu}", self.version, self.build, self.cores)?;
        writeln!(
            f,
            "{} messages of {} B over {} queues, batches of {}, rounds: {}\n",
            self.messages, self.body_bytes, self.queues, self.batch, self.rounds
        )?;
        Table(&self.figures).fmt(f)
    }
}

/// Figures below each other, and a word where they mean little.
pub(in crate::commands) struct Table<'a>(pub(in crate::commands) &'a [Figure]);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<58} {:>9} {:>19}  {:>9}", "figure", "median", "min .. max", "target")?;
        for figure in self.0 {
            let spread = format!("{} .. {}", number(figure.min), number(figure.max));
            let target = figure.below.map(|target| format!("< {}", number(target))).unwrap_or_default();
            let verdict = figure.verdict(!cfg!(debug_assertions));
            let label = format!("{}, {}", figure.label, figure.unit);
            let line =
                format!("{label:<58} {:>9} {spread:>19}  {target:>9}  {verdict}", number(figure.median));
            writeln!(f, "{}", line.trim_end())?;
        }
        match cfg!(debug_assertions) {
            true => writeln!(f, "\nA debug build: this shows that everything works, not how fast it is."),
            false => Ok(()),
        }
    }
}

/// Three digits that count.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => grouped(value),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) && !text.ends_with('-') {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The processor's name, where the system tells.
pub(in crate::commands) fn cpu_model() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_sums_its_samples_up() {
        let figure = Figure::new("k", "l", "ms", vec![5.0, 1.0, 3.0]).below(4.0);
        assert_eq!((figure.median, figure.min, figure.max), (3.0, 1.0, 5.0));
        assert_eq!((figure.verdict(true), figure.verdict(false)), ("met", ""));
        assert_eq!(Figure::new("k", "l", "ms", vec![1.0, 2.0]).median, 1.5);
        assert!(Figure::new("k", "l", "ms", Vec::new()).median.is_nan());
    }

    #[test]
    fn samples_of_one_key_make_one_figure() {
        let mut results =
            Results::new(Plan { messages: 1, rounds: 1, swaps: 1, swaps_in_a_row: 1, starts: 2, calls: 1 });
        results.extend([4.0, 6.0].map(|sample| Figure::new("start", "start", "ms", vec![sample]).below(5.0)));
        assert_eq!(results.figures.len(), 1);
        assert_eq!((results.figures[0].median, results.figures[0].verdict(true)), (5.0, "missed"));
    }

    #[test]
    fn numbers_are_short_and_grouped() {
        let shown = [0.123, 12.34, 123.4, 1_234.5, 1_234_567.0].map(number);
        assert_eq!(shown, ["0.12", "12.3", "123", "1,234", "1,234,567"]);
    }
}
