//! Waiting happens in the host, where an epoch does not reach: it must keep to the deadline all the same.

use std::time::Instant;

use gantry_engine::{FailureKind, Grants};

use crate::{
    common::{PATIENCE, SHORT, consume, engine},
    text::Text,
};

/// A listener that waits an hour before it answers.
const SLEEPS: Text = Text {
    imports: r#"
      (import "wasi:io/poll@0.2.6" (instance $poll
        (export "pollable" (type $p (sub resource)))
        (export "[method]pollable.block" (func (param "self" (borrow $p))))))
      (alias export $poll "pollable" (type $pollable))
      (import "wasi:clocks/monotonic-clock@0.2.6" (instance $clock
        (alias outer 1 $pollable (type $outer))
        (export "pollable" (type $p (eq $outer)))
        (export "subscribe-duration" (func (param "when" u64) (result (own $p))))))
      (core func $subscribe (canon lower (func $clock "subscribe-duration")))
      (core func $block (canon lower (func $poll "[method]pollable.block")))"#,
    core_imports: r#"(import "h" "subscribe" (func $subscribe (param i64) (result i32)))
      (import "h" "block" (func $block (param i32)))"#,
    with: r#"(with "h" (instance (export "subscribe" (func $subscribe)) (export "block" (func $block))))"#,
    consume: "(call $block (call $subscribe (i64.const 3600000000000)))",
    describe: "",
    pages: 1,
    core: "",
    replace: &[],
};

#[test]
fn a_guest_that_waits_in_the_host_is_stopped_at_its_deadline() {
    let granted = Grants { clocks: true, ..Grants::NONE };
    let module = engine().load(&SLEEPS.build(), &granted).unwrap();
    let began = Instant::now();
    let report = consume(&module, &["a"], SHORT);
    assert_eq!(report.batch_failure.map(|failure| failure.kind()), Some(FailureKind::Deadline));
    assert!(began.elapsed() >= SHORT, "a deadline is never cut short");
    assert!(began.elapsed() < PATIENCE);
}

#[test]
fn waiting_works_on_a_thread_that_belongs_to_an_asynchronous_runtime() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_time().worker_threads(1).build().unwrap();
    let granted = Grants { clocks: true, ..Grants::NONE };
    let kind = runtime.block_on(async {
        let blocking = tokio::task::spawn_blocking(move || {
            let module = engine().load(&SLEEPS.build(), &granted).unwrap();
            consume(&module, &["a"], SHORT).batch_failure.map(|failure| failure.kind())
        });
        blocking.await.unwrap()
    });
    assert_eq!(kind, Some(FailureKind::Deadline));
}
