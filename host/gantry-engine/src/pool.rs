//! Ready instances of one component in one role: lent for a call, taken back while they are sound.

use std::{
    mem,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use wasmtime::component::Component;

use crate::{
    failure::{GuestFailure, InstantiateError},
    instance::{GuestError, Live, Role, Template},
};

/// The instances of one template.
pub(crate) struct Pool<R: Role> {
    template: Template<R>,
    /// Each in a place of its own, which is what is handed about.
    idle: Mutex<Vec<Box<Live<R::Functions>>>>,
    counters: Counters,
}

#[derive(Default)]
struct Counters {
    created: AtomicU64,
    reused: AtomicU64,
    retired_dead: AtomicU64,
    retired_worn: AtomicU64,
    retired_large: AtomicU64,
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
    /// Instances replaced because they held more than [`crate::EngineConfig::instance_memory_high_water`].
    pub retired_large: u64,
}

/// Why an instance is not lent again.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Flaw {
    /// A trap, the deadline, or too much memory has ended it.
    Dead,
    /// It has had as many calls as one may have.
    Worn,
    /// It holds more than one may hold.
    Large,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl<R: Role> Pool<R> {
    /// A pool in which `first` is ready.
    pub(crate) fn new(template: Template<R>, first: Live<R::Functions>) -> Self {
        let counters = Counters::default();
        count(&counters.created);
        Self { template, idle: Mutex::new(vec![Box::new(first)]), counters }
    }

    /// What its instances are made of.
    pub(crate) fn component(&self) -> &Component {
        self.template.pre.component()
    }

    pub(crate) fn stats(&self) -> PoolStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.counters;
        PoolStats {
            idle: self.idle().len(),
            in_use: read(&counters.in_use),
            created: read(&counters.created),
            reused: read(&counters.reused),
            retired_dead: read(&counters.retired_dead),
            retired_worn: read(&counters.retired_worn),
            retired_large: read(&counters.retired_large),
        }
    }

    /// Makes sure that `instances` are ready, up to the pool's bound. Returns how many are.
    pub(crate) fn warm(&self, instances: usize) -> Result<usize, InstantiateError> {
        let wanted = instances.min(self.template.engine.config.max_idle_per_module);
        let missing = wanted.saturating_sub(self.idle().len());
        for _ in 0..missing {
            let guest = self.instantiate()?;
            self.keep(guest);
        }
        Ok(self.idle().len())
    }

    /// A ready instance, else a new one. To be given back with [`Pool::give_back`].
    pub(crate) fn lend(&self) -> Result<Box<Live<R::Functions>>, InstantiateError> {
        let ready = self.idle().pop();
        let guest = match ready {
            Some(guest) => {
                count(&self.counters.reused);
                guest
            }
            None => self.instantiate()?,
        };
        count(&self.counters.in_use);
        Ok(guest)
    }

    /// A new instance that no call has touched. To be given back with [`Pool::give_back`].
    pub(crate) fn lend_fresh(&self) -> Result<Box<Live<R::Functions>>, InstantiateError> {
        let guest = match self.instantiate() {
            Err(InstantiateError::PoolExhausted { .. }) => {
                // The idle ones of this module hold places: give one up and try again.
                let idle = self.idle().pop();
                idle.into_iter().for_each(|guest| guest.retire());
                self.instantiate()?
            }
            made => made?,
        };
        count(&self.counters.in_use);
        Ok(guest)
    }

    /// Takes a lent instance back.
    pub(crate) fn give_back(&self, guest: Box<Live<R::Functions>>) {
        self.counters.in_use.fetch_sub(1, Ordering::Relaxed);
        self.keep(guest);
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Box<Live<R::Functions>>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn instantiate(&self) -> Result<Box<Live<R::Functions>>, InstantiateError> {
        let guest = self.template.instantiate().map_err(|error| match error {
            GuestError::Instantiate(error) => error,
            // The types were checked when the module was loaded; this is the same code.
            GuestError::Types(reason) => {
                InstantiateError::Guest(GuestFailure::Trap { reason, last_words: None })
            }
        })?;
        count(&self.counters.created);
        Ok(Box::new(guest))
    }

    /// Why an instance is not to be lent again, if there is a reason.
    pub(crate) fn flaw(&self, guest: &Live<R::Functions>) -> Option<Flaw> {
        let config = &self.template.engine.config;
        if !guest.is_alive() {
            return Some(Flaw::Dead);
        }
        if guest.calls() >= config.max_calls_per_instance {
            return Some(Flaw::Worn);
        }
        guest.is_grown_past(config.high_water()).then_some(Flaw::Large)
    }

    /// How many more calls an instance may have.
    pub(crate) fn calls_left(&self, guest: &Live<R::Functions>) -> u64 {
        self.template.engine.config.max_calls_per_instance.saturating_sub(guest.calls())
    }

    /// Keeps an instance ready, unless it is dead, worn, too large, or one too many.
    fn keep(&self, guest: Box<Live<R::Functions>>) {
        match self.flaw(&guest) {
            Some(Flaw::Dead) => return count(&self.counters.retired_dead),
            Some(Flaw::Worn) => count(&self.counters.retired_worn),
            Some(Flaw::Large) => count(&self.counters.retired_large),
            None => {
                let mut idle = self.idle();
                if idle.len() < self.template.engine.config.max_idle_per_module {
                    return idle.push(guest);
                }
            }
        }
        guest.retire();
    }
}

/// The idle instances go in good order, on a thread of their own where they have a `drop` to call: whoever lets go of a
/// module last may be one that must not wait.
impl<R: Role> Drop for Pool<R> {
    fn drop(&mut self) {
        let idle = mem::take(&mut *self.idle());
        if idle.is_empty() || self.template.lifecycle.is_none() {
            return;
        }
        let retire = move || idle.into_iter().for_each(|guest| guest.retire());
        if let Err(error) = thread::Builder::new().name("gantry-drop".to_owned()).spawn(retire) {
            let plugin = &*self.template.plugin;
            tracing::warn!(plugin, "`drop` is not called: there is no thread for it: {error}");
        }
    }
}
