//! A batch at its listener: one call or several, which guest threads take one by one, and the way of their results home.
//!
//! The calls' results come home together. Where one of them takes long the driver does not wait for it: it has what the
//! others came to, and takes back what nobody has begun ([`HandOver::recall`]).

use std::iter;
use std::mem;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gantry_core::{BatchId, Settlement};
use gantry_engine::{
    BatchReport, Calls, Cause, ConsumeContext, ConsumeResult, Fault, InHand, MessageBatch, Order, Outcome,
    Panics, QUICK, Series,
};
use gantry_protocol::MessageExt;

use super::batch::{Corrupt, HostBatch, Part};
use super::consume::{Consumption, Way};
use super::counters::{BatchCounts, Successes};
use super::input::Input;
use super::listener::{Call, Listener};
use super::outcomes::{AGAIN, Terms, failure_text, settled_as, settlement};
use super::tally::Tally;
use super::traces::{self, Ended};
use super::trial::Trial;
use super::turns::Turns;
use crate::observer::{Settled, SettledAs};

/// What a hand-over is made of.
pub(super) struct Handed {
    pub(super) id: BatchId,
    pub(super) consumption: Arc<Consumption>,
    pub(super) listener: Arc<Listener>,
    /// What runs, where no version on trial does.
    pub(super) call: Call,
    /// The version on trial, which takes its share of the calls.
    pub(super) trial: Option<Arc<Trial>>,
    pub(super) way: Way,
    /// The topic the messages were pulled from.
    pub(super) queue_topic: Arc<str>,
    pub(super) terms: Terms,
    pub(super) tally: Arc<Tally>,
    pub(super) batch: Arc<HostBatch>,
    /// Those whose bodies cannot be read, in the order of their places. They end with the first call.
    pub(super) corrupt: Vec<Corrupt>,
    /// How many messages there are, with those that are corrupt, and those behind one in order.
    pub(super) messages: usize,
    /// Most messages in a call.
    pub(super) call_size: usize,
}

/// See the module.
pub(super) struct HandOver {
    handed: Handed,
    /// The batch again, as the engine wants it.
    batch: Arc<dyn MessageBatch>,
    calls: usize,
    /// Whether nobody wants to know of each call.
    unwatched: bool,
    /// Whether the host's observer wants to know of each message.
    observed: bool,
    begun: AtomicUsize,
    home: Mutex<Home>,
}

/// What has ended and is not told yet.
#[derive(Default)]
struct Home {
    /// Calls.
    ended: Vec<usize>,
    /// What their messages came to, by their places, where it is no success.
    failed: Vec<(usize, Settlement)>,
    /// Ended and not counted yet.
    successes: Successes,
    /// From now on each call is told of for itself.
    recalled: bool,
}

/// What there is of a hand-over that takes long, messages by their places.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Recalled {
    pub(super) ended: Vec<(usize, Settlement)>,
    /// Nobody has begun their calls, and nobody will.
    pub(super) untouched: Vec<usize>,
}

impl HandOver {
    pub(super) fn new(handed: Handed) -> Self {
        // Where all are corrupt, one call with nothing in it.
        let calls = handed.batch.stored().len().div_ceil(handed.call_size.max(1)).max(1);
        let home = Home { ended: Vec::with_capacity(calls), ..Home::default() };
        let batch = Arc::clone(&handed.batch) as Arc<dyn MessageBatch>;
        let unwatched = handed.consumption.traces.is_none() && handed.listener.shadow().is_none();
        let observed = handed.consumption.observer.watches_messages();
        Self { handed, batch, calls, unwatched, observed, begun: AtomicUsize::new(0), home: Mutex::new(home) }
    }

    pub(super) fn id(&self) -> BatchId {
        self.handed.id
    }

    /// How many calls it has.
    pub(super) fn calls(&self) -> usize {
        self.calls
    }

    /// Ends what nobody has begun, and takes what has ended; what still goes on is told of when it ends. None where there is
    /// nothing more to tell.
    pub(super) fn recall(&self) -> Option<Recalled> {
        let mut home = self.home();
        if home.recalled || home.ended.len() == self.calls {
            return None;
        }
        home.recalled = true;
        let begun = self.begun.swap(self.calls, Ordering::AcqRel).min(self.calls);
        let places = |call: &usize| self.places(*call);
        let mut ended: Vec<_> =
            home.ended.iter().flat_map(places).map(|place| (place, Settlement::Success)).collect();
        for (place, failed) in home.failed.drain(..) {
            ended.retain(|(known, _)| *known != place);
            ended.push((place, failed));
        }
        let untouched = (begun..self.calls).flat_map(|call| self.places(call)).collect();
        self.count(&mut home);
        Some(Recalled { ended, untouched })
    }

