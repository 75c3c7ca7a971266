//! A name server and its brokers.

use crate::process::Process;
use crate::{Installation, configuration, ports, route};
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Longest wait for a server to serve: registration with the name server may come 10 s late, and the machine be busy.
const PATIENCE: Duration = Duration::from_secs(180);
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// How often servers are started anew because another process took a port in between.
const TRIES: usize = 3;

/// What cluster to start.
#[derive(Debug, Clone)]
pub struct Options {
    /// For its configuration, storage and logs. Storage that is there is used, as after a restart.
    pub directory: PathBuf,
    /// How many brokers, named `broker-a`, `broker-b` and so on. Default: 1.
    pub brokers: u8,
    /// Whether each of them has a slave too, which copies it and may be read. Default: none has.
    pub slaves: bool,
    /// The name server's port. Default: a free one.
    pub name_server_port: Option<u16>,
    /// The first broker's port; it also takes the one above and the second below. Default: a free one.
    pub broker_port: Option<u16>,
    /// The `plain_acl.yml` of each broker, which asks for accounts by it then. Default: none.
    pub plain_acl: Option<String>,
    /// Further settings of each `broker.conf`, which override ours.
    pub broker_settings: Vec<(String, String)>,
}

impl Options {
    /// One broker on free ports.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            brokers: 1,
            slaves: false,
            name_server_port: None,
            broker_port: None,
            plain_acl: None,
            broker_settings: Vec::new(),
        }
    }

    /// This many brokers.
    #[must_use]
    pub fn brokers(mut self, brokers: u8) -> Self {
        self.brokers = brokers;
        self
    }

    /// A slave to each broker.
    #[must_use]
    pub fn with_slaves(mut self) -> Self {
        self.slaves = true;
        self
    }

    /// Accounts, as `plain_acl.yml` has them.
    #[must_use]
    pub fn plain_acl(mut self, accounts: impl Into<String>) -> Self {
        self.plain_acl = Some(accounts.into());
        self.broker_setting("aclEnable", "true")
    }

    /// One more setting of each `broker.conf`.
    #[must_use]
    pub fn broker_setting(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.broker_settings.push((name.into(), value.into()));
        self
    }
}

/// Why a server does not serve.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A file or process could not be made.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file, or the log of the process.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It ended by itself.
    #[error("{server} ended while it was starting; its last words: {last}\nits whole output is in {}", log.display())]
    Ended {
        /// Name server or broker.
        server: String,
        /// The end of its output.
        last: String,
        /// All of its output.
        log: PathBuf,
    },
    /// It runs, but nothing is heard of it.
    #[error("{server} does not serve after {} s; its output is in {}", waited.as_secs(), log.display())]
    Late {
        /// Name server or broker.
        server: String,
        /// How long was waited.
        waited: Duration,
        /// All of its output.
        log: PathBuf,
    },
}

/// A running name server with its brokers. Dropped, all are killed; their storage stays.
#[derive(Debug)]
pub struct Cluster {
    installation: Installation,
    options: Options,
    name_server: Option<Process>,
    name_server_port: u16,
    brokers: Vec<Broker>,
}

/// One broker of a [`Cluster`].
#[derive(Debug)]
pub struct Broker {
    name: String,
    /// 0 is the master of its name.
    id: u8,
    port: u16,
    process: Option<Process>,
}

impl Broker {
    /// Its name, such as `broker-a`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is the slave of its name.
    pub fn is_slave(&self) -> bool {
        self.id != 0
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        loopback(self.port)
    }

    /// What its files are called.
    fn label(&self) -> String {
        match self.is_slave() {
            false => self.name.clone(),
            true => format!("{}-slave", self.name),
        }
    }

    /// The operating system's id of its process, unless it was killed.
    pub fn process_id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }
}

