//! The program as somebody calls it.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::process::{Command, Output};

fn counts(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gantry-counts")).args(arguments).output().unwrap()
}

#[test]
fn a_component_that_is_not_there_is_named_with_the_command_that_builds_it() {
    let output = counts(&["--plugins", "/nowhere", "way", "guest", "32", "1", "1", "1"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(said.contains("/nowhere/minimal.wasm") && said.contains("cargo xtask guests minimal"), "{said}");
}

#[test]
fn one_stretch_is_run_by_its_name() {
    let output = counts(&["way", "settled", "32", "1", "10", "10"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
