//! Whose pull goes out now, where many queues have messages waiting at their brokers.
//!
//! A host that comes back to 500 queues would have 500 answers on their way to it at once, in memory it has to ask the
//! system for and out of every cache when their turn comes. So pulls that are likely to be answered at once wait for
//! each other: never fewer than [`ALWAYS`] are on the way, and more as long as they bring less than [`TOGETHER`]. A
//! pull that is not answered within [`HELD`] is one the broker holds, and counts no longer; so queues without messages
//! delay nobody for long, and a broker that does not answer delays no other.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::tasks::Tasks;

/// Pulls that go out whatever they bring.
const ALWAYS: usize = 8;
/// What pulls on the way may bring together, in bytes, if there are more.
const TOGETHER: u64 = 4 * 1024 * 1024;
/// A pull without an answer for so long is held by its broker.
const HELD: Duration = Duration::from_millis(20);

/// The turns of one host's pulls at one cluster. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct PullTurns(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    tasks: Tasks,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Pulls on the way, the oldest first. Some may be over; the first is not.
    out: VecDeque<Out>,
    /// Those of them that are not over, and what they bring.
    pulls: usize,
    bytes: u64,
    /// In the order they came; at most one of each queue, as a queue has one pull at a time.
    waiting: VecDeque<Waiting>,
    next_id: u64,
    /// Somebody is starting those whose turn it is.
    starting: bool,
    /// A task looks out for pulls that are held.
    watched: bool,
}

struct Out {
    id: u64,
    since: Instant,
    bytes: u64,
    over: bool,
}

struct Waiting {
    bytes: u64,
    start: Box<dyn FnOnce(Turn) + Send>,
}

/// A pull's turn, over when it is dropped: once the answer is there.
#[derive(Debug)]
pub(crate) struct Turn {
    turns: PullTurns,
    id: u64,
    /// Whether it had to be waited for.
    pub(crate) waited: bool,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.lock().is_over(self.id);
        self.turns.start_next();
    }
}

impl PullTurns {
    pub(super) fn new(tasks: &Tasks) -> Self {
        Self(Arc::new(Inner { tasks: tasks.clone(), state: Mutex::default() }))
    }

    /// Calls `start` when it is the turn of a pull that will bring about so many bytes, mostly at once.
    pub(crate) fn take(&self, bytes: u64, start: impl FnOnce(Turn) + Send + 'static) {
        let now = Instant::now();
        let mut state = self.lock();
        state.forget_held(now);
        if state.waiting.is_empty() && state.fits(bytes) {
            let id = state.leaves(now, bytes);
            drop(state);
            return start(Turn { turns: self.clone(), id, waited: false });
        }
        state.waiting.push_back(Waiting { bytes, start: Box::new(start) });
        if !std::mem::replace(&mut state.watched, true) {
            drop(state);
            let this = self.clone();
            self.0.tasks.spawn("pull-turns", async move { this.watch().await });
        }
    }

    /// Starts those whose turn it is. A pull that fails at once ends its turn in here: the next is started by the loop
    /// that is running already, and not one inside the other.
    fn start_next(&self) {
        let mut state = self.lock();
        if std::mem::replace(&mut state.starting, true) {
            return;
        }
        loop {
            let now = Instant::now();
            state.forget_held(now);
            let Some(next) = state.next() else { break };
            let id = state.leaves(now, next.bytes);
            drop(state);
            (next.start)(Turn { turns: self.clone(), id, waited: true });
            state = self.lock();
        }
        state.starting = false;
    }

    /// Passes the turn on from pulls that are held, as long as any wait.
    async fn watch(&self) {
        while let Some(due) = self.next_look() {
            tokio::select! {
                () = tokio::time::sleep_until(due) => self.start_next(),
                () = self.0.tasks.cancelled() => return,
            }
        }
    }

    /// When the oldest pull on the way counts as held; none if nobody waits.
    fn next_look(&self) -> Option<Instant> {
        let mut state = self.lock();
        state.watched = !state.waiting.is_empty();
        let soon = Instant::now() + Duration::from_millis(1);
        state.watched.then(|| state.out.front().map_or(soon, |out| soon.max(out.since + HELD)))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn fits(&self, bytes: u64) -> bool {
        self.pulls < ALWAYS || self.bytes.saturating_add(bytes) <= TOGETHER
    }

    /// The one that has waited longest, if it fits.
    fn next(&mut self) -> Option<Waiting> {
        let fits = self.waiting.front().is_some_and(|next| self.fits(next.bytes));
        if fits { self.waiting.pop_front() } else { None }
    }

    fn leaves(&mut self, now: Instant, bytes: u64) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.pulls += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        self.out.push_back(Out { id, since: now, bytes, over: false });
        id
    }

    fn is_over(&mut self, id: u64) {
        if let Ok(index) = self.out.binary_search_by_key(&id, |out| out.id) {
            self.counts_no_longer(index);
        }
        while self.out.front().is_some_and(|out| out.over) {
            self.out.pop_front();
        }
    }

    fn forget_held(&mut self, now: Instant) {
        while self.out.front().is_some_and(|out| out.over || now >= out.since + HELD) {
            self.counts_no_longer(0);
            self.out.pop_front();
        }
    }

