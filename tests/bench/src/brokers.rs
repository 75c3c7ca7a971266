//! The brokers that are consumed from: Apache RocketMQ and the embedded one, both with their messages on disk, written when the
//! system likes, and both allowing large pulls.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use gantry_apache::{Cluster, Installation, Options};
use gantry_dev_broker::{Broker, BrokerConfig, FsyncPolicy, Storage};
use serde::Serialize;
use serde_json::{Value, json};

use crate::child::Child;

/// The largest pull both allow: messages, and bytes.
pub(crate) const PULL: usize = 1024;
pub(crate) const PULL_BYTES: usize = 4 << 20;

const STARTING: Duration = Duration::from_secs(240);

/// Which broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Kind {
    /// Apache RocketMQ.
    Apache,
    /// Gantry's own.
    Embedded,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Apache => write!(f, "Apache RocketMQ {}", gantry_apache::VERSION),
            Self::Embedded => f.write_str("the embedded broker"),
        }
    }
}

/// A broker that runs.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) kind: Kind,
    pub(crate) name_server: SocketAddr,
    pub(crate) address: SocketAddr,
    /// Ends the broker when it is dropped.
    _process: Process,
    files: PathBuf,
}

#[derive(Debug)]
enum Process {
    Apache { _cluster: Box<Cluster> },
    Embedded { _child: Box<Child> },
}

impl Running {
    /// Apache RocketMQ, with its files in an empty `directory`.
    pub(crate) fn apache(installation: &Installation, directory: &Path) -> anyhow::Result<Self> {
        let options = Options::new(directory)
            .broker_setting("maxTransferCountOnMessageInMemory", PULL.to_string())
            .broker_setting("maxTransferBytesOnMessageInMemory", PULL_BYTES.to_string())
            .broker_setting("maxTransferCountOnMessageInDisk", PULL.to_string())
            .broker_setting("maxTransferBytesOnMessageInDisk", PULL_BYTES.to_string())
            .broker_setting("flushDiskType", "ASYNC_FLUSH");
        let cluster = Cluster::start(installation, options)?;
        let address = cluster.brokers().first().context("a cluster without brokers")?.address();
        let (name_server, files) = (cluster.name_server(), directory.to_owned());
        let process = Process::Apache { _cluster: Box::new(cluster) };
        Ok(Self { kind: Kind::Apache, name_server, address, _process: process, files })
    }

    /// The embedded broker, with its files in an empty `directory`: this program as a child of its own.
    pub(crate) async fn embedded(program: &Path, directory: &Path, log: &Path) -> anyhow::Result<Self> {
        let mut command = Command::new(program);
        command.arg("broker").arg("--data").arg(directory);
        let mut child = Child::start(command, log)?;
        let started = child.event("started", STARTING).await.context("the embedded broker does not start")?;
        let address =
            started.get("address").and_then(Value::as_str).context("a broker without an address")?;
        let (address, files) = (address.parse()?, directory.to_owned());
        let process = Process::Embedded { _child: Box::new(child) };
        Ok(Self { kind: Kind::Embedded, name_server: address, address, _process: process, files })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It is killed after this; what it writes until then goes nowhere.
        let _left_over = std::fs::remove_dir_all(&self.files);
    }
}

/// The embedded broker as this program's own work.
#[derive(Debug, clap::Args)]
pub(crate) struct Embedded {
    /// Where its messages are.
    #[arg(long)]
    data: PathBuf,
}

/// Serves until standard input ends.
pub(crate) fn serve(embedded: Embedded) -> anyhow::Result<()> {
    let config = BrokerConfig {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        storage: Storage::Directory { path: embedded.data, fsync: FsyncPolicy::Os },
        max_pull_count: PULL,
        max_pull_bytes: PULL_BYTES,
        ..BrokerConfig::default()
    };
    tokio::runtime::Runtime::new()?.block_on(async {
        let broker = Broker::start(config).await?;
        println!("{}", json!({ "event": "started", "address": broker.local_addr().to_string() }));
        tokio::task::spawn_blocking(|| std::io::Read::read_to_end(&mut std::io::stdin(), &mut Vec::new()))
            .await??;
        broker.stop().await;
        Ok(())
    })
}
