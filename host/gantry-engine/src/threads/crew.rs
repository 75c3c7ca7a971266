//! Which threads of a pool are awake: as few as keep up with the jobs.
//!
//! To wake a thread costs more than a quick job takes, so a job is left to threads that are awake as long as these keep up.
//! Nobody asks the clock for each job to know that: while jobs wait, one of the resting threads watches. It looks at
//! intervals, short ones at first, how many were taken since; where jobs turn out to be slow it calls a thread for each that
//! waits. So slow jobs, which mostly wait for something else, run on all threads at once a tenth of a millisecond later than
//! they could, and quick ones on one thread, or on a few where they come faster than it takes them.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Jobs waiting for each thread that is awake before another is called without knowing how long they take: as many quick ones as
/// take about as long as it does until the watcher looks.
const BACKLOG: usize = 512;
/// A job that takes longer is worth a thread of its own.
pub const QUICK: Duration = Duration::from_micros(50);
/// How long a watcher waits before it looks for the first time, and again after it has called somebody.
const FIRST_LOOK: Duration = Duration::from_micros(100);
/// How long it waits at most between two looks; each time twice as long as the time before.
const RAREST_LOOK: Duration = Duration::from_micros(1600);

/// What waits for a thread: a job, or several, which threads take one by one.
pub(super) trait Waiting {
    /// One job.
    type Job;

    /// How many have not been taken.
    fn left(&self) -> usize;

    /// Takes the next; none when there is none any more.
    fn take(&mut self) -> Option<Self::Job>;
}

/// A bounded queue of jobs, and what each of a fixed number of threads does about it.
pub(super) struct Crew<T> {
    state: Mutex<State<T>>,
    /// One for each thread.
    bells: Box<[Condvar]>,
    /// A thread has ended.
    ended: Condvar,
}

/// Why a job is not taken, with the job.
pub(super) enum Refused<T> {
    Full(T),
    Closed(T),
}

struct State<T> {
    waiting: VecDeque<Entry<T>>,
    /// How many entries may wait.
    room: usize,
    /// How many jobs all that waits was counted as; some of them may have been begun since.
    jobs: usize,
    open: bool,
    /// What each thread does.
    duties: Box<[Duty]>,
    /// Those that rest; the last one has rested for the shortest time and is called first.
    resting: Vec<usize>,
    watcher: Option<usize>,
    /// Those that run jobs, or were called to.
    awake: usize,
    /// How many run quick jobs at a time.
    cores: usize,
    /// Threads that have not ended.
    live: usize,
    /// Jobs taken so far.
    taken: u64,
    /// Of these, those that have ended.
    finished: u64,
}

struct Entry<T> {
    jobs: T,
    /// How many jobs of it are counted as waiting. It may lose some by itself.
    counted: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Duty {
    Work,
    Rest,
    Watch,
}

impl<T: Waiting> Crew<T> {
    /// For `threads` threads, each of which calls [`Crew::next`] until there is nothing more, and room for `room` waiting
    /// entries; on a machine of so many cores.
    pub(super) fn new(threads: usize, room: usize, cores: usize) -> Self {
        let state = State {
            waiting: VecDeque::new(),
            room,
            jobs: 0,
            open: true,
            duties: vec![Duty::Work; threads].into(),
            resting: Vec::with_capacity(threads),
            watcher: None,
            awake: threads,
            cores: cores.clamp(1, threads.max(1)),
            live: threads,
            taken: 0,
            finished: 0,
        };
        let bells = std::iter::repeat_with(Condvar::new).take(threads).collect();
        Self { state: Mutex::new(state), bells, ended: Condvar::new() }
    }

    /// Queues jobs, and calls whoever is needed for them. Never blocks for long.
    pub(super) fn push(&self, jobs: T) -> Result<(), Refused<T>> {
        let mut state = self.lock();
        if !state.open {
            return Err(Refused::Closed(jobs));
        }
        if state.waiting.len() >= state.room {
            return Err(Refused::Full(jobs));
        }
        state.put(jobs);
        let called = state.needed();
        drop(state);
        self.ring(called);
        Ok(())
    }

    /// The next job for the thread with this index, which rests until there is one; none when there will be none any more,
    /// and the thread has ended. `finished` is how many jobs it has ended since: the one it was given, and those of its entry
    /// that it began itself.
    pub(super) fn next(&self, me: usize, finished: usize) -> Option<T::Job> {
        let mut state = self.lock();
        state.ended(finished);
        loop {
            if let Some(job) = state.take() {
                return Some(job);
            }
            if !state.open {
                state.live -= 1;
                self.ended.notify_all();
                return None;
            }
            state = self.rest(state, me);
        }
    }