    fn counts_no_longer(&mut self, index: usize) {
        let Some(out) = self.out.get_mut(index) else { return };
        if !std::mem::replace(&mut out.over, true) {
            self.pulls -= 1;
            self.bytes -= out.bytes;
        }
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("pulls", &self.pulls)
            .field("bytes", &self.bytes)
            .field("waiting", &self.waiting.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    /// Pulls by the order they were asked for, each with its turn until it is answered.
    type Started = Vec<(usize, Option<Turn>)>;

    /// Turns, and what has been started of what was asked for.
    struct Bench {
        turns: PullTurns,
        started: Arc<Mutex<Started>>,
        asked: usize,
    }

    impl Bench {
        fn new() -> Self {
            Self { turns: PullTurns::new(&Tasks::default()), started: Arc::default(), asked: 0 }
        }

        fn ask(&mut self, bytes: u64) {
            let (number, started) = (self.asked, Arc::clone(&self.started));
            self.asked += 1;
            self.turns.take(bytes, move |turn| started.lock().unwrap().push((number, Some(turn))));
        }

        fn ask_for(&mut self, pulls: usize, bytes: u64) {
            (0..pulls).for_each(|_| self.ask(bytes));
        }

        fn started(&self) -> Vec<usize> {
            self.started.lock().unwrap().iter().map(|(number, _)| *number).collect()
        }

        fn answer(&self, number: usize) {
            let turn =
                self.started.lock().unwrap().iter_mut().find(|(it, _)| *it == number).unwrap().1.take();
            drop(turn);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn eight_go_out_whatever_they_bring_and_the_others_in_their_order() {
        let mut bench = Bench::new();
        bench.ask_for(11, 4 * MIB);
        assert_eq!(bench.started(), [0, 1, 2, 3, 4, 5, 6, 7]);
        bench.answer(5);
        assert_eq!(bench.started().last(), Some(&8));
        bench.answer(8);
        bench.answer(0);
        assert_eq!(bench.started(), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
        assert!(
            bench
                .started
                .lock()
                .unwrap()
                .iter()
                .all(|(number, turn)| { turn.as_ref().is_none_or(|turn| turn.waited == (*number >= 8)) })
        );
    }

    #[tokio::test(start_paused = true)]
    async fn small_ones_go_out_together_up_to_four_mebibytes() {
        let mut bench = Bench::new();
        bench.ask_for(30, MIB / 4);
        assert_eq!(bench.started().len(), 16);
        bench.answer(3);
        assert_eq!(bench.started().len(), 17);
        let mut bench = Bench::new();
        bench.ask_for(512, 8 * 1024);
        assert_eq!(bench.started().len(), 512);
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_later_does_not_overtake() {
        let mut bench = Bench::new();
        bench.ask_for(8, MIB / 2);
        bench.ask(MIB);
        bench.ask(0);
        assert_eq!(bench.started().len(), 8);
        bench.answer(0);
        assert_eq!(bench.started().last(), Some(&8));
        bench.answer(1);
        assert_eq!(bench.started().last(), Some(&9));
    }

    #[tokio::test(start_paused = true)]
    async fn pulls_that_brokers_hold_pass_their_turn_on() {
        let mut bench = Bench::new();
        let begin = Instant::now();
        bench.ask_for(20, 4 * MIB);
        tokio::time::sleep(HELD / 2).await;
        bench.answer(0);
        assert_eq!(bench.started().len(), 9);
        tokio::time::sleep(HELD * 3).await;
        assert_eq!(bench.started().len(), 20);
        assert!(begin.elapsed() < HELD * 4);
        // Their answers come all the same, and are counted once.
        (1..20).for_each(|number| bench.answer(number));
        let state = bench.turns.lock();
        assert_eq!((state.pulls, state.bytes, state.out.len(), state.watched), (0, 0, 0, false));
    }

    #[tokio::test(start_paused = true)]
    async fn pulls_that_fail_at_once_are_started_one_after_the_other() {
        let bench = Bench::new();
        let failed = Arc::new(Mutex::new(0));
        let mut held = Bench { turns: bench.turns.clone(), ..Bench::new() };
        held.ask_for(8, 4 * MIB);
        for _ in 0..100_000 {
            let failed = Arc::clone(&failed);
            bench.turns.take(4 * MIB, move |turn| {
                *failed.lock().unwrap() += 1;
                drop(turn);
            });
        }
        assert_eq!(*failed.lock().unwrap(), 0);
        held.answer(0);
        assert_eq!(*failed.lock().unwrap(), 100_000);
    }

    #[tokio::test(start_paused = true)]
    async fn whatever_happens_the_bounds_are_kept_and_everyone_gets_a_turn() {
        for seed in 0..200 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut bench = Bench::new();
            for _ in 0..random.usize(1..200) {
                match random.u8(..4) {
                    0 | 1 => bench.ask(random.u64(..2 * MIB)),
                    2 => {
                        let open: Vec<_> = bench
                            .started
                            .lock()
                            .unwrap()
                            .iter()
                            .filter(|(_, turn)| turn.is_some())
                            .map(|(number, _)| *number)
                            .collect();
                        if let Some(number) = random.choice(open) {
                            bench.answer(number);
                        }
                    }
                    _ => tokio::time::sleep(HELD.mul_f64(random.f64() / 4.0)).await,
                }
                let state = bench.turns.lock();
                assert!(state.pulls <= ALWAYS || state.bytes <= TOGETHER, "seed {seed}: {state:?}");
            }
            let in_order: Vec<_> = (0..bench.started().len()).collect();
            assert_eq!(bench.started(), in_order, "seed {seed}");
            tokio::time::sleep(HELD * u32::try_from(bench.asked).unwrap()).await;
            assert_eq!(bench.started().len(), bench.asked, "seed {seed}");
        }
    }
}
