//! The host's side of `gantry:rocketmq/delivery`: questions about the batch at hand.

use std::{ops::Range, sync::Arc};

use wasmtime::{
    StoreContextMut,
    component::{Linker, WasmStr},
};

use crate::{
    failure::bounded_text,
    guest::GuestState,
    message::MessageBatch,
    wit::{ConsumeResult, DELIVERY_INTERFACE},
};

/// The part of a batch that one call is about.
pub(crate) struct AtHand {
    batch: Arc<dyn MessageBatch>,
    range: Range<usize>,
    settled: Settled,
    /// The listener's own failure, if it told of one.
    failure: Option<String>,
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
    pub(crate) fn new(batch: &Arc<dyn MessageBatch>, range: Range<usize>) -> Self {
        Self { batch: Arc::clone(batch), range, settled: Settled::default(), failure: None }
    }

    /// What was settled during the call, and the listener's own failure.
    pub(crate) fn ended(self) -> (Settled, Option<String>) {
        (self.settled, self.failure)
    }

    /// Gives the whole batch back, unless it was before.
    fn fail(&mut self, reason: String) {
        self.failure.get_or_insert_with(|| bounded_text(reason));
    }

    /// Settles the message at `index` of the call's part, unless it is settled.
    pub(crate) fn settle(&mut self, index: u32, result: ConsumeResult) -> bool {
        let place = usize::try_from(index).unwrap_or(usize::MAX);
        self.settled.settle(place, self.range.len(), bounded_result(result))
    }

    /// The batch and the message's place in it, or nothing past the end of the call's part.
    fn locate(&self, index: u32) -> Option<(&dyn MessageBatch, usize)> {
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
        Ok((state.at_hand.as_ref().map(|_| state.context.clone()),))
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
        if let Some(at_hand) = &mut store.data_mut().at_hand {
            at_hand.fail(reason);
        }
        Ok(())
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
        let at_hand = AtHand::new(&batch, 1..3);
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
        let mut at_hand = AtHand::new(&batch, 1..3);
        assert!(at_hand.settle(1, ConsumeResult::DeadLetter("d".repeat(5_000))));
        assert!(!at_hand.settle(1, ConsumeResult::Success), "settled before");
        assert!(!at_hand.settle(2, ConsumeResult::Success), "past the end of the call's part");
        assert!(!at_hand.settle(u32::MAX, ConsumeResult::Success));
        let (mut settled, _) = at_hand.ended();
        assert!(settled.contains(1) && !settled.contains(0));
        let Some(ConsumeResult::DeadLetter(reason)) = settled.take(1) else { panic!("settled") };
        assert!(reason.len() < 1_100, "bounded");
        assert!(!settled.contains(1));
    }

    #[test]
    fn the_first_failure_counts() {
        let batch: Arc<dyn MessageBatch> = Arc::new(vec![OwnedMessage::default()]);
        let mut at_hand = AtHand::new(&batch, 0..1);
        at_hand.fail("n".repeat(5_000));
        at_hand.fail("another".into());
        let (settled, failure) = at_hand.ended();
        let failure = failure.unwrap();
        assert!(settled.is_empty() && failure.starts_with("nnn") && failure.len() < 1_100, "bounded");
    }
}
