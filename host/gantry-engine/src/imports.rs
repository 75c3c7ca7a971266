//! Which imports a component may have.
//!
//! The rule is about *functions*: an interface of which only types are imported gives no authority, and compilers
//! import such interfaces freely (the file types of WASI mention the clocks' `datetime`).

use std::fmt;

use wasmparser::{
    BinaryReaderError, Parser, Payload, ValidPayload, Validator, WasmFeatures,
    component_types::ComponentEntityType, types::TypesRef,
};

use crate::config::{Grant, Grants};

/// One import as far as the rule needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Import {
    /// As written, such as `wasi:clocks/wall-clock@0.2.6`.
    pub(crate) name: String,
    /// The functions imported from it; empty where it is types only.
    pub(crate) functions: Vec<String>,
}

/// What a component asks for and offers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Surface {
    pub(crate) imports: Vec<Import>,
    pub(crate) exports: Vec<String>,
}

impl Surface {
    /// Reads it from a component's bytes, checking the component's structure on the way; the code of its functions is
    /// left to the compiler. Returns what is wrong where something is.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, BinaryReaderError> {
        let mut parser = Parser::new(0);
        parser.set_features(WasmFeatures::all());
        let mut validator = Validator::new_with_features(WasmFeatures::all());
        let (mut names, mut depth) = (Names::default(), 0_usize);
        let mut types = None;
        for payload in parser.parse_all(bytes) {
            let payload = payload?;
            match &payload {
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentImportSection(section) if depth == 0 => {
                    for import in section.clone() {
                        names.imports.push(import?.name.name);
                    }
                }
                Payload::ComponentExportSection(section) if depth == 0 => {
                    for export in section.clone() {
                        names.exports.push(export?.name.name);
                    }
                }
                _ => {}
            }
            if let ValidPayload::End(known) = validator.payload(&payload)? {
                types = Some(known);
            }
        }
        // The last end is that of the component itself.
        Ok(types.map(|types| names.resolve(types.as_ref())).unwrap_or_default())
    }
}

/// The names of the component itself, not of those nested in it.
#[derive(Default)]
struct Names<'a> {
    imports: Vec<&'a str>,
    exports: Vec<&'a str>,
}

impl Names<'_> {
    fn resolve(self, types: TypesRef<'_>) -> Surface {
        let import = |name: &str| Import { name: name.to_owned(), functions: functions(types, name) };
        Surface {
            imports: self.imports.into_iter().map(import).collect(),
            exports: self.exports.into_iter().map(str::to_owned).collect(),
        }
    }
}

#[expect(clippy::indexing_slicing, reason = "the index is one that these very types handed out")]
fn functions(types: TypesRef<'_>, name: &str) -> Vec<String> {
    match types.component_item_for_import(name).map(|item| item.ty) {
        Some(ComponentEntityType::Instance(instance)) => types[instance]
            .exports
            .iter()
            .filter(|(_, item)| !matches!(item.ty, ComponentEntityType::Type { .. }))
            .map(|(function, _)| function.clone())
            .collect(),
        Some(ComponentEntityType::Type { .. }) => Vec::new(),
        // A function or a module of the world itself: named by the import.
        _ => vec![name.to_owned()],
    }
}

/// An import that a component may not have, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedImport {
    /// The import as the component names it.
    pub import: String,
    /// The functions it wants from there.
    pub functions: Vec<String>,
    /// The grant that would allow it; `None` where nothing does.
    pub grant: Option<Grant>,
}

impl fmt::Display for RefusedImport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "import `{}` ({})", self.import, self.functions.join(", "))?;
        match self.grant {
            Some(grant) => write!(
                f,
                " is not granted; allow it with `grants = [\"{}\"]` under [plugin.NAME] in gantry.toml, or build the plugin \
                 without it",
                grant.name()
            ),
            None => f.write_str(
                " is not offered to plugins; build the plugin without it (offered are gantry:rocketmq/delivery@0.1, \
                 wasi:cli, wasi:io, wasi:filesystem and, if granted, wasi:clocks and wasi:random, all at 0.2)",
            ),
        }
    }
}

/// What an interface needs to be linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    Nothing,
    Grant(Grant),
    Impossible,
}

/// Every import that `grants` does not allow.
pub(crate) fn refused(imports: &[Import], grants: &Grants) -> Vec<RefusedImport> {
    imports.iter().filter_map(|import| refuse(import, grants)).collect()
}

