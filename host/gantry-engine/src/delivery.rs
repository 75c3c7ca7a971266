//! The host's side of `gantry:rocketmq/delivery`: questions about the batch at hand.

use std::{mem, ops::Range, sync::Arc, time::Instant};

use wasmtime::{
    StoreContextMut,
    component::{Linker, WasmStr},
};

use crate::{
    failure::{GuestFailure, bounded_text},
    guest::GuestState,
    isolate::BatchReport,
    listener::{Answer, Consumed, Crossed, Results, checked},
    message::MessageBatch,
    series::{Reach, Underway},
    wit::{ConsumeResult, DELIVERY_INTERFACE},
};

/// The part of a batch that one call is about.
pub(crate) struct AtHand {
    batch: Arc<dyn MessageBatch>,
    range: Range<usize>,
    settled: Settled,
    /// The listener's own failure, if it told of one.
    failure: Option<String>,
    /// Whether the listener answers on the way (`next-batch`); what it returns is its answer else.
    is_lean: bool,
    /// How many messages it answers for, once it has said so: there is no batch at hand any more.
    answered: Option<u32>,
    /// When the call began.
    began: Instant,
    /// What it is part of.
    series: Option<Underway>,
    /// The calls of the series before it.
    calls_before: u64,
    /// Whether the series is over and knows how this one ended.
    told: bool,
}

/// What a listener settled while it worked, by the messages' places. Takes no room before the first.
#[derive(Debug, Default)]
pub(crate) struct Settled(Vec<Option<ConsumeResult>>);

impl Settled {
    /// Settles the message at `place` of `messages`, unless it is settled.
    fn settle(&mut self, place: usize, messages: usize, result: ConsumeResult) -> bool {
        if self.0.is_empty() {
            self.0.resize(messages, None);
        }
        match self.0.get_mut(place) {
            Some(free @ None) => {
                *free = Some(result);
                true
            }
            _ => false,
        }
    }

    /// What the message at `place` was settled as, if it was. It no longer is.
    pub(crate) fn take(&mut self, place: usize) -> Option<ConsumeResult> {
        self.0.get_mut(place)?.take()
    }

    /// Whether the message at `place` is settled.
    pub(crate) fn contains(&self, place: usize) -> bool {
        self.0.get(place).is_some_and(Option::is_some)
    }

    /// A call with one message, which it settled so.
    #[cfg(test)]
    pub(crate) fn one(result: ConsumeResult) -> Self {
        Self(vec![Some(result)])
    }

    /// Takes over what was said of the message at `place`, of `messages`, when it was alone in its call.
    pub(crate) fn take_over(&mut self, place: usize, messages: usize, mut alone: Self) {
        if let Some(result) = alone.take(0) {
            self.settle(place, messages, result);
        }
    }

    /// Whether nothing is settled.
    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The answer of the same call with what was settled before it in its place.
    pub(crate) fn over(mut self, mut answer: Vec<ConsumeResult>) -> Vec<ConsumeResult> {
        for (place, result) in answer.iter_mut().enumerate() {
            if let Some(settled) = self.take(place) {
                *result = settled;
            }
        }
        answer
    }
}

/// A listener's result with its reason, which goes to the log, within bounds.
pub(crate) fn bounded_result(result: ConsumeResult) -> ConsumeResult {
    match result {
        ConsumeResult::DeadLetter(reason) => ConsumeResult::DeadLetter(bounded_text(reason)),
        other => other,
    }
}

impl AtHand {
    pub(crate) fn new(
        batch: &Arc<dyn MessageBatch>,
        range: Range<usize>,
        began: Instant,
        is_lean: bool,
        series: Option<Underway>,
    ) -> Self {
        Self {
            batch: Arc::clone(batch),
            range,
            is_lean,
            settled: Settled::default(),
            failure: None,
            answered: None,
            began,
            series,
            calls_before: 0,
            told: false,
        }
    }

    /// What the crossing came to that ended with this answer.
    pub(crate) fn crossed(mut self, answer: Result<Answer, GuestFailure>) -> Crossed {
        let answered = self.is_over();
        if let Some(failure) = answer.as_ref().err().filter(|_| answered) {
            tracing::warn!("what ends after it has answered costs its instance, and no message: {failure}");
        }
        let consumed = self.consumed(if answered { Ok(Answer::Said) } else { answer });
        let Self { range, began, calls_before, told, .. } = self;
        Crossed { consumed, told, range, began, calls_before }
    }

