//! One outcome for every message, whatever the listener does.
//!
//! The batch is handed over whole. If that call costs the instance (a trap, the deadline, too much memory), each message
//! is tried alone in an instance no other call has touched, so that only those at fault are given back. A batch of one
//! that failed in such an instance has had its trial already. If the listener answers wrongly (another number of results) or with an error,
//! nothing tells which message was at fault, and the whole batch is given back.
//!
//! Where the order of the batch is kept ([`Order::Kept`]), its messages are tried alone in that order and only up to the
//! first that fails or is not consumed: whatever is behind it is held back, whether it was run or not.
//!
//! What the listener settled while it worked ([`Cause::Settled`]) keeps its result, whatever came of the call, and is not
//! tried again; where order is kept, as far as all before it are consumed.
//!
//! Time is bounded: after [`MAX_DEADLINES_IN_A_ROW`] lone messages in a row ran into the deadline, or [`MAX_DEADLINES`]
//! in all, what is left is given back without being run. A batch never takes longer than `MAX_DEADLINES + 1`
//! deadlines, plus the time of the messages that do finish.

use std::{
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    delivery::Settled,
    failure::{FailureKind, GuestFailure, InstantiateError},
    listener::{Consumed, Crossed, Results},
    message::MessageBatch,
    module::{Instance, ListenerModule},
    series::Series,
    wit::{ConsumeContext, ConsumeResult, RetryDelay},
};

/// Lone deadlines in a row after which the rest of a batch is given back.
const MAX_DEADLINES_IN_A_ROW: u32 = 3;
/// Lone deadlines in all after which the rest of a batch is given back.
const MAX_DEADLINES: u32 = 8;

/// Whether the messages of a batch depend on each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Each stands for itself (RocketMQ: `MessageListenerConcurrently`).
    Any,
    /// None counts before those ahead of it are consumed (RocketMQ: `MessageListenerOrderly`). Outcomes are successes up
    /// to the first that is none; all behind that one are [`Cause::HeldBack`].
    Kept,
}

/// What becomes of one message, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What to do with the message.
    pub result: ConsumeResult,
    /// Where that comes from.
    pub cause: Cause,
}

/// Where an [`Outcome`] comes from. In all but the first three the result is `reconsume-later` by attempts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The listener's answer to the batch.
    Answered,
    /// The listener's answer to the message alone, after the batch had cost an instance.
    AnsweredAlone,
    /// The listener's word while it worked (`delivery.settle`).
    Settled,
    /// The message was at fault: alone, too, it failed.
    FailedAlone(Arc<GuestFailure>),
    /// The whole batch was given back: the listener's error, or a wrong number of results.
    BatchFailed(Arc<GuestFailure>),
    /// Not run again, because too many of its neighbours ran into the deadline; this is the last one's failure.
    NotRun(Arc<GuestFailure>),
    /// Behind a message of an ordered batch that was not consumed: it counts as not run, and comes again with that one.
    HeldBack,
    /// There was no instance to run it.
    NoInstance(Arc<InstantiateError>),
    /// The host's own code panicked around the call: a defect of the host, with the panic's message.
    HostPanic(Arc<str>),
}

impl Cause {
    /// A short name for metrics and JSON.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Cause::Answered => "answered",
            Cause::AnsweredAlone => "answered-alone",
            Cause::Settled => "settled",
            Cause::FailedAlone(failure) | Cause::BatchFailed(failure) => failure.kind().name(),
            Cause::NotRun(_) => "not-run",
            Cause::HeldBack => "held-back",
            Cause::NoInstance(_) => "no-instance",
            Cause::HostPanic(_) => "host-panic",
        }
    }

    /// The guest's failure behind it, if there is one.
    #[must_use]
    pub fn failure(&self) -> Option<&GuestFailure> {
        match self {
            Cause::FailedAlone(failure) | Cause::BatchFailed(failure) | Cause::NotRun(failure) => {
                Some(failure)
            }
            _ => None,
        }
    }
}

/// What became of a batch.
#[derive(Clone, Debug)]
pub struct BatchReport {
    /// One for each message handed over, in their order.
    pub outcomes: Vec<Outcome>,
    /// Why the call with the whole batch failed, if it did.
    pub batch_failure: Option<Arc<GuestFailure>>,
    /// Calls of `consume-message` made: 1, plus one for each message tried alone.
    pub calls: u32,
    /// Instances lost.
    pub instances_lost: u32,
    /// From the first call to the last answer.
    pub took: Duration,
}

