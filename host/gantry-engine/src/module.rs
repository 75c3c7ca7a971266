//! A loaded listener and its pool of instances.

use std::{
    fmt,
    ops::{Deref as _, Range},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{
    failure::{GuestFailure, InstantiateError},
    hash::ContentHash,
    instance::{GuestError, Template},
    listener::{Guest, ListenerRole},
    message::MessageBatch,
    surface::Footprint,
    wit::{ConsumeContext, ConsumeResult, ListenerDescription},
};

/// A listener that passed every check, with its pool of ready instances. Cloning is cheap; the code and the idle
/// instances go when the last clone and the last [`Instance`] do.
#[derive(Clone)]
pub struct ListenerModule(Arc<Inner>);

struct Inner {
    template: Template<ListenerRole>,
    description: ListenerDescription,
    hash: ContentHash,
    idle: Mutex<Vec<Guest>>,
    counters: Counters,
}

#[derive(Default)]
struct Counters {
    created: AtomicU64,
    reused: AtomicU64,
    retired_dead: AtomicU64,
    retired_worn: AtomicU64,
    in_use: AtomicU64,
}

/// What the pool of a module has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct PoolStats {
    /// Instances ready now.
    pub idle: usize,
    /// Instances checked out now.
    pub in_use: u64,
    /// Instances made.
    pub created: u64,
    /// Checkouts answered with a ready instance.
    pub reused: u64,
    /// Instances thrown away after a trap, a deadline or too much memory.
    pub retired_dead: u64,
    /// Instances replaced after [`crate::EngineConfig::max_calls_per_instance`] calls.
    pub retired_worn: u64,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl ListenerModule {
    pub(crate) fn new(
        template: Template<ListenerRole>,
        description: ListenerDescription,
        hash: ContentHash,
        first: Guest,
    ) -> Self {
        let counters = Counters::default();
        count(&counters.created);
        Self(Arc::new(Inner { template, description, hash, idle: Mutex::new(vec![first]), counters }))
    }

    /// What the listener says of itself, checked.
    #[must_use]
    pub fn description(&self) -> &ListenerDescription {
        &self.0.description
    }

    /// What identifies this version: the hash of the file's content.
    #[must_use]
    pub fn hash(&self) -> ContentHash {
        self.0.hash
    }

    /// What one instance takes.
    #[must_use]
    pub fn footprint(&self) -> Option<Footprint> {
        Footprint::of(self.0.template.pre.component())
    }

    /// What the pool has done so far.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.0.counters;
        PoolStats {
            idle: self.0.idle().len(),
            in_use: read(&counters.in_use),
            created: read(&counters.created),
            reused: read(&counters.reused),
            retired_dead: read(&counters.retired_dead),
            retired_worn: read(&counters.retired_worn),
        }
    }

    /// Makes sure that `instances` are ready, up to the pool's bound, so that the first batches wait for none. Returns
    /// how many are.
    ///
    /// # Errors
    /// The first instance that cannot be made.
    pub fn warm(&self, instances: usize) -> Result<usize, InstantiateError> {
        let wanted = instances.min(self.0.template.engine.config.max_idle_per_module);
        let missing = wanted.saturating_sub(self.0.idle().len());
        for _ in 0..missing {
            let guest = self.0.instantiate()?;
            self.0.keep(guest);
        }
        Ok(self.0.idle().len())
    }

    /// A ready instance from the pool, else a new one. Dropping it gives it back.
    ///
    /// # Errors
    /// No room for another instance, or the component's start-up code fails.
    pub fn checkout(&self) -> Result<Instance, InstantiateError> {
        let ready = self.0.idle().pop();
        let guest = match ready {
            Some(guest) => {
                count(&self.0.counters.reused);
                guest
            }
            None => self.0.instantiate()?,
        };
        Ok(self.lend(guest))
    }

    /// A new instance that no call has touched.
    ///
    /// # Errors
    /// As [`ListenerModule::checkout`].
    pub fn fresh(&self) -> Result<Instance, InstantiateError> {
        let guest = match self.0.instantiate() {
            Err(InstantiateError::PoolExhausted { .. }) => {
                // The idle ones of this module hold places: give one up and try again.
                drop(self.0.idle().pop());
                self.0.instantiate()?
            }
            made => made?,
        };
        Ok(self.lend(guest))
    }

    fn lend(&self, guest: Guest) -> Instance {
        count(&self.0.counters.in_use);
        Instance { module: self.clone(), guest: Some(guest) }
    }
}

impl Inner {
    fn idle(&self) -> MutexGuard<'_, Vec<Guest>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn instantiate(&self) -> Result<Guest, InstantiateError> {
        let guest = self.template.instantiate().map_err(|error| match error {
            GuestError::Instantiate(error) => error,
            // The types were checked when the module was loaded; this is the same code.
            GuestError::Types(reason) => {
                InstantiateError::Guest(GuestFailure::Trap { reason, last_words: None })
            }
        })?;
        count(&self.counters.created);
        Ok(guest)
    }

    /// Takes an instance back, unless it is dead, worn, or one too many.
    fn keep(&self, guest: Guest) {
        let config = &self.template.engine.config;
        if !guest.is_alive() {
            return count(&self.counters.retired_dead);
        }
        if guest.calls() >= config.max_calls_per_instance {
            return count(&self.counters.retired_worn);
        }
        let mut idle = self.idle();
        if idle.len() < config.max_idle_per_module {
            return idle.push(guest);
        }
        drop(idle);
        drop(guest);
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
    guest: Option<Guest>,
}

impl Instance {
    /// Hands the whole batch to the listener: one result per message, in their order.
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
        match self.guest.as_mut().filter(|guest| guest.is_alive()) {
            Some(guest) => guest.consume(context, batch, range, deadline),
            None => {
                let reason = "the instance is already lost to an earlier failure".to_owned();
                Err(GuestFailure::Trap { reason, last_words: None })
            }
        }
    }

    /// Whether it has not been given a batch yet.
    #[must_use]
    pub fn is_untouched(&self) -> bool {
        self.guest.as_ref().is_some_and(|guest| guest.calls() == 0)
    }

    /// Linear memory it has now, in bytes, all its memories together.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.guest.as_ref().map_or(0, Guest::memory_bytes)
    }

    /// The module it belongs to.
    #[must_use]
    pub fn module(&self) -> &ListenerModule {
        &self.module
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.module.0.counters.in_use.fetch_sub(1, Ordering::Relaxed);
        if let Some(guest) = self.guest.take() {
            self.module.0.keep(guest);
        }
    }
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instance").field("module", &self.module).finish_non_exhaustive()
    }
}
