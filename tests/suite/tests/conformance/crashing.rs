//! Hosts that are killed: nothing is lost, and what comes twice is bounded.

use std::time::Duration;

use gantry_suite::{World, fed, installation, now};

use crate::members::{Members, quit};
use crate::size;

mod quiet {
    use super::*;

    gantry_suite::scenarios! {
        quiet: a_killed_host_repeats_no_more_than_it_had_not_committed,
        the_queues_of_a_killed_host_are_taken_over_at_once,
        a_killed_java_consumer_for_comparison,
    }
}

const QUEUES: i32 = 8;
/// What a commit may lack: the interval of a second, and the time it takes.
const COMMIT: Duration = Duration::from_millis(1_500);
/// A lock lives for a minute: a survivor that had to wait for it would take longer.
const TAKEN_OVER: Duration = Duration::from_secs(20);

async fn a_killed_host_repeats_no_more_than_it_had_not_committed(world: World) {
    let (members, messages) = (Members::new(&world, "killed", QUEUES).await, size::messages() / 2);
    let directory = tempfile::tempdir().unwrap();
    let setup = members.process(directory.path(), "");
    let play = async {
        let host = setup.start(&members.ledger, "before");
        members.consume_more(messages / 2).await;
        host.kill();
        let killed = now();
        (killed, setup.start(&members.ledger, "after"))
    };
    let (sent, (killed, host)) = fed(&world.cluster, &members.topic, messages, &members.ledger, play).await;
    members.consume_all(sent).await;
    host.terminate();
    let tally = members.tally().await;
    let since = killed - u64::try_from(COMMIT.as_micros()).unwrap();
    let lately = members.ledger.entries().iter().filter(|entry| (since..=killed).contains(&entry.at)).count();
    println!("{tally}; {lately} were consumed in the last {COMMIT:?}");
    assert!(tally.lost == 0 && tally.duplicates <= lately, "{tally}, of {lately}");
    world.cluster.end().await;
}

async fn the_queues_of_a_killed_host_are_taken_over_at_once(world: World) {
    let (members, messages) = (Members::new(&world, "survivor", QUEUES).await, size::messages() / 2);
    let directory = tempfile::tempdir().unwrap();
    let setup = members.process(directory.path(), "");
    let survivor = setup.start(&members.ledger, "survivor");
    let play = async {
        members.consume_more(messages / 4).await;
        let victim = setup.start(&members.ledger, "victim");
        members.begins("victim").await;
        members.consume_more(messages / 4).await;
        victim.kill();
        let killed = now();
        members.consume_more(messages / 4).await;
        killed
    };
    let (sent, killed) = fed(&world.cluster, &members.topic, messages, &members.ledger, play).await;
    members.consume_all(sent).await;
    survivor.terminate();
    let tally = members.tally().await;
    let entries = members.ledger.entries();
    let first = |queue| entries.iter().find(|entry| entry.queue == queue && entry.at > killed);
    let taken_over = (0..QUEUES).filter_map(first).map(|entry| entry.at - killed).max().unwrap();
    let taken_over = Duration::from_micros(taken_over);
    println!("{tally}; the last queue went on {taken_over:?} after the kill");
    assert!(tally.lost == 0 && taken_over < TAKEN_OVER, "{tally}, {taken_over:?}");
    world.cluster.end().await;
}

async fn a_killed_java_consumer_for_comparison(world: World) {
    let Some(installation) = installation() else { return };
    let (members, messages) = (Members::new(&world, "java", QUEUES).await, size::messages() / 2);
    let directory = tempfile::tempdir().unwrap();
    let play = async {
        let java = members.java(&installation, directory.path(), "before").await;
        members.consume_more(messages / 2).await;
        drop(java);
        members.java(&installation, directory.path(), "after").await
    };
    let (sent, java) = fed(&world.cluster, &members.topic, messages, &members.ledger, play).await;
    let tally = members.consume_all(sent).await;
    quit(java).await;
    println!("Java, killed and started again: {tally}");
    world.cluster.end().await;
}
