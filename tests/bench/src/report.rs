//! Results as tables, for the terminal and for a page of Markdown.

use std::fmt::Write as _;

use crate::brokers::Kind;
use crate::contestant::Contestant;
use crate::results::{Figure, Results, Row, Samples};
use crate::run::Subject;

/// A table with its heading.
#[derive(Debug)]
pub(crate) struct Table {
    title: String,
    head: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

/// The tables of these results, in their order.
pub(crate) fn tables(results: &Results) -> Vec<Table> {
    let mut tables = Vec::new();
    for broker in [Kind::Apache, Kind::Embedded] {
        let rows = || results.rows.iter().filter(move |row| row.broker == broker);
        let mut loads: Vec<_> =
            rows().filter(|row| consumed(row) && alone(row)).map(|row| row.subject.load).collect();
        loads.dedup();
        loads.sort_unstable_by_key(|load| (*load != results.load, *load));
        loads.dedup();
        for load in loads {
            let title = format!("{load}, from {broker}");
            tables.push(consumers(
                title,
                rows().filter(|row| consumed(row) && alone(row) && row.subject.load == load),
            ));
        }
        let title = format!("Several plugins in a host, several hosts in a group, from {broker}");
        tables.push(consumers(title, rows().filter(|row| consumed(row) && !alone(row))));
        tables.push(latencies(broker, rows().filter(|row| row.figures.contains_key(&Figure::LatencyP50Ms))));
    }
    tables.push(sends(results));
    tables.push(targets(results));
    tables.retain(|table| !table.rows.is_empty());
    tables
}

fn consumed(row: &Row) -> bool {
    row.figures.contains_key(&Figure::MessagesPerSecond)
}

fn alone(row: &Row) -> bool {
    row.subject.hosts == 1 && row.subject.plugins == 1
}

fn consumers<'a>(title: String, rows: impl Iterator<Item = &'a Row>) -> Table {
    let head = vec![
        "consumer",
        "messages/s",
        "min .. max",
        "CPU s per million",
        "peak MB",
        "start to first ms",
        "twice",
        "uncommitted",
    ];
    let mut rows: Vec<&Row> = rows.collect();
    rows.sort_by_key(|row| {
        let Subject { contestant, setting, hosts, plugins, load } = row.subject;
        (setting, contestant, hosts, plugins, load)
    });
    let line = |row: &&Row| {
        let figure = |figure| shown(row.figures.get(&figure));
        vec![
            row.subject.to_string(),
            figure(Figure::MessagesPerSecond),
            spread(row.figures.get(&Figure::MessagesPerSecond)),
            figure(Figure::CpuSecondsPerMillion),
            figure(Figure::PeakMemoryMb),
            figure(Figure::StartToFirstMs),
            worst(row.figures.get(&Figure::Duplicates)),
            worst(row.figures.get(&Figure::Uncommitted)),
        ]
    };
    Table { title, head, rows: rows.iter().map(line).collect() }
}

fn latencies<'a>(broker: Kind, rows: impl Iterator<Item = &'a Row>) -> Table {
    let title =
        format!("From send to listener at {} messages/s, at defaults, by {broker}", crate::latency::RATE);
    let line = |row: &Row| {
        let figure = |figure| shown(row.figures.get(&figure));
        let name = match row.subject.contestant {
            Contestant::Bare => "held pulls, nothing behind".to_owned(),
            other => other.to_string(),
        };
        vec![
            name,
            figure(Figure::LatencyP50Ms),
            spread(row.figures.get(&Figure::LatencyP50Ms)),
            figure(Figure::LatencyP99Ms),
            figure(Figure::LatencyMaxMs),
        ]
    };
    let head = vec!["consumer", "p50 ms", "min .. max", "p99 ms", "max ms"];
    Table { title, head, rows: rows.map(line).collect() }
}

fn sends(results: &Results) -> Table {
    let rows = results.rows.iter().filter_map(|row| {
        let singly = row.figures.get(&Figure::SentSinglyPerSecond)?;
        let together = row.figures.get(&Figure::SentTogetherPerSecond);
        let broker = row.broker.to_string();
        Some(vec![broker, shown(Some(singly)), spread(Some(singly)), shown(together), spread(together)])
    });
    let head =
        vec!["broker", "one a request, messages/s", "min .. max", "32 a request, messages/s", "min .. max"];
    let title = "Sends of 128 B, on disk when the system likes".to_owned();
    Table { title, head, rows: rows.collect() }
}

fn targets(results: &Results) -> Table {
    let line = |target: &crate::targets::Target| {
        let value = target.value.map(number).unwrap_or_default();
        let broker = target.broker.map(|broker| broker.to_string()).unwrap_or_default();
        // A debug build meets nothing and misses nothing.
        let verdict = if cfg!(debug_assertions) { "" } else { target.verdict() };
        vec![target.what.to_owned(), broker, target.bound.to_string(), value, verdict.to_owned()]
    };
    let head = vec!["target", "from", "bound", "measured", ""];
    Table { title: "Targets".to_owned(), head, rows: results.targets.iter().map(line).collect() }
}

fn shown(samples: Option<&Samples>) -> String {
    samples.map(|samples| number(samples.median)).unwrap_or_default()
}

fn spread(samples: Option<&Samples>) -> String {
    samples.map(|samples| format!("{} .. {}", number(samples.min), number(samples.max))).unwrap_or_default()
}

fn worst(samples: Option<&Samples>) -> String {
    samples.map(|samples| number(samples.max)).unwrap_or_default()
}

