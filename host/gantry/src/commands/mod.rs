//! One file a command, one directory where a command has several.

use std::io::Write as _;

/// Prints a line, as `println!` does, which panics where nobody reads it.
macro_rules! say {
    () => { $crate::commands::tell("") };
    ($($line:tt)*) => { $crate::commands::tell(format_args!($($line)*)) };
}

pub(crate) mod admin;
pub(crate) mod bench;
pub(crate) mod broker;
mod cluster;
pub(crate) mod completions;
pub(crate) mod demo;
pub(crate) mod dlq;
pub(crate) mod exit;
pub(crate) mod group;
pub(crate) mod message;
mod moment;
pub(crate) mod plugin;
mod progress;
pub(crate) mod pull;
pub(crate) mod run;
pub(crate) mod send;
pub(crate) mod status;
mod stored;
mod table;
pub(crate) mod topic;
mod written;

/// Prints a line. That its reader has ended (`gantry run | head`) ends no server, and is no error of what was asked for.
pub(crate) fn tell(line: impl std::fmt::Display) {
    tell_text(format_args!("{line}\n"));
}

/// The same for text of whole lines.
pub(crate) fn tell_text(text: impl std::fmt::Display) {
    let _nobody_reads_it = write!(std::io::stdout(), "{text}");
}

/// Prints one JSON value on a line of its own.
pub(crate) fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    say!("{}", serde_json::to_string(value)?);
    Ok(())
}
