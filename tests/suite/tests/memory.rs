//! The host's memory over many swaps: what a version took is given back when it is gone.
//!
//! 100 swaps, or as many as `GANTRY_SWAPS` says.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and prints what it measured"
)]

use std::time::Duration;

use gantry_suite::{BrokerKind, HostSetup, HostUnderTest, TestCluster, eventually_within, that, versioned};

/// Swaps before the first measurement: by then every pool and cache has what it will have.
const WARM_UP: usize = 30;
/// Swaps between two lines of what it prints.
const REPORT: usize = 100;
/// What may be more after so many swaps: the allocator's and the system's own noise. A component's code is a
/// hundred KiB or more, so what a lost one a swap would cost is far above.
const NOISE: u64 = 16 << 20;
const BOUND: Duration = Duration::from_secs(300);

/// Resident bytes of this process; none where the system does not tell.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
}

/// Swaps so many times, with a message after each, which the new version takes.
async fn swap(host: &HostUnderTest, cluster: &TestCluster, topic: &str, swaps: std::ops::Range<usize>) {
    let versions = [versioned("scripted", 0), versioned("scripted", 1)];
    for number in swaps {
        let before = host.plugin("p").map_or(0, |plugin| plugin.swaps);
        host.deploy_bytes("p", &versions[number % 2]);
        eventually_within(BOUND, "another version serves", async || {
            let plugin = host.plugin("p").ok_or("there is no such plugin")?;
            that(plugin.swaps == before + 1, || format!("{plugin:?}"))
        })
        .await;
        cluster.send_range(topic, number..number + 1).await;
        eventually_within(BOUND, "it takes a message", async || {
            that(host.observed.len() > number - 1, || format!("swap {number}: {}", host.observed.len()))
        })
        .await;
    }
}

#[test]
fn memory_is_flat_over_many_swaps() {
    let swaps = std::env::var("GANTRY_SWAPS").map_or(100, |swaps| swaps.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let cluster = TestCluster::start(BrokerKind::Embedded, true).await.unwrap();
        cluster.create_topic("swapped", 2).await;
        let setup = HostSetup::new(&cluster.name_server());
        let host = setup.plugin("p", "swapped-group", &[("swapped", "*")]).start().await;
        host.deploy_bytes("p", &versioned("scripted", 0));
        host.active("p").await;
        swap(&host, &cluster, "swapped", 1..1 + WARM_UP).await;
        let before = resident();
        let end = 1 + WARM_UP + swaps;
        for begin in (1 + WARM_UP..end).step_by(REPORT) {
            swap(&host, &cluster, "swapped", begin..end.min(begin + REPORT)).await;
            let so_far = resident().map_or(0, |bytes| bytes >> 20);
            println!("resident after {} swaps: {so_far} MiB", end.min(begin + REPORT) - 1);
        }
        let after = resident();
        if let Some((before, after)) = before.zip(after) {
            let grown = after.saturating_sub(before);
            let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
            println!(
                "resident after {WARM_UP} swaps {:.1} MiB, after {swaps} more {:.1} MiB: {:.1} KiB a swap",
                mib(before),
                mib(after),
                grown as f64 / 1024.0 / swaps as f64
            );
            assert!(grown < NOISE, "{:.1} MiB more after {swaps} swaps", mib(grown));
        }
        host.stop().await;
        cluster.end().await;
    });
}
