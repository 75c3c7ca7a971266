//! What a lean listener may say, and what it may not, by the guest `bare`, which no SDK keeps from breaking the contract.

use gantry_engine::{
    ConsumeContext, ConsumeResult, GuestFailure, MessageBatch, Order, RetryDelay, consume_isolated,
};

use crate::common::{CONTEXT, PATIENCE, batch, causes, consume, guest};

const LEVEL_1: ConsumeResult = ConsumeResult::ReconsumeLater(RetryDelay::Level(1));

#[test]
fn what_it_settles_is_its_answer() {
    let report = consume(&guest("bare"), &["ok", "later", "ok"], PATIENCE);
    assert_eq!(causes(&report), ["answered"; 3]);
    let results: Vec<_> = report.outcomes.into_iter().map(|outcome| outcome.result).collect();
    assert_eq!(results, [ConsumeResult::Success, LEVEL_1, ConsumeResult::Success]);
    assert_eq!((report.calls, report.instances_lost), (1, 0));
}

#[test]
fn the_context_is_there_in_a_call_and_only_there() {
    // Outside, `describe` asks for it, and would trap.
    let report = consume(&guest("bare"), &["context"], PATIENCE);
    let told = format!("{:?}", Some(CONTEXT.topic));
    assert_eq!(report.outcomes[0].result, ConsumeResult::DeadLetter(told));
}

#[test]
fn a_listener_in_c_is_told_the_context_of_each_call_anew() {
    let (module, said) = (guest("faulty-c"), ConsumeResult::DeadLetter("group topic broker-a 3".into()));
    let report = consume(&module, &["where", "ok", "where"], PATIENCE);
    assert_eq!(causes(&report), ["answered"; 3]);
    let results: Vec<_> = report.outcomes.into_iter().map(|outcome| outcome.result).collect();
    assert_eq!(results, [said.clone(), ConsumeResult::Success, said]);

    let elsewhere = ConsumeContext { topic: "another topic", queue_id: 4, ..CONTEXT };
    let batch = batch(&["where"]);
    let report = consume_isolated(&module, &elsewhere, &batch, 0..1, PATIENCE, Order::Any);
    let said = ConsumeResult::DeadLetter("group another topic broker-a 4".into());
    assert_eq!(report.outcomes[0].result, said);
}

#[test]
pub(crate) fn any_other_count_is_a_contract_error() {
    let module = guest("bare");
    for (word, got) in [("more", 4), ("less", 2)] {
        let report = consume(&module, &["ok", "later", word], PATIENCE);
        assert_eq!(causes(&report), ["wrong-count", "settled", "wrong-count"]);
        assert_eq!(*report.batch_failure.unwrap(), GuestFailure::WrongCount { expected: 3, got });
        assert_eq!((&report.outcomes[1].result, report.instances_lost), (&LEVEL_1, 0));
    }
}

#[test]
fn its_own_failure_gives_the_batch_back_whatever_it_answers() {
    let module = guest("bare");
    for bodies in [["ok", "later", "fail", "ok"], ["fail", "later", "more", "ok"]] {
        let report = consume(&module, &bodies, PATIENCE);
        assert_eq!(
            *report.batch_failure.clone().unwrap(),
            GuestFailure::ListenerError("no database".into()),
            "the first word counts"
        );
        assert_eq!(causes(&report).iter().filter(|cause| **cause == "listener-error").count(), 3);
        assert_eq!(causes(&report)[1], "settled");
    }
    assert_eq!(
        causes(&consume(&module, &["ok"], PATIENCE)),
        ["answered"],
        "the next call knows nothing of it"
    );
}

#[test]
fn what_is_settled_before_a_trap_stays() {
    let report = consume(&guest("bare"), &["later", "ok", "trap", "later"], PATIENCE);
    assert_eq!(causes(&report), ["settled", "answered-alone", "trap", "answered-alone"]);
    assert_eq!((&report.outcomes[0].result, &report.outcomes[3].result), (&LEVEL_1, &LEVEL_1));
    assert_eq!((report.calls, report.instances_lost), (4, 2));
}

#[test]
fn in_order_the_first_that_is_no_success_ends_the_batch() {
    let module = guest("bare");
    let run = |bodies: &[&str]| {
        let messages: std::sync::Arc<dyn MessageBatch> = batch(bodies);
        causes(&consume_isolated(&module, &CONTEXT, &messages, 0..bodies.len(), PATIENCE, Order::Kept))
    };
    assert_eq!(run(&["ok", "later", "ok", "later"]), ["answered", "answered", "held-back", "held-back"]);
    assert_eq!(run(&["ok", "later", "trap"]), ["answered-alone", "settled", "held-back"]);
    assert_eq!(run(&["fail", "ok"]), ["listener-error", "held-back"]);
}
