//! Locks: taken before a queue is read, given back after its offset is stored, never believed longer than they hold.

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

use gantry_core::*;
use solo::*;

const OTHER: &str = "10.0.0.2@gantry#2";
const JAVA: &str = "10.0.0.3@1234#5678";

/// A group in which another Gantry host was before; the answers to locks are the test's.
fn joining(queues: &[i32], members: &[&str]) -> Solo {
    let mut solo = Solo::new(GroupConfig::new("orders"));
    solo.locks_granted = false;
    solo.listen(&[listener(1, &[("t", "*")])]);
    solo.answer_routes(queues);
    solo.heartbeat();
    solo.members(members);
    solo
}

fn lock(solo: &mut Solo) -> LockRequest {
    take!(solo, Action::Lock(request) => request)
}

fn unlock(solo: &mut Solo) -> UnlockRequest {
    take!(solo, Action::Unlock(request) => request)
}

fn grant(solo: &mut Solo, request: LockRequest) {
    solo.group.handle_locked(solo.now, request.id, Ok(request.mqs));
    solo.pump();
}

fn deny(solo: &mut Solo, request: &LockRequest) {
    solo.group.handle_locked(solo.now, request.id, Ok(Vec::new()));
    solo.pump();
}

fn locate(solo: &mut Solo, offset: i64) {
    let id = take!(solo, Action::QueryOffset { id, .. } => id);
    solo.group.handle_offset(solo.now, id, OffsetAnswer::Found(offset));
    solo.pump();
}

#[test]
fn concurrent_groups_lock_under_a_companions_name_with_one_request_a_broker() {
    let mut solo = joining(&[0, 1, 2], &[OWN_ID]);
    let request = lock(&mut solo);
    assert_eq!(&*request.group, "GANTRY_HANDOVER_orders");
    assert_eq!(request.mqs, [mq(0), mq(1), mq(2)]);
}

#[test]
fn a_queue_that_is_still_anothers_is_asked_for_until_it_is_free_and_then_read_from_the_stored_offset() {
    let mut solo = joining(&[0], &[OWN_ID]);
    for _ in 0..10 {
        let request = lock(&mut solo);
        deny(&mut solo, &request);
        assert_eq!(solo.status(0).phase, QueuePhase::Locking);
        solo.wait(ms(330));
    }
    assert!(solo.events.iter().any(|event| matches!(event, Event::LockHeld { .. })));
    let request = lock(&mut solo);
    grant(&mut solo, request);
    locate(&mut solo, 7);
    assert_eq!(solo.pull().offset, 7);
}

#[test]
fn a_queue_is_let_go_by_storing_its_offset_and_then_its_lock() {
    let mut solo = joining(&[0], &[OWN_ID]);
    let request = lock(&mut solo);
    grant(&mut solo, request);
    locate(&mut solo, 0);
    solo.feed(0..3);
    let batch = solo.batch();
    solo.group.shut_down(solo.now, Duration::from_secs(10));
    solo.pump();
    assert_eq!(solo.status(0).phase, QueuePhase::Draining);
    solo.consumed(&batch, &Settlement::Success);
    assert!(!solo.has(|action| matches!(action, Action::Unlock(_))), "not before the offset is stored");
    let id = take!(solo, Action::PersistOffset { id, offset: 3, mode: PersistMode::Sync, .. } => id);
    solo.group.handle_persisted(solo.now, id, Ok(()));
    let request = unlock(&mut solo);
    assert_eq!((request.client_id.as_str(), request.mqs.as_slice()), (OWN_ID, &[mq(0)][..]));
    assert!(!solo.has(|action| matches!(action, Action::Unregister)), "and not gone before it is given back");
    solo.group.handle_unlocked(solo.now, request.id.unwrap(), Ok(()));
    assert!(solo.has(|action| matches!(action, Action::Unregister)));
}

#[test]
fn a_lock_that_cannot_be_given_back_holds_nobody_for_long() {
    let mut solo = joining(&[0], &[OWN_ID]);
    let request = lock(&mut solo);
    grant(&mut solo, request);
    solo.group.shut_down(solo.now, Duration::ZERO);
    for _ in 0..2 {
        let request = unlock(&mut solo);
        solo.group.handle_unlocked(solo.now, request.id.unwrap(), Err("no answer".to_owned()));
        solo.wait(ms(250));
    }
    solo.wait(ms(1_500));
    assert!(solo.events.iter().any(|event| matches!(event, Event::LockNotReleased { .. })));
    assert!(solo.has(|action| matches!(action, Action::Terminated(_))));
}

#[test]
fn locks_are_renewed_and_without_a_renewal_nothing_more_is_given_out_or_stored() {
    let mut solo = joining(&[0], &[OWN_ID]);
    let request = lock(&mut solo);
    grant(&mut solo, request);
    locate(&mut solo, 0);
    solo.wait(Duration::from_secs(20));
    let renewal = lock(&mut solo);
    solo.group.handle_locked(solo.now, renewal.id, Err(LockFailure::Failed("no connection".to_owned())));
    solo.wait(Duration::from_secs(11));
    solo.feed(0..2);
    assert!(!solo.has(|action| matches!(action, Action::Consume(_))), "30 s after the lock was asked for");
    let renewal = lock(&mut solo);
    grant(&mut solo, renewal);
    let batch = solo.batch();
    assert_eq!(batch.messages.len(), 2, "its holder has it again within the broker's lease");
}

