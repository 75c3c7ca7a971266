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
//! Time is bounded: after [`MAX_DEADLINES_IN_A_ROW`] lone messages in a row ran into the deadline, or [`MAX_DEADLINES`]
//! in all, what is left is given back without being run. A batch never takes longer than `MAX_DEADLINES + 1`
//! deadlines, plus the time of the messages that do finish.

use std::{
    ops::Deref as _,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    failure::{FailureKind, GuestFailure, InstantiateError},
    message::MessageBatch,
    module::{Instance, ListenerModule},
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

/// Where an [`Outcome`] comes from. In all but the first two the result is `reconsume-later` by attempts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The listener's answer to the batch.
    Answered,
    /// The listener's answer to the message alone, after the batch had cost an instance.
    AnsweredAlone,
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
    /// One for each message, in their order.
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
    /// A report that gives all `messages` back for the same cause, without a call.
    pub(crate) fn given_back(messages: usize, cause: &Cause) -> Self {
        let mut run = Run::default();
        run.give_back(messages, cause);
        run.report(None, Duration::ZERO)
    }
}

/// Hands `batch` to the listener and sees to it that every message has an outcome. `deadline` is that of one call; `order`
/// says whether a message that is not consumed stops those behind it. Blocks for as long as the guest runs: call it on a thread of its own ([`crate::GuestThreads`]).
#[must_use]
pub fn consume_isolated(
    module: &ListenerModule,
    context: &ConsumeContext<'_>,
    batch: &Arc<dyn MessageBatch>,
    deadline: Duration,
    order: Order,
) -> BatchReport {
    isolate(batch.deref().len(), order, &mut Guests { module, context, batch, deadline })
}

/// The calls the policy makes.
trait Calls {
    /// With the whole batch, in any instance.
    fn whole(&mut self) -> Answer;
    /// With one message, in an instance no other call has touched.
    fn alone(&mut self, index: usize) -> Answer;
}

enum Answer {
    Results(Vec<ConsumeResult>),
    Failed {
        failure: GuestFailure,
        /// Whether no other call had touched the instance.
        untouched: bool,
    },
    NoInstance(InstantiateError),
}

struct Guests<'a> {
    module: &'a ListenerModule,
    context: &'a ConsumeContext<'a>,
    batch: &'a Arc<dyn MessageBatch>,
    deadline: Duration,
}

impl Guests<'_> {
    fn call(&self, instance: Result<Instance, InstantiateError>, range: std::ops::Range<usize>) -> Answer {
        match instance {
            Err(error) => Answer::NoInstance(error),
            Ok(mut instance) => {
                let untouched = instance.is_untouched();
                match instance.consume_range(self.context, self.batch, range, self.deadline) {
                    Ok(results) => Answer::Results(results),
                    Err(failure) => Answer::Failed { failure, untouched },
                }
            }
        }
    }
}

impl Calls for Guests<'_> {
    fn whole(&mut self) -> Answer {
        self.call(self.module.checkout(), 0..self.batch.deref().len())
    }

    fn alone(&mut self, index: usize) -> Answer {
        self.call(self.module.fresh(), index..index + 1)
    }
}

/// What has been decided so far.
#[derive(Default)]
struct Run {
    outcomes: Vec<Outcome>,
    calls: u32,
    instances_lost: u32,
    deadlines_in_a_row: u32,
    deadlines: u32,
}

