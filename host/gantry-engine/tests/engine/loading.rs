//! Each way a file is not taken has its own error, which says what to do.

use gantry_engine::{
    ConsumeMode, ContentHash, Grants, GuestFailure, InstantiateError, LoadError, MessageModel, PluginState,
};

use crate::{
    common::{PATIENCE, component, consume, engine, engine_with},
    text::{NOTHING, Text},
};

fn all() -> Grants {
    Grants { clocks: true, random: true, ..Grants::NONE }
}

fn refused(file: &[u8]) -> LoadError {
    let error = engine().load(file, &all()).unwrap_err();
    assert!(!error.to_string().is_empty());
    error
}

#[test]
fn what_is_no_component_is_told_apart() {
    assert!(matches!(refused(b""), LoadError::Empty));
    assert!(matches!(refused(b"not wasm at all"), LoadError::NotWasm));
    assert!(matches!(refused(b"\0as"), LoadError::NotWasm));
    let core = refused(b"\0asm\x01\0\0\0");
    assert!(matches!(core, LoadError::CoreModule));
    assert!(core.to_string().contains("wasm-tools component new"), "{core}");
}

#[test]
fn a_cut_off_component_is_invalid() {
    let mut file = component("minimal");
    file.truncate(file.len() / 2);
    assert!(matches!(refused(&file), LoadError::Invalid { .. }));
}

#[test]
fn precompiled_code_is_never_taken_from_a_file() {
    let engine = wasmtime::Engine::default();
    let code = engine.precompile_component(&component("minimal")).unwrap();
    assert!(matches!(refused(&code), LoadError::Precompiled));
}

#[test]
fn another_world_is_named_by_what_it_exports() {
    let error = refused(b"\0asm\x0d\0\x01\0");
    let LoadError::UnknownWorld { exports } = &error else { panic!("{error}") };
    assert!(exports.is_empty());
    assert!(error.to_string().contains("it exports nothing"), "{error}");

    let next = Text { replace: &[("listener@0.1.0", "listener@0.2.0")], ..Text::default() };
    let error = refused(&next.build());
    assert!(matches!(error, LoadError::OtherVersion { .. }), "{error}");
    let told = error.to_string();
    assert!(told.contains("listener@0.2.0, and this host runs gantry:rocketmq@0.1.0"), "{told}");
}

