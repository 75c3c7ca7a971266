//! Child processes that never outlive their owner.

use crate::cluster::StartError;
use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A server in the background, killed when dropped.
///
/// A shell stands by, reading from a pipe that only this process holds: when this process dies in whatever way, the
/// pipe closes and the shell kills the server.
#[derive(Debug)]
pub(crate) struct Process {
    server: Child,
    watch: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it with its output going to `log`, in a process group of its own, so that Ctrl-C does not reach it.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Result<Self, StartError> {
        let io = |source| StartError::Io { path: log.to_path_buf(), source };
        let file = File::options().create(true).append(true).open(log).map_err(io)?;
        let again = file.try_clone().map_err(io)?;
        command.stdin(Stdio::null()).stdout(file).stderr(again).process_group(0);
        let mut server = command.spawn().map_err(io)?;
        let mut watch = Command::new("sh");
        watch.args(["-c", "read _; kill -9 \"$1\"", "watch", &server.id().to_string()]);
        watch.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        match watch.spawn() {
            Ok(watch) => Ok(Self { server, watch, log: log.to_path_buf() }),
            Err(error) => {
                let _ = server.kill();
                let _ = server.wait();
                Err(io(error))
            }
        }
    }

    /// The operating system's id of it.
    pub(crate) fn id(&self) -> u32 {
        self.server.id()
    }

    /// Whether it still runs.
    pub(crate) fn runs(&mut self) -> bool {
        matches!(self.server.try_wait(), Ok(None))
    }

    /// Where its output goes.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The watch first: afterwards the server's id may belong to another process.
        let _ = self.watch.kill();
        let _ = self.watch.wait();
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    fn exists(id: u32) -> bool {
        Path::new("/proc").join(id.to_string()).exists()
    }

    fn gone(id: u32) -> bool {
        let deadline = Instant::now() + Duration::from_secs(60);
        while exists(id) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        !exists(id)
    }

    #[test]
    fn a_dropped_process_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let process =
            Process::start(Command::new("sleep").arg("600"), &directory.path().join("log")).unwrap();
        let id = process.id();
        assert!(exists(id));
        drop(process);
        assert!(gone(id));
    }

    #[test]
    fn a_process_dies_when_its_owner_was_killed() {
        let directory = tempfile::tempdir().unwrap();
        let mut process =
            Process::start(Command::new("sleep").arg("600"), &directory.path().join("log")).unwrap();
        drop(process.watch.stdin.take()); // as the kernel does with a killed owner's pipes
        let _ = process.server.wait();
        assert!(!process.runs());
    }
}
