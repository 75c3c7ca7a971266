//! Compiled code survives the process, and nothing unsound is run.

use std::{fs, path::Path};

use gantry_engine::{Engine, Grants, PluginState};

use crate::common::{PATIENCE, component, consume, engine_with};

fn engine(dir: &Path) -> Engine {
    engine_with(|config| config.cache_dir = Some(dir.to_path_buf()))
}

/// Whether loading took the code from the cache. The listener must work either way.
fn loads_from_cache(engine: &Engine, file: &[u8]) -> bool {
    let mut hit = None;
    let plugin = engine
        .load_plugin(file, &Grants::NONE, &mut |state| {
            if let PluginState::Compiled { from_cache, .. } = state {
                hit = Some(from_cache);
            }
        })
        .unwrap();
    let module = plugin.listener.unwrap();
    assert_eq!(consume(&module, &["hello"], PATIENCE).instances_lost, 0);
    hit.unwrap()
}

fn only_entry(dir: &Path) -> std::path::PathBuf {
    let mut entries: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(entries.len(), 1, "one entry, nothing temporary: {entries:?}");
    entries.remove(0)
}

#[test]
fn a_second_engine_takes_what_the_first_compiled() {
    let dir = tempfile::tempdir().unwrap();
    let file = component("minimal");
    assert!(!loads_from_cache(&engine(dir.path()), &file));
    only_entry(dir.path());
    assert!(loads_from_cache(&engine(dir.path()), &file));
}

#[test]
fn a_damaged_entry_is_ignored_and_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let file = component("minimal");
    let engine = engine(dir.path());
    assert!(!loads_from_cache(&engine, &file));
    let entry = only_entry(dir.path());
    let whole = fs::read(&entry).unwrap();
    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    for damaged in [&whole[..whole.len() / 2], &flipped, b"", b"something else altogether"] {
        fs::write(&entry, damaged).unwrap();
        assert!(!loads_from_cache(&engine, &file), "{} bytes", damaged.len());
        assert_eq!(fs::read(&entry).unwrap().len(), whole.len());
        assert!(loads_from_cache(&engine, &file));
    }
}

#[test]
fn an_entry_under_another_components_name_is_ignored() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    assert!(!loads_from_cache(&engine, &component("minimal")));
    let minimal = only_entry(dir.path());
    let foreign = fs::read(&minimal).unwrap();
    fs::remove_file(&minimal).unwrap();
    assert!(!loads_from_cache(&engine, &component("orders")));
    let orders = only_entry(dir.path());
    fs::write(&orders, foreign).unwrap();
    assert!(!loads_from_cache(&engine, &component("orders")));
}

#[test]
fn the_oldest_entries_go_when_there_is_no_room() {
    let dir = tempfile::tempdir().unwrap();
    let probe = engine(dir.path());
    assert!(!loads_from_cache(&probe, &component("minimal")));
    let bytes = fs::metadata(only_entry(dir.path())).unwrap().len();
    let small = engine_with(|config| {
        config.cache_dir = Some(dir.path().to_path_buf());
        config.cache_max_bytes = bytes;
    });
    assert!(!loads_from_cache(&small, &component("poison")));
    let left = fs::read_dir(dir.path()).unwrap().count();
    assert!(left <= 1, "{left} entries");
}

#[cfg(unix)]
#[test]
fn the_directory_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("made/by/the/engine");
    engine(&dir);
    assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_cache_that_cannot_be_used_costs_only_time() {
    let parent = tempfile::tempdir().unwrap();
    let not_a_directory = parent.path().join("file");
    fs::write(&not_a_directory, b"").unwrap();
    assert!(!loads_from_cache(&engine(&not_a_directory), &component("minimal")));
}
