//! The role of a message listener: `describe` and `consume-message` in one instance.

use std::{ops::Range, sync::Arc, time::Duration};

use wasmtime::{
    Store,
    component::{Component, ComponentExportIndex, Instance, TypedFunc},
};

use crate::{
    delivery::AtHand,
    failure::{GuestFailure, bounded_text},
    guest::GuestState,
    instance::{Live, Role},
    message::{MessageBatch, MessageView},
    wit::{
        ConsumeContext, ConsumeParams, ConsumeResult, ConsumeReturn, DescribeParams, DescribeReturn,
        LISTENER_INTERFACE, ListenerDescription, WitMessage,
    },
};

/// Where a component keeps the functions of the listener interface.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ListenerRole {
    describe: ComponentExportIndex,
    consume: ComponentExportIndex,
}

/// The functions of the listener interface in one instance.
pub(crate) struct ListenerFunctions {
    describe: TypedFunc<DescribeParams, DescribeReturn<ListenerDescription>>,
    consume: TypedFunc<ConsumeParams<'static>, ConsumeReturn>,
}

/// A live listener.
pub(crate) type Guest = Live<ListenerFunctions>;

impl Role for ListenerRole {
    const INTERFACE: &'static str = LISTENER_INTERFACE;
    type Functions = ListenerFunctions;

    fn find(component: &Component) -> Result<Self, &'static str> {
        let interface = component.get_export_index(None, LISTENER_INTERFACE).ok_or(LISTENER_INTERFACE)?;
        let function = |name| component.get_export_index(Some(&interface), name).ok_or(name);
        Ok(Self { describe: function("describe")?, consume: function("consume-message")? })
    }

    fn functions(
        &self,
        store: &mut Store<GuestState>,
        instance: &Instance,
    ) -> wasmtime::Result<ListenerFunctions> {
        Ok(ListenerFunctions {
            describe: instance.get_typed_func(&mut *store, self.describe)?,
            consume: instance.get_typed_func(store, self.consume)?,
        })
    }
}

impl Guest {
    pub(crate) fn describe(&mut self, deadline: Duration) -> Result<ListenerDescription, GuestFailure> {
        let (description,) = self.call(deadline, |functions, store| functions.describe.call(store, ()))?;
        Ok(description)
    }

    /// Calls `consume-message` with the messages of `range`.
    pub(crate) fn consume(
        &mut self,
        context: &ConsumeContext<'_>,
        batch: &Arc<dyn MessageBatch>,
        range: Range<usize>,
        deadline: Duration,
    ) -> Result<Vec<ConsumeResult>, GuestFailure> {
        self.state().at_hand = Some(AtHand::new(batch, range.clone()));
        let expected = range.len();
        let properties = Properties::collect(&**batch, range.clone());
        let messages = properties.messages(&**batch, range);
        let params = (*context, messages.as_slice());
        let answer = self.call(deadline, |functions, store| functions.consume.call(store, params));
        self.state().at_hand = None;
        match answer? {
            (Err(message),) => Err(GuestFailure::ListenerError(bounded_text(message))),
            (Ok(results),) if results.len() != expected => {
                Err(GuestFailure::WrongCount { expected, got: results.len() })
            }
            (Ok(results),) => Ok(results.into_iter().map(bounded_result).collect()),
        }
    }
}

fn bounded_result(result: ConsumeResult) -> ConsumeResult {
    match result {
        ConsumeResult::DeadLetter(reason) => ConsumeResult::DeadLetter(bounded_text(reason)),
        other => other,
    }
}

/// The user properties of a batch, all in one list, so that no message needs a list of its own.
struct Properties<'a> {
    pairs: Vec<(&'a str, &'a str)>,
    /// Where each message's pairs end.
    ends: Vec<usize>,
}

impl<'a> Properties<'a> {
    fn collect(batch: &'a dyn MessageBatch, range: Range<usize>) -> Self {
        let mut pairs = Vec::new();
        let ends = range
            .map(|index| {
                batch.user_properties(index, &mut pairs);
                pairs.len()
            })
            .collect();
        Self { pairs, ends }
    }

    fn messages<'b>(&'b self, batch: &'b dyn MessageBatch, range: Range<usize>) -> Vec<WitMessage<'b>> {
        let mut start = 0;
        range
            .zip(&self.ends)
            .map(|(index, end)| {
                let properties = self.pairs.get(start..*end).unwrap_or_default();
                start = *end;
                lowered(batch.message(index), properties)
            })
            .collect()
    }
}

const fn lowered<'a>(message: MessageView<'a>, user_properties: &'a [(&'a str, &'a str)]) -> WitMessage<'a> {
    WitMessage {
        message_id: message.message_id,
        tags: message.tags,
        keys: message.keys,
        reconsume_times: message.reconsume_times,
        queue_offset: message.queue_offset,
        born_timestamp: message.born_timestamp,
        store_timestamp: message.store_timestamp,
        body: message.body,
        user_properties,
    }
}
