//! One run: a consumer, new to the broker, has a topic from its first message to its last.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde::Serialize;
use serde_json::Value;

use crate::admin::Admin;
use crate::brokers::Running;
use crate::child::Child;
use crate::contestant::{Contestant, Setting};
use crate::programs::Programs;
use crate::topic::{self, Load};

/// How long a consumer may take over a topic. One that takes longer has no figure, and is left out of later rounds.
const PATIENCE: Duration = Duration::from_secs(90);
/// How often a host is asked for its count: until its first message, and then. What is measured ends up to this much later
/// than it was, to the host's disadvantage.
const LOOK_FOR_FIRST: Duration = Duration::from_millis(1);
const LOOK: Duration = Duration::from_millis(10);
/// How often the broker is asked whether all is committed, when all has been consumed.
const LOOK_AT_OFFSETS: Duration = Duration::from_millis(200);
/// What a client has to take its listener's last answers in, before it is asked to stop: it counts before it answers.
const ANSWERING: Duration = Duration::from_millis(500);
/// How long a host of the group may take to commit.
const COMMITTING: Duration = Duration::from_secs(120);

/// What is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Subject {
    pub(crate) contestant: Contestant,
    pub(crate) setting: Setting,
    /// Every plugin has a group of its own, and so all of these messages.
    pub(crate) load: Load,
    /// Processes in each group.
    pub(crate) hosts: u32,
    /// Plugins in each process.
    pub(crate) plugins: u32,
}

impl Subject {
    /// One process with one listener.
    pub(crate) const fn single(contestant: Contestant, setting: Setting, load: Load) -> Self {
        Self { contestant, setting, load, hosts: 1, plugins: 1 }
    }

    /// Messages that are to be consumed in all.
    pub(crate) fn wanted(&self) -> u64 {
        self.load.messages * u64::from(self.plugins)
    }
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, {}", self.contestant, self.setting)?;
        if self.plugins > 1 {
            write!(f, ", {} plugins", self.plugins)?;
        }
        if self.hosts > 1 {
            write!(f, ", {} hosts", self.hosts)?;
        }
        Ok(())
    }
}

/// What a run came to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outcome {
    /// Messages per second, from the first to the last.
    pub(crate) per_second: f64,
    /// CPU seconds of the consumers in that time, for a million messages.
    pub(crate) cpu: Option<f64>,
    /// The most memory they had resident up to their end, in MB.
    pub(crate) memory: Option<f64>,
    /// From the start of the (first) process to the first message, in milliseconds.
    pub(crate) first: f64,
    /// Messages consumed more than once.
    pub(crate) duplicates: u64,
    /// Messages whose offset the broker did not have when the consumer had stopped.
    pub(crate) uncommitted: u64,
}

/// Where runs happen.
#[derive(Debug)]
pub(crate) struct Stage<'a> {
    pub(crate) programs: &'a Programs,
    pub(crate) broker: &'a Running,
    /// For configurations, plugins directories, states and logs.
    pub(crate) files: PathBuf,
}

/// A count at a moment, and the CPU time used until then.
#[derive(Debug, Clone, Copy)]
struct Mark {
    nanoseconds: u64,
    count: u64,
    cpu: Option<Duration>,
}

impl Mark {
    fn cpu_of(children: &[Child]) -> Option<Duration> {
        children.iter().map(Child::cpu).sum()
    }
}

impl Outcome {
    fn between(first: Mark, end: Mark, started_at: u64, memory: Option<f64>) -> Self {
        let messages = end.count.saturating_sub(first.count) as f64;
        let used = end.cpu.zip(first.cpu).map(|(end, first)| end.saturating_sub(first).as_secs_f64());
        Self {
            per_second: messages * 1e9 / end.nanoseconds.saturating_sub(first.nanoseconds).max(1) as f64,
            cpu: used.map(|seconds| seconds * 1e6 / messages.max(1.0)),
            memory,
            first: first.nanoseconds.saturating_sub(started_at) as f64 / 1e6,
            ..Self::default()
        }
    }
}

/// Every run has a group that no other run had.
static RUNS: AtomicU32 = AtomicU32::new(0);

/// A name for a run's groups and files.
pub(crate) fn name(subject: &Subject) -> String {
    let number = RUNS.fetch_add(1, Ordering::Relaxed);
    format!("{:?}-{:?}-{number}", subject.contestant, subject.setting).to_lowercase()
}

/// Runs it.
pub(crate) async fn run(stage: &Stage<'_>, subject: &Subject) -> anyhow::Result<Outcome> {
    let name = name(subject);
    let groups: Vec<String> = (0..subject.plugins).map(|plugin| group(&name, plugin)).collect();
    let mut outcome = match subject.contestant.component() {
        Some(_) => hosts(stage, subject, &name, &groups).await?,
        None => single(stage, subject, &name).await?,
    };
    if subject.contestant != Contestant::Bare {
        let committed = committed(stage, subject, &groups).await?;
        outcome.uncommitted = subject.wanted().saturating_sub(committed);
    }
    Ok(outcome)
}

