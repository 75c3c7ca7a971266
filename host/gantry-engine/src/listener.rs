//! The role of a message listener: `describe` and `consume-message` in one instance, or the `handle` of `wasi:messaging`.

use std::{mem, ops::Range, sync::Arc, time::Duration};

use wasmtime::{
    Store,
    component::{Component, ComponentExportIndex, Instance, TypedFunc},
};

use crate::{
    delivery::{AtHand, Settled, bounded_result},
    failure::{GuestFailure, bounded_text},
    guest::GuestState,
    instance::{Live, Missing, Role, exported},
    message::{MessageBatch, MessageView},
    messaging::{HandleParams, HandleReturn, HeldMessage},
    wit::{
        ConsumeContext, ConsumeParams, ConsumeResult, ConsumeReturn, DescribeParams, DescribeReturn,
        LISTENER_INTERFACE, ListenerDescription, MESSAGING_HANDLER_INTERFACE, PACKED_LISTENER_INTERFACE,
        PackedParams, RetryDelay, WitMessage,
    },
};

/// Room for packed batches that an instance keeps from call to call, in bytes; more is given back after the call.
const MAX_KEPT_PACKING: usize = 1 << 20;

/// Where a component keeps the functions of a listener interface.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ListenerRole {
    form: Form,
    /// Not in `wasi:messaging`.
    describe: Option<ComponentExportIndex>,
    consume: ComponentExportIndex,
}

/// How a listener takes its batches.
#[derive(Clone, Copy, Debug)]
enum Form {
    /// As records (interface `listener`).
    Records,
    /// As bytes (interface `packed-listener`).
    Packed,
    /// Message by message (`wasi:messaging/incoming-handler`).
    OneByOne,
}

/// The functions of the listener interface in one instance.
pub(crate) struct ListenerFunctions {
    describe: Option<TypedFunc<DescribeParams, DescribeReturn<ListenerDescription>>>,
    consume: Consume,
}

