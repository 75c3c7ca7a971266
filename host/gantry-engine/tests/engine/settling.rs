//! A listener settles messages while it works, in every form of listener.

use gantry_engine::{
    ConsumeResult, Grants, ListenerModule, MessageBatch, Order, RetryDelay, consume_isolated,
};

use crate::common::{CONTEXT, PATIENCE, SHORT, batch, causes, component, consume, engine};

const LEVEL_3: ConsumeResult = ConsumeResult::ReconsumeLater(RetryDelay::Level(3));

/// The scripted listener in every form, with what is said of a message that was settled in a call that ended well: a lean one
/// has no other answers than those.
fn each_form(test: impl Fn(&ListenerModule, fn(&'static str) -> &'static str)) {
    let engine = engine();
    let lean = |answered| answered;
    let apart = |_| "settled";
    let forms: [(_, fn(_) -> _); 3] =
        [("scripted", lean), ("scripted-packed", apart), ("scripted-records", apart)];
    for (name, settled) in forms {
        test(&engine.load(&component(name), &Grants::NONE).unwrap(), settled);
    }
}

#[test]
fn the_first_word_counts_and_not_the_answer() {
    each_form(|module, settled| {
        let report = consume(module, &["ok", "settle", "settle-later:3", "dead"], PATIENCE);
        let both = settled("answered");
        assert_eq!(causes(&report), ["answered", both, both, "answered"]);
        assert_eq!(report.outcomes[1].result, ConsumeResult::Success);
        assert_eq!(report.outcomes[2].result, LEVEL_3);
        let mut instance = module.checkout().unwrap();
        let results = instance.consume_message(&CONTEXT, &batch(&["settle"]), PATIENCE).unwrap();
        assert_eq!(results, [ConsumeResult::Success]);
    });
}

#[test]
fn what_is_settled_before_a_trap_or_a_deadline_is_not_redone() {
    each_form(|module, settled| {
        let report = consume(module, &["settle", "ok", "panic", "settle"], PATIENCE);
        assert_eq!(causes(&report), ["settled", "answered-alone", "trap", settled("answered-alone")]);
        assert_eq!(report.calls, 4, "the first is not tried again");
        let report = consume(module, &["settle-later:3", "settle-panic", "ok"], PATIENCE);
        assert_eq!(causes(&report), ["settled", "settled", "answered-alone"]);
        assert_eq!((&report.outcomes[0].result, report.calls), (&LEVEL_3, 2));
        let report = consume(module, &["settle", "spin"], SHORT);
        assert_eq!(causes(&report), ["settled", "deadline"]);
    });
}

#[test]
fn the_listeners_own_error_leaves_what_it_settled() {
    each_form(|module, _| {
        // The scripted listener fails before it looks at any message, so nothing is settled.
        let report = consume(module, &["settle", "fail"], PATIENCE);
        assert_eq!(causes(&report), ["listener-error", "listener-error"]);
    });
}

#[test]
fn in_order_it_counts_as_far_as_all_before_it_are_consumed() {
    each_form(|module, _| {
        let run = |bodies: &[&str]| {
            let messages: std::sync::Arc<dyn MessageBatch> = batch(bodies);
            causes(&consume_isolated(module, &CONTEXT, &messages, 0..messages.len(), PATIENCE, Order::Kept))
        };
        assert_eq!(run(&["settle", "settle-panic", "ok"]), ["settled", "settled", "answered-alone"]);
        assert_eq!(run(&["later", "settle", "ok"]), ["answered", "held-back", "held-back"]);
        assert_eq!(run(&["later", "settle-panic"]), ["answered-alone", "held-back"]);
    });
}
