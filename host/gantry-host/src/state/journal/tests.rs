use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::time::Instant;

use proptest::prelude::*;

use super::*;

const BOUND: Duration = Duration::from_secs(30);
const DAY_MS: i64 = 24 * 3600 * 1000;

fn queue(id: i32) -> MessageQueue {
    MessageQueue::new("orders", "broker-a", id)
}

fn group() -> Arc<str> {
    "orders-group".into()
}

fn snapshot(commit: i64) -> Snapshot {
    Snapshot {
        stored: commit - 1,
        commit,
        newest_store_timestamp: 7 * commit,
        ranges: vec![(commit + 1, commit + 3), (commit + 5, commit + 6)],
    }
}

/// What an earlier life left, without the time.
fn loaded(journal: &Journal, group: &str) -> Vec<(MessageQueue, Snapshot)> {
    let plain = |(queue, QueueJournal { stored, commit, newest_store_timestamp, ranges, .. })| {
        (queue, Snapshot { stored, commit, newest_store_timestamp, ranges })
    };
    journal.load(group).into_iter().map(plain).collect()
}

/// The files as a kill at this moment would leave them. Nothing is being written.
fn crash(directory: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for file in ["settled.db", "settled.db-wal"] {
        fs::copy(directory.join(file), copy.path().join(file)).unwrap();
    }
    copy
}

#[test]
fn the_writer_writes_by_itself_what_is_put() {
    let directory = tempfile::tempdir().unwrap();
    let journal = Journal::open(directory.path()).unwrap();
    journal.put(&group(), queue(0), snapshot(5));
    let deadline = Instant::now() + BOUND;
    loop {
        let after = crash(directory.path());
        let copy = Journal::open(after.path()).unwrap();
        if loaded(&copy, "orders-group") == [(queue(0), snapshot(5))] {
            break;
        }
        assert!(Instant::now() < deadline);
    }
    assert_eq!(journal.failures(), 0);
}

#[test]
fn what_waits_for_the_writer_is_loaded_too() {
    let directory = tempfile::tempdir().unwrap();
    let journal = Journal::open(directory.path()).unwrap();
    for commit in 0..100 {
        journal.put(&group(), queue(0), snapshot(commit));
        journal.put(&"other".into(), queue(0), snapshot(-commit));
        assert_eq!(loaded(&journal, "orders-group"), [(queue(0), snapshot(commit))]);
        journal.remove(&group(), queue(0));
        assert_eq!(loaded(&journal, "orders-group"), []);
    }
    let written = journal.load("other")[0].1.written_at_ms;
    assert!((unix_millis() - DAY_MS..=unix_millis()).contains(&written), "{written}");
}

#[test]
fn of_too_many_ranges_the_lowest_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let journal = Journal::open(directory.path()).unwrap();
    let ranges: Vec<_> = (0..5000).map(|n| (2 * n, 2 * n + 1)).collect();
    journal.put(&group(), queue(0), Snapshot { ranges: ranges.clone(), ..snapshot(-1) });
    journal.close();
    let journal = Journal::open(directory.path()).unwrap();
    assert_eq!(journal.load("orders-group")[0].1.ranges, ranges[..4096]);
}

#[test]
fn rows_too_old_or_too_many_are_dropped_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("settled.db");
    let one = |id| HashMap::from([((group(), queue(id)), Some(snapshot(5)))]);
    let count =
        |connection: &Connection| -> usize { database::load(connection, "orders-group").unwrap().len() };
    let mut connection = database::open(&file, 0).unwrap();
    database::save(&mut connection, &one(0), 0).unwrap();
    database::save(&mut connection, &one(1), 1).unwrap();
    assert_eq!(count(&database::open(&file, 7 * DAY_MS).unwrap()), 2);
    assert_eq!(count(&database::open(&file, 7 * DAY_MS + 1).unwrap()), 1);
    let many = (0..70_000).map(|id| ((group(), queue(id)), Some(snapshot(5)))).collect();
    database::save(&mut connection, &many, 5).unwrap();
    database::save(&mut connection, &one(70_000), 6).unwrap();
    drop(connection);
    let rest = database::load(&database::open(&file, 7).unwrap(), "orders-group").unwrap();
    assert_eq!(rest.len(), 65_536);
    assert!(rest.contains_key(&queue(70_000)), "the newest stay");
}

