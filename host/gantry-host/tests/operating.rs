//! What an operator and an embedding program can do to a running host, against the embedded broker.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gantry_dev_broker::{Broker, BrokerConfig};
use gantry_host::client_instance::{ClientConfig, ClientInstance, OutgoingMessage, Producer, ProducerConfig};
use gantry_host::config::{ConsumeFrom, GantryConfig};
use gantry_host::status::QueueLine;
use gantry_host::{
    ConsumeContext, ConsumeResult, FilterMessageHook, Host, ListenerDescription, MessageBatch,
    NativeListener, Unobserved,
};
use gantry_protocol::{MessageExt, MessageQueue};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const BOUND: Duration = Duration::from_secs(120);
const GROUP: &str = "operated-group";
const TOPIC: &str = "operated";

/// Succeeds, and keeps the bodies.
#[derive(Clone, Default)]
struct Keeping(Arc<Mutex<Vec<String>>>);

impl NativeListener for Keeping {
    fn describe(&self) -> ListenerDescription {
        ListenerDescription::new("keeping", GROUP, TOPIC)
    }

    fn consume(&self, _: &ConsumeContext<'_>, batch: &dyn MessageBatch) -> Vec<ConsumeResult> {
        let bodies = (0..batch.len()).map(|index| String::from_utf8_lossy(batch.body(index)).into_owned());
        self.0.lock().unwrap().extend(bodies);
        vec![ConsumeResult::Success; batch.len()]
    }
}

impl Keeping {
    fn sorted(&self) -> Vec<String> {
        let mut bodies = self.0.lock().unwrap().clone();
        bodies.sort_unstable();
        bodies
    }
}

struct Cluster {
    broker: Broker,
    client: ClientInstance,
    directory: TempDir,
}

impl Cluster {
    async fn start() -> Self {
        let mut config = BrokerConfig { listen: ([127, 0, 0, 1], 0).into(), ..BrokerConfig::default() };
        config.timing.drain = Duration::from_millis(100);
        let broker = Broker::start(config).await.unwrap();
        let name_servers = broker.local_addr().to_string();
        let client =
            ClientInstance::start(ClientConfig { name_servers, ..ClientConfig::default() }).await.unwrap();
        Self { broker, client, directory: tempfile::tempdir().unwrap() }
    }

    async fn host(&self) -> (Host, Keeping) {
        let plugins = self.directory.path().join("plugins");
        std::fs::create_dir_all(&plugins).unwrap();
        let mut config = GantryConfig {
            name_server: self.broker.local_addr().to_string(),
            plugins,
            state_dir: Some(self.directory.path().join("state")),
            ..GantryConfig::default()
        };
        config.admin.listen = ([127, 0, 0, 1], 0).into();
        config.consumer.consume_from_where = Some(ConsumeFrom::FirstOffset);
        config.consumer.max_backward_jump = Some(100);
        let host = Host::start(config, Arc::new(Unobserved)).await.unwrap();
        let listener = Keeping::default();
        host.add_native(listener.clone()).await.unwrap();
        (host, listener)
    }

    async fn send(&self, bodies: &[&'static str]) {
        let producer = Producer::new(
            self.client.clone(),
            ProducerConfig { send_timeout: BOUND, ..ProducerConfig::default() },
        );
        for body in bodies {
            producer.send(&OutgoingMessage::new(TOPIC, *body)).await.unwrap();
        }
    }

    async fn end(self, host: Host) {
        assert!(host.stop().await.graceful);
        self.client.close().await;
        self.broker.stop().await;
    }
}

async fn until(what: &str, host: &Host, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + BOUND;
    while !done() {
        assert!(Instant::now() < deadline, "{what}: {:#?}", host.status());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn queue(host: &Host, mq: &MessageQueue) -> Option<QueueLine> {
    let groups = host.status().groups;
    let mut queues = groups.into_iter().flat_map(|group| group.queues);
    queues.find(|queue| queue.topic == *mq.topic && queue.queue_id == mq.queue_id)
}

async fn post(host: &Host, path: &str, body: &str) -> String {
    let address = host.admin_address().unwrap();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_its_broker_would_move_far_back_waits_for_an_operator() {
    let cluster = Cluster::start().await;
    cluster.send(&["a", "b"]).await;
    let (host, listener) = cluster.host().await;
    until("both are consumed", &host, || listener.sorted() == ["a", "b"]).await;
    assert!(host.stop().await.graceful);
    let route = cluster.client.route(TOPIC).await.unwrap();
    let mq = route.subscribe_queues[0].clone();
    // What the broker knows of the group is from a time when it had a thousand messages more.
    cluster.client.update_offset(GROUP, &mq, 1_000).await.unwrap();

    let (host, _) = cluster.host().await;
    let phase = |host: &Host| queue(host, &mq).map(|queue| queue.phase);
    until("the queue is stopped", &host, || phase(&host) == Some("halted")).await;
    let path = format!("/groups/{GROUP}/decide");
    let decision = |queue_id: i32| {
        format!(
            r#"{{"topic": "{TOPIC}", "brokerName": "{}", "queueId": {queue_id}, "readFrom": "broker"}}"#,
            mq.broker_name
        )
    };
    let answer = post(&host, &path, &decision(mq.queue_id + 1)).await;
    assert!(answer.starts_with("HTTP/1.1 409") && answer.contains("is not halted"), "{answer}");
    let answer = post(&host, "/groups/nobody/decide", &decision(mq.queue_id)).await;
    assert!(answer.starts_with("HTTP/1.1 404") && answer.contains("there is no group nobody"), "{answer}");
    let answer = post(&host, &path, r#"{"topic": "t"}"#).await;
    assert!(answer.starts_with("HTTP/1.1 4") && answer.contains("brokerName"), "{answer}");
    assert_eq!(phase(&host), Some("halted"));

    let answer = post(&host, &path, &decision(mq.queue_id)).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let end = cluster.client.max_offset(&mq).await.unwrap();
    let goes_on = || {
        queue(&host, &mq).is_some_and(|queue| queue.phase == "consuming" && queue.commit_offset == Some(end))
    };
    until("the queue goes on where the broker would have it", &host, goes_on).await;
    cluster.end(host).await;
}

/// Wants what does not begin with an `x`.
struct NoX;

impl FilterMessageHook for NoX {
    fn name(&self) -> &str {
        "no x"
    }

    fn wants(&self, group: &str, mq: &MessageQueue, message: &MessageExt) -> bool {
        assert_eq!((group, &*mq.topic), (GROUP, TOPIC));
        !message.body().unwrap().starts_with(b"x")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_hook_keeps_messages_from_every_listener_and_the_offset_passes_them() {
    let cluster = Cluster::start().await;
    let (host, listener) = cluster.host().await;
    host.add_filter_hook(NoX);
    cluster.send(&["a", "x1", "b", "x2", "x3"]).await;
    let route = cluster.client.route(TOPIC).await.unwrap();
    until("what is wanted is consumed", &host, || listener.sorted() == ["a", "b"]).await;
    let committed = || {
        route.subscribe_queues.iter().all(|mq| {
            queue(&host, mq).is_some_and(|queue| {
                let (commit, end) = (queue.commit_offset.unwrap_or(-1), queue.max_offset.unwrap_or(-2));
                commit == end.max(0)
            })
        })
    };
    until("every offset is at the end of its queue", &host, committed).await;
    assert_eq!(listener.sorted(), ["a", "b"]);
    cluster.end(host).await;
}
