//! Components that something has happened to on the way: cut off, with bits flipped, with pieces missing or doubled. Each is
//! an error or a listener like any other, whose messages all have an outcome; none of them is a panic.

use std::{
    fs,
    sync::Arc,
    time::{Duration, Instant},
};

use gantry_engine::{Engine, Grants, Order, consume_isolated};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};

use crate::{
    common::{CONTEXT, batch, component, engine_with},
    text::NOTHING,
};

/// What a mutated `describe`, and a mutated listener, may take.
const SHORT: Duration = Duration::from_millis(200);
/// Longest wait for what happens in between: only a failing test comes to it.
const BOUND: Duration = Duration::from_secs(120);
/// Cases over the smallest component there is, which compiles in no time.
const CASES: u32 = 400;
/// Bytes from which on a component is left alone.
const LARGE: u64 = 1 << 20;
/// Cases over each component that a compiler made.
const CASES_EACH: u32 = 6;

/// What happens to a file. Places are shares of its length.
#[derive(Clone, Debug)]
enum Mutation {
    Cut { at: f64 },
    Flip { bits: Vec<(f64, u8)> },
    Remove { at: f64, length: usize },
    Double { at: f64, length: usize },
    Overwrite { at: f64, with: Vec<u8> },
}

fn place(share: f64, length: usize) -> usize {
    (share * length as f64) as usize
}

impl Mutation {
    fn apply(&self, file: &[u8]) -> Vec<u8> {
        let mut mutated = file.to_vec();
        let span = |at: f64, length: usize| {
            let start = place(at, file.len());
            start..(start + length).min(file.len())
        };
        match self {
            Mutation::Cut { at } => mutated.truncate(place(*at, file.len())),
            Mutation::Flip { bits } => {
                bits.iter().for_each(|(at, bit)| mutated[place(*at, file.len())] ^= 1 << bit);
            }
            Mutation::Remove { at, length } => drop(mutated.drain(span(*at, *length))),
            Mutation::Double { at, length } => {
                let span = span(*at, *length);
                let piece = file[span.clone()].to_vec();
                drop(mutated.splice(span.end..span.end, piece));
            }
            Mutation::Overwrite { at, with } => {
                let span = span(*at, with.len());
                let length = span.len();
                mutated[span].copy_from_slice(&with[..length]);
            }
        }
        mutated
    }
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let at = || 0.0..1.0_f64;
    prop_oneof![
        1 => at().prop_map(|at| Mutation::Cut { at }),
        4 => prop::collection::vec((at(), 0..8_u8), 1..8).prop_map(|bits| Mutation::Flip { bits }),
        1 => (at(), 1..64_usize).prop_map(|(at, length)| Mutation::Remove { at, length }),
        1 => (at(), 1..64_usize).prop_map(|(at, length)| Mutation::Double { at, length }),
        2 => (at(), prop::collection::vec(any::<u8>(), 1..16)).prop_map(|(at, with)| Mutation::Overwrite { at, with }),
    ]
}

fn all() -> Grants {
    Grants::from_names(&["clocks", "random"]).unwrap()
}

fn engine() -> Engine {
    engine_with(|config| config.describe_deadline = SHORT)
}

/// Loads and, where that succeeds, consumes; what is left of it afterwards is nothing.
fn is_harmless(engine: &Engine, file: &[u8]) {
    match engine.load_plugin(file, &all(), &mut |_| ()) {
        Err(error) => assert!(error.to_string().len() < 16_384, "{} bytes of error", error.to_string().len()),
        Ok(plugin) => {
            if let Some(module) = plugin.listener {
                let bodies = ["a", "ok"];
                let report = consume_isolated(&module, &CONTEXT, &batch(&bodies), 0..2, SHORT, Order::Any);
                assert_eq!(report.outcomes.len(), bodies.len());
            }
            if let Some(module) = plugin.strategy {
                let members = ["a".to_owned(), "b".to_owned()];
                // Any answer is one.
                let _answer = module.allocate("group", "a", &[], &members, SHORT);
            }
        }
    }
    // One with a `drop` is let go on a thread of its own.
    let deadline = Instant::now() + BOUND;
    while engine.instances() > 0 {
        assert!(Instant::now() < deadline, "{} instances are left", engine.instances());
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn run(cases: u32, engine: &Engine, file: &Arc<Vec<u8>>) {
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let tried = runner.run(&mutation(), |mutation| {
        is_harmless(engine, &mutation.apply(file));
        Ok(())
    });
    tried.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn a_small_component_however_mutated_is_an_error_or_a_plugin() {
    run(CASES, &engine(), &Arc::new(NOTHING.build()));
}

#[test]
fn every_guest_and_sample_however_mutated_is_an_error_or_a_plugin() {
    let engine = engine();
    for name in names() {
        run(CASES_EACH, &engine, &Arc::new(component(&name)));
    }
}

#[test]
fn a_component_cut_off_anywhere_is_an_error() {
    let (engine, file) = (engine(), NOTHING.build());
    for end in 0..file.len() {
        // A component is made of sections: cut off between two, it is a component still, of something else.
        is_harmless(&engine, &file[..end]);
    }
}

/// The guests and samples that are built, those apart that bring an interpreter and take a minute to compile.
fn names() -> Vec<String> {
    let home = crate::common::components();
    let files = fs::read_dir(home).unwrap().map(|entry| entry.unwrap().path());
    let wasm = files.filter(|file| {
        let small = fs::metadata(file).is_ok_and(|about| about.len() < LARGE);
        small && file.extension().is_some_and(|end| end == "wasm")
    });
    let mut names: Vec<_> =
        wasm.map(|file| file.file_stem().unwrap().to_string_lossy().into_owned()).collect();
    names.sort();
    assert!(names.len() > 20, "run `cargo xtask guests` first");
    names
}
