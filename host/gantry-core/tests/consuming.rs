//! Pulls, batches, results and send-backs of a group that owns its queues.

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
use gantry_protocol::{MessageExt, MessageQueue, ResponseCode};
use solo::{RETRY_TOPIC, Solo, answered, found, listener, message, message_with, mq, ms, take};

const LATER: Settlement = Settlement::ReconsumeLater(RetryDelay::ByAttempts);

#[test]
fn the_first_pull_says_what_rocketmqs_does() {
    let mut solo = Solo::plain();
    let pull = solo.pull();
    assert_eq!((pull.offset, pull.max_msg_nums, pull.max_msg_bytes), (0, 32, 262_144));
    assert!(pull.expects_messages, "nothing is known of the queue yet");
    assert_eq!((pull.suspend_timeout, pull.timeout), (ms(15_000), ms(30_000)));
    assert_eq!((pull.commit_offset, pull.from, pull.post_subscription), (None, PullFrom::Broker(0), false));
    assert_eq!(pull.subscription.expression.text(), "*");
}

#[test]
fn one_pull_of_a_queue_is_on_the_way_at_a_time_and_carries_the_offset() {
    let mut solo = Solo::plain();
    solo.feed(0..10);
    let batch = solo.batch();
    assert_eq!(batch.messages.len(), 10);
    solo.consumed(&batch, &Settlement::Success);
    assert_eq!(solo.count(|action| matches!(action, Action::Pull(_))), 1);
    let pull = solo.pull();
    assert_eq!((pull.offset, pull.commit_offset), (10, None), "it went out before the batch was consumed");
    solo.answer(pull.id, answered(PullStatus::NoNewMsg, Vec::new(), 10));
    assert_eq!(solo.pull().commit_offset, Some(10));
}

#[test]
fn a_pull_says_whether_the_last_answer_left_messages_behind() {
    let mut solo = Solo::plain();
    let pull = solo.pull();
    let mut behind = found(vec![message(&pull.mq, 0, &[])], 1);
    if let PullOutcome::Answered(answer) = &mut behind {
        answer.max_offset = 5;
    }
    solo.answer(pull.id, behind);
    let pull = solo.pull();
    assert!(pull.expects_messages);
    let rest = (1..5).map(|offset| message(&pull.mq, offset, &[])).collect();
    solo.answer(pull.id, found(rest, 5));
    assert!(!solo.pull().expects_messages);
}

#[test]
fn a_batch_that_succeeded_is_settled_whole_and_once() {
    let mut solo = Solo::plain();
    solo.feed(0..10);
    let batch = solo.batch();
    solo.group.handle_succeeded(solo.now, batch.id);
    solo.group.handle_succeeded(solo.now, batch.id);
    solo.group.handle_consumed(solo.now, batch.id, vec![Settlement::DeadLetter(String::new()); 10]);
    let stats = solo.group.stats();
    assert_eq!((stats.succeeded, stats.late_results), (10, 0));
    let queue = solo.group.queues(solo.now).next().unwrap();
    assert_eq!((queue.commit_offset, queue.cached_count, queue.in_flight, queue.sending_back), (10, 0, 0, 0));
}

#[test]
fn dirty_offsets_are_stored_every_second_and_clean_ones_not() {
    let mut solo = Solo::plain();
    solo.feed(0..3);
    let batch = solo.batch();
    solo.consumed(&batch, &Settlement::Success);
    solo.wait(ms(1_000));
    let (offset, mode) = take!(solo, Action::PersistOffset { offset, mode, .. } => (offset, mode));
    assert_eq!((offset, mode), (3, PersistMode::Oneway));
    solo.wait(ms(5_000));
    assert!(!solo.has(|action| matches!(action, Action::PersistOffset { .. })));
}

#[test]
fn an_offset_that_is_known_to_be_lost_is_stored_again() {
    let mut solo = Solo::plain();
    solo.feed(0..3);
    let batch = solo.batch();
    solo.consumed(&batch, &Settlement::Success);
    solo.wait(ms(1_000));
    let id = take!(solo, Action::PersistOffset { id, .. } => id);
    solo.group.handle_persisted(solo.now, id, Err("connection reset".to_owned()));
    solo.wait(ms(1_000));
    assert_eq!(take!(solo, Action::PersistOffset { offset, .. } => offset), 3);
}

