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
    series::Underway,
    wit::{
        ConsumeContext, ConsumeParams, ConsumeResult, ConsumeReturn, DescribeParams, DescribeReturn,
        LEAN_LISTENER_INTERFACE, LISTENER_INTERFACE, LeanParams, ListenerDescription,
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
    /// As bytes, many batches in a call, saying only what is no success (interface `lean-listener`).
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
    Lean(TypedFunc<LeanParams<'static>, ()>),
    OneByOne(TypedFunc<HandleParams, HandleReturn>),
}

/// A live listener.
pub(crate) type Guest = Live<ListenerFunctions>;

/// What came of one crossing into the guest.
pub(crate) struct Crossed {
    /// What came of the call at hand when it ended.
    pub(crate) consumed: Consumed,
    /// Whether that has been told: to the series, which was over.
    pub(crate) told: bool,
    /// The messages of that call.
    pub(crate) range: Range<usize>,
    /// When it began.
    pub(crate) began: Instant,
    /// Calls that ended before it in the same crossing.
    pub(crate) calls_before: u64,
}

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
pub(crate) enum Answer {
    Each(Result<Vec<ConsumeResult>, String>),
    /// What it said on the way (`delivery.next-batch`).
    Said,
}

impl Crossed {
    /// Of a call that could not be made.
    pub(crate) fn lost(range: Range<usize>, now: Instant, failure: GuestFailure) -> Self {
        let consumed = Consumed { answer: Err(failure), settled: Settled::default() };
        Self { consumed, told: false, range, began: now, calls_before: 0 }
    }
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
        let consume = if let Form::Lean = form { "consume-batches" } else { "consume-message" };
        Ok(Self { form, describe: Some(function("describe")?), consume: function(consume)? })
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

    /// Calls the listener with the messages of `range`, for which they are the whole batch. It is `now`. One that takes many batches in
    /// a call goes on with those of the series.
    pub(crate) fn consume(
        &mut self,
        context: &ConsumeContext<'_>,
        batch: &Arc<dyn MessageBatch>,
        range: Range<usize>,
        deadline: Duration,
        now: Instant,
        series: Option<Underway>,
    ) -> Crossed {
        let (first, size) = (range.start, u32::try_from(range.len()).unwrap_or(u32::MAX));
        let messages = range.clone();
        let is_lean = matches!(self.functions().consume, Consume::Lean(_));
        let series = series.filter(|_| is_lean);
        let end = series.as_ref().map_or(range.end, |series| series.reach.end.max(range.end));
        self.state().take_in_hand(context, AtHand::new(batch, range.clone(), now, is_lean, series));
        let answer = self.call_at(now, deadline, |functions, store| match &functions.consume {
            Consume::OneByOne(handle) => {
                let results = range.map(|index| handled(handle, store, context, batch, index, first));
                Ok(Answer::Each(Ok(results.collect::<wasmtime::Result<_>>()?)))
            }
            Consume::Records(function) => {
                let records = Records::collect(&**batch, range);
                let messages = records.lower();
                let (answer,) = function.call(store, (*context, messages.as_slice()))?;
                Ok(Answer::Each(answer))
            }
            Consume::Packed(function) => {
                with_packed(store, &**batch, context.topic, range, |store, bytes| {
                    let (answer,) = function.call(store, (*context, bytes))?;
                    Ok(Answer::Each(answer))
                })
            }
            Consume::Lean(function) => {
                with_packed(store, &**batch, context.topic, first..end, |store, bytes| {
                    function.call(store, (bytes, size))?;
                    Ok(Answer::Said)
                })
            }
        });
        let at_hand = self.state().at_hand.take();
        let gone = || GuestFailure::ListenerError("the batch at hand is gone".to_owned());
        let crossed = match at_hand {
            Some(at_hand) => at_hand.crossed(answer),
            None => Crossed::lost(messages, now, gone()),
        };
        self.count_calls(crossed.calls_before);
        crossed
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

/// The results of `expected` messages. `said` is for how many the listener answered where that is all it said, each a success unless
/// it was settled: what was settled comes into the answer then.
pub(crate) fn checked(
    answer: Answer,
    said: usize,
    expected: usize,
    settled: &mut Settled,
) -> Result<Results, GuestFailure> {
    let got = match &answer {
        Answer::Each(Err(_)) => expected,
        Answer::Each(Ok(results)) => results.len(),
        Answer::Said => said,
    };
    match answer {
        _ if got != expected => Err(GuestFailure::WrongCount { expected, got }),
        Answer::Each(Err(message)) => Err(GuestFailure::ListenerError(bounded_text(message))),
        Answer::Each(Ok(results)) => Ok(Results::Each(results.into_iter().map(bounded_result).collect())),
        Answer::Said if settled.is_empty() => Ok(Results::AllConsumed(expected)),
        Answer::Said => {
            let successes = Results::AllConsumed(expected).into_each();
            Ok(Results::Each(mem::take(settled).over(successes)))
        }
    }
}

/// The messages of a call, with the user properties of all in one list, so that no message needs a list of its own.
struct Records<'a> {
    /// Each with where its pairs end.
    messages: Vec<(MessageView<'a>, usize)>,
    pairs: Vec<(&'a str, &'a str)>,
}

impl<'a> Records<'a> {
    fn collect(batch: &'a dyn MessageBatch, range: Range<usize>) -> Self {
        let mut pairs = Vec::new();
        let messages = range.map(|index| (batch.record(index, &mut pairs), pairs.len())).collect();
        Self { messages, pairs }
    }

    fn lower(&self) -> Vec<WitMessage<'_>> {
        let mut start = 0;
        self.messages
            .iter()
            .map(|(message, end)| {
                let properties = self.pairs.get(start..*end).unwrap_or_default();
                start = *end;
                lowered(*message, properties)
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