/// Three digits that count.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size >= 100.0 || value.fract() == 0.0 => grouped(value),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
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

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let cells = |column: usize| self.rows.iter().filter_map(move |row| row.get(column));
        let longest = |(column, head): (usize, &&str)| {
            cells(column).map(|cell| cell.chars().count()).max().unwrap_or_default().max(head.chars().count())
        };
        let widths: Vec<usize> = self.head.iter().enumerate().map(longest).collect();
        writeln!(f, "{}\n", self.title)?;
        let head: Vec<String> = self.head.iter().map(|cell| (*cell).to_owned()).collect();
        for row in std::iter::once(&head).chain(&self.rows) {
            let mut line = String::new();
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                match column {
                    0 => write!(line, "{cell:<width$}")?,
                    _ => write!(line, "  {cell:>width$}")?,
                }
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

impl Table {
    fn markdown(&self) -> String {
        let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        let head = line(self.head.iter().map(|cell| (*cell).to_owned()).collect());
        let rule = self.head.iter().enumerate().map(|(column, _)| if column == 0 { "---" } else { "---:" });
        let rule = format!("|{}|\n", rule.collect::<Vec<_>>().join("|"));
        let rows: String = self.rows.iter().map(|row| line(row.clone())).collect();
        format!("## {}\n\n{head}{rule}{rows}", capital(&self.title))
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// What precedes the tables on the terminal.
pub(crate) fn heading(results: &Results) -> String {
    let joined = |pairs: &std::collections::BTreeMap<&'static str, String>| {
        pairs.iter().map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(", ")
    };
    format!(
        "{}, {} build, rounds: {}\n{}\n{}\n",
        results.date,
        results.build,
        results.rounds,
        joined(&results.machine),
        joined(&results.versions)
    )
}

/// The page: what was done, where, and the tables; `plots` are files beside it.
pub(crate) fn page(results: &Results, plots: &[(String, String)]) -> String {
    let list = |pairs: &std::collections::BTreeMap<&'static str, String>| {
        pairs.iter().map(|(name, value)| format!("| {name} | {value} |\n")).collect::<String>()
    };
    let mut text = format!(
        "# Gantry and other clients side by side\n\n{METHOD}\n\
         Written by `{}` on {}, rounds: {}.\n\n| | |\n|---|---|\n{}{}\n",
        results.command,
        results.date,
        results.rounds,
        list(&results.machine),
        list(&results.versions)
    );
    for note in &results.notes {
        text.push_str(&format!("- {note}\n"));
    }
    if !results.notes.is_empty() {
        text.push('\n');
    }
    let tables: Vec<String> = tables(results).iter().map(Table::markdown).collect();
    text.push_str(&tables.join("\n"));
    for (title, file) in plots {
        text.push_str(&format!("\n![{title}]({file})\n"));
    }
    text
}

/// How it was measured.
const METHOD: &str = "\
Every consumer is a process of its own and new to the broker: a group that no run had before, from the first offset. Its
listener looks whether the body is empty and answers success. Each round runs all of them one after the other, so that what else
the machine does falls on all alike. Figures are medians of the rounds, with the least and the most beside.

- **messages/s** from the first message to the last. Gantry is `gantry run`, asked for its count over the admin API every 10 ms, which
  its CPU time includes; the native listener and the other clients count themselves.
- **CPU** of the consumer's process in that time, all threads, user and system.
- **peak MB** resident (`VmHWM`). **start to first** from the start of the process, with components compiled before, as at any start
  but the first. **twice**: messages consumed more than once, the most of any round. **uncommitted**: messages whose offset the broker
  did not have once the consumer had stopped.
- **defaults**: each client as it comes, in all of them 32 messages a pull and one a call. **pull 1,024**: pulls of up to 4 MiB, 10,000
  messages cached a queue, 4 threads, in every client that has the setting. Java runs with its virtual machine's own defaults.
- **bare drain**: raw pulls, of which only sizes are looked at: 32 a pull over one connection, or 1,024 over four. It is what the broker
  gives at most.
- **latency**: the body carries the time it was sent, the listener looks at the clock.
- **several hosts**: without the ramp of queues that come from another member (`ramp-up-duration` is 0), which holds them back for
  seconds and would be all that is measured.
- Both brokers keep messages on disk and leave it to the system when (`ASYNC_FLUSH`, `--fsync os`), and allow pulls of 1,024
  messages and 4 MiB; a stock broker allows 32 and 256 KiB.
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contestant::Setting;
    use crate::topic::Load;

    #[test]
    fn numbers_show_what_counts() {
        assert_eq!(number(1_234_567.8), "1,234,568");
        assert_eq!(
            (number(12.345), number(1.234), number(0.1234)),
            ("12.3".into(), "1.23".into(), "0.123".into())
        );
        assert_eq!((number(0.0), number(-1500.0)), ("0".into(), "-1,500".into()));
    }

    #[test]
    fn a_table_is_told_in_text_and_markdown() {
        let load = Load { queues: 8, messages: 1000, body: 128 };
        let mut results = Results::new("cargo xtask bench".into(), 1, load);
        let subject = Subject::single(Contestant::Rust, Setting::Defaults, load);
        results.push(Kind::Apache, subject, Figure::MessagesPerSecond, 250_000.0);
        let tables = tables(&results);
        assert_eq!(tables.len(), 1);
        let text = tables.first().unwrap().to_string();
        assert!(text.contains("Gantry, Rust, defaults     250,000  250,000 .. 250,000"), "{text}");
        let page = page(&results, &[("a plot".into(), "plot.svg".into())]);
        assert!(page.contains("| Gantry, Rust, defaults | 250,000 | 250,000 .. 250,000 |"), "{page}");
        assert!(page.ends_with("![a plot](plot.svg)\n"));
    }
}
