//! The host's side of `gantry:rocketmq/delivery`: questions about the batch at hand.

use std::{ops::Range, sync::Arc};

use wasmtime::{
    StoreContextMut,
    component::{Linker, WasmStr},
};

use crate::{guest::GuestState, message::MessageBatch, wit::DELIVERY_INTERFACE};

/// The part of a batch that one call is about.
#[derive(Clone)]
pub(crate) struct AtHand {
    batch: Arc<dyn MessageBatch>,
    range: Range<usize>,
}

impl AtHand {
    pub(crate) fn new(batch: &Arc<dyn MessageBatch>, range: Range<usize>) -> Self {
        Self { batch: Arc::clone(batch), range }
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
}
