//! What a component asks for and offers, and which of it is granted.

use gantry_engine::{ComponentImport, ComponentSurface, Grants, ImportNeeds};
use serde_json::{Map, Value, json};

/// The package whose interfaces make a component a plugin.
const PACKAGE: &str = "gantry:rocketmq/";

/// A component's outside, beside what it is granted.
pub(super) struct Outside {
    surface: ComponentSurface,
    grants: Grants,
}

impl Outside {
    pub(super) const fn new(surface: ComponentSurface, grants: Grants) -> Self {
        Self { surface, grants }
    }

    /// The worlds of this host's package that the component is of, by their names, with their version. The order of the
    /// exports is the compiler's.
    fn worlds(&self) -> Vec<(&str, &str)> {
        let ours = self.surface.exports.iter().filter_map(|export| export.strip_prefix(PACKAGE));
        let named = ours.map(|name| name.split_once('@').unwrap_or((name, "")));
        let mut worlds: Vec<_> = named.map(|(interface, version)| (world(interface), version)).collect();
        worlds.sort_unstable();
        worlds
    }

    pub(super) fn print(&self) {
        for (world, version) in self.worlds() {
            say!("  world           {world} (gantry:rocketmq@{version})");
        }
        for export in &self.surface.exports {
            say!("  exports         {export}");
        }
        for import in &self.surface.imports {
            let functions = match import.functions.as_slice() {
                [] => "types only".to_owned(),
                functions => functions.join(", "),
            };
            say!("  imports         {} ({functions}): {}", import.name, self.standing(import));
        }
        say!("  core instances  {}", self.surface.core_instances);
    }

    /// Whether the component may have an import, or what it takes.
    fn standing(&self, import: &ComponentImport) -> String {
        match import.needs {
            ImportNeeds::Nothing => "needs no grant".to_owned(),
            ImportNeeds::Grant(grant) if self.grants.allows(grant) => {
                format!("granted by \"{}\"", grant.name())
            }
            ImportNeeds::Grant(grant) => format!("needs the grant \"{}\"", grant.name()),
            ImportNeeds::NotOffered => "not offered to plugins".to_owned(),
        }
    }

    pub(super) fn as_json(&self) -> Map<String, Value> {
        let as_json =
            |(world, version)| json!({ "world": world, "package": format!("gantry:rocketmq@{version}") });
        let worlds: Vec<Value> = self.worlds().into_iter().map(as_json).collect();
        let import = |import: &ComponentImport| {
            let (grant, granted) = match import.needs {
                ImportNeeds::Nothing => (None, true),
                ImportNeeds::Grant(grant) => (Some(grant.name()), self.grants.allows(grant)),
                ImportNeeds::NotOffered => (None, false),
            };
            json!({ "name": import.name, "functions": import.functions, "grant": grant, "allowed": granted })
        };
        let imports: Vec<Value> = self.surface.imports.iter().map(import).collect();
        let pairs = [
            ("worlds", json!(worlds)),
            ("exports", json!(self.surface.exports)),
            ("imports", json!(imports)),
            ("coreInstances", json!(self.surface.core_instances)),
        ];
        pairs.map(|(name, value)| (name.to_owned(), value)).into_iter().collect()
    }
}

/// The world that exports an interface of the package; an interface of no world of its own by its name.
fn world(interface: &str) -> &str {
    match interface {
        "listener" => "message-listener",
        "lean-listener" => "message-listener-lean",
        "packed-listener" => "message-listener-packed",
        "strategy" => "allocate-message-queue-strategy",
        "selector" => "message-queue-selector",
        "lifecycle" => "plugin-lifecycle",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use gantry_engine::Grant;

    use super::*;

    fn outside(needs: ImportNeeds, grants: Grants) -> Outside {
        let import = ComponentImport {
            name: "wasi:clocks/wall-clock@0.2.6".into(),
            functions: vec!["now".into()],
            needs,
        };
        let exports =
            ["gantry:rocketmq/strategy@0.1.0", "gantry:rocketmq/listener@0.1.0", "acme:thing/api@1.0.0"];
        let exports = exports.map(str::to_owned).into();
        Outside::new(ComponentSurface { imports: vec![import], exports, core_instances: 1 }, grants)
    }

    #[test]
    fn an_import_says_what_it_takes_to_have_it() {
        let told = |needs, grants| {
            let outside = outside(needs, grants);
            outside.standing(&outside.surface.imports[0])
        };
        assert_eq!(told(ImportNeeds::Nothing, Grants::NONE), "needs no grant");
        let clocks = Grants::from_names(&["clocks"]).unwrap();
        assert_eq!(told(ImportNeeds::Grant(Grant::Clocks), clocks.clone()), "granted by \"clocks\"");
        let needs = "needs the grant \"clocks\"";
        assert_eq!(told(ImportNeeds::Grant(Grant::Clocks), Grants::NONE), needs);
        assert_eq!(told(ImportNeeds::NotOffered, clocks), "not offered to plugins");
    }

    #[test]
    fn worlds_are_those_of_the_hosts_own_package() {
        let all = outside(ImportNeeds::NotOffered, Grants::NONE).as_json();
        assert_eq!(
            all["worlds"],
            json!([
                { "world": "allocate-message-queue-strategy", "package": "gantry:rocketmq@0.1.0" },
                { "world": "message-listener", "package": "gantry:rocketmq@0.1.0" },
            ])
        );
        assert_eq!(all["imports"][0]["allowed"], false);
        assert_eq!(all["exports"].as_array().unwrap().len(), 3);
    }
}
