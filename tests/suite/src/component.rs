//! The components under test, as `cargo xtask guests` builds them, and the suite's own programs.

use std::path::PathBuf;

/// The bytes of a component by its directory's name under `plugins/` or `tests/guests/`.
///
/// # Panics
/// When it was not built.
pub fn component(name: &str) -> Vec<u8> {
    let directory = project().join("target/guests/components");
    let path = directory.join(format!("{name}.wasm"));
    std::fs::read(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; run `cargo xtask guests` first", path.display()))
}

/// Those of these components that are built. Plugins in other languages are not where their compilers are missing; where
/// GANTRY_REQUIRE_LANGUAGES is set, as in CI, all are named and one that is missing fails.
pub fn built<'a>(names: &[&'a str]) -> Vec<&'a str> {
    let directory = project().join("target/guests/components");
    let required = std::env::var_os("GANTRY_REQUIRE_LANGUAGES").is_some();
    let is_there = |name: &&&str| required || directory.join(format!("{name}.wasm")).exists();
    names.iter().filter(is_there).copied().collect()
}

/// The same component with another content hash: a custom section, which means nothing, is added at its end.
///
/// # Panics
/// When it was not built.
pub fn versioned(name: &str, version: u8) -> Vec<u8> {
    const SECTION: &[u8] = b"\x00\x09\x07version";
    let mut bytes = component(name);
    bytes.extend_from_slice(SECTION);
    bytes.push(version);
    bytes
}

/// The project's root.
pub(crate) fn project() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A program that cargo builds with the tests: one of the suite's own, or `gantry`; beside their directory.
///
/// # Panics
/// When it was not built.
pub fn program(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let program = own.parent().and_then(|deps| deps.parent()).unwrap().join(name);
    assert!(program.exists(), "{} is not there; run the suite by `cargo test`", program.display());
    program
}
