//! The two ways a person ends a program: the first asks, the second does not wait.

/// Resolves on the first SIGINT or SIGTERM.
pub(crate) async fn asked_to_stop() -> anyhow::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted?,
            _ = terminate.recv() => {}
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await?;
    Ok(())
}

/// Runs the orderly stop; a second signal ends the process at once. Nothing is lost then either: what was not
/// committed is delivered again.
pub(crate) async fn stop_or_exit<T>(orderly: impl Future<Output = T>) -> anyhow::Result<T> {
    tokio::select! {
        ended = orderly => Ok(ended),
        again = asked_to_stop() => {
            again?;
            eprintln!("stopped at once; what was not finished is delivered again");
            std::process::exit(130)
        }
    }
}