    /// A thread that was not started is none.
    pub(super) fn is_missing(&self) {
        let mut state = self.lock();
        state.live -= 1;
        state.awake -= 1;
    }

    /// Takes no more jobs; threads end when none waits any more.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.open = false;
        let called: Vec<_> = std::iter::from_fn(|| state.call()).collect();
        drop(state);
        self.ring(called);
    }

    /// Waits until all threads have ended, or for `bound`. How many have not.
    pub(super) fn wait(&self, bound: Duration) -> usize {
        let waited = self.ended.wait_timeout_while(self.lock(), bound, |state| state.live > 0);
        waited.unwrap_or_else(PoisonError::into_inner).0.live
    }

    /// How many jobs wait, run, and have ended.
    pub(super) fn jobs(&self) -> (usize, u64, u64) {
        let state = self.lock();
        (state.left(), state.taken - state.finished, state.finished)
    }

    /// Gives up the jobs that wait. How many there were.
    pub(super) fn abandon(&self) -> usize {
        let mut state = self.lock();
        let jobs = state.left();
        let waiting = std::mem::take(&mut state.waiting);
        state.jobs = 0;
        drop(state);
        drop(waiting);
        jobs
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring(&self, called: impl IntoIterator<Item = usize>) {
        called.into_iter().filter_map(|index| self.bells.get(index)).for_each(Condvar::notify_one);
    }

    /// Until this thread is called to work.
    fn rest<'a>(&'a self, mut state: MutexGuard<'a, State<T>>, me: usize) -> MutexGuard<'a, State<T>> {
        let Some(bell) = self.bells.get(me) else { return state };
        state.awake -= 1;
        state.set(me, Duty::Rest);
        state.resting.push(me);
        loop {
            state = match state.duty(me) {
                Duty::Work => return state,
                Duty::Rest => bell.wait(state).unwrap_or_else(PoisonError::into_inner),
                Duty::Watch => self.watch(state, bell, me),
            };
        }
    }

    /// Until there is nothing to watch any more.
    fn watch<'a>(
        &'a self,
        mut state: MutexGuard<'a, State<T>>,
        bell: &Condvar,
        me: usize,
    ) -> MutexGuard<'a, State<T>> {
        let (mut interval, mut taken) = (FIRST_LOOK, state.taken);
        while state.duty(me) == Duty::Watch {
            let waited = bell.wait_timeout(state, interval).unwrap_or_else(PoisonError::into_inner);
            state = waited.0;
            if !waited.1.timed_out() || state.duty(me) != Duty::Watch {
                continue;
            }
            let just_taken = state.taken - taken;
            taken = state.taken;
            let called = state.look(me, interval, just_taken);
            interval = if called.is_empty() { RAREST_LOOK.min(interval * 2) } else { FIRST_LOOK };
            self.ring(called);
        }
        state
    }
}

impl<T: Waiting> State<T> {
    fn put(&mut self, jobs: T) {
        let counted = jobs.left();
        self.jobs += counted;
        self.waiting.push_back(Entry { jobs, counted });
    }

    /// The next job of the first entry. None of a later one is begun before: who takes back what nobody has begun takes back what
    /// is behind all that was, so that no gap is left among a queue's messages.
    fn take(&mut self) -> Option<T::Job> {
        while let Some(entry) = self.waiting.front_mut() {
            let job = entry.jobs.take();
            if self.recount() == Some(0) {
                self.waiting.pop_front();
            }
            if job.is_some() {
                self.taken += 1;
                return job;
            }
        }
        None
    }

    /// Counts the first entry anew, which loses jobs by itself: to the threads that run it, and where they are taken back. How
    /// many it has.
    fn recount(&mut self) -> Option<usize> {
        let entry = self.waiting.front_mut()?;
        let left = entry.jobs.left().min(entry.counted);
        self.jobs -= entry.counted - left;
        entry.counted = left;
        Some(left)
    }

    /// How many jobs wait now.
    fn left(&self) -> usize {
        self.waiting.iter().map(|entry| entry.jobs.left()).sum()
    }

    /// A thread has ended so many jobs, of which it was given one.
    fn ended(&mut self, finished: usize) {
        self.finished += finished as u64;
        self.taken += finished.saturating_sub(1) as u64;
    }

    fn duty(&self, index: usize) -> Duty {
        self.duties.get(index).copied().unwrap_or(Duty::Work)
    }

    fn set(&mut self, index: usize, duty: Duty) {
        if let Some(place) = self.duties.get_mut(index) {
            *place = duty;
        }
    }