impl BatchReport {
    /// Of one call that consumed all its messages.
    #[must_use]
    pub fn all_consumed(messages: usize, took: Duration) -> Self {
        let consumed = Consumed { answer: Ok(Results::AllConsumed(messages)), settled: Settled::default() };
        Self::of_call(consumed, messages, took)
    }

    /// Of one call that cost no instance.
    pub(crate) fn of_call(consumed: Consumed, messages: usize, took: Duration) -> Self {
        let Consumed { answer, settled } = consumed;
        let mut run = Run { outcomes: Vec::with_capacity(messages), settled, calls: 1, ..Run::default() };
        let failure = match answer {
            Ok(results) => {
                run.take(results, &Cause::Answered);
                None
            }
            Err(failure) => {
                let failure = Arc::new(failure);
                run.give_back(messages, &Cause::BatchFailed(Arc::clone(&failure)));
                Some(failure)
            }
        };
        run.report(failure, took)
    }

    /// A report that gives all `messages` back for the same cause, without a call.
    pub(crate) fn given_back(messages: usize, cause: &Cause) -> Self {
        let mut run = Run::default();
        run.give_back(messages, cause);
        run.report(None, Duration::ZERO)
    }
}

/// As [`InHand::consume_isolated`], with an instance for this batch alone.
#[must_use]
pub fn consume_isolated(
    module: &ListenerModule,
    context: &ConsumeContext<'_>,
    batch: &Arc<dyn MessageBatch>,
    range: Range<usize>,
    deadline: Duration,
    order: Order,
) -> BatchReport {
    InHand::default().consume_isolated(module, context, batch, range, deadline, order)
}

/// What one who calls several times in a row keeps between the calls, each of which begins when the one before has ended: the
/// instance, which dropping this gives back, and the time.
#[derive(Debug, Default)]
pub struct InHand {
    instance: Option<Instance>,
    now: Option<Instant>,
}

impl InHand {
    /// Hands the messages of `range` to the listener, for which they are the whole batch, and sees to it that every one of
    /// them has an outcome. `deadline` is that of one call; `order` says whether a message that is not consumed stops those
    /// behind it. Blocks for as long as the guest runs: call it on a thread of its own ([`crate::GuestThreads`]).
    #[must_use]
    pub fn consume_isolated(
        &mut self,
        module: &ListenerModule,
        context: &ConsumeContext<'_>,
        batch: &Arc<dyn MessageBatch>,
        range: Range<usize>,
        deadline: Duration,
        order: Order,
    ) -> BatchReport {
        let (messages, began) = (range.len(), self.now.unwrap_or_else(Instant::now));
        let mut guests = Guests { module, hand: self, context, batch, range, deadline };
        let report = isolate(began, messages, order, &mut guests);
        self.now = Some(began + report.took);
        report
    }

    /// As [`InHand::consume_isolated`], of messages in any order, and goes on with calls of the series while the listener takes them without
    /// another crossing. What is told is how the last one ended, unless the series was told.
    #[must_use]
    pub fn consume_series(
        &mut self,
        module: &ListenerModule,
        context: &ConsumeContext<'_>,
        batch: &Arc<dyn MessageBatch>,
        range: Range<usize>,
        deadline: Duration,
        series: Arc<dyn Series>,
    ) -> Option<BatchReport> {
        let began = self.now.unwrap_or_else(Instant::now);
        let mut guests = Guests { module, hand: self, context, batch, range, deadline };
        let Crossing { called, told, began } = guests.cross(began, Some(series));
        if told {
            self.now = Some(began);
            return None;
        }
        let report = judge(began, guests.range.len(), Order::Any, called, &mut guests);
        self.now = Some(began + report.took);
        Some(report)
    }

    /// An instance of this module.
    fn take(&mut self, module: &ListenerModule) -> Result<Instance, InstantiateError> {
        match self.instance.take().filter(|instance| instance.is_reusable_for(module)) {
            Some(instance) => Ok(instance),
            None => module.checkout(),
        }
    }
}