enum Consume {
    Records(TypedFunc<ConsumeParams<'static>, ConsumeReturn>),
    Packed(TypedFunc<PackedParams<'static>, ConsumeReturn>),
    OneByOne(TypedFunc<HandleParams, HandleReturn>),
}

/// A live listener.
pub(crate) type Guest = Live<ListenerFunctions>;

/// What came of one call.
pub(crate) struct Consumed {
    /// One result a message, or why there is none.
    pub(crate) answer: Result<Vec<ConsumeResult>, GuestFailure>,
    /// What was settled before the call ended, however it did.
    pub(crate) settled: Settled,
}

impl From<Result<Vec<ConsumeResult>, GuestFailure>> for Consumed {
    fn from(answer: Result<Vec<ConsumeResult>, GuestFailure>) -> Self {
        Self { answer, settled: Settled::default() }
    }
}

impl ListenerRole {
    /// Whether a component that exports these interfaces is a listener.
    pub(crate) fn is_played_by(exports: &[String]) -> bool {
        let forms = [LISTENER_INTERFACE, PACKED_LISTENER_INTERFACE, MESSAGING_HANDLER_INTERFACE];
        exports.iter().any(|name| forms.contains(&&**name))
    }

    /// Whether it has a description of its own.
    pub(crate) const fn describes_itself(&self) -> bool {
        self.describe.is_some()
    }
}

impl Role for ListenerRole {
    type Functions = ListenerFunctions;

    fn find(component: &Component) -> Result<Self, Missing> {
        let exports = |interface| component.get_export_index(None, interface).is_some();
        let (form, interface) = if exports(PACKED_LISTENER_INTERFACE) {
            (Form::Packed, PACKED_LISTENER_INTERFACE)
        } else if exports(LISTENER_INTERFACE) {
            (Form::Records, LISTENER_INTERFACE)
        } else {
            let consume = exported(component, MESSAGING_HANDLER_INTERFACE, "handle")?;
            return Ok(Self { form: Form::OneByOne, describe: None, consume });
        };
        let function = |name| exported(component, interface, name);
        Ok(Self { form, describe: Some(function("describe")?), consume: function("consume-message")? })
    }

    fn functions(
        &self,
        store: &mut Store<GuestState>,
        instance: &Instance,
    ) -> wasmtime::Result<ListenerFunctions> {
        let describe = self.describe.map(|describe| instance.get_typed_func(&mut *store, describe));
        let describe = describe.transpose()?;
        let consume = match self.form {
            Form::Records => Consume::Records(instance.get_typed_func(store, self.consume)?),
            Form::Packed => Consume::Packed(instance.get_typed_func(store, self.consume)?),
            Form::OneByOne => Consume::OneByOne(instance.get_typed_func(store, self.consume)?),
        };
        Ok(ListenerFunctions { describe, consume })
    }
}

impl Guest {
    /// What the listener says of itself; nothing where its interface has no words for it.
    pub(crate) fn describe(
        &mut self,
        deadline: Duration,
    ) -> Result<Option<ListenerDescription>, GuestFailure> {
        self.call(deadline, |functions, store| {
            let described = functions.describe.as_ref().map(|describe| describe.call(store, ()));
            Ok(described.transpose()?.map(|(description,)| description))
        })
    }

    /// Calls `consume-message` with the messages of `range`.
    pub(crate) fn consume(
        &mut self,
        context: &ConsumeContext<'_>,
        batch: &Arc<dyn MessageBatch>,
        range: Range<usize>,
        deadline: Duration,
    ) -> Consumed {
        self.state().at_hand = Some(AtHand::new(batch, range.clone()));
        let expected = range.len();
        let first = range.start;
        let answer = self.call(deadline, |functions, store| match &functions.consume {
            Consume::OneByOne(handle) => {
                let results = range.map(|index| handled(handle, store, context, batch, index, first));
                Ok((Ok(results.collect::<wasmtime::Result<Vec<_>>>()?),))
            }
            Consume::Records(function) => {
                let properties = Properties::collect(&**batch, range.clone());
                let messages = properties.messages(&**batch, range);
                function.call(store, (*context, messages.as_slice()))
            }
            Consume::Packed(function) => {
                let mut room = mem::take(&mut store.data_mut().packing);
                room.clear();
                let bytes = batch.packed(context.topic, range, &mut room);
                let answer = function.call(&mut *store, (*context, bytes));
                if room.capacity() <= MAX_KEPT_PACKING {
                    store.data_mut().packing = room;
                }
                answer
            }
        });
        let settled = self.state().at_hand.take().map(AtHand::into_settled).unwrap_or_default();
        Consumed { answer: answer.and_then(|(answer,)| checked(answer, expected)), settled }
    }
}

/// One message through `handle`: its result, which stands whatever becomes of those behind it.
fn handled(
    handle: &TypedFunc<HandleParams, HandleReturn>,
    store: &mut Store<GuestState>,
    context: &ConsumeContext<'_>,
    batch: &Arc<dyn MessageBatch>,
    index: usize,
    first: usize,
) -> wasmtime::Result<ConsumeResult> {
    let message = store.data_mut().hold(HeldMessage::of(batch, index, context.topic))?;
    let (answer,) = handle.call(&mut *store, (message,))?;
    let result = match answer {
        Ok(()) => ConsumeResult::Success,
        Err(error) => {
            tracing::debug!(topic = context.topic, "`handle` answers err: {}", error.text());
            ConsumeResult::ReconsumeLater(RetryDelay::ByAttempts)
        }
    };
    let place = u32::try_from(index - first).unwrap_or(u32::MAX);
    if let Some(at_hand) = &mut store.data_mut().at_hand {
        at_hand.settle(place, result.clone());
    }
    Ok(result)
}

fn checked(
    answer: Result<Vec<ConsumeResult>, String>,
    expected: usize,
) -> Result<Vec<ConsumeResult>, GuestFailure> {
    match answer {
        Err(message) => Err(GuestFailure::ListenerError(bounded_text(message))),
        Ok(results) if results.len() != expected => {
            Err(GuestFailure::WrongCount { expected, got: results.len() })
        }
        Ok(results) => Ok(results.into_iter().map(bounded_result).collect()),
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
