//! Joining, taking and letting go of queues, changing listeners, ending.

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
use solo::{OWN_ID, RETRY_TOPIC, Solo, answered, found, listener, message, mq, ms, take};

const OTHER: &str = "10.0.0.2@java#1";
const LATER: Settlement = Settlement::ReconsumeLater(RetryDelay::ByAttempts);

/// Two queues here, and the second one now goes to another member.
fn losing_a_queue(config: GroupConfig) -> Solo {
    let mut solo = Solo::consuming(config, &[listener(1, &[("t", "*")])], &[0, 1]);
    let pulls = [solo.pull(), solo.pull()];
    for pull in pulls {
        let messages = (0..4).map(|offset| message(&pull.mq, offset, &[])).collect();
        solo.answer(pull.id, found(messages, 4));
    }
    solo.group.handle_members_changed(solo.now);
    solo
}

#[test]
fn brokers_hear_of_the_group_before_it_asks_for_members_or_pulls() {
    let mut solo = Solo::new(GroupConfig::new("orders"));
    solo.listen(&[listener(1, &[("t", "a"), ("u", "*")])]);
    solo.answer_routes(&[0]);
    let heartbeat = take!(solo, Action::Heartbeat(heartbeat) => heartbeat);
    let told: Vec<_> = heartbeat
        .subscriptions
        .iter()
        .map(|s| (s.topic.to_string(), s.expression.text().to_owned()))
        .collect();
    let expected = [(RETRY_TOPIC, "*"), ("t", "a"), ("u", "*")];
    assert_eq!(told, expected.map(|(topic, text)| (topic.to_owned(), text.to_owned())));
    assert!(solo.actions.is_empty(), "{:?}", solo.actions);
    solo.group.handle_heartbeat(solo.now, HeartbeatOutcome::Failed);
    solo.wait(ms(900));
    assert!(!solo.has(|action| matches!(action, Action::Heartbeat(_) | Action::QueryMembers { .. })));
    solo.wait(ms(300));
    solo.heartbeat();
    solo.members(&[OWN_ID]);
    assert!(solo.has(|action| matches!(action, Action::QueryOffset { .. })));
}

#[test]
fn a_topic_that_does_not_exist_is_told_once_and_consumed_when_it_appears() {
    let mut solo = Solo::new(GroupConfig::new("orders"));
    solo.listen(&[listener(1, &[("later", "*")])]);
    for _ in 0..4 {
        solo.answer_routes(&[]);
        solo.wait(ms(6_000));
    }
    let missing: Vec<_> =
        solo.events.iter().filter(|event| matches!(event, Event::TopicMissing { .. })).collect();
    assert_eq!(missing.len(), 1, "and not for the retry topic: {missing:?}");
    let queues = vec![MessageQueue::new("later", "broker-a", 0)];
    solo.group.handle_route(solo.now, "later", Route::Found(queues));
    solo.heartbeat();
    solo.members(&[OWN_ID]);
    assert!(solo.has(|action| matches!(action, Action::QueryOffset { .. })));
}

#[test]
fn a_group_without_a_stored_offset_starts_by_its_rule_and_stores_where() {
    for (from, asks_end, offset) in
        [(ConsumeFromWhere::LastOffset, true, 70), (ConsumeFromWhere::FirstOffset, false, 0)]
    {
        let config = GroupConfig { consume_from_where: from, ..GroupConfig::new("orders") };
        let mut solo = Solo::new(config);
        solo.listen(&[listener(1, &[("t", "*")])]);
        solo.answer_routes(&[0]);
        solo.heartbeat();
        solo.members(&[OWN_ID]);
        let id = take!(solo, Action::QueryOffset { id, .. } => id);
        solo.group.handle_offset(solo.now, id, OffsetAnswer::NotFound);
        if asks_end {
            let id = take!(solo, Action::QueryMaxOffset { id, .. } => id);
            solo.group.handle_offset(solo.now, id, OffsetAnswer::Found(70));
        }
        assert_eq!(solo.pull().offset, offset);
        solo.wait(ms(1_000));
        assert_eq!(take!(solo, Action::PersistOffset { offset, .. } => offset), offset);
    }
}

