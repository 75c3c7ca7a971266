//! RocketMQ's Java client and Gantry in one group.

use std::collections::BTreeSet;
use std::time::Duration;

use gantry_apache::{Consumer, ConsumerOptions};
use gantry_suite::{HostUnderTest, World, eventually_within, installation, that};

gantry_suite::scenarios! {
    java_and_gantry_share_a_groups_queues,
}

/// The Java client rebalances at notice, and every 20 s should it miss one; its first heartbeat may stall it for 30 s.
const SETTLING: Duration = Duration::from_secs(180);
const QUEUES: i32 = 4;

/// Java is alone, Gantry joins, leaves and joins again, Java leaves. After each change every queue has one owner.
async fn java_and_gantry_share_a_groups_queues(world: World) {
    let Some(installation) = installation() else { return };
    let (topic, group) = (world.topic("t", QUEUES).await, world.name("g"));
    let options = ConsumerOptions::new(&group, &topic).instance(&group).batch(16);
    let address = world.cluster.address();
    let mut java = tokio::task::block_in_place(|| Consumer::start(&installation, address, &options)).unwrap();
    let mut bodies = BTreeSet::new();
    let mut total = 0;

    shares(Some(&mut java), None, &group, &topic, (4, 0)).await;
    let setup = world.host_with("scripted", &group, &topic).with_file("scripted", "scripted");
    let host = setup.start().await;
    shares(Some(&mut java), Some(&host), &group, &topic, (2, 2)).await;
    total += send(&world, &topic, total, 400).await;
    all_consumed(Some(&mut java), &host, &mut bodies, total).await;
    assert!(!bodies.is_empty() && !host.observed.is_empty(), "one of them consumed nothing");

    let setup = host.stop().await;
    shares(Some(&mut java), None, &group, &topic, (4, 0)).await;
    total += send(&world, &topic, total, 40).await;
    let host = setup.start().await;
    shares(Some(&mut java), Some(&host), &group, &topic, (2, 2)).await;
    total += send(&world, &topic, total, 40).await;
    all_consumed(Some(&mut java), &host, &mut bodies, total).await;

    let last = tokio::task::block_in_place(|| java.quit()).unwrap();
    bodies.extend(last.into_iter().map(|message| message.body));
    shares(None, Some(&host), &group, &topic, (0, 4)).await;
    total += send(&world, &topic, total, 40).await;
    all_consumed(None, &host, &mut bodies, total).await;
    world.cluster.all_committed(&group, &topic).await;
    println!(
        "{total} messages, {} of them by Java, {} repeated by Gantry",
        bodies.len(),
        host.observed.duplicates()
    );
    host.stop().await;
    world.cluster.end().await;
}

/// Sends `ok first`, `ok first+1` and so on to the queues in turn.
async fn send(world: &World, topic: &str, first: usize, count: usize) -> usize {
    let bodies: Vec<_> = (first..first + count).map(|number| format!("ok {number}")).collect();
    let bodies: Vec<_> = bodies.iter().map(String::as_str).collect();
    world.cluster.send(topic, &bodies).await;
    count
}

/// Waits until Java and Gantry own so many queues, and each queue has one owner.
async fn shares(
    mut java: Option<&mut Consumer>,
    host: Option<&HostUnderTest>,
    group: &str,
    topic: &str,
    (at_java, at_gantry): (usize, usize),
) {
    eventually_within(SETTLING, "every queue has one owner", async || {
        let javas: Vec<_> = java.as_mut().map_or_else(Vec::new, |java| owned_by(java, topic));
        let gantrys = host.map(|host| host.queues(group, topic)).unwrap_or_default();
        let all: BTreeSet<_> = javas.iter().chain(&gantrys).collect();
        let settled = (javas.len(), gantrys.len(), all.len()) == (at_java, at_gantry, QUEUES as usize);
        that(settled, || format!("Java owns {javas:?}, Gantry {gantrys:?}"))
    })
    .await;
}

fn owned_by(java: &mut Consumer, topic: &str) -> Vec<String> {
    let queues = tokio::task::block_in_place(|| java.queues()).unwrap();
    let queues = queues.into_iter().filter(|queue| queue.topic == topic);
    queues.map(|queue| format!("{}/{}", queue.broker, queue.queue_id)).collect()
}

/// Waits until each of `ok 0` to `ok total-1` was consumed by one of them; Java's go into `bodies`.
async fn all_consumed(
    mut java: Option<&mut Consumer>,
    host: &HostUnderTest,
    bodies: &mut BTreeSet<String>,
    total: usize,
) {
    eventually_within(SETTLING, "everything is consumed", async || {
        while let Some(message) = java
            .as_mut()
            .and_then(|java| tokio::task::block_in_place(|| java.consumed(Duration::ZERO)).unwrap())
        {
            bodies.insert(message.body);
        }
        let missing: Vec<_> =
            host.observed.missing(total).into_iter().filter(|body| !bodies.contains(body)).collect();
        that(missing.is_empty(), || format!("{} are missing, such as {:?}", missing.len(), missing.first()))
    })
    .await;
}