    fn home(&self) -> MutexGuard<'_, Home> {
        self.home.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The messages of a call, among those that can be read.
    pub(super) fn range(&self, call: usize) -> Range<usize> {
        let (size, all) = (self.handed.call_size, self.handed.batch.stored().len());
        let start = call.saturating_mul(size).min(all);
        start..start.saturating_add(size).min(all)
    }

    /// Where the messages end that go into a guest together with those of a call: with whole calls, of so many bytes at most where it is
    /// more than that call, and no more calls than those that have ended let hope for until they have taken [`QUICK`].
    pub(super) fn end_of_series(&self, call: usize, most_bytes: usize) -> usize {
        let most_calls = self.home().successes.within(QUICK).max(1);
        let (mut bytes, mut end) = (0, self.range(call).end);
        for call in (call..self.calls).take(most_calls) {
            let range = self.range(call);
            let messages = self.handed.batch.stored().get(range.clone()).unwrap_or_default();
            bytes += messages.iter().map(MessageExt::stored_size).sum::<usize>();
            if bytes > most_bytes {
                break;
            }
            end = range.end;
        }
        end
    }

    /// The place of a message that can be read among all.
    fn place(&self, index: usize) -> usize {
        self.handed.corrupt.iter().fold(index, |place, corrupt| place + usize::from(corrupt.index <= place))
    }