#[test]
fn a_start_time_is_searched_for() {
    let config =
        GroupConfig { consume_from_where: ConsumeFromWhere::Timestamp(1_700), ..GroupConfig::new("orders") };
    let mut solo = Solo::new(config);
    solo.listen(&[listener(1, &[("t", "*")])]);
    solo.answer_routes(&[0]);
    solo.heartbeat();
    solo.members(&[OWN_ID]);
    let id = take!(solo, Action::QueryOffset { id, .. } => id);
    solo.group.handle_offset(solo.now, id, OffsetAnswer::NotFound);
    let (id, time) = take!(solo, Action::SearchOffset { id, timestamp, .. } => (id, timestamp));
    assert_eq!(time, 1_700);
    solo.group.handle_offset(solo.now, id, OffsetAnswer::Found(33));
    assert_eq!(solo.pull().offset, 33);
}

#[test]
fn an_unknown_start_offset_is_asked_again_and_nothing_is_pulled_meanwhile() {
    let mut solo = Solo::new(GroupConfig::new("orders"));
    solo.listen(&[listener(1, &[("t", "*")])]);
    solo.answer_routes(&[0]);
    solo.heartbeat();
    solo.members(&[OWN_ID]);
    let id = take!(solo, Action::QueryOffset { id, .. } => id);
    solo.group.handle_offset(solo.now, id, OffsetAnswer::Failed("time-out".to_owned()));
    solo.group.handle_offset(solo.now, id, OffsetAnswer::Found(5));
    assert!(!solo.has(|action| matches!(action, Action::Pull(_))), "an answer counts once");
    solo.wait(ms(1_200));
    let id = take!(solo, Action::QueryOffset { id, .. } => id);
    solo.group.handle_offset(solo.now, id, OffsetAnswer::Found(5));
    assert_eq!(solo.pull().offset, 5);
}

#[test]
fn a_revoked_queue_drains_stores_and_is_let_go() {
    let mut solo = losing_a_queue(GroupConfig::new("orders"));
    let (kept, lost) = (solo.batch(), solo.batch());
    solo.members(&[OWN_ID, OTHER]);
    assert_eq!(
        (lost.mq.queue_id, solo.status(1).phase, solo.status(1).dropped),
        (1, QueuePhase::Draining, true)
    );
    solo.consumed(&lost, &Settlement::Success);
    let (id, queue, offset, mode) =
        take!(solo, Action::PersistOffset { id, mq, offset, mode } => (id, mq, offset, mode));
    assert_eq!((queue, offset, mode), (mq(1), 4, PersistMode::Sync));
    solo.group.handle_persisted(solo.now, id, Ok(()));
    solo.pump();
    assert_eq!(solo.group.queues(solo.now).count(), 1);
    assert!(solo.events.iter().any(|event| {
        matches!(event, Event::QueueReleased { stored: Some(4), unsettled: 0, running: 0, .. })
    }));
    solo.consumed(&kept, &Settlement::Success);
    assert_eq!(solo.status(0).commit_offset, 4, "the queue that stays never stopped");
}

/// A queue whose pull on the way carries offset 4, while 8 are settled; then it goes to another member.
fn losing_a_queue_while_a_pull_carries_its_offset() -> (Solo, PullRequest) {
    let mut solo = losing_a_queue(GroupConfig::new("orders"));
    let (_kept, lost) = (solo.batch(), solo.batch());
    solo.consumed(&lost, &Settlement::Success);
    let of_lost = |action: &Action| matches!(action, Action::Pull(pull) if pull.mq == mq(1));
    let next = |solo: &mut Solo| {
        let place = solo.actions.iter().position(of_lost).unwrap();
        let Action::Pull(pull) = solo.actions.remove(place) else { unreachable!() };
        pull
    };
    let pull = next(&mut solo);
    assert_eq!(pull.commit_offset, None);
    solo.answer(pull.id, found((4..8).map(|offset| message(&pull.mq, offset, &[])).collect(), 8));
    let pull = next(&mut solo);
    assert_eq!(pull.commit_offset, Some(4));
    let lost = solo.batch();
    solo.consumed(&lost, &Settlement::Success);
    solo.members(&[OWN_ID, OTHER]);
    (solo, pull)
}

#[test]
fn an_offset_is_stored_after_a_pull_that_carries_an_older_one() {
    let (mut solo, pull) = losing_a_queue_while_a_pull_carries_its_offset();
    let stores = |action: &Action| matches!(action, Action::PersistOffset { mode: PersistMode::Sync, .. });
    assert!(!solo.has(stores), "the broker may come to the pull later than to the offset");
    solo.answer(pull.id, answered(PullStatus::NoNewMsg, Vec::new(), 8));
    assert_eq!(take!(solo, Action::PersistOffset { offset, mode: PersistMode::Sync, .. } => offset), 8);
}

