//! The master of a queue's broker does not answer: its replica is read, and what is settled is stored when the master is
//! back.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests, which need some instant to start from"
)]

mod solo;

use gantry_core::*;
use solo::{Solo, found, message, ms, take};

fn failed() -> PullOutcome {
    PullOutcome::Failed("connection refused".to_owned())
}

fn of_replica(outcome: PullOutcome) -> PullOutcome {
    match outcome {
        PullOutcome::Answered(answer) => PullOutcome::Answered(PullAnswer { broker_id: 1, ..answer }),
        other => other,
    }
}

/// The master fails, and the replica answers with two messages, which are consumed.
fn reading_from_the_replica() -> Solo {
    let mut solo = Solo::plain();
    let pull = solo.pull();
    assert_eq!(pull.from, PullFrom::Broker(0));
    solo.answer(pull.id, failed());
    solo.wait(ms(1_200));
    let pull = solo.pull();
    assert_eq!(pull.from, PullFrom::Replica);
    let messages = [0, 1].map(|offset| message(&pull.mq, offset, &[]));
    solo.answer(pull.id, of_replica(found(messages.into(), 2)));
    let batch = solo.batch();
    solo.consumed(&batch, &Settlement::Success);
    solo
}

#[test]
fn a_replica_is_read_until_the_master_answers_again() {
    let mut solo = reading_from_the_replica();
    let pull = solo.pull();
    assert_eq!((pull.from, pull.offset), (PullFrom::Replica, 2));
    solo.wait(ms(6_000));
    solo.answer(pull.id, of_replica(found(Vec::new(), 2)));
    let pull = solo.pull();
    assert_eq!((pull.from, pull.offset), (PullFrom::Broker(0), 2));
    solo.answer(pull.id, found(Vec::new(), 2));
    assert_eq!(solo.pull().from, PullFrom::Broker(0));
}

#[test]
fn what_the_master_could_not_be_told_is_told_again_until_it_is_there() {
    let mut solo = reading_from_the_replica();
    for _ in 0..3 {
        solo.wait(GroupConfig::new("orders").persist_consumer_offset_interval);
        let (id, offset) = take!(solo, Action::PersistOffset { id, offset, .. } => (id, offset));
        assert_eq!(offset, 2);
        solo.group.handle_persisted(solo.now, id, Err("no route names the master".to_owned()));
    }
    solo.wait(GroupConfig::new("orders").persist_consumer_offset_interval);
    take!(solo, Action::PersistOffset { .. } => ());
    solo.wait(GroupConfig::new("orders").persist_consumer_offset_interval);
    assert!(!solo.has(|action| matches!(action, Action::PersistOffset { .. })), "it went out");
}

#[test]
fn an_older_answer_of_a_replica_that_lags_moves_nothing_back() {
    let mut solo = reading_from_the_replica();
    let pull = solo.pull();
    let behind = PullAnswer {
        status: PullStatus::OffsetIllegal,
        next_begin_offset: 1,
        min_offset: 0,
        max_offset: 1,
        broker_id: 1,
        suggest_which_broker_id: 0,
        reset: false,
        messages: Vec::new(),
    };
    solo.answer(pull.id, PullOutcome::Answered(behind));
    solo.wait(ms(1_200));
    assert_eq!(solo.pull().offset, 2);
    assert_eq!(solo.status(0).phase, QueuePhase::Consuming);
}

#[test]
fn only_where_no_order_is_kept_a_replica_may_lock() {
    for (consume_mode, may) in [(ConsumeMode::Concurrently, true), (ConsumeMode::Orderly, false)] {
        let config = GroupConfig { consume_mode, ..GroupConfig::new("orders") };
        let mut solo = Solo::new(config);
        solo.locks_granted = false;
        solo.listen(&[solo::listener(1, &[("t", "*")])]);
        solo.answer_routes(&[0]);
        solo.heartbeat();
        solo.members(&[solo::OWN_ID]);
        let lock = take!(solo, Action::Lock(lock) => lock);
        assert_eq!(lock.replica_will_do, may, "{consume_mode:?}");
    }
}