#[test]
fn a_filtered_tail_moves_the_offset_when_nothing_waits() {
    let mut solo = Solo::plain();
    solo.feed(0..2);
    let pull = solo.pull();
    solo.answer(pull.id, answered(PullStatus::NoMatchedMsg, Vec::new(), 500));
    assert_eq!((solo.status(0).commit_offset, solo.status(0).next_offset), (0, 500));
    let batch = solo.batch();
    solo.consumed(&batch, &Settlement::Success);
    assert_eq!(solo.status(0).commit_offset, 500);
}

#[test]
fn a_tag_that_only_shares_the_hash_code_is_settled_at_once() {
    let config = GroupConfig::new("orders");
    let mut solo = Solo::consuming(config, &[listener(1, &[("t", "Aa")])], &[0]);
    let pull = solo.pull();
    let messages = vec![message(&mq(0), 0, &[("TAGS", "BB")]), message(&mq(0), 1, &[("TAGS", "Aa")])];
    solo.answer(pull.id, found(messages, 2));
    let batch = solo.batch();
    assert_eq!(batch.messages.iter().map(|message| message.tags()).collect::<Vec<_>>(), [Some("Aa")]);
    assert_eq!((solo.group.stats().filtered, solo.status(0).commit_offset), (1, 1));
}

#[test]
fn batches_in_flight_are_bounded_and_queues_take_turns() {
    let config = GroupConfig { consume_thread_min: 1, consume_thread_max: 3, ..GroupConfig::new("orders") };
    let one_by_one = ListenerSpec { batch_max_size: Some(1), ..listener(1, &[("t", "*")]) };
    let mut solo = Solo::consuming(config, &[one_by_one], &[0, 1]);
    solo.now += ms(1);
    let pulls = [solo.pull(), solo.pull()];
    for pull in pulls {
        let messages = (0..5).map(|offset| message(&pull.mq, offset, &[])).collect();
        solo.group.handle_pulled(solo.now, pull.id, found(messages, 5));
    }
    solo.pump();
    let batches: Vec<Batch> = (0..3).map(|_| solo.batch()).collect();
    assert_eq!(batches.iter().map(|batch| batch.mq.queue_id).collect::<Vec<_>>(), [0, 1, 0]);
    assert!(!solo.has(|action| matches!(action, Action::Consume(_))));
    solo.consumed(&batches[0], &Settlement::Success);
    assert_eq!(solo.batch().mq.queue_id, 1);
}

#[test]
fn a_full_window_stops_pulling_and_a_shrinking_one_starts_it_without_waiting() {
    let config = GroupConfig { pull_threshold_for_queue: 10, ..GroupConfig::new("orders") };
    let mut solo = Solo::consuming(config, &[listener(1, &[("t", "*")])], &[0]);
    solo.feed(0..11);
    assert!(!solo.has(|action| matches!(action, Action::Pull(_))));
    assert_eq!(solo.status(0).gate, Some(Gate::Count { cached: 11, limit: 10 }));
    assert_eq!(solo.group.poll_timeout(), Some(solo.now + CACHE_FLOW_CONTROL_DELAY));
    solo.wait(ms(500));
    assert!(!solo.has(|action| matches!(action, Action::Pull(_))));
    let batch = solo.batch();
    solo.consumed(&batch, &Settlement::Success);
    assert_eq!(solo.pull().offset, 11);
    assert_eq!(solo.status(0).gate, None);
}

#[test]
fn a_wide_span_stops_pulling_though_few_messages_wait() {
    let config = GroupConfig { consume_concurrently_max_span: 100, ..GroupConfig::new("orders") };
    let mut solo = Solo::consuming(config, &[listener(1, &[("t", "*")])], &[0]);
    let pull = solo.pull();
    let messages = [0, 101].map(|offset| message(&mq(0), offset, &[])).to_vec();
    solo.answer(pull.id, found(messages, 102));
    assert_eq!(solo.status(0).gate, Some(Gate::Span { span: 101, limit: 100 }));
}

