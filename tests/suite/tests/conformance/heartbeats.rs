//! Heartbeats of the second form, which name a fingerprint in place of subscriptions a broker knows.

use std::time::Duration;

use gantry_apache::{Consumer, ConsumerOptions};
use gantry_host::config::Millis;
use gantry_suite::{HostSetup, World, eventually_within, installation, that};

gantry_suite::scenarios! {
    own: a_group_lives_by_fingerprints_and_a_broker_started_anew_learns_what_they_stand_for,
    members_of_both_kinds_share_a_group_by_fingerprints,
}

/// The Java client rebalances at notice, and every 20 s should it miss one; its first heartbeat may stall it for 30 s.
const SETTLING: Duration = Duration::from_secs(180);

/// Hosts that beat several times a second, so that most heartbeats leave the subscriptions out.
fn beating(setup: HostSetup) -> HostSetup {
    setup.configure(|config| {
        config.client.use_heartbeat_v2 = true;
        config.client.heartbeat_broker_interval = Millis(200);
    })
}

async fn a_group_lives_by_fingerprints_and_a_broker_started_anew_learns_what_they_stand_for(world: World) {
    let (topic, group) = (world.topic("t", 2).await, world.name("g"));
    let later = world.topic("later", 1).await;
    let host = beating(world.host_with("scripted", &group, &topic)).with_file("scripted", "scripted");
    let host = host.plugin("more", &group, &[(&later, "*")]).start().await;
    world.cluster.send(&topic, &["ok 0"]).await;
    host.settled(1).await;
    // Another plugin: the subscriptions are others now, and the brokers must hear of it.
    host.deploy("scripted", "more");
    host.active("more").await;
    world.cluster.send(&later, &["ok 1"]).await;
    host.settled(2).await;
    world.cluster.kill_broker();
    world.cluster.start_broker();
    world.cluster.create_topic(&topic, 2).await;
    world.cluster.send(&topic, &["ok 2"]).await;
    world.cluster.send(&later, &["ok 3"]).await;
    host.consumed(4).await;
    host.stop().await;
    world.cluster.end().await;
}

/// Each member's fingerprint is another one, so the broker asks both for their subscriptions again and again: that must not
/// disturb the group.
async fn members_of_both_kinds_share_a_group_by_fingerprints(world: World) {
    let Some(installation) = installation() else { return };
    let (topic, group) = (world.topic("t", 4).await, world.name("g"));
    let host = beating(world.host_with("scripted", &group, &topic)).with_file("scripted", "scripted");
    let host = host.start().await;
    let options = ConsumerOptions::new(&group, &topic).instance(&group).heartbeat_v2();
    let address = world.cluster.address();
    let mut java = tokio::task::block_in_place(|| Consumer::start(&installation, address, &options)).unwrap();
    let mut shared = async |times: usize| {
        for _ in 0..times {
            eventually_within(SETTLING, "each has two of the four queues", async || {
                let javas = tokio::task::block_in_place(|| java.queues()).unwrap();
                let javas = javas.iter().filter(|queue| queue.topic == topic).count();
                let gantrys = host.queues(&group, &topic).len();
                that((javas, gantrys) == (2, 2), || format!("Java has {javas}, Gantry {gantrys}"))
            })
            .await;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    shared(4).await;
    world.cluster.send(&topic, &["ok 0", "ok 1", "ok 2", "ok 3"]).await;
    world.cluster.all_committed(&group, &topic).await;
    shared(1).await;
    let status = host.group(&group).unwrap();
    assert!(status.clashes.is_empty(), "{:?}", status.clashes);
    tokio::task::block_in_place(|| java.quit()).unwrap();
    host.stop().await;
    world.cluster.end().await;
}
