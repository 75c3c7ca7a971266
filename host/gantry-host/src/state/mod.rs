//! What a host keeps on its own machine from run to run: a directory that it alone holds, and in it the client ids of its
//! former lives, and the offsets of broadcasting groups.

mod directory;
mod files;
#[cfg_attr(not(test), expect(dead_code, reason = "group drivers take it up with broadcasting"))]
pub(crate) mod offsets_file;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use directory::StateError;
pub(crate) use directory::{StateDirectory, default_base};

/// Takes the lock. Nothing here is left half-changed by a panic, so a poisoned lock is as good as another.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
