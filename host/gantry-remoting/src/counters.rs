//! What a client has done so far, in numbers.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// One monotonic count.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, n: usize) {
        self.0.fetch_add(n as u64, Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// The counts of one client, shared by its connections.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) connects: Counter,
    pub(crate) connect_failures: Counter,
    pub(crate) closes: Counter,
    pub(crate) bad_frames: Counter,
    pub(crate) frames_in: Counter,
    pub(crate) bytes_in: Counter,
    pub(crate) frames_out: Counter,
    pub(crate) bytes_out: Counter,
    pub(crate) late_answers: Counter,
    pub(crate) requests_refused: Counter,
    pub(crate) timeouts: Counter,
}

impl Counters {
    pub(crate) fn snapshot(&self) -> Stats {
        Stats {
            connects: self.connects.get(),
            connect_failures: self.connect_failures.get(),
            closes: self.closes.get(),
            bad_frames: self.bad_frames.get(),
            frames_in: self.frames_in.get(),
            bytes_in: self.bytes_in.get(),
            frames_out: self.frames_out.get(),
            bytes_out: self.bytes_out.get(),
            late_answers: self.late_answers.get(),
            requests_refused: self.requests_refused.get(),
            timeouts: self.timeouts.get(),
        }
    }
}

/// Counts since the client was made, over all its connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Connections made.
    pub connects: u64,
    /// Attempts to connect that failed.
    pub connect_failures: u64,
    /// Connections that ended.
    pub closes: u64,
    /// Connections that ended because the peer sent bytes that are no frame.
    pub bad_frames: u64,
    /// Frames read.
    pub frames_in: u64,
    /// Bytes read.
    pub bytes_in: u64,
    /// Frames written.
    pub frames_out: u64,
    /// Bytes written.
    pub bytes_out: u64,
    /// Answers that nobody awaited any more.
    pub late_answers: u64,
    /// Requests of a peer turned away because too many were being processed.
    pub requests_refused: u64,
    /// Calls that had no answer in time.
    pub timeouts: u64,
}
