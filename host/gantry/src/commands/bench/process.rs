//! This program as a child process.

use std::ffi::OsStr;
use std::process::Stdio;

use anyhow::Context as _;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use super::PATIENCE;
use super::cost::Process;

/// A child that prints JSON lines. It is killed when it is dropped.
pub(super) struct Gantry {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    process: Process,
}

impl Gantry {
    pub(super) fn start<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("this program's file cannot be found")?;
        let mut command = Command::new(&program);
        command.args(arguments).args(["--json", "--log", "error"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        let stdout = child.stdout.take().context("a child without standard output")?;
        let process = Process::of(child.id().context("a child without an id")?);
        Ok(Self { child, lines: BufReader::new(stdout).lines(), process })
    }

    /// Waits for the line of this event.
    pub(super) async fn event(&mut self, name: &str) -> anyhow::Result<Value> {
        let found = async {
            while let Some(line) = self.lines.next_line().await? {
                let event: Value =
                    serde_json::from_str(&line).with_context(|| format!("not JSON: {line}"))?;
                if event.get("event").and_then(Value::as_str) == Some(name) {
                    return Ok(event);
                }
            }
            anyhow::bail!("the child ended before it said {name:?}")
        };
        timeout(PATIENCE, found).await.with_context(|| format!("the child did not say {name:?}"))?
    }

    pub(super) fn process(&self) -> &Process {
        &self.process
    }

    pub(super) async fn end(mut self) {
        // It may have ended by itself, which is as good.
        let _ended = self.child.kill().await;
    }
}
