//! One instance of a component: its store, its two functions, and one call at a time.

use std::{
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

use wasmtime::{
    Store,
    component::{Component, ComponentExportIndex, InstancePre, TypedFunc},
};

use crate::{
    delivery::AtHand,
    engine::{EngineInner, Place},
    failure::{GuestFailure, InstantiateError, bounded_text},
    guest::GuestState,
    message::{MessageBatch, MessageView},
    ticker::ticks_for,
    wit::{
        ConsumeContext, ConsumeParams, ConsumeResult, ConsumeReturn, DescribeParams, DescribeReturn,
        LISTENER_INTERFACE, ListenerDescription, WitMessage,
    },
};

/// Where a component keeps the functions of the listener interface.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ListenerExports {
    describe: ComponentExportIndex,
    consume: ComponentExportIndex,
}

impl ListenerExports {
    /// Finds them, or names the one that is missing.
    pub(crate) fn find(component: &Component) -> Result<Self, &'static str> {
        let interface = component.get_export_index(None, LISTENER_INTERFACE).ok_or(LISTENER_INTERFACE)?;
        let function = |name| component.get_export_index(Some(&interface), name).ok_or(name);
        Ok(Self { describe: function("describe")?, consume: function("consume-message")? })
    }
}

/// What it takes to make an instance.
pub(crate) struct Template {
    pub(crate) engine: Arc<EngineInner>,
    pub(crate) pre: InstancePre<GuestState>,
    pub(crate) exports: ListenerExports,
    /// For the log lines of the guest.
    pub(crate) plugin: Arc<str>,
}

/// Most bytes the host takes over from a guest in one call, results and arguments together. 1024 dead letters with a
/// reason of [`MAX_GUEST_TEXT`](crate::failure::MAX_GUEST_TEXT) bytes fit eight times over; a list that repeats one large
/// string a million times does not.
const MAX_BYTES_FROM_GUEST: usize = 8 << 20;

/// A live instance.
pub(crate) struct Guest {
    store: Store<GuestState>,
    describe: TypedFunc<DescribeParams, DescribeReturn>,
    consume: TypedFunc<ConsumeParams<'static>, ConsumeReturn>,
    calls: u64,
    alive: bool,
    /// Given up after the store, whose memory it stands for.
    _place: Place,
}

/// A failure to make an instance whose functions have the world's types.
pub(crate) enum GuestError {
    Instantiate(InstantiateError),
    /// The functions have other types than the world's.
    Types(String),
}

impl Template {
    /// Makes an instance, within the engine's `describe_deadline`.
    pub(crate) fn instantiate(&self) -> Result<Guest, GuestError> {
        let config = &self.engine.config;
        let max = config.max_instances;
        let place = Place::take(&self.engine)
            .ok_or(GuestError::Instantiate(InstantiateError::PoolExhausted { max }))?;
        let deadline = config.describe_deadline;
        let state = GuestState::new(
            &self.plugin,
            config.memory_max_bytes,
            self.engine.hash_seed,
            Instant::now() + deadline,
        );
        let mut store = Store::new(&self.engine.wasmtime, state);
        store.limiter(|state| &mut state.memory);
        store.set_hostcall_fuel(MAX_BYTES_FROM_GUEST);
        store.set_epoch_deadline(ticks_for(deadline, config.deadline_resolution));
        let instance = self.pre.instantiate(&mut store).map_err(|error| {
            let failure = InstantiateError::classify(&error, store.data(), deadline, max);
            GuestError::Instantiate(failure)
        })?;
        let types = |error: wasmtime::Error| GuestError::Types(format!("{error:#}"));
        let describe = instance.get_typed_func(&mut store, self.exports.describe).map_err(types)?;
        let consume = instance.get_typed_func(&mut store, self.exports.consume).map_err(types)?;
        Ok(Guest { store, describe, consume, calls: 0, alive: true, _place: place })
    }
}

impl Guest {
    /// How many batches it has been given.
    pub(crate) const fn calls(&self) -> u64 {
        self.calls
    }

    /// Whether it can be called again.
    pub(crate) const fn is_alive(&self) -> bool {
        self.alive
    }

    pub(crate) fn describe(
        &mut self,
        deadline: Duration,
        resolution: Duration,
    ) -> Result<ListenerDescription, GuestFailure> {
        self.begin_call(deadline, resolution);
        let (description,) =
            self.describe.call(&mut self.store, ()).map_err(|error| self.died(&error, deadline))?;
        Ok(description)
    }

    /// Calls `consume-message` with the messages of `range`.
    pub(crate) fn consume(
        &mut self,
        context: &ConsumeContext<'_>,
        batch: &Arc<dyn MessageBatch>,
        range: Range<usize>,
        deadline: Duration,
        resolution: Duration,
    ) -> Result<Vec<ConsumeResult>, GuestFailure> {
        self.calls += 1;
        self.begin_call(deadline, resolution);
        self.store.data_mut().at_hand = Some(AtHand::new(batch, range.clone()));
        let expected = range.len();
        let properties = Properties::collect(&**batch, range.clone());
        let messages = properties.messages(&**batch, range);
        let answer = self.consume.call(&mut self.store, (*context, messages.as_slice()));
        self.store.data_mut().at_hand = None;
        match answer {
            Err(error) => Err(self.died(&error, deadline)),
            Ok((Err(message),)) => Err(GuestFailure::ListenerError(bounded_text(message))),
            Ok((Ok(results),)) if results.len() != expected => {
                Err(GuestFailure::WrongCount { expected, got: results.len() })
            }
            Ok((Ok(results),)) => Ok(results.into_iter().map(bounded_result).collect()),
        }
    }

    fn begin_call(&mut self, deadline: Duration, resolution: Duration) {
        let far = Duration::from_secs(365 * 24 * 3600);
        self.store.data_mut().begin_call(Instant::now() + deadline.min(far));
        self.store.set_epoch_deadline(ticks_for(deadline, resolution));
    }

    fn died(&mut self, error: &wasmtime::Error, deadline: Duration) -> GuestFailure {
        self.alive = false;
        GuestFailure::classify(error, self.store.data(), deadline)
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
