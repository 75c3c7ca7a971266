//! One instance of a component in one of its roles: its store, the role's functions, and one call at a time.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use wasmtime::{
    Store,
    component::{Component, ComponentExportIndex, Instance, InstancePre, TypedFunc},
};

use crate::{
    engine::{EngineInner, Place},
    failure::{GuestFailure, InstantiateError, bounded_text},
    granted::Held,
    guest::GuestState,
    lifecycle::{DROP_DEADLINE, Lifecycle},
    ticker::ticks_for,
};

/// Most bytes the host takes over from a guest in one call, results and arguments together. 1024 dead letters with a
/// reason of [`MAX_GUEST_TEXT`](crate::failure::MAX_GUEST_TEXT) bytes fit eight times over; a list that repeats one large
/// string a million times does not.
const MAX_BYTES_FROM_GUEST: usize = 8 << 20;

/// What a component is to the host, as far as calling it goes: where it keeps the functions of one interface.
pub(crate) trait Role: Sized {
    /// The interface's functions in one instance.
    type Functions: Send + 'static;

    /// Finds the functions in a component, or says which is missing.
    fn find(component: &Component) -> Result<Self, Missing>;

    /// Readies them in an instance; fails where they have other types than the interface's.
    fn functions(
        &self,
        store: &mut Store<GuestState>,
        instance: &Instance,
    ) -> wasmtime::Result<Self::Functions>;
}

/// A function that an interface ought to have and the component does not.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("`{function}` is not among the functions of {interface}")]
pub(crate) struct Missing {
    interface: &'static str,
    function: &'static str,
}

/// The place of one function of an interface that the component exports.
pub(crate) fn exported(
    component: &Component,
    interface: &'static str,
    function: &'static str,
) -> Result<ComponentExportIndex, Missing> {
    let place = component.get_export_index(None, interface);
    let place = place.and_then(|place| component.get_export_index(Some(&place), function));
    place.ok_or(Missing { interface, function })
}

/// What it takes to make an instance.
pub(crate) struct Template<R> {
    pub(crate) engine: Arc<EngineInner>,
    pub(crate) pre: InstancePre<GuestState>,
    pub(crate) role: R,
    /// What its instances hear of their life, if anything.
    pub(crate) lifecycle: Option<Lifecycle>,
    /// For the log lines of the guest.
    pub(crate) plugin: Arc<str>,
    /// What its instances may touch.
    pub(crate) grants: Arc<Held>,
}

/// A live instance.
pub(crate) struct Live<F> {
    store: Store<GuestState>,
    functions: F,
    resolution: Duration,
    calls: u64,
    alive: bool,
    /// How long making it took, `init` apart.
    start_took: Duration,
    /// What it held when it was made, in bytes.
    initial_bytes: usize,
    /// Its last call; there once `init` has succeeded.
    drop: Option<TypedFunc<(), ()>>,
    plugin: Arc<str>,
    /// Given up after the store, whose memory it stands for.
    place: Place,
}

/// A failure to make an instance whose functions have the world's types.
pub(crate) enum GuestError {
    Instantiate(InstantiateError),
    /// The functions have other types than the world's.
    Types(String),
}

impl<R: Role> Template<R> {
    /// Makes an instance and calls its `init`, if it has one; each may take the engine's `describe_deadline`.
    pub(crate) fn instantiate(&self) -> Result<Live<R::Functions>, GuestError> {
        self.instantiate_within(self.engine.config.describe_deadline)
    }

    /// As [`Template::instantiate`]; the component's own start-up code may take `deadline`.
    pub(crate) fn instantiate_within(&self, deadline: Duration) -> Result<Live<R::Functions>, GuestError> {
        let (mut live, instance) = self.make(deadline)?;
        if let Some(lifecycle) = &self.lifecycle {
            let functions = lifecycle.functions(&mut live.store, &instance).map_err(types)?;
            let deadline = self.engine.config.describe_deadline;
            let failed = |reason| GuestError::Instantiate(InstantiateError::Init(reason));
            match live.run(deadline, |_, store| functions.init.call(store, ())) {
                Err(failure) => return Err(failed(failure.to_string())),
                Ok((Err(reason),)) => return Err(failed(bounded_text(reason))),
                Ok((Ok(()),)) => live.drop = Some(functions.drop),
            }
        }
        live.initial_bytes = live.memory_bytes();
        Ok(live)
    }

    /// An instance for `describe` alone: its `init` is not called.
    pub(crate) fn for_describing(&self) -> Result<Live<R::Functions>, GuestError> {
        Ok(self.make(self.engine.config.describe_deadline)?.0)
    }

