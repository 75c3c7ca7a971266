//! Traces on their way to the broker: gathered, bounded, and dropped rather than waited for (RocketMQ:
//! AsyncTraceDispatcher).

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use gantry_protocol::Namespace;
use gantry_protocol::trace::TraceBody;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::ClientInstance;
use super::producer::{OutgoingMessage, Producer, ProducerConfig};

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

/// Sends traces. Cheap to clone.
#[derive(Debug, Clone)]
pub struct TraceDispatcher {
    queue: mpsc::Sender<TraceBody>,
    dropped: Arc<AtomicU64>,
}

impl TraceDispatcher {
    /// A dispatcher to `topic` over the connections of `instance`. Its task is the second part: run it. Once `stop` is
    /// cancelled it takes no more, sends what waits, and ends.
    pub fn new(
        instance: ClientInstance,
        topic: String,
        stop: CancellationToken,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        let config = ProducerConfig { group: GROUP.to_owned(), ..ProducerConfig::default() };
        // As in Java, traces are in no namespace: one topic has those of all.
        let producer = Producer::in_namespace(instance, Namespace::default(), config);
        let task = run(Waiting { queue: waiting, stop }, producer, topic, Arc::clone(&dropped));
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

/// What waits to be sent.
struct Waiting {
    queue: mpsc::Receiver<TraceBody>,
    stop: CancellationToken,
}

impl Waiting {
    /// The next trace; none once no more will come.
    async fn next(&mut self) -> Option<TraceBody> {
        tokio::select! {
            biased;
            next = self.queue.recv() => next,
            () = self.stop.cancelled() => {
                self.queue.close();
                self.queue.recv().await
            }
        }
    }

    /// The events of one message, and from how many traces they are; none once no more will come.
    async fn gather(&mut self) -> Option<(TraceBody, u64)> {
        let (mut body, mut traces) = (self.next().await?, 1);
        let due = Instant::now() + FLUSH;
        while body.events() < MAX_EVENTS && body.bytes() < MAX_BYTES {
            // At the end time is not waited for.
            let Ok(Some(next)) = timeout_at(due, self.next()).await else { break };
            body.append(next);
            traces += 1;
        }
        Some((body, traces))
    }
}

async fn run(mut waiting: Waiting, producer: Producer, topic: String, dropped: Arc<AtomicU64>) {
    while let Some((body, traces)) = waiting.gather().await {
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

    fn waiting(traces: usize) -> (mpsc::Sender<TraceBody>, Waiting) {
        let (sender, queue) = mpsc::channel(QUEUE);
        for _ in 0..traces {
            sender.try_send(events()).unwrap();
        }
        (sender, Waiting { queue, stop: CancellationToken::new() })
    }

    #[tokio::test(start_paused = true)]
    async fn events_are_gathered_up_to_the_bound_or_for_a_while() {
        let (_sender, mut waiting) = waiting(30);
        let (body, traces) = waiting.gather().await.unwrap();
        assert_eq!((body.events(), traces), (MAX_EVENTS, 20));
        let began = Instant::now();
        let (body, traces) = waiting.gather().await.unwrap();
        assert_eq!((body.events(), traces), (20, 10));
        assert_eq!(began.elapsed(), FLUSH);
    }

    #[tokio::test(start_paused = true)]
    async fn at_the_end_what_waits_is_sent_at_once() {
        let (sender, mut waiting) = waiting(3);
        waiting.stop.cancel();
        let began = Instant::now();
        assert_eq!(waiting.gather().await.unwrap().1, 3);
        assert!(waiting.gather().await.is_none() && sender.try_send(events()).is_err());
        assert_eq!(began.elapsed(), Duration::ZERO);
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
