//! The life of a plugin's version, as operators see it.

use std::{fmt, time::Duration};

/// Where a version stands. A version moves down this list and never back; from any state before `Active` it may
/// become `Rejected`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum PluginState {
    /// The file was seen and is whole.
    Discovered,
    /// It is a component of a known world that imports only what is granted.
    Validated,
    /// Its machine code is ready.
    Compiled {
        /// Whether it came from the compiled-code cache.
        from_cache: bool,
        /// How long that took.
        took: Duration,
    },
    /// It described itself soundly and has instances ready.
    Warmed {
        /// How many.
        instances: usize,
    },
    /// A share of the batches goes to it, beside the version that serves.
    Canary,
    /// It runs on what another version has answered already, and its results are only compared.
    Shadow,
    /// New batches go to it.
    Active,
    /// New batches go elsewhere; it finishes those it has.
    Draining {
        /// How many those are.
        in_flight: usize,
    },
    /// It finished and is gone.
    Retired,
    /// It was not taken.
    Rejected {
        /// Why, for the operator.
        reason: String,
    },
}

impl PluginState {
    /// A short name for metrics and JSON.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            PluginState::Discovered => "discovered",
            PluginState::Validated => "validated",
            PluginState::Compiled { .. } => "compiled",
            PluginState::Warmed { .. } => "warmed",
            PluginState::Canary => "canary",
            PluginState::Shadow => "shadow",
            PluginState::Active => "active",
            PluginState::Draining { .. } => "draining",
            PluginState::Retired => "retired",
            PluginState::Rejected { .. } => "rejected",
        }
    }

    /// Whether nothing follows.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        matches!(self, PluginState::Retired | PluginState::Rejected { .. })
    }

    const fn rank(&self) -> u8 {
        match self {
            PluginState::Discovered => 0,
            PluginState::Validated => 1,
            PluginState::Compiled { .. } => 2,
            PluginState::Warmed { .. } => 3,
            PluginState::Canary | PluginState::Shadow => 4,
            PluginState::Active => 5,
            PluginState::Draining { .. } => 6,
            PluginState::Retired | PluginState::Rejected { .. } => 7,
        }
    }

    /// Whether a version in this state may go on to `next`. Reporting the same state again with new numbers is allowed.
    #[must_use]
    pub const fn may_become(&self, next: &PluginState) -> bool {
        match next {
            PluginState::Rejected { .. } => self.rank() < 5,
            _ if self.is_final() => false,
            _ => self.rank() <= next.rank(),
        }
    }
}

impl fmt::Display for PluginState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            PluginState::Compiled { from_cache: true, took } => write!(f, " (from the cache, {took:.1?})"),
            PluginState::Compiled { took, .. } => write!(f, " ({took:.1?})"),
            PluginState::Warmed { instances } => write!(f, " ({instances} ready)"),
            PluginState::Draining { in_flight } => write!(f, " ({in_flight} in flight)"),
            PluginState::Rejected { reason } => write!(f, ": {reason}"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_never_goes_back_and_is_rejected_only_before_it_serves() {
        let rejected = PluginState::Rejected { reason: "core module".into() };
        let draining = PluginState::Draining { in_flight: 2 };
        assert!(PluginState::Discovered.may_become(&PluginState::Validated));
        assert!(PluginState::Validated.may_become(&rejected));
        assert!(PluginState::Canary.may_become(&PluginState::Active));
        assert!(PluginState::Canary.may_become(&rejected));
        assert!(!PluginState::Active.may_become(&rejected));
        assert!(!PluginState::Active.may_become(&PluginState::Validated));
        assert!(draining.may_become(&PluginState::Draining { in_flight: 1 }));
        assert!(draining.may_become(&PluginState::Retired));
        assert!(!PluginState::Retired.may_become(&PluginState::Active));
        assert!(!rejected.may_become(&PluginState::Discovered));
    }

    #[test]
    fn is_shown_with_what_an_operator_wants_to_know() {
        assert_eq!(PluginState::Draining { in_flight: 3 }.to_string(), "draining (3 in flight)");
        assert_eq!(PluginState::Rejected { reason: "empty".into() }.to_string(), "rejected: empty");
    }
}
