//! The crates' arrows, as ARCHITECTURE.md draws them: who may know whom.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

/// Every product crate and the workspace's crates its code depends on.
const ARROWS: &[(&str, &[&str])] = &[
    ("gantry-protocol", &[]),
    ("gantry-core", &["gantry-protocol"]),
    ("gantry-remoting", &["gantry-protocol"]),
    ("gantry-engine", &[]),
    ("gantry-host", &["gantry-protocol", "gantry-core", "gantry-remoting", "gantry-engine"]),
    ("gantry-dev-broker", &["gantry-protocol"]),
    ("gantry-build", &[]),
    (
        "gantry",
        &[
            "gantry-protocol",
            "gantry-core",
            "gantry-engine",
            "gantry-host",
            "gantry-dev-broker",
            "gantry-build",
        ],
    ),
    ("gantry-guest", &["gantry-guest-macros"]),
    ("gantry-guest-macros", &[]),
    ("gantry-apache", &[]),
];

/// Crates that own no socket, no task and no clock.
const WITHOUT_TOKIO: [&str; 2] = ["gantry-protocol", "gantry-core"];

fn metadata() -> Metadata {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml");
    MetadataCommand::new().manifest_path(manifest).other_options(vec!["--locked".into()]).exec().unwrap()
}

/// What the code of each crate of the workspace depends on, tests apart.
fn dependencies(metadata: &Metadata) -> BTreeMap<String, BTreeSet<String>> {
    let of = |package: &cargo_metadata::Package| {
        let normal = package.dependencies.iter().filter(|d| d.kind == DependencyKind::Normal);
        (package.name.to_string(), normal.map(|dependency| dependency.name.clone()).collect())
    };
    metadata.workspace_packages().into_iter().map(of).collect()
}

#[test]
fn crates_depend_on_each_other_as_drawn() {
    let dependencies = dependencies(&metadata());
    let workspace: BTreeSet<&str> = dependencies.keys().map(String::as_str).collect();
    for (name, allowed) in ARROWS {
        let all = &dependencies[*name];
        let drawn: BTreeSet<&str> = allowed.iter().copied().collect();
        let found: BTreeSet<&str> =
            all.iter().map(String::as_str).filter(|d| workspace.contains(d)).collect();
        assert_eq!(found, drawn, "{name}: change ARCHITECTURE.md and this table together");
    }
}

#[test]
fn every_product_crate_is_drawn() {
    let metadata = metadata();
    let host = |package: &&cargo_metadata::Package| package.manifest_path.as_str().contains("/host/");
    let found: BTreeSet<String> = metadata
        .workspace_packages()
        .into_iter()
        .filter(host)
        .map(|package| package.name.to_string())
        .collect();
    // xtask runs programs, and gantry-build.
    let drawn = ARROWS.iter().map(|(name, _)| *name).chain(["xtask"]);
    let drawn: BTreeSet<String> = drawn
        .filter(|name| !["gantry-guest", "gantry-guest-macros", "gantry-apache"].contains(name))
        .map(str::to_owned)
        .collect();
    assert_eq!(found, drawn);
}

#[test]
fn the_machines_know_no_runtime() {
    let dependencies = dependencies(&metadata());
    for name in WITHOUT_TOKIO {
        let runtime: Vec<_> = dependencies[name].iter().filter(|d| d.starts_with("tokio")).collect();
        assert!(runtime.is_empty(), "{name} depends on {runtime:?}");
    }
}
