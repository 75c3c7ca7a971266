//! Guests in C, Go, JavaScript and Python: directories with a `gantry-plugin.toml`.
//!
//! A language whose compiler is neither there nor to be fetched is skipped, with a note; where GANTRY_REQUIRE_LANGUAGES is
//! set, as in CI, that is an error.

use super::HOMES;
use crate::project::Project;
use anyhow::{Context as _, Result, bail};
use gantry_build::{BuildError, Built, MANIFEST, Plugin, Toolchains};
use std::collections::BTreeSet;
use std::fs;
use std::thread;

pub(super) fn discover(project: &Project) -> Result<Vec<Plugin>> {
    let mut found = Vec::new();
    for home in HOMES {
        for entry in fs::read_dir(project.path(home))? {
            let directory = entry?.path();
            if !directory.join(MANIFEST).is_file() {
                continue;
            }
            let plugin = Plugin::open(&directory)?;
            if directory.file_name().is_none_or(|name| *name != *plugin.manifest.name) {
                bail!("{} calls itself {}; give both one name", directory.display(), plugin.manifest.name);
            }
            found.push(plugin);
        }
    }
    Ok(found)
}

pub(super) fn names(plugins: &[Plugin]) -> BTreeSet<String> {
    plugins.iter().map(|plugin| plugin.manifest.name.clone()).collect()
}

/// Builds them side by side; how many there are now, and how many of them are new.
pub(super) fn build(project: &Project, plugins: Vec<Plugin>) -> Result<(usize, usize)> {
    let toolchains = Toolchains::in_cache(project.path("target/toolchain/languages"));
    let (directory, toolchains) = (&project.components(), &toolchains);
    let results: Vec<_> = thread::scope(|scope| {
        let building = plugins.iter().map(|plugin| {
            scope.spawn(move || {
                let output = directory.join(&plugin.manifest.name).with_extension("wasm");
                gantry_build::build(plugin, Some(&output), toolchains, &mut |line| {
                    eprintln!("guests: {line}")
                })
            })
        });
        let building: Vec<_> = building.collect();
        building.into_iter().map(|thread| thread.join()).collect()
    });
    let mut counts = (0, 0);
    for (plugin, result) in plugins.iter().zip(results) {
        let Ok(result) = result else { bail!("the build of {} panicked", plugin.manifest.name) };
        let Some(built) = told(plugin, result)? else { continue };
        counts.0 += 1;
        counts.1 += usize::from(built.fresh);
    }
    Ok(counts)
}

fn told(plugin: &Plugin, result: Result<Built, BuildError>) -> Result<Option<Built>> {
    let name = &plugin.manifest.name;
    match result {
        Ok(built) => {
            if built.fresh {
                eprintln!("guests: {name}.wasm, {} KiB", built.bytes.div_ceil(1024));
            }
            Ok(Some(built))
        }
        Err(error @ BuildError::Missing { .. }) if std::env::var_os("GANTRY_REQUIRE_LANGUAGES").is_none() => {
            eprintln!("guests: {name} is skipped: {error}");
            Ok(None)
        }
        Err(error) => Err(error).with_context(|| format!("{name} cannot be built")),
    }
}
