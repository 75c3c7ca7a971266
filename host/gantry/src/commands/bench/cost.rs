//! What processes cost: CPU time and memory, where the system has Linux's `/proc`.

use std::path::PathBuf;
use std::time::Duration;

/// A process to look at.
#[derive(Debug, Clone)]
pub(super) struct Process(PathBuf);

impl Process {
    /// This one.
    pub(super) fn this() -> Self {
        Self("/proc/self".into())
    }

    /// Another.
    pub(super) fn of(id: u32) -> Self {
        Self(format!("/proc/{id}").into())
    }

    /// CPU time of all its living threads, to the nanosecond; `/proc/PID/stat` would count in hundredths of a second.
    pub(super) fn cpu(&self) -> Option<Duration> {
        let mut nanoseconds = 0;
        for thread in std::fs::read_dir(self.0.join("task")).ok()? {
            // A thread may end while it is looked at.
            let Ok(text) = std::fs::read_to_string(thread.ok()?.path().join("schedstat")) else { continue };
            nanoseconds += text.split_whitespace().next()?.parse::<u64>().ok()?;
        }
        Some(Duration::from_nanos(nanoseconds))
    }

    /// A field of `/proc/PID/status` that counts kB, such as `VmRSS`, in MB.
    pub(super) fn memory(&self, field: &str) -> Option<f64> {
        let text = std::fs::read_to_string(self.0.join("status")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
        let kilobytes: f64 = line.split_whitespace().next()?.parse().ok()?;
        Some(kilobytes * 1024.0 / 1e6)
    }
}