    /// The places of the messages that end with a call.
    fn places(&self, call: usize) -> impl Iterator<Item = usize> + '_ {
        let corrupt = self.handed.corrupt.iter().filter(move |_| call == 0).map(|corrupt| corrupt.index);
        self.range(call).map(|index| self.place(index)).chain(corrupt)
    }

    /// Whether there is nothing to do about a call that succeeds but to count it.
    fn is_only_counted(&self, call: usize) -> bool {
        self.unwatched && (call > 0 || self.handed.corrupt.is_empty())
    }

    /// Of a call of the version that serves: it consumed all its messages.
    pub(super) fn succeeded(&self, call: usize, took: Duration) {
        let range = self.range(call);
        if !self.is_only_counted(call) {
            return self.ended(call, None, BatchReport::all_consumed(range.len(), took));
        }
        let Handed { consumption, batch, .. } = &self.handed;
        if self.observed {
            let version = self.handed.call.version();
            for (index, message) in batch.stored().iter().enumerate().take(range.end).skip(range.start) {
                self.tell_observer(version, message, batch.reconsume_times(index), SettledAs::Success, None);
            }
        }
        let mut home = self.home();
        home.successes.add(range.len(), took);
        let news = if home.recalled {
            self.count(&mut home);
            let results = self.places(call).map(|place| (place, Settlement::Success)).collect();
            Some(Input::ConsumedPart(self.id(), results))
        } else {
            home.ended.push(call);
            self.all_home(&mut home)
        };
        drop(home);
        if let Some(news) = news {
            consumption.tell(news);
        }
    }

    /// Counts the successes so far: when the hand-over is home, and before anything else is counted, whose order breakers and
    /// canaries look at.
    fn count(&self, home: &mut Home) {
        let successes = mem::take(&mut home.successes);
        if successes.calls == 0 {
            return;
        }
        let Handed { listener, call, tally, .. } = &self.handed;
        let Successes { calls, messages, took, .. } = successes;
        call.record().count_successes(calls, messages, took);
        listener.judge_successes(calls, messages);
        listener.counters.successes(&successes);
        tally.consumed(calls, messages, 0, took);
    }

    /// A call has ended. `tried` is the version that ran it, where it is one on trial.
    pub(super) fn ended(&self, call: usize, tried: Option<&Call>, report: BatchReport) {
        let success =
            |outcome: &Outcome| outcome.cause == Cause::Answered && outcome.result == ConsumeResult::Success;
        if tried.is_none()
            && self.is_only_counted(call)
            && report.batch_failure.is_none()
            && report.outcomes.iter().all(success)
        {
            return self.succeeded(call, report.took);
        }
        self.count(&mut self.home());
        let Handed { consumption, listener, batch, .. } = &self.handed;
        let version = tried.unwrap_or(&self.handed.call).version();
        if let Some(failure) = &report.batch_failure {
            tracing::warn!(
                group = %consumption.name, plugin = %listener.plugin, %version,
                messages = report.outcomes.len(), calls = report.calls, "{failure}"
            );
        }
        let range = self.range(call);
        self.judge(&range, tried, &report);
        let (calls, instances_lost, took) = (report.calls, report.instances_lost, report.took);
        let mut ends: Vec<End<'_>> = Vec::with_capacity(range.len());
        for (index, outcome) in range.zip(report.outcomes) {
            let Some(message) = batch.stored().get(index) else { break };
            let failure = failure_text(&outcome.cause);
            let (place, times) = (self.place(index), batch.reconsume_times(index));
            let (settlement, cause) = (settlement(outcome.result), Some(outcome.cause));
            ends.push(End { place, message, times, settlement, cause, failure });
        }
        if call == 0 {
            self.add_corrupt(&mut ends);
        }
        let good = ends.iter().take_while(|end| end.settlement == Settlement::Success).count();
        // In order, what follows the first failure has not ended.
        let ended = if self.handed.terms.in_order { good + 1 } else { ends.len() };
        let mut counts = BatchCounts::default();
        for end in ends.iter().take(ended) {
            self.observe(version, end, &mut counts);
        }
        if let Some(traces) = &consumption.traces {
            let told = ends.iter().take(ended).map(End::traced);
            if let Some(events) = traces::consumed(&consumption.group, took, told) {
                traces.tell(events);
            }
        }
        listener.counters.batch(&counts, calls, instances_lost, took);
        let outcomes = counts.outcomes();
        self.handed.tally.consumed(1, outcomes.succeeded, outcomes.reconsumed + outcomes.dead_lettered, took);
        let news = self.bring_home(call, ends);
        if let Some(news) = news {
            consumption.tell(news);
        }
    }

    fn add_corrupt<'e>(&'e self, ends: &mut Vec<End<'e>>) {
        for Corrupt { index, stored, error } in &self.handed.corrupt {
            let text = format!("the body cannot be inflated: {error}");
            let group = &self.handed.consumption.name;
            tracing::warn!(%group, message = stored.message_id(), "{text}; it is given back");
            let (place, settlement, times) = (*index, AGAIN, stored.reconsume_times());
            let end = End { place, message: stored, times, settlement, cause: None, failure: Some(text) };
            ends.insert(place.min(ends.len()), end);
        }
    }

    /// What the driver is to be told now that the call has ended.
    fn bring_home(&self, call: usize, ends: Vec<End<'_>>) -> Option<Input> {
        let mut home = self.home();
        let results = ends.into_iter().map(|end| (end.place, end.settlement));
        if home.recalled {
            return Some(Input::ConsumedPart(self.id(), results.collect()));
        }
        home.failed.extend(results.filter(|(_, settlement)| *settlement != Settlement::Success));
        home.ended.push(call);
        self.all_home(&mut home)
    }

    /// What the driver is to be told once all calls have ended.
    fn all_home(&self, home: &mut Home) -> Option<Input> {
        if home.ended.len() < self.calls {
            return None;
        }
        self.count(home);
        // Those that are corrupt end as failures.
        let whole = self.handed.batch.stored().len() == self.handed.messages;
        if whole && home.failed.is_empty() {
            return Some(Input::Succeeded(self.id()));
        }
        Some(Input::Consumed(self.id(), self.all(&mut home.failed)))
    }

    /// One settlement for each message.
    fn all(&self, failed: &mut Vec<(usize, Settlement)>) -> Vec<Settlement> {
        let reached = self.handed.batch.stored().len() + self.handed.corrupt.len();
        let mut settlements: Vec<_> = iter::repeat_n(Settlement::Success, reached).collect();
        for (place, settlement) in failed.drain(..) {
            if let Some(known) = settlements.get_mut(place) {
                *known = settlement;
            }
        }
        // In order, nothing behind a message that cannot be read was tried.
        settlements.resize(self.handed.messages, AGAIN);
        settlements
    }

    /// Counts the call for whoever judges the version that ran it, and hands a copy to a version in the shadow.
    fn judge(&self, range: &Range<usize>, tried: Option<&Call>, report: &BatchReport) {
        let Handed { consumption, listener, batch, way, call, trial, .. } = &self.handed;
        let fatal_streak = tried.unwrap_or(call).record().count(report);
        if let (Some(_), Some(trial)) = (tried, trial) {
            return trial.ended(fatal_streak);
        }
        let at_fault = |cause: &Cause| matches!(cause.fault(), Some(Fault::Fatal | Fault::Broken));
        let held_back = report.outcomes.iter().filter(|outcome| outcome.cause == Cause::HeldBack).count();
        let failed = report.outcomes.iter().filter(|outcome| at_fault(&outcome.cause)).count();
        listener.judge((report.outcomes.len() - held_back) as u64, failed as u64);
        if let Some(shadow) = listener.shadow() {
            shadow.watch(&consumption.group, way.clone(), batch, range.clone(), &report.outcomes);
        }
    }

    fn observe(&self, version: &str, end: &End<'_>, counts: &mut BatchCounts) {
        let failure = end.failure.as_deref();
        let as_ = settled_as(&end.settlement, self.handed.terms, end.times, failure);
        counts.add(&as_, end.cause.as_ref(), failure.is_some());
        self.tell_observer(version, end.message, end.times, as_, failure);
    }

    fn tell_observer(
        &self,
        version: &str,
        message: &MessageExt,
        reconsume_times: i32,
        as_: SettledAs,
        failure: Option<&str>,
    ) {
        let Handed { consumption, listener, way, .. } = &self.handed;
        consumption.observer.settled(&Settled {
            group: &consumption.name,
            plugin: &listener.plugin,
            version,
            message,
            topic: &way.topic,
            reconsume_times,
            as_,
            failure,
        });
    }
}

