//! One file a command, one directory where a command has several.

use std::io::Write as _;

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

/// A line for whoever follows a program that serves. Nobody may: that their reader has ended (`gantry run | head`) ends no server.
pub(crate) fn tell(line: impl std::fmt::Display) {
    let _nobody_reads_it = writeln!(std::io::stdout(), "{line}");
}

/// Prints one JSON value on a line of its own.
pub(crate) fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string(value)?);
    Ok(())
}
