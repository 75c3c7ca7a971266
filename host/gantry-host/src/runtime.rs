//! The asynchronous runtime of a program that is a host.

use std::{io, thread};

use tokio::runtime::{Builder, Runtime};

/// A runtime for a host and nothing else: one thread for every two cores, because listeners have threads of their own and more of these
/// mostly wake each other. As with any of tokio's, the environment variable `TOKIO_WORKER_THREADS` says how many else.
///
/// # Errors
/// The system has no thread left, or no room for what wakes them.
pub fn runtime() -> io::Result<Runtime> {
    let mut runtime = Builder::new_multi_thread();
    if std::env::var_os("TOKIO_WORKER_THREADS").is_none() {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        runtime.worker_threads(cores.div_ceil(2));
    }
    runtime.enable_all().build()
}
