//! Rust: cargo makes a core module for wasm32-unknown-unknown, `wit-component` a component of it.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use toml::{Table, Value};
use wit_component::ComponentEncoder;

use crate::command::run;
use crate::embedded;
use crate::error::{BuildError, at, missing, step};
use crate::plugin::Plugin;

/// What plugins are compiled for: no WASI, so that a plugin imports nothing it does not ask for.
const TARGET: &str = "wasm32-unknown-unknown";
/// How to get the compiler.
const FIX: &str = "install Rust (https://rustup.rs)";

pub(crate) fn build(plugin: &Plugin, say: &mut dyn FnMut(&str)) -> Result<Vec<u8>, BuildError> {
    write_sdk(&plugin.work("rust"))?;
    have_target(plugin, say)?;
    let target = plugin.work("target");
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--lib", "--release", "--target", TARGET, "--target-dir"]).arg(&target);
    cargo.current_dir(&plugin.directory);
    run("compiling the Rust sources", &mut cargo, &plugin.log(), FIX)?;
    let core = target.join(TARGET).join("release").join(module_name(&plugin.directory)?);
    let module = fs::read(&core).map_err(|_| {
        let reason =
            format!("cargo left no {}; Cargo.toml needs [lib] crate-type = [\"cdylib\"]", core.display());
        step("compiling the Rust sources", reason)
    })?;
    let encode = || ComponentEncoder::default().validate(true).module(&module)?.encode();
    encode().map_err(|error| step("making a component of the core module", error))
}

/// The SDK as a workspace of its own, for plugins that take it from there: `.gantry/rust/guest-sdk/rust`. A plugin may as
/// well depend on a published or a local one.
fn write_sdk(directory: &Path) -> Result<(), BuildError> {
    let sdk = directory.join("guest-sdk");
    let of_crates = |name: &str| name.starts_with("rust") && !name.contains("/template/");
    for (name, content) in embedded::below("guest-sdk").filter(|(name, _)| of_crates(name)) {
        match is_manifest(name) {
            true => embedded::write(&sdk, [(name, for_users(content)?.as_bytes())])?,
            false => embedded::write(&sdk, [(name, content)])?,
        }
    }
    let manifest = workspace(embedded::text("Cargo.toml"))?;
    embedded::write(directory, [("Cargo.toml", manifest.as_bytes())])
}

fn is_manifest(name: &str) -> bool {
    name.ends_with("/Cargo.toml")
}

/// A crate's manifest without what only its own tests need, some of which is the project's.
fn for_users(manifest: &[u8]) -> Result<String, BuildError> {
    const STEP: &str = "writing the SDK";
    let text = std::str::from_utf8(manifest).map_err(|error| step(STEP, error))?;
    let mut table: Table = text.parse().map_err(|error| step(STEP, error))?;
    table.remove("dev-dependencies");
    toml::to_string(&table).map_err(|error| step(STEP, error))
}

/// The project's own workspace manifest, without all that is not the SDK.
fn workspace(whole: &str) -> Result<String, BuildError> {
    const STEP: &str = "writing the SDK's workspace";
    let whole: Table = whole.parse().map_err(|error| step(STEP, error))?;
    let mut workspace = whole.get("workspace").and_then(Value::as_table).cloned().unwrap_or_default();
    let manifests = embedded::below("guest-sdk").filter_map(|(name, _)| name.strip_suffix("/Cargo.toml"));
    let members: Vec<_> = manifests.map(|name| Value::from(format!("guest-sdk/{name}"))).collect();
    workspace.insert("members".into(), Value::Array(members));
    workspace.remove("exclude");
    if let Some(dependencies) = workspace.get_mut("dependencies").and_then(Value::as_table_mut) {
        dependencies.retain(|_, dependency| {
            let path = dependency.get("path").and_then(Value::as_str);
            path.is_none_or(|path| path.starts_with("guest-sdk/"))
        });
    }
    let manifest = Table::from_iter([("workspace".to_owned(), Value::Table(workspace))]);
    toml::to_string(&manifest).map_err(|error| step(STEP, error))
}

/// The file that cargo makes of the directory's library.
fn module_name(directory: &Path) -> Result<String, BuildError> {
    let file = directory.join("Cargo.toml");
    let text = fs::read_to_string(&file).map_err(at(&file))?;
    let bad = |reason: String| BuildError::Manifest { file: file.clone(), reason };
    let manifest: Table = text.parse().map_err(|error: toml::de::Error| bad(error.to_string()))?;
    let name_in = |section: &str| manifest.get(section)?.get("name")?.as_str();
    let name = name_in("lib").or_else(|| name_in("package"));
    let name = name.ok_or_else(|| bad("there is no package.name".into()))?;
    Ok(format!("{}.wasm", name.replace('-', "_")))
}

/// Sees to it that the compiler has the target's standard library; rustup fetches it.
fn have_target(plugin: &Plugin, say: &mut dyn FnMut(&str)) -> Result<(), BuildError> {
    if has_target(plugin)? {
        return Ok(());
    }
    let fix = format!("run `rustup target add {TARGET}`, or install rustup (https://rustup.rs)");
    say(&format!("rustup target add {TARGET}"));
    let mut rustup = Command::new("rustup");
    rustup.args(["target", "add", TARGET]).current_dir(&plugin.directory);
    let what = format!("Rust's standard library for {TARGET}");
    let fetched = run(&format!("fetching {what}"), &mut rustup, &plugin.log(), &fix);
    if has_target(plugin)? {
        return Ok(());
    }
    let why = fetched.err().map(|error| format!(" ({error})")).unwrap_or_default();
    Err(missing(what, format!("{fix}{why}")))
}

fn has_target(plugin: &Plugin) -> Result<bool, BuildError> {
    let mut rustc = Command::new(env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc")));
    rustc.args(["--print", "target-libdir", "--target", TARGET]).current_dir(&plugin.directory);
    let said = run("asking rustc for its libraries", &mut rustc, &plugin.log(), FIX)?;
    let libraries = PathBuf::from(said.trim());
    Ok(fs::read_dir(libraries).is_ok_and(|entries| {
        entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("libcore-"))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sdks_crates_lean_on_nothing_of_the_project() {
        let manifests = embedded::below("guest-sdk").filter(|(name, _)| is_manifest(name));
        let written: Vec<_> = manifests.map(|(_, manifest)| for_users(manifest).unwrap()).collect();
        assert!(written.len() >= 2);
        for text in written {
            assert!(!text.contains("gantry-protocol"), "{text}");
        }
    }

    #[test]
    fn the_sdks_workspace_has_the_sdk_and_nothing_else_of_the_project() {
        let text = workspace(embedded::text("Cargo.toml")).unwrap();
        let table: Table = text.parse().unwrap();
        let workspace = table["workspace"].as_table().unwrap();
        assert!(workspace["members"].as_array().unwrap().contains(&Value::from("guest-sdk/rust")));
        assert!(workspace["dependencies"].get("wit-bindgen").is_some());
        assert!(!text.contains("host/"), "{text}");
    }
}
