//! Several plugins in a group, several hosts in a group.

use std::collections::BTreeSet;

use gantry_host::client_instance::OutgoingMessage;
use gantry_suite::{HostUnderTest, Load, World, eventually, that};

gantry_suite::scenarios! {
    two_plugins_of_a_group_consume_two_topics,
    two_plugins_of_a_group_share_a_topic_by_tags,
    a_starting_group_passes_over_nothing_that_its_second_plugin_wants,
    two_hosts_of_a_group_share_its_queues,
    a_host_joins_and_leaves_under_load_and_nothing_is_lost,
}

gantry_suite::guarded_scenarios! {
    two_plugins_of_a_group_share_a_topic_by_tags,
    a_host_joins_and_leaves_under_load_and_nothing_is_lost,
}

async fn two_plugins_of_a_group_consume_two_topics(world: World) {
    let (one, two, group) = (world.topic("one", 2).await, world.topic("two", 2).await, world.name("g"));
    let setup = world.host().plugin("a", &group, &[(&one, "*")]).plugin("b", &group, &[(&two, "*")]);
    let host = setup.with_file("scripted", "a").with_file("scripted", "b").start().await;
    world.cluster.send(&one, &["ok 1", "once:1 for a"]).await;
    world.cluster.send(&two, &["ok 2", "once:1 for b"]).await;
    host.settled(6).await;
    let bodies = |plugin| host.observed.successes(plugin).into_keys().collect::<Vec<_>>();
    assert_eq!(bodies("a"), ["ok 1", "once:1 for a"]);
    assert_eq!(bodies("b"), ["ok 2", "once:1 for b"]);
    assert_eq!(host.status().groups.len(), 1);
    host.stop().await;
    world.cluster.end().await;
}

/// The broker knows one subscription, `red || blue`; who gets which message is decided inside, also when it comes again.
async fn two_plugins_of_a_group_share_a_topic_by_tags(world: World) {
    let (topic, group) = (world.topic("t", 2).await, world.name("g"));
    let setup = world.host().plugin("a", &group, &[(&topic, "red")]).plugin("b", &group, &[(&topic, "blue")]);
    let host = setup.with_file("scripted", "a").with_file("scripted", "b").start().await;
    let mut messages = Vec::new();
    for tag in ["red", "blue", "green"] {
        for body in [format!("ok {tag}"), format!("once:1 {tag}")] {
            messages.push(OutgoingMessage::new(&topic, body).with_tag(tag));
        }
    }
    world.cluster.send_messages(&messages).await;
    host.settled(6).await;
    world.cluster.all_committed(&group, &topic).await;
    let bodies = |plugin| host.observed.successes(plugin).into_keys().collect::<Vec<_>>();
    assert_eq!(bodies("a"), ["ok red", "once:1 red"]);
    assert_eq!(bodies("b"), ["ok blue", "once:1 blue"]);
    assert_eq!(host.observed.len(), 6, "green is nobody's");
    host.stop().await;
    world.cluster.end().await;
}

/// The files are compiled one after the other: a group that began with the first alone would ask the broker for its tag
/// only, and go past what the second wants.
async fn a_starting_group_passes_over_nothing_that_its_second_plugin_wants(world: World) {
    let (topic, group) = (world.topic("t", 2).await, world.name("g"));
    let cold = tempfile::tempdir().unwrap();
    let setup = world.host().plugin("a", &group, &[(&topic, "red")]).plugin("b", &group, &[(&topic, "blue")]);
    let setup = setup.configure(|config| config.engine.cache_dir = Some(cold.path().to_owned()));
    let tagged = |tag: &str| OutgoingMessage::new(&topic, format!("ok {tag}")).with_tag(tag);
    world.cluster.send_messages(&[tagged("blue"), tagged("red"), tagged("blue"), tagged("red")]).await;
    let host = setup.with_file("scripted", "a").with_file("orders", "b").start().await;
    host.settled(4).await;
    let count = |plugin| host.observed.records().iter().filter(|record| record.plugin == plugin).count();
    assert_eq!((count("a"), count("b")), (2, 2));
    host.stop().await;
    world.cluster.end().await;
}

async fn two_hosts_of_a_group_share_its_queues(world: World) {
    let (topic, group) = (world.topic("t", 6).await, world.name("g"));
    let setup = || world.host_with("scripted", &group, &topic).with_file("scripted", "scripted");
    let one = setup().start().await;
    owned_once(&[&one], &group, &topic, &[6]).await;
    let two = setup().start().await;
    owned_once(&[&one, &two], &group, &topic, &[3, 3]).await;
    let three = setup().start().await;
    owned_once(&[&one, &two, &three], &group, &topic, &[2, 2, 2]).await;
    one.stop().await;
    owned_once(&[&two, &three], &group, &topic, &[3, 3]).await;
    two.stop().await;
    owned_once(&[&three], &group, &topic, &[6]).await;
    three.stop().await;
    world.cluster.end().await;
}

/// Waits until these hosts own so many of the topic's six queues, and each queue once.
async fn owned_once(hosts: &[&HostUnderTest], group: &str, topic: &str, counts: &[usize]) {
    eventually(&format!("{} hosts own {counts:?} queues", hosts.len()), async || {
        let owned: Vec<_> = hosts.iter().map(|host| host.queues(group, topic)).collect();
        let all: BTreeSet<_> = owned.iter().flatten().collect();
        let fair = owned.iter().map(Vec::len).eq(counts.iter().copied());
        that(fair && all.len() == 6, || format!("they own {owned:?}"))
    })
    .await;
}

async fn a_host_joins_and_leaves_under_load_and_nothing_is_lost(world: World) {
    let (topic, group) = (world.topic("t", 6).await, world.name("g"));
    let setup = || world.host_with("scripted", &group, &topic).with_file("scripted", "scripted");
    let one = setup().start().await;
    owned_once(&[&one], &group, &topic, &[6]).await;
    let load = Load::start(&world.cluster, &topic);
    let more = async |than: usize| {
        eventually("traffic goes on", async || {
            let sent = load.acknowledged();
            that(sent >= than + 200, || format!("{sent} sent"))
        })
        .await;
    };
    more(0).await;
    let two = setup().observed_by(&one.observed).start().await;
    owned_once(&[&one, &two], &group, &topic, &[3, 3]).await;
    more(load.acknowledged()).await;
    two.stop().await;
    owned_once(&[&one], &group, &topic, &[6]).await;
    more(load.acknowledged()).await;
    let sent = load.stop().await;
    one.consumed(sent).await;
    // A new owner may ask for a queue's offset before the old one has stored its last: at least once, as in RocketMQ.
    println!("{sent} messages, {} consumed twice while queues moved", one.observed.duplicates());
    one.stop().await;
    world.cluster.end().await;
}