impl Cluster {
    /// Starts the servers and returns when the name server has a route to each broker.
    ///
    /// # Errors
    /// The server that did not come up, and where its output is.
    pub fn start(installation: &Installation, options: Options) -> Result<Self, StartError> {
        installation.forget_old_logs();
        let mut tries = 1;
        loop {
            match Self::try_start(installation, options.clone()) {
                Err(StartError::Ended { last, .. })
                    if tries < TRIES && last.contains("Address already in use") =>
                {
                    tries += 1;
                }
                outcome => return outcome,
            }
        }
    }

    fn try_start(installation: &Installation, mut options: Options) -> Result<Self, StartError> {
        let given = options.directory.clone();
        let io = |source| StartError::Io { path: given.clone(), source };
        options.directory = std::path::absolute(&given).map_err(io)?;
        fs::create_dir_all(&options.directory).map_err(io)?;
        let name_server_port = options.name_server_port.map_or_else(ports::one, Ok).map_err(io)?;
        let mut brokers = Vec::new();
        for letter in ('a'..='z').take(usize::from(options.brokers)) {
            let wanted = options.broker_port.filter(|_| brokers.is_empty());
            let port = wanted.map_or_else(ports::broker, Ok).map_err(io)?;
            brokers.push(Broker { name: format!("broker-{letter}"), id: 0, port, process: None });
        }
        if options.slaves {
            let names: Vec<_> = brokers.iter().map(|master| master.name.clone()).collect();
            for name in names {
                brokers.push(Broker { name, id: 1, port: ports::broker().map_err(io)?, process: None });
            }
        }
        let installation = installation.clone();
        let mut cluster = Self { installation, options, name_server: None, name_server_port, brokers };
        cluster.start_name_server()?;
        for index in 0..cluster.brokers.len() {
            cluster.launch_broker(index)?;
        }
        for index in 0..cluster.brokers.len() {
            cluster.await_broker(index)?;
        }
        Ok(cluster)
    }

    /// Where the name server listens.
    pub fn name_server(&self) -> SocketAddr {
        loopback(self.name_server_port)
    }

    /// The brokers, in the order of their names; then their slaves, in the same order.
    pub fn brokers(&self) -> &[Broker] {
        &self.brokers
    }

    /// The installation it runs from.
    pub fn installation(&self) -> &Installation {
        &self.installation
    }

    /// Where its servers' output and logs are.
    pub fn logs(&self) -> PathBuf {
        let name = self.options.directory.file_name().unwrap_or_default().to_string_lossy();
        let name = name.trim_start_matches('.');
        self.installation.logs().join(format!("cluster-{name}-{}", self.name_server_port))
    }

    /// The servers that were started, not killed since, and have ended all the same.
    pub fn ended(&mut self) -> Vec<String> {
        let name_server = self.name_server.iter_mut().map(|process| ("the name server".to_owned(), process));
        let brokers = self.brokers.iter_mut();
        let brokers = brokers.filter_map(|broker| Some((broker.label(), broker.process.as_mut()?)));
        let all = name_server.chain(brokers);
        all.filter_map(|(name, process)| (!process.runs()).then_some(name)).collect()
    }

    /// Kills the name server (SIGKILL), as a crash would.
    pub fn kill_name_server(&mut self) {
        self.name_server = None;
    }

    /// Starts the name server again, on the port it had, and returns when it serves. Brokers register with it anew
    /// within 30 s of their own accord.
    ///
    /// # Errors
    /// See [`Cluster::start`].
    pub fn start_name_server(&mut self) -> Result<(), StartError> {
        self.name_server = None;
        let file = self.options.directory.join("namesrv.conf");
        write(&file, &configuration::name_server(self.name_server_port, &self.options.directory))?;
        let java = self.java(&["-Xms32m", "-Xmx128m", "-XX:MaxDirectMemorySize=64m"]);
        let mut process =
            self.launch("namesrv", java, "org.apache.rocketmq.namesrv.NamesrvStartup", &file)?;
        let address = self.name_server();
        wait("the name server", &mut process, || route::known(address, "TBW102").is_ok())?;
        self.name_server = Some(process);
        Ok(())
    }

