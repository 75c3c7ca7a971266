//! Guards: against backward jumps, against queues that stand still, against bursts, and against strategies that are wrong.

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

use gantry_core::allocate::{AllocateError, AllocationFault};
use gantry_core::*;
use gantry_protocol::MessageQueue;
use solo::*;

const OTHER: &str = "10.0.0.2@gantry#2";

/// A group whose queue is read from this offset.
fn reading_from(offset: i64) -> Solo {
    let config = GroupConfig { max_backward_jump: Some(100), ..GroupConfig::new("orders") };
    let mut solo = Solo::new(config);
    solo.listen(&[listener(1, &[("t", "*")])]);
    solo.answer_routes(&[0]);
    solo.heartbeat();
    solo.members(&[OWN_ID]);
    let id = take!(solo, Action::QueryOffset { id, .. } => id);
    solo.group.handle_offset(solo.now, id, OffsetAnswer::Found(offset));
    solo.pump();
    solo
}

fn moved(solo: &mut Solo, to: i64, reset: bool) {
    let pull = solo.pull();
    let PullOutcome::Answered(answer) = answered(PullStatus::OffsetIllegal, Vec::new(), to) else {
        unreachable!()
    };
    solo.answer(pull.id, PullOutcome::Answered(PullAnswer { reset, ..answer }));
}

fn stores(solo: &mut Solo) -> bool {
    solo.has(|action| matches!(action, Action::PersistOffset { mode: PersistMode::Sync, .. }))
}

#[test]
fn a_jump_back_beyond_the_bound_stops_the_queue_and_nothing_is_stored() {
    let mut solo = reading_from(1_000);
    moved(&mut solo, 899, false);
    assert_eq!(solo.status(0).phase, QueuePhase::Halted);
    solo.wait(Duration::from_secs(29));
    assert!(!stores(&mut solo) && !solo.has(|action| matches!(action, Action::Pull(_))));
    let alarm = |event: &Event| {
        event.severity() == Severity::Alarm
            && matches!(event, Event::BackwardJump { from: 1_000, to: 899, most: 100, .. })
    };
    assert_eq!(solo.events.iter().filter(|event| alarm(event)).count(), 1);
}

#[test]
fn a_jump_within_the_bound_a_jump_forward_and_an_operators_reset_are_obeyed() {
    for (to, reset) in [(900, false), (5_000, false), (0, true)] {
        let mut solo = reading_from(1_000);
        moved(&mut solo, to, reset);
        let stored = take!(solo, Action::PersistOffset { offset, mode: PersistMode::Sync, .. } => offset);
        assert_eq!(stored, to);
    }
}

#[test]
fn a_stopped_queue_goes_on_by_itself_once_the_broker_has_its_messages_again() {
    let mut solo = reading_from(1_000);
    moved(&mut solo, 0, false);
    solo.wait(Duration::from_secs(30));
    moved(&mut solo, 0, false);
    solo.wait(Duration::from_secs(30));
    let pull = solo.pull();
    assert_eq!(pull.offset, 1_000);
    solo.answer(pull.id, found(vec![message(&mq(0), 1_000, &[])], 1_001));
    assert_eq!(solo.batch().messages.len(), 1);
    assert!(solo.events.iter().any(|event| matches!(event, Event::BackwardJumpOver { .. })));
}

#[test]
fn an_operator_decides_where_a_stopped_queue_is_read() {
    for (decision, expected) in [(HaltDecision::Obey, 7), (HaltDecision::ReadFrom(40), 40)] {
        let mut solo = reading_from(1_000);
        assert!(!solo.group.decide_halt(solo.now, &mq(0), decision), "it is not stopped");
        moved(&mut solo, 7, false);
        assert!(solo.group.decide_halt(solo.now, &mq(0), decision));
        let (id, stored) =
            take!(solo, Action::PersistOffset { id, offset, mode: PersistMode::Sync, .. } => (id, offset));
        assert_eq!(stored, expected);
        solo.group.handle_persisted(solo.now, id, Ok(()));
        assert_eq!(solo.pull().offset, expected);
    }
}

fn stuck(solo: &Solo) -> Vec<StuckCause> {
    let cause = |event: &Event| match event {
        Event::QueueStuck { cause, .. } => Some(*cause),
        _ => None,
    };
    solo.events.iter().filter_map(cause).collect()
}

