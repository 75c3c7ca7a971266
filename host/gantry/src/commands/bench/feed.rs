//! Messages for the topic: a load at the start, and a stream that keeps a consumer busy.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use gantry_host::client_instance::{OutgoingMessage, Producer, ProducerConfig};

use super::BODY_BYTES;
use super::stage::{self, TOPIC};

/// Messages in one send.
const TOGETHER: u64 = 256;
/// Messages that wait for the consumer before the stream pauses.
const BACKLOG: u64 = 50_000;
const PAUSE: Duration = Duration::from_millis(1);

/// Sends up to `most` messages to the next queue in turn; how many it were.
pub(super) async fn send(producer: &Producer, most: u64) -> anyhow::Result<u64> {
    let count = most.min(TOGETHER);
    let message = OutgoingMessage::new(TOPIC, vec![b'x'; BODY_BYTES]).with_tag("bench");
    let messages = vec![message; usize::try_from(count).unwrap_or(usize::MAX)];
    producer.send_batch(&messages).await.context("the load could not be sent")?;
    Ok(count)
}

/// A stream of messages from a thread and runtime of its own: it competes with the host for the machine's cores, as
/// another process would, and not for its tasks' turns.
pub(super) struct Stream {
    ended: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<()>>,
}

impl Stream {
    /// Sends as long as less than a backlog waits. `waiting` begins with what is in the topic already; `consumed` is
    /// what the consumer has had.
    pub(super) fn start(name_server: &str, waiting: u64, consumed: Arc<AtomicU64>) -> anyhow::Result<Self> {
        let ended = Arc::new(AtomicBool::new(false));
        let (name_server, until) = (name_server.to_owned(), Arc::clone(&ended));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let work = move || runtime.block_on(stream(&name_server, waiting, &consumed, &until));
        let thread = std::thread::Builder::new().name("bench-stream".into()).spawn(work)?;
        Ok(Self { ended, thread })
    }

    pub(super) fn end(self) -> anyhow::Result<()> {
        self.ended.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_panic| anyhow::anyhow!("the stream of messages failed"))?
    }
}

async fn stream(
    name_server: &str,
    waiting: u64,
    consumed: &AtomicU64,
    ended: &AtomicBool,
) -> anyhow::Result<()> {
    let client = stage::client(name_server).await?;
    let producer = Producer::new(client.clone(), ProducerConfig::default());
    let mut sent = waiting;
    while !ended.load(Ordering::Relaxed) {
        if sent.saturating_sub(consumed.load(Ordering::Relaxed)) < BACKLOG {
            sent += send(&producer, TOGETHER).await?;
        } else {
            tokio::time::sleep(PAUSE).await;
        }
    }
    client.close().await;
    Ok(())
}
