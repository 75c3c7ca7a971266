//! Several calls in one crossing into the guest: each is a call of its own for whoever made it.

use std::{
    ops::Range,
    sync::{Arc, Mutex},
    time::Duration,
};

use gantry_engine::{BatchReport, ConsumeResult, Grants, InHand, ListenerModule, RetryDelay, Series};

use crate::common::{CONTEXT, PATIENCE, SHORT, batch, causes, component, consume, engine_with, guest};

/// Calls with these messages, one after the other; what came of each.
struct Script {
    end: usize,
    ranges: Mutex<Vec<Range<usize>>>,
    told: Mutex<Vec<String>>,
}

impl Script {
    fn next(&self, told: String) -> Option<Range<usize>> {
        self.told.lock().unwrap().push(told);
        let mut ranges = self.ranges.lock().unwrap();
        (!ranges.is_empty()).then(|| ranges.remove(0))
    }
}

impl Series for Script {
    fn end(&self) -> usize {
        self.end
    }

    fn consumed(&self, _: Duration) -> Option<Range<usize>> {
        self.next("consumed".to_owned())
    }

    fn ended(&self, report: BatchReport) -> Option<Range<usize>> {
        assert_eq!((report.calls, report.instances_lost), (1, 0));
        self.next(causes(&report).join(" "))
    }
}

/// What came of the calls with these ranges of messages with these bodies, of which the guest was given those before `end`: what the series
/// was told, and what the last one ended with where that was not told.
fn run_to(
    module: &ListenerModule,
    bodies: &[&str],
    ranges: &[Range<usize>],
    end: usize,
    deadline: Duration,
) -> (Vec<String>, Option<BatchReport>) {
    let (first, further) = (ranges[0].clone(), ranges[1..].to_vec());
    let script = Arc::new(Script { end, ranges: Mutex::new(further), told: Mutex::default() });
    let series = Arc::clone(&script) as Arc<dyn Series>;
    let mut hand = InHand::default();
    let report = hand.consume_series(module, &CONTEXT, &batch(bodies), first, deadline, series);
    drop(hand);
    assert_eq!(module.stats().in_use, 0);
    let told = std::mem::take(&mut *script.told.lock().unwrap());
    (told, report)
}

/// Calls with one message each.
fn run(module: &ListenerModule, bodies: &[&str]) -> (Vec<String>, Option<BatchReport>) {
    let ranges: Vec<_> = (0..bodies.len()).map(|index| index..index + 1).collect();
    run_to(module, bodies, &ranges, bodies.len(), PATIENCE)
}

#[test]
fn each_call_ends_for_itself() {
    for name in ["bare", "minimal"] {
        let module = guest(name);
        let (told, report) = run(&module, &["ok"; 5]);
        assert_eq!((told, report.is_none()), (vec!["consumed".to_owned(); 5], true), "{name}");
        assert_eq!(module.stats().created, 1);
    }
    let (told, report) = run(&guest("bare"), &["ok", "more", "later", "fail", "less", "ok", "context"]);
    assert!(report.is_none());
    let expected =
        ["consumed", "wrong-count", "answered", "listener-error", "wrong-count", "consumed", "answered"];
    assert_eq!(told, expected, "what one says is forgotten for the next");
}

#[test]
fn a_listener_in_c_takes_them_too() {
    let (told, report) = run(&guest("faulty-c"), &["ok", "where", "ok"]);
    assert_eq!(
        (told, report.is_none()),
        (["consumed", "answered", "consumed"].map(str::to_owned).into(), true)
    );
}

#[test]
fn what_lies_between_two_calls_is_somebody_elses() {
    for name in ["bare", "faulty-c"] {
        // Those that are passed over would fail.
        let bodies = ["ok", "ok", "spin", "spin", "ok", "spin", "ok"];
        let (told, report) = run_to(&guest(name), &bodies, &[0..1, 1..2, 4..5, 6..7], bodies.len(), PATIENCE);
        assert_eq!((told.len(), report.is_none()), (4, true), "{name}: {told:?}");
        assert!(told.iter().all(|told| told == "consumed"), "{name}: {told:?}");
    }
}

