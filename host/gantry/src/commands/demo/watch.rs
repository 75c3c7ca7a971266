//! What the demo sees of its host: sums for the book, lines for the eye.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gantry_host::{Observer, PluginChange, Settled, SettledAs};
use gantry_protocol::delay_level;
use tokio::sync::mpsc;

use super::tally::{Ending, Tally};

/// Lines waiting to be printed; when a fast demo outruns the terminal, lines are left out, never sums.
const LINES: usize = 4096;

/// Listens to the host.
pub(super) struct Watch {
    tally: Mutex<Tally>,
    lines: mpsc::Sender<String>,
    began: Instant,
}

impl Watch {
    /// A watch, and the lines it writes.
    pub(super) fn new() -> (Self, mpsc::Receiver<String>) {
        let (lines, receiver) = mpsc::channel(LINES);
        (Self { tally: Mutex::default(), lines, began: Instant::now() }, receiver)
    }

    /// The book.
    pub(super) fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a line with the time before it.
    pub(super) fn line(&self, text: &str) {
        let _too_many = self.lines.try_send(format!("{:8.3}s  {text}", self.began.elapsed().as_secs_f64()));
    }
}

impl Observer for Watch {
    fn settled(&self, settled: &Settled<'_>) {
        let id = settled.message.unique_key().unwrap_or_default();
        let name = settled.message.keys().unwrap_or(id);
        let times = settled.reconsume_times;
        let (ending, what) = match &settled.as_ {
            SettledAs::Success if times > 0 => (Ending::Success, format!("success after {times} retries")),
            SettledAs::Success => (Ending::Success, "success".to_owned()),
            SettledAs::Dropped { reason } => (Ending::Dead, format!("dropped: {reason}")),
            SettledAs::DeadLetter { reason } => (Ending::Dead, format!("dead letter: {reason}")),
            SettledAs::ReconsumeLater { level } => {
                let level = if *level == 0 { delay_level::level_for_retry(times) } else { i32::from(*level) };
                let delay = Duration::from_millis(delay_level::delay_ms(level));
                (Ending::Later(delay), format!("reconsume later: retry {} in {delay:?}", times + 1))
            }
        };
        self.tally().settled(Instant::now(), id, times, ending);
        let failure = settled.failure.map(|failure| format!(" ({failure})")).unwrap_or_default();
        self.line(&format!("{name:<8} v{:<6} {what}{failure}", settled.version));
    }

    fn plugin_changed(&self, change: &PluginChange) {
        let version =
            change.version.as_deref().map(|version| format!(" version {version}")).unwrap_or_default();
        let reason = change.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
        self.line(&format!("-- plugin {}{version} {}{reason}", change.plugin, change.state));
    }
}
