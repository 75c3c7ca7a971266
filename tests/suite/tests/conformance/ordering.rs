//! Orderly listeners: what a key's messages did is never followed by what they did before.

use gantry_apache::{Consumer, ConsumerOptions};
use gantry_host::config::Millis;
use gantry_suite::{
    HostSetup, Ledger, Sequences, World, eventually, installation, out_of_order, that, versioned,
};

use crate::members::{Members, quit};

mod quiet {
    use super::*;

    gantry_suite::scenarios! {
        quiet: keys_stay_in_order_through_retries_traps_swaps_and_rebalances,
        a_java_consumer_in_order_shares_the_group,
    }
}

const QUEUES: i32 = 8;
const SWAPS: u8 = 10;
const ROUNDS: u8 = 5;
/// Messages between two changes.
const MORE: usize = 200;

/// A host with the orderly listener.
fn orderly(members: &Members<'_>, name: &str) -> HostSetup {
    let setup = members.world.host_with("orderly", &members.group, &members.topic);
    let setup = setup.written_down_by(members.ledger.scribe(name)).with_file("orderly", "orderly");
    setup.configure(|config| config.consumer.suspend_current_queue_time = Some(Millis(50)))
}

async fn keys_stay_in_order_through_retries_traps_swaps_and_rebalances(world: World) {
    let members = Members::new(&world, "keys", QUEUES).await;
    let stays = orderly(&members, "stays").start().await;
    let traffic = Sequences::start(&world.cluster, &members.topic).await;
    members.consume_more(MORE).await;
    for round in 0..ROUNDS {
        let joins = orderly(&members, &format!("joins {round}")).start().await;
        members.own(&[&stays, &joins], &[4, 4]).await;
        members.consume_more(MORE).await;
        for swap in 0..SWAPS / ROUNDS {
            stays.deploy_bytes("orderly", &versioned("orderly", round * 2 + swap));
            let swaps = u64::from(round * 2 + swap + 1);
            eventually("the next version serves", async || {
                let plugin = stays.active("orderly").await;
                that(plugin.swaps == swaps, || format!("{plugin:?}"))
            })
            .await;
            members.consume_more(MORE).await;
        }
        joins.stop().await;
        members.own(&[&stays], &[8]).await;
        members.consume_more(MORE).await;
    }
    let sent = traffic.stop().await;
    in_order(&members.ledger, sent).await;
    stays.stop().await;
    world.cluster.end().await;
}

async fn a_java_consumer_in_order_shares_the_group(world: World) {
    let Some(installation) = installation() else { return };
    let members = Members::new(&world, "java", QUEUES).await;
    let directory = tempfile::tempdir().unwrap();
    let stays = orderly(&members, "stays").start().await;
    let traffic = Sequences::start(&world.cluster, &members.topic).await;
    members.consume_more(MORE).await;
    let file = directory.path().join("ledger");
    members.ledger.follow("java", &file);
    let options = ConsumerOptions::new(&members.group, &members.topic).orderly().ledger(&file);
    let (installation, address) = (installation.clone(), world.cluster.address());
    let start = move || Consumer::start(&installation, address, &options).unwrap();
    let java = tokio::task::spawn_blocking(start).await.unwrap();
    members.begins("java").await;
    members.own(&[&stays], &[4]).await;
    members.consume_more(MORE).await;
    quit(java).await;
    members.own(&[&stays], &[8]).await;
    members.consume_more(MORE).await;
    let sent = traffic.stop().await;
    in_order(&members.ledger, sent).await;
    println!("{} messages, {} of them by Java", sent, members.ledger.len_of("java"));
    stays.stop().await;
    world.cluster.end().await;
}

/// Waits until all is consumed; then each key's messages must have come in their order.
async fn in_order(ledger: &Ledger, sent: usize) {
    eventually("everything is consumed", async || {
        let mut numbers: Vec<_> = ledger.entries().iter().map(|entry| entry.number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        that(numbers.len() == sent, || format!("{} of {sent}", numbers.len()))
    })
    .await;
    let (entries, wrong) = (ledger.entries(), out_of_order(&ledger.entries()));
    println!("{sent} messages in order, {} consumed again", entries.len() - sent);
    assert!(wrong.is_empty(), "{} of {} are out of order: {wrong:#?}", wrong.len(), entries.len());
}
