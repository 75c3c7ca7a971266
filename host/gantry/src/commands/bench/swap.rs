//! What a new version of a plugin costs a host that is busy consuming.

use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use gantry_host::{Host, Observer, PluginChange, Settled, SettledAs};

use super::PATIENCE;
use super::feed::Stream;
use super::figure::Figure;
use super::stage::{self, Stage};

/// How long the host consumes before the first swap, and between two.
const CALM: Duration = Duration::from_millis(300);
/// Swaps that make one sample of what they cost in messages per second: in shorter times that is noise.
const SWAPS_A_SAMPLE: usize = 10;
/// What counts as around the switch: this long before and after it.
const AROUND: Duration = Duration::from_millis(50);
/// Shorter pauses than this are not kept.
const SHORTEST: Duration = Duration::from_micros(500);
const LOOK: Duration = Duration::from_millis(1);

/// A time in which no message was settled.
#[derive(Debug, Clone, Copy)]
struct Gap {
    from: Instant,
    to: Instant,
}

/// When a version was seen to be ready, and to serve.
#[derive(Debug, Clone, Copy)]
struct Switch {
    warmed: Instant,
    active: Instant,
}

#[derive(Debug, Default)]
struct Timeline {
    last: Option<Instant>,
    gaps: Vec<Gap>,
    warmed: Option<Instant>,
    switches: Vec<Switch>,
    rejected: Option<String>,
}

#[derive(Debug, Default)]
struct Watch {
    settled: Arc<AtomicU64>,
    failed: AtomicU64,
    timeline: Mutex<Timeline>,
}

impl Watch {
    fn timeline(&self) -> MutexGuard<'_, Timeline> {
        self.timeline.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Watch {
    fn settled(&self, settled: &Settled<'_>) {
        self.settled.fetch_add(1, Ordering::Relaxed);
        self.failed.fetch_add(u64::from(settled.as_ != SettledAs::Success), Ordering::Relaxed);
        let mut timeline = self.timeline();
        let to = Instant::now();
        if let Some(from) = timeline.last.replace(to).filter(|from| to - *from >= SHORTEST) {
            timeline.gaps.push(Gap { from, to });
        }
    }

    fn plugin_changed(&self, change: &PluginChange) {
        let (now, mut timeline) = (Instant::now(), self.timeline());
        match change.state {
            "warmed" => timeline.warmed = Some(now),
            "active" => {
                let warmed = timeline.warmed.take().unwrap_or(now);
                timeline.switches.push(Switch { warmed, active: now });
            }
            "rejected" => timeline.rejected.clone_from(&change.reason),
            _ => {}
        }
    }
}

/// What single swaps do, each to a version that is compiled first, and what some in a row cost, between versions that have been.
pub(super) async fn measure(stage: &Stage, swaps: usize, in_a_row: usize) -> anyhow::Result<Vec<Figure>> {
    let plugins = stage.plugins("swap", true)?;
    let watch = Arc::new(Watch::default());
    let observer = Arc::clone(&watch);
    let host = Host::start(stage.config("bench-swap", plugins.clone()), observer).await?;
    let stream = Stream::start(stage.name_server(), 0, Arc::clone(&watch.settled))?;
    watch.until("the host consumes", |watch| watch.settled.load(Ordering::Relaxed) > 0).await?;
    tokio::time::sleep(CALM).await;
    let begins = Instant::now();
    let mut deployed = Vec::with_capacity(swaps);
    let component = stage.component()?;
    for swap in 1..=swaps {
        deployed.push(Instant::now());
        watch.swap(&plugins, &component, swap, swap).await?;
        tokio::time::sleep(CALM).await;
    }
    let mut figures = figures(&watch.timeline(), &deployed, begins);
    let (mut made, mut costs) = (swaps, Vec::new());
    while made < swaps + in_a_row {
        let count = SWAPS_A_SAMPLE.min(swaps + in_a_row - made);
        costs.push(watch.cost(&plugins, &component, made + 1..=made + count).await?);
        made += count;
    }
    figures.push(
        Figure::new("swaps-cost", "messages per second less with a swap each 0.3 s", "%", costs).below(1.0),
    );
    stream.end()?;
    anyhow::ensure!(host.stop().await.graceful, "the host did not stop in time");
    let failed = watch.failed.load(Ordering::Relaxed);
    anyhow::ensure!(failed == 0, "{failed} messages were not consumed with success while versions changed");
    Ok(figures)
}

impl Watch {
    /// The swap of this number, until the new version serves.
    async fn swap(
        &self,
        plugins: &Path,
        component: &[u8],
        number: usize,
        version: usize,
    ) -> anyhow::Result<()> {
        let version = u8::try_from(version).context("too many versions")?;
        stage::deploy(plugins, &stage::version(component, version))?;
        self.until("the new version serves", |watch| watch.timeline().switches.len() > number).await
    }

