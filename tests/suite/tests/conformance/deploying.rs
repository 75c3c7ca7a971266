//! Files: rejected ones, removed ones, and those that ask for something else than before.

use std::time::Duration;

use gantry_suite::{HostUnderTest, World, component, eventually, eventually_within, that, versioned};

gantry_suite::scenarios! {
    a_broken_file_is_rejected_with_a_reason_while_the_version_before_serves_on,
    a_file_copied_in_pieces_is_read_whole,
    an_ungranted_import_is_rejected_and_a_granted_one_loads,
    a_removed_file_drains_commits_and_leaves_and_a_dropped_one_goes_on,
    a_version_with_other_subscriptions_resubscribes_live,
    a_version_of_another_group_moves_there,
}

/// The smallest core module: its header.
const CORE_MODULE: &[u8] = b"\0asm\x01\0\0\0";

async fn a_broken_file_is_rejected_with_a_reason_while_the_version_before_serves_on(world: World) {
    let (topic, group) = (world.topic("t", 1).await, world.name("g"));
    let host = world.host_with("p", &group, &topic).with_file("scripted", "p").start().await;
    let first = host.active("p").await;
    let broken: [(Vec<u8>, &str); 6] = [
        (component("describe-traps"), "`describe` gave no answer"),
        (component("unsound"), "unsound `consumer-group`"),
        (component("imports-clock"), "wasi:clocks"),
        (b"#!/bin/sh\necho no\n".to_vec(), "not WebAssembly"),
        (CORE_MODULE.to_vec(), "core module"),
        (Vec::new(), "empty"),
    ];
    let mut sent = 0;
    for (bytes, why) in broken {
        host.deploy_bytes("p", &bytes);
        eventually(&format!("it is rejected: {why}"), async || {
            let rejected = host.rejected("p").await;
            that(rejected.contains(why), || rejected)
        })
        .await;
        sent += 1;
        serves(&world, &host, &topic, &format!("ok {sent}")).await;
        let now = host.plugin("p").unwrap();
        assert_eq!((now.state.as_str(), &now.hash, now.swaps), ("active", &first.hash, 0), "{why}");
    }
    // A version that is sound takes over, and what was rejected is forgotten.
    host.deploy_bytes("p", &versioned("scripted", 2));
    eventually("the new version serves", async || {
        let now = host.active("p").await;
        that(now.hash != first.hash && now.swaps == 1, || format!("{now:?}"))
    })
    .await;
    serves(&world, &host, &topic, "ok at last").await;
    assert_eq!(host.observed.duplicates(), 0);
    host.stop().await;
    world.cluster.end().await;
}

/// Waits until the group has no members, in less time than a broker takes to drop one that said nothing.
async fn left(world: &World, group: &str, topic: &str) {
    eventually_within(Duration::from_secs(60), &format!("{group} has no members"), async || {
        let members = world.cluster.members(group, topic).await;
        that(members.is_empty(), || format!("{members:?}"))
    })
    .await;
}

/// A message sent now is consumed.
async fn serves(world: &World, host: &HostUnderTest, topic: &str, body: &str) {
    world.cluster.send(topic, &[body]).await;
    eventually(&format!("{body:?} is consumed"), async || {
        that(host.observed.of(body).len() == 1, || format!("{} settlements", host.observed.len()))
    })
    .await;
}

async fn a_file_copied_in_pieces_is_read_whole(world: World) {
    let (topic, group) = (world.topic("t", 1).await, world.name("g"));
    let host = world.host_with("orders", &group, &topic).start().await;
    host.copy_bytes("orders", &component("orders"));
    let first = host.active("orders").await;
    host.copy_bytes("orders", &component("orders-v2"));
    eventually("the second version serves", async || {
        let now = host.plugin("orders").unwrap();
        assert_eq!(now.rejected, None, "half a file was read");
        that(now.hash != first.hash, || format!("{now:?}"))
    })
    .await;
    assert!(!host.observed.states("orders").contains(&"rejected"));
    host.stop().await;
    world.cluster.end().await;
}

async fn an_ungranted_import_is_rejected_and_a_granted_one_loads(world: World) {
    let (topic, group) = (world.topic("t", 1).await, world.name("g"));
    let setup = world.host_with("granted", &group, &topic).plugin("not", &world.name("n"), &[(&topic, "*")]);
    let setup = setup.plugin_settings("granted", |settings| settings.grants = vec!["clocks".to_owned()]);
    let host = setup.with_file("imports-clock", "granted").with_file("imports-clock", "not").start().await;
    let reason = host.rejected("not").await;
    assert!(reason.contains("wasi:clocks/monotonic-clock"), "{reason}");
    assert_eq!(host.plugin("not").unwrap().state, "rejected");
    host.active("granted").await;
    serves(&world, &host, &topic, "ok").await;
    host.stop().await;
    world.cluster.end().await;
}