/// The calls the policy makes.
trait Calls {
    /// With the whole batch, in any instance. It is `now`.
    fn whole(&mut self, now: Instant) -> Called;
    /// With one message of it, in an instance no other call has touched.
    fn alone(&mut self, index: usize) -> Called;
}

/// What came of a call, and what was settled before it ended.
struct Called {
    answer: Answer,
    settled: Settled,
}

enum Answer {
    Results(Results),
    Failed {
        failure: GuestFailure,
        /// Whether no other call had touched the instance.
        untouched: bool,
    },
    NoInstance(InstantiateError),
}

struct Guests<'a> {
    module: &'a ListenerModule,
    hand: &'a mut InHand,
    context: &'a ConsumeContext<'a>,
    batch: &'a Arc<dyn MessageBatch>,
    range: Range<usize>,
    deadline: Duration,
}

/// One crossing, of one call or several.
struct Crossing {
    /// The last call.
    called: Called,
    /// Whether the series has been told of it, and is over.
    told: bool,
    /// When that call began; when it ended, where the series was told.
    began: Instant,
}

impl Guests<'_> {
    /// Looks at the clock where making the instance took time. What is left in hand is the range of the last call.
    fn cross(&mut self, now: Instant, series: Option<Arc<dyn Series>>) -> Crossing {
        let mut instance = match self.hand.take(self.module) {
            Ok(instance) => instance,
            Err(error) => {
                return Crossing { called: Called::without_instance(error), told: false, began: now };
            }
        };
        let series = series.map(|series| instance.underway(series, self.deadline));
        let untouched = instance.is_untouched();
        let now = if untouched { Instant::now() } else { now };
        let crossed =
            instance.consume(self.context, self.batch, self.range.clone(), self.deadline, now, series);
        self.hand.instance = Some(instance);
        let Crossed { consumed, told, range, began, calls_before } = crossed;
        self.range = range;
        Crossing { called: Called::of(consumed, untouched && calls_before == 0), told, began }
    }
}

impl Called {
    fn of(consumed: Consumed, untouched: bool) -> Self {
        let Consumed { answer, settled } = consumed;
        let answer = match answer {
            Ok(results) => Answer::Results(results),
            Err(failure) => Answer::Failed { failure, untouched },
        };
        Self { answer, settled }
    }

    fn without_instance(error: InstantiateError) -> Self {
        Self { answer: Answer::NoInstance(error), settled: Settled::default() }
    }
}

impl Calls for Guests<'_> {
    fn whole(&mut self, now: Instant) -> Called {
        self.cross(now, None).called
    }

    fn alone(&mut self, index: usize) -> Called {
        // Nothing is held while there may be no room for another.
        self.hand.instance = None;
        let index = self.range.start + index;
        let mut instance = match self.module.fresh() {
            Ok(instance) => instance,
            Err(error) => return Called::without_instance(error),
        };
        let (range, now) = (index..index + 1, Instant::now());
        let crossed = instance.consume(self.context, self.batch, range, self.deadline, now, None);
        Called::of(crossed.consumed, true)
    }
}

/// What has been decided so far.
#[derive(Default)]
struct Run {
    outcomes: Vec<Outcome>,
    settled: Settled,
    calls: u32,
    instances_lost: u32,
    deadlines_in_a_row: u32,
    deadlines: u32,
}

/// It is about `began`.
fn isolate(began: Instant, messages: usize, order: Order, guests: &mut dyn Calls) -> BatchReport {
    if messages == 0 {
        return Run::default().report(None, Duration::ZERO);
    }
    let called = guests.whole(began);
    judge(began, messages, order, called, guests)
}

/// What becomes of a batch whose call, which began then, ended so.
fn judge(
    began: Instant,
    messages: usize,
    order: Order,
    called: Called,
    guests: &mut dyn Calls,
) -> BatchReport {
    let Called { answer, settled } = called;
    let mut run = Run { outcomes: Vec::with_capacity(messages), settled, calls: 1, ..Run::default() };
    let failure = match answer {
        Answer::Results(results) => {
            run.take(results, &Cause::Answered);
            None
        }
        Answer::NoInstance(error) => {
            run.give_back(messages, &Cause::NoInstance(Arc::new(error)));
            run.calls = 0;
            None
        }
        Answer::Failed { failure, untouched } => {
            let alone_already = untouched && messages == 1;
            Some(run.batch_failed(failure, messages, alone_already, order, guests))
        }
    };
    if order == Order::Kept {
        run.hold_back(messages);
    }
    run.report(failure, began.elapsed())
}

