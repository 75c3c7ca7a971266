//! What a host that was killed had settled is skipped by its next life, where it still holds.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests"
)]

mod solo;

use gantry_core::*;
use solo::*;

/// A group with batches of one that had stored offset 2, settled 3 and 5 to 7 of 2..9, and was then killed.
fn killed() -> SettledOffsets {
    let one = ListenerSpec { batch_max_size: Some(1), ..listener(1, &[("t", "*")]) };
    let mut solo = Solo::consuming(GroupConfig::new("orders"), &[one], &[0]);
    solo.feed(0..9);
    let batches: Vec<Batch> = (0..9).map(|_| solo.batch()).collect();
    for batch in &batches[..2] {
        solo.consumed(batch, &Settlement::Success);
    }
    solo.wait(ms(1_000));
    for at in [3, 5, 6, 7] {
        solo.consumed(&batches[at], &Settlement::Success);
    }
    solo.wait(ms(5));
    solo.journal[&mq(0)].clone()
}

fn next_life(settled: SettledOffsets, stored: i64) -> Solo {
    let mut solo = Solo::new(GroupConfig::new("orders"));
    solo.group =
        ConsumerGroup::new(GroupConfig::new("orders"), OWN_ID, 7).unwrap().with_settled([(mq(0), settled)]);
    solo.listen(&[listener(1, &[("t", "*")])]);
    solo.answer_routes(&[0]);
    solo.heartbeat();
    solo.members(&[OWN_ID]);
    let id = take!(solo, Action::QueryOffset { id, .. } => id);
    solo.group.handle_offset(solo.now, id, OffsetAnswer::Found(stored));
    solo.pump();
    solo
}

fn offsets(batch: &Batch) -> Vec<i64> {
    batch.messages.iter().map(gantry_protocol::MessageExt::queue_offset).collect()
}

#[test]
fn the_journal_says_what_is_settled_above_the_stored_offset() {
    let settled = killed();
    assert_eq!((settled.stored, settled.commit), (0, 2));
    assert_eq!(settled.ranges, [(3, 4), (5, 8)]);
}

#[test]
fn the_next_life_consumes_the_holes_only_and_commits_past_what_it_skips() {
    let mut solo = next_life(killed(), 2);
    solo.feed(2..10);
    let batch = solo.batch();
    assert_eq!(offsets(&batch), [2, 4, 8, 9]);
    assert_eq!(solo.group.stats().skipped, 4);
    solo.consumed(&batch, &Settlement::Success);
    assert_eq!(solo.status(0).commit_offset, 10);
}

#[test]
fn an_older_stored_offset_of_this_host_holds_as_well() {
    let mut solo = next_life(killed(), 0);
    solo.feed(0..10);
    assert_eq!(offsets(&solo.batch()), [2, 4, 8, 9], "what was below the commit point is settled too");
}

#[test]
fn an_offset_this_host_has_not_stored_means_that_somebody_wants_it_read_again() {
    let mut solo = next_life(killed(), 3);
    solo.feed(3..10);
    assert_eq!(offsets(&solo.batch()), [3, 4, 5, 6, 7, 8, 9]);
    assert!(
        solo.events.iter().any(|event| matches!(event, Event::JournalIgnored { stored: 3, commit: 2, .. }))
    );
}

#[test]
fn killed_again_before_it_reads_them_it_still_remembers_what_it_would_have_skipped() {
    let mut solo = next_life(killed(), 2);
    solo.feed(2..5);
    let batch = solo.batch();
    assert_eq!(offsets(&batch), [2, 4]);
    solo.consumed(&batch, &Settlement::Success);
    solo.wait(ms(5));
    let settled = &solo.journal[&mq(0)];
    assert_eq!((settled.commit, settled.ranges.as_slice()), (5, &[(5, 8)][..]));
}

#[test]
fn a_queue_that_is_let_go_with_everything_stored_leaves_nothing_behind() {
    let mut solo = Solo::plain();
    solo.feed(0..3);
    let batch = solo.batch();
    solo.consumed(&batch, &Settlement::Success);
    solo.wait(ms(5));
    assert!(solo.journal.contains_key(&mq(0)));
    solo.group.shut_down(solo.now, ms(1_000));
    let id = take!(solo, Action::PersistOffset { id, offset: 3, mode: PersistMode::Sync, .. } => id);
    solo.group.handle_persisted(solo.now, id, Ok(()));
    solo.pump();
    assert!(solo.journal.is_empty());
}

#[test]
fn without_a_journal_nothing_is_kept() {
    let config = GroupConfig { journal_interval: None, ..GroupConfig::new("orders") };
    let mut solo = Solo::consuming(config, &[listener(1, &[("t", "*")])], &[0]);
    solo.feed(0..3);
    let batch = solo.batch();
    solo.consumed(&batch, &Settlement::Success);
    solo.wait(ms(1_000));
    assert!(solo.journal.is_empty());
}

#[test]
fn a_queue_that_is_moved_leaves_nothing_of_before_to_be_skipped() {
    let mut solo = Solo::plain();
    solo.feed(0..3);
    let batch = solo.batch();
    solo.consumed(&batch, &Settlement::Success);
    solo.wait(ms(5));
    assert_eq!(solo.journal[&mq(0)].commit, 3);
    solo.group.reset_offsets(solo.now, &[(mq(0), 1)]);
    let id = take!(solo, Action::PersistOffset { id, offset: 1, mode: PersistMode::Sync, .. } => id);
    solo.group.handle_persisted(solo.now, id, Ok(()));
    solo.pump();
    assert!(
        solo.journal.is_empty(),
        "killed now, it would skip what an operator wants again: {:?}",
        solo.journal
    );
}

#[test]
fn what_is_settled_while_a_queue_is_being_moved_is_not_remembered() {
    let mut solo = Solo::plain();
    solo.feed(0..3);
    let batch = solo.batch();
    solo.group.reset_offsets(solo.now, &[(mq(0), 0)]);
    solo.pump();
    solo.consumed(&batch, &Settlement::Success);
    solo.wait(ms(20));
    assert!(solo.journal.is_empty(), "{:?}", solo.journal);
}
