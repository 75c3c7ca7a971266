//! Hosts that join and leave by plan consume nothing twice, and what stays is never stopped.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests"
)]

mod world;

use proptest::prelude::*;
use world::{World, ms};

/// Sends to every queue, round and round, while hosts come and go as the plan says; then lets everything be consumed.
fn play(seed: u64, all_gantry: bool, changes: &[(u64, bool, usize)]) -> World {
    let mut world = World::new(seed, 8);
    world.all_gantry = all_gantry;
    world.slowest = ms(60);
    world.join();
    world.join();
    world.run(ms(1_000));
    for &(wait, joins, who) in changes {
        for id in 0..8 {
            for _ in 0..20 {
                world.send(&world.queue(id), Some("Aa"));
            }
        }
        world.run(ms(wait));
        let present: Vec<usize> =
            world.ids().into_iter().filter(|id| world.members[id].terminated_by.is_none()).collect();
        if present.len() < 2 || (joins && present.len() < 5) {
            world.join();
        } else {
            world.leave(present[who % present.len()], ms(10_000));
        }
    }
    let calm = world.run_while(ms(120_000), |world| !world.unfinished().is_empty());
    assert!(calm, "unfinished {:?}", world.unfinished());
    world
}

fn duplicates(world: &World) -> usize {
    world.succeeded.values().map(|times| times - 1).sum()
}

fn changes() -> impl Strategy<Value = Vec<(u64, bool, usize)>> {
    prop::collection::vec((0..2_000u64, any::<bool>(), 0..5usize), 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn among_gantry_hosts_nothing_is_consumed_twice(seed in any::<u64>(), changes in changes()) {
        let world = play(seed, true, &changes);
        prop_assert_eq!(duplicates(&world), 0);
        let lost = world.events.iter().any(|(_, event)| matches!(event, gantry_core::Event::LockLost { .. }));
        prop_assert!(!lost);
    }

    #[test]
    fn a_broker_that_is_started_anew_makes_nobody_take_what_another_works_on(seed in any::<u64>(), hosts in 2..5usize) {
        let mut world = World::new(seed, 8);
        world.slowest = ms(60);
        for _ in 0..hosts {
            world.join();
        }
        world.run(ms(3_000));
        for _ in 0..3 {
            for id in 0..8 {
                for _ in 0..40 {
                    world.send(&world.queue(id), Some("Aa"));
                }
            }
            world.run(ms(100));
            world.restart_broker();
            world.run(ms(20_000));
        }
        prop_assert!(world.unfinished().is_empty());
        prop_assert_eq!(duplicates(&world), 0);
    }

    #[test]
    fn among_others_nothing_is_lost(seed in any::<u64>(), changes in changes()) {
        play(seed, false, &changes);
    }
}

#[test]
fn eager_hosts_do_consume_twice_so_that_the_test_above_means_something() {
    let twice = (0..20).map(|seed| {
        let changes: Vec<_> = (0..8).map(|n| (300, n % 2 == 0, n)).collect();
        duplicates(&play(seed, false, &changes))
    });
    assert!(twice.sum::<usize>() > 0);
}