fn group(name: &str, plugin: u32) -> String {
    format!("bench-{name}-{plugin}")
}

async fn committed(stage: &Stage<'_>, subject: &Subject, groups: &[String]) -> anyhow::Result<u64> {
    let (topic, queues) = (subject.load.topic(), subject.load.queues);
    let mut all = 0;
    for group in groups {
        all += topic::committed(stage.broker.address, &topic, queues, group).await?;
    }
    Ok(all)
}

/// A consumer that counts and says so itself.
async fn single(stage: &Stage<'_>, subject: &Subject, name: &str) -> anyhow::Result<Outcome> {
    let command = consumer(stage, subject, name, &subject.load.topic(), false)?;
    let mut child = Child::start(command, &stage.files.join(name).with_extension("log"))?;
    let mark = async |child: &mut Child, event| {
        let event = child.event(event, PATIENCE).await?;
        let number = |field| event.get(field).and_then(Value::as_u64).context("an event without its numbers");
        anyhow::Ok(Mark { nanoseconds: number("at")?, count: number("count")?, cpu: child.cpu() })
    };
    let first = mark(&mut child, "first").await?;
    let end = mark(&mut child, "end").await?;
    let (started_at, memory) = (child.started_at(), child.peak_memory());
    tokio::time::sleep(ANSWERING).await;
    let mut outcome = Outcome::between(first, end, started_at, memory);
    let stopped = child.close().await?;
    let count = stopped.get("count").and_then(Value::as_u64).context("no count at the end")?;
    outcome.duplicates = count.saturating_sub(subject.wanted());
    Ok(outcome)
}

/// The command of a consumer that counts itself; with `timed`, what it counts are messages with the time they were sent.
pub(crate) fn consumer(
    stage: &Stage<'_>,
    subject: &Subject,
    name: &str,
    topic: &str,
    timed: bool,
) -> anyhow::Result<Command> {
    let count = subject.load.messages.to_string();
    let tuning = subject.setting.tuning();
    if let Some(mut peer) = stage.programs.peer(subject.contestant) {
        peer.arg(format!("namesrv={}", stage.broker.name_server)).arg(format!("topic={topic}"));
        peer.arg(format!("group={}", group(name, 0))).arg(format!("count={count}"));
        if let Some(tuning) = tuning {
            let settings = [
                ("pull", tuning.pull),
                ("bytes", tuning.bytes),
                ("batch", tuning.batch),
                ("threshold", tuning.threshold),
                ("span", tuning.span),
                ("threads", tuning.threads),
            ];
            peer.args(settings.map(|(name, value)| format!("{name}={value}")));
        }
        if timed {
            peer.arg("latency=true");
        }
        return Ok(peer);
    }
    let mut own = Command::new(&stage.programs.own);
    if subject.contestant == Contestant::Bare {
        // Without tuning as a client's defaults are, but with nothing between its pulls; tuned as many as help.
        let (pull, bytes, connections) = match tuning {
            Some(tuning) => (tuning.pull, tuning.bytes, 4),
            None => (32, 256 << 10, 1),
        };
        own.args(["drain", "--broker", &stage.broker.address.to_string(), "--topic", topic]);
        own.args(["--queues", &subject.load.queues.to_string(), "--count", &count]);
        own.args(["--pull", &pull.to_string(), "--bytes", &bytes.to_string()]);
        own.args(["--connections", &connections.to_string()]);
        return Ok(own);
    }
    let config = configure(stage, subject, name, topic, 0)?;
    own.arg("host").arg("--config").arg(config).args(["--count", &count]);
    if subject.contestant == Contestant::Native {
        own.args(["--native", LISTENER]);
    }
    if timed {
        own.arg("--latency");
    }
    Ok(own)
}

/// `gantry run`, once or several times.
async fn hosts(
    stage: &Stage<'_>,
    subject: &Subject,
    name: &str,
    groups: &[String],
) -> anyhow::Result<Outcome> {
    let (mut children, mut admins) = (Vec::new(), Vec::new());
    for host in 0..subject.hosts {
        let mut run = Command::new(&stage.programs.gantry);
        run.args(["--log", "warn", "run", "--json", "--config"]);
        run.arg(configure(stage, subject, name, &subject.load.topic(), host)?);
        children.push(Child::start(run, &stage.files.join(format!("{name}-{host}.log")))?);
    }
    for child in &mut children {
        let started = child.event("started", PATIENCE).await.context("the host does not start")?;
        let address =
            started.get("admin").and_then(Value::as_str).and_then(|url| url.strip_prefix("http://"));
        let address: SocketAddr = address.context("a host without admin API")?.parse()?;
        admins.push(Admin::open(address).await?);
    }
    let started_at = children.iter().map(Child::started_at).min().unwrap_or_default();
    let outcome = watch(stage, subject, groups, &children, &mut admins, started_at).await?;
    for child in children {
        child.terminate().await?;
    }
    Ok(outcome)
}