#[test]
fn a_lock_that_ended_at_the_broker_may_have_been_anothers_so_the_offset_is_asked_for_anew() {
    let mut solo = joining(&[0], &[OWN_ID]);
    let request = lock(&mut solo);
    grant(&mut solo, request);
    locate(&mut solo, 0);
    solo.feed(0..2);
    let batch = solo.batch();
    solo.wait(Duration::from_secs(20));
    while solo.now < batch_time(&solo, 61) {
        let renewal = lock(&mut solo);
        solo.group.handle_locked(solo.now, renewal.id, Err(LockFailure::Failed("no connection".to_owned())));
        solo.wait(Duration::from_secs(3));
    }
    let renewal = lock(&mut solo);
    grant(&mut solo, renewal);
    assert!(solo.events.iter().any(|event| matches!(event, Event::LockLost { .. })));
    solo.consumed(&batch, &Settlement::Success);
    assert_eq!(solo.group.stats().late_results, 2);
    let request = lock(&mut solo);
    grant(&mut solo, request);
    locate(&mut solo, 1);
}

fn batch_time(solo: &Solo, seconds: u64) -> std::time::Instant {
    solo.started() + Duration::from_secs(seconds)
}

#[test]
fn a_member_that_is_gone_holds_no_queue_for_long() {
    let mut solo = joining(&[0, 1], &[OTHER, OWN_ID]);
    let request = lock(&mut solo);
    let mine = request.mqs.clone();
    grant(&mut solo, request);
    solo.group.handle_members_changed(solo.now);
    solo.members(&[OWN_ID]);
    let request = lock(&mut solo);
    assert!(!mine.contains(&request.mqs[0]), "the one the other had");
    deny(&mut solo, &request);
    let mut waited = Duration::ZERO;
    let release = loop {
        solo.wait(ms(100));
        waited += ms(100);
        assert!(waited < Duration::from_secs(5), "not when the lock would end by itself");
        if solo.has(|action| matches!(action, Action::Unlock(_))) {
            break unlock(&mut solo);
        }
        if solo.has(|action| matches!(action, Action::Lock(_))) {
            let request = lock(&mut solo);
            deny(&mut solo, &request);
        }
    };
    assert_eq!((release.client_id.as_str(), release.id), (OTHER, None));
    assert_eq!(release.mqs, request.mqs);
}

#[test]
fn the_former_lives_of_a_host_hold_no_queue_at_all() {
    let mut solo = Solo::new(GroupConfig::new("orders"));
    solo.group = ConsumerGroup::new(GroupConfig::new("orders"), OWN_ID, 7)
        .unwrap()
        .with_former_ids(["10.0.0.1@gantry#0".to_owned()]);
    solo.locks_granted = false;
    solo.listen(&[listener(1, &[("t", "*")])]);
    solo.answer_routes(&[0]);
    solo.heartbeat();
    solo.members(&[OWN_ID]);
    let request = lock(&mut solo);
    deny(&mut solo, &request);
    assert_eq!(unlock(&mut solo).client_id, "10.0.0.1@gantry#0");
}

#[test]
fn among_java_members_queues_are_read_without_locks() {
    let mut solo = joining(&[0, 1], &[OWN_ID, JAVA]);
    assert!(!solo.has(|action| matches!(action, Action::Lock(_))));
    locate(&mut solo, 0);
}

#[test]
fn when_the_last_java_member_leaves_queues_go_on_while_they_are_locked() {
    let mut solo = joining(&[0], &[OWN_ID, JAVA]);
    locate(&mut solo, 0);
    solo.group.handle_members_changed(solo.now);
    solo.members(&[OWN_ID]);
    let request = lock(&mut solo);
    solo.feed(0..2);
    let batch = solo.batch();
    grant(&mut solo, request);
    solo.consumed(&batch, &Settlement::Success);
    let status = solo.status(0);
    assert_eq!((status.locked, status.commit_offset), (Some(true), 2));
    let changed = |event: &Event| matches!(event, Event::RebalanceModeChanged { cooperative: true, .. });
    assert!(solo.events.iter().any(changed));
}

#[test]
fn when_a_java_member_joins_locks_are_given_back_and_a_queue_that_waits_for_one_is_read() {
    let mut solo = joining(&[0], &[OWN_ID]);
    let request = lock(&mut solo);
    deny(&mut solo, &request);
    solo.group.handle_members_changed(solo.now);
    solo.members(&[OWN_ID, JAVA]);
    assert_eq!(unlock(&mut solo).client_id, OWN_ID);
    locate(&mut solo, 3);
    assert_eq!(solo.pull().offset, 3);
}

#[test]
fn a_broker_that_refuses_locks_makes_the_group_eager_and_that_is_said() {
    let mut solo = joining(&[0], &[OWN_ID]);
    let request = lock(&mut solo);
    let refused = LockFailure::Refused("NO_PERMISSION".to_owned());
    solo.group.handle_locked(solo.now, request.id, Err(refused));
    locate(&mut solo, 0);
    assert!(solo.events.iter().any(|event| matches!(event, Event::LocksRefused { .. })));
    solo.wait(Duration::from_secs(60));
    assert!(!solo.has(|action| matches!(action, Action::Lock(_))));
}

#[test]
fn a_lock_granted_after_its_queue_was_let_go_is_given_back() {
    let mut solo = joining(&[0], &[OWN_ID]);
    let request = lock(&mut solo);
    solo.listen(&[]);
    assert_eq!(solo.status(0).phase, QueuePhase::Unlocking, "the answer is waited for");
    grant(&mut solo, request);
    let request = unlock(&mut solo);
    solo.group.handle_unlocked(solo.now, request.id.unwrap(), Ok(()));
    solo.pump();
    assert_eq!(solo.group.queues(solo.now).count(), 0);
}