    fn make(&self, deadline: Duration) -> Result<(Live<R::Functions>, Instance), GuestError> {
        let (config, began) = (&self.engine.config, Instant::now());
        let (max, resolution) = (config.max_instances, config.deadline_resolution);
        let place = Place::take(&self.engine)
            .ok_or(GuestError::Instantiate(InstantiateError::PoolExhausted { max }))?;
        let state = GuestState::new(
            &self.plugin,
            &self.grants,
            config.memory_max_bytes,
            self.engine.hash_seed,
            Instant::now() + deadline,
        );
        let mut store = Store::new(&self.engine.wasmtime, state);
        store.limiter(|state| &mut state.memory);
        store.set_hostcall_fuel(MAX_BYTES_FROM_GUEST);
        store.set_epoch_deadline(ticks_for(deadline, resolution));
        let instance = self.pre.instantiate(&mut store).map_err(|error| {
            let failure = InstantiateError::classify(&error, store.data(), deadline, max);
            GuestError::Instantiate(failure)
        })?;
        let functions = self.role.functions(&mut store, &instance).map_err(types)?;
        let live = Live {
            store,
            functions,
            resolution,
            calls: 0,
            alive: true,
            start_took: began.elapsed(),
            initial_bytes: 0,
            drop: None,
            plugin: Arc::clone(&self.plugin),
            place,
        };
        Ok((live, instance))
    }
}

fn types(error: wasmtime::Error) -> GuestError {
    GuestError::Types(format!("{error:#}"))
}

impl<F> Live<F> {
    /// How many calls it has had.
    pub(crate) const fn calls(&self) -> u64 {
        self.calls
    }

    /// Counts calls that were made in one with another.
    pub(crate) const fn count_calls(&mut self, calls: u64) {
        self.calls = self.calls.saturating_add(calls);
    }

    /// The role's functions.
    pub(crate) const fn functions(&self) -> &F {
        &self.functions
    }

    /// What the engine's epoch advances by in this time.
    pub(crate) fn ticks(&self, deadline: Duration) -> u64 {
        ticks_for(deadline, self.resolution)
    }

    /// Whether it can be called again.
    pub(crate) const fn is_alive(&self) -> bool {
        self.alive
    }

    /// How long making it took, its `init` apart.
    pub(crate) const fn start_took(&self) -> Duration {
        self.start_took
    }

    /// Linear memory it holds, in bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.store.data().memory.used_bytes()
    }

    /// Whether it holds more than `bytes`, and more than twice what it was made with: one that needs much from the start
    /// would be replaced after each call and be none the smaller.
    pub(crate) fn is_grown_past(&self, bytes: usize) -> bool {
        self.memory_bytes() > bytes.max(self.initial_bytes.saturating_mul(2))
    }

    /// Lets it go in good order: its `drop` is called, if it has one and can be called.
    pub(crate) fn retire(mut self) {
        let Some(last) = self.drop.take().filter(|_| self.alive) else { return };
        match self.run(DROP_DEADLINE, |_, store| last.call(store, ())) {
            Ok(()) => _ = self.place.engine().dropped.fetch_add(1, Ordering::Relaxed),
            Err(failure) => tracing::warn!(plugin = &*self.plugin, "`drop` failed: {failure}"),
        }
    }

    /// What the host keeps beside it.
    pub(crate) fn state(&mut self) -> &mut GuestState {
        self.store.data_mut()
    }

    /// One call, stopped at `deadline`. After an error the instance is dead.
    pub(crate) fn call<T>(
        &mut self,
        deadline: Duration,
        call: impl FnOnce(&F, &mut Store<GuestState>) -> wasmtime::Result<T>,
    ) -> Result<T, GuestFailure> {
        self.call_at(Instant::now(), deadline, call)
    }

    /// As [`Live::call`], by one who has just looked at the clock.
    pub(crate) fn call_at<T>(
        &mut self,
        now: Instant,
        deadline: Duration,
        call: impl FnOnce(&F, &mut Store<GuestState>) -> wasmtime::Result<T>,
    ) -> Result<T, GuestFailure> {
        self.calls += 1;
        self.run_at(now, deadline, call)
    }

    /// One call that is not counted as work.
    fn run<T>(
        &mut self,
        deadline: Duration,
        call: impl FnOnce(&F, &mut Store<GuestState>) -> wasmtime::Result<T>,
    ) -> Result<T, GuestFailure> {
        self.run_at(Instant::now(), deadline, call)
    }

    fn run_at<T>(
        &mut self,
        now: Instant,
        deadline: Duration,
        call: impl FnOnce(&F, &mut Store<GuestState>) -> wasmtime::Result<T>,
    ) -> Result<T, GuestFailure> {
        self.store.data_mut().begin_call(now, deadline);
        self.store.set_epoch_deadline(self.ticks(deadline));
        // Nor is it after a panic of the host's.
        self.alive = false;
        let answer = call(&self.functions, &mut self.store);
        self.alive = answer.is_ok();
        answer.map_err(|error| GuestFailure::classify(&error, self.store.data(), deadline))
    }
}
