//! JavaScript: componentize-qjs puts the sources and QuickJS into one component.

use std::process::Command;

use crate::command::run;
use crate::error::{BuildError, at};
use crate::plugin::Plugin;
use crate::toolchains::Toolchains;
use crate::{embedded, world};

/// The tool and its version, as npm has it.
const TOOL: (&str, &str) = ("componentize-qjs", "0.4.5");
/// How to get what the tool runs on.
const FIX: &str = "install Node.js 20 or later (https://nodejs.org)";

pub(crate) fn build(
    plugin: &Plugin,
    toolchains: &Toolchains,
    say: &mut dyn FnMut(&str),
) -> Result<Vec<u8>, BuildError> {
    embedded::write(
        &plugin.work("js"),
        embedded::below("guest-sdk/js").filter(|(name, _)| !name.contains('/')),
    )?;
    let tool = toolchains.npm_package(TOOL.0, TOOL.1, say)?;
    let component = plugin.work("component.wasm");
    let mut qjs = Command::new(tool.join("node_modules/.bin").join(TOOL.0));
    // Without WASI: clocks and randomness need a grant, and what does not ask for it gets none.
    qjs.args(["--sync", "--stub-wasi", "--js", "plugin.js", "--world", world::WORLD, "--wit"]);
    qjs.arg(plugin.work("wit")).arg("--output").arg(&component).current_dir(&plugin.directory);
    run("componentizing the JavaScript sources", &mut qjs, &plugin.log(), FIX)?;
    std::fs::read(&component).map_err(at(&component))
}
