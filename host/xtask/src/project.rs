//! Where things are in the project, and running commands with an error that says what to do.

use anyhow::{Context as _, Result, bail};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The project's directories, all derived from its root.
#[derive(Debug, Clone)]
pub(crate) struct Project {
    root: PathBuf,
}

impl Project {
    /// The project this xtask was compiled from.
    pub(crate) fn locate() -> Result<Self> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = manifest.ancestors().nth(2).context("host/xtask is not two levels below the root")?;
        Ok(Self { root: root.to_path_buf() })
    }

    /// A path below the root.
    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.root.join(below)
    }

    /// The root itself.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Cargo's target directory for guests: apart from the host's, because the compiler may be another one.
    pub(crate) fn guest_target(&self) -> PathBuf {
        self.path("target/guests")
    }

    /// Where finished components are.
    pub(crate) fn components(&self) -> PathBuf {
        self.path("target/guests/components")
    }
}

/// The cargo that runs this xtask, or the one on the path.
pub(crate) fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// Runs a command with its output passed through; an error names `step` and the command line.
pub(crate) fn run(step: &str, command: &mut Command) -> Result<()> {
    let line = display(command);
    let status = command.status().with_context(|| format!("{step}: cannot start `{line}`"))?;
    if !status.success() {
        bail!("{step} failed ({status}): `{line}`");
    }
    Ok(())
}

/// As [`run`], but kills the command when it takes longer than `limit`.
pub(crate) fn run_within(step: &str, command: &mut Command, limit: Duration) -> Result<()> {
    let line = display(command);
    let mut child = command.spawn().with_context(|| format!("{step}: cannot start `{line}`"))?;
    let deadline = Instant::now() + limit;
    loop {
        match child.try_wait()? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => bail!("{step} failed ({status}): `{line}`"),
            None if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(50)),
            None => {
                child.kill()?;
                child.wait()?;
                bail!("{step} took longer than {} s: `{line}`", limit.as_secs());
            }
        }
    }
}

/// Runs a command and returns its standard output as text; an error carries what it wrote to standard error.
pub(crate) fn capture(step: &str, command: &mut Command) -> Result<String> {
    let line = display(command);
    let output = output(step, command)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{step} failed ({}): `{line}`\n{}", output.status, said.trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("{step}: `{line}` did not print text"))
}

/// Runs a command to its end, whatever its status.
pub(crate) fn output(step: &str, command: &mut Command) -> Result<Output> {
    let line = display(command);
    command.stdin(Stdio::null()).output().with_context(|| format!("{step}: cannot start `{line}`"))
}

fn display(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|part| part.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ")
}
