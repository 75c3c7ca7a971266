//! Results as pictures: SVG files.

use std::path::Path;

use anyhow::{Context as _, anyhow};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::brokers::Kind;
use crate::contestant::{Contestant, Setting};
use crate::report::number;
use crate::results::{Figure, Results};

const WIDTH: u32 = 900;
/// Height of a bar with its gap, in pixels.
const BAR: u32 = 30;
const OWN: RGBColor = RGBColor(31, 119, 180);
const OTHER: RGBColor = RGBColor(160, 160, 160);

/// Draws what there is; titles and file names, which are in `directory`.
pub(crate) fn draw(results: &Results, directory: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let mut drawn = Vec::new();
    for broker in [Kind::Apache, Kind::Embedded] {
        for (figure, name, file) in [
            (Figure::MessagesPerSecond, "messages per second", "throughput"),
            (Figure::CpuSecondsPerMillion, "CPU seconds for a million messages", "cpu"),
        ] {
            for (setting, of) in [(Setting::Defaults, "defaults"), (Setting::By1024, "tuned")] {
                let bars: Vec<_> = Contestant::ALL
                    .into_iter()
                    .filter_map(|who| Some((who, results.alone(broker, who, setting, figure)?)))
                    .collect();
                if bars.is_empty() {
                    continue;
                }
                let title = format!("{name}, {setting}, from {broker}");
                let place = if broker == Kind::Apache { "apache" } else { "embedded" };
                let file = format!("{file}-{of}-{place}.svg");
                chart(&directory.join(&file), &title, &bars).map_err(|error| anyhow!("{error}"))?;
                drawn.push((title, file));
            }
        }
    }
    Ok(drawn)
}

/// Bars below each other, named on their left, with their values at their ends.
fn chart(file: &Path, title: &str, bars: &[(Contestant, f64)]) -> anyhow::Result<()> {
    let failed = |error: &dyn std::fmt::Display| anyhow!("cannot draw {}: {error}", file.display());
    let rows = u32::try_from(bars.len())?;
    let largest = bars.iter().map(|(_, value)| *value).fold(0.0, f64::max).max(f64::MIN_POSITIVE);
    let area = SVGBackend::new(file, (WIDTH, rows * BAR + 60)).into_drawing_area();
    area.fill(&WHITE).map_err(|error| failed(&error))?;
    let area = area.titled(title, ("sans-serif", 18)).map_err(|error| failed(&error))?;
    let name = TextStyle::from(("sans-serif", 14)).pos(Pos::new(HPos::Right, VPos::Center));
    let value_style = TextStyle::from(("sans-serif", 14)).pos(Pos::new(HPos::Left, VPos::Center));
    let (left, right) = (220_i32, i32::try_from(WIDTH)? - 110);
    for (row, (contestant, value)) in bars.iter().enumerate() {
        let top = i32::try_from(row)? * i32::try_from(BAR)?;
        let middle = top + i32::try_from(BAR)? / 2;
        let end = left + ((f64::from(right - left) * value / largest).round() as i32).max(1);
        let is_own = !Contestant::PEERS.contains(contestant) && *contestant != Contestant::Bare;
        let colour = if is_own { OWN } else { OTHER };
        let bar = Rectangle::new([(left, top + 4), (end, top + i32::try_from(BAR)? - 4)], colour.filled());
        area.draw(&bar).map_err(|error| failed(&error))?;
        let texts = [
            (contestant.to_string(), left - 8, name.clone()),
            (number(*value), end + 8, value_style.clone()),
        ];
        for (text, x, style) in texts {
            area.draw(&Text::new(text, (x, middle), style)).map_err(|error| failed(&error))?;
        }
    }
    area.present().with_context(|| format!("cannot write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Subject;
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
