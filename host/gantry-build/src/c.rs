//! C: bindings by wit-bindgen, a core module by zig (or wasi-sdk), a component of that.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use wit_bindgen_core::{
    Files,
    wit_parser::{Resolve, WorldId},
};

use crate::command::run;
use crate::error::{BuildError, step};
use crate::manifest::Language;
use crate::plugin::Plugin;
use crate::toolchains::{Toolchains, on_path};
use crate::{component, embedded, sources, world};

/// The version of zig, as PyPI has it, that is fetched.
const ZIG: &str = "0.17.1";
/// How to get a compiler by hand.
const FIX: &str = "install zig (https://ziglang.org), or set WASI_SDK_PATH to a wasi-sdk";
/// Small, and quiet about unused results; a stack of 1 MiB instead of zig's 16.
const FLAGS: [&str; 7] = [
    "-mexec-model=reactor",
    "-std=c17",
    "-Os",
    "-s",
    "-Wall",
    "-Wl,-z,stack-size=1048576",
    "-Wl,--strip-all",
];

pub(crate) fn build(
    plugin: &Plugin,
    toolchains: &Toolchains,
    say: &mut dyn FnMut(&str),
) -> Result<Vec<u8>, BuildError> {
    let (mut resolve, world) = world::resolve(&plugin.work("wit"))?;
    let sdk = plugin.work("c");
    write_sdk(plugin, &sdk, &mut resolve, world)?;
    let core = plugin.work("core.wasm");
    let mut compiler = compiler(toolchains, say)?;
    compiler.args(FLAGS).arg("-I").arg(&sdk).arg("-o").arg(&core);
    for role in &plugin.manifest.roles {
        compiler.arg(format!("-DGANTRY_{}", role.name().to_uppercase()));
    }
    compiler.args(sources::with_extension(&plugin.directory, "c")?);
    compiler.args(["gantry.c", "json.c", "roles.c", "bindings.c"].map(|file| sdk.join(file)));
    compiler.current_dir(&plugin.directory);
    run("compiling the C sources", &mut compiler, &plugin.log(), FIX)?;
    component::of_module(&core, &resolve, world)
}

/// The SDK, and the bindings of the plugin's world under names that do not depend on it.
fn write_sdk(plugin: &Plugin, sdk: &Path, resolve: &mut Resolve, world: WorldId) -> Result<(), BuildError> {
    let own = embedded::below("guest-sdk/c").filter(|(name, _)| !name.contains('/'));
    embedded::write(sdk, own)?;
    let options = wit_bindgen_c::Opts {
        no_object_file: true,
        rename_world: Some("bindings".into()),
        ..wit_bindgen_c::Opts::default()
    };
    let mut files = Files::default();
    let generated = options.build().generate(resolve, world, &mut files);
    generated.map_err(|error| step(format!("generating C bindings for {}", plugin.manifest.name), error))?;
    embedded::write(sdk, files.iter())
}

/// A C compiler for WASI: wasi-sdk where it is named, zig from the path, else zig from PyPI.
fn compiler(toolchains: &Toolchains, say: &mut dyn FnMut(&str)) -> Result<Command, BuildError> {
    if let Some(sdk) = env::var_os("WASI_SDK_PATH").filter(|path| !path.is_empty()) {
        let mut clang = Command::new(PathBuf::from(sdk).join("bin/clang"));
        clang.arg("--target=wasm32-wasip1");
        return Ok(clang);
    }
    let mut zig = match on_path("zig") {
        Some(zig) => Command::new(zig),
        None => {
            let package = toolchains.pypi_package("ziglang", ZIG, say)?;
            let mut python = Command::new("python3");
            python.args(["-m", "ziglang"]).env("PYTHONPATH", package);
            python
        }
    };
    zig.args(["cc", "-target", "wasm32-wasi"]);
    let cache = toolchains.cache_of(Language::C.name());
    zig.env("ZIG_GLOBAL_CACHE_DIR", &cache).env("ZIG_LOCAL_CACHE_DIR", cache);
    Ok(zig)
}
