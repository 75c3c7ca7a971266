//! A group that pops, answered by hand: what is popped, what each result becomes, and what time does to both.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests"
)]

mod pop_solo;

use gantry_core::*;
use gantry_protocol::{MessageQueue, ResponseCode};
use pop_solo::*;

fn config() -> GroupConfig {
    GroupConfig::new("orders")
}

/// A listener of every message, in batches of four.
fn fours() -> ListenerSpec {
    ListenerSpec { batch_max_size: Some(4), ..listener(1, "*") }
}

#[test]
fn without_an_assignment_any_queue_of_every_broker_is_popped() {
    let mut solo = Solo::popping(config(), &[fours()]);
    let pop = solo.pop();
    assert_eq!((pop.mq, pop.max_msg_nums, pop.from_first), (any_queue("broker-a"), 32, false));
    assert_eq!((pop.invisible_time, pop.subscription.expression.text()), (ms(60_000), "*"));
    solo.route(&["broker-a", "broker-b"]);
    assert_eq!(solo.pop().mq, any_queue("broker-b"));
    solo.nothing("another pop", |action| matches!(action, Action::Pop(_)));
}

#[test]
fn a_brokers_assignment_is_obeyed_and_outlives_answers_that_say_nothing() {
    let mut solo = Solo::connected(config(), &[fours()]);
    let mine = MessageQueue::new("t", "broker-a", 2);
    solo.assigned(Assignment::Queues(vec![mine.clone(), MessageQueue::new("t", "broker-x", 0)]));
    assert_eq!(solo.pop().mq, mine, "a broker that no route names is not asked");
    for silent in [Assignment::Queues(Vec::new()), Assignment::Failed("no connection".to_owned())] {
        solo.wait(ms(20_000));
        solo.assigned(silent);
        assert!(solo.group.queues(solo.now).map(|queue| queue.mq).eq([mine.clone()]));
    }
    solo.group.handle_members_changed(solo.now);
    solo.pump();
    solo.assigned(Assignment::Unset);
    assert!(solo.group.queues(solo.now).map(|queue| queue.mq).eq([any_queue("broker-a")]));
}

#[test]
fn results_become_acknowledgements_delays_and_dead_letters() {
    let mut solo = Solo::popping(config(), &[fours()]);
    solo.feed(0..4);
    let batch = solo.batch();
    assert_eq!((offsets(&batch), batch.mq.queue_id), (vec![0, 1, 2, 3], 0));
    let later = |delay| Settlement::ReconsumeLater(delay);
    let dead = Settlement::DeadLetter("rotten".to_owned());
    let results =
        [Settlement::Success, later(RetryDelay::Millis(1_234)), dead, later(RetryDelay::ByAttempts)];
    solo.consumed(&batch, &results);
    let ack = solo.ack();
    assert_eq!((acked_offsets(&ack), &*ack.broker_name), (vec![0], "broker-a"));
    for (offset, delay) in [(1, 1_234), (3, 10_000)] {
        let change = solo.change();
        assert_eq!(
            (change.receipt.offset, change.invisible_time, change.suspend),
            (offset, ms(delay), false)
        );
        solo.changed(&change);
    }
    let Action::SendBack(back) = solo.take("a dead letter", |action| matches!(action, Action::SendBack(_)))
    else {
        panic!()
    };
    assert_eq!((back.message.queue_offset(), back.delay_level, &*back.origin_topic), (2, -1, "t"));
    solo.acked(&ack, Ok(()));
    solo.nothing("an acknowledgement before it is filed", |action| matches!(action, Action::Ack(_)));
    solo.group.handle_sent_back(solo.now, back.id, Ok(()));
    solo.pump();
    let ack = solo.ack();
    assert_eq!(acked_offsets(&ack), [2]);
    assert_eq!(solo.held(), 1);
    solo.acked(&ack, Ok(()));
    assert_eq!(solo.held(), 0);
    assert!(solo.events.iter().any(|event| event.contains("rotten")), "{:?}", solo.events);
}

