//! The clock of deadlines: one thread that advances the engine's epoch.

use std::{
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread::{self, JoinHandle},
    time::Duration,
};

use wasmtime::EngineWeak;

/// Advances the epoch of an engine at a steady pace until it is dropped.
#[derive(Debug)]
pub(crate) struct Ticker {
    /// Dropping it ends the thread at once.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    pub(crate) fn start(engine: EngineWeak, resolution: Duration) -> std::io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let thread = thread::Builder::new().name("gantry-epoch".into()).spawn(move || {
            while stopped.recv_timeout(resolution) == Err(RecvTimeoutError::Timeout) {
                let Some(engine) = engine.upgrade() else { break };
                engine.increment_epoch();
            }
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // The thread runs nothing that can panic; a failed join has no one to be told.
            let _ = thread.join();
        }
    }
}

/// Ticks without end. The engine adds them to the current epoch: there is room, so that it does not wrap.
const NEVER: u64 = u64::MAX >> 2;

/// How many ticks cover `deadline`: rounded up, and one more for the tick that is already under way.
pub(crate) fn ticks_for(deadline: Duration, resolution: Duration) -> u64 {
    // What 64 bits cannot tell, more than five hundred years, is never: division of 128 bits is not for each call.
    let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    if nanoseconds(deadline) == u64::MAX {
        return NEVER;
    }
    nanoseconds(deadline).div_ceil(nanoseconds(resolution).max(1)).saturating_add(1).min(NEVER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_never_cut_short() {
        let resolution = Duration::from_millis(5);
        assert_eq!(ticks_for(Duration::from_millis(10), resolution), 3);
        assert_eq!(ticks_for(Duration::from_millis(11), resolution), 4);
        assert_eq!(ticks_for(Duration::ZERO, resolution), 1);
        assert_eq!(ticks_for(Duration::MAX, resolution), u64::MAX >> 2);
    }

    #[test]
    fn the_thread_ends_with_the_ticker() {
        let engine = wasmtime::Engine::default();
        let ticker = Ticker::start(engine.weak(), Duration::from_secs(3600)).unwrap();
        drop(ticker);
    }
}
