//! `gantry run` as a user has it: how soon it consumes, and what it weighs when there is nothing to do.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::figure::Figure;
use super::process::Gantry;
use super::stage::{PLUGIN, Stage, TOPIC};
use super::{BATCH, PATIENCE};

/// How often a status is asked for.
const LOOK: Duration = Duration::from_millis(1);
/// How long an idle host is left alone before it is weighed, and then watched.
const REST: Duration = Duration::from_secs(2);
/// A topic nobody sends to.
const SILENT: &str = "bench-silent";

/// From the start of the process to the first message that is settled; the plugin's code is in the cache.
pub(super) async fn first_message(stage: &Stage, number: usize) -> anyhow::Result<Figure> {
    let file = configuration(stage, &format!("bench-start-{number}"), TOPIC)?;
    let began = Instant::now();
    let (host, admin) = run(&file).await?;
    let consumed =
        |status: &Value| status.pointer("/plugins/0/outcomes/succeeded").and_then(Value::as_u64) > Some(0);
    until(admin, consumed).await.context("no message was consumed")?;
    let took = began.elapsed().as_secs_f64() * 1e3;
    host.end().await;
    let label = "start of the process to first message, warm cache";
    Ok(Figure::new("start-to-first", label, "ms", vec![took]).below(200.0))
}

/// The memory and CPU of a host with one plugin that has its queues and nothing in them.
pub(super) async fn idle(stage: &Stage) -> anyhow::Result<Vec<Figure>> {
    stage.create(SILENT).await?;
    let file = configuration(stage, "bench-idle", SILENT)?;
    let (host, admin) = run(&file).await?;
    let owns = |status: &Value| {
        status.pointer("/groups/0/queues/0/consuming").and_then(Value::as_bool) == Some(true)
    };
    until(admin, owns).await.context("the host got no queues")?;
    tokio::time::sleep(REST).await;
    let weighed = |field| host.process().memory(field).into_iter().collect::<Vec<_>>();
    let (all, own) = (weighed("VmRSS"), weighed("RssAnon"));
    let before = host.process().cpu();
    tokio::time::sleep(REST).await;
    let used = host.process().cpu().zip(before).map(|(after, before)| after.saturating_sub(before));
    let per_second = used.map(|used| used.as_secs_f64() * 1e3 / REST.as_secs_f64()).into_iter().collect();
    host.end().await;
    Ok(vec![
        Figure::new("idle-rss", "memory of an idle host with one plugin (RSS)", "MB", all).below(60.0),
        Figure::new("idle-anon", "of this its own, without the program's file", "MB", own),
        Figure::new("idle-cpu", "CPU of the idle host per second", "ms", per_second),
    ])
}

/// The configuration of a host of its own process.
fn configuration(stage: &Stage, group: &str, topic: &str) -> anyhow::Result<PathBuf> {
    let (plugins, state, cache) = (stage.plugins("wasm", true)?, stage.state(), stage.cache());
    let text = format!(
        "name-server = {:?}\nplugins = {plugins:?}\nstate-dir = {state:?}\n\
         [admin]\nlisten = \"127.0.0.1:0\"\n[engine]\ncache-dir = {cache:?}\n\
         [consumer]\nconsume-from-where = \"first-offset\"\n[plugin.{PLUGIN}]\nconsumer-group = {group:?}\n\
         subscriptions = [{{ topic = {topic:?} }}]\nconsume-message-batch-max-size = {BATCH}\n",
        stage.name_server()
    );
    let file = stage.file(group).with_extension("toml");
    std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}

async fn run(config: &std::path::Path) -> anyhow::Result<(Gantry, SocketAddr)> {
    let mut host = Gantry::start(["run".as_ref(), "--config".as_ref(), config.as_os_str()])?;
    let started = host.event("started").await.context("the host did not start")?;
    let admin = started.get("admin").and_then(Value::as_str).and_then(|url| url.strip_prefix("http://"));
    let admin = admin.context("the host has no admin API")?.parse().context("the admin API's address")?;
    Ok((host, admin))
}

async fn until(admin: SocketAddr, done: impl Fn(&Value) -> bool) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let status = status(admin).await?;
        if done(&status) {
            return Ok(());
        }
        anyhow::ensure!(Instant::now() < deadline, "not within {PATIENCE:?}; the host's status is {status}");
        tokio::time::sleep(LOOK).await;
    }
}

/// `GET /status`, over a connection that the host closes after the answer.
async fn status(admin: SocketAddr) -> anyhow::Result<Value> {
    let mut connection = TcpStream::connect(admin).await.context("the admin API cannot be reached")?;
    let request = format!("GET /status HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await?;
    let (_, body) = answer.split_once("\r\n\r\n").context("the admin API's answer has no body")?;
    serde_json::from_str(body).context("the admin API's answer is not JSON")
}