#[test]
fn a_message_that_has_had_its_retries_is_a_dead_letter() {
    let spec = ListenerSpec { max_reconsume_times: Some(2), ..fours() };
    let mut solo = Solo::popping(config(), &[spec]);
    let pop = solo.pop();
    let messages = (1..=2).map(|times| popped(message(i64::from(times), "a", times), 1, pop.invisible_time));
    solo.found(&pop, messages.collect());
    let batch = solo.batch();
    let later = Settlement::ReconsumeLater(RetryDelay::Millis(1));
    solo.consumed(&batch, &[later.clone(), later]);
    assert_eq!(solo.change().receipt.offset, 1);
    let is = |action: &Action| matches!(action, Action::SendBack(back) if back.message.queue_offset() == 2);
    solo.take("a dead letter", is);
}

#[test]
fn acknowledgements_gather_while_others_are_on_their_way() {
    let one = ListenerSpec { batch_max_size: Some(1), ..listener(1, "*") };
    let mut solo = Solo::popping(config(), &[one]);
    solo.feed(0..6);
    let batches: Vec<Batch> = (0..6).map(|_| solo.batch()).collect();
    for batch in &batches {
        solo.consumed(batch, &[Settlement::Success]);
    }
    let (first, second) = (solo.ack(), solo.ack());
    assert_eq!((acked_offsets(&first), acked_offsets(&second)), (vec![0], vec![1]));
    solo.nothing("a third", |action| matches!(action, Action::Ack(_)));
    solo.acked(&first, Ok(()));
    assert_eq!(acked_offsets(&solo.ack()), [2, 3, 4, 5]);
}

#[test]
fn a_failed_acknowledgement_is_tried_again_while_the_message_is_hidden() {
    let mut solo = Solo::popping(config(), &[fours()]);
    solo.feed(0..1);
    let batch = solo.batch();
    solo.consumed(&batch, &[Settlement::Success]);
    let mut tries = 0;
    while solo.held() > 0 {
        let ack = solo.ack();
        tries += 1;
        solo.acked(&ack, Err("no connection".to_owned()));
        solo.wait(ms(11_100));
    }
    assert!((5..=10).contains(&tries), "{tries} tries in a minute");
    assert!(solo.events.iter().any(|event| event.contains("delivers it again")), "{:?}", solo.events);
    assert_eq!(solo.group.stats().expired, 1);
}

#[test]
fn what_a_broker_lets_through_by_hash_alone_is_acknowledged_unseen() {
    // "Aa" and "BB" have one hash code.
    let mut solo = Solo::popping(config(), &[listener(1, "Aa")]);
    let pop = solo.pop();
    let mut filtered = popped(message(2, "Aa", 0), 1, pop.invisible_time);
    filtered.filtered = true;
    let messages = ["Aa", "BB"].into_iter().zip(0..);
    let messages = messages.map(|(tag, offset)| popped(message(offset, tag, 0), 1, pop.invisible_time));
    solo.found(&pop, messages.chain([filtered]).collect());
    assert_eq!(offsets(&solo.batch()), [0]);
    solo.no_batch();
    assert_eq!(acked_offsets(&solo.ack()), [1, 2]);
}

#[test]
fn a_queue_with_too_much_unsettled_is_not_popped() {
    let settings =
        GroupConfig { pop_threshold_for_queue: 40, consume_thread_max: 1, consume_thread_min: 1, ..config() };
    let mut solo = Solo::popping(settings, &[fours()]);
    solo.feed(0..32);
    solo.feed(32..64);
    solo.nothing("a pop", |action| matches!(action, Action::Pop(_)));
    for _ in 0..6 {
        let batch = solo.batch();
        solo.consumed(&batch, &[const { Settlement::Success }; 4]);
        let ack = solo.ack();
        solo.nothing("a pop", |action| matches!(action, Action::Pop(_)));
        solo.acked(&ack, Ok(()));
    }
    assert_eq!(solo.held(), 40);
    solo.pop();
}