#[test]
fn a_batch_that_does_not_come_back_is_an_alarm_at_growing_distances_until_it_does() {
    let mut solo = Solo::plain();
    solo.feed(0..2);
    let batch = solo.batch();
    solo.wait(Duration::from_secs(59));
    assert_eq!(stuck(&solo), []);
    solo.wait(Duration::from_secs(600));
    let alarms = stuck(&solo);
    assert!((2..=5).contains(&alarms.len()), "{alarms:?}");
    assert!(alarms.iter().all(|cause| matches!(cause, StuckCause::Listener(_))), "{alarms:?}");
    assert!(solo.status(0).stuck_since.is_some());
    solo.consumed(&batch, &Settlement::Success);
    while solo.has(|action| matches!(action, Action::Pull(_))) {
        let pull = solo.pull();
        solo.answer(pull.id, answered(PullStatus::NoNewMsg, Vec::new(), 2));
    }
    solo.wait(Duration::from_secs(60));
    assert_eq!((stuck(&solo).len(), solo.status(0).stuck_since), (alarms.len(), None));
}

#[test]
fn a_queue_with_nothing_to_consume_is_not_stuck_while_its_broker_answers() {
    let mut solo = Solo::plain();
    for _ in 0..40 {
        let pull = solo.pull();
        solo.wait(Duration::from_secs(15));
        solo.answer(pull.id, answered(PullStatus::NoNewMsg, Vec::new(), 0));
    }
    assert_eq!(stuck(&solo), []);
}

#[test]
fn a_broker_that_never_answers_is_asked_again_and_that_is_said() {
    let mut solo = Solo::plain();
    solo.pull();
    solo.wait(Duration::from_secs(200));
    assert!(!stuck(&solo).is_empty());
    assert!(solo.has(|action| matches!(action, Action::Pull(_))), "pulled again");
}

#[test]
fn a_paused_listener_is_not_stuck() {
    let mut solo = Solo::plain();
    solo.group.pause_listener(ListenerId(1));
    solo.feed(0..2);
    solo.wait(Duration::from_secs(300));
    assert_eq!(stuck(&solo), []);
}

#[test]
fn a_queue_taken_over_is_given_out_at_its_rate_and_one_that_nobody_had_at_once() {
    for (members, first) in [(&[OWN_ID][..], 500), (&[OWN_ID, OTHER][..], 20)] {
        let config = GroupConfig {
            consume_thread_max: 1000,
            ramp_up_rate: 200,
            ramp_up_duration: Duration::from_secs(4),
            ..GroupConfig::new("orders")
        };
        let mut solo = Solo::new(config);
        solo.listen(&[listener(1, &[("t", "*")])]);
        solo.answer_routes(&[0, 1]);
        solo.heartbeat();
        solo.members(members);
        let id = take!(solo, Action::QueryOffset { id, .. } => id);
        solo.group.handle_offset(solo.now, id, OffsetAnswer::Found(0));
        let pull = solo.pull();
        let messages = (0..500).map(|offset| message(&pull.mq, offset, &[])).collect();
        solo.answer(pull.id, found(messages, 500));
        let given = |solo: &mut Solo| {
            solo.pump();
            let size = |action: &Action| match action {
                Action::Consume(batch) => batch.messages.len(),
                _ => 0,
            };
            solo.actions.iter().map(size).sum::<usize>()
        };
        assert_eq!(given(&mut solo), first);
        solo.wait(Duration::from_secs(1));
        assert!(given(&mut solo) >= first.min(300), "{}", given(&mut solo));
        solo.wait(Duration::from_secs(3));
        assert_eq!(given(&mut solo), 500);
    }
}

/// Two members, four queues, and a strategy that is asked.
fn asking() -> (Solo, Allocate) {
    let mut solo = Solo::new(GroupConfig::new("orders"));
    solo.group =
        ConsumerGroup::new(GroupConfig::new("orders"), OWN_ID, 7).unwrap().with_asked_strategy("by-hand");
    solo.listen(&[listener(1, &[("t", "*")])]);
    solo.answer_routes(&[0, 1, 2, 3]);
    solo.heartbeat();
    solo.members(&[OTHER, OWN_ID]);
    let question = take!(solo, Action::Allocate(question) => question);
    (solo, question)
}

fn shares(own: &[i32], others: &[i32]) -> Vec<(String, Vec<MessageQueue>)> {
    let queues = |ids: &[i32]| ids.iter().map(|&id| mq(id)).collect();
    vec![(OWN_ID.to_owned(), queues(own)), (OTHER.to_owned(), queues(others))]
}

fn owned(solo: &Solo) -> Vec<i32> {
    solo.group.queues(solo.now).map(|status| status.mq.queue_id).collect()
}

