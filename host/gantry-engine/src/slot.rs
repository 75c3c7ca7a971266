//! Which version of a listener serves, and when the one before it is gone.
//!
//! A version that serves is a generation. Switching is one atomic exchange: a batch that took its lease before it
//! finishes in the old generation, one that takes it after goes to the new. The old one is dropped with its last lease,
//! and whoever holds its [`Retired`] handle is told.

use std::{
    convert::Infallible,
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use arc_swap::ArcSwapOption;

use crate::{hash::ContentHash, module::ListenerModule, record::Record, state::PluginState};

/// A version that serves, or has served and is finishing.
pub struct Generation {
    number: u64,
    module: ListenerModule,
    in_flight: AtomicUsize,
    record: Arc<Record>,
    /// Dropped last, which closes the channel that [`Retired`] listens to.
    _alive: async_channel::Sender<Infallible>,
    gone: async_channel::Receiver<Infallible>,
}

impl Generation {
    fn new(number: u64, module: ListenerModule) -> Self {
        let (alive, gone) = async_channel::bounded(1);
        Self { number, module, in_flight: AtomicUsize::new(0), record: Arc::default(), _alive: alive, gone }
    }

    /// Counts up from 1 with each switch of the slot.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The listener.
    #[must_use]
    pub fn module(&self) -> &ListenerModule {
        &self.module
    }

    /// How it has done. The record may outlive the generation.
    #[must_use]
    pub fn record(&self) -> &Arc<Record> {
        &self.record
    }

    /// Batches that hold a lease.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Generation")
            .field("number", &self.number)
            .field("module", &self.module)
            .field("in_flight", &self.in_flight())
            .finish_non_exhaustive()
    }
}

/// A batch's hold on the generation it was dispatched to. The generation outlives every lease.
#[derive(Debug)]
pub struct Lease(Arc<Generation>);

impl Lease {
    /// The generation.
    #[must_use]
    pub fn generation(&self) -> &Generation {
        &self.0
    }

    /// Its listener.
    #[must_use]
    pub fn module(&self) -> &ListenerModule {
        &self.0.module
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The place of one listener: empty, or held by the generation that serves.
#[derive(Debug, Default)]
pub struct Slot {
    serving: ArcSwapOption<Generation>,
    switches: AtomicU64,
}

impl Slot {
    /// An empty slot.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets `module` serve from now on. Returns the number of its generation and the one before it, which now drains.
    pub fn switch(&self, module: ListenerModule) -> (u64, Option<Retired>) {
        let number = self.switches.fetch_add(1, Ordering::Relaxed) + 1;
        let new = Arc::new(Generation::new(number, module));
        (number, self.serving.swap(Some(new)).map(Retired::new))
    }

    /// Lets nothing serve from now on: the plugin's file is gone.
    pub fn clear(&self) -> Option<Retired> {
        self.serving.swap(None).map(Retired::new)
    }

    /// A hold on the generation that serves now, for one batch.
    #[must_use]
    pub fn lease(&self) -> Option<Lease> {
        let generation = self.serving.load_full()?;
        generation.in_flight.fetch_add(1, Ordering::Relaxed);
        Some(Lease(generation))
    }

    /// Looks at the generation that serves, without holding it.
    pub fn serving<T>(&self, look: impl FnOnce(&Generation) -> T) -> Option<T> {
        self.serving.load().as_deref().map(look)
    }
}

/// A generation that no longer serves, until its last batch has finished.
#[derive(Debug)]
pub struct Retired {
    number: u64,
    hash: ContentHash,
    generation: Weak<Generation>,
    gone: async_channel::Receiver<Infallible>,
}

impl Retired {
    fn new(generation: Arc<Generation>) -> Self {
        Self {
            number: generation.number,
            hash: generation.module.hash(),
            generation: Arc::downgrade(&generation),
            gone: generation.gone.clone(),
        }
    }

    /// The generation's number.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Which version it was.
    #[must_use]
    pub fn hash(&self) -> ContentHash {
        self.hash
    }

    /// Batches not yet finished.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.generation.upgrade().map_or(0, |generation| generation.in_flight())
    }

    /// Whether the last batch has finished and the generation is gone.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.gone.is_closed()
    }

    /// Returns when it is gone. Bound it with a time-out: a batch takes as long as its deadline allows.
    pub async fn drained(&self) {
        // Nothing is ever sent, so this ends with the channel.
        let _ = self.gone.recv().await;
    }

    /// Draining or retired.
    #[must_use]
    pub fn state(&self) -> PluginState {
        if self.is_drained() {
            PluginState::Retired
        } else {
            PluginState::Draining { in_flight: self.in_flight() }
        }
    }
}