#[test]
fn batches_of_several_messages_have_indices_of_their_own() {
    let bodies = ["ok", "ok", "ok", "later", "later", "ok", "ok"];
    let module = guest("bare");
    let (told, report) = run_to(&module, &bodies, &[0..2, 2..4, 4..6, 6..7], 7, PATIENCE);
    assert_eq!((told.len(), report.is_none()), (4, true));
    assert_eq!(told, ["consumed", "answered answered", "answered answered", "consumed"]);
}

#[test]
fn a_trap_is_that_of_the_call_at_hand_alone() {
    let module = guest("bare");
    let (told, report) = run(&module, &["ok", "later", "trap", "ok"]);
    assert_eq!(told, ["consumed", "answered"], "what had ended before stands");
    let report = report.unwrap();
    assert_eq!(causes(&report), ["trap"]);
    assert_eq!((report.calls, report.instances_lost), (2, 2), "tried once more, in an instance of its own");
    assert_eq!(module.stats().retired_dead, 2);
}

#[test]
fn what_traps_in_its_first_call_has_had_its_trial_where_nothing_had_touched_the_instance() {
    let engine = engine_with(|config| config.max_calls_per_instance = 1);
    let module = engine.load(&component("bare"), &Grants::NONE).unwrap();
    let (told, report) = run(&module, &["trap", "ok"]);
    let report = report.unwrap();
    assert!(told.is_empty());
    assert_eq!((causes(&report), report.calls), (vec!["trap"], 1));
}

#[test]
fn each_call_has_the_time_of_a_call() {
    let module = guest("bare");
    let ranges: Vec<_> = (0..3).map(|index| index..index + 1).collect();
    let (told, report) = run_to(&module, &["ok", "ok", "spin"], &ranges, 3, SHORT);
    assert_eq!(told, ["consumed", "consumed"]);
    assert_eq!(causes(&report.unwrap()), ["deadline"]);
}

#[test]
fn one_that_is_left_at_hand_is_a_contract_error() {
    let (told, report) = run(&guest("bare"), &["ok", "leaves", "ok"]);
    assert_eq!(told, ["consumed"]);
    let report = report.unwrap();
    assert_eq!((causes(&report), report.instances_lost), (vec!["wrong-count"], 0));
}

#[test]
fn a_trap_after_all_have_ended_costs_the_instance_and_no_message() {
    let module = guest("bare");
    let (told, report) = run(&module, &["ok", "late"]);
    assert_eq!((told, report.is_none()), (vec!["consumed".to_owned(); 2], true));
    assert_eq!((module.stats().retired_dead, module.stats().idle), (1, 0));
    let alone = consume(&module, &["late"], PATIENCE);
    assert_eq!((causes(&alone), alone.calls, module.stats().retired_dead), (vec!["answered"], 1, 2));
}

#[test]
fn a_crossing_goes_no_farther_than_the_messages_it_was_given() {
    let module = guest("bare");
    let (told, report) = run_to(&module, &["ok"; 4], &[0..1, 1..2, 2..3], 2, PATIENCE);
    assert_eq!(
        (told.len(), report.is_none()),
        (2, true),
        "the third call has begun, and is another crossing's"
    );
}

#[test]
fn a_crossing_has_no_more_calls_than_its_instance_may_have() {
    let engine = engine_with(|config| config.max_calls_per_instance = 3);
    let module = engine.load(&component("bare"), &Grants::NONE).unwrap();
    let (told, report) = run(&module, &["ok"; 5]);
    assert_eq!((told.len(), report.is_none()), (3, true));
    assert_eq!((module.stats().created, module.stats().retired_worn), (1, 1));
}

#[test]
fn a_listener_of_another_form_is_called_once_a_crossing() {
    for name in ["scripted-packed", "scripted-records", "messaging"] {
        let (told, report) = run(&guest(name), &["ok", "ok"]);
        assert_eq!((told.len(), causes(&report.unwrap()).len()), (0, 1), "{name}");
    }
}

#[test]
fn what_is_settled_before_a_trap_stays_in_a_series() {
    let module = guest("bare");
    let (told, report) = run_to(&module, &["ok", "ok", "later", "trap"], &[0..2, 2..4], 4, PATIENCE);
    assert_eq!(told, ["consumed"]);
    let report = report.unwrap();
    assert_eq!(causes(&report), ["settled", "trap"]);
    assert_eq!(report.outcomes[0].result, ConsumeResult::ReconsumeLater(RetryDelay::Level(1)));
}
