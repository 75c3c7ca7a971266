//! Hot swap under load: nothing lost, nothing twice.

use gantry_suite::{World, eventually_within, that, versioned};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Messages sent before the sender looks whether it is done.
const CHUNK: usize = 2_000;

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
    let swapped = AtomicBool::new(false);
    let sending = async {
        // As many as asked for, and on until the last swap: none of them comes when there is nothing to do.
        let mut sent = 0;
        while sent < messages || !swapped.load(Ordering::Relaxed) {
            cluster.send_range(&topic, sent..sent + CHUNK).await;
            sent += CHUNK;
        }
        sent
    };
    let swapping = async {
        let mut consumed = 0;
        for swap in 1..=swaps {
            eventually_within(Duration::from_secs(60), &format!("swap {swap} is due"), async || {
                that(observed.len() > consumed, || {
                    format!("{} consumed, no more than before", observed.len())
                })
            })
            .await;
            consumed = observed.len();
            host.deploy_bytes("p", &versions[swap % 2]);
            eventually_within(Duration::from_secs(60), &format!("swap {swap}"), async || {
                let plugin = host.plugin("p").unwrap();
                that(plugin.swaps == swap as u64, || format!("{plugin:?}"))
            })
            .await;
        }
        swapped.store(true, Ordering::Relaxed);
    };
    let (messages, ()) = tokio::join!(sending, swapping);
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
