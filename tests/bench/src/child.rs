//! A consumer or broker as a child process: what it says, what it has used so far, and its end.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child as Process, ChildStdout, Command};
use tokio::time::timeout;

/// How long a child may take to stop.
const STOPPING: Duration = Duration::from_secs(240);
/// What `/proc` counts CPU time in (`USER_HZ`), the same on every machine.
const TICKS_PER_SECOND: u32 = 100;

/// A child that prints JSON lines. It is killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Child {
    process: Process,
    id: u32,
    lines: Lines<BufReader<ChildStdout>>,
    started_at: u64,
}

impl Child {
    /// Starts it, with what it writes to standard error in `log`.
    pub(crate) fn start(command: std::process::Command, log: &Path) -> anyhow::Result<Self> {
        let program = command.get_program().to_string_lossy().into_owned();
        let errors = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut command = Command::from(command);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors).kill_on_drop(true);
        let started_at = crate::tally::nanoseconds();
        let mut process = command.spawn().with_context(|| format!("cannot start {program}"))?;
        let id = process.id().context("a child without an id")?;
        let output = process.stdout.take().context("a child without standard output")?;
        Ok(Self { process, id, lines: BufReader::new(output).lines(), started_at })
    }

    /// When it was started, in nanoseconds since the epoch.
    pub(crate) fn started_at(&self) -> u64 {
        self.started_at
    }

    /// The line of this event; lines that are none are passed over.
    pub(crate) async fn event(&mut self, name: &str, patience: Duration) -> anyhow::Result<Value> {
        let found = async {
            while let Some(line) = self.lines.next_line().await? {
                let Ok(event) = serde_json::from_str::<Value>(&line) else { continue };
                if event.get("event").and_then(Value::as_str) == Some(name) {
                    return Ok(event);
                }
            }
            bail!("it ended before it said {name:?}")
        };
        timeout(patience, found).await.with_context(|| format!("it did not say {name:?} in {patience:?}"))?
    }

    /// CPU time of the process up to now. None where the system does not tell.
    ///
    /// The threads that live, to the nanosecond; or the process with the threads that have ended, in hundredths of a second,
    /// where that is more.
    pub(crate) fn cpu(&self) -> Option<Duration> {
        Some(self.cpu_of_living_threads()?.max(self.cpu_in_ticks()?))
    }

    fn cpu_of_living_threads(&self) -> Option<Duration> {
        let mut nanoseconds = 0;
        for thread in std::fs::read_dir(format!("/proc/{}/task", self.id)).ok()? {
            // A thread may end while it is looked at.
            let Ok(text) = std::fs::read_to_string(thread.ok()?.path().join("schedstat")) else { continue };
            nanoseconds += text.split_whitespace().next()?.parse::<u64>().ok()?;
        }
        Some(Duration::from_nanos(nanoseconds))
    }

    /// `utime` and `stime` of `/proc/PID/stat`, behind the name in parentheses, which may hold anything.
    fn cpu_in_ticks(&self) -> Option<Duration> {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.id)).ok()?;
        let (_, behind) = text.rsplit_once(')')?;
        let mut times = behind.split_whitespace().skip(11);
        let mut ticks = || times.next()?.parse::<u64>().ok();
        Some(Duration::from_secs(1) * u32::try_from(ticks()? + ticks()?).ok()? / TICKS_PER_SECOND)
    }

    /// The most memory it has had resident (`VmHWM`), in MB. None where the system does not tell.
    pub(crate) fn peak_memory(&self) -> Option<f64> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.id)).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kilobytes: f64 = line.split_whitespace().next()?.parse().ok()?;
        Some(kilobytes * 1024.0 / 1e6)
    }

    /// Ends its standard input; its last word.
    pub(crate) async fn close(mut self) -> anyhow::Result<Value> {
        drop(self.process.stdin.take());
        let stopped = self.event("stopped", STOPPING).await?;
        self.ended().await?;
        Ok(stopped)
    }

    /// Asks it to stop (SIGTERM), and waits until it has.
    pub(crate) async fn terminate(mut self) -> anyhow::Result<()> {
        let id = Pid::from_raw(i32::try_from(self.id)?).context("a child without an id")?;
        kill_process(id, Signal::TERM).context("it cannot be asked to stop")?;
        self.ended().await
    }

    async fn ended(&mut self) -> anyhow::Result<()> {
        let status = timeout(STOPPING, self.process.wait()).await.context("it does not stop")??;
        anyhow::ensure!(status.success(), "it ended with {status}");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> (Child, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let mut command = std::process::Command::new("sh");
        command.args(["-c", script]);
        (Child::start(command, &directory.path().join("log")).unwrap(), directory)
    }

    #[tokio::test]
    async fn a_child_is_heard_and_closed() {
        let script =
            r#"echo noise; echo '{"event":"first","count":3}'; cat; echo '{"event":"stopped","count":9}'"#;
        let (mut child, _directory) = shell(script);
        let first = child.event("first", STOPPING).await.unwrap();
        assert_eq!(first["count"], 3);
        assert_eq!(child.close().await.unwrap()["count"], 9);
    }

    #[tokio::test]
    async fn a_child_that_ends_too_soon_is_an_error() {
        let (mut child, _directory) = shell("exit 3");
        assert!(child.event("first", STOPPING).await.unwrap_err().to_string().contains("ended before"));
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn the_time_of_a_child_is_its_own() {
        let busy = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; echo '{\"event\":\"end\"}'; cat";
        let (mut child, _directory) = shell(busy);
        let before = child.cpu().unwrap();
        child.event("end", STOPPING).await.unwrap();
        assert!(child.cpu().unwrap() > before);
        // Both ways of counting tell the same of a process without other threads, but for what has not made a tick: once it
        // only waits.
        let (exact, ticks) = loop {
            let (exact, ticks) = (child.cpu_of_living_threads().unwrap(), child.cpu_in_ticks().unwrap());
            if child.cpu_of_living_threads() == Some(exact) {
                break (exact, ticks);
            }
        };
        assert!(exact >= ticks && exact - ticks <= Duration::from_millis(20), "{exact:?}, {ticks:?}");
        assert!(child.peak_memory().unwrap() > 0.1);
    }
}
