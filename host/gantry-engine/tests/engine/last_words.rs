//! What a guest writes to standard error before it traps is part of the failure.

use gantry_engine::{Grants, GuestFailure};

use crate::{
    common::{PATIENCE, consume, engine},
    text::Text,
};

/// Writes `no such customer` to standard error, then traps.
const SAYS_WHY: Text = Text {
    imports: r#"
      (import "wasi:io/error@0.2.6" (instance $errors (export "error" (type (sub resource)))))
      (alias export $errors "error" (type $error))
      (import "wasi:io/streams@0.2.6" (instance $streams
        (alias outer 1 $error (type $outer-error))
        (export "error" (type $e (eq $outer-error)))
        (export "output-stream" (type $s (sub resource)))
        (type $stream-error-type (variant (case "last-operation-failed" (own $e)) (case "closed")))
        (export "stream-error" (type $stream-error (eq $stream-error-type)))
        (export "[method]output-stream.blocking-write-and-flush"
          (func (param "self" (borrow $s)) (param "contents" (list u8)) (result (result (error $stream-error)))))))
      (alias export $streams "output-stream" (type $stream))
      (import "wasi:cli/stderr@0.2.6" (instance $stderr
        (alias outer 1 $stream (type $outer))
        (export "output-stream" (type $s (eq $outer)))
        (export "get-stderr" (func (result (own $s))))))
      (core module $words (memory (export "memory") 1) (data (i32.const 64) "no such customer\n"))
      (core instance $w (instantiate $words))
      (core func $get (canon lower (func $stderr "get-stderr")))
      (core func $write (canon lower (func $streams "[method]output-stream.blocking-write-and-flush")
        (memory (core memory $w "memory"))))"#,
    core_imports: r#"(import "h" "get" (func $get (result i32)))
      (import "h" "write" (func $write (param i32 i32 i32 i32)))"#,
    with: r#"(with "h" (instance (export "get" (func $get)) (export "write" (func $write))))"#,
    consume: "(call $write (call $get) (i32.const 64) (i32.const 17) (i32.const 128)) unreachable",
    describe: "",
    pages: 1,
    core: "",
    replace: &[],
};

#[test]
fn a_trap_carries_the_last_words() {
    let module = engine().load(&SAYS_WHY.build(), &Grants::NONE).unwrap();
    let failure = consume(&module, &["a"], PATIENCE).batch_failure.unwrap();
    let GuestFailure::Trap { last_words, .. } = &*failure else { panic!("{failure}") };
    assert_eq!(last_words.as_deref(), Some("no such customer"));
    assert!(failure.to_string().ends_with("it last wrote: no such customer"), "{failure}");
}