impl HandOver {
    fn run_one(&self, call: usize, hand: &mut InHand, turns: &Arc<Turns>, panics: &Panics) {
        let Handed { consumption, way, batch, trial, queue_topic, .. } = &self.handed;
        let context = ConsumeContext {
            consumer_group: &consumption.group,
            topic: &way.topic,
            broker_name: &way.broker_name,
            queue_id: way.queue_id,
        };
        let on_trial = |trial: &Arc<Trial>| trial.lease(queue_topic, &way.broker_name, way.queue_id);
        let tried = trial.as_ref().and_then(on_trial).map(Call::Guest);
        let range = self.range(call);
        let report = match tried.as_ref().unwrap_or(&self.handed.call) {
            Call::Guest(lease) => {
                let (module, deadline, all) = (lease.module(), way.deadline, &self.batch);
                // Each call may go to another version while one is on trial.
                let in_series = trial.is_none() && way.order == Order::Any;
                panics.contain(
                    || turns.messages(),
                    || match in_series {
                        true => {
                            let series = Arc::clone(turns) as Arc<dyn Series>;
                            hand.consume_series(module, &context, all, range, deadline, series)
                        }
                        false => {
                            Some(hand.consume_isolated(module, &context, all, range, deadline, way.order))
                        }
                    },
                )
            }
            Call::Native(native) if self.calls == 1 => Some(native.consume(&context, &**batch)),
            Call::Native(native) => Some(native.consume(&context, &Part::new(batch, range))),
        };
        if let Some(report) = report {
            turns.take(tried.as_ref(), report);
        }
    }
}

impl Calls for HandOver {
    fn left(&self) -> usize {
        self.calls.saturating_sub(self.begun.load(Ordering::Acquire))
    }

    fn begin(&self) -> Option<usize> {
        let next = |begun| (begun < self.calls).then_some(begun + 1);
        self.begun.fetch_update(Ordering::AcqRel, Ordering::Acquire, next).ok()
    }

    fn run(self: Arc<Self>, first: usize, panics: &Panics) -> usize {
        let (turns, mut hand) = (Arc::new(Turns::new(Arc::clone(&self), first)), InHand::default());
        while let Some(call) = turns.at_hand() {
            self.run_one(call, &mut hand, &turns, panics);
        }
        turns.ran()
    }
}

/// How one message ended.
struct End<'a> {
    /// Among the messages of the batch, with those that are corrupt.
    place: usize,
    message: &'a MessageExt,
    /// How often it had come before.
    times: i32,
    settlement: Settlement,
    /// None where its body cannot be read.
    cause: Option<Cause>,
    failure: Option<String>,
}

impl End<'_> {
    fn traced(&self) -> Ended<'_> {
        Ended {
            message: self.message,
            times: self.times,
            settlement: &self.settlement,
            cause: self.cause.as_ref(),
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
