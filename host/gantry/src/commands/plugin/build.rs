//! `gantry plugin build`: a component out of a plugin's directory.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use gantry_build::{Built, Plugin, Toolchains};
use serde_json::json;

use crate::commands::print_json;

/// What to build.
#[derive(Debug, Args)]
#[command(
    after_help = "A compiler that is not there is fetched from its package registry, at a version known to work, into \
    $GANTRY_TOOLCHAINS, else gantry/toolchains in the user's cache directory. Go and Rust are not fetched.\n\n\
    Exit codes: 0 the component is there, 1 it is not."
)]
pub(crate) struct BuildArgs {
    /// The plugin's directory, with its gantry-plugin.toml.
    #[arg(default_value = ".", value_name = "DIR")]
    directory: PathBuf,
    /// Where the component goes, instead of DIR/dist/NAME.wasm.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
}

pub(crate) fn build(args: &BuildArgs) -> anyhow::Result<ExitCode> {
    let plugin = Plugin::open(&args.directory)?;
    let began = Instant::now();
    let built = once(&plugin, args.output.as_deref(), &Toolchains::of_user()?)?;
    if args.json {
        print_json(&json!({
            "name": plugin.manifest.name, "language": plugin.manifest.language, "component": built.component,
            "bytes": built.bytes, "fresh": built.fresh, "seconds": began.elapsed().as_secs_f64(),
        }))?;
    } else {
        say!("{}", told(&built, began));
    }
    Ok(ExitCode::SUCCESS)
}

/// Builds, with what is done on standard error.
pub(super) fn once(
    plugin: &Plugin,
    output: Option<&Path>,
    toolchains: &Toolchains,
) -> Result<Built, gantry_build::BuildError> {
    gantry_build::build(plugin, output, toolchains, &mut |line| eprintln!("{line} ..."))
}

/// A build in one line.
pub(super) fn told(built: &Built, began: Instant) -> String {
    let (file, kib) = (built.component.display(), built.bytes.div_ceil(1024));
    if built.fresh {
        format!("{file}: {kib} KiB, built in {:.1} s", began.elapsed().as_secs_f64())
    } else {
        format!("{file}: {kib} KiB, nothing has changed")
    }
}
