//! The forms of listener end to end: bytes, records, `wasi:messaging`; messages settled while a listener works; and a
//! strategy with another to stand in for it.

use gantry_host::SettledAs;
use gantry_host::config::GantryConfig;
use gantry_suite::{World, eventually, that};

gantry_suite::scenarios! {
    a_listener_of_records_answers_as_one_of_bytes,
    what_was_settled_before_a_trap_comes_once,
    a_handler_of_wasi_messaging_consumes,
    a_fallback_divides_where_the_plugin_does_not,
}

/// How often each of these messages came, and how it ended, one host after the other over the same topic.
async fn ends_through(world: &World, component: &str, topic: &str) -> Vec<Vec<(i32, SettledAs)>> {
    const BODIES: [&str; 5] = ["ok 1", "once:1", "property:TAGS=a", "property:a=b", "ok 2"];
    let group = world.name(component);
    let setup = world.host_with("scripted", &group, topic).with_file(component, "scripted");
    let host = setup.start().await;
    eventually("every message has ended", async || {
        let ended: Vec<_> = BODIES.iter().map(|body| host.observed.of(body).len()).collect();
        that(ended == [1, 2, 1, 1, 1], || format!("{ended:?}"))
    })
    .await;
    let of = |body: &str| host.observed.of(body).into_iter();
    let ends = BODIES.map(|body| of(body).map(|record| (record.reconsume_times, record.how)).collect());
    host.stop().await;
    ends.into()
}

async fn a_listener_of_records_answers_as_one_of_bytes(world: World) {
    let topic = world.topic("t", 1).await;
    let bodies = ["ok 1", "once:1", "property:TAGS=a", "property:a=b", "ok 2"];
    world.cluster.send_batch(&topic, &bodies).await;
    let bytes = ends_through(&world, "scripted", &topic).await;
    assert_eq!(bytes[1], [(0, SettledAs::ReconsumeLater { level: 1 }), (1, SettledAs::Success)]);
    assert!(matches!(bytes[2][0].1, SettledAs::DeadLetter { .. }), "{:?}", bytes[2]);
    assert_eq!(ends_through(&world, "scripted-packed", &topic).await, bytes);
    assert_eq!(ends_through(&world, "scripted-records", &topic).await, bytes);
    world.cluster.end().await;
}

async fn what_was_settled_before_a_trap_comes_once(world: World) {
    let (topic, group) = (world.topic("t", 1).await, world.name("g"));
    world.cluster.send_batch(&topic, &["settle 1", "settle-later:1 2", "panic 3", "ok 4"]).await;
    let host = world.host_with("scripted", &group, &topic).with_file("scripted", "scripted").start().await;
    eventually("the last of the batch has ended", async || {
        let ended =
            ["settle 1", "settle-later:1 2", "panic 3", "ok 4"].map(|body| host.observed.of(body).len());
        that(ended.iter().all(|times| *times >= 1) && ended[1] >= 2, || format!("{ended:?}"))
    })
    .await;
    let first = |body: &str| host.observed.of(body)[0].how.clone();
    assert_eq!(first("settle 1"), SettledAs::Success);
    assert_eq!(host.observed.of("settle 1").len(), 1, "not tried again after the trap");
    assert_eq!(first("settle-later:1 2"), SettledAs::ReconsumeLater { level: 1 });
    assert_eq!(first("ok 4"), SettledAs::Success);
    assert_eq!(first("panic 3"), SettledAs::ReconsumeLater { level: 0 });
    host.stop().await;
    world.cluster.end().await;
}

async fn a_handler_of_wasi_messaging_consumes(world: World) {
    let (topic, group) = (world.topic("t", 1).await, world.name("g"));
    world.cluster.send_batch(&topic, &["ok 1", "fail", "panic", "ok 2"]).await;
    let setup = world.host_with("messaging", &group, &topic).with_file("messaging", "messaging");
    let host = setup.start().await;
    host.settled(4).await;
    let ends = |body: &str| host.observed.of(body)[0].how.clone();
    assert_eq!([ends("ok 1"), ends("ok 2")], [SettledAs::Success, SettledAs::Success]);
    let later = SettledAs::ReconsumeLater { level: 0 };
    assert_eq!([ends("fail"), ends("panic")], [later.clone(), later]);
    world.cluster.all_committed(&group, &topic).await;
    host.stop().await;
    world.cluster.end().await;
}

async fn a_fallback_divides_where_the_plugin_does_not(world: World) {
    let (topic, group) = (world.topic("t", 8).await, world.name("g"));
    let text = "[consumer]\nallocate-message-queue-strategy = { plugin = \"share\", fallback = \"AVG\" }\n";
    let setting =
        GantryConfig::from_toml("gantry.toml", text).unwrap().consumer.allocate_message_queue_strategy;
    let host = || {
        let setup = world.host_with("scripted", &group, &topic).with_file("scripted", "scripted");
        let setting = setting.clone();
        setup
            .configure(move |config| config.consumer.allocate_message_queue_strategy = setting)
            .with_file("strategy-traps", "share")
    };
    let (one, two) = (host().start().await, host().start().await);
    eventually("the queues are halved", async || {
        let owned = [&one, &two].map(|host| host.queues(&group, &topic));
        let mut all = owned.concat();
        all.sort();
        all.dedup();
        that(all.len() == 8 && owned.iter().all(|queues| queues.len() == 4), || format!("{owned:?}"))
    })
    .await;
    eventually("it is counted", async || {
        let fallbacks = one.group(&group).map_or(0, |group| group.strategy_fallbacks);
        that(fallbacks > 0, || format!("{fallbacks}"))
    })
    .await;
    world.cluster.send_range(&topic, 0..80).await;
    eventually("messages are consumed", async || {
        let consumed = one.observed.succeeded() + two.observed.succeeded();
        that(consumed >= 80, || format!("{consumed} of 80"))
    })
    .await;
    one.stop().await;
    two.stop().await;
    world.cluster.end().await;
}
