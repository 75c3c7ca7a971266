//! A cluster of either kind, and what a test asks of it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Mutex;
use std::time::Duration;

use gantry_apache::Cluster;
use gantry_dev_broker::Broker;
use gantry_host::client_instance::{
    ClientInstance, OutgoingMessage, Producer, ProducerConfig, PullStatus, RouteError, SendReceipt,
    TopicSettings,
};
use gantry_host::config::{ClientSettings, GantryConfig, Millis};
use gantry_protocol::header::PullMessageRequestHeader;
use gantry_protocol::names::dlq_topic;
use gantry_protocol::{MessageExt, MessageQueue, sys_flag};
use tempfile::TempDir;

use crate::apache;
use crate::embedded::{self, BrokerProcess};
use crate::host_process::signal;
use crate::wait::{eventually, that};

/// How long a send or a pull of the test's own messages may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long any other request may, of the test's client and of its hosts: a broker that is slow to answer has done what it was
/// asked, and would do it twice.
const ANSWER: Millis = Millis(20_000);
/// Messages in one batch of [`TestCluster::send_many`].
const BATCH: usize = 250;
/// Batches of [`TestCluster::send_many`] on their way at once.
const SENDERS: usize = 4;
/// As many messages as a pull of [`TestCluster::read`] asks for.
const READ_AT_ONCE: i32 = 32;

/// Which broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrokerKind {
    /// `gantry-dev-broker`.
    Embedded,
    /// Apache RocketMQ.
    Apache,
    /// Apache RocketMQ with its access control on, over TLS.
    Guarded,
}