#[test]
fn large_messages_stop_pulling_by_their_size() {
    let config = GroupConfig { pull_threshold_size_for_queue: 1, ..GroupConfig::new("orders") };
    let mut solo = Solo::consuming(config, &[listener(1, &[("t", "*")])], &[0]);
    let pull = solo.pull();
    let large = message_with(&mq(0), 0, &[], 0, 2 * 1024 * 1024);
    solo.answer(pull.id, found(vec![large], 1));
    assert_eq!(solo.status(0).gate, Some(Gate::Size { cached_mib: 2, limit_mib: 1 }));
}

#[test]
fn thresholds_of_a_topic_are_shared_among_its_queues_here() {
    let of_topic = |messages, mib| GroupConfig {
        pull_threshold_for_topic: messages,
        pull_threshold_size_for_topic: mib,
        ..GroupConfig::new("orders")
    };
    let gate = |config: GroupConfig, messages: i64, body_len: usize| {
        let mut solo = Solo::consuming(config, &[listener(1, &[("t", "*")])], &[0, 1]);
        let pull = solo.pull();
        let came = (0..messages).map(|offset| message_with(&pull.mq, offset, &[], 0, body_len)).collect();
        solo.answer(pull.id, found(came, messages));
        solo.status(pull.mq.queue_id).gate
    };
    assert_eq!(gate(of_topic(Some(20), None), 11, 4), Some(Gate::Count { cached: 11, limit: 10 }));
    let large = 2 * 1024 * 1024;
    assert_eq!(gate(of_topic(None, Some(2)), 1, large), Some(Gate::Size { cached_mib: 2, limit_mib: 1 }));
    assert_eq!(gate(of_topic(None, None), 11, 4), None);
}

#[test]
fn results_settle_message_by_message() {
    let mut solo = Solo::plain();
    solo.feed(0..4);
    let batch = solo.batch();
    let results = vec![
        Settlement::Success,
        Settlement::ReconsumeLater(RetryDelay::Millis(2_500)),
        Settlement::DeadLetter("no such order".to_owned()),
        Settlement::Success,
    ];
    solo.group.handle_consumed(solo.now, batch.id, results);
    let first = take!(solo, Action::SendBack(request) => request);
    let second = take!(solo, Action::SendBack(request) => request);
    assert_eq!([first.delay_level, second.delay_level], [2, -1]);
    assert_eq!(
        (first.message.physical_offset(), &*first.origin_topic, first.max_reconsume_times),
        (1_001, "t", 16)
    );
    assert_eq!((solo.status(0).commit_offset, solo.status(0).sending_back), (1, 2));
    solo.group.handle_sent_back(solo.now, second.id, Ok(()));
    assert_eq!(solo.status(0).commit_offset, 1);
    solo.group.handle_sent_back(solo.now, first.id, Ok(()));
    assert_eq!(solo.status(0).commit_offset, 4);
    solo.pump();
    let told = solo.events.iter().find(|event| matches!(event, Event::DeadLettered { .. })).unwrap();
    assert!(told.to_string().ends_with("went to the dead-letter topic: no such order"), "{told}");
    let stats = solo.group.stats();
    assert_eq!((stats.succeeded, stats.reconsumed, stats.dead_lettered), (2, 1, 1));
}

#[test]
fn a_message_whose_retries_are_used_up_is_counted_as_a_dead_letter() {
    let mut solo = Solo::plain();
    let pull = solo.pull();
    let tired = message_with(&mq(0), 0, &[], 16, 1);
    solo.answer(pull.id, found(vec![tired], 1));
    let batch = solo.batch();
    solo.consumed(&batch, &LATER);
    let id = take!(solo, Action::SendBack(request) => request.id);
    solo.group.handle_sent_back(solo.now, id, Ok(()));
    assert_eq!((solo.group.stats().dead_lettered, solo.group.stats().reconsumed), (1, 0));
}

