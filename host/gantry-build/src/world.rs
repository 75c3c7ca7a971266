//! The world of one plugin: its roles as exports, what it asks for as imports, and no more.

use std::path::Path;

use wit_bindgen_core::wit_parser::{Resolve, WorldId};

use crate::embedded;
use crate::error::{BuildError, step};
use crate::manifest::{Import, Manifest};

/// The world's name. Python generates a module of that name beside the author's.
pub(crate) const WORLD: &str = "gantry-plugin";

/// The world as text.
pub(crate) fn text(manifest: &Manifest) -> String {
    let delivery = manifest.needs_delivery() && !manifest.imports.contains(&Import::Delivery);
    let imports = delivery.then_some(&Import::Delivery).into_iter().chain(&manifest.imports);
    let imports = imports.map(|import| format!("  import {import};\n"));
    let exports = manifest.roles.iter().map(|role| format!("  export {};\n", manifest.interface(*role)));
    let lines: String = imports.chain(exports).collect();
    format!("package gantry:rocketmq@0.1.0;\n\n/// {}\nworld {WORLD} {{\n{lines}}}\n", manifest.name)
}

/// Writes the host's WIT and the plugin's world into a directory.
pub(crate) fn write(directory: &Path, manifest: &Manifest) -> Result<(), BuildError> {
    let world = text(manifest);
    embedded::write(directory, embedded::below("wit"))?;
    embedded::write(directory, [("plugin.wit", world.as_bytes())])
}

/// Reads what [`write`] has written.
pub(crate) fn resolve(directory: &Path) -> Result<(Resolve, WorldId), BuildError> {
    let what = || format!("reading the WIT in {}", directory.display());
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(directory).map_err(|error| step(what(), error))?;
    let world = resolve.select_world(&[package], Some(WORLD)).map_err(|error| step(what(), error))?;
    Ok((resolve, world))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Language, Role};

    #[test]
    fn a_world_has_the_roles_and_imports_of_the_manifest() {
        let manifest = Manifest {
            name: "orders".into(),
            language: Language::Python,
            roles: Role::ALL.to_vec(),
            imports: vec![Import::Delivery, Import::Producer, Import::Metrics],
        };
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), &manifest).unwrap();
        let (resolve, world) = resolve(directory.path()).unwrap();
        let names =
            |items: Vec<_>| items.into_iter().map(|key| resolve.name_world_key(key)).collect::<Vec<_>>();
        let world = &resolve.worlds[world];
        let exports = names(world.exports.keys().collect());
        assert_eq!(
            exports,
            ["listener", "selector", "strategy"].map(|name| format!("gantry:rocketmq/{name}@0.1.0"))
        );
        let imports = names(world.imports.keys().collect());
        assert!(imports.contains(&"gantry:rocketmq/producer@0.1.0".to_owned()), "{imports:?}");
    }

    #[test]
    fn a_listener_in_c_speaks_through_delivery_asked_for_or_not() {
        for imports in [vec![], vec![Import::Delivery, Import::Metrics]] {
            let manifest =
                Manifest { name: "c".into(), language: Language::C, roles: vec![Role::Listener], imports };
            let world = text(&manifest);
            assert_eq!(world.matches("import delivery;").count(), 1, "{world}");
            assert!(world.contains("export lean-listener;"), "{world}");
        }
    }
}
