//! A broker that is away for a while: nothing is lost, and consumption goes on by itself.

use std::time::{Duration, Instant};

use gantry_suite::{Load, World, eventually_within, that};

use crate::members::Members;
use crate::size;

mod own {
    use super::*;

    gantry_suite::scenarios! {
        own quiet: a_broker_that_answers_nothing_for_a_while,
        a_broker_that_is_killed_and_started_again,
    }
}

const QUEUES: i32 = 8;
/// How long after an outage consumption may take to go on.
const RECOVERY: Duration = Duration::from_secs(240);

async fn a_broker_that_answers_nothing_for_a_while(world: World) {
    goes_on_after(&world, async || {
        world.cluster.freeze_broker();
        tokio::time::sleep(size::outage()).await;
        world.cluster.thaw_broker();
    })
    .await;
    world.cluster.end().await;
}

async fn a_broker_that_is_killed_and_started_again(world: World) {
    goes_on_after(&world, async || {
        world.cluster.kill_broker();
        world.cluster.start_broker();
    })
    .await;
    world.cluster.end().await;
}

/// Two hosts consume, the broker is away, and they go on.
async fn goes_on_after(world: &World, outage: impl AsyncFnOnce()) {
    let members = Members::new(world, "outage", QUEUES).await;
    let (one, two) = (members.host("one").start().await, members.host("two").start().await);
    members.own(&[&one, &two], &[4, 4]).await;
    let load = Load::start(&world.cluster, &members.topic);
    members.consume_more(1_000).await;
    outage().await;
    let (back, before) = (Instant::now(), members.ledger.len());
    eventually_within(RECOVERY, "consumption goes on", async || {
        let more = members.ledger.len() - before;
        that(more > 1_000, || format!("{more} were consumed since"))
    })
    .await;
    let took = back.elapsed();
    let sent = load.stop().await;
    members.consume_all(sent).await;
    world.cluster.all_committed(&members.group, &members.topic).await;
    members.own(&[&one, &two], &[4, 4]).await;
    one.stop().await;
    two.stop().await;
    let tally = members.tally(sent).await;
    println!("{tally}; 1000 messages were consumed {took:?} after the broker was back");
    assert_eq!(tally.lost, 0);
}
