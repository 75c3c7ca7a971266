//! Every guest of tests/guests has a test here.

use std::{collections::BTreeSet, fs, sync::Arc, time::Duration};

use gantry_engine::{
    ConsumeFromWhere, ConsumeMode, ConsumeResult, FailureKind, Grants, GuestFailure, ListenerModule,
    LoadError, MessageBatch, MessageModel, Order, OwnedMessage, RetryDelay, consume_isolated,
};

use crate::{
    common::{
        CONTEXT, PATIENCE, SHORT, batch, causes, component, consume, engine, failed_alone, guest, repository,
    },
    granted, lean, life, messaging, reaching, selectors, strategies,
};

/// Which test is whose: a guest that is not here fails `every_guest_has_a_test`.
const TESTS: &[(&str, fn())] = &[
    ("bare", lean::any_other_count_is_a_contract_error),
    ("broadcast", a_broadcasting_listener_is_taken_and_answers),
    ("describe-traps", a_trap_in_describe_rejects_the_file),
    ("init-fails", life::a_failing_init_rejects_the_file),
    ("init-traps", life::a_trap_in_init_rejects_the_file),
    ("lifecycle", life::every_role_works_in_instances_that_have_begun),
    ("grows", a_guest_that_hoards_memory_is_stopped_at_the_cap),
    ("imports-clock", a_clock_is_refused_until_it_is_granted),
    ("listener-and-strategy", strategies::a_component_may_be_a_listener_and_a_strategy),
    ("listener-error", the_listeners_own_error_gives_the_whole_batch_back),
    ("messaging", messaging::every_answer_of_a_handler_comes_through),
    ("minimal-records", a_listener_of_records_answers),
    ("orderly", an_orderly_batch_stops_at_the_first_message_that_is_not_consumed),
    ("poison", a_panic_retries_only_the_poison_message),
    ("reaches-out", reaching::a_listed_host_is_asked_and_no_other),
    ("scripted", every_answer_of_the_contract_comes_through),
    ("scripted-packed", every_answer_of_the_contract_comes_through),
    ("scripted-records", every_answer_of_the_contract_comes_through),
    ("selector-absurd", selectors::a_queue_that_there_is_not_is_no_answer),
    ("selector-spins", selectors::a_selector_in_an_endless_loop_is_stopped),
    ("selector-traps", selectors::a_selector_that_traps_gives_no_answer_each_time),
    ("sleeper", a_listener_that_sleeps_takes_its_time),
    ("spins", an_endless_loop_is_stopped_and_its_neighbours_answered),
    ("strategy-blocks", strategies::runs_of_queues_are_a_sound_division),
    ("strategy-doubles", strategies::a_doubled_queue_is_in_several_answers),
    ("strategy-drops", strategies::a_dropped_queue_is_in_no_answer),
    ("strategy-fickle", strategies::a_strategy_remembers_nothing_from_one_question_to_the_next),
    ("strategy-grows", strategies::a_strategy_that_hoards_memory_is_stopped_at_the_cap),
    ("strategy-invents", strategies::an_invented_queue_is_passed_on_to_be_judged),
    ("strategy-spins", strategies::a_strategy_in_an_endless_loop_is_stopped),
    ("strategy-traps", strategies::a_strategy_that_traps_gives_no_answer_each_time),
    ("tells", every_form_of_listener_is_told_the_same),
    ("tells-packed", every_form_of_listener_is_told_the_same),
    ("tells-records", every_form_of_listener_is_told_the_same),
    ("too-few", a_wrong_number_of_results_gives_the_whole_batch_back),
    ("traps", a_listener_that_always_traps_gives_every_message_back),
    ("unsound", an_unsound_description_rejects_the_file),
    ("uses-grants", granted::every_service_answers_where_it_is_granted),
];

const LATER: ConsumeResult = ConsumeResult::ReconsumeLater(RetryDelay::ByAttempts);

#[test]
fn every_guest_has_a_test() {
    let folders = fs::read_dir(repository().join("tests/guests")).unwrap();
    let guests: BTreeSet<String> = folders
        .map(Result::unwrap)
        .filter(|entry| entry.path().join("Cargo.toml").exists())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    let tested: BTreeSet<String> = TESTS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(guests, tested);
}

