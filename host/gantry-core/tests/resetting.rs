//! Offsets an operator sets, and what an operator can look at.

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
use gantry_protocol::MessageQueue;
use solo::{OWN_ID, RETRY_TOPIC, Solo, found, listener, message, mq, ms, take};

const OTHER: &str = "10.0.0.2@java#1";

fn reset(solo: &mut Solo, queue: i32, to: i64) {
    solo.group.reset_offsets(solo.now, &[(mq(queue), to)]);
    solo.pump();
}

/// Takes the offset that is on its way to the broker.
fn storing(solo: &mut Solo) -> (PersistId, i64) {
    take!(solo, Action::PersistOffset { id, offset, mode: PersistMode::Sync, .. } => (id, offset))
}

fn resets(solo: &Solo) -> Vec<(i64, usize)> {
    let reset = |event: &Event| match event {
        Event::OffsetReset { to, dropped, .. } => Some((*to, *dropped)),
        _ => None,
    };
    solo.events.iter().filter_map(reset).collect()
}

#[test]
fn a_reset_waits_for_batches_in_flight_stores_and_reads_from_there() {
    let config = GroupConfig { consume_thread_min: 1, consume_thread_max: 1, ..GroupConfig::new("orders") };
    let one = ListenerSpec { batch_max_size: Some(2), ..listener(1, &[("t", "*")]) };
    let mut solo = Solo::consuming(config, &[one], &[0]);
    solo.feed(0..6);
    let batch = solo.batch();
    let late = solo.pull();
    reset(&mut solo, 0, 3);
    assert_eq!(resets(&solo), [(3, 4)]);
    assert_eq!(solo.status(0).phase, QueuePhase::Correcting);
    assert!(!solo.has(|action| matches!(action, Action::PersistOffset { .. } | Action::Consume(_))));
    solo.consumed(&batch, &Settlement::Success);
    let (id, offset) = storing(&mut solo);
    assert_eq!(offset, 3, "not where the batch got");
    solo.answer(late.id, found(vec![message(&mq(0), 6, &[])], 7));
    assert!(!solo.has(|action| matches!(action, Action::Pull(_) | Action::Consume(_))));
    solo.group.handle_persisted(solo.now, id, Ok(()));
    assert_eq!(solo.pull().offset, 3);
    assert_eq!(solo.status(0).commit_offset, 3);
}

#[test]
fn a_batch_that_does_not_end_holds_a_reset_for_the_drain_timeout_only() {
    let mut solo = Solo::plain();
    solo.feed(0..6);
    let batch = solo.batch();
    reset(&mut solo, 0, 0);
    solo.wait(ms(4_900));
    assert!(!solo.has(|action| matches!(action, Action::PersistOffset { .. })));
    solo.wait(ms(100));
    let (id, offset) = storing(&mut solo);
    assert_eq!(offset, 0);
    solo.group.handle_persisted(solo.now, id, Ok(()));
    solo.consumed(&batch, &Settlement::Success);
    assert_eq!((solo.status(0).commit_offset, solo.group.stats().late_results), (0, 6));
}

#[test]
fn a_reset_reaches_a_queue_whose_start_is_still_being_learnt_when_it_begins() {
    let mut solo = Solo::new(GroupConfig::new("orders"));
    solo.listen(&[listener(1, &[("t", "*")])]);
    solo.answer_routes(&[0]);
    solo.heartbeat();
    solo.members(&[OWN_ID]);
    let id = take!(solo, Action::QueryOffset { id, .. } => id);
    reset(&mut solo, 0, 3);
    assert!(!solo.has(|action| matches!(action, Action::PersistOffset { .. } | Action::Pull(_))));
    solo.group.handle_offset(solo.now, id, OffsetAnswer::Found(8));
    let (id, offset) = storing(&mut solo);
    assert_eq!(offset, 3);
    assert!(!solo.has(|action| matches!(action, Action::Pull(_))));
    solo.group.handle_persisted(solo.now, id, Ok(()));
    assert_eq!(solo.pull().offset, 3);
}

#[test]
fn a_queue_being_given_up_is_left_at_the_offset_of_a_reset() {
    let mut solo = Solo::consuming(GroupConfig::new("orders"), &[listener(1, &[("t", "*")])], &[0, 1]);
    let pulls = [solo.pull(), solo.pull()];
    let pull = pulls.iter().find(|pull| pull.mq == mq(1)).unwrap();
    solo.answer(pull.id, found(vec![message(&mq(1), 0, &[])], 1));
    let batch = solo.batch();
    solo.group.handle_members_changed(solo.now);
    solo.members(&[OWN_ID, OTHER]);
    assert_eq!(solo.status(1).phase, QueuePhase::Draining);
    reset(&mut solo, 1, 7);
    solo.consumed(&batch, &Settlement::Success);
    let (id, offset) = storing(&mut solo);
    assert_eq!(offset, 7);
    reset(&mut solo, 1, 5);
    assert!(!solo.has(|action| matches!(action, Action::PersistOffset { .. })), "one at a time");
    solo.group.handle_persisted(solo.now, id, Ok(()));
    let (id, offset) = storing(&mut solo);
    assert_eq!(offset, 5, "the last reset counts");
    solo.group.handle_persisted(solo.now, id, Ok(()));
    solo.pump();
    assert!(solo.events.iter().any(|event| matches!(event, Event::QueueReleased { stored: Some(5), .. })));
    assert_eq!(solo.group.queues(solo.now).count(), 1);
}