#[test]
fn a_pull_that_the_broker_holds_is_not_waited_for_longer_than_it_takes_to_come_to_it() {
    let (mut solo, pull) = losing_a_queue_while_a_pull_carries_its_offset();
    let stores = |action: &Action| matches!(action, Action::PersistOffset { mode: PersistMode::Sync, .. });
    solo.wait(ms(199));
    assert!(!solo.has(stores));
    let lost = PullOutcome::Failed("the connection was closed".to_owned());
    solo.answer(pull.id, lost);
    assert!(!solo.has(stores), "nobody knows whether the broker had come to it");
    solo.wait(ms(1));
    assert_eq!(take!(solo, Action::PersistOffset { offset, mode: PersistMode::Sync, .. } => offset), 8);
}

#[test]
fn past_the_drain_deadline_results_are_ignored_and_nothing_is_sent_back() {
    let mut solo = losing_a_queue(GroupConfig::new("orders"));
    let (_kept, lost) = (solo.batch(), solo.batch());
    solo.members(&[OWN_ID, OTHER]);
    solo.wait(ms(5_000));
    let (id, offset) =
        take!(solo, Action::PersistOffset { id, offset, mode: PersistMode::Sync, .. } => (id, offset));
    assert_eq!(offset, 0);
    solo.consumed(&lost, &LATER);
    solo.group.handle_persisted(solo.now, id, Ok(()));
    solo.pump();
    assert!(!solo.has(|action| matches!(action, Action::SendBack(_))));
    assert_eq!(solo.group.stats().late_results, 4);
    assert!(solo.events.iter().any(|event| {
        matches!(event, Event::QueueReleased { stored: Some(0), unsettled: 4, running: 1, .. })
    }));
}

#[test]
fn a_draining_queue_waits_for_send_backs_on_the_way_and_not_for_failed_ones() {
    let mut solo = losing_a_queue(GroupConfig::new("orders"));
    let (_kept, lost) = (solo.batch(), solo.batch());
    solo.consumed(&lost, &LATER);
    solo.members(&[OWN_ID, OTHER]);
    for place in 0..4 {
        assert!(!solo.has(|action| matches!(action, Action::PersistOffset { .. })));
        let id = take!(solo, Action::SendBack(request) => request.id);
        let result = if place == 2 { Err("refused".to_owned()) } else { Ok(()) };
        solo.group.handle_sent_back(solo.now, id, result);
    }
    assert_eq!(take!(solo, Action::PersistOffset { offset, .. } => offset), 2);
    solo.wait(ms(60_000));
    assert!(
        !solo.has(|action| matches!(action, Action::SendBack(_))),
        "its next owner gets that message again"
    );
}

#[test]
fn a_queue_that_cannot_store_its_offset_is_let_go_all_the_same() {
    let mut solo = losing_a_queue(GroupConfig::new("orders"));
    let (_kept, lost) = (solo.batch(), solo.batch());
    solo.members(&[OWN_ID, OTHER]);
    solo.consumed(&lost, &Settlement::Success);
    let mut tries = 0;
    for _ in 0..40 {
        if solo.has(|action| matches!(action, Action::PersistOffset { mode: PersistMode::Sync, .. })) {
            let id = take!(solo, Action::PersistOffset { id, mode: PersistMode::Sync, .. } => id);
            solo.group.handle_persisted(solo.now, id, Err("no connection".to_owned()));
            tries += 1;
        }
        solo.wait(ms(100));
    }
    assert!((3..10).contains(&tries), "{tries}");
    assert!(solo.events.iter().any(|event| matches!(event, Event::QueueReleased { stored: None, .. })));
    assert_eq!(solo.group.queues(solo.now).count(), 1);
}

#[test]
fn a_queue_given_back_while_it_drains_is_taken_again_from_the_stored_offset() {
    let mut solo = losing_a_queue(GroupConfig::new("orders"));
    let (_kept, lost) = (solo.batch(), solo.batch());
    solo.members(&[OWN_ID, OTHER]);
    solo.group.handle_members_changed(solo.now);
    solo.members(&[OWN_ID]);
    assert_eq!(solo.status(1).phase, QueuePhase::Draining);
    solo.consumed(&lost, &Settlement::Success);
    let id = take!(solo, Action::PersistOffset { id, .. } => id);
    solo.group.handle_persisted(solo.now, id, Ok(()));
    solo.members(&[OWN_ID]);
    let (id, queue) = take!(solo, Action::QueryOffset { id, mq } => (id, mq));
    assert_eq!(queue, mq(1));
    solo.group.handle_offset(solo.now, id, OffsetAnswer::Found(4));
    solo.pump();
    assert!(
        solo.actions.iter().any(|action| matches!(action, Action::Pull(p) if p.mq == mq(1) && p.offset == 4))
    );
}