enum Servers {
    InProcess(SocketAddr, Option<Broker>),
    Process(Mutex<BrokerProcess>, #[expect(dead_code, reason = "kept until the process is gone")] TempDir),
    SharedApache(&'static Cluster),
    OwnApache(Mutex<Cluster>, #[expect(dead_code, reason = "kept until the servers are gone")] TempDir),
}

/// A cluster with one broker, and a client of it.
pub struct TestCluster {
    kind: BrokerKind,
    servers: Servers,
    access: ClientSettings,
    client: ClientInstance,
    producer: Producer,
    /// Of the test's own messages, which a machine that is busy must not fail.
    patient: Producer,
}

impl TestCluster {
    /// A cluster; with `own`, one whose broker may be killed. None where Apache RocketMQ is to be skipped.
    pub async fn start(kind: BrokerKind, own: bool) -> Option<Self> {
        let servers = match (kind, own) {
            (BrokerKind::Embedded, false) => {
                let broker = embedded::in_process().await;
                Servers::InProcess(broker.local_addr(), Some(broker))
            }
            (BrokerKind::Embedded, true) => {
                let directory = tempfile::tempdir().unwrap();
                let broker = BrokerProcess::start(directory.path().join("data"));
                Servers::Process(Mutex::new(broker), directory)
            }
            (BrokerKind::Apache, false) => {
                Servers::SharedApache(tokio::task::block_in_place(apache::shared)?)
            }
            (BrokerKind::Apache, true) => {
                let directory = tempfile::tempdir().unwrap();
                let cluster = tokio::task::block_in_place(|| apache::start(directory.path()))?;
                Servers::OwnApache(Mutex::new(cluster), directory)
            }
            (BrokerKind::Guarded, own) => {
                assert!(!own, "a guarded cluster is nobody's to kill");
                Servers::SharedApache(tokio::task::block_in_place(apache::guarded)?)
            }
        };
        let access = match kind {
            BrokerKind::Guarded => apache::guarded_access(Some("admin-secret")),
            BrokerKind::Embedded | BrokerKind::Apache => ClientSettings::default(),
        };
        let access = ClientSettings { mq_client_api_timeout: ANSWER, ..access };
        let name_server = servers.name_server().to_string();
        let config = GantryConfig { name_server, client: access.clone(), ..GantryConfig::default() };
        let client = ClientInstance::start(config.client_config().unwrap()).await.unwrap();
        let producer = Producer::new(client.clone(), ProducerConfig::default());
        let patience = ProducerConfig { send_timeout: PATIENCE, ..ProducerConfig::default() };
        let patient = Producer::new(client.clone(), patience);
        Some(Self { kind, servers, access, client, producer, patient })
    }

    /// Its kind.
    pub fn kind(&self) -> BrokerKind {
        self.kind
    }

    /// What clients need to be let in.
    pub fn access(&self) -> &ClientSettings {
        &self.access
    }

    /// Where its name server listens.
    pub fn address(&self) -> SocketAddr {
        self.servers.name_server()
    }

    /// Where its name server listens, as a client is told.
    pub fn name_server(&self) -> String {
        self.address().to_string()
    }

    /// A client of it.
    pub fn client(&self) -> &ClientInstance {
        &self.client
    }

    /// A producer of that client.
    pub fn producer(&self) -> &Producer {
        &self.producer
    }

    /// One whose sends may take a minute each.
    pub fn patient_producer(&self) -> &Producer {
        &self.patient
    }

    /// Creates a topic, and waits until the name server has its route.
    pub async fn create_topic(&self, topic: &str, queues: i32) {
        let settings =
            TopicSettings { read_queue_nums: queues, write_queue_nums: queues, ..TopicSettings::default() };
        self.client.create_topic(topic, &settings).await.unwrap();
        eventually(&format!("{topic} has a route"), async || {
            let route = self.client.refresh_route(topic).await.map_err(|error| error.to_string())?;
            that(route.subscribe_queues.len() == usize::try_from(queues).unwrap(), || format!("{route:?}"))
        })
        .await;
    }

    /// Sends messages with these bodies, one after the other.
    pub async fn send(&self, topic: &str, bodies: &[&str]) -> Vec<SendReceipt> {
        let messages: Vec<_> =
            bodies.iter().map(|body| OutgoingMessage::new(topic, (*body).to_owned())).collect();
        self.send_messages(&messages).await
    }

    /// Sends messages one after the other.
    pub async fn send_messages(&self, messages: &[OutgoingMessage]) -> Vec<SendReceipt> {
        let mut receipts = Vec::new();
        for message in messages {
            receipts.push(self.patient.send(message).await.unwrap());
        }
        receipts
    }

    /// Sends messages together, into one queue.
    pub async fn send_batch(&self, topic: &str, bodies: &[&str]) -> SendReceipt {
        let messages: Vec<_> =
            bodies.iter().map(|body| OutgoingMessage::new(topic, (*body).to_owned())).collect();
        self.patient.send_batch(&messages).await.unwrap()
    }

    /// Sends `count` messages, `ok 0`, `ok 1` and so on, in batches and from several tasks.
    pub async fn send_many(&self, topic: &str, count: usize) {
        self.send_range(topic, 0..count).await;
    }

    /// Sends the messages `ok N` of these numbers, in batches and from several tasks.
    pub async fn send_range(&self, topic: &str, numbers: Range<usize>) {
        let mut senders = tokio::task::JoinSet::new();
        for sender in 0..SENDERS {
            let (producer, topic, numbers) = (self.patient.clone(), topic.to_owned(), numbers.clone());
            senders.spawn(async move {
                for first in (numbers.start + sender * BATCH..numbers.end).step_by(BATCH * SENDERS) {
                    let bodies = first..numbers.end.min(first + BATCH);
                    let batch: Vec<_> =
                        bodies.map(|body| OutgoingMessage::new(&topic, format!("ok {body}"))).collect();
                    producer.send_batch(&batch).await.unwrap();
                }
            });
        }
        senders.join_all().await;
    }

    /// The topic's queues; none where there is no such topic.
    pub async fn queues(&self, topic: &str) -> Vec<MessageQueue> {
        match self.client.refresh_route(topic).await {
            Ok(route) => route.subscribe_queues.clone(),
            Err(RouteError::Missing { .. }) => Vec::new(),
            Err(error) => panic!("{topic}: {error}"),
        }
    }

    /// The end of each queue of a topic.
    pub async fn end_offsets(&self, topic: &str) -> BTreeMap<i32, i64> {
        let mut ends = BTreeMap::new();
        for mq in self.queues(topic).await {
            ends.insert(mq.queue_id, self.client.max_offset(&mq).await.unwrap());
        }
        ends
    }

    /// The group's stored offset of each queue of a topic that has one.
    pub async fn offsets(&self, group: &str, topic: &str) -> BTreeMap<i32, i64> {
        let mut offsets = BTreeMap::new();
        for mq in self.queues(topic).await {
            if let Some(offset) = self.client.query_offset(group, &mq).await.unwrap() {
                offsets.insert(mq.queue_id, offset);
            }
        }
        offsets
    }

    /// Waits until the group's stored offsets are the ends of the topic's queues. Of a queue that never had a message there
    /// may be none.
    pub async fn all_committed(&self, group: &str, topic: &str) {
        eventually(&format!("{group} has committed all of {topic}"), async || {
            let (offsets, ends) = (self.offsets(group, topic).await, self.end_offsets(topic).await);
            let all = ends.iter().all(|(queue, end)| offsets.get(queue).copied().unwrap_or(0) == *end);
            that(all, || format!("{offsets:?} of {ends:?}"))
        })
        .await;
    }

    /// The client ids of the group's members, sorted.
    pub async fn members(&self, group: &str, topic: &str) -> Vec<String> {
        let mut members = self.client.get_consumer_list(group, topic).await.unwrap_or_default();
        members.sort();
        members
    }

    /// Waits until all `count` messages of a topic can be read: Apache RocketMQ acknowledges a message a moment before.
    pub async fn readable(&self, topic: &str, count: usize) -> Vec<MessageExt> {
        eventually(&format!("{count} messages of {topic} can be read"), async || {
            let messages = self.read(topic).await;
            that(messages.len() == count, || format!("{} can", messages.len()))?;
            Ok(messages)
        })
        .await
    }

    /// Every message in a topic; none where there is no such topic.
    pub async fn read(&self, topic: &str) -> Vec<MessageExt> {
        let mut messages = Vec::new();
        for mq in self.queues(topic).await {
            let end = self.client.max_offset(&mq).await.unwrap();
            let mut offset = self.client.min_offset(&mq).await.unwrap();
            while offset < end {
                let header = reading(&mq, offset);
                let answer = self.client.pull(&mq.broker_name, 0, header, PATIENCE).await.unwrap();
                if answer.status == PullStatus::Found {
                    messages.extend(answer.messages().unwrap());
                }
                assert!(answer.next_begin_offset > offset, "{mq} is stuck at {offset}: {answer:?}");
                offset = answer.next_begin_offset;
            }
        }
        messages
    }

    /// The bodies in the group's dead-letter topic, sorted.
    pub async fn dead_letters(&self, group: &str) -> Vec<String> {
        let body = |message: &MessageExt| String::from_utf8(message.body().unwrap().to_vec()).unwrap();
        let mut bodies: Vec<_> = self.read(&dlq_topic(group)).await.iter().map(body).collect();
        bodies.sort();
        bodies
    }

    /// Waits until exactly these are in the group's dead-letter topic.
    pub async fn dead_lettered(&self, group: &str, bodies: &[&str]) {
        eventually(&format!("{bodies:?} are dead letters"), async || {
            let letters = self.dead_letters(group).await;
            that(sorted(&letters) == sorted(bodies), || format!("{letters:?} are"))
        })
        .await;
    }

    /// Kills the broker, as a crash would: the embedded one with its name server. Only of a cluster of its own.
    pub fn kill_broker(&self) {
        tokio::task::block_in_place(|| match &self.servers {
            Servers::Process(broker, _) => broker.lock().unwrap().kill(),
            Servers::OwnApache(cluster, _) => cluster.lock().unwrap().kill_broker(0),
            Servers::InProcess(..) | Servers::SharedApache(_) => panic!("not this test's own to kill"),
        });
    }

    /// Starts the killed broker again, on its port and storage.
    pub fn start_broker(&self) {
        tokio::task::block_in_place(|| match &self.servers {
            Servers::Process(broker, _) => broker.lock().unwrap().start_again(),
            Servers::OwnApache(cluster, _) => cluster.lock().unwrap().start_broker(0).unwrap(),
            Servers::InProcess(..) | Servers::SharedApache(_) => panic!("not this test's own to start"),
        });
    }

    /// Stops the broker where it is (SIGSTOP), so that it holds its connections and answers nothing.
    pub fn freeze_broker(&self) {
        signal(self.servers.broker_process(), "STOP");
    }

    /// Lets it go on (SIGCONT).
    pub fn thaw_broker(&self) {
        signal(self.servers.broker_process(), "CONT");
    }

    /// Kills the name server too.
    pub fn kill_all(&self) {
        self.kill_broker();
        if let Servers::OwnApache(cluster, _) = &self.servers {
            tokio::task::block_in_place(|| cluster.lock().unwrap().kill_name_server());
        }
    }

    /// Starts all that was killed.
    pub fn start_all(&self) {
        if let Servers::OwnApache(cluster, _) = &self.servers {
            tokio::task::block_in_place(|| cluster.lock().unwrap().start_name_server().unwrap());
        }
        self.start_broker();
    }

    /// Ends the client and an embedded broker in this process.
    pub async fn end(mut self) {
        self.client.close().await;
        if let Servers::InProcess(_, broker) = &mut self.servers
            && let Some(broker) = broker.take()
        {
            broker.stop().await;
        }
    }
}

impl Servers {
    fn broker_process(&self) -> u32 {
        match self {
            Self::Process(broker, _) => broker.lock().unwrap().id().unwrap(),
            Self::OwnApache(cluster, _) => cluster.lock().unwrap().brokers()[0].process_id().unwrap(),
            Self::InProcess(..) | Self::SharedApache(_) => panic!("not this test's own to freeze"),
        }
    }

    fn name_server(&self) -> SocketAddr {
        match self {
            Self::InProcess(address, _) => *address,
            Self::Process(broker, _) => broker.lock().unwrap().address(),
            Self::SharedApache(cluster) => cluster.name_server(),
            Self::OwnApache(cluster, _) => cluster.lock().unwrap().name_server(),
        }
    }
}

/// A pull that needs no membership.
fn reading(mq: &MessageQueue, offset: i64) -> PullMessageRequestHeader {
    PullMessageRequestHeader {
        consumer_group: "suite-reader".to_owned(),
        topic: mq.topic.to_string(),
        queue_id: mq.queue_id,
        queue_offset: offset,
        max_msg_nums: READ_AT_ONCE,
        sys_flag: sys_flag::PULL_SUBSCRIPTION,
        subscription: Some("*".to_owned()),
        expression_type: Some("TAG".to_owned()),
        ..PullMessageRequestHeader::default()
    }
}

fn sorted<T: AsRef<str>>(texts: &[T]) -> Vec<&str> {
    let mut sorted: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
    sorted.sort_unstable();
    sorted
}
