//! What the host decides about guests: bounds, cache, and what they may touch.

use std::{path::PathBuf, time::Duration};

use thiserror::Error;

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

/// What a component may import beyond `gantry:rocketmq` and the parts of WASI that hand out nothing. Default: nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// `wasi:clocks`: the time of day, a monotonic clock, and waiting (never past the deadline of the call).
    pub clocks: bool,
    /// `wasi:random`: random bytes from the operating system.
    pub random: bool,
}

/// Something that can be granted, under the name configuration uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// See [`Grants::clocks`].
    Clocks,
    /// See [`Grants::random`].
    Random,
}

impl Grant {
    /// Every grant there is.
    pub const ALL: [Grant; 2] = [Grant::Clocks, Grant::Random];

    /// The name in a configuration's list of grants.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Grant::Clocks => "clocks",
            Grant::Random => "random",
        }
    }
}

/// A name in a list of grants that is none.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` is not something that can be granted to a plugin; the grants are `clocks` and `random`")]
pub struct UnknownGrant(pub String);

impl Grants {
    /// Nothing beyond what every component gets.
    pub const NONE: Grants = Grants { clocks: false, random: false };

    /// Reads a configuration's list, such as `["clocks", "random"]`.
    ///
    /// # Errors
    /// The first name that is no grant.
    pub fn from_names<S: AsRef<str>>(names: &[S]) -> Result<Self, UnknownGrant> {
        let mut grants = Self::NONE;
        for name in names {
            let name = name.as_ref();
            let grant = Grant::ALL.into_iter().find(|grant| grant.name() == name);
            grants.allow(grant.ok_or_else(|| UnknownGrant(name.to_owned()))?);
        }
        Ok(grants)
    }

    /// Adds one.
    pub fn allow(&mut self, grant: Grant) {
        match grant {
            Grant::Clocks => self.clocks = true,
            Grant::Random => self.random = true,
        }
    }

    /// Whether it is among them.
    #[must_use]
    pub const fn allows(&self, grant: Grant) -> bool {
        match grant {
            Grant::Clocks => self.clocks,
            Grant::Random => self.random,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_are_read_by_name_and_unknown_names_are_refused() {
        assert_eq!(Grants::from_names(&["random"]), Ok(Grants { clocks: false, random: true }));
        assert_eq!(Grants::from_names::<&str>(&[]), Ok(Grants::NONE));
        assert_eq!(Grants::from_names(&["clocks", "network"]), Err(UnknownGrant("network".into())));
    }
}
