//! Whatever happens to a group, the promises hold: see `World::check_commit`, `Member::given`, `Member::check_bounds`,
//! and the end of each run.

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

use gantry_core::{ConsumeFromWhere, ConsumeMode, GroupConfig, ListenerId};
use proptest::prelude::*;
use world::member::COLLIDING;
use world::{Answers, World, ms};

#[derive(Debug, Clone)]
enum Op {
    Send {
        queue: usize,
        tag: usize,
        count: usize,
    },
    Join,
    Leave {
        who: usize,
        grace_ms: u64,
    },
    Crash {
        who: usize,
    },
    Restart {
        who: usize,
    },
    Relisten {
        variant: usize,
    },
    Pause {
        listener: u64,
    },
    Resume {
        listener: u64,
    },
    Reset {
        queue: usize,
        back: i64,
    },
    /// A broker that pushes an operator's offset to the members.
    Push {
        queue: usize,
        back: i64,
    },
    Trim {
        queue: usize,
        share: usize,
    },
    MoreQueues,
}

#[derive(Debug, Clone)]
struct Plan {
    seed: u64,
    queues: i32,
    faults: f64,
    threads: u32,
    threshold: u32,
    span: u32,
    send_backs: u32,
    together: u32,
    slowest_ms: u64,
    drain_ms: u64,
    last_offset: bool,
    retry_topic_on_heartbeat: bool,
    /// How queues change hands and are consumed.
    kind: Kind,
    ops: Vec<(u64, Op)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Eager,
    Cooperative,
    /// With members that are no Gantry hosts, which lock all the same.
    Orderly,
    CooperativeOrderly,
    Asked,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        12 => (0..6usize, 0..5usize, 1..60usize).prop_map(|(queue, tag, count)| Op::Send { queue, tag, count }),
        2 => Just(Op::Join),
        1 => (0..4usize, 0..6_000u64).prop_map(|(who, grace_ms)| Op::Leave { who, grace_ms }),
        1 => (0..4usize).prop_map(|who| Op::Crash { who }),
        1 => (0..4usize).prop_map(|who| Op::Restart { who }),
        2 => (0..4usize).prop_map(|variant| Op::Relisten { variant }),
        1 => (1..5u64).prop_map(|listener| Op::Pause { listener }),
        1 => (1..5u64).prop_map(|listener| Op::Resume { listener }),
        1 => (0..6usize, 0..100i64).prop_map(|(queue, back)| Op::Reset { queue, back }),
        1 => (0..6usize, 0..100i64).prop_map(|(queue, back)| Op::Push { queue, back }),
        1 => (0..6usize, 1..4usize).prop_map(|(queue, share)| Op::Trim { queue, share }),
        1 => Just(Op::MoreQueues),
    ]
}

fn plan() -> impl Strategy<Value = Plan> {
    let sizes =
        (1..5i32, 0..3u32, 1..6u32, 5..200u32, 10..300u32, 1..4u32, prop_oneof![Just(1u32), Just(32)]);
    let times = (
        prop_oneof![Just(0u64), Just(20), Just(400), Just(4_000)],
        prop_oneof![Just(0u64), Just(300), Just(5_000)],
    );
    let ops = prop::collection::vec((0..3_000u64, op()), 1..40);
    let kind = prop_oneof![
        Just(Kind::Eager),
        Just(Kind::Cooperative),
        Just(Kind::Orderly),
        Just(Kind::CooperativeOrderly),
        Just(Kind::Asked)
    ];
    (any::<u64>(), sizes, times, prop::bool::weighted(0.2), any::<bool>(), kind, ops).prop_map(
        |(seed, sizes, (slowest_ms, drain_ms), last_offset, retry_topic_on_heartbeat, kind, ops)| {
            let (queues, faults, threads, threshold, span, send_backs, together) = sizes;
            let faults = [0.0, 0.05, 0.3][faults as usize];
            Plan {
                seed,
                queues,
                faults,
                threads,
                threshold,
                span,
                send_backs,
                together,
                slowest_ms,
                drain_ms,
                last_offset,
                retry_topic_on_heartbeat,
                kind,
                ops,
            }
        },
    )
}

fn world_of(plan: &Plan) -> World {
    let mut world = World::new(plan.seed, plan.queues);
    world.answers = Answers::Mixed;
    world.faults = plan.faults;
    world.slowest = ms(plan.slowest_ms);
    world.retry_topic_on_heartbeat = plan.retry_topic_on_heartbeat;
    world.all_gantry = !matches!(plan.kind, Kind::Eager | Kind::Orderly);
    world.ask_strategy = plan.kind == Kind::Asked;
    world.config = GroupConfig {
        consume_mode: match plan.kind {
            Kind::Orderly | Kind::CooperativeOrderly => ConsumeMode::Orderly,
            _ => ConsumeMode::Concurrently,
        },
        suspend_current_queue_time: ms(100),
        consume_thread_min: 1,
        consume_thread_max: plan.threads,
        pull_threshold_for_queue: plan.threshold,
        consume_concurrently_max_span: plan.span,
        max_send_backs_in_flight: plan.send_backs,
        calls_together: plan.together,
        drain_timeout: ms(plan.drain_ms),
        consume_from_where: if plan.last_offset {
            ConsumeFromWhere::LastOffset
        } else {
            ConsumeFromWhere::FirstOffset
        },
        ..world.config
    };
    world
}