fn refuse(import: &Import, grants: &Grants) -> Option<RefusedImport> {
    let grant = match need(&import.name) {
        Need::Nothing => return None,
        Need::Grant(grant) if grants.allows(grant) => return None,
        Need::Grant(grant) => Some(grant),
        Need::Impossible => None,
    };
    let types_only = import.functions.is_empty() && import.name.starts_with("wasi:");
    let refused = RefusedImport { import: import.name.clone(), functions: import.functions.clone(), grant };
    (!types_only).then_some(refused)
}

fn need(name: &str) -> Need {
    let (path, version) = name.split_once('@').unwrap_or((name, ""));
    let (package, interface) = path.split_once('/').unwrap_or((path, ""));
    let patch_of = |line: &str| version.strip_prefix(line).is_some_and(|rest| rest.starts_with('.'));
    match (package, interface) {
        ("gantry:rocketmq", "delivery" | "types") if patch_of("0.1") => Need::Nothing,
        _ if !patch_of("0.2") => Need::Impossible,
        ("wasi:cli" | "wasi:io" | "wasi:filesystem", _) => Need::Nothing,
        // The same value for the life of the engine: it seeds hash tables and tells nothing.
        ("wasi:random", "insecure-seed") => Need::Nothing,
        ("wasi:clocks", _) => Need::Grant(Grant::Clocks),
        ("wasi:random", _) => Need::Grant(Grant::Random),
        _ => Need::Impossible,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn import(name: &str, functions: &[&str]) -> Import {
        Import { name: name.into(), functions: functions.iter().map(|&f| f.to_owned()).collect() }
    }

    fn refusal(name: &str, functions: &[&str], grants: Grants) -> Option<Option<Grant>> {
        refused(&[import(name, functions)], &grants).first().map(|refused| refused.grant)
    }

    #[test]
    fn what_hands_out_nothing_needs_no_grant() {
        for name in [
            "gantry:rocketmq/delivery@0.1.0",
            "gantry:rocketmq/types@0.1.0",
            "wasi:cli/environment@0.2.6",
            "wasi:io/poll@0.2.0",
            "wasi:filesystem/preopens@0.2.12",
            "wasi:random/insecure-seed@0.2.3",
        ] {
            assert_eq!(refusal(name, &["f"], Grants::NONE), None, "{name}");
        }
    }

    #[test]
    fn clocks_and_random_need_their_grant() {
        let clocks = Grants { clocks: true, random: false };
        let random = Grants { clocks: false, random: true };
        assert_eq!(
            refusal("wasi:clocks/wall-clock@0.2.6", &["now"], Grants::NONE),
            Some(Some(Grant::Clocks))
        );
        assert_eq!(refusal("wasi:clocks/wall-clock@0.2.6", &["now"], random), Some(Some(Grant::Clocks)));
        assert_eq!(refusal("wasi:clocks/wall-clock@0.2.6", &["now"], clocks), None);
        assert_eq!(
            refusal("wasi:random/random@0.2.6", &["get-random-u64"], clocks),
            Some(Some(Grant::Random))
        );
        assert_eq!(refusal("wasi:random/insecure@0.2.6", &["get"], random), None);
    }

    #[test]
    fn types_alone_give_no_authority() {
        assert_eq!(refusal("wasi:clocks/wall-clock@0.2.6", &[], Grants::NONE), None);
        assert_eq!(refusal("wasi:sockets/tcp@0.2.6", &[], Grants::NONE), None);
    }

    #[test]
    fn the_rest_is_not_offered_whatever_is_granted() {
        let all = Grants { clocks: true, random: true };
        for name in [
            "wasi:sockets/tcp@0.2.6",
            "wasi:http/outgoing-handler@0.2.6",
            "wasi:clocks/wall-clock@0.3.0",
            "wasi:cli/environment",
            "gantry:rocketmq/delivery@0.2.0",
            "gantry:rocketmq/producer@0.1.0",
            "acme:thing/api@0.2.1",
            "log",
        ] {
            assert_eq!(refusal(name, &["f"], all), Some(None), "{name}");
        }
    }

    #[test]
    fn a_refusal_names_the_import_and_the_line_that_grants_it() {
        let refused = refused(&[import("wasi:random/random@0.2.6", &["get-random-u64"])], &Grants::NONE);
        let text = refused.first().unwrap().to_string();
        assert!(text.contains("wasi:random/random@0.2.6"), "{text}");
        assert!(text.contains("grants = [\"random\"]"), "{text}");
    }
}
