//! A client of RocketMQ as a child process: requests to its standard input, events from its standard output.

use serde_json::Value;
use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

/// Longest wait for an answer: a Java client's first heartbeat may stall it for 30 s.
const PATIENCE: Duration = Duration::from_secs(240);

/// Events that may wait to be taken; then the process waits.
const EVENTS: usize = 1 << 16;

/// Why a client did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// Its process could not be started or spoken to.
    #[error("the client driver ({}): {source}", log.display())]
    Io {
        /// Its output.
        log: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It has ended.
    #[error("the client driver has ended; its output is in {}", log.display())]
    Ended {
        /// Its output.
        log: PathBuf,
    },
    /// It did not answer.
    #[error("the client driver did not answer within {} s; its output is in {}", waited.as_secs(), log.display())]
    Late {
        /// How long was waited.
        waited: Duration,
        /// Its output.
        log: PathBuf,
    },
    /// The client refused, or failed at, what was asked.
    #[error("the client: {reason}")]
    Refused {
        /// Its exception or error.
        reason: String,
    },
    /// It answered something else than was asked for.
    #[error("the client driver answered {answer}, which is not what was asked for: {source}")]
    Unexpected {
        /// The answer.
        answer: Value,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// A program that is a client of RocketMQ and speaks the driver's protocol: [`Installation`](crate::Installation) in Java,
/// [`GoClient`](crate::GoClient) in Go.
pub trait ClientProgram {
    /// Where its logs go.
    fn logs(&self) -> PathBuf;

    /// The command that starts it, without its arguments. It writes what else it writes into `home`, and the offsets of
    /// broadcasting consumers into `offsets`.
    fn command(&self, home: &Path, offsets: &Path) -> Command;
}

/// The running driver; killed when dropped, and when this process dies.
#[derive(Debug)]
pub(crate) struct Driver {
    child: Child,
    requests: Option<ChildStdin>,
    events: Receiver<Value>,
    /// Events of the consumer that came before an answer.
    consumed: VecDeque<Value>,
    log: PathBuf,
    offsets: PathBuf,
}

impl Driver {
    /// Starts it in a role and returns when its client has started, with the event that said so.
    pub(crate) fn start(
        program: &impl ClientProgram,
        role: &str,
        name_server: SocketAddr,
        settings: &[(&str, String)],
    ) -> Result<(Self, Value), DriverError> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let home = program.logs().join("driver");
        let name = format!("{role}-{}-{number}", std::process::id());
        let (log, offsets) = (home.join(format!("{name}.err")), home.join(format!("{name}.offsets")));
        let io = |source| DriverError::Io { log: log.clone(), source };
        fs::create_dir_all(&home).map_err(io)?;
        let mut command = program.command(&home, &offsets);
        command
            .arg(role)
            .arg(format!("namesrv={name_server}"))
            .args(settings.iter().map(|(name, value)| format!("{name}={value}")))
            .process_group(0)
            .current_dir(&home) // where some of mqadmin's commands write files
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).map_err(io)?);
        let mut child = command.spawn().map_err(io)?;
        let requests = child.stdin.take();
        let (sender, events) = sync_channel(EVENTS);
        if let Some(output) = child.stdout.take() {
            std::thread::Builder::new()
                .name("client-driver".into())
                .spawn(|| forward(output, sender))
                .map_err(io)?;
        }
        let mut driver =
            Self { child, requests, events, consumed: VecDeque::new(), log: log.clone(), offsets };
        let started = driver.answer()?;
        Ok((driver, started))
    }

    /// Asks, and waits for the answer.
    pub(crate) fn ask(&mut self, request: &Value) -> Result<Value, DriverError> {
        let Some(requests) = self.requests.as_mut() else {
            return Err(DriverError::Ended { log: self.log.clone() });
        };
        let line = format!("{request}\n");
        let written = requests.write_all(line.as_bytes()).and_then(|()| requests.flush());
        written.map_err(|source| DriverError::Io { log: self.log.clone(), source })?;
        self.answer()
    }

    /// The next event that is not a consumed message; those are kept.
    fn answer(&mut self) -> Result<Value, DriverError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let event = self.event(deadline.saturating_duration_since(Instant::now()))?;
            let event = event.ok_or_else(|| DriverError::Late { waited: PATIENCE, log: self.log.clone() })?;
            match kind(&event) {
                "consumed" => self.consumed.push_back(event),
                "failed" => return Err(refused(&event)),
                _ => return Ok(event),
            }
        }
    }

    /// The next consumed message, if one comes within `wait`.
    pub(crate) fn consumed(&mut self, wait: Duration) -> Result<Option<Value>, DriverError> {
        if let Some(event) = self.consumed.pop_front() {
            return Ok(Some(event));
        }
        self.event(wait)
    }

    fn event(&self, wait: Duration) -> Result<Option<Value>, DriverError> {
        match self.events.recv_timeout(wait) {
            Ok(event) => Ok(Some(event)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(DriverError::Ended { log: self.log.clone() }),
        }
    }

    /// The operating system's id of it.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Lets the client shut down in order, and waits for that.
    pub(crate) fn quit(mut self) -> Result<Vec<Value>, DriverError> {
        self.ask(&serde_json::json!({ "op": "quit" }))?;
        self.requests = None;
        let _ = self.child.wait();
        Ok(std::mem::take(&mut self.consumed).into())
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.offsets);
        // An empty log says nothing; one that has something to say is kept.
        if fs::metadata(&self.log).is_ok_and(|log| log.len() == 0) {
            let _ = fs::remove_file(&self.log);
        }
    }
}

fn forward(output: ChildStdout, events: SyncSender<Value>) {
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        let Ok(event) = serde_json::from_str(&line) else { continue };
        if events.send(event).is_err() {
            return;
        }
    }
}

fn kind(event: &Value) -> &str {
    event.get("event").and_then(Value::as_str).unwrap_or_default()
}

fn refused(event: &Value) -> DriverError {
    let reason = event.get("reason").and_then(Value::as_str).unwrap_or("no reason given");
    DriverError::Refused { reason: reason.to_owned() }
}
