//! The threads guests run on: their own, so that a guest that spins delays nothing of the host.

mod crew;
mod job;

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use thiserror::Error;

use self::{
    crew::{Crew, Refused},
    job::{Piece, Queued},
};
pub use crew::QUICK;
pub use job::{Calls, ConsumeJob, Job, Panics};

/// Room for the guest's stack (512 KiB) and the host's calls around it.
const STACK_BYTES: usize = 4 << 20;

/// A job that was not taken, given back as it came.
#[derive(Debug, Error)]
pub enum Rejected {
    /// The queue is full: guests are busy.
    #[error("all guest threads are busy and their queue is full")]
    Full(Job),
    /// The threads are shutting down.
    #[error("the guest threads are shutting down")]
    ShuttingDown(Job),
}

impl Rejected {
    /// The job.
    #[must_use]
    pub fn into_job(self) -> Job {
        match self {
            Rejected::Full(job) | Rejected::ShuttingDown(job) => job,
        }
    }
}

/// What the threads have done so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ThreadsStats {
    /// How many threads there are.
    pub threads: usize,
    /// How many of them run a job now.
    pub busy: usize,
    /// Jobs waiting.
    pub queued: usize,
    /// Jobs finished.
    pub finished: u64,
    /// Panics of host code that were contained: each one a defect of the host.
    pub panics: u64,
}

/// How a shutdown went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShutdownReport {
    /// Threads still in a guest when the bound passed. They end with their call.
    pub threads_left: usize,
    /// Jobs dropped without being run; their callbacks were not called.
    pub jobs_dropped: usize,
}

impl ShutdownReport {
    /// Whether everything finished.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.threads_left == 0 && self.jobs_dropped == 0
    }
}

/// What the threads of a pool share.
struct Shared {
    crew: Crew<Queued>,
    panics: Panics,
}

/// A fixed number of threads fed by one bounded queue.
pub struct GuestThreads {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    count: usize,
}

impl GuestThreads {
    /// Starts `threads` threads (at least one) with room for `queue` waiting jobs (at least one).
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn start(threads: usize, queue: usize) -> std::io::Result<Self> {
        let count = threads.max(1);
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let shared =
            Arc::new(Shared { crew: Crew::new(count, queue.max(1), cores), panics: Panics::default() });
        let pool = Self { shared, threads: Mutex::new(Vec::with_capacity(count)), count };
        for number in 0..count {
            match pool.spawn(number) {
                Ok(thread) => pool.handles(|handles| handles.push(thread)),
                Err(error) => {
                    (number..count).for_each(|_| pool.shared.crew.is_missing());
                    // Dropping the pool ends the threads already started.
                    return Err(error);
                }
            }
        }
        Ok(pool)
    }

    fn spawn(&self, number: usize) -> std::io::Result<JoinHandle<()>> {
        let shared = Arc::clone(&self.shared);
        let thread = thread::Builder::new().name(format!("gantry-guest-{number}")).stack_size(STACK_BYTES);
        thread.spawn(move || {
            let mut finished = 0;
            while let Some(piece) = shared.crew.next(number, finished) {
                finished = shared.run(piece);
            }
        })
    }