#[test]
fn other_types_under_the_right_names_are_refused() {
    let other =
        Text { replace: &[(r#"(case "dead-letter" string)"#, r#"(case "dead-letter")"#)], ..Text::default() };
    assert!(matches!(refused(&other.build()), LoadError::WrongTypes { .. }));
    let missing = Text { replace: &[(r#"(export "describe" (func $describe))"#, "")], ..Text::default() };
    let error = refused(&missing.build());
    assert!(matches!(error, LoadError::WrongTypes { .. }), "{error}");
    assert!(error.to_string().contains("`describe`"), "{error}");
    let import = Text {
        imports: r#"(import "gantry:rocketmq/delivery@0.1.0"
            (instance (export "born-host" (func (param "index" u64) (result (option string))))))"#,
        ..Text::default()
    };
    assert!(matches!(refused(&import.build()), LoadError::WrongTypes { .. }));
}

#[test]
fn every_question_about_the_batch_at_hand_is_offered() {
    let text = Text {
        imports: r#"(import "gantry:rocketmq/delivery@0.1.0" (instance
            (export "property" (func (param "index" u32) (param "name" string) (result (option string))))
            (export "properties" (func (param "index" u32) (result (list (tuple string string)))))
            (export "born-host" (func (param "index" u32) (result (option string))))
            (export "store-host" (func (param "index" u32) (result (option string))))
            (export "offset-message-id" (func (param "index" u32) (result (option string))))))"#,
        ..Text::default()
    };
    let module = engine().load(&text.build(), &Grants::NONE).unwrap();
    assert_eq!(module.description().name, "textual");
}

#[test]
fn imports_that_are_not_offered_are_all_named() {
    let text = Text {
        imports: r#"(import "wasi:random/random@0.2.6" (instance (export "get-random-u64" (func (result u64)))))
            (import "acme:thing/api@1.0.0" (instance (export "f" (func))))
            (import "log" (func (param "line" string)))"#,
        ..Text::default()
    };
    let error = engine().load(&text.build(), &Grants::NONE).unwrap_err();
    let LoadError::UngrantedImport(refused) = &error else { panic!("{error}") };
    let names: Vec<&str> = refused.iter().map(|refused| refused.import.as_str()).collect();
    assert_eq!(names, ["wasi:random/random@0.2.6", "acme:thing/api@1.0.0", "log"]);
    assert!(error.to_string().contains("grants = [\"random\"]"), "{error}");
}

#[test]
fn a_granted_import_and_an_inert_one_are_linked() {
    let text = Text {
        imports: r#"(import "wasi:random/random@0.2.6" (instance (export "get-random-u64" (func (result u64)))))
            (import "wasi:random/insecure-seed@0.2.6" (instance (export "insecure-seed" (func (result (tuple u64 u64))))))
            (import "wasi:cli/environment@0.2.6" (instance
                (export "get-environment" (func (result (list (tuple string string)))))))"#,
        ..Text::default()
    };
    assert!(engine().load(&text.build(), &Grants { random: true, ..Grants::NONE }).is_ok());
}

#[test]
fn start_up_code_that_traps_or_wants_too_much_memory_rejects_the_file() {
    let traps = Text { core: "(func $start unreachable) (start $start)", ..Text::default() };
    let error = refused(&traps.build());
    assert!(
        matches!(error, LoadError::Instantiate(InstantiateError::Guest(GuestFailure::Trap { .. }))),
        "{error}"
    );
    let hungry = Text { pages: 2 * 16 * 64, ..Text::default() };
    let error = refused(&hungry.build());
    let text = error.to_string();
    assert!(matches!(error, LoadError::Instantiate(_) | LoadError::Invalid { .. }), "{text}");
    assert!(text.contains("memory"), "{text}");
}

#[test]
fn a_describe_without_end_is_stopped() {
    let text = Text { describe: "(loop $again (br $again))", ..Text::default() };
    let engine = engine_with(|config| config.describe_deadline = std::time::Duration::from_secs(1));
    let error = engine.load(&text.build(), &all()).unwrap_err();
    assert!(matches!(error, LoadError::DescribeFailed(GuestFailure::Deadline { .. })), "{error}");
}

#[test]
fn every_message_model_and_consume_mode_is_taken() {
    /// The bytes of both in the description: clustering, concurrently.
    const PLAIN: &str = r#" "\00\00")"#;
    const ORDERLY: Text = Text { replace: &[(PLAIN, r#" "\00\01")"#)], ..NOTHING };
    const BROADCASTING: Text = Text { replace: &[(PLAIN, r#" "\01\00")"#)], ..NOTHING };
    const BOTH: Text = Text { replace: &[(PLAIN, r#" "\01\01")"#)], ..NOTHING };
    for (text, model, mode) in [
        (ORDERLY, MessageModel::Clustering, ConsumeMode::Orderly),
        (BROADCASTING, MessageModel::Broadcasting, ConsumeMode::Concurrently),
        (BOTH, MessageModel::Broadcasting, ConsumeMode::Orderly),
    ] {
        let module = engine().load(&text.build(), &Grants::NONE).unwrap();
        let description = module.description();
        assert_eq!((description.message_model, description.consume_mode), (model, mode));
    }
}

#[test]
fn the_states_are_reached_in_order() {
    let file = component("minimal");
    let mut states = vec![PluginState::Discovered];
    let plugin = engine()
        .load_plugin(&file, &Grants::NONE, &mut |state| {
            assert!(states.last().unwrap().may_become(&state), "{states:?} {state:?}");
            states.push(state);
        })
        .unwrap();
    let names: Vec<_> = states.iter().map(PluginState::name).collect();
    assert_eq!(names, ["discovered", "validated", "compiled", "warmed"]);
    assert_eq!(plugin.hash, ContentHash::of(&file));
}

#[test]
fn the_samples_describe_themselves_and_answer() {
    for (sample, body) in [("minimal", "hello"), ("orders", "{}"), ("orders-v2", "{}")] {
        let module = engine().load(&component(sample), &Grants::NONE).unwrap();
        assert!(!module.description().subscriptions.is_empty(), "{sample}");
        let report = consume(&module, &[body], PATIENCE);
        assert_eq!(report.instances_lost, 0, "{sample}");
    }
}
