//! A dropped plugin consumes; its results decide, message by message; offsets follow.

use gantry_host::SettledAs;
use gantry_host::client_instance::OutgoingMessage;
use gantry_suite::{World, eventually, that};

gantry_suite::scenarios! {
    a_dropped_plugin_consumes_what_is_there_and_what_comes,
    a_restarted_host_goes_on_without_repeating,
    results_are_acted_on_message_by_message,
    a_compressed_body_arrives_inflated,
    tags_keys_and_properties_reach_the_listener,
}

gantry_suite::guarded_scenarios! {
    a_dropped_plugin_consumes_what_is_there_and_what_comes,
    results_are_acted_on_message_by_message,
    a_compressed_body_arrives_inflated,
}

async fn a_dropped_plugin_consumes_what_is_there_and_what_comes(world: World) {
    let (topic, group) = (world.topic("t", 4).await, world.name("g"));
    world.cluster.send(&topic, &["ok 1", "ok 2", "ok 3", "ok 4", "ok 5"]).await;
    let host = world.host_with("scripted", &group, &topic).start().await;
    host.deploy("scripted", "scripted");
    let plugin = host.active("scripted").await;
    assert_eq!(plugin.consumer_group.as_deref(), Some(group.as_str()));
    host.settled(5).await;
    world.cluster.send(&topic, &["ok 6", "ok 7"]).await;
    host.settled(7).await;

    let successes = host.observed.successes("scripted");
    assert_eq!(successes.len(), 7, "{successes:?}");
    assert!(successes.values().all(|times| *times == 1), "{successes:?}");
    eventually("they are counted", async || {
        let outcomes = host.plugin("scripted").unwrap().outcomes;
        let counted = (outcomes.succeeded, outcomes.reconsumed, outcomes.failed) == (7, 0, 0);
        that(counted, || format!("{outcomes:?}"))
    })
    .await;
    world.cluster.all_committed(&group, &topic).await;
    host.stop().await;
    world.cluster.end().await;
}

async fn a_restarted_host_goes_on_without_repeating(world: World) {
    let (topic, group) = (world.topic("t", 4).await, world.name("g"));
    let setup = world.host_with("scripted", &group, &topic).with_file("scripted", "scripted");
    let host = setup.start().await;
    world.cluster.send_many(&topic, 1_000).await;
    host.settled(1_000).await;
    let setup = host.stop().await;
    // A graceful stop has stored every offset before it returns: no waiting here.
    assert_eq!(world.cluster.offsets(&group, &topic).await, world.cluster.end_offsets(&topic).await);

    world.cluster.send(&topic, &["new 1", "new 2"]).await;
    let host = setup.start().await;
    eventually("both new messages are consumed", async || {
        let new = [host.observed.of("new 1").len(), host.observed.of("new 2").len()];
        that(new == [1, 1], || format!("{new:?}"))
    })
    .await;
    assert_eq!((host.observed.succeeded(), host.observed.duplicates()), (1_002, 0));
    host.stop().await;
    world.cluster.end().await;
}

async fn results_are_acted_on_message_by_message(world: World) {
    let (topic, group) = (world.topic("t", 1).await, world.name("g"));
    let bodies = ["ok 1", "once:1", "ok 2", "dead:rotten", "ok 3"];
    world.cluster.send_batch(&topic, &bodies).await;
    let host = world.host_with("scripted", &group, &topic).with_file("scripted", "scripted").start().await;
    // Each once, and the one given back a second time.
    host.settled(6).await;
    world.cluster.all_committed(&group, &topic).await;
    world.cluster.dead_lettered(&group, &["dead:rotten"]).await;

    let ends = |body: &str| -> Vec<_> {
        host.observed.of(body).into_iter().map(|record| (record.reconsume_times, record.how)).collect()
    };
    for body in ["ok 1", "ok 2", "ok 3"] {
        assert_eq!(ends(body), [(0, SettledAs::Success)], "{body}");
    }
    assert_eq!(ends("dead:rotten"), [(0, SettledAs::DeadLetter { reason: "rotten".into() })]);
    assert_eq!(ends("once:1"), [(0, SettledAs::ReconsumeLater { level: 1 }), (1, SettledAs::Success)]);
    let again = host.observed.of("once:1");
    assert_eq!((again[0].key.as_str(), again[1].topic.as_str()), (again[1].key.as_str(), topic.as_str()));
    host.stop().await;
    world.cluster.end().await;
}

async fn a_compressed_body_arrives_inflated(world: World) {
    let (topic, group) = (world.topic("t", 1).await, world.name("g"));
    // Only the inflated text has a verb the listener knows, and it says so in the reason.
    let body = format!("dead:inflated {}", "x".repeat(20_000));
    world.cluster.send(&topic, &[&body]).await;
    let stored = world.cluster.readable(&topic, 1).await;
    assert!(stored[0].is_compressed() && stored[0].stored_body().len() < 1_000);
    let host = world.host_with("scripted", &group, &topic).with_file("scripted", "scripted").start().await;
    host.settled(1).await;
    let record = &host.observed.records()[0];
    assert_eq!(record.how, SettledAs::DeadLetter { reason: "inflated".into() });
    // It stays whole on its way to the dead letters.
    world.cluster.dead_lettered(&group, &[&body]).await;
    host.stop().await;
    world.cluster.end().await;
}

async fn tags_keys_and_properties_reach_the_listener(world: World) {
    let (topic, group) = (world.topic("t", 1).await, world.name("g"));
    let message = |body: &str| OutgoingMessage::new(&topic, body.to_owned()).with_tag("paid").with_key("k1");
    let messages = [
        message("property:TAGS=paid"),
        message("property:KEYS=k1"),
        message("property:color=blue").with_property("color", "blue"),
        message("property:color=green").with_property("color", "blue"),
    ];
    world.cluster.send_messages(&messages).await;
    let host = world.host_with("scripted", &group, &topic).with_file("scripted", "scripted").start().await;
    host.settled(4).await;
    let successes: Vec<_> = host.observed.successes("scripted").into_keys().collect();
    assert_eq!(successes, ["property:KEYS=k1", "property:TAGS=paid", "property:color=blue"]);
    host.stop().await;
    world.cluster.end().await;
}