#[test]
fn a_wrong_number_of_results_gives_the_whole_batch_back() {
    let mut solo = Solo::plain();
    solo.feed(0..3);
    let batch = solo.batch();
    solo.group.handle_consumed(solo.now, batch.id, vec![Settlement::Success; 2]);
    assert_eq!(
        solo.count(|action| matches!(action, Action::SendBack(request) if request.delay_level == 0)),
        3
    );
    assert!(
        solo.events.iter().any(|event| matches!(event, Event::ResultCountWrong { expected: 3, got: 2, .. }))
    );
}

fn together(calls: u32) -> Solo {
    let config = GroupConfig { calls_together: calls, ..GroupConfig::new("orders") };
    let one = ListenerSpec { batch_max_size: Some(1), ..listener(1, &[("t", "*")]) };
    Solo::consuming(config, &[one], &[0])
}

/// What the listener is given, each batch consumed after so long, until there is no more.
fn sizes(solo: &mut Solo, took: std::time::Duration, settlement: &Settlement) -> Vec<usize> {
    let mut sizes = Vec::new();
    while solo.has(|action| matches!(action, Action::Consume(_))) {
        let batches: Vec<_> =
            (0..solo.count(|action| matches!(action, Action::Consume(_)))).map(|_| solo.batch()).collect();
        solo.now += took;
        for batch in batches {
            assert_eq!(batch.call_size, 1);
            sizes.push(batch.messages.len());
            solo.consumed(&batch, settlement);
        }
    }
    sizes
}

#[test]
fn calls_of_a_quick_listener_are_handed_over_together_until_one_is_slow_or_fails() {
    let mut solo = together(8);
    solo.feed(0..100);
    assert_eq!(sizes(&mut solo, ms(0), &Settlement::Success)[..20], [1; 20], "before anything is known");
    solo.feed(100..200);
    assert_eq!(sizes(&mut solo, ms(20), &Settlement::Success)[..3], [8, 8, 8]);
    solo.feed(200..300);
    assert_eq!(sizes(&mut solo, ms(21), &Settlement::Success)[..12], [8; 12]);
    solo.feed(300..400);
    assert_eq!(sizes(&mut solo, ms(21), &Settlement::Success)[..20], [1; 20]);
}

#[test]
fn parts_of_a_batch_settle_for_themselves_and_the_rest_goes_on() {
    let mut solo = Solo::plain();
    solo.feed(0..5);
    let batch = solo.batch();
    let part = vec![(0, Settlement::Success), (2, Settlement::ReconsumeLater(RetryDelay::Level(3)))];
    solo.group.handle_consumed_part(solo.now, batch.id, part);
    let back = take!(solo, Action::SendBack(request) => request);
    assert_eq!((back.delay_level, back.message.queue_offset()), (3, 2));
    let status = solo.status(0);
    assert_eq!((status.commit_offset, status.in_flight, status.sending_back), (1, 3, 1));
    assert_eq!(solo.group.batches(solo.now)[0].messages, 3);

    solo.group.handle_returned_part(solo.now, batch.id, &[3, 4]);
    solo.pump();
    let again = solo.batch();
    let offsets: Vec<_> = again.messages.iter().map(MessageExt::queue_offset).collect();
    assert_eq!(offsets, [3, 4], "given out again");
    solo.consumed(&again, &Settlement::Success);
    solo.group.handle_sent_back(solo.now, back.id, Ok(()));
    assert_eq!(solo.status(0).commit_offset, 1);

    solo.group.handle_consumed_part(solo.now, batch.id, vec![(1, Settlement::Success)]);
    assert_eq!((solo.status(0).commit_offset, solo.status(0).in_flight), (5, 0));
    assert_eq!(solo.group.batches(solo.now).len(), 0);
    solo.group.handle_consumed_part(solo.now, batch.id, vec![(1, Settlement::Success)]);
    let stats = solo.group.stats();
    assert_eq!((stats.delivered, stats.succeeded, stats.reconsumed), (5, 4, 1));
}

