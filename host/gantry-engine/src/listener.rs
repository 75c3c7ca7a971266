//! The role of a message listener: `describe` and `consume-message` in one instance, or the `handle` of `wasi:messaging`.

use std::{
    mem,
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

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
        LEAN_LISTENER_INTERFACE, LISTENER_INTERFACE, LeanParams, LeanReturn, ListenerDescription,
        MESSAGING_HANDLER_INTERFACE, PACKED_LISTENER_INTERFACE, PackedParams, RetryDelay, WitMessage,
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
    /// As bytes, saying only what is no success (interface `lean-listener`).
    Lean,
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
    Lean(TypedFunc<LeanParams<'static>, LeanReturn>),
    OneByOne(TypedFunc<HandleParams, HandleReturn>),
}

/// A live listener.
pub(crate) type Guest = Live<ListenerFunctions>;

/// What came of one call.
pub(crate) struct Consumed {
    /// What the listener answers, or why there is no answer.
    pub(crate) answer: Result<Results, GuestFailure>,
    /// What was settled before the call ended, however it did, and is not in the answer.
    pub(crate) settled: Settled,
}

/// One result a message.
pub(crate) enum Results {
    /// So many successes, which take no room.
    AllConsumed(usize),
    Each(Vec<ConsumeResult>),
}

/// A guest's answer as it comes.
enum Answer {
    Each(Result<Vec<ConsumeResult>, String>),
    /// For so many messages, each a success unless it was settled.
    Count(u32),
}

impl Results {
    /// One by one.
    pub(crate) fn into_each(self) -> Vec<ConsumeResult> {
        match self {
            Results::AllConsumed(messages) => vec![ConsumeResult::Success; messages],
            Results::Each(results) => results,
        }
    }
}

impl ListenerRole {
    /// Whether a component that exports these interfaces is a listener.
    pub(crate) fn is_played_by(exports: &[String]) -> bool {
        let forms = [
            LEAN_LISTENER_INTERFACE,
            PACKED_LISTENER_INTERFACE,
            LISTENER_INTERFACE,
            MESSAGING_HANDLER_INTERFACE,
        ];
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
        let exports = |interface: &str| component.get_export_index(None, interface).is_some();
        // The cheapest first.
        let forms = [
            (Form::Lean, LEAN_LISTENER_INTERFACE),
            (Form::Packed, PACKED_LISTENER_INTERFACE),
            (Form::Records, LISTENER_INTERFACE),
        ];
        let Some((form, interface)) = forms.into_iter().find(|(_, interface)| exports(interface)) else {
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
            Form::Lean => Consume::Lean(instance.get_typed_func(store, self.consume)?),
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

    /// Calls `consume-message` with the messages of `range`. It is `now`.
    pub(crate) fn consume(
        &mut self,
        context: &ConsumeContext<'_>,
        batch: &Arc<dyn MessageBatch>,
        range: Range<usize>,
        deadline: Duration,
        now: Instant,
    ) -> Consumed {
        let (expected, first) = (range.len(), range.start);
        self.state().take_in_hand(context, batch, range.clone());
        let answer = self.call_at(now, deadline, |functions, store| match &functions.consume {
            Consume::OneByOne(handle) => {
                let results = range.map(|index| handled(handle, store, context, batch, index, first));
                Ok(Answer::Each(Ok(results.collect::<wasmtime::Result<_>>()?)))
            }
            Consume::Records(function) => {
                let properties = Properties::collect(&**batch, range.clone());
                let messages = properties.messages(&**batch, range);
                let (answer,) = function.call(store, (*context, messages.as_slice()))?;
                Ok(Answer::Each(answer))
            }
            Consume::Packed(function) => {
                with_packed(store, &**batch, context.topic, range, |store, bytes| {
                    let (answer,) = function.call(store, (*context, bytes))?;
                    Ok(Answer::Each(answer))
                })
            }
            Consume::Lean(function) => with_packed(store, &**batch, context.topic, range, |store, bytes| {
                let (count,) = function.call(store, (bytes,))?;
                Ok(Answer::Count(count))
            }),
        });
        let at_hand = self.state().at_hand.take();
        let (mut settled, failure) = at_hand.map(AtHand::ended).unwrap_or_default();
        let answer = answer.and_then(|answer| match failure {
            Some(reason) => Err(GuestFailure::ListenerError(reason)),
            None => checked(answer, expected, &mut settled),
        });
        Consumed { answer, settled }
    }
}

/// A call with the messages of `range` as bytes.
fn with_packed<T>(
    store: &mut Store<GuestState>,
    batch: &dyn MessageBatch,
    topic: &str,
    range: Range<usize>,
    call: impl FnOnce(&mut Store<GuestState>, &[u8]) -> wasmtime::Result<T>,
) -> wasmtime::Result<T> {
    let mut room = mem::take(&mut store.data_mut().packing);
    room.clear();
    let answer = call(store, batch.packed(topic, range, &mut room));
    if room.capacity() <= MAX_KEPT_PACKING {
        store.data_mut().packing = room;
    }
    answer
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

/// The results of `expected` messages. Where the answer says nothing of those that were settled, they come into it.
fn checked(answer: Answer, expected: usize, settled: &mut Settled) -> Result<Results, GuestFailure> {
    let got = match &answer {
        Answer::Each(Err(_)) => expected,
        Answer::Each(Ok(results)) => results.len(),
        Answer::Count(count) => usize::try_from(*count).unwrap_or(usize::MAX),
    };
    match answer {
        _ if got != expected => Err(GuestFailure::WrongCount { expected, got }),
        Answer::Each(Err(message)) => Err(GuestFailure::ListenerError(bounded_text(message))),
        Answer::Each(Ok(results)) => Ok(Results::Each(results.into_iter().map(bounded_result).collect())),
        Answer::Count(_) if settled.is_empty() => Ok(Results::AllConsumed(expected)),
        Answer::Count(_) => {
            let successes = Results::AllConsumed(expected).into_each();
            Ok(Results::Each(mem::take(settled).over(successes)))
        }
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