#[test]
fn what_waits_for_too_long_is_given_to_nobody() {
    let settings = GroupConfig { consume_thread_max: 1, consume_thread_min: 1, ..config() };
    let mut solo = Solo::popping(settings, &[listener(1, "*")]);
    solo.feed(0..2);
    let batch = solo.batch();
    // The one at the listener is hidden for longer, the other is not.
    solo.wait(ms(40_000));
    let change = solo.change();
    assert_eq!((change.receipt.offset, change.invisible_time), (0, ms(60_000)));
    solo.changed(&change);
    // Of the other's time too little is left to be lengthened before the broker gives it to another.
    solo.wait(ms(19_600));
    solo.consumed(&batch, &[Settlement::Success]);
    solo.no_batch();
    let ack = solo.ack();
    assert_eq!(ack.acks[0].1.pop_time, change.receipt.pop_time + 1, "what settles it is the new receipt");
    solo.acked(&ack, Ok(()));
    assert_eq!((solo.held(), solo.group.stats().expired), (0, 1));
}

#[test]
fn results_wait_for_the_answer_about_their_messages_invisible_time() {
    let mut solo = Solo::popping(config(), &[fours()]);
    solo.feed(0..2);
    let batch = solo.batch();
    solo.wait(ms(40_000));
    let (first, second) = (solo.change(), solo.change());
    solo.consumed(&batch, &[Settlement::Success, Settlement::Success]);
    solo.changed(&second);
    solo.nothing("an acknowledgement", |action| matches!(action, Action::Ack(_)));
    solo.changed(&first);
    assert_eq!(acked_offsets(&solo.ack()), [0, 1]);
}

#[test]
fn a_result_that_comes_after_the_invisible_time_counts_for_nothing() {
    let mut solo = Solo::popping(config(), &[fours()]);
    solo.feed(0..1);
    let batch = solo.batch();
    solo.wait(ms(40_000));
    // It cannot be lengthened.
    while solo.actions.iter().any(|action| matches!(action, Action::ChangeInvisibleTime(_))) {
        let change = solo.change();
        solo.group.handle_changed(solo.now, change.id, Err("no connection".to_owned()));
        solo.wait(ms(11_000));
    }
    solo.wait(ms(20_000));
    solo.consumed(&batch, &[Settlement::Success]);
    solo.nothing("an acknowledgement", |action| matches!(action, Action::Ack(_)));
    assert_eq!((solo.held(), solo.group.stats().late_results), (0, 1));
}

#[test]
fn a_listener_that_never_answers_does_not_keep_its_message_for_ever() {
    let mut solo = Solo::popping(config(), &[fours()]);
    solo.feed(0..1);
    let _at_its_listener = solo.batch();
    let mut lengthened = 0;
    for _ in 0..2_000 {
        solo.wait(ms(10_000));
        while solo.actions.iter().any(|action| matches!(action, Action::ChangeInvisibleTime(_))) {
            let change = solo.change();
            solo.changed(&change);
            lengthened += 1;
        }
    }
    assert!((180..=360).contains(&lengthened), "{lengthened} times, for three hours");
}

#[test]
fn a_paused_listeners_topic_is_not_popped() {
    let mut solo = Solo::popping(config(), &[fours()]);
    let pop = solo.pop();
    solo.group.pause_listener(ListenerId(1));
    solo.found(&pop, vec![popped(message(0, "a", 0), 1, pop.invisible_time)]);
    solo.no_batch();
    solo.nothing("a pop", |action| matches!(action, Action::Pop(_)));
    solo.group.resume_listener(solo.now, ListenerId(1));
    solo.pump();
    assert_eq!(offsets(&solo.batch()), [0]);
    solo.pop();
}

#[test]
fn a_batch_that_no_listener_took_goes_out_again() {
    let mut solo = Solo::popping(config(), &[fours()]);
    solo.feed(0..6);
    let batch = solo.batch();
    let _beside = solo.batch();
    solo.group.handle_returned(solo.now, batch.id);
    solo.pump();
    assert_eq!(offsets(&solo.batch()), [0, 1, 2, 3]);
}

#[test]
fn an_empty_answer_that_came_at_once_is_not_followed_at_once() {
    let mut solo = Solo::popping(config(), &[fours()]);
    for _ in 0..3 {
        let pop = solo.pop();
        solo.group.handle_popped(solo.now, pop.id, PopOutcome::NothingYet);
        solo.pump();
        solo.nothing("a pop", |action| matches!(action, Action::Pop(_)));
        solo.wait(ms(200));
    }
    let pop = solo.pop();
    solo.wait(ms(15_000));
    solo.group.handle_popped(solo.now, pop.id, PopOutcome::NothingYet);
    solo.pump();
    solo.pop();
}

