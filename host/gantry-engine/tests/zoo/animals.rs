//! Guests no compiler would emit, as text: what each does, and what is to become of it.

use crate::text::{NOTHING, Text};

/// What becomes of a guest.
pub(crate) enum Fate {
    /// It is not loaded: by this rule, in these words among others.
    Rejected { rule: &'static str, words: &'static str },
    /// It is loaded, and a message's outcome has this cause.
    Answers(&'static str),
}

pub(crate) struct Animal {
    pub(crate) name: &'static str,
    pub(crate) file: Vec<u8>,
    pub(crate) fate: Fate,
}

const fn rejected(rule: &'static str, words: &'static str) -> Fate {
    Fate::Rejected { rule, words }
}

fn animal(name: &'static str, text: Text, fate: Fate) -> Animal {
    Animal { name, file: text.build(), fate }
}

pub(crate) fn animals() -> Vec<Animal> {
    let mut all = Vec::new();
    all.extend(at_the_start());
    all.extend(in_describe());
    all.extend(in_the_answer());
    all.extend(in_the_canonical_abi());
    all.extend(with_handles());
    all.extend(by_their_size());
    all.extend(by_their_names());
    all
}

const SPIN: &str = "(loop $again (br $again))";
const TRAP: &str = "unreachable";
/// Takes memory until there is no more.
const GROW: &str =
    "(loop $again (br_if $again (i32.ne (memory.grow (i32.const 64)) (i32.const -1)))) unreachable";
const RECURSE: &str = "(call $down)";
const DOWN: &str = "(func $down (call $down))";
/// For texts that count: a function's own locals would stand before what they are put behind.
const COUNTERS: &str = "(global $at (mut i32) (i32.const 0)) (global $left (mut i32) (i32.const 0))";

/// A core start function with this body.
fn start(body: &str) -> Text {
    Text { core: format!("{DOWN} (func $start {body}) (start $start)").leak(), ..NOTHING }
}

fn at_the_start() -> [Animal; 4] {
    [
        animal("start-traps", start(TRAP), rejected("instantiate", "trapped")),
        animal("start-spins", start(SPIN), rejected("instantiate", "deadline")),
        animal("start-grows", start(GROW), rejected("instantiate", "bytes of memory")),
        animal("start-recurses", start(RECURSE), rejected("instantiate", "stack")),
    ]
}

fn in_describe() -> [Animal; 7] {
    let describe = |body| Text { describe: body, core: DOWN, ..NOTHING };
    let data = |from, to| Text { replace: vec![(from, to)].leak(), ..NOTHING };
    let many = Text { pages: 500, ..data(r#""\80\00\00\00\01\00\00\00""#, r#""\80\00\00\00\40\42\0f\00""#) };
    [
        animal("describe-spins", describe(SPIN), rejected("describe-failed", "deadline")),
        animal("describe-grows", describe(GROW), rejected("describe-failed", "bytes of memory")),
        animal("describe-recurses", describe(RECURSE), rejected("describe-failed", "stack")),
        animal(
            "describe-points-outside",
            describe("(return (i32.const 2147483632))"),
            rejected("describe-failed", "`describe` gave no answer"),
        ),
        animal(
            "describe-is-no-text",
            data(r#""textual""#, r#""\ff\fe\fd\fc\fb\fa\f9""#),
            rejected("describe-failed", "utf-8"),
        ),
        animal(
            "describe-has-a-huge-name",
            data(r#""\10\00\00\00\07\00\00\00""#, r#""\00\20\00\00\50\c3\00\00""#),
            rejected("unsound-description", "`name`"),
        ),
        // A million subscriptions, all of them nothing.
        animal(
            "describe-subscribes-a-million-times",
            many,
            rejected("describe-failed", "`describe` gave no answer"),
        ),
    ]
}

/// Stores a result: `ok` or `err` by `kind`, with a list or text of `length` at `pointer`.
fn answer(kind: u32, pointer: u32, length: u32) -> String {
    format!(
        "(i32.store (i32.const 512) (i32.const {kind})) (i32.store (i32.const 516) (i32.const {pointer}))
         (i32.store (i32.const 520) (i32.const {length}))"
    )
}

fn in_the_answer() -> [Animal; 9] {
    let consume = |body: String| Text {
        consume: body.leak(),
        core: format!("{DOWN} {COUNTERS}").leak(),
        pages: 64,
        ..NOTHING
    };
    // 24 bytes a result: that it is a dead letter, and at 8 its reason, of which there is one: a mebibyte long.
    let repeated = r"(global.set $at (i32.const 131072))
        (loop $next
          (i32.store8 (global.get $at) (i32.const 2))
          (i32.store (i32.add (global.get $at) (i32.const 8)) (i32.const 1048576))
          (i32.store (i32.add (global.get $at) (i32.const 12)) (i32.const 1048576))
          (global.set $at (i32.add (global.get $at) (i32.const 24)))
          (br_if $next (i32.lt_u (global.get $at) (i32.const 155072))))";
    let unknown = format!("(i32.store8 (i32.const 65536) (i32.const 7)) {}", answer(0, 65_536, 1));
    [
        animal("answers-two-gigabytes", consume(answer(0, 65_536, 0x7FFF_FFFF)), Fate::Answers("trap")),
        animal(
            "answers-one-huge-text-a-thousand-times",
            consume(format!("{repeated} {}", answer(0, 131_072, 1_000))),
            Fate::Answers("trap"),
        ),
        animal("answers-a-huge-error", consume(answer(1, 65_536, 3 << 20)), Fate::Answers("listener-error")),
        animal(
            "answers-no-text",
            consume("(i32.store (i32.const 96) (i32.const -1))".into()),
            Fate::Answers("trap"),
        ),
        animal("answers-nothing-there-is", consume(unknown), Fate::Answers("trap")),
        animal("answers-neither-ok-nor-err", consume(answer(9, 0, 0)), Fate::Answers("trap")),
        animal(
            "answers-outside-its-memory",
            consume("(return (i32.const -16))".into()),
            Fate::Answers("trap"),
        ),
        animal("answers-askew", consume("(return (i32.const 513))".into()), Fate::Answers("trap")),
        animal("recurses", consume(RECURSE.into()), Fate::Answers("trap")),
    ]
}

/// With this at the beginning of `realloc`.
fn realloc(body: &str) -> Text {
    const BEGINS: &str = "(local.set $at (i32.and";
    Text { replace: vec![(BEGINS, &*format!("{body} {BEGINS}").leak())].leak(), core: DOWN, ..NOTHING }
}

/// With a `post-return` for `consume-message`.
fn post_return(body: &str) -> Text {
    const LIFTED: &str = r#"(canon lift (core func $i "consume")"#;
    let lifted = r#"(canon lift (core func $i "consume") (post-return (core func $i "post"))"#;
    let core = format!(r#"(func (export "post") (param i32) {body})"#).leak();
    Text { replace: vec![(LIFTED, lifted)].leak(), core, ..NOTHING }
}

fn in_the_canonical_abi() -> [Animal; 9] {
    [
        animal("realloc-spins", realloc(SPIN), Fate::Answers("deadline")),
        animal("realloc-traps", realloc(TRAP), Fate::Answers("trap")),
        animal("realloc-grows", realloc(GROW), Fate::Answers("memory-exceeded")),
        animal("realloc-recurses", realloc(RECURSE), Fate::Answers("trap")),
        animal("realloc-points-outside", realloc("(return (i32.const -65536))"), Fate::Answers("trap")),
        animal("realloc-points-askew", realloc("(return (i32.const 4097))"), Fate::Answers("trap")),
        animal("post-return-spins", post_return(SPIN), Fate::Answers("deadline")),
        animal("post-return-traps", post_return(TRAP), Fate::Answers("trap")),
        animal("post-return-returns", post_return(""), Fate::Answers("listener-error")),
    ]
}

/// Standard error, lowered into the core module as `get`, `write` and `drop`.
const STREAMS: &str = r#"
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
  (core module $words (memory (export "memory") 1))
  (core instance $w (instantiate $words))
  (core func $get (canon lower (func $stderr "get-stderr")))
  (core func $drop (canon resource.drop $stream))
  (core func $write (canon lower (func $streams "[method]output-stream.blocking-write-and-flush")
    (memory (core memory $w "memory"))))"#;

fn streams(consume: &'static str) -> Text {
    Text {
        imports: STREAMS,
        core_imports: r#"(import "h" "get" (func $get (result i32)))
          (import "h" "write" (func $write (param i32 i32 i32 i32)))
          (import "h" "drop" (func $drop (param i32)))"#,
        with: r#"(with "h" (instance (export "get" (func $get)) (export "write" (func $write)) (export "drop" (func $drop))))"#,
        consume,
        core: COUNTERS,
        ..NOTHING
    }
}

fn with_handles() -> [Animal; 5] {
    // Two mebibytes without the end of a line.
    let flood = r"(global.set $at (call $get)) (global.set $left (i32.const 500))
        (loop $next
          (call $write (global.get $at) (i32.const 0) (i32.const 4096) (i32.const 8192))
          (global.set $left (i32.sub (global.get $left) (i32.const 1)))
          (br_if $next (global.get $left)))
        (call $drop (global.get $at))";
    [
        animal("drops-a-forged-handle", streams("(call $drop (i32.const 12345))"), Fate::Answers("trap")),
        animal(
            "writes-to-a-forged-handle",
            streams("(call $write (i32.const -1) (i32.const 0) (i32.const 1) (i32.const 8192))"),
            Fate::Answers("trap"),
        ),
        animal(
            "drops-a-handle-twice",
            streams(
                "(global.set $at (call $get)) (call $drop (global.get $at)) (call $drop (global.get $at))",
            ),
            Fate::Answers("trap"),
        ),
        animal(
            "writes-more-than-it-has",
            streams("(call $write (call $get) (i32.const 0) (i32.const -1) (i32.const 8192))"),
            Fate::Answers("trap"),
        ),
        animal("logs-a-flood", streams(flood), Fate::Answers("listener-error")),
    ]
}

/// The text so many times, `#` in it standing for the number.
fn times(count: u32, text: &str) -> &'static str {
    (0..count).map(|number| text.replace('#', &number.to_string()) + "\n").collect::<String>().leak()
}

const LAST_EXPORT: &str = r#"(export "gantry:rocketmq/listener@0.1.0" (instance $listener))"#;

/// A listener with a component in a component in a component in it, so many of them.
fn deep(levels: usize) -> Vec<u8> {
    const HEADER: &[u8] = b"\0asm\x0d\0\x01\0";
    const COMPONENT_SECTION: u8 = 4;
    // From the innermost outwards, back to front.
    let mut reversed: Vec<u8> = HEADER.iter().rev().copied().collect();
    for level in 1..=levels {
        let section = [&[COMPONENT_SECTION], &*length(reversed.len())].concat();
        reversed.extend(section.iter().rev());
        if level < levels {
            reversed.extend(HEADER.iter().rev());
        }
    }
    let listener = NOTHING.build();
    let rest = listener.strip_prefix(HEADER).unwrap();
    [HEADER, &reversed.into_iter().rev().collect::<Vec<_>>(), rest].concat()
}

/// In LEB128, as sections have it.
fn length(mut bytes: usize) -> Vec<u8> {
    let mut written = Vec::new();
    loop {
        let low = (bytes & 0x7F) as u8;
        bytes >>= 7;
        if bytes == 0 {
            written.push(low);
            return written;
        }
        written.push(low | 0x80);
    }
}

fn by_their_size() -> [Animal; 10] {
    let exports = |count| {
        let more = times(count, r#"(export "acme:e/e#@1.0.0" (instance $listener))"#);
        Text { replace: vec![(LAST_EXPORT, &*format!("{LAST_EXPORT} {more}").leak())].leak(), ..NOTHING }
    };
    let grow_table = "(if (i32.eq (table.grow $t (ref.null func) (i32.const 10000000)) (i32.const -1)) (then unreachable))";
    let core_instances =
        format!("(core module $tiny) {}", times(100, "(core instance (instantiate $tiny))")).leak();
    let components = format!("(component $c) {}", times(100, "(instance (instantiate $c))")).leak();
    [
        animal(
            "table-is-enormous",
            Text { core: "(table 10000000 funcref)", ..NOTHING },
            rejected("invalid", "table"),
        ),
        animal(
            "table-grows",
            Text { core: "(table $t 1 funcref)", consume: grow_table, ..NOTHING },
            Fate::Answers("trap"),
        ),
        animal(
            "memories-are-many",
            Text { core: times(20, "(memory 1)"), ..NOTHING },
            rejected("invalid", "memories"),
        ),
        animal("memory-is-enormous", Text { pages: 65_536, ..NOTHING }, rejected("invalid", "memory")),
        animal(
            "core-instances-are-many",
            Text { imports: core_instances, ..NOTHING },
            rejected("invalid", "maximum of 64"),
        ),
        animal(
            "components-are-many",
            Text { imports: components, ..NOTHING },
            Fate::Answers("listener-error"),
        ),
        Animal { name: "components-are-deep", file: deep(60), fate: Fate::Answers("listener-error") },
        Animal { name: "components-are-too-deep", file: deep(20_000), fate: rejected("invalid", "64 deep") },
        animal("exports-are-many", exports(500), Fate::Answers("listener-error")),
        animal("exports-are-too-many", exports(2_000), rejected("invalid", "limit")),
    ]
}

fn by_their_names() -> [Animal; 6] {
    let imports = times(900, r#"(import "acme:e/e#@1.0.0" (instance (export "f" (func))))"#);
    let functions = format!(
        r#"(import "wasi:sockets/tcp@0.2.6" (instance {}))"#,
        times(2_000, r#"(export "f#" (func))"#)
    );
    let name = "n".repeat(50_000);
    let huge = format!(r#"(import "acme:e/{name}@1.0.0" (instance (export "f" (func))))"#).leak();
    let version = |to| Text { replace: vec![("listener@0.1.0", to)].leak(), ..NOTHING };
    let delivery = r#"(import "gantry:rocketmq/delivery@0.2.0"
        (instance (export "born-host" (func (param "index" u32) (result (option string))))))"#;
    [
        animal("imports-are-many", Text { imports, ..NOTHING }, rejected("ungranted-import", "and 892 more")),
        animal(
            "functions-are-many",
            Text { imports: functions.leak(), ..NOTHING },
            rejected("ungranted-import", "and 1992 more"),
        ),
        animal(
            "import-has-a-huge-name",
            Text { imports: huge, ..NOTHING },
            rejected("ungranted-import", "nnn…"),
        ),
        animal(
            "exports-the-next-version",
            version("listener@0.2.0"),
            rejected(
                "other-version",
                "exports gantry:rocketmq/listener@0.2.0, and this host runs gantry:rocketmq@0.1.0",
            ),
        ),
        animal(
            "exports-another-world",
            version("hearer@0.1.0"),
            rejected("unknown-world", "gantry:rocketmq/hearer@0.1.0"),
        ),
        animal(
            "imports-the-next-version",
            Text { imports: delivery, ..NOTHING },
            rejected("ungranted-import", "gantry:rocketmq/delivery@0.2.0"),
        ),
    ]
}
