//! Components out of guest crates: cargo makes a core module, `wit-component` makes it a component. Guests in other
//! languages are `gantry-build`'s work; see [`languages`].

mod languages;

use crate::project::{self, Project};
use crate::toolchain::{self, TARGET, Toolchain};
use anyhow::{Context as _, Result, bail};
use cargo_metadata::{CrateType, Message, MetadataCommand, Package, PackageId};
use gantry_build::Plugin;
use std::collections::BTreeMap;
use std::fs;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;
use wit_component::ComponentEncoder;

/// Where crates are guests: those of their crates that are a `cdylib`.
pub(crate) const HOMES: [&str; 2] = ["plugins", "tests/guests"];

/// Builds all guests, or those named, into `target/guests/components/<directory name>.wasm`.
pub(crate) fn guests(project: &Project, names: &[String], debian_toolchain: bool) -> Result<()> {
    let started = Instant::now();
    let (crates, others) = (discover(project)?, languages::discover(project)?);
    check_names(&crates, &others, names)?;
    let is_wanted = |name: &str| names.is_empty() || names.iter().any(|wanted| wanted == name);
    let wanted: Vec<_> = crates.into_iter().filter(|guest| is_wanted(&guest.name)).collect();
    let (keep, wanted_others) = (
        languages::names(&others),
        others.into_iter().filter(|plugin| is_wanted(&plugin.manifest.name)).collect(),
    );
    let modules = if wanted.is_empty() {
        BTreeMap::new()
    } else {
        let toolchain =
            if debian_toolchain { toolchain::of_debian(project)? } else { toolchain::ensure(project)? };
        build(project, &toolchain, &wanted)?
    };
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
    let (built, fresh) = languages::build(project, wanted_others)?;
    changed += fresh;
    if names.is_empty() {
        forget_others(&directory, |name| modules.contains_key(name) || keep.contains(name))?;
    }
    let seconds = started.elapsed().as_secs_f64();
    eprintln!(
        "guests: {} in {}, {changed} new or changed, {seconds:.1} s",
        modules.len() + built,
        directory.display()
    );
    Ok(())
}

/// A guest crate.
#[derive(Debug)]
struct Guest {
    /// The component's name: the crate's directory.
    name: String,
    package: PackageId,
}

fn discover(project: &Project) -> Result<Vec<Guest>> {
    let mut ask = MetadataCommand::new();
    ask.manifest_path(project.path("Cargo.toml")).no_deps();
    let metadata = ask.exec().context("cargo metadata")?;
    let homes = HOMES.map(|home| project.path(home));
    let guests = metadata.packages.iter().filter(|package| is_guest(package, &homes));
    Ok(guests.map(|package| Guest { name: component_name(package), package: package.id.clone() }).collect())
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

/// Each name is a guest's.
fn check_names(crates: &[Guest], others: &[Plugin], names: &[String]) -> Result<()> {
    let crates = crates.iter().map(|guest| guest.name.as_str());
    let known: Vec<_> = crates.chain(others.iter().map(|plugin| plugin.manifest.name.as_str())).collect();
    if let Some(unknown) = names.iter().find(|name| !known.contains(&name.as_str())) {
        bail!("there is no guest {unknown}; there are: {}", known.join(", "));
    }
    Ok(())
}

/// The guests' core modules, by component name.
fn build(project: &Project, toolchain: &Toolchain, guests: &[Guest]) -> Result<BTreeMap<String, PathBuf>> {
    let mut cargo = Command::new(project::cargo());
    toolchain.apply(&mut cargo);
    cargo
        .args(["build", "-q", "--lib", "--profile", "guest", "--target", TARGET])
        .args(["--message-format", "json-render-diagnostics", "--target-dir"])
        .arg(project.guest_target())
        .current_dir(project.root())
        .stdout(Stdio::piped());
    for guest in guests {
        cargo.args(["-p", &guest.package.repr]);
    }
    let mut child = cargo.spawn().context("cannot start cargo")?;
    let output = BufReader::new(child.stdout.take().context("cargo without output")?);
    let modules = core_modules(Message::parse_stream(output))?;
    if !child.wait()?.success() {
        bail!("the build of the guests failed");
    }
    let module = |guest: &Guest| {
        let module = modules.get(&guest.package);
        let module = module.with_context(|| format!("cargo made no core module of {}", guest.name))?;
        Ok((guest.name.clone(), module.clone()))
    };
    guests.iter().map(module).collect()
}

/// The .wasm files that cargo says it has made, or has already.
fn core_modules(
    messages: impl Iterator<Item = std::io::Result<Message>>,
) -> Result<BTreeMap<PackageId, PathBuf>> {
    let mut modules = BTreeMap::new();
    for message in messages {
        let Message::CompilerArtifact(artifact) = message? else { continue };
        if let Some(module) = artifact.filenames.iter().find(|file| file.extension() == Some("wasm")) {
            modules.insert(artifact.package_id, module.clone().into_std_path_buf());
        }
    }
    Ok(modules)
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

/// Removes the components of guests that are no more.
fn forget_others(directory: &Path, is_known: impl Fn(&str) -> bool) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let file = entry?.path();
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        if !is_known(&name) && file.extension().is_some_and(|extension| extension == "wasm") {
            fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
            eprintln!("guests: {name}.wasm is no more");
        }
    }
    Ok(())
}