    fn handles<T>(&self, act: impl FnOnce(&mut Vec<JoinHandle<()>>) -> T) -> T {
        act(&mut self.threads.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Queues a job if there is room. Never blocks. The job runs in the span that is current now.
    ///
    /// # Errors
    /// The job itself, when the queue is full or closed.
    pub fn try_submit(&self, job: impl Into<Job>) -> Result<(), Rejected> {
        let queued = Queued::new(tracing::Span::current(), job.into());
        let Err(refused) = self.shared.crew.push(queued) else { return Ok(()) };
        let (queued, rejected): (_, fn(Job) -> Rejected) = match refused {
            Refused::Full(queued) => (queued, Rejected::Full),
            Refused::Closed(queued) => (queued, Rejected::ShuttingDown),
        };
        // Nobody has taken it: it is still there.
        queued.into_job().map_or(Ok(()), |job| Err(rejected(job)))
    }

    /// What the threads have done so far.
    #[must_use]
    pub fn stats(&self) -> ThreadsStats {
        let (queued, busy, finished) = self.shared.crew.jobs();
        ThreadsStats {
            threads: self.count,
            busy: usize::try_from(busy).unwrap_or(usize::MAX),
            queued,
            finished,
            panics: self.shared.panics.counted(),
        }
    }

    /// Takes no more jobs, finishes those it has, and waits for all that up to `bound`; what is still queued then is
    /// dropped. Blocks the calling thread. A second call waits again.
    pub fn shutdown(&self, bound: Duration) -> ShutdownReport {
        self.shared.crew.close();
        let threads_left = self.shared.crew.wait(bound);
        let jobs_dropped = self.shared.crew.abandon();
        if threads_left == 0 {
            for thread in self.handles(std::mem::take) {
                // A job's panic is contained in the thread: there is nothing to learn from joining but its end.
                let _ = thread.join();
            }
        }
        ShutdownReport { threads_left, jobs_dropped }
    }
}

impl Drop for GuestThreads {
    fn drop(&mut self) {
        self.shared.crew.close();
    }
}

impl fmt::Debug for GuestThreads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuestThreads").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl Shared {
    /// Runs a job, and maybe some of those that came with it: how many. A panic ends neither the thread nor the jobs behind it.
    fn run(&self, piece: Piece) -> usize {
        catch_unwind(AssertUnwindSafe(|| piece.run(&self.panics))).unwrap_or_else(|panic| {
            self.panics.count(&*panic);
            1
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const BOUND: Duration = Duration::from_secs(20);

    #[test]
    fn a_full_queue_gives_the_job_back_without_blocking() {
        let threads = GuestThreads::start(1, 1).unwrap();
        let (go, gate) = mpsc::channel::<()>();
        let (started, has_started) = mpsc::channel();
        let (ran, results) = mpsc::channel();
        threads
            .try_submit(Job::work(move || {
                started.send(()).unwrap();
                gate.recv().unwrap();
            }))
            .unwrap();
        has_started.recv_timeout(BOUND).unwrap();
        threads.try_submit(Job::work(|| ())).unwrap();
        let rejected = threads.try_submit(Job::work(move || ran.send(7).unwrap())).unwrap_err();
        assert!(matches!(rejected, Rejected::Full(_)));
        go.send(()).unwrap();
        let Job::Work(work) = rejected.into_job() else { panic!("it was work") };
        work();
        assert_eq!(results.recv_timeout(BOUND).unwrap(), 7);
        assert!(threads.shutdown(BOUND).is_clean());
    }

    #[test]
    fn a_panic_of_the_host_is_contained_and_counted() {
        let threads = GuestThreads::start(1, 4).unwrap();
        let (ran, results) = mpsc::channel();
        threads.try_submit(Job::work(|| panic!("a defect"))).unwrap();
        threads.try_submit(Job::work(move || ran.send(()).unwrap())).unwrap();
        results.recv_timeout(BOUND).unwrap();
        assert!(threads.shutdown(BOUND).is_clean());
        let stats = threads.stats();
        assert_eq!((stats.panics, stats.finished, stats.busy), (1, 2, 0));
    }

    #[test]
    fn shutdown_finishes_what_is_queued_and_takes_no_more() {
        let threads = GuestThreads::start(2, 8).unwrap();
        let (ran, results) = mpsc::channel();
        for number in 0..8 {
            let ran = ran.clone();
            threads.try_submit(Job::work(move || ran.send(number).unwrap())).unwrap();
        }
        assert!(threads.shutdown(BOUND).is_clean());
        assert_eq!(results.try_iter().count(), 8);
        assert!(matches!(threads.try_submit(Job::work(|| ())), Err(Rejected::ShuttingDown(_))));
    }

    #[test]
    fn shutdown_waits_no_longer_than_its_bound() {
        let threads = GuestThreads::start(1, 4).unwrap();
        let (go, gate) = mpsc::channel::<()>();
        let (started, has_started) = mpsc::channel();
        threads
            .try_submit(Job::work(move || {
                started.send(()).unwrap();
                let _ = gate.recv();
            }))
            .unwrap();
        has_started.recv_timeout(BOUND).unwrap();
        threads.try_submit(Job::work(|| ())).unwrap();
        let report = threads.shutdown(Duration::from_millis(10));
        assert_eq!(report, ShutdownReport { threads_left: 1, jobs_dropped: 1 });
        drop(go);
        assert!(threads.shutdown(BOUND).is_clean());
    }
}
