//! Servers that are not there, go, and come again.

use std::time::Duration;

use gantry_suite::{Load, World, eventually, eventually_within, that};

/// The clusters of these scenarios are their own: they kill them.
mod killed {
    use super::*;

    gantry_suite::scenarios! {
        own: a_broker_is_killed_and_restarted_under_load_and_nothing_is_lost,
        a_host_begins_when_the_name_server_appears,
    }
}

/// How long a client may need to see that a server is back.
const RECOVERY: Duration = Duration::from_secs(240);

gantry_suite::scenarios! {
    a_topic_that_is_missing_at_the_start_is_picked_up_when_it_appears,
}

async fn a_broker_is_killed_and_restarted_under_load_and_nothing_is_lost(world: World) {
    let (topic, group) = (world.topic("t", 4).await, world.name("g"));
    let host = world.host_with("scripted", &group, &topic).with_file("scripted", "scripted").start().await;
    let load = Load::start(&world.cluster, &topic);
    eventually("traffic flows", async || {
        let (sent, consumed) = (load.acknowledged(), host.observed.len());
        that(sent >= 300 && consumed >= 300, || format!("{sent} sent, {consumed} consumed"))
    })
    .await;

    world.cluster.kill_broker();
    eventually("the producer notices", async || that(load.failures() > 0, || "no send has failed".into()))
        .await;
    let before = load.acknowledged();
    world.cluster.start_broker();
    eventually_within(RECOVERY, "traffic flows again", async || {
        let sent = load.acknowledged();
        that(sent >= before + 300, || format!("{sent} sent, {before} of them before"))
    })
    .await;
    let sent = load.stop().await;
    host.consumed(sent).await;
    println!("{sent} messages, {} consumed more than once", host.observed.len() - sent);
    world.cluster.all_committed(&group, &topic).await;
    assert_eq!(world.cluster.members(&group, &topic).await.len(), 1);
    host.stop().await;
    world.cluster.end().await;
}

async fn a_host_begins_when_the_name_server_appears(world: World) {
    let (topic, group) = (world.topic("t", 2).await, world.name("g"));
    world.cluster.send(&topic, &["ok 0", "ok 1"]).await;
    world.cluster.readable(&topic, 2).await;
    world.cluster.kill_all();
    let host = world.host_with("scripted", &group, &topic).with_file("scripted", "scripted").start().await;
    host.active("scripted").await;
    assert!(!host.status().ready, "it cannot know its routes: {:?}", host.status());

    world.cluster.start_all();
    eventually_within(RECOVERY, "the host begins", async || {
        let (consumed, status) = (host.observed.succeeded(), host.status());
        that(consumed == 2 && status.ready, || format!("{consumed} consumed; {status:?}"))
    })
    .await;
    host.stop().await;
    world.cluster.end().await;
}

async fn a_topic_that_is_missing_at_the_start_is_picked_up_when_it_appears(world: World) {
    let (topic, group) = (world.name("t"), world.name("g"));
    let host = world.host_with("scripted", &group, &topic).with_file("scripted", "scripted").start().await;
    host.active("scripted").await;
    eventually("the host knows there is no such topic", async || {
        let status = host.status();
        that(status.ready && host.queues(&group, &topic).is_empty(), || format!("{status:?}"))
    })
    .await;
    world.cluster.create_topic(&topic, 2).await;
    world.cluster.send(&topic, &["ok 0", "ok 1"]).await;
    eventually_within(RECOVERY, "the topic is picked up", async || {
        let consumed = host.observed.succeeded();
        that(consumed == 2, || format!("{consumed} consumed; {:?}", host.status()))
    })
    .await;
    host.stop().await;
    world.cluster.end().await;
}
