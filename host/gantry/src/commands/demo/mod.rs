//! `gantry demo`: everything at work in one process, and a book that shows that nothing was lost.

mod tally;
mod traffic;
mod watch;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use gantry_dev_broker::{Broker, BrokerConfig, FsyncPolicy, Storage};
use gantry_host::Host;
use gantry_host::client_instance::{
    ClientConfig, ClientInstance, OutgoingMessage, Producer, ProducerConfig, RouteError, TopicSettings,
};
use gantry_host::config::{GantryConfig, Millis};
use gantry_protocol::names;
use tokio::sync::mpsc;

use super::print_json;
use crate::cli::DemoArgs;
use crate::signals::{asked_to_stop, stop_or_exit};
use tally::Summary;
use watch::Watch;

const TOPIC: &str = "orders";
const GROUP: &str = "orders-group";
const QUEUES: i32 = 4;
/// How long the host may take to be ready: the first start compiles the plugin.
const READY: Duration = Duration::from_secs(60);
/// How long the end waits for messages on their way.
const SETTLE: Duration = Duration::from_secs(15);

pub(crate) async fn run(args: DemoArgs) -> anyhow::Result<ExitCode> {
    let files = Files::prepare(&args)?;
    let storage = Storage::Directory { path: files.broker.clone(), fsync: FsyncPolicy::Os };
    let listen = ([127, 0, 0, 1], 0).into();
    let broker = Broker::start(BrokerConfig { listen, storage, ..BrokerConfig::default() }).await?;
    let name_server = broker.local_addr().to_string();
    let config = ClientConfig { name_servers: name_server.clone(), ..ClientConfig::default() };
    let client = ClientInstance::start(config).await?;
    let settings =
        TopicSettings { read_queue_nums: QUEUES, write_queue_nums: QUEUES, ..TopicSettings::default() };
    client.create_topic(TOPIC, &settings).await.context("the demo's topic cannot be made")?;

    let (watch, lines) = Watch::new();
    let watch = Arc::new(watch);
    let printer = (!args.json).then(|| print_lines(lines));
    let host = start_host(&name_server, &files, Arc::clone(&watch)).await?;
    if !args.json {
        introduce(&host, &name_server, &files);
    }
    let producer = Producer::new(client.clone(), ProducerConfig::default());
    send_until_the_end(&args, &producer, &files, &watch).await?;
    settle(&watch).await;
    let swaps = host.status().plugins.iter().map(|plugin| plugin.swaps).sum();
    watch.tally().swapped(swaps);

    let mut summary = watch.tally().summary(Instant::now());
    let graceful = stop_or_exit(host.stop()).await?.graceful;
    let filed = filed_dead_letters(&client).await?;
    summary.lost += summary.dead_lettered.saturating_sub(filed);
    client.close().await;
    broker.stop().await;
    drop(watch);
    if let Some(printer) = printer {
        printer.await?;
    }
    report(&args, &summary)?;
    Ok(if summary.lost == 0 && graceful { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The demo's files: its own plugins directory, and where the versions to copy from are.
struct Files {
    plugins: PathBuf,
    broker: PathBuf,
    state: PathBuf,
    first: PathBuf,
    second: PathBuf,
}

impl Files {
    fn prepare(args: &DemoArgs) -> anyhow::Result<Self> {
        let files = Self {
            plugins: args.workspace.join("plugins"),
            broker: args.workspace.join("broker"),
            state: args.workspace.join("state"),
            first: args.plugins.join("orders.wasm"),
            second: args.plugins.join("orders-v2.wasm"),
        };
        for sample in [&files.first, &files.second] {
            anyhow::ensure!(
                sample.is_file(),
                "the sample plugin {} is missing; build it with `cargo xtask guests`",
                sample.display()
            );
        }
        for directory in [&files.plugins, &files.broker, &files.state] {
            if directory.exists() {
                std::fs::remove_dir_all(directory)
                    .with_context(|| format!("cannot empty {}", directory.display()))?;
            }
        }
        std::fs::create_dir_all(&files.plugins)
            .with_context(|| format!("cannot make {}", files.plugins.display()))?;
        files.deploy(&files.first)?;
        Ok(files)
    }

    fn deployed(&self) -> PathBuf {
        self.plugins.join("orders.wasm")
    }

    /// Puts a version in place as `cp` does.
    fn deploy(&self, version: &Path) -> anyhow::Result<()> {
        let to = self.deployed();
        std::fs::copy(version, &to)
            .with_context(|| format!("cannot copy {} to {}", version.display(), to.display()))?;
        Ok(())
    }
}

async fn start_host(name_server: &str, files: &Files, watch: Arc<Watch>) -> anyhow::Result<Host> {
    let mut config = GantryConfig {
        name_server: name_server.to_owned(),
        plugins: files.plugins.clone(),
        state_dir: Some(files.state.clone()),
        shutdown_grace: Millis(10_000),
        ..GantryConfig::default()
    };
    config.admin.listen = ([127, 0, 0, 1], 0).into();
    let host = Host::start(config, watch).await?;
    let deadline = Instant::now() + READY;
    loop {
        let status = host.status();
        if let Some(reason) = status.plugins.iter().find_map(|plugin| plugin.rejected.clone()) {
            anyhow::bail!("the sample plugin was rejected: {reason}");
        }
        if status.ready && status.groups.iter().any(|group| !group.queues.is_empty()) {
            return Ok(host);
        }
        anyhow::ensure!(Instant::now() < deadline, "the host was not ready after {READY:?}; try --log debug");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn introduce(host: &Host, name_server: &str, files: &Files) {
    say!("name server and broker   {name_server}");
    if let Some(admin) = host.admin_address() {
        say!("admin API                http://{admin}/status");
    }
    say!("plugins directory        {}", files.plugins.display());
    say!("swap to version 2        cp {} {}", files.second.display(), files.deployed().display());
    say!("and back                 cp {} {}", files.first.display(), files.deployed().display());
    say!(
        "send one yourself        gantry send {TOPIC} '{{\"id\":\"B-1\",\"status\":\"paid\",\"amount\":5}}' --tag paid --key B-1 --name-server {name_server}"
    );
    say!("end                      Ctrl-C\n");
}

fn print_lines(mut lines: mpsc::Receiver<String>) -> tokio::task::JoinHandle<()> {
    tokio::task::spawn_blocking(move || {
        while let Some(line) = lines.blocking_recv() {
            say!("{line}");
        }
    })
}

/// Sends orders until Ctrl-C, or for the asked time, swapping the plugin half-way then.
async fn send_until_the_end(
    args: &DemoArgs,
    producer: &Producer,
    files: &Files,
    watch: &Watch,
) -> anyhow::Result<()> {
    let mut tick = tokio::time::interval(Duration::from_secs(1) / args.rate);
    let forever = Duration::from_secs(365 * 24 * 3600);
    let (length, swap_after) = match args.for_ {
        Some(length) => (length, length / 2),
        None => (forever, forever),
    };
    let began = Instant::now();
    let (mut end, mut swap) =
        (std::pin::pin!(tokio::time::sleep(length)), std::pin::pin!(tokio::time::sleep(swap_after)));
    let mut stop = std::pin::pin!(asked_to_stop());
    let (mut n, mut swapped) = (0, false);
    loop {
        tokio::select! {
            biased;
            asked = &mut stop => return asked,
            () = &mut end => return Ok(()),
            () = &mut swap, if !swapped => {
                swapped = true;
                watch.line(&format!("-- copying {} over the running plugin", files.second.display()));
                files.deploy(&files.second)?;
            }
            _ = tick.tick() => {
                n += 1;
                send(producer, watch, n).await.with_context(|| format!("after {:?}", began.elapsed()))?;
            }
        }
    }
}

async fn send(producer: &Producer, watch: &Watch, n: u64) -> anyhow::Result<()> {
    let order = traffic::order(n);
    let message =
        OutgoingMessage::new(TOPIC, order.body.into_bytes()).with_tag(order.tag).with_key(&order.id);
    let sent = producer.send(&message).await.context("an order could not be sent")?;
    watch.tally().sent(&sent.message_id);
    Ok(())
}

/// Waits until every message sent has been settled or waits for its retry.
async fn settle(watch: &Watch) {
    let deadline = Instant::now() + SETTLE;
    while watch.tally().outstanding(Instant::now()) > 0 && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Messages in the group's dead-letter topic, as the broker has them.
async fn filed_dead_letters(client: &ClientInstance) -> anyhow::Result<u64> {
    let topic = names::dlq_topic(GROUP);
    let route = match client.refresh_route(&topic).await {
        Err(RouteError::Missing { .. }) => return Ok(0),
        known => known?,
    };
    let mut filed = 0;
    for queue in &route.subscribe_queues {
        filed += client.max_offset(queue).await?.max(0).unsigned_abs();
    }
    Ok(filed)
}

fn report(args: &DemoArgs, summary: &Summary) -> anyhow::Result<()> {
    if args.json {
        return print_json(summary);
    }
    say!();
    for (name, count) in [
        ("sent", summary.sent),
        ("consumed", summary.consumed),
        ("succeeded", summary.succeeded),
        ("reconsumed", summary.reconsumed),
        ("dead-lettered", summary.dead_lettered),
        ("waiting for a retry", summary.waiting),
        ("lost", summary.lost),
        ("duplicated", summary.duplicated),
        ("swaps", summary.swaps),
    ] {
        say!("{name:<20} {count:>8}");
    }
    Ok(())
}
