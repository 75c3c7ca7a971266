//! `gantry plugin new`: a directory with a plugin that builds and runs as it is.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use gantry_build::{Language, New, Role, create};

/// What to make.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  gantry plugin new orders --lang python\n  \
    gantry plugin new by-customer --lang go --role selector")]
pub(crate) struct NewArgs {
    /// The plugin's name, 1 to 64 of `A-Z a-z 0-9 _ -`: the directory's, the file's, and the topic it begins with.
    name: String,
    /// c, go, javascript (js), python or rust.
    #[arg(long, value_name = "LANGUAGE")]
    lang: Language,
    /// listener, selector or strategy.
    #[arg(long, default_value = "listener")]
    role: Role,
    /// The directory to make, instead of one with the plugin's name.
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
}

pub(crate) fn new(args: &NewArgs) -> anyhow::Result<ExitCode> {
    let directory = args.directory.clone().unwrap_or_else(|| PathBuf::from(&args.name));
    create(&directory, &New { name: args.name.clone(), language: args.lang, role: args.role })?;
    let shown = directory.display();
    say!("{shown}: a {} in {}; next: gantry plugin build {shown}", args.role, args.lang);
    Ok(ExitCode::SUCCESS)
}