    /// How many messages per second fewer are consumed while these swaps are made one after the other, in percent of those
    /// consumed between them.
    async fn cost(
        &self,
        plugins: &Path,
        component: &[u8],
        swaps: RangeInclusive<usize>,
    ) -> anyhow::Result<f64> {
        let (mut calm, mut swapping) = (Rate::default(), Rate::default());
        for number in swaps {
            let (began, before) = (Instant::now(), self.settled.load(Ordering::Relaxed));
            self.swap(plugins, component, number, 2 - number % 2).await?;
            tokio::time::sleep_until((began + CALM).into()).await;
            let (ended, between) = (Instant::now(), self.settled.load(Ordering::Relaxed));
            tokio::time::sleep(CALM).await;
            let after = self.settled.load(Ordering::Relaxed);
            swapping.add(between - before, ended - began);
            calm.add(after - between, ended.elapsed());
        }
        Ok((1.0 - swapping.per_second() / calm.per_second()) * 100.0)
    }

    async fn until(&self, what: &str, done: impl Fn(&Self) -> bool) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !done(self) {
            let rejected = self.timeline().rejected.clone();
            anyhow::ensure!(
                rejected.is_none(),
                "the sample plugin was rejected: {}",
                rejected.unwrap_or_default()
            );
            anyhow::ensure!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }
}

/// Messages in some time.
#[derive(Debug, Default)]
struct Rate {
    messages: u64,
    time: Duration,
}

impl Rate {
    fn add(&mut self, messages: u64, time: Duration) {
        self.messages += messages;
        self.time += time;
    }

    fn per_second(&self) -> f64 {
        self.messages as f64 / self.time.as_secs_f64()
    }
}

fn figures(timeline: &Timeline, deployed: &[Instant], begins: Instant) -> Vec<Figure> {
    // The first is the version the host started with.
    let switches = timeline.switches.get(1..).unwrap_or_default();
    let around = |switch: &Switch| longest(timeline, switch.active - AROUND, switch.active + AROUND);
    let swaps = || deployed.iter().zip(switches);
    let whole = |(from, switch): (&Instant, &Switch)| longest(timeline, *from, switch.active + AROUND);
    let calm = |(at, next): (&Switch, &Instant)| longest(timeline, at.active + AROUND, *next);
    let ends = deployed.get(1..).unwrap_or_default().iter().copied().chain(timeline.last).collect::<Vec<_>>();
    let first = deployed.first().map(|first| longest(timeline, begins - CALM / 2, *first));
    let calm = switches.iter().zip(&ends).map(calm).chain(first).collect();
    let switch = switches.iter().map(|s| ms(s.active - s.warmed)).collect();
    let serving = swaps().map(|(from, switch)| ms(switch.active - *from)).collect();
    vec![
        Figure::new(
            "swap-stall",
            "longest pause around a switch under load",
            "ms",
            switches.iter().map(around).collect(),
        )
        .below(10.0),
        Figure::new(
            "swap-stall-whole",
            "longest pause from the file's change on",
            "ms",
            swaps().map(whole).collect(),
        ),
        Figure::new("calm-stall", "longest pause under the same load, no swap", "ms", calm),
        Figure::new("swap-switch", "new version warmed to serving", "ms", switch),
        Figure::new("swap-total", "file changed to new version serving", "ms", serving),
    ]
}

/// The longest gap that touches this time, in milliseconds.
fn longest(timeline: &Timeline, from: Instant, to: Instant) -> f64 {
    let touching = timeline.gaps.iter().filter(|gap| gap.from < to && gap.to > from);
    touching.map(|gap| ms(gap.to - gap.from)).fold(0.0, f64::max)
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_counts_where_it_touches() {
        let t = Instant::now();
        let at = |ms| t + Duration::from_millis(ms);
        let gaps = vec![Gap { from: at(10), to: at(14) }, Gap { from: at(100), to: at(109) }];
        let switches = vec![Switch { warmed: t, active: t }, Switch { warmed: at(58), active: at(60) }];
        let timeline = Timeline { last: Some(at(400)), gaps, switches, ..Timeline::default() };
        let medians: Vec<_> = figures(&timeline, &[at(5)], at(5)).iter().map(|figure| figure.max).collect();
        assert_eq!(medians, [9.0, 9.0, 0.0, 2.0, 55.0]);
    }
}
