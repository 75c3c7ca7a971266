//! What the host decides about guests: bounds and cache.

use std::{path::PathBuf, time::Duration};

/// Bounds and places of an [`crate::Engine`]. They hold for every module it loads.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Where compiled code is kept between runs; `None` compiles each time. Default: `None`.
    /// The directory is made, and kept, readable by its owner only. Never point it at the plugins directory.
    pub cache_dir: Option<PathBuf>,
    /// Most bytes of compiled code kept in `cache_dir`; the oldest entries go first. Default: 1 GiB.
    pub cache_max_bytes: u64,
    /// Most linear memory one instance may have, in bytes, all its memories together. Default: 64 MiB.
    pub memory_max_bytes: usize,
    /// Most instances alive at a time, over all modules, at least 1. Default: 256.
    pub max_instances: u32,
    /// Most idle instances one module keeps ready. Default: 16.
    pub max_idle_per_module: usize,
    /// Calls after which an instance is replaced by a fresh one. Default: 100,000.
    pub max_calls_per_instance: u64,
    /// Linear memory above which an instance is replaced after a call, in bytes; memory never shrinks, so one large
    /// batch would be held for good. Up to twice what it was made with is never too much. Default: `None`, half of
    /// `memory_max_bytes`.
    pub instance_memory_high_water: Option<usize>,
    /// How fine deadlines are: a guest is stopped at most this long after its deadline, and a millisecond or so of
    /// waking up. At least 1 ms. Default: 5 ms.
    pub deadline_resolution: Duration,
    /// How long `describe`, the making of an instance, and its `init` may take, each. Default: 5 s.
    pub describe_deadline: Duration,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            cache_dir: None,
            cache_max_bytes: 1 << 30,
            memory_max_bytes: 64 << 20,
            max_instances: 256,
            max_idle_per_module: 16,
            max_calls_per_instance: 100_000,
            instance_memory_high_water: None,
            deadline_resolution: Duration::from_millis(5),
            describe_deadline: Duration::from_secs(5),
        }
    }
}

impl EngineConfig {
    /// The memory above which an instance is replaced, in bytes.
    pub(crate) fn high_water(&self) -> usize {
        self.instance_memory_high_water.unwrap_or(self.memory_max_bytes / 2)
    }
}