#[test]
fn a_strategy_is_asked_for_every_member_and_obeyed_when_its_answers_fit_together() {
    let (mut solo, question) = asking();
    assert_eq!((&*question.strategy, &*question.topic, question.queues.len()), ("by-hand", "t", 4));
    assert_eq!(*question.members, [OWN_ID.to_owned(), OTHER.to_owned()]);
    solo.group.handle_allocated(solo.now, question.id, Ok(shares(&[3, 0], &[1, 2])));
    solo.pump();
    assert_eq!(owned(&solo), [0, 3]);
}

#[test]
fn a_strategy_that_drops_doubles_or_invents_queues_changes_nothing_and_the_rule_is_said() {
    type Case = (&'static [i32], &'static [i32], fn(&AllocationFault) -> bool);
    let broken: [Case; 3] = [
        (&[0, 1], &[2], |fault| matches!(fault, AllocationFault::Lost { .. })),
        (&[0, 1, 2], &[2, 3], |fault| matches!(fault, AllocationFault::Doubled { .. })),
        (&[0, 1, 2, 3, 9], &[], |fault| matches!(fault, AllocationFault::Unknown { .. })),
    ];
    for (own, others, rule) in broken {
        let (mut solo, question) = asking();
        solo.group.handle_allocated(solo.now, question.id, Ok(shares(&[0, 1], &[2, 3])));
        solo.group.handle_members_changed(solo.now);
        solo.members(&[OTHER, OWN_ID]);
        let question = take!(solo, Action::Allocate(question) => question);
        solo.group.handle_allocated(solo.now, question.id, Ok(shares(own, others)));
        solo.pump();
        assert_eq!(owned(&solo), [0, 1], "the present allocation stays");
        let said = |event: &Event| {
            event.severity() == Severity::Alarm
                && matches!(event, Event::AllocationUnsound { fault, .. } if rule(fault))
        };
        assert!(solo.events.iter().any(said), "{:#?}", solo.events);
    }
}

#[test]
fn a_strategy_that_gives_no_answer_changes_nothing_and_is_asked_again() {
    let (mut solo, question) = asking();
    solo.group.handle_allocated(solo.now, question.id, Err("it trapped".to_owned()));
    solo.pump();
    let said =
        |event: &Event| matches!(event, Event::StrategyFailed { reason, .. } if reason == "it trapped");
    assert!(solo.events.iter().any(said) && owned(&solo).is_empty());
    solo.wait(Duration::from_secs(20));
    solo.members(&[OTHER, OWN_ID]);
    assert!(solo.has(|action| matches!(action, Action::Allocate(_))));
}

#[test]
fn an_answer_to_an_older_question_finds_nothing() {
    let (mut solo, old) = asking();
    solo.group.handle_members_changed(solo.now);
    solo.members(&[OWN_ID]);
    let question = take!(solo, Action::Allocate(question) => question);
    solo.group.handle_allocated(solo.now, old.id, Ok(shares(&[0], &[1, 2, 3])));
    solo.pump();
    assert!(owned(&solo).is_empty());
    let all = vec![(OWN_ID.to_owned(), (0..4).map(mq).collect())];
    solo.group.handle_allocated(solo.now, question.id, Ok(all));
    solo.pump();
    assert_eq!(owned(&solo).len(), 4);
}

/// A custom strategy of the embedding program that gives the last queue to nobody.
struct Forgetful;

impl AllocateMessageQueueStrategy for Forgetful {
    fn name(&self) -> &str {
        "FORGETFUL"
    }

    fn allocate(
        &self,
        group: &str,
        client_id: &str,
        queues: &[MessageQueue],
        members: &[String],
    ) -> Result<Vec<MessageQueue>, AllocateError> {
        let kept = &queues[..queues.len() - 1];
        AllocateMessageQueueAveragely.allocate(group, client_id, kept, members)
    }
}

#[test]
fn a_programs_own_strategy_is_held_to_the_same_rules() {
    let mut solo = Solo::new(GroupConfig::new("orders"));
    solo.group =
        ConsumerGroup::new(GroupConfig::new("orders"), OWN_ID, 7).unwrap().with_strategy(Box::new(Forgetful));
    solo.listen(&[listener(1, &[("t", "*")])]);
    solo.answer_routes(&[0, 1]);
    solo.heartbeat();
    solo.members(&[OWN_ID]);
    assert!(owned(&solo).is_empty());
    let lost = |event: &Event| matches!(event, Event::AllocationUnsound { fault: AllocationFault::Lost { queue, .. }, .. } if *queue == mq(1));
    assert!(solo.events.iter().any(lost), "{:#?}", solo.events);
}
