//! Each language's templates and samples become components that ask the host for nothing they were not given.
//!
//! A language whose compiler is not there is skipped with a note; where GANTRY_REQUIRE_LANGUAGES is set, as in CI, it fails.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use gantry_build::{BuildError, Built, Language, New, Plugin, Role, Toolchains, build, create};
use wasmparser::{Parser, Payload};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The project's own, as `cargo xtask guests` uses them.
fn toolchains() -> Toolchains {
    Toolchains::in_cache(repository().join("target/toolchain/languages"))
}

/// The component, or nothing where its language's compiler is not there and need not be.
fn built(directory: &Path) -> Option<Built> {
    let plugin = Plugin::open(directory).unwrap();
    match build(&plugin, None, &toolchains(), &mut |_| ()) {
        Ok(built) => Some(built),
        // Rust's target comes from rustup alone, to which there may be no way.
        Err(error @ BuildError::Missing { .. })
            if plugin.manifest.language == Language::Rust
                || std::env::var_os("GANTRY_REQUIRE_LANGUAGES").is_none() =>
        {
            eprintln!("skipped {}: {error}", directory.display());
            None
        }
        Err(error) => panic!("{}: {error}", directory.display()),
    }
}

/// The names a component imports, and those it exports.
fn surface(component: &Path) -> (BTreeSet<String>, BTreeSet<String>) {
    let bytes = fs::read(component).unwrap();
    wasmparser::Validator::new().validate_all(&bytes).unwrap();
    let (mut imports, mut exports, mut depth) = (BTreeSet::new(), BTreeSet::new(), 0);
    for payload in Parser::new(0).parse_all(&bytes) {
        match payload.unwrap() {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            Payload::ComponentImportSection(section) if depth == 0 => {
                imports.extend(section.into_iter().map(|import| import.unwrap().name.name.to_owned()));
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                exports.extend(section.into_iter().map(|export| export.unwrap().name.name.to_owned()));
            }
            _ => {}
        }
    }
    (imports, exports)
}

/// What every plugin may import, granted or not.
fn is_free(import: &str) -> bool {
    let free = [
        "gantry:rocketmq/types@",
        "gantry:rocketmq/delivery@",
        "wasi:cli/stderr@",
        "wasi:io/",
        "wasi:random/insecure-seed@",
    ];
    free.iter().any(|prefix| import.starts_with(prefix))
}

/// The interface of a role: SDKs that read a batch where it lies take it as bytes, and say only what is not a success.
fn exported(language: Language, role: Role) -> &'static str {
    match (language, role) {
        (Language::C | Language::Rust, Role::Listener) => "lean-listener",
        _ => role.name(),
    }
}

fn templates_become_components(language: Language, roles: &[Role]) {
    for role in roles {
        let role = *role;
        let directory = tempfile::tempdir().unwrap();
        let new = New { name: format!("a-{role}"), language, role };
        create(directory.path(), &new).unwrap();
        let Some(built) = built(directory.path()) else { return };
        assert!(built.fresh && built.component.ends_with(format!("dist/a-{role}.wasm")));
        let (imports, exports) = surface(&built.component);
        let unasked: Vec<_> = imports.iter().filter(|import| !is_free(import)).collect();
        assert!(unasked.is_empty(), "{language} {role}: {unasked:?}");
        let interface = exported(language, role);
        assert!(
            exports.contains(&format!("gantry:rocketmq/{interface}@0.1.0")),
            "{language} {role}: {exports:?}"
        );
        eprintln!("{language} {role}: {} bytes", built.bytes);
    }
}

#[test]
fn c_templates_become_components() {
    templates_become_components(Language::C, &Role::ALL);
}

#[test]
fn go_templates_become_components() {
    templates_become_components(Language::Go, &Role::ALL);
}

#[test]
fn javascript_templates_become_components() {
    templates_become_components(Language::JavaScript, &Role::ALL);
}

#[test]
fn rust_templates_become_components() {
    templates_become_components(Language::Rust, &Role::ALL);
}

/// One build for all three, since it takes the longest.
#[test]
fn python_templates_become_one_component_with_three_roles() {
    let directory = tempfile::tempdir().unwrap();
    let mut source = String::new();
    for role in Role::ALL {
        let part = tempfile::tempdir().unwrap();
        create(part.path(), &New { name: "all".into(), language: Language::Python, role }).unwrap();
        source += &fs::read_to_string(part.path().join("plugin.py")).unwrap();
    }
    fs::write(directory.path().join("plugin.py"), source).unwrap();
    let manifest =
        "name = \"all\"\nlanguage = \"python\"\nroles = [\"listener\", \"selector\", \"strategy\"]\n";
    fs::write(directory.path().join("gantry-plugin.toml"), manifest).unwrap();
    let Some(built) = built(directory.path()) else { return };
    let (imports, exports) = surface(&built.component);
    assert!(imports.iter().all(|import| is_free(import)), "{imports:?}");
    let of_role = |role| exports.contains(&format!("gantry:rocketmq/{role}@0.1.0"));
    assert!(Role::ALL.into_iter().all(of_role), "{exports:?}");
}

#[test]
fn nothing_is_done_again_until_a_source_changes_and_a_mistake_leaves_the_last_good_component() {
    let directory = tempfile::tempdir().unwrap();
    let new = New { name: "p".into(), language: Language::JavaScript, role: Role::Listener };
    create(directory.path(), &new).unwrap();
    let Some(first) = built(directory.path()) else { return };
    let good = fs::read(&first.component).unwrap();
    assert!(!built(directory.path()).unwrap().fresh);

    let source = directory.path().join("plugin.js");
    let text = fs::read_to_string(&source).unwrap();
    fs::write(&source, "this is no JavaScript").unwrap();
    let plugin = Plugin::open(directory.path()).unwrap();
    let error = build(&plugin, None, &toolchains(), &mut |_| ()).unwrap_err().to_string();
    assert!(error.contains("componentizing the JavaScript sources failed"), "{error}");
    assert_eq!(fs::read(&first.component).unwrap(), good);

    fs::write(&source, text.replace("0.1.0", "0.2.0")).unwrap();
    let second = built(directory.path()).unwrap();
    assert!(second.fresh);
    assert_ne!(fs::read(&second.component).unwrap(), good);
}

/// Natively, where every address that is read too far is seen.
#[test]
fn the_c_parser_reads_what_is_there_and_nothing_past_it() {
    let sdk = repository().join("guest-sdk/c");
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("parser");
    let compile = |flags: &[&str]| {
        let mut cc = Command::new("cc");
        cc.args(["-std=c17", "-g", "-Wall", "-Wextra", "-Werror"]).args(flags);
        cc.args(["tests/parser.c", "gantry.c", "json.c", "-o"]).arg(&program).current_dir(&sdk);
        cc.output()
    };
    let Ok(output) = compile(&["-fsanitize=address,undefined", "-fno-sanitize-recover"]) else {
        eprintln!("skipped: there is no cc");
        return;
    };
    if !output.status.success() {
        // A compiler without sanitizers: what is read is still checked.
        let plain = compile(&[]).unwrap();
        assert!(plain.status.success(), "{}", String::from_utf8_lossy(&plain.stderr));
    }
    let ran = Command::new(&program).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
}
