//! Guests that aim at the host: what they cost is their instance.

use gantry_engine::{Cause, FailureKind, Grants, GuestFailure};

use crate::{
    common::{CONTEXT, PATIENCE, batch, consume, engine},
    text::Text,
};

/// `consume-message` answers `ok` with a million results, all zeros: successes, as far as the memory goes.
const FLOOD: Text = Text {
    imports: "",
    core_imports: "",
    with: "",
    consume: "(i32.store (i32.const 512) (i32.const 0))
      (i32.store (i32.const 516) (i32.const 65536))
      (i32.store (i32.const 520) (i32.const 1000000))",
    describe: "",
    pages: 500,
    core: "",
    replace: &[],
};

#[test]
fn an_answer_beyond_all_bounds_is_not_taken_over() {
    let module = engine().load(&FLOOD.build(), &Grants::NONE).unwrap();
    let report = consume(&module, &["a"], PATIENCE);
    let Cause::FailedAlone(failure) = &report.outcomes[0].cause else { panic!("{report:?}") };
    assert!(matches!(**failure, GuestFailure::Trap { .. }), "{failure}");
}

#[test]
fn a_guest_cannot_hoard_handles() {
    let text = Text {
        imports: r#"
          (import "wasi:io/streams@0.2.6" (instance $streams (export "output-stream" (type (sub resource)))))
          (alias export $streams "output-stream" (type $stream))
          (import "wasi:cli/stdout@0.2.6" (instance $stdout
            (alias outer 1 $stream (type $outer))
            (export "output-stream" (type $s (eq $outer)))
            (export "get-stdout" (func (result (own $s))))))
          (core func $get (canon lower (func $stdout "get-stdout")))"#,
        core_imports: r#"(import "h" "get" (func $get (result i32)))"#,
        with: r#"(with "h" (instance (export "get" (func $get))))"#,
        consume: "(loop $again (drop (call $get)) (br $again))",
        ..Text::default()
    };
    let module = engine().load(&text.build(), &Grants::NONE).unwrap();
    let report = consume(&module, &["a"], PATIENCE);
    assert_eq!(report.batch_failure.map(|failure| failure.kind()), Some(FailureKind::Trap));
}

#[test]
fn endless_recursion_costs_the_instance_only() {
    let text = Text { consume: "(call $down)", core: "(func $down (call $down))", ..Text::default() };
    let module = engine().load(&text.build(), &Grants::NONE).unwrap();
    let report = consume(&module, &["a"], PATIENCE);
    let Some(failure) = report.batch_failure else { panic!("it trapped") };
    assert!(failure.to_string().contains("stack"), "{failure}");
}

#[test]
fn memory_a_guest_leaks_over_many_calls_is_given_back_with_its_instance() {
    // Each call takes 600 more pages, 37.5 MiB: the second meets the cap of 64 MiB.
    let text = Text {
        consume: "(if (i32.eq (memory.grow (i32.const 600)) (i32.const -1)) (then unreachable))",
        ..Text::default()
    };
    let module = engine().load(&text.build(), &Grants::NONE).unwrap();
    let mut instance = module.checkout().unwrap();
    let messages = batch(&["a"]);
    let answer = |failure: GuestFailure| failure.kind();
    let first = instance.consume_message(&CONTEXT, &messages, PATIENCE).map_err(answer);
    assert_eq!(first, Err(FailureKind::ListenerError));
    let second = instance.consume_message(&CONTEXT, &messages, PATIENCE).map_err(answer);
    assert_eq!(second, Err(FailureKind::MemoryExceeded));
    drop(instance);
    let report = consume(&module, &["a"], PATIENCE);
    assert_eq!(report.batch_failure.map(|failure| failure.kind()), Some(FailureKind::ListenerError));
}