#[test]
fn unknown_members_leave_everything_as_it_is() {
    let mut solo = losing_a_queue(GroupConfig::new("orders"));
    for _ in 0..5 {
        let topic = take!(solo, Action::QueryMembers { topic } => topic);
        solo.group.handle_members(solo.now, &topic, None);
        solo.wait(ms(1_000));
    }
    assert_eq!(solo.group.queues(solo.now).filter(|status| !status.dropped).count(), 2);
    assert_eq!(solo.events.iter().filter(|event| matches!(event, Event::MembersUnknown { .. })).count(), 1);
}

#[test]
fn a_member_that_brokers_leave_out_asks_to_be_let_in_and_believes_them_the_third_time() {
    let mut solo = losing_a_queue(GroupConfig::new("orders"));
    for round in 1..=3 {
        assert_eq!(solo.group.queues(solo.now).filter(|status| !status.dropped).count(), 2, "round {round}");
        solo.members(&[OTHER]);
        solo.heartbeat();
        solo.wait(ms(1_000));
    }
    assert_eq!(solo.group.queues(solo.now).filter(|status| !status.dropped).count(), 0);
}

#[test]
fn queues_are_allocated_again_every_20_s_and_at_once_when_the_route_grows() {
    let mut solo = Solo::plain();
    solo.wait(ms(19_900));
    assert!(!solo.has(|action| matches!(action, Action::QueryMembers { .. })));
    solo.wait(ms(100));
    solo.members(&[OWN_ID]);
    solo.group.handle_route(solo.now, "t", Route::Found(vec![mq(0), mq(1)]));
    solo.members(&[OWN_ID]);
    assert_eq!(take!(solo, Action::QueryOffset { mq, .. } => mq), mq(1));
}

#[test]
fn a_live_change_routes_what_waits_anew_and_settles_what_nobody_wants() {
    let config = GroupConfig { consume_thread_min: 1, consume_thread_max: 1, ..GroupConfig::new("orders") };
    let one_by_one = ListenerSpec { batch_max_size: Some(1), ..listener(1, &[("t", "*")]) };
    let mut solo = Solo::consuming(config, &[one_by_one], &[0]);
    let pull = solo.pull();
    let tags = ["a", "b", "c", "b"];
    let messages =
        tags.iter().zip(0..).map(|(tag, offset)| message(&mq(0), offset, &[("TAGS", tag)])).collect();
    solo.answer(pull.id, found(messages, 4));
    let before = solo.batch();
    solo.listen(&[listener(2, &[("t", "a || b")])]);
    assert_eq!(solo.group.stats().unwanted, 1);
    solo.heartbeat();
    solo.consumed(&before, &Settlement::Success);
    assert_eq!(solo.status(0).commit_offset, 1, "the batch in flight still counts");
    let batch = solo.batch();
    assert_eq!((batch.listener, batch.messages.len()), (ListenerId(2), 2));
    solo.consumed(&batch, &Settlement::Success);
    assert_eq!(solo.status(0).commit_offset, 4);
}

#[test]
fn a_dropped_topic_is_drained_and_let_go_while_the_others_go_on() {
    let mut solo = Solo::consuming(
        GroupConfig::new("orders"),
        &[listener(1, &[("t", "*")]), listener(2, &[("u", "*")])],
        &[0],
    );
    solo.feed(0..2);
    let batch = solo.batch();
    solo.listen(&[listener(2, &[("u", "*")])]);
    assert_eq!(solo.status(0).phase, QueuePhase::Draining);
    let heartbeat = take!(solo, Action::Heartbeat(heartbeat) => heartbeat);
    assert!(heartbeat.subscriptions.iter().all(|subscription| &*subscription.topic != "t"));
    solo.consumed(&batch, &Settlement::Success);
    let id = take!(solo, Action::PersistOffset { id, offset: 2, mode: PersistMode::Sync, .. } => id);
    solo.group.handle_persisted(solo.now, id, Ok(()));
    solo.pump();
    assert_eq!(solo.group.queues(solo.now).count(), 0);
}

