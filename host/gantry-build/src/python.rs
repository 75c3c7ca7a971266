//! Python: componentize-py puts the sources and CPython into one component.

use std::process::Command;

use crate::command::run;
use crate::error::{BuildError, at};
use crate::manifest::Role;
use crate::plugin::Plugin;
use crate::toolchains::Toolchains;
use crate::{embedded, world};

/// The tool and its version, as PyPI has it.
const TOOL: (&str, &str) = ("componentize-py", "0.25.1");
/// How to get what the tool runs on.
const FIX: &str = "install Python 3.10 or later (https://www.python.org)";
/// Runs the tool without the script that pip writes, which would name one interpreter for ever.
const RUN: &str = "import sys, componentize_py; sys.exit(componentize_py.script())";

pub(crate) fn build(
    plugin: &Plugin,
    toolchains: &Toolchains,
    say: &mut dyn FnMut(&str),
) -> Result<Vec<u8>, BuildError> {
    write_sdk(plugin)?;
    let tool = toolchains.pypi_package(TOOL.0, TOOL.1, say)?;
    let component = plugin.work("component.wasm");
    let mut python = Command::new("python3");
    python.args(["-c", RUN, "--world", world::WORLD, "--wit-path"]).arg(plugin.work("wit"));
    // Without WASI: clocks and randomness need a grant, and what does not ask for it gets none.
    python.args(["componentize", "--stub-wasi", "--python-path"]).arg(&plugin.directory);
    python.arg("--python-path").arg(plugin.work("python")).arg("--output").arg(&component).arg("plugin");
    python.env("PYTHONPATH", tool).current_dir(&plugin.directory);
    run("componentizing the Python sources", &mut python, &plugin.log(), FIX)?;
    std::fs::read(&component).map_err(at(&component))
}

/// The SDK, a module a role: those of other roles would look for types that this world does not have.
fn write_sdk(plugin: &Plugin) -> Result<(), BuildError> {
    let exports: String =
        plugin.manifest.roles.iter().map(|role| format!("from gantry.{role} import *\n")).collect();
    let absent: Vec<_> = Role::ALL.into_iter().filter(|role| !plugin.manifest.plays(*role)).collect();
    let own = embedded::below("guest-sdk/python").filter(|(name, _)| {
        name.starts_with("gantry/") && absent.iter().all(|role| *name != format!("gantry/{role}.py"))
    });
    let directory = plugin.work("python");
    embedded::write(&directory, own)?;
    let package =
        format!("\"\"\"The roles of this plugin; see gantry/listener.py and its like.\"\"\"\n\n{exports}");
    embedded::write(&directory, [("gantry/__init__.py", package.as_bytes())])
}