fn apply(world: &mut World, op: &Op) {
    let queues: Vec<_> =
        world.broker.logs.keys().filter(|mq| ["t", "u"].contains(&&*mq.topic)).cloned().collect();
    let queue = |index: usize| queues[index % queues.len()].clone();
    let present: Vec<usize> =
        world.ids().into_iter().filter(|id| world.members[id].terminated_by.is_none()).collect();
    match *op {
        Op::Send { queue: index, tag, count } => {
            let tag = [Some("Aa"), Some("b"), Some("c"), Some(COLLIDING), None][tag];
            for _ in 0..count {
                world.send(&queue(index), tag);
            }
        }
        Op::Join if present.len() < 4 => {
            world.join();
        }
        Op::Leave { who, grace_ms } if !present.is_empty() => {
            world.leave(present[who % present.len()], ms(grace_ms))
        }
        Op::Crash { who } if !present.is_empty() => world.crash(present[who % present.len()]),
        Op::Relisten { variant } => world.relisten(variant),
        Op::Pause { listener } => world.set_paused(ListenerId(listener), true),
        Op::Resume { listener } => world.set_paused(ListenerId(listener), false),
        Op::Reset { queue: index, back } => {
            let mq = queue(index);
            if let Some(&stored) = world.broker.offsets.get(&mq) {
                world.broker.resets.insert(mq, (stored - back).max(0));
            }
        }
        Op::Push { queue: index, back } => {
            let mq = queue(index);
            if let Some(&stored) = world.broker.offsets.get(&mq) {
                world.push_offset(&mq, (stored - back).max(0));
            }
        }
        Op::Trim { queue: index, share } => {
            let mq = queue(index);
            let min = world.broker.end(&mq) as usize / (share + 1);
            world.broker.trim(&mq, min);
        }
        Op::MoreQueues => {
            let more = world.broker.queues_of("t").len() as i32 + 1;
            if more <= 6 {
                world.broker.add_topic("t", more);
            }
        }
        Op::Restart { who } if !present.is_empty() => _ = world.restart(present[who % present.len()]),
        Op::Join | Op::Leave { .. } | Op::Crash { .. } | Op::Restart { .. } => {}
    }
}

/// Lets things calm down: everything that had to be consumed is, and every offset is stored.
fn settle_down(world: &mut World) {
    world.faults = 0.0;
    world.answers = Answers::Success;
    world.slowest = ms(20);
    for listener in 1..5 {
        world.set_paused(ListenerId(listener), false);
    }
    if world.ids().iter().all(|id| world.members[id].terminated_by.is_some()) {
        world.join();
    }
    let calm = world.run_while(Duration::from_secs(300), |world| {
        !world.unfinished().is_empty() || world.retries_on_their_way() || !world.behind().is_empty()
    });
    assert!(
        calm,
        "after {:?} unfinished {:?}, behind {:?}, the last events {:#?}",
        world.elapsed(),
        world.unfinished(),
        world.behind(),
        &world.events[world.events.len().saturating_sub(10)..]
    );
}

fn end(world: &mut World) {
    // Queues that are still changing hands come to rest; a lost answer about members may have kept one at two owners.
    world.run(ms(120_000));
    let present: Vec<usize> =
        world.ids().into_iter().filter(|id| world.members[id].terminated_by.is_none()).collect();
    for &id in &present {
        world.leave(id, ms(5_000));
    }
    world.run(ms(10_000));
    for (id, member) in &world.members {
        let report = member.terminated.as_ref().expect("a group that is shut down ends");
        assert!(!present.contains(id) || report.is_graceful(), "with nothing amiss: {report:?}");
        assert_eq!(member.group.queues(world.now).count(), 0);
        assert_eq!(member.group.poll_timeout(), None);
    }
    assert!(world.behind().is_empty(), "stored at the end: {:?}", world.behind());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, max_shrink_iters: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_and_no_offset_runs_ahead_whatever_happens(plan in plan()) {
        let mut world = world_of(&plan);
        world.join();
        for (wait, op) in &plan.ops {
            world.run(ms(*wait));
            apply(&mut world, op);
        }
        settle_down(&mut world);
        end(&mut world);
    }
}
