//! Messages per second and CPU per message, through the component and through the same listener native.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use gantry_host::{
    ConsumeContext, ConsumeResult, Host, ListenerDescription, MessageBatch, NativeListener, Observer,
    Settled, SettledAs,
};

use super::PATIENCE;
use super::cost::Process;
use super::figure::Figure;
use super::stage::{PLUGIN, Stage, TOPIC};

/// How often the count is looked at.
const LOOK: Duration = Duration::from_millis(1);

/// What listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Wasm,
    Native,
}

impl Kind {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Wasm => "wasm",
            Self::Native => "native",
        }
    }
}

/// The sample plugin `minimal`, line by line, as part of this program.
pub(super) struct Native {
    group: String,
}

impl Native {
    pub(super) fn new(group: &str) -> Self {
        Self { group: group.to_owned() }
    }
}

impl NativeListener for Native {
    fn describe(&self) -> ListenerDescription {
        ListenerDescription::new(PLUGIN, &self.group, TOPIC)
    }

    fn consume(&self, _: &ConsumeContext<'_>, batch: &dyn MessageBatch) -> Vec<ConsumeResult> {
        let answer = |index| match batch.body(index).is_empty() {
            true => ConsumeResult::DeadLetter("a greeting without words".into()),
            false => ConsumeResult::Success,
        };
        (0..batch.len()).map(answer).collect()
    }
}

/// Counts what listeners settle.
#[derive(Debug, Default)]
struct Counter {
    succeeded: AtomicU64,
    other: AtomicU64,
}

impl Observer for Counter {
    fn settled(&self, settled: &Settled<'_>) {
        let counter = if settled.as_ == SettledAs::Success { &self.succeeded } else { &self.other };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

impl Counter {
    async fn reaches(&self, count: u64) -> anyhow::Result<u64> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (succeeded, other) =
                (self.succeeded.load(Ordering::Relaxed), self.other.load(Ordering::Relaxed));
            anyhow::ensure!(other == 0, "{other} messages were not consumed with success");
            if succeeded >= count {
                return Ok(succeeded);
            }
            anyhow::ensure!(
                Instant::now() < deadline,
                "{succeeded} of {count} messages were consumed in {PATIENCE:?}"
            );
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// One round's outcome.
#[derive(Debug, Clone, Copy)]
pub(super) struct Round {
    per_second: f64,
    /// Microseconds per message, where the system tells.
    host_cpu: Option<f64>,
    broker_cpu: Option<f64>,
}

/// What was used up to some moment.
struct Mark {
    at: Instant,
    settled: u64,
    host: Option<Duration>,
    broker: Option<Duration>,
}

impl Mark {
    fn now(stage: &Stage, settled: u64) -> Self {
        let (host, broker) = (Process::this().cpu(), stage.broker().cpu());
        Self { at: Instant::now(), settled, host, broker }
    }

    fn since(&self, start: &Self) -> Round {
        let messages = (self.settled - start.settled) as f64;
        let each = |end: Option<Duration>, start: Option<Duration>| {
            Some(end?.saturating_sub(start?).as_secs_f64() * 1e6 / messages)
        };
        Round {
            per_second: messages / (self.at - start.at).as_secs_f64(),
            host_cpu: each(self.host, start.host),
            broker_cpu: each(self.broker, start.broker),
        }
    }
}

/// A new group consumes the whole topic; measured from its first message to its last.
pub(super) async fn round(stage: &Stage, kind: Kind, number: usize, messages: u64) -> anyhow::Result<Round> {
    let group = format!("bench-{}-{number}", kind.name());
    let plugins = stage.plugins(kind.name(), kind == Kind::Wasm)?;
    let counter = Arc::new(Counter::default());
    let observer = Arc::clone(&counter);
    let host = Host::start(stage.config(&group, plugins), observer).await.context("the host cannot start")?;
    if kind == Kind::Native {
        host.add_native(Native::new(&group)).await?;
    }
    let start = Mark::now(stage, counter.reaches(1).await?);
    let end = Mark::now(stage, counter.reaches(messages).await?);
    anyhow::ensure!(host.stop().await.graceful, "the host did not stop in time");
    Ok(end.since(&start))
}

pub(super) fn figures(wasm: &[Round], native: &[Round]) -> Vec<Figure> {
    let rates = |rounds: &[Round]| rounds.iter().map(|round| round.per_second).collect::<Vec<_>>();
    let cpu = |rounds: &[Round]| rounds.iter().filter_map(|round| round.host_cpu).collect::<Vec<_>>();
    let broker = wasm.iter().chain(native).filter_map(|round| round.broker_cpu).collect();
    let ratios = |a: Vec<f64>, b: Vec<f64>| a.into_iter().zip(b).map(|(a, b)| a / b).collect();
    vec![
        Figure::new("wasm-rate", "throughput, wasm", "messages/s", rates(wasm)),
        Figure::new("native-rate", "throughput, native", "messages/s", rates(native)),
        Figure::new(
            "rate-ratio",
            "throughput, wasm to native in each round",
            "ratio",
            ratios(rates(wasm), rates(native)),
        ),
        Figure::new("wasm-cpu", "CPU of the host per message, wasm", "µs", cpu(wasm)),
        Figure::new("native-cpu", "CPU of the host per message, native", "µs", cpu(native)),
        Figure::new(
            "cpu-ratio",
            "CPU of the host, wasm to native in each round",
            "ratio",
            ratios(cpu(wasm), cpu(native)),
        ),
        Figure::new("broker-cpu", "CPU of the embedded broker per message", "µs", broker),
    ]
}
