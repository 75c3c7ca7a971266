//! A host in an embedded cluster and in one of Apache RocketMQ, whose master dies and comes back while its slave is read.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gantry_apache::{Cluster, Options};
use gantry_dev_broker::{Broker, BrokerConfig};
use gantry_host::client_instance::{
    ClientConfig, ClientInstance, OutgoingMessage, Producer, ProducerConfig, TopicSettings,
};
use gantry_host::config::{ClientSettings, ConsumeFrom, GantryConfig, PluginSettings};
use gantry_host::{
    ConsumeContext, ConsumeResult, Host, ListenerDescription, MessageBatch, NativeListener, Unobserved,
};
use gantry_protocol::header::PullMessageRequestHeader;
use gantry_protocol::sys_flag;
use gantry_suite::{eventually_within, that};

/// How long a step may take: a slave copies, a master starts anew, and routes are learnt meanwhile.
const BOUND: Duration = Duration::from_secs(300);
const ONE_ANSWER: Duration = Duration::from_secs(30);
const TOPIC: &str = "replicated";
const GROUP: &str = "replicated-group";
const QUEUES: i32 = 4;

/// A listener that keeps what it consumed, and waits while it is held.
#[derive(Clone)]
struct Keeps {
    name: &'static str,
    held: Arc<AtomicBool>,
    bodies: Arc<Mutex<BTreeSet<String>>>,
}

impl Keeps {
    fn new(name: &'static str) -> Self {
        Self { name, held: Arc::default(), bodies: Arc::default() }
    }

    async fn all_of(&self, count: usize) {
        eventually_within(BOUND, &format!("{} has consumed {count}", self.name), async || {
            let consumed = self.bodies.lock().unwrap().len();
            that(consumed == count, || format!("{consumed} were consumed"))
        })
        .await;
    }
}

impl NativeListener for Keeps {
    fn describe(&self) -> ListenerDescription {
        ListenerDescription::new(self.name, GROUP, TOPIC)
    }

    fn consume(&self, _: &ConsumeContext<'_>, batch: &dyn MessageBatch) -> Vec<ConsumeResult> {
        while self.held.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(10));
        }
        let bodies = (0..batch.len()).map(|index| String::from_utf8(batch.body(index).to_vec()).unwrap());
        self.bodies.lock().unwrap().extend(bodies);
        vec![ConsumeResult::Success; batch.len()]
    }
}

async fn client(name_server: &str) -> ClientInstance {
    let config = ClientConfig {
        name_servers: name_server.to_owned(),
        mq_client_api_timeout: ONE_ANSWER,
        ..ClientConfig::default()
    };
    ClientInstance::start(config).await.unwrap()
}

async fn send(client: &ClientInstance, numbers: std::ops::Range<usize>) {
    let patience = ProducerConfig { send_timeout: BOUND, ..ProducerConfig::default() };
    let producer = Producer::new(client.clone(), patience);
    for number in numbers {
        producer.send(&OutgoingMessage::new(TOPIC, number.to_string())).await.unwrap();
    }
}

async fn create_topic(client: &ClientInstance) {
    let settings =
        TopicSettings { read_queue_nums: QUEUES, write_queue_nums: QUEUES, ..TopicSettings::default() };
    // The slave may have made itself known before its master has.
    eventually_within(BOUND, "there is a master to create the topic", async || {
        client.create_topic(TOPIC, &settings).await.map(drop).map_err(|error| error.to_string())
    })
    .await;
    writable(client).await;
}

/// Waits until the route names a master, and its slave.
async fn writable(client: &ClientInstance) {
    eventually_within(BOUND, "the topic has a master", async || {
        let route = client.refresh_route(TOPIC).await.map_err(|error| error.to_string())?;
        that(!route.publish_queues.is_empty() && route.addresses().count() == 2, || format!("{route:?}"))
    })
    .await;
}

