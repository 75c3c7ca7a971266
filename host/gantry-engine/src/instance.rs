//! One instance of a component in one of its roles: its store, the role's functions, and one call at a time.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use wasmtime::{
    Store,
    component::{Component, Instance, InstancePre},
};

use crate::{
    engine::{EngineInner, Place},
    failure::{GuestFailure, InstantiateError},
    granted::Held,
    guest::GuestState,
    ticker::ticks_for,
};

/// Most bytes the host takes over from a guest in one call, results and arguments together. 1024 dead letters with a
/// reason of [`MAX_GUEST_TEXT`](crate::failure::MAX_GUEST_TEXT) bytes fit eight times over; a list that repeats one large
/// string a million times does not.
const MAX_BYTES_FROM_GUEST: usize = 8 << 20;

/// What a component is to the host, as far as calling it goes: where it keeps the functions of one interface.
pub(crate) trait Role: Sized {
    /// The interface it exports for this role.
    const INTERFACE: &'static str;
    /// The interface's functions in one instance.
    type Functions;

    /// Finds the functions in a component, or names the one that is missing.
    fn find(component: &Component) -> Result<Self, &'static str>;

    /// Readies them in an instance; fails where they have other types than the interface's.
    fn functions(
        &self,
        store: &mut Store<GuestState>,
        instance: &Instance,
    ) -> wasmtime::Result<Self::Functions>;
}

/// What it takes to make an instance.
pub(crate) struct Template<R> {
    pub(crate) engine: Arc<EngineInner>,
    pub(crate) pre: InstancePre<GuestState>,
    pub(crate) role: R,
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
    /// Given up after the store, whose memory it stands for.
    _place: Place,
}

/// A failure to make an instance whose functions have the world's types.
pub(crate) enum GuestError {
    Instantiate(InstantiateError),
    /// The functions have other types than the world's.
    Types(String),
}

impl<R: Role> Template<R> {
    /// Makes an instance, within the engine's `describe_deadline`.
    pub(crate) fn instantiate(&self) -> Result<Live<R::Functions>, GuestError> {
        self.instantiate_within(self.engine.config.describe_deadline)
    }

    /// Makes an instance; the component's own start-up code may take `deadline`.
    pub(crate) fn instantiate_within(&self, deadline: Duration) -> Result<Live<R::Functions>, GuestError> {
        let config = &self.engine.config;
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
        let types = |error: wasmtime::Error| GuestError::Types(format!("{error:#}"));
        let functions = self.role.functions(&mut store, &instance).map_err(types)?;
        Ok(Live { store, functions, resolution, calls: 0, alive: true, _place: place })
    }
}

impl<F> Live<F> {
    /// How many calls it has had.
    pub(crate) const fn calls(&self) -> u64 {
        self.calls
    }

    /// Whether it can be called again.
    pub(crate) const fn is_alive(&self) -> bool {
        self.alive
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
        let far = Duration::from_secs(365 * 24 * 3600);
        self.calls += 1;
        self.store.data_mut().begin_call(Instant::now() + deadline.min(far));
        self.store.set_epoch_deadline(ticks_for(deadline, self.resolution));
        call(&self.functions, &mut self.store).map_err(|error| {
            self.alive = false;
            GuestFailure::classify(&error, self.store.data(), deadline)
        })
    }
}
