//! What a consumer of the bench says of itself, one JSON object a line: `first`, `end` with the count so far and the time, and
//! when its standard input ends `stopped` with all there was. Consumers in other languages say the same.

use std::io::Read as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

/// Counts messages, and latencies where bodies begin with the time they were sent.
#[derive(Debug)]
pub(crate) struct Tally {
    wanted: u64,
    begun: AtomicBool,
    count: AtomicU64,
    latencies: Mutex<Vec<u64>>,
}

impl Tally {
    /// For as many messages.
    pub(crate) fn new(wanted: u64) -> Self {
        let (begun, count) = (AtomicBool::new(false), AtomicU64::new(0));
        Self { wanted, begun, count, latencies: Mutex::default() }
    }

    /// So many more; says so if they are the first, or bring the count to what is wanted.
    pub(crate) fn add(&self, messages: u64) {
        let before = self.count.fetch_add(messages, Ordering::Relaxed);
        let now = before + messages;
        if !self.begun.load(Ordering::Relaxed) && !self.begun.swap(true, Ordering::Relaxed) {
            say("first", now);
        }
        if before < self.wanted && now >= self.wanted {
            say("end", now);
        }
    }

    /// One message with the time it was sent. The time 0 only shows that messages arrive, and is not counted.
    pub(crate) fn time(&self, body: &[u8]) {
        let Some(sent) = sent(body) else { return self.add(0) };
        let latency = nanoseconds().saturating_sub(sent);
        self.latencies.lock().unwrap_or_else(PoisonError::into_inner).push(latency);
        self.add(1);
    }

    /// Waits until whoever started this program wants it to end.
    pub(crate) fn wait_for_stdin(&self) {
        let _ended = std::io::stdin().read_to_end(&mut Vec::new());
        self.stopped();
    }

    /// The last word.
    pub(crate) fn stopped(&self) {
        let latencies = self.latencies.lock().unwrap_or_else(PoisonError::into_inner);
        let count = self.count.load(Ordering::SeqCst);
        println!("{}", json!({ "event": "stopped", "count": count, "latencies": *latencies }));
    }
}

/// When a message was sent, by the first eight bytes of its body.
pub(crate) fn sent(body: &[u8]) -> Option<u64> {
    body.first_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes)).filter(|time| *time != 0)
}

fn say(event: &str, count: u64) {
    println!("{}", json!({ "event": event, "count": count, "at": nanoseconds() }));
}

/// Nanoseconds since the epoch: the clock all processes of the bench share.
pub(crate) fn nanoseconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
