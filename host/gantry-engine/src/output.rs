//! What a guest writes to standard output and standard error.
//!
//! Nothing is inherited: lines go to the log under the plugin's name, bounded in length and number, and the last line
//! of standard error is kept, because there a panic says why it trapped.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use wasmtime_wasi::{
    async_trait,
    cli::{IsTerminal, StdoutStream},
    p2::{OutputStream, Pollable, StreamResult},
};

use crate::granted::{Held, Verdict};

/// Longest line kept, in bytes; the rest of a longer one is dropped.
const MAX_LINE: usize = 1024;
/// Lines logged per call; what a call writes beyond is dropped.
const MAX_LINES_PER_CALL: u32 = 64;

/// Which of the two streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Out,
    Err,
}

#[derive(Debug)]
struct Lines {
    plugin: Arc<str>,
    /// For the bound over all instances.
    held: Arc<Held>,
    stream: Stream,
    partial: Vec<u8>,
    left_in_call: u32,
    /// The last lines of this call, newest last, at most [`MAX_LINE`] bytes together.
    tail: String,
}

/// A bounded line-wise sink, shared by every handle the guest makes to the stream.
#[derive(Clone, Debug)]
pub(crate) struct Output(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    lines: Mutex<Lines>,
    /// Whether anything was written since the call began, which for most calls of most guests is never.
    written: AtomicBool,
}

impl Output {
    pub(crate) fn new(plugin: Arc<str>, stream: Stream, held: &Arc<Held>) -> Self {
        let lines = Lines {
            plugin,
            held: Arc::clone(held),
            stream,
            partial: Vec::new(),
            left_in_call: MAX_LINES_PER_CALL,
            tail: String::new(),
        };
        Self(Arc::new(Shared { lines: Mutex::new(lines), written: AtomicBool::new(false) }))
    }

    fn with<T>(&self, act: impl FnOnce(&mut Lines) -> T) -> T {
        act(&mut self.0.lines.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Forgets what earlier calls wrote.
    pub(crate) fn begin_call(&self) {
        // Whoever wrote was the guest, on the thread that then had its instance.
        if !self.0.written.load(Ordering::Relaxed) {
            return;
        }
        self.0.written.store(false, Ordering::Relaxed);
        self.with(|lines| {
            lines.left_in_call = MAX_LINES_PER_CALL;
            lines.partial.clear();
            lines.tail.clear();
        });
    }

    /// What was written last in this call, if anything.
    pub(crate) fn tail(&self) -> Option<String> {
        self.with(|lines| {
            if !lines.partial.is_empty() {
                lines.end_line();
            }
            (!lines.tail.is_empty()).then(|| lines.tail.clone())
        })
    }
}

impl Lines {
    fn write(&mut self, bytes: &[u8]) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ended) = match part.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (part, false),
            };
            let room = MAX_LINE.saturating_sub(self.partial.len());
            self.partial.extend(text.iter().take(room));
            if ended {
                self.end_line();
            }
        }
    }

    fn end_line(&mut self) {
        let bytes = std::mem::take(&mut self.partial);
        let line = String::from_utf8_lossy(&bytes);
        let line = line.trim_end();
        if line.is_empty() || self.left_in_call == 0 {
            return;
        }
        self.left_in_call -= 1;
        if self.tail.len() + line.len() > MAX_LINE {
            self.tail.clear();
        } else if !self.tail.is_empty() {
            self.tail.push('\n');
        }
        self.tail.push_str(line);
        let (plugin, most) = (&self.plugin, self.held.output.most());
        match self.held.output.admit() {
            Verdict::Dropped => return,
            Verdict::FirstDropped => {
                return tracing::warn!(
                    %plugin,
                    "writes more than {most} lines a second to standard output and error; the rest of this second is dropped"
                );
            }
            Verdict::Written { dropped_before: 0 } => {}
            Verdict::Written { dropped_before } => {
                tracing::warn!(%plugin, "{dropped_before} lines of its standard output and error were dropped");
            }
        }
        match self.stream {
            Stream::Out => tracing::debug!(plugin = %self.plugin, "stdout: {line}"),
            Stream::Err => tracing::info!(plugin = %self.plugin, "stderr: {line}"),
        }
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        // Only WASI 0.3 asks for this form, which is not offered.
        Box::new(tokio::io::empty())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {}
}

impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.0.written.store(true, Ordering::Relaxed);
        self.with(|lines| lines.write(&bytes));
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(64 * 1024)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::granted::Grants;

    fn held() -> Arc<Held> {
        Arc::new(Held::new(&Grants::NONE))
    }

    fn output() -> Output {
        Output::new("orders".into(), Stream::Err, &held())
    }

    #[test]
    fn over_all_instances_so_many_lines_a_second_reach_the_log() {
        let held = held();
        let instances = [0, 1].map(|_| Output::new("orders".into(), Stream::Err, &held));
        for round in 0..10_u64 {
            for mut output in instances.clone() {
                output.begin_call();
                (0..50).for_each(|_| output.write(Bytes::from_static(b"line\n")).unwrap());
            }
            assert!(held.output.dropped() <= (round + 1) * 100);
        }
        assert!(held.output.dropped() > 0, "1,000 lines at once");
        assert_eq!(
            instances[0].tail().as_deref().map(|tail| tail.lines().count()),
            Some(50),
            "last words are kept"
        );
    }

    #[test]
    fn the_tail_holds_the_last_lines_of_the_call() {
        let mut output = output();
        output.write(Bytes::from_static(b"panicked at src/lib.rs\nindex ")).unwrap();
        output.write(Bytes::from_static(b"out of bounds")).unwrap();
        assert_eq!(output.tail().as_deref(), Some("panicked at src/lib.rs\nindex out of bounds"));
        output.begin_call();
        assert_eq!(output.tail(), None);
    }

    #[test]
    fn a_flood_is_bounded_in_length_and_in_number() {
        let mut output = output();
        for _ in 0..1000 {
            output.write(Bytes::from(vec![b'x'; 5000])).unwrap();
        }
        assert_eq!(output.tail().map(|tail| tail.len()), Some(MAX_LINE));
        for _ in 0..1000 {
            output.write(Bytes::from_static(b"line\n")).unwrap();
        }
        assert_eq!(output.with(|lines| lines.left_in_call), 0);
        assert!(output.tail().unwrap().len() <= MAX_LINE);
    }
}
