//! The way of a message that keeps failing, through the retry topic to the dead letters, in virtual time.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests"
)]

mod world;

use std::time::Duration;

use gantry_core::RetryDelay;
use world::{Answers, World, ms};

/// How long after the one before each consumption of the only message came.
fn gaps(world: &World, uid: u64) -> Vec<Duration> {
    let at = &world.consumed_at[&uid];
    at.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

fn failing(retry_topic_on_heartbeat: bool, delay: RetryDelay) -> (World, u64) {
    let mut world = World::new(11, 2);
    world.retry_topic_on_heartbeat = retry_topic_on_heartbeat;
    world.answers = Answers::Later(delay);
    world.level = ms(1_000);
    world.slowest = ms(1);
    world.join();
    world.run(ms(5_000));
    let mq = world.queue(0);
    let uid = world.send(&mq, Some("b"));
    world.run(ms(120_000));
    (world, uid)
}

#[test]
fn a_failing_message_comes_back_at_growing_delays_and_ends_as_a_dead_letter() {
    // In this world level n takes n seconds, and the listener allows three retries: levels 3, 4 and 5.
    for retry_topic_on_heartbeat in [true, false] {
        let (world, uid) = failing(retry_topic_on_heartbeat, RetryDelay::ByAttempts);
        let gaps = gaps(&world, uid);
        assert_eq!(gaps.len(), 3, "{gaps:?}");
        for (gap, level) in gaps.iter().zip([3_000, 4_000, 5_000]) {
            assert!((ms(level)..ms(level + 200)).contains(gap), "{gap:?} for {level} ms");
        }
        assert_eq!(world.broker.dead, [uid]);
        assert!(world.behind().is_empty(), "{:?}", world.behind());
    }
}

#[test]
fn a_fresh_groups_first_retry_comes_at_its_delay_though_its_topic_was_not_there() {
    let (world, uid) = failing(false, RetryDelay::Level(1));
    let first = gaps(&world, uid)[0];
    assert!((ms(1_000)..ms(1_700)).contains(&first), "{first:?}, where RocketMQ takes up to 40 s");
}

#[test]
fn a_listener_that_recovers_ends_the_retries() {
    let mut world = World::new(12, 1);
    world.answers = Answers::Later(RetryDelay::Millis(2_500));
    world.level = ms(1_000);
    world.join();
    let mq = world.queue(0);
    let uid = world.send(&mq, Some("Aa"));
    world.run(ms(3_000));
    world.answers = Answers::Success;
    world.run(ms(60_000));
    assert_eq!((world.succeeded[&uid], world.broker.dead.len()), (1, 0));
    assert!(world.unfinished().is_empty() && world.behind().is_empty());
}
