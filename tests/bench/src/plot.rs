//! Results as pictures: SVG files.

use std::path::Path;

use anyhow::{Context as _, anyhow};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::brokers::Kind;
use crate::contestant::{Contestant, Setting};
use crate::report::number;
use crate::results::{Figure, Results, Row};
use crate::run::Subject;

const WIDTH: u32 = 900;
/// Height of a bar with its gap, in pixels.
const BAR: u32 = 30;
const OWN: RGBColor = RGBColor(31, 119, 180);
const OTHER: RGBColor = RGBColor(160, 160, 160);

/// A bar: its name, what it shows, and whether it is Gantry's.
struct Bar {
    name: String,
    value: f64,
    own: bool,
}

/// Draws what there is; titles and file names, which are in `directory`.
pub(crate) fn draw(results: &Results, directory: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let mut drawn = Vec::new();
    for (broker, place) in [(Kind::Apache, "apache"), (Kind::Embedded, "embedded")] {
        let mut charts = compared(results, broker);
        charts.push((
            "growth",
            format!("Gantry's messages per second as it grows, from {broker}"),
            growth(results, broker),
        ));
        for (file, title, bars) in charts.into_iter().filter(|(_, _, bars)| !bars.is_empty()) {
            let file = format!("{file}-{place}.svg");
            chart(&directory.join(&file), &title, &bars)?;
            drawn.push((title, file));
        }
    }
    Ok(drawn)
}

/// All contestants, a chart for each figure.
fn compared(results: &Results, broker: Kind) -> Vec<(&'static str, String, Vec<Bar>)> {
    let charts = [
        ("throughput-defaults", "messages per second", Setting::Defaults, Figure::MessagesPerSecond),
        ("throughput-tuned", "messages per second", Setting::By1024, Figure::MessagesPerSecond),
        (
            "cpu-defaults",
            "CPU seconds for a million messages",
            Setting::Defaults,
            Figure::CpuSecondsPerMillion,
        ),
        ("cpu-tuned", "CPU seconds for a million messages", Setting::By1024, Figure::CpuSecondsPerMillion),
        ("memory-tuned", "peak memory in MB", Setting::By1024, Figure::PeakMemoryMb),
        ("latency", "latency p99 in ms", Setting::Defaults, Figure::LatencyP99Ms),
    ];
    let charts = charts.into_iter().map(|(file, name, setting, figure)| {
        let bars = Contestant::ALL.into_iter().filter_map(|contestant| {
            let value = match figure {
                Figure::LatencyP99Ms => {
                    results.median(broker, figure, |subject| subject.contestant == contestant)
                }
                _ => results.alone(broker, contestant, setting, figure),
            };
            let own = !Contestant::PEERS.contains(&contestant) && contestant != Contestant::Bare;
            Some(Bar { name: contestant.to_string(), value: value?, own })
        });
        (file, format!("{name}, {setting}, from {broker}"), bars.collect())
    });
    charts.collect()
}

/// One plugin in one host, and what it grows to.
fn growth(results: &Results, broker: Kind) -> Vec<Bar> {
    let is_one = |row: &&Row| {
        let Subject { contestant, setting, .. } = row.subject;
        (row.broker, contestant, setting) == (broker, Contestant::Rust, Setting::By1024)
    };
    let mut rows: Vec<&Row> = results.rows.iter().filter(is_one).collect();
    rows.retain(|row| row.subject.load.body == results.load.body);
    rows.sort_by_key(|row| (row.subject.hosts, row.subject.plugins, row.subject.load.queues));
    let bar = |row: &&Row| {
        let Subject { load, hosts, plugins, .. } = row.subject;
        let name = match (hosts, plugins) {
            (1, 1) if load.messages < results.load.messages => "1 plugin".to_owned(),
            (1, 1) if load.messages > results.load.messages => format!("{} messages", load.messages),
            (1, 1) => format!("{} queues", load.queues),
            (1, plugins) => format!("{plugins} plugins"),
            (hosts, _) => format!("{hosts} hosts"),
        };
        Some(Bar { name, value: row.figures.get(&Figure::MessagesPerSecond)?.median, own: true })
    };
    let bars: Vec<Bar> = rows.iter().filter_map(bar).collect();
    if bars.len() > 1 { bars } else { Vec::new() }
}

/// Bars below each other, named on their left, with their values at their ends.
fn chart(file: &Path, title: &str, bars: &[Bar]) -> anyhow::Result<()> {
    let failed = |error: &dyn std::fmt::Display| anyhow!("cannot draw {}: {error}", file.display());
    let rows = u32::try_from(bars.len())?;
    let largest = bars.iter().map(|bar| bar.value).fold(0.0, f64::max).max(f64::MIN_POSITIVE);
    let area = SVGBackend::new(file, (WIDTH, rows * BAR + 60)).into_drawing_area();
    area.fill(&WHITE).map_err(|error| failed(&error))?;
    let area = area.titled(title, ("sans-serif", 18)).map_err(|error| failed(&error))?;
    let name = TextStyle::from(("sans-serif", 14)).pos(Pos::new(HPos::Right, VPos::Center));
    let value_style = TextStyle::from(("sans-serif", 14)).pos(Pos::new(HPos::Left, VPos::Center));
    let (left, right) = (220_i32, i32::try_from(WIDTH)? - 110);
    for (row, bar) in bars.iter().enumerate() {
        let top = i32::try_from(row)? * i32::try_from(BAR)?;
        let middle = top + i32::try_from(BAR)? / 2;
        let end = left + ((f64::from(right - left) * bar.value / largest).round() as i32).max(1);
        let colour = if bar.own { OWN } else { OTHER };
        let rectangle =
            Rectangle::new([(left, top + 4), (end, top + i32::try_from(BAR)? - 4)], colour.filled());
        area.draw(&rectangle).map_err(|error| failed(&error))?;
        let texts =
            [(bar.name.clone(), left - 8, name.clone()), (number(bar.value), end + 8, value_style.clone())];
        for (text, x, style) in texts {
            area.draw(&Text::new(text, (x, middle), style)).map_err(|error| failed(&error))?;
        }
    }
    area.present().with_context(|| format!("cannot write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::Load;

    #[test]
    fn what_was_measured_is_drawn_and_nothing_else() {
        let load = Load { queues: 8, messages: 1000, body: 128 };
        let mut results = Results::new(String::new(), 1, load);
        let mut rate = |contestant, rate| {
            let subject = Subject::single(contestant, Setting::By1024, load);
            results.push(Kind::Apache, subject, Figure::MessagesPerSecond, rate);
        };
        rate(Contestant::Rust, 1_000_000.0);
        rate(Contestant::JavaClient, 500_000.0);
        let directory = tempfile::tempdir().unwrap();
        let drawn = draw(&results, directory.path()).unwrap();
        assert_eq!(drawn.len(), 1);
        let file = directory.path().join(&drawn.first().unwrap().1);
        let svg = std::fs::read_to_string(file).unwrap();
        assert!(svg.contains("Java client") && svg.contains("1,000,000"), "{svg}");
    }
}
