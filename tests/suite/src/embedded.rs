//! The embedded broker: in this process, or in one of its own that can be killed.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use gantry_dev_broker::{Broker, BrokerConfig};

use crate::component::program;

/// A broker in memory, in this process.
pub(crate) async fn in_process() -> Broker {
    let mut config =
        BrokerConfig { listen: SocketAddr::from(([127, 0, 0, 1], 0)), ..BrokerConfig::default() };
    config.timing.drain = Duration::from_millis(100);
    Broker::start(config).await.unwrap()
}

/// A broker in a process of its own, with its messages on disk. It dies with this value and with this process.
#[derive(Debug)]
pub(crate) struct BrokerProcess {
    child: Option<Child>,
    directory: PathBuf,
    address: SocketAddr,
}

impl BrokerProcess {
    /// Starts it on a free port.
    pub(crate) fn start(directory: PathBuf) -> Self {
        let mut broker = Self { child: None, directory, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        broker.start_again();
        broker
    }

    /// Starts it on the port and directory it had.
    pub(crate) fn start_again(&mut self) {
        self.kill();
        let mut command = Command::new(program("suite-broker"));
        command.arg(&self.directory).arg(self.address.to_string());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        self.child = Some(child);
        self.address =
            line.trim().parse().unwrap_or_else(|_| panic!("the broker says {line:?}, not its address"));
    }

    /// Kills it (SIGKILL).
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// The operating system's id of it, while it runs.
    pub(crate) fn id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for BrokerProcess {
    fn drop(&mut self) {
        self.kill();
    }
}
