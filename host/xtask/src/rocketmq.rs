//! Apache RocketMQ from the command line: the same that the tests start.

use crate::project::Project;
use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use gantry_apache::{Cluster, Installation, Options, VERSION};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How often to look whether the servers still run.
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);

/// What to do with RocketMQ.
#[derive(Debug, Subcommand)]
pub(crate) enum Rocketmq {
    /// Download it into target/rocketmq, and compile the Java driver of the tests. Needs Java, a JDK, and Maven.
    Prepare,
    /// Start a name server and brokers on loopback, print where they listen, and keep them until Ctrl-C.
    Start(Start),
}

#[derive(Debug, Args)]
pub(crate) struct Start {
    /// Where configuration and messages are kept. What is there is used.
    #[arg(long, default_value = "target/rocketmq/run")]
    directory: PathBuf,
    /// How many brokers.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=26))]
    brokers: u8,
    /// The name server's port; 0 for a free one.
    #[arg(long, default_value_t = 9876)]
    name_server_port: u16,
    /// The first broker's port, which also takes the one above and the second below; 0 for a free one.
    #[arg(long, default_value_t = 10911)]
    broker_port: u16,
    /// A further setting of broker.conf, as name=value; may be given again and again.
    #[arg(long = "set", value_parser = setting)]
    settings: Vec<(String, String)>,
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected name=value")?;
    Ok((name.to_owned(), value.to_owned()))
}

pub(crate) fn rocketmq(project: &Project, task: Rocketmq) -> Result<()> {
    let started = Instant::now();
    eprintln!("rocketmq: Apache RocketMQ {VERSION} in target/rocketmq (the first time downloads 95 MB)");
    let installation = Installation::prepare(project.path("target/rocketmq"))?;
    eprintln!("rocketmq: ready after {:.1} s", started.elapsed().as_secs_f64());
    match task {
        Rocketmq::Prepare => Ok(()),
        Rocketmq::Start(start) => keep(project, &installation, start),
    }
}

/// Returns only when a server ends by itself. Ctrl-C ends this process, and the servers with it.
fn keep(project: &Project, installation: &Installation, start: Start) -> Result<()> {
    let since = Instant::now();
    let port = |port| Some(port).filter(|port| *port != 0);
    let mut cluster = Cluster::start(
        installation,
        Options {
            directory: project.path("").join(start.directory),
            brokers: start.brokers,
            slaves: false,
            name_server_port: port(start.name_server_port),
            broker_port: port(start.broker_port),
            plain_acl: None,
            broker_settings: start.settings,
        },
    )?;
    eprintln!("rocketmq: serving after {:.1} s; Ctrl-C ends it", since.elapsed().as_secs_f64());
    eprintln!("name server  {}", cluster.name_server());
    for broker in cluster.brokers() {
        eprintln!("{:<12} {}", broker.name(), broker.address());
    }
    eprintln!("logs         {}", cluster.logs().display());
    loop {
        let ended = cluster.ended();
        if !ended.is_empty() {
            bail!("{} ended by itself; see {}", ended.join(", "), cluster.logs().display());
        }
        std::thread::sleep(BETWEEN_LOOKS);
    }
}