#[test]
fn a_file_that_is_no_database_is_kept_aside_and_a_fresh_one_begun() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("settled.db");
    fs::write(&file, "not a database, but long enough to be looked at as one ".repeat(100)).unwrap();
    let journal = Journal::open(directory.path()).unwrap();
    assert!(fs::read_to_string(directory.path().join("settled.db.corrupt-1")).unwrap().starts_with("not a"));
    journal.put(&group(), queue(0), snapshot(5));
    journal.close();
    assert_eq!(loaded(&Journal::open(directory.path()).unwrap(), "orders-group"), [(queue(0), snapshot(5))]);
}

#[test]
fn a_database_of_another_format_is_kept_aside_whole() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("settled.db");
    let other = database::open(&file, 0).unwrap();
    other.pragma_update(None, "user_version", 2).unwrap();
    drop(other);
    let journal = Journal::open(directory.path()).unwrap();
    assert_eq!(loaded(&journal, "orders-group"), []);
    let kept = Connection::open(directory.path().join("settled.db.corrupt-1")).unwrap();
    assert_eq!(kept.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0)).unwrap(), 2);
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("settled.db")).unwrap();
    let error = Journal::open(directory.path()).unwrap_err().to_string();
    assert!(error.contains("settled.db: unable to open") && error.contains("without it"), "{error}");
}

#[test]
fn a_full_disk_is_counted_and_nothing_is_forgotten() {
    let directory = tempfile::tempdir().unwrap();
    let journal = Journal::open(directory.path()).unwrap();
    let limit = |pages: i64| {
        let connection = lock(&journal.shared.connection);
        connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(())).unwrap();
    };
    limit(1);
    let ranges: Vec<_> = (0..2000).map(|n| (2 * n, 2 * n + 1)).collect();
    let large = |commit| Snapshot { ranges: ranges.clone(), ..snapshot(commit) };
    for id in 0..8 {
        journal.put(&group(), queue(id), large(1));
    }
    assert!(!journal.flush());
    assert!(journal.failures() > 0);
    journal.put(&group(), queue(0), large(2));
    journal.remove(&group(), queue(7));
    limit(1 << 20);
    assert!(journal.flush());
    journal.close();
    let rest = loaded(&Journal::open(directory.path()).unwrap(), "orders-group");
    assert_eq!(rest.len(), 7);
    assert_eq!((rest[0].1.commit, rest[1].1.commit), (2, 1));
}

#[test]
fn a_database_that_is_damaged_while_it_is_used_is_begun_afresh() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("settled.db");
    let journal = Journal::open(directory.path()).unwrap();
    journal.put(&group(), queue(0), snapshot(5));
    assert!(journal.flush());
    {
        let connection = lock(&journal.shared.connection);
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        let mut damaged = fs::read(&file).unwrap();
        damaged[100..].fill(0x5A);
        fs::File::options().write(true).open(&file).unwrap().write_all(&damaged).unwrap();
        connection.flush_prepared_statement_cache();
        connection.execute_batch("PRAGMA shrink_memory").unwrap();
    }
    journal.put(&group(), queue(1), snapshot(6));
    let deadline = Instant::now() + BOUND;
    while !journal.flush() {
        assert!(Instant::now() < deadline);
    }
    assert!(journal.failures() > 0);
    assert!(directory.path().join("settled.db.corrupt-1").exists());
    journal.close();
    assert_eq!(loaded(&Journal::open(directory.path()).unwrap(), "orders-group"), [(queue(1), snapshot(6))]);
}

const CHILD: &str = "GANTRY_TEST_WRITES_A_JOURNAL";

/// Puts snapshots with growing commit points and says what has been flushed, until it is killed.
fn put_until_killed(directory: &Path) {
    let journal = Journal::open(directory).unwrap();
    for commit in 0.. {
        for id in 0..8 {
            journal.put(&group(), queue(id), snapshot(commit));
        }
        if commit % 10 == 0 {
            assert!(journal.flush());
            std::io::stdout().write_all(format!("flushed {commit}\n").as_bytes()).unwrap();
        }
    }
}

