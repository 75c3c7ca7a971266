//! Guests that trap, spin, grow, or answer wrongly: the host stays up, and only who is at fault is given back.

use gantry_host::SettledAs;
use gantry_host::config::ByteSize;
use gantry_suite::{World, eventually, that};

gantry_suite::scenarios! {
    a_listener_that_fails_every_batch_is_given_back_beside_one_that_does_not,
    only_the_poison_message_is_given_back,
    only_the_message_that_grows_without_end_is_given_back,
    a_spinning_plugin_is_stopped_and_its_neighbour_does_not_notice,
}

const AGAIN: SettledAs = SettledAs::ReconsumeLater { level: 0 };

async fn a_listener_that_fails_every_batch_is_given_back_beside_one_that_does_not(world: World) {
    let failing = [
        ("traps", "trapped"),
        ("too-few", "results for 3 messages"),
        ("listener-error", "no database for 3"),
    ];
    let mut setup = world.host();
    for stem in ["traps", "too-few", "listener-error", "scripted"] {
        let topic = world.topic(stem, 1).await;
        world.cluster.send_batch(&topic, &["ok 1", "ok 2", "ok 3"]).await;
        setup = setup.plugin(stem, &world.name(stem), &[(&topic, "*")]).with_file(stem, stem);
    }
    let host = setup.start().await;
    host.settled(12).await;
    for (stem, why) in failing {
        let records: Vec<_> = host.observed.records().into_iter().filter(|r| r.plugin == stem).collect();
        assert!(records.len() >= 3 && records.iter().all(|r| r.how == AGAIN), "{records:#?}");
        let explained = |failure: &Option<String>| failure.as_ref().is_some_and(|text| text.contains(why));
        assert!(records.iter().take(3).all(|r| explained(&r.failure)), "{records:#?}");
        let outcomes = host.active(stem).await.outcomes;
        assert_eq!((outcomes.succeeded, outcomes.failed), (0, outcomes.reconsumed), "{stem}: {outcomes:?}");
        // They are with the broker: the offset may pass.
        world.cluster.all_committed(&world.name(stem), &world.name(stem)).await;
    }
    assert_eq!(host.observed.successes("scripted").len(), 3);
    host.stop().await;
    world.cluster.end().await;
}

async fn only_the_poison_message_is_given_back(world: World) {
    one_is_at_fault(world, "poison", "poison", "trapped").await;
}

async fn only_the_message_that_grows_without_end_is_given_back(world: World) {
    one_is_at_fault(world, "grows", "grow", "bytes of memory").await;
}

/// A batch with one message that costs the instance: it is given back, its neighbours succeed.
async fn one_is_at_fault(world: World, guest: &str, body: &str, why: &str) {
    let (topic, group) = (world.topic("t", 1).await, world.name("g"));
    let bodies = ["ok 1", "ok 2", body, "ok 3", "ok 4"];
    world.cluster.send_batch(&topic, &bodies).await;
    let setup = world.host_with(guest, &group, &topic).configure(|config| {
        config.engine.memory_max = ByteSize(16 << 20);
    });
    let setup = setup.plugin_settings(guest, |settings| settings.max_reconsume_times = Some(0));
    let host = setup.with_file(guest, guest).start().await;
    host.settled(5).await;
    let successes: Vec<_> = host.observed.successes(guest).into_keys().collect();
    assert_eq!(successes, ["ok 1", "ok 2", "ok 3", "ok 4"]);
    let failed = &host.observed.of(body)[0];
    assert!(failed.failure.as_ref().is_some_and(|text| text.contains(why)), "{failed:?}");
    // Without a retry left it ends with the dead letters, and the window is empty.
    world.cluster.dead_lettered(&group, &[body]).await;
    world.cluster.all_committed(&group, &topic).await;
    assert_eq!(host.active(guest).await.outcomes.failed, 1);
    host.stop().await;
    world.cluster.end().await;
}

/// There are more messages that spin than threads to run guests, and none of them is over before the neighbour has done
/// all its work.
async fn a_spinning_plugin_is_stopped_and_its_neighbour_does_not_notice(world: World) {
    let (spinning, working) = (world.topic("spins", 4).await, world.topic("scripted", 4).await);
    let (spins, works) = (world.name("spins-g"), world.name("works-g"));
    let setup = world
        .host()
        .plugin("spins", &spins, &[(&spinning, "*")])
        .plugin("scripted", &works, &[(&working, "*")])
        .plugin_settings("spins", |settings| {
            settings.consume_message_batch_max_size = Some(1);
            settings.max_reconsume_times = Some(0);
        })
        .consume_timeout("spins", 20_000)
        .configure(|config| config.engine.threads = Some(2));
    let host = setup.with_file("spins", "spins").with_file("scripted", "scripted").start().await;
    host.active("spins").await;
    host.active("scripted").await;
    world.cluster.send(&spinning, &["spin", "spin", "spin", "spin"]).await;
    eventually("the guest spins", async || {
        let cached = |group: &str| -> usize {
            host.group(group).map_or(0, |group| group.queues.iter().map(|queue| queue.cached_messages).sum())
        };
        that(cached(&spins) == 4, || format!("{} messages are at the listener", cached(&spins)))
    })
    .await;
    let bodies: Vec<_> = (0..40).map(|number| format!("ok {number}")).collect();
    let bodies: Vec<_> = bodies.iter().map(String::as_str).collect();
    world.cluster.send(&working, &bodies).await;
    host.settled(40).await;
    let first: Vec<_> = host.observed.records().into_iter().take(40).collect();
    assert!(first.iter().all(|record| record.plugin == "scripted"), "the neighbour had to wait: {first:#?}");
    assert_eq!(world.cluster.members(&spins, &spinning).await.len(), 1, "it is still a member");

    world.cluster.dead_lettered(&spins, &["spin", "spin", "spin", "spin"]).await;
    let failure = host.observed.of("spin")[0].failure.clone().unwrap();
    assert!(failure.contains("deadline of 20s"), "{failure}");
    world.cluster.send(&spinning, &["ok after"]).await;
    eventually("it serves on", async || {
        let after = host.observed.of("ok after");
        that(after.len() == 1 && after[0].how == SettledAs::Success, || format!("{after:?}"))
    })
    .await;
    host.stop().await;
    world.cluster.end().await;
}
