//! Waiting for a condition, with a bound.

use std::time::{Duration, Instant};

/// How long [`eventually`] waits: far longer than anything takes on a machine that is not stuck.
const PATIENCE: Duration = Duration::from_secs(120);
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// Looks until there is an answer, for two minutes at most.
///
/// # Panics
/// When there is none by then, with the reason the last look gave.
pub async fn eventually<T>(what: &str, look: impl AsyncFnMut() -> Result<T, String>) -> T {
    eventually_within(PATIENCE, what, look).await
}

/// Looks until there is an answer, for `bound` at most.
///
/// # Panics
/// When there is none by then, with the reason the last look gave.
pub async fn eventually_within<T>(
    bound: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> Result<T, String>,
) -> T {
    let began = Instant::now();
    loop {
        match look().await {
            Ok(found) => return found,
            Err(reason) if began.elapsed() > bound => panic!("not within {bound:?}: {what}; {reason}"),
            Err(_) => tokio::time::sleep(BETWEEN_LOOKS).await,
        }
    }
}

/// A condition as [`eventually`] wants it.
///
/// # Errors
/// The reason, where the condition does not hold.
pub fn that(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}
