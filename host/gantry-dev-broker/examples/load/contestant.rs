//! Brokers that are measured: started here, or running somewhere.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use gantry_apache::{Cluster, Installation, Options};

use crate::Failure;

/// A broker and what keeps it running.
#[derive(Debug)]
pub(crate) struct Contestant {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    process: Option<u32>,
    _keeper: Keeper,
    _files: Option<tempfile::TempDir>,
}

/// Ends a broker when it is dropped.
#[derive(Debug)]
enum Keeper {
    Apache { _cluster: Box<Cluster> },
    Embedded(Child),
    Somebody,
}

impl Contestant {
    pub(crate) fn start(argument: &str) -> Result<Self, Failure> {
        if argument == "apache" {
            return apache();
        }
        if let Some((name, program)) = argument.split_once('=') {
            return embedded(name, program.into());
        }
        if argument == "embedded" {
            let beside = std::env::current_exe()?.with_file_name("broker");
            return embedded(argument, beside);
        }
        let address = argument.parse().map_err(|_| {
            format!("{argument} is no contestant: `apache`, `embedded`, NAME=PROGRAM, or the ADDRESS:PORT of a broker")
        })?;
        let name = argument.to_owned();
        Ok(Self { name, address, process: None, _keeper: Keeper::Somebody, _files: None })
    }

    /// CPU time of the broker's process so far.
    pub(crate) fn cpu(&self) -> Option<Duration> {
        /// Of which /proc counts 100 a second.
        const TICK_MS: u64 = 10;
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process?)).ok()?;
        let (_, behind_name) = stat.rsplit_once(')')?;
        let fields: Vec<u64> =
            behind_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
        Some(Duration::from_millis(fields.iter().sum::<u64>() * TICK_MS))
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if let Self::Embedded(child) = self {
            // Its input ends, upon which it stops; its files go with it.
            drop(child.stdin.take());
            let _ended = child.wait();
        }
    }
}

fn apache() -> Result<Contestant, Failure> {
    let installation = Installation::for_tests()?.ok_or("Apache RocketMQ cannot be made ready here")?;
    let files = tempfile::tempdir()?;
    let options = Options::new(files.path())
        .broker_setting("maxTransferCountOnMessageInMemory", "1024")
        .broker_setting("maxTransferBytesOnMessageInMemory", (4 << 20).to_string())
        .broker_setting("maxTransferCountOnMessageInDisk", "1024")
        .broker_setting("maxTransferBytesOnMessageInDisk", (4 << 20).to_string())
        .broker_setting("flushDiskType", "ASYNC_FLUSH");
    let cluster = Cluster::start(&installation, options)?;
    let broker = cluster.brokers().first().ok_or("a cluster without brokers")?;
    let (address, process) = (broker.address(), broker.process_id());
    let name = "apache".to_owned();
    let keeper = Keeper::Apache { _cluster: Box::new(cluster) };
    Ok(Contestant { name, address, process, _keeper: keeper, _files: Some(files) })
}

fn embedded(name: &str, program: PathBuf) -> Result<Contestant, Failure> {
    let files = tempfile::tempdir()?;
    let mut child = Command::new(&program)
        .arg(files.path())
        .args(["os", "127.0.0.1:0", "1024"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| {
            let program = program.display();
            format!("cannot start {program}: {error}; `cargo build --release -p gantry-dev-broker --examples` builds it")
        })?;
    let output = child.stdout.take().ok_or("no output")?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    let address = line.trim().parse().map_err(|_| format!("{} told no address", program.display()))?;
    let process = Some(child.id());
    let keeper = Keeper::Embedded(child);
    Ok(Contestant { name: name.to_owned(), address, process, _keeper: keeper, _files: Some(files) })
}
