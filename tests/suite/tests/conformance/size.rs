//! How much the heavy scenarios do: little by default, all of it where `GANTRY_SOAK` is set, as `cargo xtask soak` does.

use std::time::Duration;

/// Messages of one scenario.
pub(crate) fn messages() -> usize {
    of(20_000, 100_000)
}

/// How often a Java consumer joins and leaves: each start of its virtual machine takes seconds.
pub(crate) fn java_rounds() -> usize {
    of(2, 5)
}

/// How long a broker cannot be reached.
pub(crate) fn outage() -> Duration {
    Duration::from_secs(of(10, 30))
}

fn of<T>(little: T, whole: T) -> T {
    if std::env::var_os("GANTRY_SOAK").is_some() { whole } else { little }
}