#[test]
fn a_trap_in_describe_rejects_the_file() {
    let error = engine().load(&component("describe-traps"), &Grants::NONE).unwrap_err();
    assert!(matches!(error, LoadError::DescribeFailed(GuestFailure::Trap { .. })), "{error}");
    assert!(error.to_string().contains("`describe`"), "{error}");
}

#[test]
fn an_unsound_description_rejects_the_file() {
    let error = engine().load(&component("unsound"), &Grants::NONE).unwrap_err();
    let LoadError::UnsoundDescription(unsound) = &error else { panic!("{error}") };
    assert_eq!(unsound.field, "consumer-group");
    assert!(error.to_string().contains("`not a group!`"), "{error}");
}

#[test]
fn a_clock_is_refused_until_it_is_granted() {
    let file = component("imports-clock");
    let error = engine().load(&file, &Grants::NONE).unwrap_err();
    let LoadError::UngrantedImport(refused) = &error else { panic!("{error}") };
    assert_eq!(refused.len(), 1);
    assert!(refused[0].import.starts_with("wasi:clocks/monotonic-clock@0.2"), "{error}");
    assert!(error.to_string().contains("grants = [\"clocks\"]"), "{error}");

    let granted = Grants { clocks: true, ..Grants::NONE };
    let module = engine().load(&file, &granted).unwrap();
    let report = consume(&module, &["a"], PATIENCE);
    assert_eq!(report.outcomes[0].result, ConsumeResult::Success);
}

#[test]
fn a_panic_retries_only_the_poison_message() {
    let module = guest("poison");
    let report = consume(&module, &["a", "poison", "b", "c"], PATIENCE);
    assert_eq!(causes(&report), ["answered-alone", "trap", "answered-alone", "answered-alone"]);
    let results: Vec<_> = report.outcomes.iter().map(|outcome| outcome.result.clone()).collect();
    assert_eq!(results, [ConsumeResult::Success, LATER, ConsumeResult::Success, ConsumeResult::Success]);
    assert!(failed_alone(&report.outcomes[1].cause));
    assert_eq!((report.calls, report.instances_lost), (5, 2));

    let healthy = consume(&module, &["a", "b"], PATIENCE);
    assert_eq!(causes(&healthy), ["answered", "answered"]);
}

#[test]
fn a_listener_that_always_traps_gives_every_message_back() {
    let report = consume(&guest("traps"), &["a", "b"], PATIENCE);
    assert_eq!(causes(&report), ["trap", "trap"]);
    assert_eq!(report.batch_failure.map(|failure| failure.kind()), Some(FailureKind::Trap));
    assert_eq!((report.calls, report.instances_lost), (3, 3));
}

#[test]
fn an_endless_loop_is_stopped_and_its_neighbours_answered() {
    let module = guest("spins");
    let report = consume(&module, &["a", "spin", "b"], SHORT);
    assert_eq!(causes(&report), ["answered-alone", "deadline", "answered-alone"]);
    assert!(report.took >= SHORT * 2, "a deadline is never cut short: {:?}", report.took);

    let many = consume(&module, &["spin", "spin", "spin", "a"], SHORT);
    assert_eq!(causes(&many), ["deadline", "deadline", "deadline", "not-run"]);
    assert_eq!(many.outcomes[3].result, LATER);
}

#[test]
fn a_guest_that_hoards_memory_is_stopped_at_the_cap() {
    let module = guest("grows");
    let report = consume(&module, &["a", "grow"], PATIENCE);
    assert_eq!(causes(&report), ["answered-alone", "memory-exceeded"]);
    let failure = report.outcomes[1].cause.failure().cloned();
    let Some(GuestFailure::MemoryExceeded { asked_bytes, max_bytes }) = failure else {
        panic!("{failure:?}")
    };
    assert_eq!(max_bytes, 64 << 20);
    assert!(asked_bytes > max_bytes);
}

#[test]
fn a_wrong_number_of_results_gives_the_whole_batch_back() {
    let report = consume(&guest("too-few"), &["a", "b", "c"], PATIENCE);
    assert_eq!(causes(&report), ["wrong-count"; 3]);
    assert!(report.outcomes.iter().all(|outcome| outcome.result == LATER));
    let failure = report.batch_failure.unwrap();
    assert_eq!(*failure, GuestFailure::WrongCount { expected: 3, got: 2 });
    assert_eq!((report.calls, report.instances_lost), (1, 0));
}

