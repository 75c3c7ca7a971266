//! Who writes: a thread, which gathers what waits into transactions; or, where nobody else has anything to be written,
//! whoever has. That saves the two wake-ups that asking the thread costs, which are most of what a lone message takes.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::mpsc;

use super::Arrivals;
use super::command::Command;
use super::lot::Lot;
use super::writer::{Writer, Written};
use crate::error::StoreError;
use crate::sync::lock;

/// Lots waiting for the writer thread; a connection that has another is not read meanwhile.
const PENDING_LOTS: usize = 1024;
/// Transactions that are committed and not answered; the writer waits when there are more.
const PENDING_ANSWERS: usize = 16;
/// Bounds of one transaction: what shares a commit.
const GROUP_COMMANDS: usize = 1024;
const GROUP_BYTES: usize = 16 * 1024 * 1024;
/// Bytes of records that are written on the spot; more hold up their connection's thread for too long.
const AT_ONCE_BYTES: usize = 64 * 1024;

/// The writer, for all that have something to be written. Cheap to clone.
#[derive(Clone)]
pub(super) struct Writing {
    lots: mpsc::Sender<Lot>,
    desk: Arc<Desk>,
}

/// Where one at a time writes.
struct Desk {
    /// Gone once the thread has ended.
    writer: Mutex<Option<Writer>>,
    /// Commands that were asked for and are not done.
    pending: AtomicUsize,
    /// The thread's last transaction had several commands: there are more to come, and sharing one is cheaper.
    crowded: AtomicBool,
    /// Writing never waits for the disk.
    at_once: bool,
}

/// Commands that were committed, and how many they are with those that were refused.
type Settled = (Vec<Written>, usize);

impl Writing {
    /// The writer, what its thread is to run, and what a task is to: it ends after the thread, with the last answer.
    pub(super) fn new(
        writer: Writer,
        at_once: bool,
    ) -> (Self, impl FnOnce() + Send + 'static, impl Future<Output = ()> + Send + 'static) {
        let (lots, waiting) = mpsc::channel(PENDING_LOTS);
        let (settled, to_answer) = mpsc::channel(PENDING_ANSWERS);
        let store = Arc::clone(&writer.shared);
        let desk = Arc::new(Desk {
            writer: Mutex::new(Some(writer)),
            pending: AtomicUsize::new(0),
            crowded: AtomicBool::new(false),
            at_once,
        });
        let (of_thread, of_task) = (Arc::clone(&desk), Arc::clone(&desk));
        let write = move || of_thread.run(waiting, &settled, &store.arrivals);
        (Self { lots, desk }, write, async move { of_task.answer_all(to_answer).await })
    }

    /// Has it written, in the order of the calls; waits for a place in the line, not for the commit.
    pub(super) async fn send(&self, lot: Lot) {
        self.desk.pending.fetch_add(lot.commands.len(), Ordering::SeqCst);
        if let Err(refused) = self.lots.send(lot).await {
            let commands = refused.0.commands;
            self.desk.pending.fetch_sub(commands.len(), Ordering::SeqCst);
            commands.into_iter().for_each(|command| command.refuse(StoreError::Closed));
        }
    }

    /// The same for what the caller sends last for now: one small write is done here if nobody else's is under way, and then
    /// what has arrived is the caller's to tell.
    pub(super) async fn send_last(&self, lot: Lot, tell: &(dyn Fn() + Send + Sync)) {
        let desk = &self.desk;
        let small = desk.at_once && lot.commands.len() == 1 && lot.bytes <= AT_ONCE_BYTES;
        if small
            && !desk.crowded.load(Ordering::Relaxed)
            && desk.pending.compare_exchange(0, 1, Ordering::SeqCst, Ordering::SeqCst).is_ok()
        {
            let written = desk.write(lot.commands);
            tell();
            // Who waits for the records is answered first, by this thread: another would have to be woken for one of the two.
            tokio::task::yield_now().await;
            return desk.answer((written, 1));
        }
        self.send(lot).await;
    }
}

impl Desk {
    fn write(&self, group: Vec<Command>) -> Vec<Written> {
        match &mut *lock(&self.writer) {
            Some(writer) => writer.write_group(group),
            None => {
                group.into_iter().for_each(|command| command.refuse(StoreError::Closed));
                Vec::new()
            }
        }
    }

    fn answer(&self, (written, commands): Settled) {
        written.into_iter().for_each(Written::answer);
        self.pending.fetch_sub(commands, Ordering::SeqCst);
    }

    /// What was committed is answered by a task, so that the thread goes on with the next transaction, and is the only one that
    /// has to be woken for all answers of this one.
    async fn answer_all(&self, mut to_answer: mpsc::Receiver<Settled>) {
        while let Some(settled) = to_answer.recv().await {
            self.answer(settled);
        }
    }

    fn run(&self, mut waiting: mpsc::Receiver<Lot>, settled: &mpsc::Sender<Settled>, arrivals: &Arrivals) {
        while let Some(first) = waiting.blocking_recv() {
            let group = gather(first, &mut waiting);
            let last = group.iter().any(|command| matches!(command, Command::Stop));
            let commands = group.len();
            self.crowded.store(commands > 1, Ordering::Relaxed);
            let written = self.write(group);
            arrivals.tell();
            if let Err(unanswered) = settled.blocking_send((written, commands)) {
                self.answer(unanswered.0);
            }
            if last {
                break;
            }
        }
        let writer = lock(&self.writer).take();
        if let Some(Err(error)) = writer.map(Writer::close) {
            tracing::debug!(%error, "the message store was closed without its last flush or its statistics");
        }
    }
}

