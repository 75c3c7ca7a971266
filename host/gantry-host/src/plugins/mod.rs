//! Plugins: the directory's files, what each is to do, and the version of each that serves.

mod arriving;
mod canary;
mod candidate;
mod commands;
mod directory;
mod holding;
mod life;
mod loads;
mod plan;
mod probation;
mod registry;
mod selectors;
mod signature;
mod strategies;
mod trials;

pub(crate) use commands::{Command, Deed};
pub(crate) use directory::watch;
pub use directory::{DirectoryError, MAX_FILE};
pub(crate) use plan::ListenerPlan;
pub(crate) use registry::{Addition, Entries, Inbox, Parts, PluginEntry, Registry};
pub use selectors::{Selections, Selectors};
pub(crate) use strategies::{Shares, Strategies};
