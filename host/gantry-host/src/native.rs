//! Adding native listeners to a running host.

use gantry_engine::UnsoundDescription;

/// A native listener was not added.
#[derive(Debug, thiserror::Error)]
pub enum NativeError {
    /// A field of its description breaks its rule.
    #[error(transparent)]
    Unsound(#[from] UnsoundDescription),
    /// A listener of this name is there.
    #[error("a plugin or native listener named {0} is there already; names are unique in a host")]
    NameTaken(String),
    /// Its consumer group cannot have it.
    #[error("{0}")]
    Refused(String),
    /// The host is stopping.
    #[error("the host is stopping")]
    Stopping,
}
