//! Hosts that are killed: nothing is lost, and what comes twice is bounded.

use std::time::Duration;

use gantry_suite::{World, eventually, fed, installation, now, that};

use crate::members::{Members, THREADS, quit};
use crate::size;

mod quiet {
    use super::*;

    gantry_suite::scenarios! {
        quiet: a_killed_host_repeats_no_more_than_was_in_flight,
        without_a_journal_a_killed_host_repeats_no_more_than_it_had_not_committed,
        the_queues_of_a_killed_host_are_taken_over_at_once,
        a_killed_java_consumer_for_comparison,
    }
}

const QUEUES: i32 = 8;
/// What the journal may lack: what waits some milliseconds to be written, on a machine however busy. Nothing is committed
/// meanwhile, so that without a journal all that was consumed would come again.
const JOURNAL: Duration = Duration::from_secs(1);
/// A lock lives for a minute: a survivor that had to wait for it would take longer.
const TAKEN_OVER: Duration = Duration::from_secs(45);

async fn a_killed_host_repeats_no_more_than_was_in_flight(world: World) {
    let settings = "settled-journal = true\npersist-consumer-offset-interval = \"10m\"";
    killed_and_started_again(&world, settings, false, async |members| {
        // From the last one consumed on: the kill itself may take a while.
        let entries = members.ledger.entries();
        let since = entries.last().unwrap().at - u64::try_from(JOURNAL.as_micros()).unwrap();
        entries.iter().filter(|entry| entry.at >= since).count()
    })
    .await;
    world.cluster.end().await;
}

async fn without_a_journal_a_killed_host_repeats_no_more_than_it_had_not_committed(world: World) {
    killed_and_started_again(&world, "settled-journal = false", true, async |members| {
        members.ledger.len() - committed(members).await
    })
    .await;
    world.cluster.end().await;
}

/// How many messages the group's stored offsets pass.
async fn committed(members: &Members<'_>) -> usize {
    let offsets = members.world.cluster.offsets(&members.group, &members.topic).await;
    usize::try_from(offsets.values().sum::<i64>()).unwrap()
}

/// A host is killed at half of the work, if need be after its first commit, and started again. No more is consumed twice
/// than may be by the state it was killed in, and than was at the listener.
async fn killed_and_started_again(
    world: &World,
    settings: &str,
    commits: bool,
    may_be: impl AsyncFnOnce(&Members<'_>) -> usize,
) {
    let (members, messages) = (Members::new(world, "killed", QUEUES).await, size::messages() / 2);
    let directory = tempfile::tempdir().unwrap();
    let setup = members.process(directory.path(), settings);
    let play = async {
        let host = setup.start(&members.ledger, "before");
        members.consume_more(messages / 2).await;
        if commits {
            eventually("something is committed", async || {
                that(committed(&members).await > 0, || "nothing is".to_owned())
            })
            .await;
        }
        host.kill();
        let may_be = may_be(&members).await;
        (may_be, setup.start(&members.ledger, "after"))
    };
    let (sent, (may_be, host)) = fed(&world.cluster, &members.topic, messages, &members.ledger, play).await;
    members.consume_all(sent).await;
    host.terminate();
    let tally = members.tally(sent).await;
    println!("{settings}: {tally}; {may_be} might have been");
    assert_eq!(tally.lost, 0, "{tally}");
    assert!(tally.duplicates <= may_be + usize::try_from(THREADS).unwrap(), "{tally}, {may_be} might be");
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
    let tally = members.tally(sent).await;
    let entries = members.ledger.entries();
    let first = |queue| entries.iter().find(|entry| entry.queue == Some(queue) && entry.at > killed);
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
    members.consume_all(sent).await;
    quit(java).await;
    let tally = members.tally(sent).await;
    println!("Java, killed and started again: {tally}");
    world.cluster.end().await;
}
