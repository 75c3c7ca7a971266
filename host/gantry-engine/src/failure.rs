//! How a call into a guest fails.

use std::time::Duration;

use thiserror::Error;
use wasmtime::{PoolConcurrencyLimitError, Trap};
use wasmtime_wasi::I32Exit;

use crate::guest::GuestState;

/// Longest text taken over from a guest (an error, a reason, a trap's message), in bytes.
pub(crate) const MAX_GUEST_TEXT: usize = 1024;

/// Cuts a guest's text to [`MAX_GUEST_TEXT`], at a character's boundary.
pub(crate) fn bounded_text(mut text: String) -> String {
    if text.len() > MAX_GUEST_TEXT {
        let end = text.floor_char_boundary(MAX_GUEST_TEXT);
        text.truncate(end);
        text.push('…');
        text.shrink_to_fit();
    }
    text
}

/// Longest name of a guest's own choosing in an error, in bytes.
const MAX_GUEST_NAME: usize = 128;

/// A name that a file chose, for an error: whole where it is one that anybody would choose.
pub(crate) fn short(name: &str) -> String {
    if name.len() <= MAX_GUEST_NAME {
        return name.to_owned();
    }
    let end = name.floor_char_boundary(MAX_GUEST_NAME);
    format!("{}…", name.get(..end).unwrap_or_default())
}

/// Why a call of `consume-message` brought no usable answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum GuestFailure {
    /// The guest trapped: a panic, an `unreachable`, an access out of bounds, a stack overflow, an exit. The instance
    /// is gone.
    #[error("the listener trapped: {reason}{}", said(last_words))]
    Trap {
        /// The trap's name.
        reason: String,
        /// What the guest wrote last to standard error, such as a panic's message.
        last_words: Option<String>,
    },
    /// The call was stopped at its deadline. The instance is gone.
    #[error("the listener was stopped at its deadline of {deadline:?} (`consume-timeout`)")]
    Deadline {
        /// What the call was given.
        deadline: Duration,
    },
    /// The guest trapped after more memory was refused. The instance is gone.
    #[error(
        "the listener asked for {asked_bytes} bytes of memory; an instance may have {max_bytes} (`memory-max` under [engine])"
    )]
    MemoryExceeded {
        /// Its total, had the growth been allowed.
        asked_bytes: usize,
        /// The cap ([`crate::EngineConfig::memory_max_bytes`]).
        max_bytes: usize,
    },
    /// The answer has another number of results than the batch has messages: a contract error.
    #[error(
        "the listener gave {got} results for {expected} messages; there must be one for each, in their order"
    )]
    WrongCount {
        /// How many messages the batch has.
        expected: usize,
        /// How many results came.
        got: usize,
    },
    /// The listener answered `err`: its own failure, such as an exception.
    #[error("the listener failed: {0}")]
    ListenerError(String),
}

/// A failure's words from the guest, if any, to follow its reason.
pub(crate) fn said(last_words: &Option<String>) -> String {
    last_words.as_ref().map(|words| format!("; it last wrote: {words}")).unwrap_or_default()
}

/// The kinds of [`GuestFailure`], for counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// [`GuestFailure::Trap`]
    Trap,
    /// [`GuestFailure::Deadline`]
    Deadline,
    /// [`GuestFailure::MemoryExceeded`]
    MemoryExceeded,
    /// [`GuestFailure::WrongCount`]
    WrongCount,
    /// [`GuestFailure::ListenerError`]
    ListenerError,
}

impl FailureKind {
    /// A short name for metrics and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            FailureKind::Trap => "trap",
            FailureKind::Deadline => "deadline",
            FailureKind::MemoryExceeded => "memory-exceeded",
            FailureKind::WrongCount => "wrong-count",
            FailureKind::ListenerError => "listener-error",
        }
    }
}

impl GuestFailure {
    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> FailureKind {
        match self {
            GuestFailure::Trap { .. } => FailureKind::Trap,
            GuestFailure::Deadline { .. } => FailureKind::Deadline,
            GuestFailure::MemoryExceeded { .. } => FailureKind::MemoryExceeded,
            GuestFailure::WrongCount { .. } => FailureKind::WrongCount,
            GuestFailure::ListenerError(_) => FailureKind::ListenerError,
        }
    }

    /// Whether the instance was lost with it. The other failures are answers, if unwelcome ones.
    #[must_use]
    pub const fn is_fatal(&self) -> bool {
        matches!(
            self,
            GuestFailure::Trap { .. } | GuestFailure::Deadline { .. } | GuestFailure::MemoryExceeded { .. }
        )
    }

    /// What an error out of wasmtime means.
    pub(crate) fn classify(error: &wasmtime::Error, state: &GuestState, deadline: Duration) -> Self {
        if error.downcast_ref::<Trap>() == Some(&Trap::Interrupt) {
            return GuestFailure::Deadline { deadline };
        }
        if let Some(asked_bytes) = state.memory.refused() {
            return GuestFailure::MemoryExceeded { asked_bytes, max_bytes: state.memory.max_bytes() };
        }
        let reason = match error.downcast_ref::<I32Exit>() {
            Some(exit) => format!("it called exit with status {}", exit.0),
            None => bounded_text(error.root_cause().to_string()),
        };
        GuestFailure::Trap { reason, last_words: state.last_words() }
    }
}

/// Why there is no instance to call.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InstantiateError {
    /// As many instances are alive as the engine has room for.
    #[error(
        "all {max} instances are in use; lower `threads` under [engine], or run fewer plugins in this host"
    )]
    PoolExhausted {
        /// [`crate::EngineConfig::max_instances`].
        max: u32,
    },
    /// The component's own start-up code failed.
    #[error("the component cannot be instantiated: {0}")]
    Guest(GuestFailure),
    /// Its `init` (interface `lifecycle`) trapped or ran past its deadline, or answers `err`.
    #[error("the component's `init` failed: {0}")]
    Init(String),
}

impl InstantiateError {
    pub(crate) fn classify(
        error: &wasmtime::Error,
        state: &GuestState,
        deadline: Duration,
        max: u32,
    ) -> Self {
        if error.is::<PoolConcurrencyLimitError>() {
            return InstantiateError::PoolExhausted { max };
        }
        InstantiateError::Guest(GuestFailure::classify(error, state, deadline))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guests_text_is_cut_at_a_characters_boundary() {
        assert_eq!(bounded_text("short".into()), "short");
        let long = bounded_text("é".repeat(MAX_GUEST_TEXT));
        assert!(long.len() <= MAX_GUEST_TEXT + '…'.len_utf8());
        assert!(long.ends_with("é…"));
    }

    #[test]
    fn a_trap_says_what_the_guest_wrote_last() {
        let failure =
            GuestFailure::Trap { reason: "unreachable".into(), last_words: Some("panicked".into()) };
        assert_eq!(failure.to_string(), "the listener trapped: unreachable; it last wrote: panicked");
        assert!(failure.is_fatal());
        assert!(!GuestFailure::ListenerError(String::new()).is_fatal());
    }
}
