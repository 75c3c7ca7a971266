//! One file a command, one directory where a command has several.

use std::io::Write as _;

/// Prints a line, as [`say_text`] does.
macro_rules! say {
    () => { $crate::commands::say_text("\n") };
    ($($line:tt)*) => { $crate::commands::say_text(format_args!("{}\n", format_args!($($line)*))) };
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

/// A line for whoever follows a program that serves. Nobody may: that it cannot be written (`gantry run | head`) ends no server.
pub(crate) fn tell(line: impl std::fmt::Display) {
    let _nobody_reads_it = writeln!(std::io::stdout(), "{line}");
}

/// Prints what a command was asked for, in whole lines. That its reader wants no more of it (`gantry topic list | head -1`) is no
/// error; anything else that keeps it from being written, such as a full disk, ends the command with 1.
pub(crate) fn say_text(text: impl std::fmt::Display) {
    match write!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            eprintln!("error: cannot write to standard output: {error}");
            std::process::exit(1);
        }
        _ => {}
    }
}

/// Prints one JSON value on a line of its own.
pub(crate) fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    say!("{}", serde_json::to_string(value)?);
    Ok(())
}
