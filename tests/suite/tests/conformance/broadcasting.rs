//! Broadcasting: every host has every message, and keeps its own offsets.

use gantry_host::config::Millis;
use gantry_suite::{HostSetup, HostUnderTest, World, eventually, that};

gantry_suite::scenarios! {
    every_host_gets_every_message_and_a_failing_one_stalls_nothing,
    a_restarted_host_goes_on_from_its_own_file,
    a_damaged_offsets_file_is_kept_aside_and_the_backup_serves,
}

gantry_suite::guarded_scenarios! {
    every_host_gets_every_message_and_a_failing_one_stalls_nothing,
}

fn broadcasting(world: &World, group: &str, topic: &str) -> HostSetup {
    let setup = world.host_with("broadcast", group, topic).with_file("broadcast", "broadcast");
    setup.configure(|config| config.consumer.persist_consumer_offset_interval = Some(Millis(100)))
}

async fn every_host_gets_every_message_and_a_failing_one_stalls_nothing(world: World) {
    let (topic, group) = (world.topic("t", 4).await, world.name("g"));
    let hosts = [
        broadcasting(&world, &group, &topic).start().await,
        broadcasting(&world, &group, &topic).start().await,
    ];
    // More than a window's thousand for each queue: one that kept a failed message would come to a stop.
    for (number, body) in ["later 1", "dead 2", "trap 3"].into_iter().enumerate() {
        world.cluster.send(&topic, &[body]).await;
        world.cluster.send_range(&topic, number * 2_000..(number + 1) * 2_000).await;
    }
    for host in &hosts {
        host.consumed(6_000).await;
        // A trap may take longer than all that comes behind it.
        eventually("the failures are told too", async || {
            let told = host.observed.len();
            that(told >= 6_003, || format!("{told} of 6003 are"))
        })
        .await;
        assert_eq!((host.observed.len(), host.observed.duplicates()), (6_003, 0));
        for body in ["later 1", "dead 2", "trap 3"] {
            assert_eq!(host.observed.of(body).len(), 1, "{body}");
        }
        eventually("every queue is here", async || {
            let queues = host.queues(&group, &topic);
            that(queues.len() == 4, || format!("{queues:?}"))
        })
        .await;
    }
    // A broker answers 0 for a group it knows no offset of, where the queue still has its first message.
    let offsets = world.cluster.offsets(&group, &topic).await;
    assert!(offsets.values().all(|offset| *offset == 0), "the offsets are the hosts' own: {offsets:?}");
    assert_eq!(world.cluster.dead_letters(&group).await, Vec::<String>::new());
    for host in hosts {
        host.stop().await;
    }
    world.cluster.end().await;
}

async fn a_restarted_host_goes_on_from_its_own_file(world: World) {
    let (topic, group) = (world.topic("t", 2).await, world.name("g"));
    let one = broadcasting(&world, &group, &topic).start().await;
    let two = broadcasting(&world, &group, &topic).start().await;
    world.cluster.send_range(&topic, 0..500).await;
    one.consumed(500).await;
    let setup = one.stop().await;
    world.cluster.send_range(&topic, 500..1_000).await;
    two.consumed(1_000).await;
    let one = setup.start().await;
    one.consumed(1_000).await;
    assert_eq!((one.observed.duplicates(), two.observed.duplicates()), (0, 0));
    one.stop().await;
    two.stop().await;
    world.cluster.end().await;
}

async fn a_damaged_offsets_file_is_kept_aside_and_the_backup_serves(world: World) {
    let (topic, group) = (world.topic("t", 1).await, world.name("g"));
    let host = broadcasting(&world, &group, &topic).start().await;
    world.cluster.send_range(&topic, 0..500).await;
    host.consumed(500).await;
    stored(&host, 500).await;
    world.cluster.send(&topic, &["ok 500"]).await;
    host.consumed(501).await;
    stored(&host, 501).await;
    let setup = host.stop().await;
    let file = setup.kept("offsets.json");
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();

    world.cluster.send(&topic, &["ok 501"]).await;
    let host = setup.start().await;
    host.consumed(502).await;
    // The backup is of one message before.
    assert_eq!((host.observed.duplicates(), host.observed.of("ok 500").len()), (1, 2));
    let setup = host.stop().await;
    assert_eq!(std::fs::read(setup.kept("offsets.json.corrupt-1")).unwrap(), whole[..whole.len() / 2]);
    world.cluster.end().await;
}

/// Waits until the host's file says that everything before this offset is settled.
async fn stored(host: &HostUnderTest, offset: i64) {
    eventually(&format!("offset {offset} is stored"), async || {
        let files = host.setup().all_kept("offsets.json");
        let text = files.first().and_then(|file| std::fs::read_to_string(file).ok()).unwrap_or_default();
        that(text.contains(&format!(":{offset}")), || text)
    })
    .await;
}