#[test]
fn a_send_back_that_fails_holds_the_offset_and_is_tried_again_without_the_listener() {
    let mut solo = Solo::plain();
    solo.feed(0..1);
    let batch = solo.batch();
    solo.consumed(&batch, &LATER);
    for (failure, wait) in [(1, 5_500), (2, 11_000)] {
        let id = take!(solo, Action::SendBack(request) => request.id);
        solo.group.handle_sent_back(solo.now, id, Err("broker busy".to_owned()));
        assert_eq!(
            (solo.status(0).commit_offset, solo.status(0).sending_back),
            (0, 1),
            "after failure {failure}"
        );
        solo.wait(ms(4_900));
        assert!(!solo.has(|action| matches!(action, Action::SendBack(_))), "not before 5 s");
        solo.wait(ms(wait - 4_900));
    }
    let id = take!(solo, Action::SendBack(request) => request.id);
    solo.group.handle_sent_back(solo.now, id, Ok(()));
    assert_eq!((solo.status(0).commit_offset, solo.group.stats().delivered), (1, 1));
    assert!(!solo.has(|action| matches!(action, Action::Consume(_))));
}

#[test]
fn send_backs_on_the_way_are_bounded() {
    let config = GroupConfig { max_send_backs_in_flight: 2, ..GroupConfig::new("orders") };
    let mut solo = Solo::consuming(config, &[listener(1, &[("t", "*")])], &[0]);
    solo.feed(0..5);
    let batch = solo.batch();
    solo.consumed(&batch, &LATER);
    assert_eq!(solo.count(|action| matches!(action, Action::SendBack(_))), 2);
    let id = take!(solo, Action::SendBack(request) => request.id);
    solo.group.handle_sent_back(solo.now, id, Ok(()));
    assert_eq!(solo.count(|action| matches!(action, Action::SendBack(_))), 2);
}

#[test]
fn a_fresh_groups_retry_topic_is_looked_for_until_it_is_there() {
    let mut solo = Solo::plain();
    solo.wait(ms(20_000));
    solo.answer_routes(&[0]);
    solo.members(&[solo::OWN_ID]);
    solo.feed(0..1);
    let batch = solo.batch();
    solo.consumed(&batch, &LATER);
    let id = take!(solo, Action::SendBack(request) => request.id);
    solo.group.handle_sent_back(solo.now, id, Ok(()));
    // Missing at first, and there a little later.
    for _ in 0..2 {
        solo.wait(ms(1_100));
        let topic = take!(solo, Action::RefreshRoute { topic } => topic);
        assert_eq!(&*topic, RETRY_TOPIC);
        solo.group.handle_route(solo.now, &topic, Route::Missing);
    }
    solo.wait(ms(2_200));
    let topic = take!(solo, Action::RefreshRoute { topic } => topic);
    let retry = MessageQueue::new(RETRY_TOPIC, "broker-a", 0);
    solo.group.handle_route(solo.now, &topic, Route::Found(vec![retry.clone()]));
    solo.members(&[solo::OWN_ID]);
    solo.members(&[solo::OWN_ID]);
    let id = take!(solo, Action::QueryOffset { id, .. } => id);
    solo.group.handle_offset(solo.now, id, OffsetAnswer::NotFound);
    let (_plain, pull) = (solo.pull(), solo.pull());
    assert_eq!((pull.mq.clone(), pull.offset), (retry.clone(), 0), "a retry topic is read from its start");

    let back = message_with(&retry, 0, &[("RETRY_TOPIC", "t")], 1, 1);
    solo.answer(pull.id, found(vec![back], 1));
    let batch = solo.batch();
    assert_eq!((&*batch.topic, batch.mq, batch.listener), ("t", retry, ListenerId(1)));
}

