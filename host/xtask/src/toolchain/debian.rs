//! The fallback: Debian's own packages of the Rust compiler and its sources, unpacked into the project and completed by
//! a standard library built for wasm once.

use super::{OwnToolchain, TARGET, holds_core, wasm_linker};
use crate::project;
use anyhow::{Context as _, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The oldest compiler the workspace builds with: `rust-version` in Cargo.toml.
const OLDEST: (u32, u32) = (1, 95);

/// Changes when a toolchain made before must be made anew.
const STAMP: &str = "std with bitcode, 1\n";

/// The packages of one flavour of Debian's Rust.
struct Flavour {
    compiler: &'static str,
    host_library: &'static str,
    sources: &'static str,
}

/// The distribution's plain Rust, and the newer one that Debian stable keeps for building browsers.
const FLAVOURS: [Flavour; 2] = [
    Flavour { compiler: "rustc", host_library: "libstd-rust-dev", sources: "rust-src" },
    Flavour { compiler: "rustc-web", host_library: "libstd-rust-web-dev", sources: "rust-web-src" },
];

/// The toolchain in `directory`, if it was made to the end.
pub(super) fn ready(directory: &Path) -> Result<Option<OwnToolchain>> {
    if fs::read_to_string(directory.join("ready")).ok().as_deref() != Some(STAMP) {
        return Ok(None);
    }
    let own = locate(directory)?;
    Ok(holds_core(&target_libraries(directory)).then_some(own))
}

/// Makes the toolchain in `directory`, from its beginning.
pub(super) fn make(directory: &Path) -> Result<OwnToolchain> {
    for tool in ["apt-get", "apt-cache", "dpkg-deb", "dpkg-query"] {
        super::on_path(tool)
            .with_context(|| format!("the way round rustup needs Debian's {tool}, and it is not here"))?;
    }
    let _ = fs::remove_file(directory.join("ready"));
    eprintln!(
        "toolchain: making one from Debian's packages in {} (150 MB, about 2 minutes)",
        directory.display()
    );

    let flavour = step("1/5 choosing packages", choose)?;
    let packages = step("1/5 choosing packages", || packages(flavour))?;
    eprintln!("toolchain: 2/5 downloading {}", packages.join(" "));
    let files = step("2/5 downloading", || download(directory, &packages))?;
    eprintln!("toolchain: 3/5 unpacking {} packages", files.len());
    step("3/5 unpacking", || unpack(directory, &files))?;
    let own = step("4/5 trying the compiler", || tried(directory))?;
    eprintln!("toolchain: 5/5 building the standard library for {TARGET}, once");
    step("5/5 building the standard library", || build_std(directory, &own))?;
    fs::write(directory.join("ready"), STAMP)?;
    Ok(own)
}

fn step<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    work().with_context(|| format!("step {name} failed"))
}

/// The first flavour that is new enough, with the package lists brought up to date if none is.
fn choose() -> Result<&'static Flavour> {
    if let Some(found) = candidate()? {
        return Ok(found);
    }
    eprintln!(
        "toolchain: 1/5 apt-get update, for no package list here names Rust {}.{} or newer",
        OLDEST.0, OLDEST.1
    );
    project::capture("apt-get update", Command::new("apt-get").args(["-q", "update"])).context(
        "package lists can be brought up to date by root only: run `sudo apt-get update`, then this again",
    )?;
    candidate()?.with_context(|| {
        format!("this distribution has no Rust {}.{} or newer among rustc and rustc-web", OLDEST.0, OLDEST.1)
    })
}

fn candidate() -> Result<Option<&'static Flavour>> {
    for flavour in &FLAVOURS {
        let policy = project::capture(
            "apt-cache policy",
            Command::new("apt-cache").args(["policy", flavour.compiler]),
        )?;
        if candidate_version(&policy).is_some_and(|version| version >= OLDEST) {
            return Ok(Some(flavour));
        }
    }
    Ok(None)
}

/// Major and minor of the line `Candidate: 1.96.0+dfsg1-1` of `apt-cache policy`.
fn candidate_version(policy: &str) -> Option<(u32, u32)> {
    let version = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate:"))?.trim();
    let mut numbers = version.split(['.', '+', '-', '~']);
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// The compiler, its sources, and what of the host library's dependencies is not installed.
fn packages(flavour: &Flavour) -> Result<Vec<String>> {
    let mut ask = Command::new("apt-cache");
    ask.args(["depends", "--recurse", "--important", flavour.host_library]);
    let listed = project::capture("apt-cache depends", &mut ask)?;
    let mut packages = vec![flavour.compiler.to_owned(), flavour.sources.to_owned()];
    for name in dependency_names(&listed) {
        if !installed(name)? {
            packages.push(name.to_owned());
        }
    }
    Ok(packages)
}

/// The packages `apt-cache depends --recurse` is about: its lines without indentation, virtual ones left out.
fn dependency_names(listed: &str) -> Vec<&str> {
    let own =
        |line: &&str| line.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit());
    listed.lines().filter(own).map(str::trim).collect()
}

fn installed(package: &str) -> Result<bool> {
    let mut ask = Command::new("dpkg-query");
    ask.args(["-W", "-f=${db:Status-Status}", package]);
    let answer = project::output("dpkg-query", &mut ask)?;
    Ok(answer.status.success() && answer.stdout == b"installed")
}

