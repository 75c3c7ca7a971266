//! What a host keeps on its own machine from run to run: a directory that it alone holds, and in it the client ids of its
//! former lives.

mod directory;
mod files;

pub use directory::StateError;
pub(crate) use directory::{StateDirectory, default_base};
