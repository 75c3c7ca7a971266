//! Go: bindings by wit-bindgen, a core module by the Go compiler, a component of that.

use std::fs;
use std::path::Path;
use std::process::Command;

use wit_bindgen_core::{
    Files,
    wit_parser::{Resolve, TypeDefKind, WorldId},
};

use crate::command::run;
use crate::error::{BuildError, at, step};
use crate::manifest::Role;
use crate::plugin::Plugin;
use crate::{component, embedded, world};

/// How to get the compiler.
const FIX: &str = "install Go 1.24 or later (https://go.dev/dl)";
/// The SDK's module, as plugins import it.
const MODULE: &str = "gantry";
/// Where bindings look for the component model's general types, unless they are told that the SDK has them.
const GENERATED_FOR: &str = "go.bytecodealliance.org/pkg/wit";

pub(crate) fn build(plugin: &Plugin) -> Result<Vec<u8>, BuildError> {
    let (resolve, world) = world::resolve(&plugin.work("wit"))?;
    write_sdk(plugin, &plugin.work("go"), resolve.clone(), world)?;
    let core = plugin.work("core.wasm");
    let mut go = Command::new("go");
    go.args(["build", "-buildmode=c-shared", "-trimpath", "-ldflags=-s -w", "-o"]).arg(&core).arg(".");
    go.env("GOOS", "wasip1").env("GOARCH", "wasm").env("GOFLAGS", "-mod=mod -buildvcs=false");
    go.env("GOWORK", "off").current_dir(&plugin.directory);
    run("compiling the Go sources", &mut go, &plugin.log(), FIX)?;
    component::of_module(&core, &resolve, world)
}

/// The SDK: what is common, the files of the plugin's roles, and the bindings of its world.
fn write_sdk(plugin: &Plugin, sdk: &Path, mut resolve: Resolve, world: WorldId) -> Result<(), BuildError> {
    let absent: Vec<_> = Role::ALL.into_iter().filter(|role| !plugin.manifest.plays(*role)).collect();
    let is_absent = |name: &str| {
        let of = |role: &Role| {
            name == format!("{role}.go") || name.starts_with(&format!("export_gantry_rocketmq_{role}/"))
        };
        absent.iter().any(of)
    };
    let (others, own): (Vec<_>, Vec<_>) = embedded::below("guest-sdk/go")
        .filter(|(name, _)| !name.starts_with("template/"))
        .partition(|(name, _)| is_absent(name));
    embedded::write(sdk, own)?;
    // Left from when the plugin had another role.
    for (name, _) in others {
        let file = sdk.join(name);
        if file.exists() {
            fs::remove_file(&file).map_err(at(&file))?;
        }
    }
    rename_tag(&mut resolve);
    let options = wit_bindgen_go::Opts {
        format: wit_bindgen_go::Format::False,
        pkg_name: Some(MODULE.into()),
        ..wit_bindgen_go::Opts::default()
    };
    let mut files = Files::default();
    let generated = options.build().generate(&mut resolve, world, &mut files);
    generated.map_err(|error| step(format!("generating Go bindings for {}", plugin.manifest.name), error))?;
    for (name, content) in files.iter() {
        let content = String::from_utf8_lossy(content).replace(GENERATED_FOR, &format!("{MODULE}/wit"));
        embedded::write(sdk, [(name, content.as_bytes())])?;
    }
    Ok(())
}

/// Go's bindings give each variant a method `Tag`, which a case called `tag` would declare again. Names of cases are
/// nothing that a module's code knows of, so the bindings may have another.
fn rename_tag(resolve: &mut Resolve) {
    for (_, definition) in resolve.types.iter_mut() {
        if let TypeDefKind::Variant(variant) = &mut definition.kind {
            for case in variant.cases.iter_mut().filter(|case| case.name == "tag") {
                case.name = "tags".into();
            }
        }
    }
}
