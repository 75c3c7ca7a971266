//! What a host keeps on its own machine from run to run: a directory that it alone holds, and in it the client ids of its
//! former lives, the versions of its plugins, the offsets of broadcasting groups, and the journal of what is settled above each commit point.

mod directory;
mod files;
pub(crate) mod journal;
pub(crate) mod offsets_file;
pub(crate) mod versions;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

pub use directory::StateError;
pub(crate) use directory::{StateDirectory, default_base};

/// Takes the lock. Nothing here is left half-changed by a panic, so a poisoned lock is as good as another.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unix_millis() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
