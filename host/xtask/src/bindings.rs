//! Rust bindings of the WIT, written beforehand and checked in: a guest then builds in a second, without a macro
//! that would parse the WIT in each of them.

use crate::project::Project;
use anyhow::{Context as _, Result, bail};
use std::path::Path;
use wit_bindgen_core::{Files, WorldGenerator as _, wit_parser::Resolve};
use wit_bindgen_rust::WithOption;

/// One generated file.
struct Target {
    wit: &'static str,
    world: &'static str,
    file: &'static str,
    runtime: &'static str,
    /// The macro that exports an implementation of the world, and the module it finds the types in.
    export: Option<(&'static str, &'static str)>,
    /// Interfaces that another file has the bindings of, by its module.
    with: &'static [(&'static str, &'static str)],
}

const TYPES: (&str, &str) =
    ("gantry:rocketmq/types@0.1.0", "crate::bindings::listener::gantry::rocketmq::types");
const DELIVERY: (&str, &str) =
    ("gantry:rocketmq/delivery@0.1.0", "crate::bindings::listener::gantry::rocketmq::delivery");

const TARGETS: [Target; 14] = [
    Target {
        wit: "wit",
        world: "message-listener",
        file: "guest-sdk/rust/src/bindings/listener.rs",
        runtime: "::wit_bindgen::rt",
        export: Some(("export_message_listener", "gantry_guest::bindings::listener")),
        with: &[],
    },
    Target {
        wit: "wit",
        world: "message-listener-packed",
        file: "guest-sdk/rust/src/bindings/packed.rs",
        runtime: "::wit_bindgen::rt",
        export: Some(("export_message_listener_packed", "gantry_guest::bindings::packed")),
        with: &[TYPES, DELIVERY],
    },
    Target {
        wit: "wit",
        world: "message-listener-lean",
        file: "guest-sdk/rust/src/bindings/lean.rs",
        runtime: "::wit_bindgen::rt",
        export: Some(("export_message_listener_lean", "gantry_guest::bindings::lean")),
        with: &[TYPES, DELIVERY],
    },
    Target {
        wit: "wit",
        world: "message-queue-selector",
        file: "guest-sdk/rust/src/bindings/selector.rs",
        runtime: "::wit_bindgen::rt",
        export: Some(("export_message_queue_selector", "gantry_guest::bindings::selector")),
        with: &[TYPES],
    },
    Target {
        wit: "wit",
        world: "plugin-lifecycle",
        file: "guest-sdk/rust/src/bindings/lifecycle.rs",
        runtime: "::wit_bindgen::rt",
        export: Some(("export_plugin_lifecycle", "gantry_guest::bindings::lifecycle")),
        with: &[],
    },
    Target {
        wit: "wit",
        world: "allocate-message-queue-strategy",
        file: "guest-sdk/rust/src/bindings/strategy.rs",
        runtime: "::wit_bindgen::rt",
        export: Some(("export_allocate_message_queue_strategy", "gantry_guest::bindings::strategy")),
        with: &[TYPES],
    },
    Target {
        wit: "wit",
        world: "granted",
        file: "guest-sdk/rust/src/bindings/granted.rs",
        runtime: "::wit_bindgen::rt",
        export: None,
        with: &[],
    },
    Target {
        wit: "wit/deps/wasi-config",
        world: "imports",
        file: "guest-sdk/rust/src/bindings/config.rs",
        runtime: "::wit_bindgen::rt",
        export: None,
        with: &[],
    },
    Target {
        wit: "wit/deps/wasi-keyvalue",
        world: "imports",
        file: "guest-sdk/rust/src/bindings/keyvalue.rs",
        runtime: "::wit_bindgen::rt",
        export: None,
        with: &[],
    },
    Target {
        wit: "wit/deps/wasi-logging",
        world: "imports",
        file: "guest-sdk/rust/src/bindings/logging.rs",
        runtime: "::wit_bindgen::rt",
        export: None,
        with: &[],
    },
    Target {
        wit: "tests/guests/imports-clock/wit",
        world: "imports-clock",
        file: "tests/guests/imports-clock/src/bindings.rs",
        runtime: "::wit_bindgen::rt",
        export: None,
        with: &[],
    },
    Target {
        wit: "tests/guests/messaging/wit",
        world: "handler",
        file: "tests/guests/messaging/src/bindings.rs",
        runtime: "::wit_bindgen::rt",
        export: Some(("export_handler", "crate::bindings")),
        with: &[],
    },
    Target {
        wit: "tests/guests/sleeper/wit",
        world: "sleeper",
        file: "tests/guests/sleeper/src/bindings.rs",
        runtime: "::wit_bindgen::rt",
        export: None,
        with: &[],
    },
    Target {
        wit: "tests/guests/reaches-out/wit",
        world: "reaches-out",
        file: "tests/guests/reaches-out/src/bindings.rs",
        runtime: "::wit_bindgen::rt",
        export: None,
        with: &[],
    },
];

/// Writes every bindings file, or with `check` only says which ones differ from what the WIT asks for.
pub(crate) fn bindings(project: &Project, check: bool) -> Result<()> {
    let mut stale = Vec::new();
    for target in &TARGETS {
        let fresh = generate(project, target)?;
        let file = project.path(target.file);
        if std::fs::read_to_string(&file).ok().as_deref() == Some(fresh.as_str()) {
            continue;
        }
        stale.push(target.file);
        if !check {
            std::fs::write(&file, fresh).with_context(|| format!("cannot write {}", file.display()))?;
            eprintln!("bindings: wrote {}", target.file);
        }
    }
    if check && !stale.is_empty() {
        bail!(
            "these bindings differ from the WIT they come from: {}\nrun `cargo xtask bindings`",
            stale.join(", ")
        );
    }
    Ok(())
}

fn generate(project: &Project, target: &Target) -> Result<String> {
    let mut resolve = Resolve::default();
    let wit = project.path(target.wit);
    let (package, _) =
        resolve.push_path(&wit).with_context(|| format!("cannot read the WIT at {}", wit.display()))?;
    let world = resolve.select_world(&[package], Some(target.world))?;
    let mut files = Files::default();
    options(target).build().generate(&mut resolve, world, &mut files)?;
    let (name, code) = files.iter().next().context("no bindings came out")?;
    let code = std::str::from_utf8(code).with_context(|| format!("{name} is not text"))?;
    Ok(format!("{}\n{code}", header(target)))
}

fn options(target: &Target) -> wit_bindgen_rust::Opts {
    wit_bindgen_rust::Opts {
        format: true,
        generate_all: true,
        runtime_path: Some(target.runtime.into()),
        // What is only imported may hold handles, which cannot be compared.
        additional_derive_attributes: target.export.map(|_| "PartialEq".into()).into_iter().collect(),
        pub_export_macro: target.export.is_some(),
        export_macro_name: target.export.map(|(name, _)| name.into()),
        with: target.with.iter().map(|(of, path)| ((*of).into(), WithOption::Path((*path).into()))).collect(),
        default_bindings_module: target.export.map(|(_, module)| module.into()),
        ..Default::default()
    }
}

fn header(target: &Target) -> String {
    let wit = Path::new(target.wit).display();
    format!("// Written by `cargo xtask bindings` from {wit}, world {}. Do not edit.", target.world)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bindings_are_what_the_wit_asks_for() {
        bindings(&Project::locate().unwrap(), true).unwrap();
    }
}
