//! Messages given back: when they come again, how often, and where they end.

use std::time::Duration;

use gantry_host::SettledAs;
use gantry_host::client_instance::OutgoingMessage;
use gantry_host::config::Millis;
use gantry_suite::{World, eventually, that};

gantry_suite::scenarios! {
    a_fresh_groups_first_retry_comes_at_its_delay,
    attempts_are_counted_up_to_the_limit_and_end_as_dead_letters,
    a_delay_in_milliseconds_takes_the_level_that_is_not_shorter,
    without_a_wish_the_brokers_schedule_decides,
    the_orders_sample_asks_for_a_payment_at_growing_delays,
}

gantry_suite::guarded_scenarios! {
    a_fresh_groups_first_retry_comes_at_its_delay,
    attempts_are_counted_up_to_the_limit_and_end_as_dead_letters,
}

/// A single message, given back at level 1 (one second), in a group that no broker has seen: neither its retry topic nor
/// a route to it exist. The Java client needs up to 40 s here, for routes are polled every 30 s.
async fn a_fresh_groups_first_retry_comes_at_its_delay(world: World) {
    let (topic, group) = (world.topic("t", 4).await, world.name("g"));
    let host = world.host_with("scripted", &group, &topic).with_file("scripted", "scripted").start().await;
    host.active("scripted").await;
    world.cluster.send(&topic, &["once:1"]).await;
    host.settled(2).await;
    let ends = host.observed.of("once:1");
    assert_eq!((ends[1].reconsume_times, &ends[1].how), (1, &SettledAs::Success));
    let took = ends[1].at - ends[0].at;
    let bound = Duration::from_secs(25);
    assert!(took >= Duration::from_millis(900) && took < bound, "came again after {took:?}");
    host.stop().await;
    world.cluster.end().await;
}

async fn attempts_are_counted_up_to_the_limit_and_end_as_dead_letters(world: World) {
    let (topic, group) = (world.topic("t", 2).await, world.name("g"));
    let setup = world
        .host_with("scripted", &group, &topic)
        .plugin_settings("scripted", |settings| settings.max_reconsume_times = Some(2));
    let host = setup.with_file("scripted", "scripted").start().await;
    world.cluster.send(&topic, &["later:1", "ok"]).await;
    world.cluster.dead_lettered(&group, &["later:1"]).await;
    let ends = host.observed.of("later:1");
    let times: Vec<_> = ends.iter().map(|end| end.reconsume_times).collect();
    assert_eq!(times, [0, 1, 2]);
    assert!(matches!(&ends[2].how, SettledAs::DeadLetter { reason } if reason.contains("limit")), "{ends:?}");
    assert_eq!(host.observed.of("ok").len(), 1);
    world.cluster.all_committed(&group, &topic).await;
    host.stop().await;
    world.cluster.end().await;
}

async fn a_delay_in_milliseconds_takes_the_level_that_is_not_shorter(world: World) {
    let (topic, group) = (world.topic("t", 1).await, world.name("g"));
    world.cluster.send_batch(&topic, &["once-ms:900", "once-ms:1500"]).await;
    let host = world.host_with("scripted", &group, &topic).with_file("scripted", "scripted").start().await;
    host.settled(4).await;
    for (body, level, at_least) in [("once-ms:900", 1, 900), ("once-ms:1500", 2, 4_900)] {
        let ends = host.observed.of(body);
        assert_eq!(ends[0].how, SettledAs::ReconsumeLater { level }, "{body}");
        assert_eq!((ends[1].reconsume_times, &ends[1].how), (1, &SettledAs::Success), "{body}");
        let took = ends[1].at - ends[0].at;
        assert!(took >= Duration::from_millis(at_least), "{body} came again after {took:?}");
    }
    host.stop().await;
    world.cluster.end().await;
}

/// Level 3, ten seconds, for the first attempt. What is in the schedule, be it for hours, the offset passes.
async fn without_a_wish_the_brokers_schedule_decides(world: World) {
    let (topic, group) = (world.topic("t", 1).await, world.name("g"));
    let setup = world.host_with("scripted", &group, &topic).configure(|config| {
        config.consumer.persist_consumer_offset_interval = Some(Millis(200));
    });
    let host = setup.with_file("scripted", "scripted").start().await;
    world.cluster.send_batch(&topic, &["once", "later:18", "ok 1"]).await;
    world.cluster.all_committed(&group, &topic).await;
    assert_eq!(host.observed.of("later:18").len(), 1, "it comes again in two hours");
    eventually("it comes again", async || {
        let ends = host.observed.of("once");
        that(ends.len() == 2, || format!("{ends:?}"))
    })
    .await;
    let ends = host.observed.of("once");
    assert_eq!(ends[0].how, SettledAs::ReconsumeLater { level: 0 });
    let took = ends[1].at - ends[0].at;
    assert!(took >= Duration::from_millis(9_900), "came again after {took:?}");
    host.stop().await;
    world.cluster.end().await;
}

/// All three results by content, as the README's demo shows them: levels 1, 2 and 3 are 1 s, 5 s and 10 s.
async fn the_orders_sample_asks_for_a_payment_at_growing_delays(world: World) {
    let (topic, group) = (world.topic("t", 2).await, world.name("g"));
    let host = world.host_with("orders", &group, &topic).with_file("orders", "orders").start().await;
    let pending = r#"{"id":"A-1","status":"payment-pending","amount":1999}"#;
    let bodies = [pending, r#"{"id":"A-2","status":"paid","amount":1}"#, r#"{"id":"A-3","status":"paid"}"#];
    let order = |body: &str| OutgoingMessage::new(&topic, body.to_owned()).with_tag("paid");
    world.cluster.send_messages(&bodies.map(order)).await;
    world.cluster.dead_lettered(&group, &[bodies[2], pending]).await;

    assert_eq!(host.observed.of(bodies[1])[0].how, SettledAs::Success);
    let without_amount = SettledAs::DeadLetter { reason: "an order without amount".into() };
    assert_eq!(host.observed.of(bodies[2])[0].how, without_amount);
    let ends = host.observed.of(pending);
    assert_eq!(ends.iter().map(|end| end.reconsume_times).collect::<Vec<_>>(), [0, 1, 2, 3]);
    for (level, delay) in [(1, 900), (2, 4_900), (3, 9_900)] {
        let (before, after) = (&ends[usize::from(level) - 1], &ends[usize::from(level)]);
        assert_eq!(before.how, SettledAs::ReconsumeLater { level });
        let took = after.at - before.at;
        assert!(took >= Duration::from_millis(delay), "level {level} came after {took:?}");
    }
    host.stop().await;
    world.cluster.end().await;
}
