//! Traces on their way to the broker: gathered, bounded, and dropped rather than waited for (RocketMQ:
//! AsyncTraceDispatcher).

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use gantry_protocol::trace::TraceBody;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::ClientInstance;
use super::message::OutgoingMessage;
use super::producer::{Producer, ProducerConfig};

/// Traces that may wait; more are dropped (RocketMQ: 2048).
const QUEUE: usize = 2_048;
/// Events of one trace message, about: a consumption has two.
const MAX_EVENTS: usize = 40;
/// Bytes of one trace message, about (RocketMQ: maxMsgSize of the dispatcher).
const MAX_BYTES: usize = 128_000;
/// How long a trace waits for others (RocketMQ: flushTraceInterval).
const FLUSH: Duration = Duration::from_secs(5);
/// The producer group traces are sent as (RocketMQ: `_INNER_TRACE_PRODUCER-…`).
const GROUP: &str = "_INNER_TRACE_PRODUCER";

/// Sends traces. Cheap to clone; it ends, with what it still has, when the last clone is gone.
#[derive(Debug, Clone)]
pub struct TraceDispatcher {
    queue: mpsc::Sender<TraceBody>,
    dropped: Arc<AtomicU64>,
}

impl TraceDispatcher {
    /// A dispatcher to `topic` over the connections of `instance`. Its task is the second part: run it.
    pub fn new(instance: ClientInstance, topic: String) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        let producer =
            Producer::new(instance, ProducerConfig { group: GROUP.to_owned(), ..ProducerConfig::default() });
        let task = run(waiting, producer, topic, Arc::clone(&dropped));
        (Self { queue, dropped }, task)
    }

    /// Hands over the events of a send or a batch. Never waits: where too many wait already, they are dropped.
    pub fn tell(&self, events: TraceBody) {
        if self.queue.try_send(events).is_err() {
            self.dropped.fetch_add(1, Relaxed);
        }
    }

    /// Traces dropped so far, because too many waited or the broker did not take them.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }
}

async fn run(
    mut waiting: mpsc::Receiver<TraceBody>,
    producer: Producer,
    topic: String,
    dropped: Arc<AtomicU64>,
) {
    while let Some(first) = waiting.recv().await {
        let (body, traces) = gather(first, &mut waiting).await;
        let (text, keys) = body.into_parts();
        let message = OutgoingMessage { keys, ..OutgoingMessage::new(topic.clone(), text) };
        if let Err(error) = producer.send(&message).await {
            // The first is worth a warning; more of the same would only fill the log.
            if dropped.fetch_add(traces, Relaxed) == 0 {
                tracing::warn!(topic, %error, "traces are not taken, and dropped");
            }
        }
    }
}

/// The events of one message, and from how many traces they are.
async fn gather(first: TraceBody, waiting: &mut mpsc::Receiver<TraceBody>) -> (TraceBody, u64) {
    let (mut body, mut traces) = (first, 1);
    let due = Instant::now() + FLUSH;
    while body.events() < MAX_EVENTS && body.bytes() < MAX_BYTES {
        match timeout_at(due, waiting.recv()).await {
            Ok(Some(next)) => body.append(next),
            // All senders gone, or time is up.
            Ok(None) | Err(_) => break,
        }
        traces += 1;
    }
    (body, traces)
}

#[cfg(test)]
mod tests {
    use gantry_protocol::trace::{ConsumeReturnType, Consumption};

    use super::*;

    fn events() -> TraceBody {
        let mut body = TraceBody::default();
        body.consumed(&Consumption {
            request_id: "R",
            message_id: "M",
            keys: "",
            region: "",
            group: "g",
            retry_times: 0,
            timestamp: 0,
            cost: 0,
            code: ConsumeReturnType::Success,
        });
        body
    }

    #[tokio::test(start_paused = true)]
    async fn events_are_gathered_up_to_the_bound_or_for_a_while() {
        let (queue, mut waiting) = mpsc::channel(QUEUE);
        for _ in 0..30 {
            queue.try_send(events()).unwrap();
        }
        let first = waiting.recv().await.unwrap();
        let (body, traces) = gather(first, &mut waiting).await;
        assert_eq!((body.events(), traces), (MAX_EVENTS, 20));
        let began = Instant::now();
        let first = waiting.recv().await.unwrap();
        let (body, traces) = gather(first, &mut waiting).await;
        assert_eq!((body.events(), traces), (20, 10));
        assert_eq!(began.elapsed(), FLUSH);
    }

    #[test]
    fn what_has_no_room_is_dropped_and_counted() {
        let (queue, waiting) = mpsc::channel(1);
        let dispatcher = TraceDispatcher { queue, dropped: Arc::default() };
        dispatcher.tell(events());
        dispatcher.tell(events());
        assert_eq!(dispatcher.dropped(), 1);
        drop(waiting);
    }
}
