//! The host's side of `wasi:logging`: lines into the host's log under the plugin's name, so many a second.

use std::sync::Arc;

use wasmtime::component::{ComponentType, Lift, Linker};

use super::{
    Store,
    line_limit::{LineLimit, Verdict},
};
use crate::guest::GuestState;

/// The versions there are, alike to the letter.
const VERSIONS: [&str; 2] = ["wasi:logging/logging", "wasi:logging/logging@0.1.0-draft"];
/// Longest message written, in bytes; the rest of a longer one is dropped.
const MAX_MESSAGE: usize = 4096;
/// Longest context written, in bytes.
const MAX_CONTEXT: usize = 128;

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "guests make them")]
enum Level {
    #[component(name = "trace")]
    Trace,
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
    #[component(name = "critical")]
    Critical,
}

/// Where a plugin's lines go: the log, under its name, and not more than so many a second over all its instances.
#[derive(Debug)]
pub struct PluginLog {
    plugin: Arc<str>,
    /// Before each message; empty but for a version whose effects are suppressed.
    prefix: &'static str,
    limit: LineLimit,
}

impl PluginLog {
    /// The log of the plugin of this name, with at most so many lines a second; with 0 nothing is written.
    #[must_use]
    pub fn new(plugin: &str, lines_per_second: u32) -> Self {
        Self::prefixed(plugin.into(), "", lines_per_second)
    }

    fn prefixed(plugin: Arc<str>, prefix: &'static str, lines_per_second: u32) -> Self {
        Self { plugin, prefix, limit: LineLimit::new(lines_per_second) }
    }

    /// The same log for a version whose effects are suppressed.
    pub(super) fn without_effects(&self) -> Self {
        Self::prefixed(Arc::clone(&self.plugin), "(without effects) ", self.limit.most())
    }

    /// How many lines were dropped so far.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.limit.dropped()
    }

    fn log(&self, level: Level, context: &str, message: &str) {
        let (plugin, most) = (&self.plugin, self.limit.most());
        match self.limit.admit() {
            Verdict::Dropped => return,
            Verdict::FirstDropped if most == 0 => return,
            Verdict::FirstDropped => {
                return tracing::warn!(
                    %plugin,
                    "logs more than {most} lines a second; the rest of this second is dropped (lines-per-second under \
                     [plugin.{plugin}.logging])"
                );
            }
            Verdict::Written { dropped_before: 0 } => {}
            Verdict::Written { dropped_before } => {
                tracing::warn!(%plugin, "{dropped_before} of its log lines were dropped");
            }
        }
        self.write(level, &shown(context, MAX_CONTEXT), &shown(message, MAX_MESSAGE));
    }

    fn write(&self, level: Level, context: &str, message: &str) {
        let (plugin, prefix) = (&self.plugin, self.prefix);
        match level {
            Level::Trace => tracing::trace!(%plugin, context, "{prefix}{message}"),
            Level::Debug => tracing::debug!(%plugin, context, "{prefix}{message}"),
            Level::Info => tracing::info!(%plugin, context, "{prefix}{message}"),
            Level::Warn => tracing::warn!(%plugin, context, "{prefix}{message}"),
            Level::Error => tracing::error!(%plugin, context, "{prefix}{message}"),
            Level::Critical => tracing::error!(%plugin, context, critical = true, "{prefix}{message}"),
        }
    }
}

/// A guest's text as one line of at most `max` bytes: what would look like a line of the host's own is not written.
fn shown(text: &str, max: usize) -> String {
    let cut = text.get(..text.floor_char_boundary(max)).unwrap_or_default();
    let mut line: String = cut.trim_end().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if cut.len() < text.len() {
        line.push('…');
    }
    line
}

pub(super) fn add_to_linker(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    for version in VERSIONS {
        let mut interface = linker.instance(version)?;
        interface.func_wrap(
            "log",
            |store: Store<'_>, (level, context, message): (Level, String, String)| {
                if let Some(log) = &store.data().grants.logging {
                    log.log(level, &context, &message);
                }
                Ok(())
            },
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_stays_one_line_of_bounded_length() {
        assert_eq!(shown("paid\n2026-01-01 ERROR forged\n", 100), "paid 2026-01-01 ERROR forged");
        let long = shown(&"é".repeat(100), 11);
        assert_eq!(long, "ééééé…");
    }
}