impl Run {
    fn batch_failed(
        &mut self,
        failure: GuestFailure,
        messages: usize,
        alone_already: bool,
        order: Order,
        guests: &mut dyn Calls,
    ) -> Arc<GuestFailure> {
        let fatal = failure.is_fatal();
        let failure = Arc::new(failure);
        self.instances_lost += u32::from(fatal);
        if !fatal {
            self.give_back(messages, &Cause::BatchFailed(Arc::clone(&failure)));
        } else if alone_already {
            self.give_back(messages, &Cause::FailedAlone(Arc::clone(&failure)));
        } else {
            self.one_by_one(messages, order, guests);
        }
        failure
    }

    fn one_by_one(&mut self, messages: usize, order: Order, guests: &mut dyn Calls) {
        for index in 0..messages {
            if order == Order::Kept && self.first_not_consumed().is_some() {
                return;
            }
            if self.settled.contains(index) {
                // Its word stands, whatever is given here.
                self.give_back(1, &Cause::Settled);
                continue;
            }
            self.calls = self.calls.saturating_add(1);
            let Called { answer, settled } = guests.alone(index);
            self.settled.take_over(index, messages, settled);
            match answer {
                Answer::Results(results) => {
                    self.deadlines_in_a_row = 0;
                    self.take(results, &Cause::AnsweredAlone);
                }
                Answer::Failed { failure, .. } => {
                    let failure = Arc::new(failure);
                    self.count(&failure);
                    self.give_back(1, &Cause::FailedAlone(Arc::clone(&failure)));
                    if self.is_out_of_time() {
                        return self.give_back(messages - index - 1, &Cause::NotRun(failure));
                    }
                }
                Answer::NoInstance(error) => {
                    self.calls -= 1;
                    return self.give_back(messages - index, &Cause::NoInstance(Arc::new(error)));
                }
            }
        }
    }

    fn first_not_consumed(&self) -> Option<usize> {
        self.outcomes.iter().position(|outcome| outcome.result != ConsumeResult::Success)
    }

    /// Holds back everything behind the first message that was not consumed.
    fn hold_back(&mut self, messages: usize) {
        if let Some(first) = self.first_not_consumed() {
            self.outcomes.truncate(first + 1);
            self.settled = Settled::default();
            self.give_back(messages.saturating_sub(first + 1), &Cause::HeldBack);
        }
    }

    fn count(&mut self, failure: &GuestFailure) {
        self.instances_lost += u32::from(failure.is_fatal());
        if failure.kind() == FailureKind::Deadline {
            self.deadlines += 1;
            self.deadlines_in_a_row += 1;
        } else {
            self.deadlines_in_a_row = 0;
        }
    }

    const fn is_out_of_time(&self) -> bool {
        self.deadlines_in_a_row >= MAX_DEADLINES_IN_A_ROW || self.deadlines >= MAX_DEADLINES
    }

    fn take(&mut self, results: Results, cause: &Cause) {
        match results {
            Results::AllConsumed(messages) => self.decide_all(messages, &ConsumeResult::Success, cause),
            Results::Each(results) => results.into_iter().for_each(|result| self.decide(result, cause)),
        }
    }

    fn give_back(&mut self, messages: usize, cause: &Cause) {
        self.decide_all(messages, &ConsumeResult::ReconsumeLater(RetryDelay::ByAttempts), cause);
    }

    fn decide_all(&mut self, messages: usize, result: &ConsumeResult, cause: &Cause) {
        (0..messages).for_each(|_| self.decide(result.clone(), cause));
    }

    /// The next message's outcome, unless it was settled before.
    fn decide(&mut self, result: ConsumeResult, cause: &Cause) {
        let outcome = match self.settled.take(self.outcomes.len()) {
            Some(result) => Outcome { result, cause: Cause::Settled },
            None => Outcome { result, cause: cause.clone() },
        };
        self.outcomes.push(outcome);
    }

    fn report(self, batch_failure: Option<Arc<GuestFailure>>, took: Duration) -> BatchReport {
        let Run { outcomes, calls, instances_lost, .. } = self;
        BatchReport { outcomes, batch_failure, calls, instances_lost, took }
    }
}

#[cfg(test)]
mod tests;