/// Looks at the hosts' counts until all is consumed and committed.
async fn watch(
    stage: &Stage<'_>,
    subject: &Subject,
    groups: &[String],
    children: &[Child],
    admins: &mut [Admin],
    started_at: u64,
) -> anyhow::Result<Outcome> {
    let (mut first, mut end): (Option<Mark>, Option<Mark>) = (None, None);
    let deadline = Instant::now() + PATIENCE;
    let mut consumed: Option<Instant> = None;
    let mut next_question = Instant::now();
    loop {
        let mut count = 0;
        for admin in &mut *admins {
            count += admin.succeeded().await?;
        }
        let mark = Mark { nanoseconds: crate::tally::nanoseconds(), count, cpu: Mark::cpu_of(children) };
        if count > 0 && first.is_none() {
            first = Some(mark);
        }
        // Whatever comes late counts too: the end is when the count became what it stays.
        if count >= subject.wanted() && end.is_none_or(|end| end.count < count) {
            end = Some(mark);
        }
        if let (Some(first), Some(end)) = (first, end) {
            let since = *consumed.get_or_insert_with(Instant::now);
            if Instant::now() >= next_question {
                next_question = Instant::now() + LOOK_AT_OFFSETS;
                let all = committed(stage, subject, groups).await? >= subject.wanted();
                if all || since.elapsed() > COMMITTING {
                    let memory = children.iter().map(Child::peak_memory).sum();
                    let duplicates = end.count - subject.wanted();
                    return Ok(Outcome { duplicates, ..Outcome::between(first, end, started_at, memory) });
                }
            }
        }
        let wanted = subject.wanted();
        anyhow::ensure!(
            Instant::now() < deadline,
            "{count} of {wanted} messages were consumed in {PATIENCE:?}"
        );
        tokio::time::sleep(if first.is_none() { LOOK_FOR_FIRST } else { LOOK }).await;
    }
}

/// The listener's name: that of its file without `.wasm`.
const LISTENER: &str = "listener";

/// A host's gantry.toml, with a plugins directory of its own.
fn configure(
    stage: &Stage<'_>,
    subject: &Subject,
    name: &str,
    topic: &str,
    host: u32,
) -> anyhow::Result<PathBuf> {
    let file = |ending: &str| stage.files.join(format!("{name}-{host}.{ending}"));
    let plugins = file("plugins");
    std::fs::create_dir_all(&plugins)?;
    let mut text = format!(
        "name-server = \"{}\"\nplugins = {plugins:?}\nstate-dir = {:?}\n[admin]\nlisten = \"127.0.0.1:0\"\n",
        stage.broker.name_server,
        file("state")
    );
    // Compiled once for all runs, as it is for all starts of a host.
    write!(text, "[engine]\ncache-dir = {:?}\n", stage.files.join("compiled"))?;
    let tuning = subject.setting.tuning();
    if let Some(tuning) = tuning {
        writeln!(text, "threads = {}", tuning.threads)?;
    }
    text.push_str("[consumer]\nconsume-from-where = \"first-offset\"\n");
    if let Some(tuning) = tuning {
        writeln!(text, "pull-batch-size = {}\npull-batch-size-in-bytes = {}", tuning.pull, tuning.bytes)?;
        writeln!(text, "pull-threshold-for-queue = {}", tuning.threshold)?;
        writeln!(text, "consume-concurrently-max-span = {}", tuning.span)?;
        writeln!(text, "consume-thread-max = {}", tuning.threads)?;
    }
    if subject.hosts > 1 {
        // A queue that comes from another member is held back for seconds else, which would be all that is measured.
        text.push_str("ramp-up-duration = \"0s\"\n");
    }
    for plugin in 0..subject.plugins {
        let listener = listener(plugin);
        write!(text, "[plugin.{listener}]\nconsumer-group = \"{}\"\n", group(name, plugin))?;
        writeln!(text, "subscriptions = [{{ topic = \"{topic}\" }}]")?;
        if let Some(tuning) = tuning {
            writeln!(text, "consume-message-batch-max-size = {}", tuning.batch)?;
        }
        if let Some(component) = stage.programs.components.get(&subject.contestant) {
            put(component, &plugins.join(listener).with_extension("wasm"))?;
        }
    }
    std::fs::write(file("toml"), text)?;
    Ok(file("toml"))
}

fn listener(plugin: u32) -> String {
    if plugin == 0 { LISTENER.to_owned() } else { format!("{LISTENER}-{plugin}") }
}

fn put(component: &Path, file: &Path) -> anyhow::Result<()> {
    std::fs::copy(component, file).with_context(|| format!("cannot copy {}", component.display()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_is_what_came_between_two_marks() {
        let mark = |milliseconds: u64, count, cpu| Mark {
            nanoseconds: milliseconds * 1_000_000,
            count,
            cpu: Some(Duration::from_millis(cpu)),
        };
        let outcome =
            Outcome::between(mark(1_100, 1_000, 50), mark(3_100, 501_000, 550), 1_000_000_000, Some(7.0));
        assert_eq!((outcome.per_second, outcome.cpu), (250_000.0, Some(1.0)));
        assert_eq!((outcome.first, outcome.memory), (100.0, Some(7.0)));
    }
}
