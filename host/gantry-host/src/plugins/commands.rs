//! What an operator asks of a plugin's versions.

use tokio::sync::oneshot;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Bring back the version whose hash begins so, else the one before.
    Rollback(Option<String>),
    /// Let the version on trial serve, or the content of the file that is held back.
    Promote,
    /// End the trial.
    Abort,
}

/// Something asked of the registry.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) plugin: String,
    pub(crate) deed: Deed,
    pub(crate) reply: Reply,
}

/// Where the answer goes: what was done, in a sentence.
pub(super) type Reply = oneshot::Sender<Result<String, Refusal>>;

/// Why it was not done, and what would help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Whether there is no such thing, rather than that it cannot be done now.
    pub(crate) missing: bool,
    pub(crate) error: String,
    pub(crate) fix: String,
}

impl Refusal {
    pub(super) fn missing(error: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { missing: true, error: error.into(), fix: fix.into() }
    }

    pub(super) fn conflict(error: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { missing: false, error: error.into(), fix: fix.into() }
    }
}