#[test]
fn a_retry_goes_to_the_listener_of_its_first_topic_and_tag() {
    let listeners = [listener(1, &[("t", "a")]), listener(2, &[("t", "b"), ("u", "*")])];
    let mut solo = Solo::new(GroupConfig::new("orders"));
    solo.listen(&listeners);
    let retry = MessageQueue::new(RETRY_TOPIC, "broker-a", 0);
    solo.group.handle_route(solo.now, RETRY_TOPIC, Route::Found(vec![retry.clone()]));
    solo.heartbeat();
    solo.members(&[solo::OWN_ID]);
    let id = take!(solo, Action::QueryOffset { id, .. } => id);
    solo.group.handle_offset(solo.now, id, OffsetAnswer::Found(0));
    let pull = solo.pull();
    let messages = vec![
        message(&retry, 0, &[("RETRY_TOPIC", "t"), ("TAGS", "b")]),
        message(&retry, 1, &[("RETRY_TOPIC", "u"), ("TAGS", "b")]),
        message(&retry, 2, &[("RETRY_TOPIC", "t"), ("TAGS", "a")]),
        message(&retry, 3, &[("RETRY_TOPIC", "gone"), ("TAGS", "a")]),
        message(&retry, 4, &[("TAGS", "sent straight to the retry topic")]),
    ];
    solo.answer(pull.id, found(messages, 5));
    let batches: Vec<Batch> = (0..4).map(|_| solo.batch()).collect();
    let seen = batches.iter().map(|batch| {
        (batch.listener.0, &*batch.topic, batch.messages.iter().map(|m| m.queue_offset()).collect::<Vec<_>>())
    });
    let expected = [(2, "t", vec![0]), (2, "u", vec![1]), (1, "t", vec![2]), (1, RETRY_TOPIC, vec![4])];
    assert_eq!(seen.collect::<Vec<_>>(), expected);
    assert_eq!(solo.group.stats().filtered, 1);
}

#[test]
fn a_paused_listener_gets_nothing_and_loses_nothing() {
    let listeners = [ListenerSpec { paused: true, ..listener(1, &[("t", "a")]) }, listener(2, &[("t", "b")])];
    let mut solo = Solo::consuming(GroupConfig::new("orders"), &listeners, &[0]);
    let pull = solo.pull();
    let tags = ["a", "b", "a", "b"];
    let messages =
        tags.iter().zip(0..).map(|(tag, offset)| message(&mq(0), offset, &[("TAGS", tag)])).collect();
    solo.answer(pull.id, found(messages, 4));
    let batch = solo.batch();
    assert_eq!((batch.listener, batch.messages.len()), (ListenerId(2), 2));
    solo.consumed(&batch, &Settlement::Success);
    assert!(!solo.has(|action| matches!(action, Action::Consume(_))));
    assert_eq!(solo.status(0).commit_offset, 0);
    solo.group.resume_listener(ListenerId(1));
    let batch = solo.batch();
    solo.consumed(&batch, &Settlement::Success);
    assert_eq!((batch.listener, solo.status(0).commit_offset), (ListenerId(1), 4));
}

#[test]
fn a_batch_that_no_listener_saw_is_given_out_again() {
    let mut solo = Solo::plain();
    solo.feed(0..2);
    let batch = solo.batch();
    solo.group.handle_returned(solo.now, batch.id);
    let again = solo.batch();
    assert_eq!(again.messages, batch.messages);
    solo.consumed(&batch, &Settlement::Success);
    assert_eq!(solo.status(0).commit_offset, 0, "the first hand-out no longer counts");
    solo.consumed(&again, &Settlement::Success);
    assert_eq!((solo.status(0).commit_offset, solo.group.stats().delivered), (2, 2));
}

#[test]
fn a_pull_that_is_refused_for_its_subscription_brings_a_heartbeat_and_comes_again_in_three_seconds() {
    let mut solo = Solo::plain();
    let pull = solo.pull();
    let code = ResponseCode::SUBSCRIPTION_NOT_LATEST;
    solo.answer(pull.id, PullOutcome::Refused { code, remark: "old".to_owned() });
    solo.heartbeat();
    solo.wait(ms(2_999));
    assert!(!solo.has(|action| matches!(action, Action::Pull(_))));
    solo.wait(ms(1));
    assert_eq!(solo.pull().offset, 0);
}