#[test]
fn the_listeners_own_error_gives_the_whole_batch_back() {
    let report = consume(&guest("listener-error"), &["a", "b"], PATIENCE);
    assert_eq!(causes(&report), ["listener-error"; 2]);
    let failure = report.batch_failure.unwrap();
    assert_eq!(*failure, GuestFailure::ListenerError("no database for 2 messages".into()));
    assert_eq!((report.calls, report.instances_lost), (1, 0));
}

#[test]
fn every_answer_of_the_contract_comes_through() {
    for name in ["scripted", "scripted-packed", "scripted-records"] {
        answers_as_asked(&guest(name));
    }
}

fn answers_as_asked(module: &ListenerModule) {
    let report =
        consume(module, &["ok", "later", "later:3", "later-ms:2500", "dead:rotten", "once"], PATIENCE);
    let results: Vec<_> = report.outcomes.into_iter().map(|outcome| outcome.result).collect();
    let expected = [
        ConsumeResult::Success,
        LATER,
        ConsumeResult::ReconsumeLater(RetryDelay::Level(3)),
        ConsumeResult::ReconsumeLater(RetryDelay::Milliseconds(2500)),
        ConsumeResult::DeadLetter("rotten".into()),
        LATER,
    ];
    assert_eq!(results, expected);
    assert_eq!((report.calls, report.instances_lost), (1, 0));
}

#[test]
fn a_listener_of_records_answers() {
    for name in ["minimal", "minimal-records"] {
        let results: Vec<_> = consume(&guest(name), &["hello", ""], PATIENCE).outcomes;
        assert_eq!(results[0].result, ConsumeResult::Success);
        assert_eq!(results[1].result, ConsumeResult::DeadLetter("a greeting without words".into()), "{name}");
    }
}

#[test]
fn every_form_of_listener_is_told_the_same() {
    let message = |index: usize| OwnedMessage {
        tags: index.is_multiple_of(2).then(|| "created".to_owned()),
        keys: "a b".into(),
        reconsume_times: u32::try_from(index).unwrap(),
        queue_offset: 1 << 40,
        born_timestamp: 1_795_471_392_040,
        store_timestamp: 1_795_471_392_041,
        user_properties: vec![("a".into(), "1".into()), ("Straße".into(), "中".into())],
        system_properties: vec![("RETRY_TOPIC".into(), "orders".into())],
        born_host: Some("192.0.2.2:5000".into()),
        store_host: Some("[2001:db8::1]:10911".into()),
        offset_message_id: Some("20010DB800000000000000000000000100002A9F00000000000000FF".into()),
        ..OwnedMessage::new(format!("id-{index}"), vec![7; index])
    };
    let messages: Arc<dyn MessageBatch> = Arc::new((0..5).map(message).collect::<Vec<_>>());
    let told = |name: &str| {
        let report =
            consume_isolated(&guest(name), &CONTEXT, &messages, 0..messages.len(), PATIENCE, Order::Any);
        report.outcomes.into_iter().map(|outcome| outcome.result).collect::<Vec<_>>()
    };
    let lean = told("tells");
    assert_eq!(lean, told("tells-packed"));
    assert_eq!(lean, told("tells-records"));
    assert_eq!(lean.len(), 5);
    for (index, result) in lean.iter().enumerate() {
        let ConsumeResult::DeadLetter(reason) = result else { panic!("{result:?}") };
        let wanted = format!("id=id-{index} offset-id=20010DB8");
        assert!(
            reason.contains(&wanted) && reason.contains("stored=1795471392041@[2001:db8::1]:10911"),
            "{reason}"
        );
    }
}