    /// Calls whoever is needed for a job that has just come.
    fn needed(&mut self) -> Option<usize> {
        self.recount();
        if self.awake == 0 || self.are_behind() {
            return self.call();
        }
        if self.watcher.is_some() {
            return None;
        }
        let watcher = self.resting.pop()?;
        self.set(watcher, Duty::Watch);
        self.watcher = Some(watcher);
        Some(watcher)
    }

    fn are_behind(&self) -> bool {
        self.awake < self.cores && self.jobs > BACKLOG * self.awake
    }

    /// Calls one thread to work: one that rests, else the one that watches.
    fn call(&mut self) -> Option<usize> {
        let called = self.resting.pop().or_else(|| self.watcher.take())?;
        self.set(called, Duty::Work);
        self.awake += 1;
        Some(called)
    }

    /// What the watcher sees after `interval`, in which `taken` jobs were taken: whom it calls, itself among them where nobody
    /// else rests.
    fn look(&mut self, me: usize, interval: Duration, taken: u64) -> Vec<usize> {
        let nobody = Vec::new();
        self.recount();
        if self.waiting.is_empty() {
            if taken == 0 {
                self.watcher = None;
                self.set(me, Duty::Rest);
                self.resting.insert(0, me);
            }
            return nobody;
        }
        let spent = interval.as_nanos().saturating_mul(self.awake as u128);
        if spent > QUICK.as_nanos().saturating_mul(taken.into()) {
            let wanted = self.jobs;
            return std::iter::from_fn(|| self.call()).take(wanted).collect();
        }
        if self.are_behind() { self.call().into_iter().collect() } else { nobody }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Barrier, mpsc};
    use std::thread;

    use super::*;

    const BOUND: Duration = Duration::from_secs(60);

    /// So many jobs.
    struct Jobs<T>(VecDeque<T>);

    impl<T> Waiting for Jobs<T> {
        type Job = T;

        fn left(&self) -> usize {
            self.0.len()
        }

        fn take(&mut self) -> Option<T> {
            self.0.pop_front()
        }
    }

    fn one<T>(job: T) -> Jobs<T> {
        Jobs(VecDeque::from([job]))
    }

    /// A crew of resting threads that nobody runs.
    fn resting(threads: usize, cores: usize) -> State<Jobs<usize>> {
        let crew = Crew::new(threads, 1024, cores);
        let mut state = crew.state.into_inner().unwrap();
        (state.awake, state.resting) = (0, (0..threads).collect());
        state.duties.fill(Duty::Rest);
        state
    }

    /// Comes with so many jobs; who is called.
    fn come(state: &mut State<Jobs<usize>>, jobs: usize) -> Vec<usize> {
        let job = |job| {
            state.put(one(job));
            state.needed()
        };
        (0..jobs).filter_map(job).collect()
    }

    #[test]
    fn a_job_calls_one_and_the_next_another_that_only_watches() {
        let mut state = resting(4, 2);
        assert_eq!(come(&mut state, 1), [3]);
        assert_eq!(come(&mut state, 10), [2]);
        assert_eq!((state.awake, state.watcher), (1, Some(2)));
    }

    #[test]
    fn a_backlog_calls_as_many_as_there_are_cores() {
        let mut state = resting(8, 2);
        assert_eq!(come(&mut state, 1000), [7, 6, 5]);
        assert_eq!((state.awake, state.watcher), (2, Some(6)));
    }

    #[test]
    fn a_watcher_calls_nobody_while_jobs_are_quick() {
        let mut state = resting(4, 2);
        come(&mut state, 10);
        assert!(state.look(2, FIRST_LOOK, 20).is_empty());
        assert_eq!(state.watcher, Some(2));
    }

    #[test]
    fn a_watcher_calls_one_for_each_slow_job_and_itself_last() {
        let mut state = resting(8, 2);
        come(&mut state, 3);
        state.take();
        assert_eq!(state.look(6, FIRST_LOOK, 1), [5, 4]);
        come(&mut state, 20);
        assert_eq!(state.look(6, FIRST_LOOK, 0), [3, 2, 1, 0, 6]);
        assert_eq!((state.awake, state.watcher), (8, None));
        assert!(state.look(6, FIRST_LOOK, 0).is_empty());
    }

    #[test]
    fn a_watcher_rests_when_nothing_comes() {
        let mut state = resting(4, 2);
        come(&mut state, 2);
        while state.take().is_some() {}
        assert!(state.look(2, FIRST_LOOK, 2).is_empty());
        assert_eq!(state.watcher, Some(2));
        assert!(state.look(2, FIRST_LOOK, 0).is_empty());
        assert_eq!((state.watcher, &state.resting[..]), (None, &[2, 0, 1][..]));
    }

