use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks a table. A panic while it was held cannot have left it half changed: no section that changes a table
/// calls foreign code, so the value behind a poisoned lock is good.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