#[test]
fn an_orderly_batch_stops_at_the_first_message_that_is_not_consumed() {
    let module = guest("orderly");
    assert_eq!(module.description().consume_mode, ConsumeMode::Orderly);
    let run = |bodies: &[&str], deadline| {
        let report =
            consume_isolated(&module, &CONTEXT, &batch(bodies), 0..bodies.len(), deadline, Order::Kept);
        assert_eq!(report.outcomes.len(), bodies.len());
        (causes(&report), report.outcomes.into_iter().map(|outcome| outcome.result).collect::<Vec<_>>())
    };
    let (told, results) = run(&["ok", "later-once:50", "ok", "trap-once"], PATIENCE);
    assert_eq!(told, ["answered", "answered", "held-back", "held-back"], "nothing behind it was run");
    let soon = ConsumeResult::ReconsumeLater(RetryDelay::Milliseconds(50));
    assert_eq!(results, [ConsumeResult::Success, soon, LATER, LATER]);

    let (told, results) = run(&["ok", "trap-once", "ok"], PATIENCE);
    assert_eq!(told, ["answered-alone", "trap", "held-back"]);
    assert_eq!(results, [ConsumeResult::Success, LATER, LATER]);

    let (told, _) = run(&["ok", "spin-once", "dead"], SHORT);
    assert_eq!(told, ["answered-alone", "deadline", "held-back"]);
}

#[test]
fn a_broadcasting_listener_is_taken_and_answers() {
    let module = guest("broadcast");
    let description = module.description();
    assert_eq!(description.message_model, MessageModel::Broadcasting);
    assert_eq!(description.consume_from_where, ConsumeFromWhere::FirstOffset);
    let report = consume(&module, &["ok", "later", "trap", "dead"], PATIENCE);
    assert_eq!(causes(&report), ["answered-alone", "answered-alone", "trap", "answered-alone"]);
}

#[test]
fn a_listener_that_sleeps_takes_its_time() {
    let module = engine().load(&component("sleeper"), &Grants { clocks: true, ..Grants::NONE }).unwrap();
    let report = consume(&module, &["a", "b", "c"], PATIENCE);
    assert_eq!(causes(&report), ["answered"; 3]);
    assert!(report.took >= Duration::from_millis(6), "{:?}", report.took);
}

#[test]
fn a_message_seen_before_says_so() {
    let mut message = OwnedMessage::new("id", "once");
    message.reconsume_times = 1;
    let batch: std::sync::Arc<dyn gantry_engine::MessageBatch> = std::sync::Arc::new(vec![message]);
    let report = consume_isolated(&guest("scripted"), &CONTEXT, &batch, 0..batch.len(), PATIENCE, Order::Any);
    assert_eq!(report.outcomes[0].result, ConsumeResult::Success);
}

#[test]
fn a_property_is_answered_while_the_batch_is_at_hand_also_when_a_message_is_tried_alone() {
    let message = |body: &str, id: &str| {
        let mut message = OwnedMessage::new(id, body);
        message.system_properties = vec![("UNIQ_KEY".into(), id.into())];
        message
    };
    let messages = vec![
        message("property:UNIQ_KEY=first", "first"),
        message("panic", "second"),
        message("property:UNIQ_KEY=third", "third"),
        message("property:NONE=x", "fourth"),
    ];
    let batch: std::sync::Arc<dyn gantry_engine::MessageBatch> = std::sync::Arc::new(messages);
    let report = consume_isolated(&guest("scripted"), &CONTEXT, &batch, 0..batch.len(), PATIENCE, Order::Any);
    assert_eq!(causes(&report), ["answered-alone", "trap", "answered-alone", "answered-alone"]);
    assert_eq!(report.outcomes[0].result, ConsumeResult::Success);
    assert_eq!(report.outcomes[2].result, ConsumeResult::Success);
    assert_eq!(report.outcomes[3].result, ConsumeResult::DeadLetter("NONE is None".into()));
}

#[test]
fn a_part_of_a_batch_is_a_batch_of_its_own() {
    let messages = batch(&["panic", "ok", "panic", "later", "panic"]);
    let run = |range| consume_isolated(&guest("scripted"), &CONTEXT, &messages, range, PATIENCE, Order::Any);
    assert_eq!(causes(&run(1..4)), ["answered-alone", "trap", "answered-alone"]);
    assert_eq!(causes(&run(3..4)), ["answered"]);
    assert_eq!(run(2..2).calls, 0);
}

#[test]
fn an_empty_batch_calls_nothing() {
    let report = consume_isolated(&guest("scripted"), &CONTEXT, &batch(&[]), 0..0, PATIENCE, Order::Any);
    assert_eq!((report.outcomes.len(), report.calls), (0, 0));
}