/// Fetches the packages' files; none of it needs root.
fn download(directory: &Path, packages: &[String]) -> Result<Vec<PathBuf>> {
    let files = directory.join("packages");
    clear(&files)?;
    let mut fetch = Command::new("apt-get");
    fetch.args(["-q", "-o", "APT::Sandbox::User=root", "download"]).args(packages).current_dir(&files);
    project::capture("apt-get download", &mut fetch).context(
        "if a file was not found, the package lists are too old: run `sudo apt-get update`, then this again",
    )?;
    let found = fs::read_dir(&files)?.collect::<std::io::Result<Vec<_>>>()?;
    Ok(found.into_iter().map(|entry| entry.path()).collect())
}

fn unpack(directory: &Path, files: &[PathBuf]) -> Result<()> {
    let root = directory.join("root");
    clear(&root)?;
    for file in files {
        project::run("dpkg-deb", Command::new("dpkg-deb").arg("-x").arg(file).arg(&root))?;
    }
    fs::remove_dir_all(directory.join("packages"))?;
    Ok(())
}

fn tried(directory: &Path) -> Result<OwnToolchain> {
    let own = locate(directory)?;
    let mut version = Command::new(&own.rustc);
    version.arg("-V").env("LD_LIBRARY_PATH", &own.libraries);
    let version = project::capture("the unpacked compiler", &mut version).context(
        "a shared library it names may be missing: install the package that has it, then run this again",
    )?;
    eprintln!("toolchain: 4/5 {}", version.trim());
    Ok(own)
}

/// Where the pieces are in an unpacked root.
fn locate(directory: &Path) -> Result<OwnToolchain> {
    let usr = directory.join("root/usr");
    let rustc = usr.join("bin/rustc");
    if !rustc.is_file() {
        bail!("{} is missing: remove {} and run this again", rustc.display(), directory.display());
    }
    let libraries = fs::read_dir(usr.join("lib"))?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.to_string_lossy().contains("-linux-gnu"))
        .context("the unpacked packages have no usr/lib/<machine>-linux-gnu")?;
    Ok(OwnToolchain { rustc, libraries, linker: wasm_linker()? })
}

fn target_libraries(directory: &Path) -> PathBuf {
    directory.join("root/usr/lib/rustlib").join(TARGET).join("lib")
}

/// Builds std and puts it where the compiler looks for it.
fn build_std(directory: &Path, own: &OwnToolchain) -> Result<()> {
    let package = directory.join("std");
    clear(&package)?; // libraries of an earlier build would carry other hashes, and clash
    fs::create_dir_all(package.join("src"))?;
    fs::write(package.join("src/lib.rs"), "")?;
    fs::write(package.join("Cargo.toml"), STD_MANIFEST)?;
    let mut cargo = Command::new(project::cargo());
    own.apply(&mut cargo);
    cargo
        .args(["build", "-q", "--release", "--target", TARGET, "-Z", "build-std=std,panic_abort,proc_macro"])
        .args(["--target-dir", "target"])
        .current_dir(&package)
        .env("RUSTC_BOOTSTRAP", "1")
        // Guests are optimised as a whole, and that needs std's bitcode.
        .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", "-Cembed-bitcode=yes")
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    project::run("cargo build of std", &mut cargo)?;
    install_std(&package.join("target").join(TARGET).join("release/deps"), &target_libraries(directory))?;
    fs::remove_dir_all(&package)?;
    Ok(())
}

fn install_std(built: &Path, libraries: &Path) -> Result<()> {
    clear(libraries)?;
    for entry in fs::read_dir(built)? {
        let file = entry?.path();
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        if name.ends_with(".rlib") && !name.starts_with("libonly_std-") {
            fs::copy(&file, libraries.join(&*name))?;
        }
    }
    if !holds_core(libraries) {
        bail!("the build left no libcore in {}", built.display());
    }
    Ok(())
}

/// An empty directory, whatever was there.
fn clear(directory: &Path) -> Result<()> {
    if directory.exists() {
        fs::remove_dir_all(directory).with_context(|| format!("cannot remove {}", directory.display()))?;
    }
    fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))
}

const STD_MANIFEST: &str = r#"[package]
name = "only-std"
version = "0.0.0"
edition = "2024"

[profile.release]
opt-level = "s"
codegen-units = 1
panic = "abort"

[workspace]
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_candidate_of_a_policy() {
        let policy = "rustc-web:\n  Installed: (none)\n  Candidate: 1.96.0+dfsg1-1~deb12u2\n  Version table:\n     1.85.0 500\n";
        assert_eq!(candidate_version(policy), Some((1, 96)));
        assert_eq!(candidate_version("rustc:\n  Candidate: (none)\n"), None);
        assert_eq!(candidate_version(""), None);
    }

    #[test]
    fn takes_only_real_packages_from_a_dependency_list() {
        let listed =
            "libllvm22\n  Depends: libc6\n |Depends: libz3-4\n<libc-dev>\nlibz3-4\n  Depends: libc6\n";
        assert_eq!(dependency_names(listed), ["libllvm22", "libz3-4"]);
    }

    #[test]
    fn a_toolchain_that_was_not_finished_is_not_ready() {
        let directory = std::env::temp_dir().join(format!("gantry-toolchain-{}", std::process::id()));
        clear(&directory).unwrap();
        assert!(ready(&directory).unwrap().is_none());
        fs::write(directory.join("ready"), "another recipe").unwrap();
        assert!(ready(&directory).unwrap().is_none());
        fs::remove_dir_all(&directory).unwrap();
    }
}
