//! Work that takes seconds and is in nobody's way: each on a thread of its own, below everything else of the host.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::sync::oneshot;

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackgroundError {
    /// The system gives no more threads.
    #[error("there is no thread for it: {0}")]
    NoThread(std::io::Error),
    /// A defect of the host.
    #[error("the host failed: {0}")]
    Panicked(String),
}

/// Runs `work` on a thread named `name`, at a lower priority where the system has one for threads.
///
/// # Errors
/// See [`BackgroundError`].
pub(crate) async fn run<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, BackgroundError> {
    let (sender, receiver) = oneshot::channel();
    let span = tracing::Span::current();
    let started = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        yield_to_others();
        let done = catch_unwind(AssertUnwindSafe(|| span.in_scope(work)));
        let _nobody_waits = sender.send(done.map_err(|panic| said(&*panic)));
    });
    started.map_err(BackgroundError::NoThread)?;
    let done = receiver.await.map_err(|gone| BackgroundError::Panicked(gone.to_string()))?;
    done.map_err(BackgroundError::Panicked)
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().map(str::to_owned);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "it panicked".to_owned())
}

/// Lets every other thread of the machine go first. On Linux a priority is a thread's own.
#[cfg(target_os = "linux")]
fn yield_to_others() {
    const NICE: i32 = 10;
    let this = rustix::thread::gettid();
    // A host that is nicer already stays so: root could take that back.
    if rustix::process::getpriority_process(Some(this)).is_ok_and(|nice| nice >= NICE) {
        return;
    }
    if let Err(error) = rustix::process::setpriority_process(Some(this), NICE) {
        tracing::debug!(%error, "the thread keeps the host's priority");
    }
}

#[cfg(not(target_os = "linux"))]
fn yield_to_others() {}

#[cfg(test)]
mod tests {
    use super::*;

    /// The nice value of the calling thread, the 19th field of its `stat`.
    #[cfg(target_os = "linux")]
    fn nice() -> i32 {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        let behind_name = stat.rsplit_once(')').unwrap().1;
        behind_name.split_ascii_whitespace().nth(16).unwrap().parse().unwrap()
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn work_goes_after_everybody_else_and_nobody_else_does() {
        let before = nice();
        assert_eq!(run("test", nice).await.unwrap(), before.max(10));
        assert_eq!(nice(), before, "only that thread");
    }

    #[tokio::test]
    async fn a_panic_is_an_error_that_says_what_was_said() {
        let error = run("test", || -> () { panic!("of the host") }).await.unwrap_err();
        assert_eq!(error.to_string(), "the host failed: of the host");
    }
}
