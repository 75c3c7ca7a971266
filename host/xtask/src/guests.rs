//! Components out of guest crates: cargo makes a core module, `wit-component` makes it a component.

use crate::project::{self, Project};
use crate::toolchain::{self, TARGET, Toolchain};
use anyhow::{Context as _, Result, bail};
use cargo_metadata::{CrateType, Message, MetadataCommand, Package};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;
use wit_component::ComponentEncoder;

/// Where crates are guests: those of their crates that are a `cdylib`.
const HOMES: [&str; 2] = ["plugins", "tests/guests"];

/// Builds all guests, or those named, into `target/guests/components/<directory name>.wasm`.
pub(crate) fn guests(project: &Project, names: &[String], debian_toolchain: bool) -> Result<()> {
    let started = Instant::now();
    let wanted = chosen(discover(project)?, names)?;
    let toolchain =
        if debian_toolchain { toolchain::of_debian(project)? } else { toolchain::ensure(project)? };
    let modules = build(project, &toolchain, &wanted)?;
    let directory = project.components();
    fs::create_dir_all(&directory)?;
    let mut changed = 0_usize;
    for (name, module) in &modules {
        let component = componentise(module).with_context(|| format!("{name} does not make a component"))?;
        if write_if_changed(&directory.join(name).with_extension("wasm"), &component)? {
            eprintln!("guests: {name}.wasm, {} KiB", component.len().div_ceil(1024));
            changed += 1;
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    eprintln!(
        "guests: {} in {}, {changed} new or changed, {seconds:.1} s",
        modules.len(),
        directory.display()
    );
    Ok(())
}

/// Guest crates: component name (the crate's directory) to package name.
fn discover(project: &Project) -> Result<BTreeMap<String, String>> {
    let mut ask = MetadataCommand::new();
    ask.manifest_path(project.path("Cargo.toml")).no_deps();
    let metadata = ask.exec().context("cargo metadata")?;
    let homes = HOMES.map(|home| project.path(home));
    let guests = metadata.packages.iter().filter(|package| is_guest(package, &homes));
    Ok(guests.map(|package| (component_name(package), package.name.to_string())).collect())
}

fn is_guest(package: &Package, homes: &[PathBuf]) -> bool {
    let lives_there = homes.iter().any(|home| package.manifest_path.as_std_path().starts_with(home));
    let is_module = |target: &cargo_metadata::Target| target.crate_types.contains(&CrateType::CDyLib);
    lives_there && package.targets.iter().any(is_module)
}

fn component_name(package: &Package) -> String {
    let directory = package.manifest_path.parent().and_then(|directory| directory.file_name());
    directory.unwrap_or(package.name.as_str()).to_owned()
}

fn chosen(all: BTreeMap<String, String>, names: &[String]) -> Result<BTreeMap<String, String>> {
    if let Some(unknown) = names.iter().find(|name| !all.contains_key(*name)) {
        let known: Vec<_> = all.keys().map(String::as_str).collect();
        bail!("there is no guest {unknown}; there are: {}", known.join(", "));
    }
    Ok(all.into_iter().filter(|(name, _)| names.is_empty() || names.contains(name)).collect())
}

/// Component name to core module.
fn build(
    project: &Project,
    toolchain: &Toolchain,
    guests: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, PathBuf>> {
    let mut cargo = Command::new(project::cargo());
    toolchain.apply(&mut cargo);
    cargo
        .args(["build", "-q", "--lib", "--profile", "guest", "--target", TARGET])
        .args(["--message-format", "json-render-diagnostics", "--target-dir"])
        .arg(project.guest_target())
        .current_dir(project.root())
        .env_remove("CARGO_TARGET_DIR")
        .stdout(Stdio::piped());
    for package in guests.values() {
        cargo.args(["-p", package]);
    }
    let mut child = cargo.spawn().context("cannot start cargo")?;
    let output = std::io::BufReader::new(child.stdout.take().context("cargo without output")?);
    let modules = core_modules(Message::parse_stream(output))?;
    if !child.wait()?.success() {
        bail!("the build of the guests failed");
    }
    guests
        .iter()
        .map(|(name, package)| {
            let module =
                modules.get(package).with_context(|| format!("cargo made no core module of {package}"))?;
            Ok((name.clone(), module.clone()))
        })
        .collect()
}

/// Package name to the .wasm file that cargo says it has made, or has already.
fn core_modules(
    messages: impl Iterator<Item = std::io::Result<Message>>,
) -> Result<BTreeMap<String, PathBuf>> {
    let mut modules = BTreeMap::new();
    for message in messages {
        let Message::CompilerArtifact(artifact) = message? else { continue };
        let module = artifact.filenames.iter().find(|file| file.extension() == Some("wasm"));
        let directory = artifact.manifest_path.parent();
        if let (Some(module), Some(_)) = (module, directory) {
            let package = package_name(&artifact.package_id.repr, &artifact.target.name);
            modules.insert(package, module.clone().into_std_path_buf());
        }
    }
    Ok(modules)
}

/// The name in a package id such as `path+file:///p/plugins/orders#0.1.0` or `...#fixture-traps@0.1.0`.
fn package_name(id: &str, target: &str) -> String {
    let named = id.rsplit_once('#').and_then(|(_, fragment)| fragment.split_once('@'));
    let from_path = || id.rsplit_once('#').and_then(|(path, _)| path.rsplit_once('/'));
    match named {
        Some((name, _)) => name.to_owned(),
        None => from_path().map_or(target, |(_, directory)| directory).to_owned(),
    }
}

fn componentise(module: &Path) -> Result<Vec<u8>> {
    let core = fs::read(module).with_context(|| format!("cannot read {}", module.display()))?;
    ComponentEncoder::default().validate(true).module(&core)?.encode()
}

/// Replaces the file in one step, and only if it says something else: a host may be watching it.
fn write_if_changed(file: &Path, content: &[u8]) -> Result<bool> {
    if fs::read(file).is_ok_and(|present| present == content) {
        return Ok(false);
    }
    let fresh = file.with_extension("wasm.new");
    fs::write(&fresh, content).with_context(|| format!("cannot write {}", fresh.display()))?;
    fs::rename(&fresh, file).with_context(|| format!("cannot replace {}", file.display()))?;
    Ok(true)
}
