//! Lines in the host's log under the plugin's name. Granted by `"logging"` in the plugin's `grants`.
//!
//! Over all its instances a plugin has so many lines a second (`lines-per-second` under `[plugin.NAME.logging]`); what goes
//! beyond is dropped, and the log says how many.
//!
//! ```
//! use gantry_guest::logging::{self, Level};
//!
//! logging::warn("the rates are two days old");
//! assert_eq!(logging::testing::lines(), [(Level::Warn, "the rates are two days old".to_owned())]);
//! ```

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The finest detail.
    Trace,
    /// For whoever looks for a fault.
    Debug,
    /// As expected.
    Info,
    /// Not as expected, and coped with.
    Warn,
    /// Not as expected.
    Error,
    /// Written as an error, with a mark.
    Critical,
}

/// Writes a line of the host's level `info`.
pub fn info(message: &str) {
    log(Level::Info, "", message);
}

/// Writes a line of the host's level `warn`.
pub fn warn(message: &str) {
    log(Level::Warn, "", message);
}

/// Writes a line of the host's level `error`.
pub fn error(message: &str) {
    log(Level::Error, "", message);
}

/// Writes a line of the host's level `debug`.
pub fn debug(message: &str) {
    log(Level::Debug, "", message);
}

/// Writes one line: the message is cut after 4,096 bytes. `context` says which part of the plugin speaks; it may be empty.
#[cfg(target_arch = "wasm32")]
pub fn log(level: Level, context: &str, message: &str) {
    use crate::bindings::logging::wasi::logging::logging as host;
    let level = match level {
        Level::Trace => host::Level::Trace,
        Level::Debug => host::Level::Debug,
        Level::Info => host::Level::Info,
        Level::Warn => host::Level::Warn,
        Level::Error => host::Level::Error,
        Level::Critical => host::Level::Critical,
    };
    host::log(level, context, message);
}

/// Keeps one line for the test to look at; see [`testing`].
#[cfg(not(target_arch = "wasm32"))]
pub fn log(level: Level, _context: &str, message: &str) {
    testing::LINES.with_borrow_mut(|lines| lines.push((level, message.to_owned())));
}

/// The log in a plugin's own unit tests: each thread, and so each test, has its own.
#[cfg(not(target_arch = "wasm32"))]
pub mod testing {
    use super::Level;
    use std::cell::RefCell;

    thread_local! {
        pub(super) static LINES: RefCell<Vec<(Level, String)>> = const { RefCell::new(Vec::new()) };
    }

    /// What was logged so far.
    pub fn lines() -> Vec<(Level, String)> {
        LINES.with_borrow(Clone::clone)
    }
}