#[test]
fn what_was_written_survives_a_kill() {
    if let Some(directory) = std::env::var_os(CHILD) {
        return put_until_killed(Path::new(&directory));
    }
    let directory = tempfile::tempdir().unwrap();
    let mut least = -1;
    for enough in [1, 30, 100] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "state::journal::tests::what_was_written_survives_a_kill", "--nocapture"])
            .env(CHILD, directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut told = lines.filter_map(|line| line.split_once("flushed ")?.1.parse::<i64>().ok());
        let seen = told.by_ref().take(enough).last().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        least = told.last().unwrap_or(seen).max(seen);
        let queues = loaded(&Journal::open(directory.path()).unwrap(), "orders-group");
        assert_eq!(queues.len(), 8);
        for (_, left) in queues {
            assert!(left.commit >= least, "{} is older than {least}", left.commit);
            assert_eq!(left, snapshot(left.commit));
        }
    }
    assert!(least >= 990);
    let kept_aside = directory.path().join("settled.db.corrupt-1");
    assert!(!kept_aside.exists(), "a kill damages nothing");
}

#[derive(Debug, Clone)]
enum Step {
    Put(bool, i32, Snapshot),
    Remove(bool, i32),
    Flush,
    Reopen,
    Crash,
}

fn any_snapshot() -> impl Strategy<Value = Snapshot> {
    let ranges = proptest::collection::vec((1..1_000_000_i64, 1..1_000_000_i64), 0..20);
    (any::<i64>(), -1..1_i64 << 60, any::<i64>(), ranges).prop_map(|(stored, commit, newest, gaps)| {
        let mut at = commit;
        let mut ranges = Vec::new();
        for (gap, length) in gaps {
            ranges.push((at + gap, at + gap + length));
            at += gap + length;
        }
        Snapshot { stored, commit, newest_store_timestamp: newest, ranges }
    })
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (any::<bool>(), 0..4, any_snapshot()).prop_map(|(group, id, snapshot)| Step::Put(group, id, snapshot)),
        2 => (any::<bool>(), 0..4).prop_map(|(group, id)| Step::Remove(group, id)),
        1 => Just(Step::Flush),
        1 => Just(Step::Reopen),
        1 => Just(Step::Crash),
    ]
}

type Model = BTreeMap<(bool, MessageQueue), Snapshot>;

fn assert_holds(journal: &Journal, model: &Model, groups: &[Arc<str>; 2]) {
    for (first, name) in [(true, &groups[0]), (false, &groups[1])] {
        let of_group = model.iter().filter(|((group, _), _)| *group == first);
        let expected: Vec<_> =
            of_group.map(|((_, queue), snapshot)| (queue.clone(), snapshot.clone())).collect();
        assert_eq!(loaded(journal, name), expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn what_was_put_last_is_what_is_loaded(steps in proptest::collection::vec(any_step(), 1..60)) {
        let mut directory = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(directory.path()).unwrap();
        let groups: [Arc<str>; 2] = ["one|%".into(), "two".into()];
        let name = |first: bool| if first { &groups[0] } else { &groups[1] };
        let mut model = Model::new();
        for step in steps {
            match step {
                Step::Put(first, id, snapshot) => {
                    journal.put(name(first), queue(id), snapshot.clone());
                    model.insert((first, queue(id)), snapshot);
                }
                Step::Remove(first, id) => {
                    journal.remove(name(first), queue(id));
                    model.remove(&(first, queue(id)));
                }
                Step::Flush => assert!(journal.flush()),
                Step::Reopen => {
                    journal.close();
                    journal = Journal::open(directory.path()).unwrap();
                }
                Step::Crash => {
                    assert!(journal.flush());
                    let after = crash(directory.path());
                    journal = Journal::open(after.path()).unwrap();
                    directory = after;
                }
            }
            assert_holds(&journal, &model, &groups);
        }
        prop_assert_eq!(journal.failures(), 0);
    }

    #[test]
    fn damage_may_lose_rows_but_never_makes_any_up(
        at in any::<prop::sample::Index>(), bytes in proptest::collection::vec(any::<u8>(), 0..64), truncate in any::<bool>(),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("settled.db");
        let journal = Journal::open(directory.path()).unwrap();
        for id in 0..20 {
            journal.put(&group(), queue(id), snapshot(i64::from(id)));
        }
        journal.close();
        let mut content = fs::read(&file).unwrap();
        let at = at.index(content.len());
        match truncate {
            true => content.truncate(at),
            false => content.iter_mut().skip(at).zip(bytes).for_each(|(byte, damage)| *byte = damage),
        }
        fs::write(&file, content).unwrap();
        let journal = Journal::open(directory.path()).unwrap();
        for (found, left) in loaded(&journal, "orders-group") {
            prop_assert_eq!(left, snapshot(i64::from(found.queue_id)));
        }
        journal.put(&group(), queue(100), snapshot(5));
        prop_assert!(journal.flush() || journal.flush());
    }
}
