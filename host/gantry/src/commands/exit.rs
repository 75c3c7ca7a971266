//! Exit codes, and the errors that have one of their own.

use std::process::ExitCode;

use gantry_host::client_instance::{CallError, RouteError, SendError};

/// What the help says of exit codes.
pub(crate) const HELP: &str = "Exit codes:
  0    done
  1    failed: what went wrong is on standard error
  2    the command line is wrong
  3    the group, topic or message that was named does not exist
  4    stopped by a signal before the end; the same command goes on where it stopped, but for `send`
  130  stopped at once by a second signal";

/// Stopped by a signal before the end.
pub(crate) const STOPPED: u8 = 4;
const NOT_FOUND: u8 = 3;

/// What was named does not exist; says how to find what does.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NotFound(pub(crate) String);

/// No broker knows this group.
pub(crate) fn unknown_group(group: &str) -> NotFound {
    NotFound(format!("no broker knows group {group}; `gantry group list` shows those there are"))
}

/// The exit code of an error.
pub(crate) fn code(error: &anyhow::Error) -> ExitCode {
    let missing_topic = matches!(error.downcast_ref(), Some(RouteError::Missing { .. }))
        || matches!(error.downcast_ref(), Some(CallError::Route(RouteError::Missing { .. })))
        || matches!(error.downcast_ref(), Some(SendError::Route(RouteError::Missing { .. })));
    if missing_topic || error.downcast_ref::<NotFound>().is_some() {
        return NOT_FOUND.into();
    }
    ExitCode::FAILURE
}