    /// Kills a broker (SIGKILL), as a crash would. An index past the last one does nothing.
    pub fn kill_broker(&mut self, index: usize) {
        if let Some(broker) = self.brokers.get_mut(index) {
            broker.process = None;
        }
    }

    /// Starts a killed broker again, on the port and storage it had, and returns when it listens. An index past the last one
    /// does nothing.
    ///
    /// # Errors
    /// See [`Cluster::start`].
    pub fn start_broker(&mut self, index: usize) -> Result<(), StartError> {
        self.kill_broker(index);
        self.launch_broker(index)?;
        self.await_broker(index)
    }

    fn launch_broker(&mut self, index: usize) -> Result<(), StartError> {
        let Some(broker) = self.brokers.get(index) else { return Ok(()) };
        let label = broker.label();
        let file = self.options.directory.join(format!("{label}.conf"));
        let store = self.options.directory.join(&label);
        let mut settings = self.options.broker_settings.clone();
        if broker.is_slave() {
            settings.extend(configuration::slave(broker.id));
        }
        write(
            &file,
            &configuration::broker(&broker.name, broker.port, self.name_server_port, &store, &settings),
        )?;
        if let Some(accounts) = &self.options.plain_acl {
            let directory = self.logs().join("conf");
            let io = |source| StartError::Io { path: directory.clone(), source };
            fs::create_dir_all(&directory).map_err(io)?;
            write(&directory.join("plain_acl.yml"), accounts)?;
        }
        let java = self.java(&["-Xms128m", "-Xmx512m", "-XX:MaxDirectMemorySize=1g"]);
        let process = self.launch(&label, java, "org.apache.rocketmq.broker.BrokerStartup", &file)?;
        if let Some(broker) = self.brokers.get_mut(index) {
            broker.process = Some(process);
        }
        Ok(())
    }

    /// Waits until the broker listens and the name server knows it.
    fn await_broker(&mut self, index: usize) -> Result<(), StartError> {
        let name_server = self.name_server();
        let Some(broker) = self.brokers.get_mut(index) else { return Ok(()) };
        let (name, label, address) = (broker.name.clone(), broker.label(), broker.address());
        let is_slave = broker.is_slave();
        let Some(process) = broker.process.as_mut() else { return Ok(()) };
        let listens = || std::net::TcpStream::connect(address).is_ok();
        // A slave has no topics of its own by which its registration could be seen.
        let known = || is_slave || route::known(name_server, &name).unwrap_or(false);
        wait(&label, process, || listens() && known())
    }

    fn java(&self, heap: &[&str]) -> Command {
        let mut java = Command::new("java");
        java.args(heap)
            .args(configuration::java(&self.logs()))
            .arg("-cp")
            .arg(self.installation.class_path());
        java
    }

    fn launch(&self, name: &str, mut java: Command, class: &str, file: &Path) -> Result<Process, StartError> {
        let logs = self.logs();
        fs::create_dir_all(&logs).map_err(|source| StartError::Io { path: logs.clone(), source })?;
        java.args([class, "-c"]).arg(file).current_dir(&self.options.directory);
        Process::start(&mut java, &logs.join(format!("{name}.out")))
    }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

fn write(file: &Path, content: &str) -> Result<(), StartError> {
    fs::write(file, content).map_err(|source| StartError::Io { path: file.to_path_buf(), source })
}

fn wait(server: &str, process: &mut Process, mut serves: impl FnMut() -> bool) -> Result<(), StartError> {
    let deadline = Instant::now() + PATIENCE;
    while !serves() {
        let (server, log) = (server.to_owned(), process.log().to_path_buf());
        if !process.runs() {
            return Err(StartError::Ended { server, last: last_words(&log), log });
        }
        if Instant::now() > deadline {
            return Err(StartError::Late { server, waited: PATIENCE, log });
        }
        std::thread::sleep(BETWEEN_LOOKS);
    }
    Ok(())
}

fn last_words(log: &Path) -> String {
    let said = fs::read(log).unwrap_or_default();
    let said = String::from_utf8_lossy(&said);
    let lines: Vec<_> = said.lines().rev().take(12).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}
