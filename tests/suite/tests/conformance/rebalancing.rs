//! Members join and leave while there is much to do: nothing is lost, and what came twice and how long queues stood still
//! is counted.

use gantry_suite::{HostSetup, HostUnderTest, Ledger, Sleeper, Tally, World, eventually, fed, now, that};

use crate::size;

mod quiet {
    use super::*;

    gantry_suite::scenarios! {
        quiet: hosts_join_and_leave_five_times,
    }
}

const QUEUES: i32 = 8;
/// How often a member joins and leaves.
const ROUNDS: usize = 5;

async fn hosts_join_and_leave_five_times(world: World) {
    let (topic, group) = (world.topic("t", QUEUES).await, world.name("g"));
    let (ledger, messages) = (Ledger::default(), size::messages());
    let stays = sleeping(&world, &group, &topic, &ledger, "stays").start().await;
    let began = std::time::Instant::now();
    let play = async {
        more(&ledger, messages / 12).await;
        let first_join = now();
        for round in 0..ROUNDS {
            let joins = sleeping(&world, &group, &topic, &ledger, &format!("joins {round}")).start().await;
            owned(&[&stays, &joins], &group, &topic, &[4, 4]).await;
            more(&ledger, messages / 12).await;
            joins.stop().await;
            owned(&[&stays], &group, &topic, &[8]).await;
            more(&ledger, messages / 12).await;
        }
        first_join
    };
    let (sent, first_join) = fed(&world.cluster, &topic, messages, &ledger, play).await;
    let tally = all_consumed(&world, &topic, &ledger, sent).await;
    stays.stop().await;
    let before: Vec<_> = ledger.entries().into_iter().filter(|entry| entry.at < first_join).collect();
    let before = Tally::of(&before, &Default::default());
    println!("{tally}; before anyone joined {} ms; {:?} in all", before.stayed.as_millis(), began.elapsed());
    assert_eq!(tally.lost, 0);
    world.cluster.end().await;
}

/// A host with a listener that sleeps over each message.
fn sleeping(world: &World, group: &str, topic: &str, ledger: &Ledger, name: &str) -> HostSetup {
    world.host().threads(size::THREADS).sleeping(Sleeper::new(group, topic, ledger.scribe(name)))
}

/// Waits until these hosts own so many of the topic's queues, and each queue once.
async fn owned(hosts: &[&HostUnderTest], group: &str, topic: &str, counts: &[usize]) {
    eventually(&format!("they own {counts:?} queues"), async || {
        let owned: Vec<_> = hosts.iter().map(|host| host.queues(group, topic)).collect();
        that(owned.iter().map(Vec::len).eq(counts.iter().copied()), || format!("they own {owned:?}"))
    })
    .await;
}

/// Waits until so many more messages are consumed.
async fn more(ledger: &Ledger, count: usize) {
    let before = ledger.len();
    eventually(&format!("{count} more messages are consumed"), async || {
        let now = ledger.len();
        that(now >= before + count, || format!("{} are", now - before))
    })
    .await;
}

/// Waits until all that was sent is consumed; the sum of it.
async fn all_consumed(world: &World, topic: &str, ledger: &Ledger, sent: usize) -> Tally {
    let ends = world.cluster.end_offsets(topic).await;
    let tally = eventually("everything is consumed", async || {
        that(ledger.len() >= sent, || format!("{} of {sent}", ledger.len()))?;
        let tally = Tally::of(&ledger.entries(), &ends);
        that(tally.lost == 0, || tally.to_string())?;
        Ok(tally)
    })
    .await;
    assert!(tally.stored >= sent, "{sent} were sent: {tally}");
    tally
}
