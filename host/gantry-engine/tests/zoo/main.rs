//! The zoo: guests that aim at the host, each with its fate, all of them in one engine beside a listener that must not
//! notice. A process of its own, whose memory is looked at.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod animals;
#[path = "../engine/common.rs"]
#[allow(dead_code, reason = "shared with the engine's tests, which use all of it")]
mod common;
#[path = "../engine/text.rs"]
#[allow(dead_code, reason = "shared with the engine's tests, which use all of it")]
mod text;

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use gantry_engine::{ConsumeResult, Engine, Grants, ListenerModule};

use animals::{Animal, Fate, animals};
use common::{PATIENCE, SHORT, causes, component, components, consume, engine_with, eventually};

/// What start-up code and `describe` may take: as long as a busy machine needs for the sound ones.
const DESCRIBE: Duration = Duration::from_secs(5);
/// For calls whose answer is nobody's affair.
const BRIEF: Duration = Duration::from_millis(300);
/// Bytes from which on a component is left alone.
const LARGE: u64 = 1 << 20;
/// What all of it may leave behind: allocators and pools keep something ready.
const LEFT_BEHIND: u64 = 64 << 20;

#[test]
fn the_whole_zoo_does_not_disturb_a_healthy_listener_and_leaves_nothing_behind() {
    let cache = tempfile::tempdir().unwrap();
    let engine = engine_with(|config| {
        config.describe_deadline = DESCRIBE;
        config.cache_dir = Some(cache.path().to_owned());
    });
    let healthy = Healthy::start(engine.load(&component("minimal"), &Grants::NONE).unwrap());
    let visit = || {
        for animal in animals() {
            meets_its_fate(&engine, &animal);
            healthy.goes_on(animal.name);
        }
        for file in guests() {
            let name = file.file_stem().unwrap().to_string_lossy().into_owned();
            misbehaves(&engine, &fs::read(&file).unwrap());
            healthy.goes_on(&name);
        }
        assert_eq!(engine.instances(), 1, "that of the healthy listener");
        resident()
    };
    let (first, second) = (visit(), visit());
    if let (Some(first), Some(second)) = (first, second) {
        let grown = second.saturating_sub(first);
        assert!(grown < LEFT_BEHIND, "{grown} bytes more after the second visit");
    }
    let (module, failed) = healthy.end();
    assert_eq!(failed, 0, "messages of the healthy listener that were not consumed");
    assert_eq!((module.stats().retired_dead, module.stats().in_use), (0, 0));
}

fn meets_its_fate(engine: &Engine, animal: &Animal) {
    let (name, loaded) = (animal.name, engine.load(&animal.file, &all()));
    match (&animal.fate, loaded) {
        (Fate::Rejected { rule, words }, Err(error)) => {
            let told = error.to_string();
            assert_eq!((error.name(), told.contains(words)), (*rule, true), "{name}: {told}");
            assert!(told.len() < 16_384, "{name}: an error of {} bytes", told.len());
        }
        (Fate::Answers(cause), Ok(module)) => {
            let report = consume(&module, &["a"], SHORT);
            assert_eq!(causes(&report), [*cause], "{name}: {:?}", report.batch_failure);
            let told = report.outcomes[0].cause.failure().map(ToString::to_string).unwrap_or_default();
            assert!(told.len() < 4_096, "{name}: a failure of {} bytes", told.len());
        }
        (_, Err(error)) => panic!("{name}: rejected: {error}"),
        (Fate::Rejected { rule, .. }, Ok(_)) => panic!("{name}: taken, where {rule} was to reject it"),
    }
}

/// The guests of tests/guests and the samples, with the words that set them off: each message has its outcome.
fn misbehaves(engine: &Engine, file: &[u8]) {
    if let Ok(plugin) = engine.load_plugin(file, &all(), &mut |_| ()) {
        if let Some(module) = plugin.listener {
            consume(&module, &["ok", "poison", "grow", "spin", "trap"], BRIEF);
        }
        if let Some(strategy) = plugin.strategy {
            let members = ["a".to_owned(), "b".to_owned()];
            // Whatever it answers is its own affair here.
            let _answer = strategy.allocate("group", "a", &[], &members, BRIEF);
        }
    }
}

fn all() -> Grants {
    Grants::from_names(&["clocks", "random"]).unwrap()
}

/// Those that bring an interpreter apart, which take a minute to compile.
fn guests() -> Vec<PathBuf> {
    let files = fs::read_dir(components()).unwrap().map(|entry| entry.unwrap().path());
    let small = |file: &PathBuf| fs::metadata(file).is_ok_and(|about| about.len() < LARGE);
    let wasm = files.filter(|file| file.extension().is_some_and(|end| end == "wasm"));
    let mut files: Vec<_> = wasm.filter(small).collect();
    files.sort();
    assert!(files.len() > 20, "run `cargo xtask guests` first");
    files
}

/// Bytes of this process in memory, where the system has Linux's `/proc`.
fn resident() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// A listener that consumes all the time, on a thread of its own.
struct Healthy {
    consumed: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
    thread: JoinHandle<ListenerModule>,
}

impl Healthy {
    fn start(module: ListenerModule) -> Self {
        let (consumed, failed, ended) =
            (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let thread = std::thread::spawn({
            let (consumed, failed, ended) = (Arc::clone(&consumed), Arc::clone(&failed), Arc::clone(&ended));
            move || {
                while !ended.load(Ordering::Relaxed) {
                    let report = consume(&module, &["hello", "world"], PATIENCE);
                    let lost =
                        report.outcomes.iter().filter(|outcome| outcome.result != ConsumeResult::Success);
                    failed.fetch_add(lost.count() as u64, Ordering::Relaxed);
                    consumed.fetch_add(1, Ordering::Relaxed);
                }
                module
            }
        });
        Self { consumed, failed, ended, thread }
    }

    /// It consumes still, after this animal.
    fn goes_on(&self, after: &str) {
        let before = self.consumed.load(Ordering::Relaxed);
        eventually(&format!("another batch after {after}"), || {
            self.consumed.load(Ordering::Relaxed) > before
        });
    }

    fn end(self) -> (ListenerModule, u64) {
        self.ended.store(true, Ordering::Relaxed);
        let module = self.thread.join().unwrap();
        (module, self.failed.load(Ordering::Relaxed))
    }
}
