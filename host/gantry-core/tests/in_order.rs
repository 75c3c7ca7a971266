//! Orderly groups: one batch of a queue at a time, the success prefix, retries in place, and the dead-letter topic after
//! them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests"
)]

mod solo;

use std::time::Duration;

use gantry_core::*;
use solo::*;

fn orderly(batch: u32, max_reconsume_times: u32) -> Solo {
    let config = GroupConfig { consume_mode: ConsumeMode::Orderly, ..GroupConfig::new("orders") };
    let listener = ListenerSpec {
        batch_max_size: Some(batch),
        max_reconsume_times: Some(max_reconsume_times),
        ..listener(1, &[("t", "*")])
    };
    Solo::consuming(config, &[listener], &[0])
}

fn offsets(batch: &Batch) -> Vec<i64> {
    batch.messages.iter().map(gantry_protocol::MessageExt::queue_offset).collect()
}

fn later() -> Settlement {
    Settlement::ReconsumeLater(RetryDelay::ByAttempts)
}

fn answer(solo: &mut Solo, batch: &Batch, settlements: &[Settlement]) {
    solo.group.handle_consumed(solo.now, batch.id, settlements.to_vec());
    solo.pump();
}

fn batches(solo: &mut Solo) -> usize {
    solo.count(|action| matches!(action, Action::Consume(_)))
}

#[test]
fn one_batch_of_a_queue_is_at_its_listener_at_a_time() {
    let mut solo = orderly(2, 16);
    solo.feed(0..5);
    assert_eq!(batches(&mut solo), 1);
    for expected in [vec![0, 1], vec![2, 3], vec![4]] {
        let batch = solo.batch();
        assert!(batch.in_order);
        assert_eq!(offsets(&batch), expected);
        assert_eq!(batches(&mut solo), 0);
        solo.consumed(&batch, &Settlement::Success);
    }
    assert_eq!(solo.status(0).commit_offset, 5);
}

#[test]
fn the_first_failure_ends_a_batch_and_its_queue_waits_for_the_time_asked() {
    let mut solo = orderly(4, 16);
    solo.feed(0..4);
    let batch = solo.batch();
    let wait = Settlement::ReconsumeLater(RetryDelay::Millis(2_500));
    answer(&mut solo, &batch, &[Settlement::Success, wait, Settlement::Success, Settlement::Success]);
    let status = solo.status(0);
    assert_eq!((status.commit_offset, status.cached_count), (1, 3), "the results after it do not count");
    assert_eq!(status.suspended_until, Some(solo.now + ms(2_500)));
    solo.wait(ms(2_499));
    assert_eq!(batches(&mut solo), 0);
    solo.wait(ms(1));
    let batch = solo.batch();
    assert_eq!((offsets(&batch), batch.head_retries), (vec![1, 2, 3], 1));
    solo.consumed(&batch, &Settlement::Success);
    assert_eq!(solo.status(0).commit_offset, 4);
    assert_eq!(solo.group.stats().retried_in_place, 1);
}

#[test]
fn after_its_retries_a_message_goes_to_the_dead_letter_topic_and_the_queue_goes_on() {
    let mut solo = orderly(8, 2);
    solo.feed(0..3);
    for retries in 0..2 {
        let batch = solo.batch();
        assert_eq!((offsets(&batch), batch.head_retries), (vec![0, 1, 2], retries));
        answer(&mut solo, &batch, &[later(), later(), later()]);
        solo.wait(Duration::from_secs(1));
    }
    let batch = solo.batch();
    answer(&mut solo, &batch, &[later(), later(), later()]);
    let request = take!(solo, Action::SendBack(request) => request);
    assert_eq!((request.delay_level, request.message.queue_offset()), (-1, 0));
    assert_eq!(batches(&mut solo), 0, "the next message waits until this one is filed");
    solo.group.handle_sent_back(solo.now, request.id, Ok(()));
    let batch = solo.batch();
    assert_eq!((offsets(&batch), batch.head_retries), (vec![1, 2], 0));
    let told =
        |event: &Event| matches!(event, Event::DeadLettered { reason, .. } if reason == "it failed 3 times");
    assert!(solo.events.iter().any(told), "{:#?}", solo.events);
}

#[test]
fn a_dead_letter_that_the_broker_does_not_take_holds_the_queue() {
    let mut solo = orderly(8, 16);
    solo.feed(0..2);
    let batch = solo.batch();
    answer(&mut solo, &batch, &[Settlement::DeadLetter("rotten".to_owned()), Settlement::Success]);
    for _ in 0..2 {
        let request = take!(solo, Action::SendBack(request) => request);
        solo.group.handle_sent_back(solo.now, request.id, Err("no answer".to_owned()));
        assert_eq!((batches(&mut solo), solo.status(0).commit_offset), (0, 0));
        solo.wait(Duration::from_secs(12));
    }
    let request = take!(solo, Action::SendBack(request) => request);
    solo.group.handle_sent_back(solo.now, request.id, Ok(()));
    assert_eq!(offsets(&solo.batch()), [1]);
}

#[test]
fn a_wrong_number_of_results_tries_the_batch_again_in_place() {
    let mut solo = orderly(8, 16);
    solo.feed(0..2);
    let batch = solo.batch();
    answer(&mut solo, &batch, &[Settlement::Success]);
    assert!(solo.events.iter().any(|event| matches!(event, Event::ResultCountWrong { .. })));
    solo.wait(Duration::from_secs(1));
    assert_eq!(offsets(&solo.batch()), [0, 1]);
}

#[test]
fn a_batch_that_is_returned_untouched_comes_again_before_what_follows() {
    let mut solo = orderly(2, 16);
    solo.feed(0..4);
    let batch = solo.batch();
    solo.group.handle_returned(solo.now, batch.id);
    solo.pump();
    assert_eq!(offsets(&solo.batch()), [0, 1]);
}

#[test]
fn locks_are_kept_under_the_groups_own_name_and_asked_for_before_the_first_pull() {
    let config = GroupConfig { consume_mode: ConsumeMode::Orderly, ..GroupConfig::new("orders") };
    let mut solo = Solo::new(config);
    solo.locks_granted = false;
    solo.listen(&[listener(1, &[("t", "*")])]);
    solo.answer_routes(&[0]);
    solo.heartbeat();
    solo.members(&[OWN_ID, "10.0.0.9@1234#5678"]);
    let lock = take!(solo, Action::Lock(request) => request);
    assert_eq!((&*lock.group, lock.mqs.as_slice()), ("orders", &[mq(0)][..]), "with Java members as well");
    assert!(!solo.has(|action| matches!(action, Action::QueryOffset { .. } | Action::Pull(_))));
    solo.group.handle_locked(solo.now, lock.id, Ok(lock.mqs));
    assert!(solo.has(|action| matches!(action, Action::QueryOffset { .. })));
}
