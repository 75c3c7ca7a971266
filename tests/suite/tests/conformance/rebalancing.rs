//! Members join and leave while there is much to do: nothing is lost, and what came twice and how long queues stood still
//! is counted.

use std::time::{Duration, Instant};

use gantry_host::config::Rebalance;
use gantry_suite::{HostSetup, Tally, World, fed, installation, now};

use crate::members::{Members, quit};
use crate::size;

mod quiet {
    use super::*;

    gantry_suite::scenarios! {
        quiet: hosts_join_and_leave_five_times,
        hosts_with_plugins_join_and_leave,
        hosts_that_rebalance_eagerly_lose_nothing,
        host_processes_join_and_are_terminated,
        a_java_consumer_joins_and_leaves,
    }
}

const QUEUES: i32 = 8;
/// How often a host joins and leaves.
const ROUNDS: usize = 5;
/// The targets are 2 s and 100 ms on a machine that has nothing else to do. Any other gets more, but less than who missed a
/// notice would take, and looked for himself after 20 s.
const MOVED: Duration = Duration::from_secs(18);
const STAYED: Duration = Duration::from_secs(10);

async fn hosts_join_and_leave_five_times(world: World) {
    let members = Members::new(&world, "hosts", QUEUES).await;
    let tally = hosts_join_and_leave(&members, size::messages(), ROUNDS, |name| members.host(name)).await;
    assert_eq!(tally.duplicates, 0, "{tally}");
    world.cluster.end().await;
}

/// The same with components as listeners, which sleep in the sandbox.
async fn hosts_with_plugins_join_and_leave(world: World) {
    let members = Members::new(&world, "guests", QUEUES).await;
    let tally = hosts_join_and_leave(&members, size::messages() / 2, 2, |name| members.guest(name)).await;
    assert_eq!(tally.duplicates, 0, "{tally}");
    world.cluster.end().await;
}

/// As RocketMQ does it: what the one before had not stored comes again.
async fn hosts_that_rebalance_eagerly_lose_nothing(world: World) {
    let members = Members::new(&world, "eager", QUEUES).await;
    let eager = |name: &str| {
        members.host(name).configure(|config| config.consumer.rebalance = Some(Rebalance::Eager))
    };
    hosts_join_and_leave(&members, size::messages() / 2, 2, eager).await;
    world.cluster.end().await;
}

/// A host stays and another joins and leaves this often: nothing is lost, and queues go on.
async fn hosts_join_and_leave(
    members: &Members<'_>,
    messages: usize,
    rounds: usize,
    host: impl Fn(&str) -> HostSetup,
) -> Tally {
    let (step, began) = (messages / (2 * rounds + 2), Instant::now());
    let stays = host("stays").start().await;
    let play = async {
        members.consume_more(step).await;
        let first_join = now();
        for round in 0..rounds {
            let joins = host(&format!("joins {round}")).start().await;
            members.own(&[&stays, &joins], &[4, 4]).await;
            members.consume_more(step).await;
            joins.stop().await;
            members.own(&[&stays], &[8]).await;
            members.consume_more(step).await;
        }
        first_join
    };
    let (sent, first_join) =
        fed(&members.world.cluster, &members.topic, messages, &members.ledger, play).await;
    members.consume_all(sent).await;
    stays.stop().await;
    let tally = members.tally(sent).await;
    let before: Vec<_> = members.ledger.entries().into_iter().filter(|entry| entry.at < first_join).collect();
    let before = Tally::of(&before, 0, 0).stayed;
    println!("{tally}; before anyone joined {} ms; {:?} in all", before.as_millis(), began.elapsed());
    assert!(tally.lost == 0 && tally.moved < MOVED && tally.stayed < STAYED, "{tally}");
    tally
}

/// The same with processes and SIGTERM.
async fn host_processes_join_and_are_terminated(world: World) {
    let (members, messages) = (Members::new(&world, "processes", QUEUES).await, size::messages() / 2);
    let (rounds, directory) = (2, tempfile::tempdir().unwrap());
    let step = messages / (2 * rounds + 2);
    let setup = members.process(directory.path(), "");
    let stays = setup.start(&members.ledger, "stays");
    let play = async {
        members.consume_more(step).await;
        for round in 0..rounds {
            let name = format!("joins {round}");
            let joins = setup.start(&members.ledger, &name);
            members.begins(&name).await;
            members.consume_more(step).await;
            tokio::task::spawn_blocking(|| joins.terminate()).await.unwrap();
            members.consume_more(step).await;
        }
    };
    let (sent, ()) = fed(&world.cluster, &members.topic, messages, &members.ledger, play).await;
    members.consume_all(sent).await;
    stays.terminate();
    let tally = members.tally(sent).await;
    println!("{tally}");
    assert_eq!((tally.lost, tally.duplicates), (0, 0), "{tally}");
    world.cluster.end().await;
}

/// Java joins a Gantry host and leaves it; before, for comparison, Java joins Java.
async fn a_java_consumer_joins_and_leaves(world: World) {
    let Some(installation) = installation() else { return };
    let directory = tempfile::tempdir().unwrap();
    let (alone, mixed) =
        (Members::new(&world, "java", QUEUES).await, Members::new(&world, "mixed", QUEUES).await);
    let round = async |members: &Members<'_>, name: &str| {
        let java = members.java(&installation, directory.path(), name).await;
        members.begins(name).await;
        members.consume_more(MORE).await;
        quit(java).await;
        members.consume_more(MORE).await;
    };
    let rounds = async |members: &Members<'_>| {
        members.consume_more(MORE).await;
        for number in 0..size::java_rounds() {
            round(members, &format!("joins-{}-{number}", members.group)).await;
        }
    };

    let java = alone.java(&installation, directory.path(), "stays").await;
    let (sent, ()) = fed(&world.cluster, &alone.topic, MORE, &alone.ledger, rounds(&alone)).await;
    alone.consume_all(sent).await;
    quit(java).await;
    let among_java = alone.tally(sent).await;

    let host = mixed.host("stays").start().await;
    let (sent, ()) = fed(&world.cluster, &mixed.topic, MORE, &mixed.ledger, rounds(&mixed)).await;
    mixed.consume_all(sent).await;
    host.stop().await;
    let tally = mixed.tally(sent).await;
    println!("{} joins and leaves of Java at a Gantry host: {tally}", size::java_rounds());
    println!("{} joins and leaves of Java at Java: {among_java}", size::java_rounds());
    assert_eq!(tally.lost, 0);
    world.cluster.end().await;
}

/// Messages between two changes of a group with Java.
const MORE: usize = 2_000;
