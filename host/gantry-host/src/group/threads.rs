//! The threads listeners run on: each listener has its own few, so that one in an endless loop occupies nobody else's.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gantry_core::ListenerId;
use gantry_engine::{GuestThreads, Job};

/// Batches of one listener waiting for a thread. A batch beyond is put off and offered again.
const QUEUE: usize = 1024;

/// The threads of every listener of a host.
#[derive(Debug)]
pub(crate) struct ListenerThreads {
    each: usize,
    pools: Mutex<BTreeMap<ListenerId, Arc<GuestThreads>>>,
}

/// A job was not taken: the listener has no threads any more, or more batches wait for them than may.
#[derive(Debug)]
pub(super) struct Busy;

impl ListenerThreads {
    /// `each` threads for every listener, at least one.
    pub(crate) fn new(each: usize) -> Self {
        Self { each, pools: Mutex::default() }
    }

    /// Starts the threads of a listener.
    ///
    /// # Errors
    /// The system has no thread left.
    pub(crate) fn start(&self, listener: ListenerId) -> io::Result<()> {
        let pool = GuestThreads::start(self.each, QUEUE)?;
        self.pools().insert(listener, Arc::new(pool));
        Ok(())
    }

    /// Hands a job to the listener's threads. Never blocks.
    pub(super) fn try_submit(&self, listener: ListenerId, job: Job) -> Result<(), Busy> {
        let pool = self.pools().get(&listener).cloned().ok_or(Busy)?;
        pool.try_submit(job).map_err(|_job| Busy)
    }

    /// Ends the threads of a listener that is gone, after what they have in hand. Blocks for `bound` at most.
    pub(crate) fn retire(&self, listener: ListenerId, bound: Duration) -> bool {
        let pool = self.pools().remove(&listener);
        pool.is_none_or(|pool| pool.shutdown(bound).is_clean())
    }

    /// Ends all threads, after what they have in hand. Blocks for `bound` at most; whether all had ended by then.
    pub(crate) fn shutdown(&self, bound: Duration) -> bool {
        let deadline = Instant::now() + bound;
        let pools = std::mem::take(&mut *self.pools());
        let mut clean = true;
        for pool in pools.into_values() {
            clean &= pool.shutdown(deadline.saturating_duration_since(Instant::now())).is_clean();
        }
        clean
    }

    fn pools(&self) -> MutexGuard<'_, BTreeMap<ListenerId, Arc<GuestThreads>>> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const BOUND: Duration = Duration::from_secs(20);

    #[test]
    fn one_listeners_busy_threads_leave_the_others_alone() {
        let threads = ListenerThreads::new(1);
        let (busy, free) = (ListenerId(1), ListenerId(2));
        threads.start(busy).unwrap();
        threads.start(free).unwrap();
        let (release, released) = mpsc::channel::<()>();
        let (done, ran) = mpsc::channel();
        threads.try_submit(busy, Job::work(move || released.recv_timeout(BOUND).unwrap())).unwrap();
        threads.try_submit(free, Job::work(move || done.send(()).unwrap())).unwrap();
        ran.recv_timeout(BOUND).unwrap();
        release.send(()).unwrap();
        assert!(threads.shutdown(BOUND));
    }

    #[test]
    fn a_retired_listener_takes_nothing_more() {
        let threads = ListenerThreads::new(1);
        threads.start(ListenerId(1)).unwrap();
        assert!(threads.retire(ListenerId(1), BOUND));
        assert!(threads.try_submit(ListenerId(1), Job::work(|| ())).is_err());
    }

    #[test]
    fn a_job_that_does_not_end_in_time_is_told() {
        let threads = ListenerThreads::new(1);
        threads.start(ListenerId(1)).unwrap();
        let (release, released) = mpsc::channel::<()>();
        threads.try_submit(ListenerId(1), Job::work(move || released.recv_timeout(BOUND).unwrap())).unwrap();
        assert!(!threads.shutdown(Duration::from_millis(1)));
        let _the_thread_may_be_gone = release.send(());
    }
}