    /// How the call at hand ended.
    fn consumed(&mut self, answer: Result<Answer, GuestFailure>) -> Consumed {
        let said = self.answered.map_or(0, |said| usize::try_from(said).unwrap_or(usize::MAX));
        let (mut settled, failure) = (mem::take(&mut self.settled), self.failure.take());
        let answer = answer.and_then(|answer| match failure {
            Some(reason) => Err(GuestFailure::ListenerError(reason)),
            None => checked(answer, said, self.range.len(), &mut settled),
        });
        Consumed { answer, settled }
    }

    /// Ends the batch at hand, and begins the next one of the series: how far on it begins, when, and what the call may take. None
    /// where there is none.
    fn next(&mut self, answered: u32) -> Option<(u32, Instant, Reach)> {
        if self.is_over() || !self.is_lean {
            return None;
        }
        self.answered = Some(answered);
        let underway = self.series.take()?;
        let (now, messages) = (Instant::now(), self.range.len());
        let took = now.saturating_duration_since(self.began);
        let next = match self.consumed(Ok(Answer::Said)) {
            Consumed { answer: Ok(Results::AllConsumed(_)), .. } => underway.series.consumed(took),
            consumed => underway.series.ended(BatchReport::of_call(consumed, messages, took)),
        };
        (self.told, self.began) = (true, now);
        let reach = underway.reach;
        let next = next.filter(|next| reach.allows(&self.range, next, self.calls_before + 1))?;
        let step = u32::try_from(next.start - self.range.start).ok()?;
        (self.range, self.answered, self.told, self.series) = (next, None, false, Some(underway));
        self.calls_before += 1;
        Some((step, now, reach))
    }

    /// Whether the listener has ended the batch.
    const fn is_over(&self) -> bool {
        self.answered.is_some()
    }

    /// Gives the whole batch back, unless it was before.
    fn fail(&mut self, reason: String) {
        self.failure.get_or_insert_with(|| bounded_text(reason));
    }

    /// Settles the message at `index` of the call's part, unless it is settled.
    pub(crate) fn settle(&mut self, index: u32, result: ConsumeResult) -> bool {
        let place = usize::try_from(index).unwrap_or(usize::MAX);
        !self.is_over() && self.settled.settle(place, self.range.len(), bounded_result(result))
    }

    /// The batch and the message's place in it, or nothing past the end of the call's part.
    fn locate(&self, index: u32) -> Option<(&dyn MessageBatch, usize)> {
        if self.is_over() {
            return None;
        }
        let index = self.range.start.checked_add(usize::try_from(index).ok()?)?;
        self.range.contains(&index).then_some((&*self.batch, index))
    }
}

fn ask<T>(
    state: &GuestState,
    index: u32,
    answer: impl FnOnce(&dyn MessageBatch, usize) -> Option<T>,
) -> Option<T> {
    let (batch, index) = state.at_hand.as_ref()?.locate(index)?;
    answer(batch, index)
}

fn owned_properties(batch: &dyn MessageBatch, index: usize) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    batch.properties(index, &mut pairs);
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

type Store<'a> = StoreContextMut<'a, GuestState>;