#[test]
fn a_second_reset_takes_the_place_of_the_first() {
    let mut solo = Solo::plain();
    solo.feed(0..2);
    let (batch, _held) = (solo.batch(), solo.pull());
    reset(&mut solo, 0, 9);
    reset(&mut solo, 0, 1);
    solo.consumed(&batch, &Settlement::Success);
    let (id, offset) = storing(&mut solo);
    assert_eq!(offset, 1);
    solo.group.handle_persisted(solo.now, id, Ok(()));
    assert_eq!(solo.pull().offset, 1);
}

#[test]
fn a_reset_that_cannot_be_stored_counts_here_and_is_stored_later() {
    let mut solo = Solo::plain();
    solo.feed(0..2);
    let (batch, _held) = (solo.batch(), solo.pull());
    solo.consumed(&batch, &Settlement::Success);
    reset(&mut solo, 0, 1);
    solo.wait(ms(3_000));
    solo.actions.retain(|action| !matches!(action, Action::PersistOffset { .. }));
    assert_eq!(solo.pull().offset, 1);
    solo.wait(ms(1_000));
    assert_eq!(take!(solo, Action::PersistOffset { offset, mode: PersistMode::Oneway, .. } => offset), 1);
}

#[test]
fn queues_of_others_and_offsets_below_zero_are_passed_over() {
    let mut solo = Solo::plain();
    let elsewhere = MessageQueue::new("t", "broker-b", 0);
    solo.group.reset_offsets(solo.now, &[(mq(1), 4), (elsewhere, 4), (mq(0), -1)]);
    solo.pump();
    assert!(resets(&solo).is_empty());
    assert_eq!(solo.status(0).phase, QueuePhase::Consuming);
}

#[test]
fn a_message_is_its_listeners_by_topic_and_tags_also_from_the_retry_topic() {
    let mut solo = Solo::new(GroupConfig::new("orders"));
    solo.listen(&[listener(1, &[("t", "a")]), listener(2, &[("t", "b"), ("u", "*")])]);
    let of = |queue: &MessageQueue, pairs: &[(&str, &str)]| {
        let found = solo.group.listener_of(&message(queue, 0, pairs));
        found.map(|(id, topic)| (id.0, topic.to_string()))
    };
    let (retry, dead) =
        (MessageQueue::new(RETRY_TOPIC, "broker-a", 0), MessageQueue::new("%DLQ%orders", "broker-a", 0));
    assert_eq!(of(&mq(0), &[("TAGS", "a")]), Some((1, "t".to_owned())));
    assert_eq!(of(&mq(0), &[("TAGS", "b")]), Some((2, "t".to_owned())));
    assert_eq!(of(&mq(0), &[("TAGS", "c")]), None);
    assert_eq!(of(&retry, &[("TAGS", "b"), ("RETRY_TOPIC", "t")]), Some((2, "t".to_owned())));
    assert_eq!(of(&dead, &[("RETRY_TOPIC", "u")]), Some((2, "u".to_owned())));
    assert_eq!(of(&dead, &[]), None);
}

#[test]
fn batches_at_listeners_are_listed_longest_first() {
    let mut solo = Solo::consuming(GroupConfig::new("orders"), &[listener(1, &[("t", "*")])], &[0, 1]);
    let pulls = [solo.pull(), solo.pull()];
    for (pull, count) in pulls.iter().zip([1, 2]) {
        let messages = (0..count).map(|offset| message(&pull.mq, offset, &[])).collect();
        solo.answer(pull.id, found(messages, count));
        solo.batch();
        solo.wait(ms(1_000));
    }
    let batches = solo.group.batches(solo.now);
    let seen: Vec<_> =
        batches.iter().map(|batch| (batch.mq.clone().unwrap(), batch.messages, batch.running)).collect();
    assert_eq!(seen, [(pulls[0].mq.clone(), 1, ms(2_000)), (pulls[1].mq.clone(), 2, ms(1_000))]);
    assert_eq!((batches[0].listener, &*batches[0].topic), (ListenerId(1), "t"));
}
