//! A Rust compiler that can build for wasm32-unknown-unknown.
//!
//! The compiler at hand if it has the target's standard library; else rustup fetches that; else, on Debian and its
//! like, one made from the distribution's packages without installing anything.

mod debian;

use crate::project::{self, Project};
use anyhow::{Context as _, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// What guests are compiled for: no WASI, so that a guest imports nothing it does not ask for.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// Longest wait for rustup: where there is no way out to its server it may hang.
const RUSTUP_WAIT: Duration = Duration::from_secs(120);

/// A compiler for [`TARGET`].
#[derive(Debug)]
pub(crate) enum Toolchain {
    /// The one cargo uses anyway.
    AtHand,
    /// One of the project's own.
    Own(OwnToolchain),
}

/// A compiler below `target/toolchain`, with what it needs around it.
#[derive(Debug)]
pub(crate) struct OwnToolchain {
    /// The compiler.
    pub(crate) rustc: PathBuf,
    /// Where its shared libraries are.
    pub(crate) libraries: PathBuf,
    /// A linker for wasm, where it brings none.
    pub(crate) linker: PathBuf,
}

impl Toolchain {
    /// Makes a cargo command use this compiler.
    pub(crate) fn apply(&self, cargo: &mut Command) {
        if let Self::Own(own) = self {
            own.apply(cargo);
        }
    }
}

impl OwnToolchain {
    pub(crate) fn apply(&self, cargo: &mut Command) {
        cargo
            .env("RUSTC", &self.rustc)
            .env("LD_LIBRARY_PATH", &self.libraries)
            .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", &self.linker)
            .env_remove("RUSTC_WRAPPER")
            .env_remove("RUSTC_WORKSPACE_WRAPPER");
    }
}

/// The compiler, made if need be. Quick where nothing is to be done.
pub(crate) fn ensure(project: &Project) -> Result<Toolchain> {
    if has_target()? {
        return Ok(Toolchain::AtHand);
    }
    if let Some(own) = debian::ready(&directory(project))? {
        return Ok(Toolchain::Own(own));
    }
    eprintln!("toolchain: the Rust compiler at hand cannot build for {TARGET} yet");
    match add_by_rustup() {
        Ok(()) => return Ok(Toolchain::AtHand),
        Err(error) => eprintln!("toolchain: {error:#}"),
    }
    debian::make(&directory(project)).map(Toolchain::Own).with_context(|| {
        format!("no compiler for {TARGET}. The usual way to one is `rustup target add {TARGET}`; once that works, run this again")
    })
}

/// The compiler made from Debian's packages, even where the one at hand would do: to try that way out.
pub(crate) fn of_debian(project: &Project) -> Result<Toolchain> {
    let directory = directory(project);
    let own = debian::ready(&directory)?.map_or_else(|| debian::make(&directory), Ok)?;
    Ok(Toolchain::Own(own))
}

fn directory(project: &Project) -> PathBuf {
    project.path("target/toolchain")
}

/// Whether the compiler at hand has the target's core library.
fn has_target() -> Result<bool> {
    let mut rustc = Command::new(rustc());
    rustc.args(["--print", "target-libdir", "--target", TARGET]);
    let directory = project::capture("asking rustc for its libraries", &mut rustc)?;
    Ok(holds_core(Path::new(directory.trim())))
}

/// Whether a directory has a compiled core library.
fn holds_core(directory: &Path) -> bool {
    std::fs::read_dir(directory).is_ok_and(|entries| {
        entries.flatten().any(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.starts_with("libcore-") && name.ends_with(".rlib")
        })
    })
}

fn add_by_rustup() -> Result<()> {
    eprintln!("toolchain: rustup target add {TARGET} ...");
    let mut rustup = Command::new("rustup");
    rustup.args(["target", "add", TARGET]);
    project::run_within("rustup", &mut rustup, RUSTUP_WAIT)?;
    if !has_target()? {
        bail!("rustup added {TARGET}, but the compiler at hand is not rustup's");
    }
    Ok(())
}

fn rustc() -> std::ffi::OsString {
    std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())
}

/// A linker for wasm: the one of the rustup toolchain, or LLVM's from the path.
fn wasm_linker() -> Result<PathBuf> {
    let sysroot =
        project::capture("asking rustc for its sysroot", Command::new(rustc()).args(["--print", "sysroot"]))?;
    let rustlib = Path::new(sysroot.trim()).join("lib/rustlib");
    let hosts = std::fs::read_dir(&rustlib).into_iter().flatten().flatten();
    let bundled = hosts.map(|host| host.path().join("bin/rust-lld")).find(|linker| linker.is_file());
    bundled.or_else(|| on_path("wasm-ld")).context(
        "no linker for wasm: neither rust-lld in the Rust toolchain nor wasm-ld on the path (Debian: apt-get install lld)",
    )
}

/// The first file of this name in the directories of PATH.
fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(name)).find(|file| file.is_file())
}
