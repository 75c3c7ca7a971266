//! A loaded listener and its pool of instances.

use std::{
    fmt,
    ops::{Deref as _, Range},
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    failure::{GuestFailure, InstantiateError},
    hash::ContentHash,
    instance::Template,
    listener::{Consumed, Crossed, Guest, ListenerRole},
    message::MessageBatch,
    pool::{Pool, PoolStats},
    series::{Reach, Series, Underway},
    surface::Footprint,
    wit::{ConsumeContext, ConsumeResult, ListenerDescription},
};

/// A listener that passed every check, with its pool of ready instances. Cloning is cheap; the code and the idle
/// instances go when the last clone and the last [`Instance`] do.
#[derive(Clone)]
pub struct ListenerModule(Arc<Inner>);

struct Inner {
    pool: Pool<ListenerRole>,
    description: ListenerDescription,
    describes_itself: bool,
    hash: ContentHash,
}

impl ListenerModule {
    pub(crate) fn new(
        template: Template<ListenerRole>,
        description: ListenerDescription,
        describes_itself: bool,
        hash: ContentHash,
        first: Guest,
    ) -> Self {
        Self(Arc::new(Inner { pool: Pool::new(template, first), description, describes_itself, hash }))
    }

    /// What the listener says of itself, checked.
    #[must_use]
    pub fn description(&self) -> &ListenerDescription {
        &self.0.description
    }

    /// Whether the description is the listener's own. One of `wasi:messaging` has none: its group and topics are the
    /// operator's to say, and [`ListenerModule::description`] has neither.
    #[must_use]
    pub fn describes_itself(&self) -> bool {
        self.0.describes_itself
    }

    /// What identifies this version: the hash of the file's content.
    #[must_use]
    pub fn hash(&self) -> ContentHash {
        self.0.hash
    }

    /// What one instance takes.
    #[must_use]
    pub fn footprint(&self) -> Option<Footprint> {
        Footprint::of(self.0.pool.component())
    }

    /// What the pool has done so far.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        self.0.pool.stats()
    }

    /// Makes sure that `instances` are ready, up to the pool's bound, so that the first batches wait for none. Returns
    /// how many are.
    ///
    /// # Errors
    /// The first instance that cannot be made.
    pub fn warm(&self, instances: usize) -> Result<usize, InstantiateError> {
        self.0.pool.warm(instances)
    }

    /// A ready instance from the pool, else a new one. Dropping it gives it back.
    ///
    /// # Errors
    /// No room for another instance, or the component's start-up code or its `init` fails.
    pub fn checkout(&self) -> Result<Instance, InstantiateError> {
        Ok(self.lent(self.0.pool.lend()?))
    }

    /// A new instance that no call has touched.
    ///
    /// # Errors
    /// As [`ListenerModule::checkout`].
    pub fn fresh(&self) -> Result<Instance, InstantiateError> {
        Ok(self.lent(self.0.pool.lend_fresh()?))
    }

    fn lent(&self, guest: Box<Guest>) -> Instance {
        Instance { module: self.clone(), guest: Some(guest) }
    }
}

impl fmt::Debug for ListenerModule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListenerModule")
            .field("name", &self.0.description.name)
            .field("hash", &self.0.hash)
            .finish_non_exhaustive()
    }
}

/// An instance lent by its module's pool. It runs one call at a time; dropping it gives it back, or throws it away
/// where a call broke it.
pub struct Instance {
    module: ListenerModule,
    /// There until dropped.
    guest: Option<Box<Guest>>,
}

impl Instance {
    /// Hands the whole batch to the listener: one result per message, in their order. What the listener settled while it
    /// worked is in its place; with a failure it is lost.
    ///
    /// # Errors
    /// Every kind of [`GuestFailure`]; after a fatal one the instance answers only with a trap.
    pub fn consume_message(
        &mut self,
        context: &ConsumeContext<'_>,
        batch: &Arc<dyn MessageBatch>,
        deadline: Duration,
    ) -> Result<Vec<ConsumeResult>, GuestFailure> {
        self.consume_range(context, batch, 0..batch.deref().len(), deadline)
    }

    /// Hands a part of the batch to the listener, for which it is the whole batch.
    ///
    /// # Errors
    /// As [`Instance::consume_message`].
    pub fn consume_range(
        &mut self,
        context: &ConsumeContext<'_>,
        batch: &Arc<dyn MessageBatch>,
        range: Range<usize>,
        deadline: Duration,
    ) -> Result<Vec<ConsumeResult>, GuestFailure> {
        let Consumed { answer, settled } =
            self.consume(context, batch, range, deadline, Instant::now(), None).consumed;
        answer.map(|results| settled.over(results.into_each()))
    }

    /// As [`Instance::consume_range`], with what was settled on the way kept apart, by one who knows that it is `now`; and maybe further
    /// calls of a series.
    pub(crate) fn consume(
        &mut self,
        context: &ConsumeContext<'_>,
        batch: &Arc<dyn MessageBatch>,
        range: Range<usize>,
        deadline: Duration,
        now: Instant,
        series: Option<Underway>,
    ) -> Crossed {
        match self.guest.as_mut().filter(|guest| guest.is_alive()) {
            Some(guest) => guest.consume(context, batch, range, deadline, now, series),
            None => {
                let reason = "the instance is already lost to an earlier failure".to_owned();
                Crossed::lost(range, now, GuestFailure::Trap { reason, last_words: None })
            }
        }
    }

    /// A series whose first call is to come.
    pub(crate) fn underway(&self, series: Arc<dyn Series>, deadline: Duration) -> Underway {
        let end = series.end();
        let guest = self.guest.as_ref();
        let calls = guest.map_or(0, |guest| self.module.0.pool.calls_left(guest)).saturating_sub(1);
        let ticks = guest.map_or(0, |guest| guest.ticks(deadline));
        Underway { series, reach: Reach { end, calls, deadline, ticks } }
    }

    /// Whether it has not been given a batch yet.
    #[must_use]
    pub fn is_untouched(&self) -> bool {
        self.guest.as_ref().is_some_and(|guest| guest.calls() == 0)
    }

    /// Whether it is one of this module and would be lent again.
    pub(crate) fn is_reusable_for(&self, module: &ListenerModule) -> bool {
        Arc::ptr_eq(&self.module.0, &module.0)
            && self.guest.as_ref().is_some_and(|guest| self.module.0.pool.flaw(guest).is_none())
    }

    /// Linear memory it has now, in bytes, all its memories together.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.guest.as_ref().map_or(0, |guest| guest.memory_bytes())
    }

    /// The module it belongs to.
    #[must_use]
    pub fn module(&self) -> &ListenerModule {
        &self.module
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if let Some(guest) = self.guest.take() {
            self.module.0.pool.give_back(guest);
        }
    }
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instance").field("module", &self.module).finish_non_exhaustive()
    }
}