#[test]
fn shutting_down_waits_for_batches_stores_unregisters_and_ends_in_this_order() {
    let mut solo = Solo::plain();
    solo.feed(0..3);
    let batch = solo.batch();
    solo.group.shut_down(solo.now, ms(10_000));
    solo.wait(ms(2_000));
    assert!(!solo.has(|action| matches!(action, Action::Unregister | Action::Consume(_))));
    solo.consumed(&batch, &Settlement::Success);
    let id = take!(solo, Action::PersistOffset { id, offset: 3, mode: PersistMode::Sync, .. } => id);
    assert!(!solo.has(|action| matches!(action, Action::Unregister)));
    solo.actions.clear();
    solo.group.handle_persisted(solo.now, id, Ok(()));
    solo.pump();
    let [Action::Unregister, Action::Terminated(report)] = &solo.actions[..] else {
        panic!("{:?}", solo.actions)
    };
    assert_eq!(*report, TerminationReport::default());
    assert!(report.is_graceful());
    assert_eq!(solo.group.poll_timeout(), None);
    solo.group.handle_members_changed(solo.now);
    solo.group.shut_down(solo.now, ms(0));
    solo.wait(ms(100_000));
    assert_eq!(solo.actions.len(), 2, "the end is the end");
}

#[test]
fn shutting_down_ends_within_its_grace_and_says_what_was_left() {
    let mut solo = Solo::plain();
    solo.feed(0..3);
    solo.batch();
    solo.group.shut_down(solo.now, ms(60_000));
    solo.wait(ms(1_000));
    solo.group.shut_down(solo.now, ms(1_000));
    solo.wait(ms(1_000));
    take!(solo, Action::PersistOffset { mode: PersistMode::Sync, .. } => ());
    solo.wait(ms(3_000));
    let report = take!(solo, Action::Terminated(report) => report);
    assert_eq!((report.unsettled, report.batches_running), (3, 1));
    assert_eq!(report.offsets_not_stored, [mq(0)]);
    assert!(!report.is_graceful());
}

#[test]
fn a_group_that_never_met_a_broker_just_ends() {
    let mut solo = Solo::new(GroupConfig::new("orders"));
    solo.listen(&[listener(1, &[("t", "*")])]);
    solo.actions.clear();
    solo.group.shut_down(solo.now, ms(1_000));
    solo.pump();
    assert!(matches!(&solo.actions[..], [Action::Terminated(_)]), "{:?}", solo.actions);
}

#[test]
fn lost_answers_leave_nothing_silent() {
    let mut solo = Solo::plain();
    let lost = solo.pull();
    solo.wait(ms(89_000));
    let heartbeats = solo.count(|action| matches!(action, Action::Heartbeat(_)));
    let questions = solo.count(|action| matches!(action, Action::QueryMembers { .. }));
    assert_eq!((heartbeats, questions), (1, 2), "nothing is asked twice before its time");
    assert!(!solo.has(|action| matches!(action, Action::Pull(_))));
    solo.wait(ms(5_000));
    assert_eq!(solo.pull().offset, 0);
    solo.answer(lost.id, found(vec![message(&mq(0), 0, &[])], 1));
    assert!(!solo.has(|action| matches!(action, Action::Consume(_))), "an answer given up no longer counts");
    solo.wait(ms(30_000));
    assert!(solo.count(|action| matches!(action, Action::Heartbeat(_))) > heartbeats);
    assert!(solo.count(|action| matches!(action, Action::RefreshRoute { .. })) > 2);
}

#[test]
fn a_send_back_without_an_answer_is_tried_again() {
    let mut solo = Solo::plain();
    solo.feed(0..1);
    let batch = solo.batch();
    solo.consumed(&batch, &LATER);
    let lost = take!(solo, Action::SendBack(request) => request.id);
    solo.wait(ms(59_000));
    assert!(!solo.has(|action| matches!(action, Action::SendBack(_))));
    solo.wait(ms(7_000));
    let id = take!(solo, Action::SendBack(request) => request.id);
    solo.group.handle_sent_back(solo.now, lost, Ok(()));
    assert_eq!(solo.status(0).commit_offset, 0);
    solo.group.handle_sent_back(solo.now, id, Ok(()));
    assert_eq!(solo.status(0).commit_offset, 1);
}

#[test]
fn a_start_offset_without_an_answer_is_asked_for_again() {
    let mut solo = Solo::new(GroupConfig::new("orders"));
    solo.listen(&[listener(1, &[("t", "*")])]);
    solo.answer_routes(&[0]);
    solo.heartbeat();
    solo.members(&[OWN_ID]);
    let lost = take!(solo, Action::QueryOffset { id, .. } => id);
    solo.wait(ms(60_000));
    let id = take!(solo, Action::QueryOffset { id, .. } => id);
    solo.group.handle_offset(solo.now, lost, OffsetAnswer::Found(3));
    assert!(!solo.has(|action| matches!(action, Action::Pull(_))));
    solo.group.handle_offset(solo.now, id, OffsetAnswer::Found(5));
    assert_eq!(solo.pull().offset, 5);
}
