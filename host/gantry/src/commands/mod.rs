//! One file a command, one directory where a command has several.

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

/// Prints one JSON value on a line of its own.
pub(crate) fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string(value)?);
    Ok(())
}
