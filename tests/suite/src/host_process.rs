//! A host in a process of its own, to be killed or asked to stop: the suite's program `suite-host`.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::component::program;
use crate::ledger::Ledger;

/// How long a host that was asked to stop may take.
const STOPPING: Duration = Duration::from_secs(120);

/// A process whose host has one [`Sleeper`](crate::Sleeper). It dies with this value and with this process.
#[derive(Debug)]
pub struct HostProcess {
    child: Child,
    client_id: String,
}

/// What such a process is started with, as often as it is.
#[derive(Debug, Clone)]
pub struct HostProcessSetup {
    directory: PathBuf,
    group: String,
    topic: String,
    settings: String,
}

impl HostProcessSetup {
    /// A member of `group`, subscribed to `topic`, which keeps its files in `directory`. `settings` are lines of a
    /// `gantry.toml`.
    pub fn new(directory: &Path, group: &str, topic: &str, settings: &str) -> Self {
        let (directory, group, topic) = (directory.to_owned(), group.to_owned(), topic.to_owned());
        Self { directory, group, topic, settings: settings.to_owned() }
    }

    /// Starts it; the ledger follows what it consumes under `name`, which is that of its files.
    pub fn start(&self, ledger: &Ledger, name: &str) -> HostProcess {
        let file = |ending: &str| self.directory.join(format!("{name}.{ending}"));
        std::fs::create_dir_all(file("plugins")).unwrap();
        std::fs::write(file("toml"), &self.settings).unwrap();
        let book = file("ledger");
        if !ledger.members().iter().any(|member| member == name) {
            ledger.follow(name, &book);
        }
        let mut command = Command::new(program("suite-host"));
        command.arg(file("toml")).arg(file("plugins")).arg(book).args([&self.group, &self.topic]);
        let log = File::options().create(true).append(true).open(file("log")).unwrap();
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let client_id = line.trim().to_owned();
        assert!(!client_id.is_empty(), "the host of {name} has ended at its start");
        HostProcess { child, client_id }
    }
}

impl HostProcess {
    /// The client id brokers know it by.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// Kills it (SIGKILL).
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop (SIGTERM), and waits until it has.
    ///
    /// # Panics
    /// When it does not stop in time, or not gracefully.
    pub fn terminate(mut self) {
        signal(self.child.id(), "TERM");
        let deadline = Instant::now() + STOPPING;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "the host does not stop within {STOPPING:?}");
            std::thread::sleep(Duration::from_millis(10));
        };
        assert!(status.success(), "the host stopped with {status}");
    }
}

impl Drop for HostProcess {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Sends a signal, such as `STOP`, to a process.
pub(crate) fn signal(process: u32, name: &str) {
    let arguments = [format!("-{name}"), process.to_string()];
    assert!(Command::new("kill").args(arguments).status().unwrap().success());
}