    #[test]
    fn the_watcher_is_called_where_nobody_else_rests() {
        let mut state = resting(2, 2);
        assert_eq!(come(&mut state, 2), [1, 0]);
        while state.take().is_some() {}
        (state.awake, state.duties[1]) = (0, Duty::Work);
        assert_eq!(come(&mut state, 1), [0]);
        assert_eq!((state.awake, state.watcher), (1, None));
    }

    fn start<T: Send + 'static>(threads: usize, run: fn(T)) -> Arc<Crew<Jobs<T>>> {
        let crew = Arc::new(Crew::new(threads, 1024, 2));
        for index in 0..threads {
            let crew = Arc::clone(&crew);
            thread::spawn(move || {
                let mut finished = 0;
                while let Some(job) = crew.next(index, finished) {
                    run(job);
                    finished = 1;
                }
            });
        }
        crew
    }

    #[test]
    fn jobs_that_wait_for_each_other_all_run_at_once() {
        const THREADS: usize = 6;
        let crew = start(THREADS, |(all, done): (Arc<Barrier>, mpsc::Sender<()>)| {
            all.wait();
            done.send(()).unwrap();
        });
        for _ in 0..20 {
            let (all, (done, ended)) = (Arc::new(Barrier::new(THREADS)), mpsc::channel());
            for _ in 0..THREADS {
                assert!(crew.push(one((Arc::clone(&all), done.clone()))).is_ok());
            }
            (0..THREADS).for_each(|_| ended.recv_timeout(BOUND).unwrap());
        }
        crew.close();
        assert_eq!(crew.wait(BOUND), 0);
    }

    #[test]
    fn jobs_of_one_entry_are_taken_one_by_one_and_call_as_many_as_entries_of_one() {
        let mut state = resting(8, 2);
        state.put(Jobs((0..600).collect()));
        assert_eq!(state.needed(), Some(7));
        state.put(one(600));
        assert_eq!(state.needed(), Some(6), "one thread has more than its backlog");
        state.put(one(601));
        assert_eq!(state.needed(), Some(5), "who watches");
        assert_eq!((state.take(), state.take(), state.jobs), (Some(0), Some(1), 600), "in order");
        assert_eq!(state.look(5, FIRST_LOOK, 2), [4, 3, 2, 1, 0, 5], "a thread each, for slow ones");
        state.waiting[0].jobs.0.truncate(1);
        assert_eq!((state.take(), state.jobs), (Some(2), 2), "what an entry loses by itself waits no more");
        assert_eq!([(); 3].map(|()| state.take()), [Some(600), Some(601), None]);
    }

    #[test]
    fn what_a_thread_begins_itself_of_an_entry_waits_no_more_and_counts_as_ended() {
        let mut state = resting(4, 2);
        state.put(Jobs((0..40).collect()));
        assert_eq!(state.needed(), Some(3));
        assert_eq!(state.take(), Some(0));
        state.waiting[0].jobs.0.drain(..31);
        state.put(one(40));
        assert_eq!(state.needed(), Some(2), "who watches: the thread is not behind");
        assert_eq!((state.jobs, state.taken, state.finished), (9, 1, 0));
        state.ended(32);
        assert_eq!((state.take(), state.jobs), (Some(32), 8));
        assert_eq!((state.taken, state.finished), (33, 32));
    }

    #[test]
    fn every_job_runs_once_whoever_pushes_it_and_when() {
        const EACH: u32 = 20_000;
        let crew = start(3, |(job, done): (u32, mpsc::Sender<u32>)| done.send(job).unwrap());
        let (done, ended) = mpsc::channel();
        thread::scope(|scope| {
            for pusher in 0..2 {
                let (crew, done) = (&crew, done.clone());
                scope.spawn(move || {
                    let together = [1, 32][pusher as usize];
                    for first in (0..EACH).step_by(together) {
                        let jobs = first..EACH.min(first + together as u32);
                        let jobs = jobs.map(|job| (pusher * EACH + job, done.clone()));
                        let mut next = Some(Jobs(jobs.collect()));
                        while let Some(jobs) = next.take() {
                            if let Err(Refused::Full(jobs) | Refused::Closed(jobs)) = crew.push(jobs) {
                                thread::yield_now();
                                next = Some(jobs);
                            }
                        }
                        if first % 1000 == 0 {
                            thread::sleep(Duration::from_millis(1));
                        }
                    }
                });
            }
        });
        crew.close();
        assert_eq!(crew.wait(BOUND), 0);
        drop(done);
        let mut all: Vec<_> = ended.iter().collect();
        all.sort_unstable();
        assert_eq!(all, (0..2 * EACH).collect::<Vec<_>>());
    }
}