/// What a transaction does: lots that wait, the last of which may go beyond the bounds.
fn gather(first: Lot, waiting: &mut mpsc::Receiver<Lot>) -> Vec<Command> {
    let Lot { commands: mut group, bytes: mut size } = first;
    while group.len() < GROUP_COMMANDS && size < GROUP_BYTES {
        let Ok(next) = waiting.try_recv() else { break };
        size += next.bytes;
        group.extend(next.commands);
    }
    group
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use gantry_protocol::MessageRecord;
    use tokio::sync::oneshot;

    use super::super::{Done, NewRecords, Queue, Store, Stored};
    use super::*;
    use crate::clock::Clock;
    use crate::config::{BrokerConfig, Storage};

    fn open() -> (Arc<Store>, Arc<Queue>) {
        let config = BrokerConfig { storage: Storage::InMemory, ..BrokerConfig::default() };
        let (store, _) = Store::open(&config, Arc::new(Clock::new())).unwrap();
        let queue = store.queue("t", 0);
        (Arc::new(store), queue)
    }

    fn records(queue: &Arc<Queue>, body: usize) -> Vec<NewRecords> {
        let body = Bytes::from(vec![0; body]);
        let record = MessageRecord { topic: "t".to_owned(), body, ..MessageRecord::default() };
        let mut records = NewRecords::new(Arc::clone(queue));
        records.push(&record, 1, 0, []).unwrap();
        vec![records]
    }

    type Answer = oneshot::Receiver<Result<Vec<Stored>, StoreError>>;

    fn answer() -> (Done<Vec<Stored>>, Answer) {
        let (sender, receiver) = oneshot::channel();
        (Box::new(move |stored| drop(sender.send(stored))), receiver)
    }

    /// Stores messages that come together, with nothing behind them: whether they were stored on the spot, and the answers.
    async fn together(store: &Store, queue: &Arc<Queue>, bodies: &[usize]) -> (bool, Vec<Answer>) {
        let (mut lot, mut answers, told) = (Lot::default(), Vec::new(), AtomicUsize::new(0));
        for body in bodies {
            let (done, answer) = answer();
            answers.push(answer);
            store.append(records(queue, *body), &mut lot, done).await;
        }
        let tell = || {
            told.fetch_add(1, Ordering::SeqCst);
        };
        store.write_last(&mut lot, &tell).await;
        assert!(lot.is_empty());
        (told.load(Ordering::SeqCst) == 1, answers)
    }

    async fn alone(store: &Store, queue: &Arc<Queue>, body: usize) -> (bool, Answer) {
        let (on_the_spot, mut answers) = together(store, queue, &[body]).await;
        (on_the_spot, answers.remove(0))
    }

    fn offset(answer: Result<Vec<Stored>, StoreError>) -> i64 {
        answer.unwrap()[0].offset
    }

    #[tokio::test]
    async fn a_lone_message_is_stored_when_the_call_returns() {
        let (store, queue) = open();
        for expected in 0..3 {
            let (on_the_spot, mut answer) = alone(&store, &queue, 10).await;
            assert!(on_the_spot);
            assert_eq!((offset(answer.try_recv().unwrap()), queue.span().max), (expected, expected + 1));
        }
    }

    #[tokio::test]
    async fn the_thread_stores_what_is_large_and_what_comes_while_another_writes() {
        let (store, queue) = open();
        let (on_the_spot, answer) = alone(&store, &queue, AT_ONCE_BYTES).await;
        assert!(!on_the_spot);
        assert_eq!(offset(answer.await.unwrap()), 0);
        let desk = &store.writing.desk;
        desk.pending.fetch_add(1, Ordering::SeqCst);
        let (on_the_spot, answer) = alone(&store, &queue, 10).await;
        assert!(!on_the_spot);
        assert_eq!(offset(answer.await.unwrap()), 1);
        desk.pending.fetch_sub(1, Ordering::SeqCst);
        // The thread answers before it is done.
        while desk.pending.load(Ordering::SeqCst) > 0 {
            tokio::task::yield_now().await;
        }
        assert!(alone(&store, &queue, 10).await.0);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn whoever_writes_the_order_of_each_caller_is_kept_and_nothing_is_lost() {
        let (store, _) = open();
        let callers = (0..4).map(|caller: u64| {
            let (store, queue) = (Arc::clone(&store), store.queue("t", 0));
            let mut random = fastrand::Rng::with_seed(caller);
            async move {
                let mut answers = Vec::new();
                for _ in 0..100 {
                    match random.u8(..3) {
                        0 => answers.push(alone(&store, &queue, 10).await.1),
                        1 => answers.extend(together(&store, &queue, &[10; 300]).await.1),
                        _ => {
                            let (done, answer) = answer();
                            store.append_now(records(&queue, 10), done).await;
                            answers.push(answer);
                        }
                    }
                }
                let mut offsets = Vec::new();
                for answer in answers {
                    offsets.push(offset(answer.await.unwrap()));
                }
                offsets
            }
        });
        #[expect(clippy::disallowed_methods, reason = "each is joined below")]
        let callers: Vec<_> = callers.map(|caller| tokio::spawn(caller)).collect();
        let mut all = Vec::new();
        for caller in callers {
            let offsets = caller.await.unwrap();
            assert!(offsets.is_sorted());
            all.extend(offsets);
        }
        all.sort_unstable();
        assert_eq!(all, (0..).take(all.len()).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_closed_store_refuses() {
        let (store, queue) = open();
        store.close().await;
        let (_, answer) = alone(&store, &queue, 10).await;
        assert!(matches!(answer.await.unwrap(), Err(StoreError::Closed)));
    }
}
