//! Components of `wasi:messaging`'s `incoming-handler` as listeners.

use std::sync::Arc;

use gantry_engine::{ConsumeResult, MessageBatch, Order, OwnedMessage, RetryDelay, consume_isolated};

use crate::common::{CONTEXT, PATIENCE, SHORT, causes, consume, guest};

const LATER: ConsumeResult = ConsumeResult::ReconsumeLater(RetryDelay::ByAttempts);

#[test]
pub(crate) fn every_answer_of_a_handler_comes_through() {
    let module = guest("messaging");
    assert!(!module.describes_itself());
    let description = module.description();
    assert_eq!((&*description.consumer_group, description.subscriptions.len()), ("", 0));
    assert_eq!(description.consume_message_batch_max_size, Some(1));
    for (body, result) in [("ok", ConsumeResult::Success), ("fail", LATER), ("own", ConsumeResult::Success)] {
        let report = consume(&module, &[body], PATIENCE);
        assert_eq!(report.outcomes[0].result, result, "{body}");
        assert_eq!(report.calls, 1);
    }
    assert_eq!(consume(&module, &["connect"], PATIENCE).outcomes[0].result, ConsumeResult::Success);
    assert_eq!(causes(&consume(&module, &["panic"], PATIENCE)), ["trap"]);
    assert_eq!(causes(&consume(&module, &["spin"], SHORT)), ["deadline"]);
}

#[test]
fn a_handler_is_told_topic_content_type_and_the_users_properties() {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let message = OwnedMessage {
        tags: Some("created".into()),
        user_properties: vec![pair("Content-Type", "text/plain"), pair("a", "1")],
        ..OwnedMessage::new("id", "told")
    };
    let batch: Arc<dyn MessageBatch> = Arc::new(vec![message]);
    let report =
        consume_isolated(&guest("messaging"), &CONTEXT, &batch, 0..batch.len(), PATIENCE, Order::Any);
    assert_eq!(report.outcomes[0].result, ConsumeResult::Success);
}

#[test]
fn in_a_batch_the_messages_before_a_trap_are_not_handled_again() {
    let module = guest("messaging");
    let report = consume(&module, &["ok", "fail", "panic", "ok"], PATIENCE);
    assert_eq!(causes(&report), ["settled", "settled", "trap", "settled"]);
    assert_eq!((&report.outcomes[1].result, report.calls), (&LATER, 3));
}

#[test]
fn messages_that_are_kept_or_made_without_end_cost_the_instance_only() {
    let module = guest("messaging");
    let report = consume(&module, &["hoard", "ok"], PATIENCE);
    assert_eq!(causes(&report), ["trap", "settled"]);
    let failure = report.outcomes[0].cause.failure().unwrap().to_string();
    assert!(failure.contains("its messages have more than 64 MiB together"), "{failure}");
    for _ in 0..1_100 {
        let report = consume(&module, &["keep"], PATIENCE);
        assert_eq!(report.outcomes[0].result, ConsumeResult::Success);
    }
    assert!(module.stats().created > 2, "one that keeps too many is replaced");
}