async fn a_removed_file_drains_commits_and_leaves_and_a_dropped_one_goes_on(world: World) {
    let (topic, group) = (world.topic("t", 4).await, world.name("g"));
    let host = world.host_with("p", &group, &topic).with_file("scripted", "p").start().await;
    world.cluster.send_many(&topic, 500).await;
    host.consumed(500).await;
    assert_eq!(world.cluster.members(&group, &topic).await.len(), 1);

    host.remove("p");
    eventually("the plugin and its group are gone", async || {
        let status = host.status();
        that(status.plugins.is_empty() && status.groups.is_empty(), || format!("{status:?}"))
    })
    .await;
    left(&world, &group, &topic).await;
    assert_eq!(world.cluster.offsets(&group, &topic).await, world.cluster.end_offsets(&topic).await);

    world.cluster.send(&topic, &["ok 500", "ok 501", "ok 502"]).await;
    host.deploy("scripted", "p");
    host.consumed(503).await;
    assert_eq!((host.observed.succeeded(), host.observed.duplicates()), (503, 0));
    host.stop().await;
    world.cluster.end().await;
}

/// The versions' own subscriptions decide here, so their topics, `scripted` and `spins`, are this scenario's alone.
async fn a_version_with_other_subscriptions_resubscribes_live(world: World) {
    let group = world.name("g");
    world.cluster.create_topic("scripted", 2).await;
    world.cluster.create_topic("spins", 2).await;
    let setup = world.host().plugin_settings("p", |settings| settings.consumer_group = Some(group.clone()));
    let host = setup.with_file("scripted", "p").start().await;
    assert_eq!(host.active("p").await.subscriptions, ["scripted: *"]);
    world.cluster.send("scripted", &["ok 1"]).await;
    world.cluster.send("spins", &["ok 2"]).await;
    host.settled(1).await;

    host.deploy("spins", "p");
    eventually("it consumes the other topic", async || {
        let (old, new) = (host.queues(&group, "scripted"), host.queues(&group, "spins"));
        that(old.is_empty() && new.len() == 2, || format!("it consumes {old:?} and {new:?}"))
    })
    .await;
    host.settled(2).await;
    world.cluster.send("scripted", &["ok 3"]).await;
    world.cluster.send("spins", &["ok 4"]).await;
    host.settled(3).await;
    assert_eq!(host.plugin("p").unwrap().subscriptions, ["spins: *"]);
    let bodies: Vec<_> = host.observed.records().into_iter().map(|record| record.body).collect();
    assert_eq!(bodies, ["ok 1", "ok 2", "ok 4"]);
    eventually("the offset of the other topic is stored", async || {
        let offsets = world.cluster.offsets(&group, "scripted").await;
        that(offsets.values().sum::<i64>() == 1, || format!("{offsets:?}"))
    })
    .await;
    host.stop().await;
    world.cluster.end().await;
}

/// The versions' own groups decide: `poison-group` gives way to `grows-group`. Their topics are this scenario's.
async fn a_version_of_another_group_moves_there(world: World) {
    let topic = world.topic("t", 2).await;
    let subscriptions = [(topic.as_str(), "*")];
    let setup = world.host().plugin("p", "unused", &subscriptions);
    let setup = setup.plugin_settings("p", |settings| settings.consumer_group = None);
    let host = setup.with_file("poison", "p").start().await;
    world.cluster.send(&topic, &["ok 1", "ok 2"]).await;
    host.settled(2).await;
    assert_eq!(host.plugin("p").unwrap().consumer_group.as_deref(), Some("poison-group"));

    host.deploy("grows", "p");
    eventually("it is in the other group alone", async || {
        let groups: Vec<_> = host.status().groups.into_iter().map(|group| group.group).collect();
        that(groups == ["grows-group"], || format!("{groups:?}"))
    })
    .await;
    // To the other group everything is new.
    host.settled(4).await;
    left(&world, "poison-group", &topic).await;
    assert_eq!(world.cluster.members("grows-group", &topic).await.len(), 1);
    host.stop().await;
    world.cluster.end().await;
}
