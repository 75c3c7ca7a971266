//! Versions that fail: a canary takes no more than its share, a breaker keeps messages, and nothing is lost.

use gantry_host::config::{CanarySettings, Millis, Share};
use gantry_suite::{World, eventually, that, versioned};

gantry_suite::scenarios! {
    a_canary_of_a_bad_version_rolls_back_with_at_most_its_share_affected,
    messages_of_a_plugin_that_keeps_failing_wait_for_a_better_version,
}

async fn a_canary_of_a_bad_version_rolls_back_with_at_most_its_share_affected(world: World) {
    let messages = 2_000;
    let (topic, group) = (world.topic("t", 8).await, world.name("g"));
    let setup = world.host_with("p", &group, &topic).plugin_settings("p", |settings| {
        settings.consume_message_batch_max_size = Some(4);
        settings.canary = Some(CanarySettings {
            share: Share(100),
            window: Millis(1_000),
            min_messages: 50,
            max_latency_ratio: 0.0,
            ..CanarySettings::default()
        });
    });
    let host = setup.start().await;
    host.deploy_bytes("p", &versioned("scripted", 0));
    let good = host.active("p").await.hash;
    host.deploy_bytes("p", &versioned("listener-error", 0));
    eventually("the bad version is on trial", async || {
        let plugin = host.plugin("p").unwrap();
        that(plugin.candidate.is_some(), || format!("{plugin:?}"))
    })
    .await;
    world.cluster.send_many(&topic, messages).await;
    let held = eventually("it is rolled back", async || {
        let plugin = host.plugin("p").unwrap();
        plugin.held.clone().ok_or_else(|| format!("{plugin:?}"))
    })
    .await;
    assert!(held.contains("in quarantine") && held.contains("max-error-rate"), "{held}");
    host.consumed(messages).await;
    let plugin = host.active("p").await;
    assert_eq!(plugin.hash, good);
    let failed = usize::try_from(plugin.outcomes.failed).unwrap();
    // A tenth of the batches; the last ones of a queue are smaller than others.
    assert!((50..=messages / 10 + 32).contains(&failed), "{failed} of {messages} were affected");
    println!("{failed} of {messages} messages were given back by the canary, and consumed later");
    world.cluster.all_committed(&group, &topic).await;
    host.stop().await;
    world.cluster.end().await;
}

async fn messages_of_a_plugin_that_keeps_failing_wait_for_a_better_version(world: World) {
    let messages = 400;
    let (topic, group) = (world.topic("t", 4).await, world.name("g"));
    let setup = world.host_with("p", &group, &topic).plugin_settings("p", |settings| {
        settings.consume_message_batch_max_size = Some(1);
        settings.breaker.failures = 5;
        settings.breaker.pause = Millis(60_000);
    });
    let host = setup.start().await;
    host.deploy_bytes("p", &versioned("listener-error", 0));
    host.active("p").await;
    world.cluster.send_many(&topic, messages).await;
    eventually("it is paused", async || {
        let plugin = host.plugin("p").unwrap();
        that(plugin.breaker.as_ref().is_some_and(|breaker| breaker.state == "open"), || format!("{plugin:?}"))
    })
    .await;
    host.deploy_bytes("p", &versioned("scripted", 0));
    host.consumed(messages).await;
    let plugin = host.active("p").await;
    // Those it had when it was paused, and no more.
    assert!((5..100).contains(&plugin.outcomes.failed), "{plugin:?}");
    assert_eq!(plugin.breaker.unwrap().state, "closed");
    world.cluster.all_committed(&group, &topic).await;
    host.stop().await;
    world.cluster.end().await;
}
