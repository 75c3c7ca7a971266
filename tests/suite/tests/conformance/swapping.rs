//! Hot swap under load: nothing lost, nothing twice.

use gantry_suite::{World, eventually_within, that, versioned};
use std::time::Duration;

gantry_suite::scenarios! {
    versions_change_under_load_and_every_message_is_consumed_once,
}

async fn versions_change_under_load_and_every_message_is_consumed_once(world: World) {
    let (messages, swaps) = if world.is_apache() { (20_000, 5) } else { (200_000, 20) };
    let (topic, group) = (world.topic("t", 8).await, world.name("g"));
    let host = world.host_with("p", &group, &topic).start().await;
    let versions = [versioned("scripted", 0), versioned("scripted", 1)];
    host.deploy_bytes("p", &versions[0]);
    host.active("p").await;

    let began = std::time::Instant::now();
    let (cluster, observed) = (&world.cluster, &host.observed);
    let swapping = async {
        for swap in 1..=swaps {
            let due = messages * swap / (swaps + 1);
            eventually_within(Duration::from_secs(60), &format!("swap {swap} is due"), async || {
                that(observed.len() >= due, || format!("{} of {due}", observed.len()))
            })
            .await;
            host.deploy_bytes("p", &versions[swap % 2]);
            eventually_within(Duration::from_secs(60), &format!("swap {swap}"), async || {
                let plugin = host.plugin("p").unwrap();
                that(plugin.swaps == swap as u64, || format!("{plugin:?}"))
            })
            .await;
        }
        observed.len()
    };
    let ((), at_last_swap) = tokio::join!(cluster.send_many(&topic, messages), swapping);
    assert!(at_last_swap < messages, "the last swap came after the last message");
    eventually_within(Duration::from_secs(60), "everything is consumed", async || {
        that(observed.len() >= messages, || format!("{} of {messages}", observed.len()))
    })
    .await;
    println!("{messages} messages and {swaps} swaps took {:?}", began.elapsed());

    let observed = std::sync::Arc::clone(&host.observed);
    host.stop().await;
    let missing = observed.missing(messages);
    assert!(missing.is_empty(), "{} lost, such as {:?}", missing.len(), missing.first());
    // A send whose answer was late may have been stored twice: then the topic has more, and so has the listener.
    let stored: i64 = world.cluster.end_offsets(&topic).await.values().sum();
    assert_eq!((observed.len(), observed.duplicates()), (usize::try_from(stored).unwrap(), 0));
    world.cluster.end().await;
}
