//! What does not fit together or is damaged: it is refused or kept aside, with the reason, and what is sound goes on.

use gantry_host::config::StrategySetting;
use gantry_suite::{HostSetup, HostUnderTest, Ledger, Sleeper, Tally, World, eventually, that, warned};

gantry_suite::scenarios! {
    a_groups_listeners_are_of_one_kind,
    a_damaged_journal_is_kept_aside_and_the_brokers_offsets_serve,
    a_strategy_whose_answers_do_not_fit_together_is_not_obeyed,
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
    eventually("all is consumed", async || {
        let tally = Tally::of(&ledger.entries(), count, count);
        that(tally.lost == 0, || tally.to_string())
    })
    .await;
}

/// Each strategy takes the place of a sound one, and the reason that is given must be its own.
async fn a_strategy_whose_answers_do_not_fit_together_is_not_obeyed(world: World) {
    let topic = world.topic("t", 8).await;
    for (strategy, rule) in [
        ("strategy-drops", "to none of the 2 members"),
        ("strategy-doubles", "each queue has one owner"),
        ("strategy-invents", "not among the queues to allocate"),
        ("strategy-traps", "strategy share failed"),
        ("strategy-spins", "stopped at its deadline"),
    ] {
        let group = world.name(strategy);
        let host = || sharing(&world, &group, &topic).start();
        let (one, two) = (host().await, host().await);
        let owned = shared(&[&one, &two], &group, &topic).await;
        for host in [&one, &two] {
            host.deploy(strategy, "share");
        }
        let alarm = eventually(&format!("{strategy} is refused"), async || {
            warned(&group, rule).ok_or_else(|| "nothing was said of it".to_owned())
        })
        .await;
        assert!(alarm.contains("ERROR") && alarm.contains("stay as they are"), "{alarm}");
        let before = one.observed.succeeded() + two.observed.succeeded();
        world.cluster.send_range(&topic, 0..80).await;
        eventually("messages are consumed", async || {
            let consumed = one.observed.succeeded() + two.observed.succeeded();
            that(consumed >= before + 80, || format!("{} of 80", consumed - before))
        })
        .await;
        assert_eq!(shared(&[&one, &two], &group, &topic).await, owned, "{strategy}");
        one.stop().await;
        two.stop().await;
    }
    world.cluster.end().await;
}

/// A host whose queues are allocated by the plugin `share`, which is a sound one.
fn sharing(world: &World, group: &str, topic: &str) -> HostSetup {
    let setup = world.host_with("scripted", group, topic).configure(|config| {
        config.consumer.allocate_message_queue_strategy = Some(StrategySetting::Plugin("share".to_owned()));
    });
    setup.with_file("scripted", "scripted").with_file("strategy-blocks", "share")
}

/// Waits until each of the topic's queues is some host's; whose.
async fn shared(hosts: &[&HostUnderTest], group: &str, topic: &str) -> Vec<Vec<String>> {
    eventually("each queue is some host's", async || {
        let owned: Vec<_> = hosts.iter().map(|host| host.queues(group, topic)).collect();
        let some = owned.iter().all(|queues| !queues.is_empty());
        that(some && owned.iter().map(Vec::len).sum::<usize>() == 8, || format!("{owned:?}"))?;
        Ok(owned)
    })
    .await
}