#[test]
fn pops_that_fail_are_tried_less_often_and_a_broker_without_pop_is_named() {
    let mut solo = Solo::popping(config(), &[fours()]);
    for wait in [1_100, 2_200, 4_400, 5_500] {
        let pop = solo.pop();
        let (code, remark) = (ResponseCode::REQUEST_CODE_NOT_SUPPORTED, "no".to_owned());
        solo.group.handle_popped(solo.now, pop.id, PopOutcome::Refused { code, remark });
        solo.pump();
        solo.wait(ms(900));
        solo.nothing("a pop", |action| matches!(action, Action::Pop(_)));
        solo.wait(ms(wait - 900));
    }
    solo.pop();
    assert!(solo.events.iter().any(|event| event.contains("mode = \"pull\"")), "{:?}", solo.events);
}

#[test]
fn the_end_gives_back_what_waits_and_settles_what_is_at_listeners() {
    let settings = GroupConfig { consume_thread_max: 1, consume_thread_min: 1, ..config() };
    let mut solo = Solo::popping(settings, &[fours()]);
    solo.feed(0..6);
    let pop = solo.pop();
    let batch = solo.batch();
    solo.group.shut_down(solo.now, ms(10_000));
    solo.pump();
    for offset in [4, 5] {
        let change = solo.change();
        assert_eq!((change.receipt.offset, change.suspend), (offset, true));
        solo.changed(&change);
    }
    // A pop that was on its way may still bring something.
    solo.found(&pop, vec![popped(message(9, "a", 0), 1, pop.invisible_time)]);
    let change = solo.change();
    assert_eq!((change.receipt.offset, change.suspend), (9, true));
    solo.changed(&change);
    solo.nothing("the end", |action| matches!(action, Action::Terminated(_)));
    solo.consumed(&batch, &[const { Settlement::Success }; 4]);
    let ack = solo.ack();
    solo.acked(&ack, Ok(()));
    solo.take("leaving", |action| matches!(action, Action::Unregister));
    let is = |action: &Action| matches!(action, Action::Terminated(report) if report.is_graceful());
    solo.take("the end", is);
}

#[test]
fn the_end_does_not_wait_for_listeners_or_brokers_for_ever() {
    let mut solo = Solo::popping(config(), &[fours()]);
    solo.feed(0..8);
    let (batch, _spins) = (solo.batch(), solo.batch());
    solo.group.shut_down(solo.now, ms(10_000));
    solo.pump();
    solo.consumed(&batch, &[const { Settlement::Success }; 4]);
    let _unanswered = solo.ack();
    solo.wait(ms(10_000));
    solo.nothing("the end", |action| matches!(action, Action::Terminated(_)));
    solo.wait(ms(3_000));
    let Action::Terminated(report) = solo.take("the end", |action| matches!(action, Action::Terminated(_)))
    else {
        panic!()
    };
    assert_eq!((report.batches_running, report.unsettled), (1, 8));
}

#[test]
fn what_a_group_that_pops_cannot_have_is_refused_by_name() {
    let refused = |config: GroupConfig| PopConsumerGroup::new(config, "c", 1).err().unwrap().to_string();
    let broadcasting = refused(GroupConfig { message_model: MessageModel::Broadcasting, ..config() });
    assert!(broadcasting.starts_with("message_model must be clustering"), "{broadcasting}");
    let orderly = refused(GroupConfig { consume_mode: ConsumeMode::Orderly, ..config() });
    assert!(orderly.starts_with("consume_mode must be concurrently"), "{orderly}");
    let timestamp = GroupConfig { consume_from_where: ConsumeFromWhere::Timestamp(1), ..config() };
    assert!(refused(timestamp).starts_with("consume_from_where must be"));
    let short = refused(GroupConfig { pop_invisible_time: ms(4_999), ..config() });
    assert!(short.starts_with("pop_invisible_time must be 5s to 300s"), "{short}");
}
