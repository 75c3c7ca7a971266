//! A broker, clients of it, and messages in its queues.

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use gantry_dev_broker::{Broker, BrokerConfig, FsyncPolicy, Storage};
use gantry_host::FilterExpression;
use gantry_host::client_instance::{
    ClientConfig, ClientInstance, OutgoingMessage, Producer, ProducerConfig, TopicSettings,
};
use gantry_protocol::{MessageExt, MessageQueue, Namespace};

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const TOPIC: &str = "Orders";
pub(super) const GROUP: &str = "Readers";

pub(super) struct Setup {
    pub(super) broker: Broker,
    pub(super) client: ClientInstance,
    producer: Producer,
}

impl Setup {
    pub(super) async fn new() -> Self {
        Self::with(broker("127.0.0.1:0".parse().unwrap(), Storage::InMemory).await).await
    }

    /// With a broker that keeps everything in a directory.
    pub(super) async fn durable(directory: &Path) -> Self {
        Self::with(broker("127.0.0.1:0".parse().unwrap(), stored(directory)).await).await
    }

    /// Stops the broker, waits until its loss is noticed, and starts it again on its directory.
    pub(super) async fn restart(self, directory: &Path) -> Self {
        let address = self.broker.local_addr();
        self.broker.stop().await;
        eventually("the loss is noticed", || async { self.client.connected().is_empty() }).await;
        Self { broker: broker(address, stored(directory)).await, ..self }
    }

    async fn with(broker: Broker) -> Self {
        let client = client(&broker).await;
        let producer = Producer::new(
            client.clone(),
            ProducerConfig { send_timeout: 60 * SECOND, ..ProducerConfig::default() },
        );
        Self { broker, client, producer }
    }

    /// A client that is not the one of the others.
    pub(super) async fn client(&self) -> ClientInstance {
        client(&self.broker).await
    }

    /// A client whose users' names are in a namespace.
    pub(super) async fn client_in(&self, namespace: &Namespace) -> ClientInstance {
        let config = ClientConfig { namespace: namespace.clone(), ..config(&self.broker) };
        ClientInstance::start(config).await.unwrap()
    }

    /// The topic, with so many queues from now on.
    pub(super) async fn topic(&self, queues: i32) -> Vec<MessageQueue> {
        let settings =
            TopicSettings { read_queue_nums: queues, write_queue_nums: queues, ..TopicSettings::default() };
        self.client.create_topic(TOPIC, &settings).await.unwrap();
        self.client.refresh_route(TOPIC).await.unwrap().subscribe_queues.clone()
    }

    /// Sends the numbers to a queue, as bodies.
    pub(super) async fn send(&self, mq: &MessageQueue, numbers: std::ops::Range<usize>) {
        for number in numbers {
            self.send_tagged(mq, &number.to_string(), None).await;
        }
    }

    pub(super) async fn send_tagged(&self, mq: &MessageQueue, body: &str, tag: Option<&str>) {
        let mut message = OutgoingMessage::new(TOPIC, body.to_owned());
        message.tag = tag.map(str::to_owned);
        self.producer.send_to(mq, &message).await.unwrap();
    }

    pub(super) async fn end(self) {
        self.client.close().await;
        self.broker.stop().await;
    }
}

async fn broker(listen: SocketAddr, storage: Storage) -> Broker {
    let mut config = BrokerConfig { listen, storage, ..BrokerConfig::default() };
    config.timing.drain = SECOND / 10;
    Broker::start(config).await.unwrap()
}

fn stored(directory: &Path) -> Storage {
    Storage::Directory { path: directory.to_owned(), fsync: FsyncPolicy::default() }
}

async fn client(broker: &Broker) -> ClientInstance {
    ClientInstance::start(config(broker)).await.unwrap()
}

fn config(broker: &Broker) -> ClientConfig {
    ClientConfig {
        name_servers: broker.local_addr().to_string(),
        poll_name_server_interval: SECOND / 5,
        ..ClientConfig::default()
    }
}

pub(super) fn every() -> FilterExpression {
    FilterExpression::Tag("*".to_owned())
}

pub(super) fn tags(tags: &str) -> FilterExpression {
    FilterExpression::Tag(tags.to_owned())
}

pub(super) fn bodies(messages: &[MessageExt]) -> Vec<String> {
    messages.iter().map(|message| String::from_utf8(message.body().unwrap().to_vec()).unwrap()).collect()
}

/// The numbers as [`Setup::send`] sends them.
pub(super) fn numbers(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|number| number.to_string()).collect()
}

/// Looks until it holds.
pub(super) async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let until = Instant::now() + 90 * SECOND;
    while !holds().await {
        assert!(Instant::now() < until, "{what}");
        tokio::time::sleep(SECOND / 50).await;
    }
}
