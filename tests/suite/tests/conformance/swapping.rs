//! Hot swap under load: nothing lost, nothing twice.

use gantry_host::config::StrategySetting;
use gantry_suite::{HostUnderTest, Load, World, component, eventually_within, that, versioned};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long a step may take on a machine that does ten other things.
const BOUND: Duration = Duration::from_secs(300);
/// Messages sent before the sender looks whether it is done.
const CHUNK: usize = 2_000;

gantry_suite::scenarios! {
    versions_change_under_load_and_every_message_is_consumed_once,
    strategies_change_under_load_and_every_message_is_consumed_once,
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
            eventually_within(BOUND, &format!("swap {swap} is due"), async || {
                that(observed.len() > consumed, || {
                    format!("{} consumed, no more than before", observed.len())
                })
            })
            .await;
            consumed = observed.len();
            host.deploy_bytes("p", &versions[swap % 2]);
            eventually_within(BOUND, &format!("swap {swap}"), async || {
                let plugin = host.plugin("p").unwrap();
                that(plugin.swaps == swap as u64, || format!("{plugin:?}"))
            })
            .await;
        }
        swapped.store(true, Ordering::Relaxed);
    };
    let (messages, ()) = tokio::join!(sending, swapping);
    eventually_within(BOUND, "everything is consumed", async || {
        that(observed.len() >= messages, || format!("{} of {messages}", observed.len()))
    })
    .await;
    println!("{messages} messages and {swaps} swaps took {:?}", began.elapsed());

    let observed = Arc::clone(&host.observed);
    host.stop().await;
    let missing = observed.missing(messages);
    assert!(missing.is_empty(), "{} lost, such as {:?}", missing.len(), missing.first());
    // A send whose answer was late may have been stored twice: then the topic has more, and so has the listener.
    let stored: i64 = world.cluster.end_offsets(&topic).await.values().sum();
    assert_eq!((observed.len(), observed.duplicates()), (usize::try_from(stored).unwrap(), 0));
    world.cluster.end().await;
}

/// The strategy of two hosts is swapped for one with another division, and back: queues change hands each time.
async fn strategies_change_under_load_and_every_message_is_consumed_once(world: World) {
    let swaps = if world.is_apache() { 2 } else { 4 };
    let (topic, group) = (world.topic("t", 8).await, world.name("g"));
    let observed = Arc::<gantry_suite::Observed>::default();
    let host = || {
        let setup = world.host_with("p", &group, &topic).observed_by(&observed).configure(|config| {
            config.consumer.allocate_message_queue_strategy =
                Some(StrategySetting::Plugin("share".to_owned()));
        });
        setup.with_file("scripted", "p").with_file("rendezvous", "share").start()
    };
    let hosts = [host().await, host().await];
    for host in &hosts {
        host.active("share").await;
    }
    divided(&hosts, &group, &topic, |_| true).await;
    let load = Load::start(&world.cluster, &topic);
    for swap in 1..=swaps {
        let blocks = swap % 2 == 1;
        let (strategy, consumed) = (if blocks { "strategy-blocks" } else { "rendezvous" }, observed.len());
        for host in &hosts {
            host.deploy_bytes("share", &component(strategy));
        }
        for host in &hosts {
            eventually_within(BOUND, &format!("swap {swap}"), async || {
                let plugin = host.plugin("share").unwrap();
                that(plugin.swaps == swap, || format!("{plugin:?}"))
            })
            .await;
        }
        divided(&hosts, &group, &topic, |shares| !blocks || is_in_blocks(shares)).await;
        eventually_within(BOUND, "messages are consumed after it", async || {
            that(observed.len() > consumed, || format!("{consumed} and no more"))
        })
        .await;
    }
    let sent = load.stop().await;
    eventually_within(BOUND, "everything is consumed", async || {
        that(observed.missing(sent).is_empty(), || format!("{} are not", observed.missing(sent).len()))
    })
    .await;
    for host in hosts {
        host.stop().await;
    }
    // A send whose answer was late may have been stored twice: then the topic has more, and so have the listeners.
    let stored: i64 = world.cluster.end_offsets(&topic).await.values().sum();
    assert_eq!((observed.len(), observed.duplicates()), (usize::try_from(stored).unwrap(), 0), "of {sent}");
    world.cluster.end().await;
}

/// Waits until each queue is one host's, and the shares are as wanted.
pub(crate) async fn divided(
    hosts: &[HostUnderTest; 2],
    group: &str,
    topic: &str,
    wanted: impl Fn(&[Vec<String>; 2]) -> bool,
) {
    eventually_within(BOUND, "each queue is one host's", async || {
        let shares = hosts.each_ref().map(|host| host.queues(group, topic));
        let all: BTreeSet<&String> = shares.iter().flatten().collect();
        let count: usize = shares.iter().map(Vec::len).sum();
        that((all.len(), count) == (8, 8) && wanted(&shares), || format!("{shares:?}"))
    })
    .await;
}

/// Whether one host has the first four queues and the other the last.
pub(crate) fn is_in_blocks(shares: &[Vec<String>; 2]) -> bool {
    let mut shares = shares.clone();
    shares.iter_mut().for_each(|share| share.sort());
    shares.sort();
    let all = shares.concat();
    shares.iter().all(|share| share.len() == 4) && all.is_sorted()
}