#[test]
fn an_illegal_offset_drops_the_cache_waits_for_batches_stores_and_goes_on() {
    let one_by_one = ListenerSpec { batch_max_size: Some(1), ..listener(1, &[("t", "*")]) };
    let config = GroupConfig { consume_thread_min: 1, consume_thread_max: 2, ..GroupConfig::new("orders") };
    let mut solo = Solo::consuming(config, &[one_by_one], &[0]);
    solo.feed(0..5);
    let (good, bad) = (solo.batch(), solo.batch());
    let pull = solo.pull();
    solo.answer(pull.id, answered(PullStatus::OffsetIllegal, Vec::new(), 3_000));
    assert_eq!(solo.status(0).phase, QueuePhase::Correcting);
    solo.consumed(&good, &Settlement::Success);
    solo.consumed(&bad, &LATER);
    assert!(!solo.has(|action| matches!(action, Action::Consume(_) | Action::Pull(_))), "the cache is gone");
    let send_back = take!(solo, Action::SendBack(request) => request.id);
    assert!(
        !solo.has(|action| matches!(action, Action::PersistOffset { .. })),
        "the send-back is waited for"
    );
    solo.group.handle_sent_back(solo.now, send_back, Ok(()));
    let (id, offset, mode) =
        take!(solo, Action::PersistOffset { id, offset, mode, .. } => (id, offset, mode));
    assert_eq!((offset, mode), (3_000, PersistMode::Sync));
    assert!(!solo.has(|action| matches!(action, Action::Pull(_))));
    solo.group.handle_persisted(solo.now, id, Ok(()));
    let pull = solo.pull();
    assert_eq!((pull.offset, pull.commit_offset), (3_000, Some(3_000)));
    assert_eq!(solo.status(0).phase, QueuePhase::Consuming);
}

#[test]
fn a_corrected_offset_may_lie_before_what_was_consumed() {
    let mut solo = Solo::plain();
    solo.feed(0..50);
    let batches = [solo.batch(), solo.batch()];
    for batch in &batches {
        solo.consumed(batch, &Settlement::Success);
    }
    assert_eq!(solo.status(0).commit_offset, 50);
    let pull = solo.pull();
    solo.answer(pull.id, answered(PullStatus::OffsetIllegal, Vec::new(), 10));
    let id = take!(solo, Action::PersistOffset { id, offset: 10, .. } => id);
    solo.group.handle_persisted(solo.now, id, Ok(()));
    assert_eq!(solo.pull().offset, 10);
    assert_eq!(solo.status(0).commit_offset, 10);
}

#[test]
fn a_status_tells_how_long_the_head_waits_and_the_longest_batch_runs() {
    let mut solo = Solo::plain();
    solo.feed(0..2);
    solo.batch();
    solo.wait(ms(7_000));
    let status = solo.status(0);
    assert_eq!((status.head_age, status.longest_running), (Some(ms(7_000)), Some(ms(7_000))));
    assert_eq!((status.in_flight, status.cached_count, status.max_offset), (2, 2, 2));
}

#[test]
fn absurd_offsets_from_a_broker_do_no_harm() {
    for next in [i64::MAX, i64::MIN, -1, 0] {
        for offset in [i64::MAX, i64::MIN, -1] {
            let config = GroupConfig { max_backward_jump: None, ..GroupConfig::new("orders") };
            let mut solo = Solo::consuming(config, &[listener(1, &[("t", "*")])], &[0]);
            let pull = solo.pull();
            solo.answer(pull.id, found(vec![message(&mq(0), offset, &[])], next));
            if solo.has(|action| matches!(action, Action::Consume(_))) {
                let batch = solo.batch();
                solo.consumed(&batch, &Settlement::Success);
            }
            // An answer that contradicts itself is a failure, and is waited out.
            solo.wait(ms(2_000));
            let pull = solo.pull();
            solo.answer(pull.id, answered(PullStatus::OffsetIllegal, Vec::new(), next));
            let (id, stored) = take!(solo, Action::PersistOffset { id, offset, mode: PersistMode::Sync, .. } => (id, offset));
            assert_eq!(stored, next.max(0));
            solo.group.handle_persisted(solo.now, id, Ok(()));
            solo.wait(ms(2_000));
            assert_eq!(solo.pull().offset, next.max(0));
        }
    }
}