/// Waits until the slave can be read to the end of these many messages.
async fn copied(client: &ClientInstance, count: usize) {
    eventually_within(BOUND, "the slave has every message", async || {
        let mut sum = 0;
        for queue in &client.route(TOPIC).await.map_err(|error| error.to_string())?.subscribe_queues {
            let header = PullMessageRequestHeader {
                consumer_group: "suite-reader".to_owned(),
                topic: TOPIC.to_owned(),
                queue_id: queue.queue_id,
                max_msg_nums: 1,
                sys_flag: sys_flag::PULL_SUBSCRIPTION,
                subscription: Some("*".to_owned()),
                ..PullMessageRequestHeader::default()
            };
            let answer = client.pull_from_replica(&queue.broker_name, header, ONE_ANSWER).await;
            let answer = answer.map_err(|error| error.to_string())?;
            that(answer.broker_id == 1, || format!("{} answered", answer.broker_id))?;
            sum += answer.max_offset;
        }
        that(sum == count as i64, || format!("it has {sum}"))
    })
    .await;
}

fn config(directory: &std::path::Path, embedded: &Broker, apache: &Cluster) -> GantryConfig {
    let mut config = GantryConfig {
        name_server: embedded.local_addr().to_string(),
        plugins: directory.join("plugins"),
        state_dir: Some(directory.join("state")),
        ..GantryConfig::default()
    };
    std::fs::create_dir_all(&config.plugins).unwrap();
    let name_server = Some(apache.name_server().to_string());
    config.clusters.insert("apache".into(), ClientSettings { name_server, ..ClientSettings::default() });
    let cluster = Some("apache".to_owned());
    config.plugin.insert("of-apache".into(), PluginSettings { cluster, ..PluginSettings::default() });
    config.admin.enabled = false;
    config.consumer.consume_from_where = Some(ConsumeFrom::FirstOffset);
    // Pulls stop soon, so that there is something left to read from the slave.
    config.consumer.pull_threshold_for_queue = Some(16);
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn consumption_goes_on_from_the_slave_while_the_master_is_down_and_loses_nothing() {
    const BEFORE: usize = 200;
    const AFTER: usize = 100;
    let directory = tempfile::tempdir().unwrap();
    let Some(installation) = gantry_suite::installation() else { return };
    let options = Options::new(directory.path().join("cluster")).with_slaves();
    let mut apache = tokio::task::block_in_place(|| Cluster::start(&installation, options).unwrap());
    let embedded_config = BrokerConfig { listen: ([127, 0, 0, 1], 0).into(), ..BrokerConfig::default() };
    let embedded = Broker::start(embedded_config).await.unwrap();
    let at_apache = client(&apache.name_server().to_string()).await;
    create_topic(&at_apache).await;
    send(&at_apache, 0..1).await;

    let (of_apache, of_embedded) = (Keeps::new("of-apache"), Keeps::new("of-embedded"));
    let host = Host::start(config(directory.path(), &embedded, &apache), Arc::new(Unobserved)).await.unwrap();
    host.add_native(of_apache.clone()).await.unwrap();
    host.add_native(of_embedded.clone()).await.unwrap();
    of_apache.all_of(1).await;

    // Most of what is sent to a master that dies before it is consumed is read from the slave.
    of_apache.held.store(true, Ordering::Relaxed);
    send(&at_apache, 1..BEFORE).await;
    copied(&at_apache, BEFORE).await;
    tokio::task::block_in_place(|| apache.kill_broker(0));
    of_apache.held.store(false, Ordering::Relaxed);
    of_apache.all_of(BEFORE).await;

    let at_embedded = client(&embedded.local_addr().to_string()).await;
    send(&at_embedded, 0..AFTER).await;
    of_embedded.all_of(AFTER).await;

    tokio::task::block_in_place(|| apache.start_broker(0).unwrap());
    writable(&at_apache).await;
    send(&at_apache, BEFORE..BEFORE + AFTER).await;
    of_apache.all_of(BEFORE + AFTER).await;
    eventually_within(BOUND, "the master has every offset", async || {
        let mut sum = 0;
        for queue in &at_apache.route(TOPIC).await.map_err(|error| error.to_string())?.subscribe_queues {
            let stored = at_apache.query_offset(GROUP, queue).await.map_err(|error| error.to_string())?;
            sum += stored.unwrap_or(0);
        }
        that(sum == (BEFORE + AFTER) as i64, || format!("{sum} are stored"))
    })
    .await;
    host.stop().await;
    at_apache.close().await;
    at_embedded.close().await;
    embedded.stop().await;
}
