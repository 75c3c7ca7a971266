//! How much the heavy scenarios do: little by default, all of it where `GANTRY_SOAK` is set, as `cargo xtask soak` does.

/// Threads of each member's listener, at 2 to 4 ms a message.
pub(crate) const THREADS: u32 = 8;

/// Whether all of it is asked for.
pub(crate) fn is_whole() -> bool {
    std::env::var_os("GANTRY_SOAK").is_some()
}

/// Messages of one scenario.
pub(crate) fn messages() -> usize {
    if is_whole() { 100_000 } else { 20_000 }
}