fn isolate(messages: usize, order: Order, guests: &mut dyn Calls) -> BatchReport {
    let mut run = Run::default();
    if messages == 0 {
        return run.report(None, Duration::ZERO);
    }
    let began = Instant::now();
    run.calls = 1;
    let failure = match guests.whole() {
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
            self.calls = self.calls.saturating_add(1);
            match guests.alone(index) {
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

    fn take(&mut self, results: Vec<ConsumeResult>, cause: &Cause) {
        self.outcomes.extend(results.into_iter().map(|result| Outcome { result, cause: cause.clone() }));
    }

    fn give_back(&mut self, messages: usize, cause: &Cause) {
        let result = ConsumeResult::ReconsumeLater(RetryDelay::ByAttempts);
        self.outcomes.extend(std::iter::repeat_n(Outcome { result, cause: cause.clone() }, messages));
    }

    fn report(self, batch_failure: Option<Arc<GuestFailure>>, took: Duration) -> BatchReport {
        let Run { outcomes, calls, instances_lost, .. } = self;
        BatchReport { outcomes, batch_failure, calls, instances_lost, took }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guests that answer by script: `t` traps, `d` runs into the deadline, `e` answers err, `w` gives a wrong count,
    /// `n` has no instance, `l` is to be reconsumed later, anything else succeeds. A whole batch does what its first bad
    /// message does.
    struct Script {
        steps: Vec<char>,
        /// Whether the instance of the whole batch is fresh.
        untouched: bool,
    }

    impl Script {
        fn result(step: char) -> ConsumeResult {
            match step {
                'l' => ConsumeResult::ReconsumeLater(RetryDelay::Level(1)),
                _ => ConsumeResult::Success,
            }
        }

        fn answer(steps: &[char], step: char, untouched: bool) -> Answer {
            let messages = steps.len();
            let failure = match step {
                't' => GuestFailure::Trap { reason: "unreachable".into(), last_words: None },
                'd' => GuestFailure::Deadline { deadline: Duration::from_millis(10) },
                'e' => GuestFailure::ListenerError("no database".into()),
                'w' => GuestFailure::WrongCount { expected: messages, got: 0 },
                'n' => return Answer::NoInstance(InstantiateError::PoolExhausted { max: 1 }),
                _ => return Answer::Results(steps.iter().copied().map(Self::result).collect()),
            };
            Answer::Failed { failure, untouched }
        }
    }

    impl Calls for Script {
        fn whole(&mut self) -> Answer {
            let step = self.steps.iter().copied().find(|step| !['.', 'l'].contains(step)).unwrap_or('.');
            Self::answer(&self.steps, step, self.untouched)
        }

        fn alone(&mut self, index: usize) -> Answer {
            let step = self.steps[index];
            Self::answer(&[step], step, true)
        }
    }

    /// The causes, message by message, and the number of calls.
    fn run(script: &str) -> (String, u32, u32) {
        run_in(script, false)
    }

    fn run_in(script: &str, untouched: bool) -> (String, u32, u32) {
        let mut script = Script { steps: script.chars().collect(), untouched };
        letters(&isolate(script.steps.len(), Order::Any, &mut script), script.steps.len())
    }

    fn run_in_order(script: &str) -> (String, u32, u32) {
        let mut script = Script { steps: script.chars().collect(), untouched: false };
        letters(&isolate(script.steps.len(), Order::Kept, &mut script), script.steps.len())
    }

    fn letters(report: &BatchReport, messages: usize) -> (String, u32, u32) {
        assert_eq!(report.outcomes.len(), messages, "one outcome for each message");
        let later = ConsumeResult::ReconsumeLater(RetryDelay::ByAttempts);
        for outcome in &report.outcomes {
            let answered = matches!(outcome.cause, Cause::Answered | Cause::AnsweredAlone);
            assert!(answered || outcome.result == later, "{outcome:?}");
        }
        let letters = report.outcomes.iter().map(|outcome| match outcome.cause {
            Cause::Answered | Cause::AnsweredAlone if outcome.result != ConsumeResult::Success => 'l',
            Cause::Answered => 'A',
            Cause::AnsweredAlone => 'a',
            Cause::FailedAlone(_) => 'F',
            Cause::BatchFailed(_) => 'B',
            Cause::NotRun(_) => '-',
            Cause::HeldBack => 'h',
            Cause::NoInstance(_) => 'N',
            Cause::HostPanic(_) => 'P',
        });
        (letters.collect(), report.calls, report.instances_lost)
    }

    #[test]
    fn a_good_batch_takes_one_call() {
        assert_eq!(run("...."), ("AAAA".into(), 1, 0));
        assert_eq!(run(""), (String::new(), 0, 0));
    }

    #[test]
    fn a_trap_gives_back_only_the_poison_message() {
        assert_eq!(run("..t."), ("aaFa".into(), 5, 2));
        assert_eq!(run("t..t"), ("FaaF".into(), 5, 3));
    }

    #[test]
    fn a_batch_of_one_has_one_trial_in_an_untouched_instance() {
        assert_eq!(run("t"), ("F".into(), 2, 2));
        assert_eq!(run("d"), ("F".into(), 2, 2));
        assert_eq!(run_in("t", true), ("F".into(), 1, 1));
        assert_eq!(run_in("t.", true), ("Fa".into(), 3, 2));
    }

    #[test]
    fn an_error_or_a_wrong_count_gives_the_whole_batch_back_after_one_call() {
        assert_eq!(run("..e."), ("BBBB".into(), 1, 0));
        assert_eq!(run(".w"), ("BB".into(), 1, 0));
    }

    #[test]
    fn alone_too_an_error_or_a_wrong_count_is_the_messages_own() {
        assert_eq!(run("tew."), ("FFFa".into(), 5, 2));
    }

    #[test]
    fn three_deadlines_in_a_row_give_the_rest_back_unrun() {
        assert_eq!(run(".ddd..").0, "aFFF--");
        assert_eq!(run("ddtddd.").0, "FFFFFF-");
        assert_eq!(run("dd.dd.").0, "FFaFFa");
    }

    #[test]
    fn scattered_deadlines_are_bounded_too() {
        assert_eq!(run("d.d.d.d.d.d.d.d.d.").0, "FaFaFaFaFaFaFaF---");
    }

    #[test]
    fn without_an_instance_everything_left_is_given_back() {
        assert_eq!(run("n.."), ("NNN".into(), 0, 0));
        assert_eq!(run("t.n."), ("FaNN".into(), 3, 2));
    }

    #[test]
    fn in_order_everything_behind_the_first_that_is_not_consumed_is_held_back() {
        assert_eq!(run_in_order("...."), ("AAAA".into(), 1, 0));
        assert_eq!(run_in_order(".l.l"), ("Alhh".into(), 1, 0));
        assert_eq!(run_in_order("..e."), ("Bhhh".into(), 1, 0));
        assert_eq!(run_in_order("n.."), ("Nhh".into(), 0, 0));
    }

    #[test]
    fn in_order_messages_are_tried_alone_up_to_the_first_that_is_not_consumed() {
        assert_eq!(run_in_order("..t.t"), ("aaFhh".into(), 4, 2));
        assert_eq!(run_in_order(".lt."), ("alhh".into(), 3, 1));
        assert_eq!(run_in_order("dddd"), ("Fhhh".into(), 2, 2));
        assert_eq!(run_in_order(".et"), ("Bhh".into(), 1, 0));
        assert_eq!(run_in_order("t.n"), ("Fhh".into(), 2, 2));
    }
}
