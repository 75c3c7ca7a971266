//! What guest threads are given.

use std::{
    any::Any,
    fmt,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::crew::Waiting;
use crate::{
    isolate::{BatchReport, Cause, Order, consume_isolated},
    message::MessageBatch,
    slot::Lease,
    wit::ConsumeContext,
};

/// One batch on its way to a listener.
pub struct ConsumeJob {
    /// The generation it was dispatched to.
    pub lease: Lease,
    /// On whose behalf it was pulled.
    pub consumer_group: Arc<str>,
    /// The topic the listener subscribed to.
    pub topic: Arc<str>,
    /// The broker that holds the queue.
    pub broker_name: Arc<str>,
    /// The queue's number at that broker.
    pub queue_id: u32,
    /// The batch.
    pub batch: Arc<dyn MessageBatch>,
    /// Which of its messages are to be consumed.
    pub messages: Range<usize>,
    /// What one call may take.
    pub deadline: Duration,
    /// Whether a message that is not consumed stops those behind it.
    pub order: Order,
    /// Called on the guest thread with what became of the batch, exactly once if the job runs. Hand the report on and
    /// return: it holds up the thread.
    pub done: Box<dyn FnOnce(BatchReport) + Send>,
}

impl ConsumeJob {
    fn run(self, panics: &Panics) {
        let Self {
            lease,
            consumer_group,
            topic,
            broker_name,
            queue_id,
            batch,
            messages,
            deadline,
            order,
            done,
        } = self;
        let context = ConsumeContext {
            consumer_group: &consumer_group,
            topic: &topic,
            broker_name: &broker_name,
            queue_id,
        };
        let count = messages.len();
        let report = panics.contain(
            || count,
            || consume_isolated(lease.module(), &context, &batch, messages, deadline, order),
        );
        // The generation may go as soon as its work is done, whatever the callback does.
        drop(lease);
        done(report);
    }
}

impl fmt::Debug for ConsumeJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsumeJob")
            .field("generation", &self.lease.generation().number())
            .field("topic", &self.topic)
            .field("queue_id", &self.queue_id)
            .finish_non_exhaustive()
    }
}

/// Several calls handed over as one, which threads take one by one: as many at a time as they are slow.
pub trait Calls: Send + Sync {
    /// How many nobody has begun.
    fn left(&self) -> usize;

    /// Begins the next one; none when there is none any more.
    fn begin(&self) -> Option<usize>;

    /// Runs one that was begun, on a guest thread, and then those that it begins itself, until they have taken
    /// [`QUICK`](super::QUICK) together. They see to their results by themselves: `panics` contains what may panic on the way to them. How many
    /// it ran.
    fn run(self: Arc<Self>, first: usize, panics: &Panics) -> usize;
}

/// What a guest thread can be given.
pub enum Job {
    /// A batch for a listener.
    Consume(Box<ConsumeJob>),
    /// Calls of a listener.
    Calls(Arc<dyn Calls>),
    /// Any other work that may block, such as loading a component.
    Work(Box<dyn FnOnce() + Send>),
}

impl Job {
    /// Other work.
    pub fn work(work: impl FnOnce() + Send + 'static) -> Self {
        Job::Work(Box::new(work))
    }
}

impl From<ConsumeJob> for Job {
    fn from(job: ConsumeJob) -> Self {
        Job::Consume(Box::new(job))
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Job::Consume(job) => job.fmt(f),
            Job::Calls(calls) => write!(f, "Calls({} left)", calls.left()),
            Job::Work(_) => f.write_str("Work"),
        }
    }
}

/// A job in the queue, with the span it was submitted in.
pub(super) enum Queued {
    /// One job, until it is taken.
    One(Option<(tracing::Span, Single)>),
    Calls(Arc<(tracing::Span, Arc<dyn Calls>)>),
}

/// A job that one thread runs.
pub(super) enum Single {
    Consume(Box<ConsumeJob>),
    Work(Box<dyn FnOnce() + Send>),
}

impl Single {
    fn run(self, panics: &Panics) {
        match self {
            Self::Consume(job) => job.run(panics),
            Self::Work(work) => work(),
        }
    }
}

impl From<Single> for Job {
    fn from(single: Single) -> Self {
        match single {
            Single::Consume(job) => Self::Consume(job),
            Single::Work(work) => Self::Work(work),
        }
    }
}

/// What a thread takes off the queue.
pub(super) enum Piece {
    One(tracing::Span, Single),
    Call(Arc<(tracing::Span, Arc<dyn Calls>)>, usize),
}

impl Queued {
    pub(super) fn new(span: tracing::Span, job: Job) -> Self {
        match job {
            Job::Calls(calls) => Self::Calls(Arc::new((span, calls))),
            Job::Consume(job) => Self::One(Some((span, Single::Consume(job)))),
            Job::Work(work) => Self::One(Some((span, Single::Work(work)))),
        }
    }

    /// The job as it was given.
    pub(super) fn into_job(self) -> Option<Job> {
        match self {
            Self::One(job) => job.map(|(_, job)| job.into()),
            Self::Calls(calls) => Some(Job::Calls(Arc::clone(&calls.1))),
        }
    }
}

impl Waiting for Queued {
    type Job = Piece;

    fn left(&self) -> usize {
        match self {
            Self::One(job) => usize::from(job.is_some()),
            Self::Calls(calls) => calls.1.left(),
        }
    }

    fn take(&mut self) -> Option<Piece> {
        match self {
            Self::One(job) => job.take().map(|(span, job)| Piece::One(span, job)),
            Self::Calls(calls) => calls.1.begin().map(|call| Piece::Call(Arc::clone(calls), call)),
        }
    }
}

impl Piece {
    /// How many jobs it was, in the end.
    pub(super) fn run(self, panics: &Panics) -> usize {
        match self {
            Self::One(span, job) => span.in_scope(|| job.run(panics)),
            Self::Call(calls, call) => return calls.0.in_scope(|| Arc::clone(&calls.1).run(call, panics)),
        }
        1
    }
}

/// Contains panics of host code on guest threads, and counts them: each is a defect of the host.
#[derive(Debug, Default)]
pub struct Panics(AtomicU64);

impl Panics {
    /// What `consume` reports; where it panics, so many messages are given back.
    pub fn contain<T: From<BatchReport>>(
        &self,
        messages: impl FnOnce() -> usize,
        consume: impl FnOnce() -> T,
    ) -> T {
        catch_unwind(AssertUnwindSafe(consume)).unwrap_or_else(|panic| {
            let message = self.count(&*panic);
            BatchReport::given_back(messages(), &Cause::HostPanic(message.into())).into()
        })
    }

    /// A panic was caught. What it said.
    pub(super) fn count(&self, panic: &(dyn Any + Send)) -> String {
        self.0.fetch_add(1, Ordering::Relaxed);
        let message = panic
            .downcast_ref::<&str>()
            .map(|message| (*message).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "a panic without a message".to_owned());
        tracing::error!("host code panicked on a guest thread: {message}");
        message
    }

    /// How many there were.
    pub(super) fn counted(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