/// Offers the interface to components.
pub(crate) fn add_to_linker(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    let mut interface = linker.instance(DELIVERY_INTERFACE)?;
    interface.func_wrap("context", |store: Store<'_>, (): ()| {
        let state = store.data();
        let at_hand = state.at_hand.as_ref().filter(|at_hand| !at_hand.is_over());
        Ok((at_hand.map(|_| state.context.clone()),))
    })?;
    interface.func_wrap("property", |store: Store<'_>, (index, name): (u32, WasmStr)| {
        let name = name.to_str(&store)?;
        let value = ask(store.data(), index, |batch, index| batch.property(index, &name).map(str::to_owned));
        Ok((value,))
    })?;
    interface.func_wrap("properties", |store: Store<'_>, (index,): (u32,)| {
        let all = ask(store.data(), index, |batch, index| Some(owned_properties(batch, index)));
        Ok((all.unwrap_or_default(),))
    })?;
    interface.func_wrap("born-host", |store: Store<'_>, (index,): (u32,)| {
        Ok((ask(store.data(), index, MessageBatch::born_host),))
    })?;
    interface.func_wrap("store-host", |store: Store<'_>, (index,): (u32,)| {
        Ok((ask(store.data(), index, MessageBatch::store_host),))
    })?;
    interface.func_wrap("offset-message-id", |store: Store<'_>, (index,): (u32,)| {
        Ok((ask(store.data(), index, MessageBatch::offset_message_id),))
    })?;
    interface.func_wrap("settle", |mut store: Store<'_>, (index, result): (u32, ConsumeResult)| {
        let at_hand = store.data_mut().at_hand.as_mut();
        Ok((at_hand.is_some_and(|at_hand| at_hand.settle(index, result)),))
    })?;
    interface.func_wrap("fail", |mut store: Store<'_>, (reason,): (String,)| {
        if let Some(at_hand) = store.data_mut().at_hand.as_mut().filter(|at_hand| !at_hand.is_over()) {
            at_hand.fail(reason);
        }
        Ok(())
    })?;
    interface.func_wrap("next-batch", |mut store: Store<'_>, (answered,): (u32,)| {
        let next = store.data_mut().at_hand.as_mut().and_then(|at_hand| at_hand.next(answered));
        let Some((step, now, reach)) = next else { return Ok((0,)) };
        store.data_mut().begin_call(now, reach.deadline);
        store.set_epoch_deadline(reach.ticks);
        Ok((step,))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::OwnedMessage;

    #[test]
    fn a_call_sees_its_own_part_of_the_batch_and_nothing_past_it() {
        let messages: Vec<_> = ["a", "b", "c", "d"].map(|id| OwnedMessage::new(id, "")).into();
        let batch: Arc<dyn MessageBatch> = Arc::new(messages);
        let at_hand = AtHand::new(&batch, 1..3, Instant::now(), true, None);
        let id =
            |index| at_hand.locate(index).map(|(batch, index)| batch.message(index).message_id.to_owned());
        assert_eq!(id(0).as_deref(), Some("b"));
        assert_eq!(id(1).as_deref(), Some("c"));
        assert_eq!(id(2), None);
        assert_eq!(id(u32::MAX), None);
    }

    #[test]
    fn the_first_word_on_a_message_counts() {
        let batch: Arc<dyn MessageBatch> = Arc::new(vec![OwnedMessage::default(); 4]);
        let mut at_hand = AtHand::new(&batch, 1..3, Instant::now(), true, None);
        assert!(at_hand.settle(1, ConsumeResult::DeadLetter("d".repeat(5_000))));
        assert!(!at_hand.settle(1, ConsumeResult::Success), "settled before");
        assert!(!at_hand.settle(2, ConsumeResult::Success), "past the end of the call's part");
        assert!(!at_hand.settle(u32::MAX, ConsumeResult::Success));
        let mut settled = at_hand.crossed(Ok(Answer::Said)).consumed.settled;
        assert!(settled.contains(1) && !settled.contains(0));
        let Some(ConsumeResult::DeadLetter(reason)) = settled.take(1) else { panic!("settled") };
        assert!(reason.len() < 1_100, "bounded");
        assert!(!settled.contains(1));
    }

    #[test]
    fn who_answers_by_what_it_returns_has_nothing_ended_on_the_way() {
        let batch: Arc<dyn MessageBatch> = Arc::new(vec![OwnedMessage::default()]);
        let ended = |is_lean| {
            let mut at_hand = AtHand::new(&batch, 0..1, Instant::now(), is_lean, None);
            assert!(at_hand.next(1).is_none());
            let later = ConsumeResult::ReconsumeLater(crate::wit::RetryDelay::ByAttempts);
            matches!(
                at_hand.crossed(Ok(Answer::Each(Ok(vec![later])))).consumed.answer,
                Ok(Results::AllConsumed(1))
            )
        };
        assert_eq!((ended(true), ended(false)), (true, false), "its word, or what it returns");
    }

    #[test]
    fn the_first_failure_counts() {
        let batch: Arc<dyn MessageBatch> = Arc::new(vec![OwnedMessage::default()]);
        let mut at_hand = AtHand::new(&batch, 0..1, Instant::now(), true, None);
        at_hand.fail("n".repeat(5_000));
        at_hand.fail("another".into());
        let Consumed { answer, settled } = at_hand.crossed(Ok(Answer::Said)).consumed;
        let Err(GuestFailure::ListenerError(failure)) = answer else { panic!("it failed") };
        assert!(settled.is_empty() && failure.starts_with("nnn") && failure.len() < 1_100, "bounded");
    }
}
