//! Traffic that goes on while a test does something to the hosts or the broker.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use gantry_host::client_instance::{OutgoingMessage, Producer};
use tokio::task::JoinSet;

use crate::cluster::TestCluster;

const BATCH: usize = 10;
/// Between batches: a steady stream, not a flood.
const PACE: Duration = Duration::from_millis(5);

/// Messages `ok 0`, `ok 1` and so on, sent until it is stopped. A batch that was not acknowledged is sent again, so that
/// one whose acknowledgement was lost is stored twice.
pub struct Load {
    shared: Arc<Shared>,
    sender: JoinSet<()>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    acknowledged: AtomicUsize,
    failures: AtomicUsize,
}

impl Load {
    /// Begins to send to `topic`.
    pub fn start(cluster: &TestCluster, topic: &str) -> Self {
        let shared = Arc::new(Shared::default());
        let (producer, topic) = (cluster.producer().clone(), topic.to_owned());
        let mut sender = JoinSet::new();
        sender.spawn(send(producer, topic, Arc::clone(&shared)));
        Self { shared, sender }
    }

    /// How many messages the broker has acknowledged.
    pub fn acknowledged(&self) -> usize {
        self.shared.acknowledged.load(Ordering::Relaxed)
    }

    /// How many batches were not acknowledged.
    pub fn failures(&self) -> usize {
        self.shared.failures.load(Ordering::Relaxed)
    }

    /// Ends, with the last batch acknowledged. How many messages were sent.
    pub async fn stop(self) -> usize {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.sender.join_all().await;
        self.shared.acknowledged.load(Ordering::Relaxed)
    }
}

async fn send(producer: Producer, topic: String, shared: Arc<Shared>) {
    let mut first = 0;
    while !shared.stop.load(Ordering::Relaxed) {
        let message = |number| OutgoingMessage::new(&topic, format!("ok {number}"));
        let batch: Vec<_> = (first..first + BATCH).map(message).collect();
        while producer.send_batch(&batch).await.is_err() {
            shared.failures.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(PACE).await;
        }
        first += BATCH;
        shared.acknowledged.store(first, Ordering::Relaxed);
        tokio::time::sleep(PACE).await;
    }
}
