//! Broadcasting groups: every queue everywhere, failures dropped, nothing at the brokers.

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

fn broadcasting(consume_mode: ConsumeMode, queues: &[i32]) -> Solo {
    let config =
        GroupConfig { message_model: MessageModel::Broadcasting, consume_mode, ..GroupConfig::new("orders") };
    let mut solo = Solo::new(config);
    solo.listen(&[ListenerSpec { max_reconsume_times: Some(2), ..listener(1, &[("t", "*")]) }]);
    solo.answer_routes(queues);
    solo.heartbeat();
    for _ in queues {
        let id = take!(solo, Action::QueryOffset { id, .. } => id);
        solo.group.handle_offset(solo.now, id, OffsetAnswer::Found(0));
    }
    solo.pump();
    solo
}

#[test]
fn a_member_has_all_queues_without_asking_who_else_is_there() {
    let mut solo = broadcasting(ConsumeMode::Concurrently, &[0, 1, 2]);
    assert_eq!(solo.group.queues(solo.now).count(), 3);
    let asks = |action: &Action| {
        matches!(action, Action::QueryMembers { .. } | Action::Lock(_))
            || matches!(action, Action::RefreshRoute { topic } if &**topic == RETRY_TOPIC)
    };
    assert!(!solo.has(asks), "{:#?}", solo.actions);
    assert!(solo.group.subscriptions().iter().all(|subscription| &*subscription.topic != RETRY_TOPIC));
}

#[test]
fn a_failure_is_dropped_and_told_and_never_holds_the_offset() {
    let mut solo = broadcasting(ConsumeMode::Concurrently, &[0]);
    solo.feed(0..4);
    let batch = solo.batch();
    let settlements = vec![
        Settlement::Success,
        Settlement::ReconsumeLater(RetryDelay::ByAttempts),
        Settlement::DeadLetter("rotten".to_owned()),
        Settlement::Success,
    ];
    solo.group.handle_consumed(solo.now, batch.id, settlements);
    assert!(!solo.has(|action| matches!(action, Action::SendBack(_))));
    let status = solo.status(0);
    assert_eq!((status.commit_offset, status.cached_count), (4, 0));
    assert_eq!((solo.group.stats().succeeded, solo.group.stats().dropped), (2, 2));
    let told = |wanted: &str| {
        solo.events.iter().any(|event| matches!(event, Event::Dropped { reason, .. } if reason == wanted))
    };
    assert!(told("rotten") && told("its listener did not succeed"), "{:#?}", solo.events);
}

#[test]
fn pulls_carry_no_offset_to_the_broker() {
    let mut solo = broadcasting(ConsumeMode::Concurrently, &[0]);
    solo.feed(0..4);
    let batch = solo.batch();
    solo.consumed(&batch, &Settlement::Success);
    let pull = solo.pull();
    assert_eq!((pull.offset, pull.commit_offset), (4, None));
}

#[test]
fn in_order_a_failure_is_tried_again_in_place_and_then_dropped() {
    let mut solo = broadcasting(ConsumeMode::Orderly, &[0]);
    solo.feed(0..2);
    for _ in 0..3 {
        let batch = solo.batch();
        assert_eq!(batch.messages[0].queue_offset(), 0);
        solo.consumed(&batch, &Settlement::ReconsumeLater(RetryDelay::ByAttempts));
        solo.wait(Duration::from_secs(1));
    }
    let batch = solo.batch();
    assert_eq!(batch.messages[0].queue_offset(), 1);
    assert_eq!(solo.group.stats().dropped, 1);
    assert!(!solo.has(|action| matches!(action, Action::SendBack(_))));
}
