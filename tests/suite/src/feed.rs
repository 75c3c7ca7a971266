//! A backlog that is kept up while a test does something to the members of a group.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::cluster::TestCluster;
use crate::ledger::Ledger;

/// Messages sent before the feed looks how many wait.
const CHUNK: usize = 2_000;
/// As many may wait before it pauses.
const BACKLOG: usize = 6_000;
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// Keeps a topic filled while `play` goes on: `least` messages, and more until it has ended. How many they were, and what
/// it ended with.
pub async fn fed<T>(
    cluster: &TestCluster,
    topic: &str,
    least: usize,
    ledger: &Ledger,
    play: impl Future<Output = T>,
) -> (usize, T) {
    let ended = AtomicBool::new(false);
    let sending = async {
        let mut sent = 0;
        while sent < least || !ended.load(Ordering::Relaxed) {
            if sent < ledger.len() + BACKLOG {
                cluster.send_range(topic, sent..sent + CHUNK).await;
                sent += CHUNK;
            } else {
                tokio::time::sleep(BETWEEN_LOOKS).await;
            }
        }
        sent
    };
    let playing = async {
        let outcome = play.await;
        ended.store(true, Ordering::Relaxed);
        outcome
    };
    tokio::join!(sending, playing)
}
