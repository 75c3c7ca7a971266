//! Plugins: the directory's files, what each is to do, and the version of each that serves.

mod directory;
mod plan;
mod registry;
mod selectors;
mod strategies;

pub(crate) use directory::watch;
pub use directory::{DirectoryError, MAX_FILE};
pub(crate) use plan::ListenerPlan;
pub(crate) use registry::{Addition, PluginEntry, Registry};
pub use selectors::{Selections, Selectors};
pub(crate) use strategies::{Shares, Strategies};
