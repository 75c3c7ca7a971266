//! The engine: one wasmtime engine, one linker, one clock of deadlines, for every module of the process.

use std::{
    hash::{BuildHasher as _, Hasher as _, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use thiserror::Error;
use wasmtime::{Config, InstanceAllocationStrategy, PoolingAllocationConfig, component::Linker};

use crate::{
    cache::CodeCache, config::EngineConfig, delivery, granted, guest::GuestState, messaging, ticker::Ticker,
    wasi,
};

/// The finest a deadline's resolution can be: below, the clock of deadlines would do little else than tick.
const FINEST_RESOLUTION: Duration = Duration::from_millis(1);

/// Loads components and runs them. Cloning is cheap; everything lives as long as the last clone, module or instance.
#[derive(Clone)]
pub struct Engine(pub(crate) Arc<EngineInner>);

pub(crate) struct EngineInner {
    pub(crate) wasmtime: wasmtime::Engine,
    pub(crate) linker: Linker<GuestState>,
    pub(crate) config: EngineConfig,
    pub(crate) cache: Option<CodeCache>,
    /// What guests seed their hash tables with: not guessable from outside, the same for the engine's life.
    pub(crate) hash_seed: u128,
    /// Instances alive now, over all modules.
    live: AtomicU32,
    /// Calls of `drop` that came back.
    pub(crate) dropped: AtomicU64,
    pooled: bool,
    _ticker: Ticker,
}

/// One instance's place among the engine's `max_instances`.
pub(crate) struct Place(Arc<EngineInner>);

impl Place {
    /// Takes a place if there is one. The count holds with and without a pool of reserved memory.
    pub(crate) fn take(engine: &Arc<EngineInner>) -> Option<Self> {
        let max = engine.config.max_instances;
        let more = |live: u32| (live < max).then_some(live + 1);
        engine.live.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Self(Arc::clone(engine)))
    }
}

impl Place {
    pub(crate) fn engine(&self) -> &EngineInner {
        &self.0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.live.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Why an engine cannot be made.
#[derive(Debug, Error)]
pub enum EngineError {
    /// wasmtime refuses the configuration, or this machine.
    #[error("the WebAssembly engine cannot start: {0:#}")]
    Wasmtime(wasmtime::Error),
    /// No thread for the clock of deadlines.
    #[error("cannot start the thread that watches over deadlines: {0}")]
    Ticker(std::io::Error),
}

impl Engine {
    /// Makes an engine. Where the machine has no room to reserve a pool of instances (an address-space limit), it
    /// works without, somewhat slower, and says so in the log. The same holds for a cache directory it cannot use.
    ///
    /// # Errors
    /// See [`EngineError`].
    pub fn new(mut config: EngineConfig) -> Result<Self, EngineError> {
        config.max_instances = config.max_instances.max(1);
        config.deadline_resolution = config.deadline_resolution.max(FINEST_RESOLUTION);
        let (wasmtime, pooled) = make_wasmtime(&config).map_err(EngineError::Wasmtime)?;
        let linker = make_linker(&wasmtime).map_err(EngineError::Wasmtime)?;
        let ticker =
            Ticker::start(wasmtime.weak(), config.deadline_resolution).map_err(EngineError::Ticker)?;
        let cache = open_cache(&config, &wasmtime);
        let hash_seed = hash_seed();
        let live = AtomicU32::new(0);
        let dropped = AtomicU64::new(0);
        let inner = EngineInner {
            wasmtime,
            linker,
            config,
            cache,
            hash_seed,
            live,
            dropped,
            pooled,
            _ticker: ticker,
        };
        Ok(Self(Arc::new(inner)))
    }

    /// Its configuration.
    #[must_use]
    pub fn config(&self) -> &EngineConfig {
        &self.0.config
    }

    /// Instances alive now, over all modules: idle, lent, or being made. At most `max_instances`.
    #[must_use]
    pub fn instances(&self) -> u32 {
        self.0.live.load(Ordering::Relaxed)
    }

    /// Instances let go in good order so far whose `drop` (interface `lifecycle`) was called and came back, over all modules.
    #[must_use]
    pub fn instances_dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }

    /// Whether instances come from reserved memory (the pooling allocator).
    #[must_use]
    pub fn is_pooled(&self) -> bool {
        self.0.pooled
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("config", &self.0.config)
            .field("pooled", &self.0.pooled)
            .finish_non_exhaustive()
    }
}

fn make_wasmtime(config: &EngineConfig) -> wasmtime::Result<(wasmtime::Engine, bool)> {
    let mut pooling = base_config();
    pooling.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(config)));
    match wasmtime::Engine::new(&pooling) {
        Ok(engine) => Ok((engine, true)),
        Err(error) => {
            tracing::warn!("no pool of instances, making each on demand: {error:#}");
            Ok((wasmtime::Engine::new(&base_config())?, false))
        }
    }
}

fn base_config() -> Config {
    let mut config = Config::new();
    config.wasm_component_model(true);
    // Asynchronous components are not offered; without them a call is 0.7 to 1 µs cheaper.
    config.concurrency_support(false);
    config.epoch_interruption(true);
    config
}

/// Room for `max_instances` components of the shapes that compilers make: Python's have 38 core instances.
fn pool(config: &EngineConfig) -> PoolingAllocationConfig {
    let instances = config.max_instances;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .max_core_instances_per_component(64)
        .total_core_instances(instances.saturating_mul(16))
        .max_memories_per_component(8)
        .total_memories(instances.saturating_mul(2))
        .max_tables_per_component(64)
        .total_tables(instances.saturating_mul(8))
        .table_elements(MAX_POOLED_TABLE)
        .max_memory_size(config.memory_max_bytes)
        .linear_memory_keep_resident(256 << 10)
        .table_keep_resident(16 << 10);
    pool
}

/// Entries of one table in the pool: the largest seen, StarlingMonkey's, has some 20,000.
const MAX_POOLED_TABLE: usize = 50_000;

fn make_linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<GuestState>> {
    let mut linker = Linker::new(engine);
    delivery::add_to_linker(&mut linker)?;
    messaging::add_to_linker(&mut linker)?;
    wasi::add_to_linker(&mut linker)?;
    granted::add_to_linker(&mut linker)?;
    Ok(linker)
}

fn open_cache(config: &EngineConfig, engine: &wasmtime::Engine) -> Option<CodeCache> {
    let dir = config.cache_dir.as_ref()?;
    match CodeCache::open(dir, config.cache_max_bytes, engine) {
        Ok(cache) => Some(cache),
        Err(error) => {
            tracing::warn!("compiled code is not cached: {error}");
            None
        }
    }
}

fn hash_seed() -> u128 {
    let half = || u128::from(RandomState::new().build_hasher().finish());
    half() << 64 | half()
}
