//! What does not fit together or is damaged: it is refused or kept aside, with the reason, and what is sound goes on.

use gantry_suite::{Ledger, Sleeper, World};

gantry_suite::scenarios! {
    a_groups_listeners_are_of_one_kind,
    a_damaged_journal_is_kept_aside_and_the_brokers_offsets_serve,
}

async fn a_groups_listeners_are_of_one_kind(world: World) {
    let topic = world.topic("t", 2).await;
    for (other, kind) in [("orderly", "clustering and orderly"), ("broadcast", "broadcasting and concurrent")]
    {
        let group = world.name(other);
        let setup = world.host().plugin("a", &group, &[(&topic, "*")]).plugin("b", &group, &[(&topic, "*")]);
        let host = setup.with_file("scripted", "a").start().await;
        host.active("a").await;
        host.deploy(other, "b");
        let reason = host.rejected("b").await;
        for part in [kind, "clustering and concurrent", &group, "plugin a", "another consumer-group"] {
            assert!(reason.contains(part), "no {part:?} in: {reason}");
        }
        assert_eq!(host.plugin("b").unwrap().state, "rejected");
        world.cluster.send(&topic, &["ok"]).await;
        host.settled(1).await;
        assert!(host.observed.records().iter().all(|record| record.plugin == "a"));
        host.stop().await;
    }
    world.cluster.end().await;
}

async fn a_damaged_journal_is_kept_aside_and_the_brokers_offsets_serve(world: World) {
    let (topic, group, ledger) = (world.topic("t", 2).await, world.name("g"), Ledger::default());
    let setup = world.host().sleeping(Sleeper::new(&group, &topic, ledger.scribe("host")));
    let host = setup.start().await;
    world.cluster.send_range(&topic, 0..500).await;
    all_consumed(&ledger, 500).await;
    let setup = host.stop().await;
    let file = setup.kept("settled.db");
    std::fs::write(&file, b"this is no journal").unwrap();

    world.cluster.send_range(&topic, 500..600).await;
    let host = setup.start().await;
    all_consumed(&ledger, 600).await;
    world.cluster.all_committed(&group, &topic).await;
    assert_eq!(ledger.len(), 600, "the broker's offsets were whole");
    let setup = host.stop().await;
    assert_eq!(std::fs::read(setup.kept("settled.db.corrupt-1")).unwrap(), b"this is no journal");
    world.cluster.end().await;
}

/// Waits until each of the first `count` messages is consumed.
async fn all_consumed(ledger: &Ledger, count: usize) {
    gantry_suite::eventually("all is consumed", async || {
        let tally = gantry_suite::Tally::of(&ledger.entries(), count, count);
        gantry_suite::that(tally.lost == 0, || tally.to_string())
    })
    .await;
}
