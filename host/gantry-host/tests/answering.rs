//! What an operator asks of a running host through its broker.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gantry_dev_broker::{Broker, BrokerConfig};
use gantry_host::client_instance::{
    ClientConfig, ClientInstance, OutgoingMessage, Producer, ProducerConfig, SendReceipt, TopicSettings,
};
use gantry_host::config::{ConsumeFrom, GantryConfig};
use gantry_host::{
    ConsumeContext, ConsumeResult, Host, ListenerDescription, MessageBatch, NativeListener, RetryDelay,
    Unobserved,
};
use gantry_protocol::body::{
    ConsumeMessageDirectlyResult, ConsumeResult as Directly, ConsumerRunningInfo, GetConsumerStatusBody,
};
use gantry_protocol::header::{
    ConsumeMessageDirectlyRequestHeader, GetConsumerRunningInfoRequestHeader, GetConsumerStatusRequestHeader,
};
use gantry_protocol::{MessageQueue, RemotingCommand, RequestCode, ResponseCode, fastjson};
use gantry_remoting::{Client, RefuseRequests, RemotingSettings};
use tempfile::TempDir;

const BOUND: Duration = Duration::from_secs(120);
const GROUP: &str = "asked";
const TOPIC: &str = "questions";

/// Does what the body says. `wait` is released from outside, and told when it begins.
struct Obedient {
    waiting: Mutex<Sender<()>>,
    released: Mutex<Receiver<()>>,
}

impl NativeListener for Obedient {
    fn describe(&self) -> ListenerDescription {
        ListenerDescription::new("obedient", GROUP, TOPIC)
    }

    fn consume(&self, context: &ConsumeContext<'_>, batch: &dyn MessageBatch) -> Vec<ConsumeResult> {
        assert_eq!((context.consumer_group, context.topic), (GROUP, TOPIC));
        let answer = |index| match batch.body(index) {
            b"later" => ConsumeResult::ReconsumeLater(RetryDelay::Level(18)),
            b"dead" => ConsumeResult::DeadLetter("rotten".into()),
            b"panic" => panic!("as the test wants it"),
            b"wait" => {
                self.waiting.lock().unwrap().send(()).unwrap();
                self.released.lock().unwrap().recv_timeout(BOUND).unwrap();
                ConsumeResult::Success
            }
            _ => ConsumeResult::Success,
        };
        (0..batch.len()).map(answer).collect()
    }
}

struct Setup {
    broker: Broker,
    client: ClientInstance,
    operator: Client,
    host: Host,
    _directory: TempDir,
    waits: Receiver<()>,
    release: Sender<()>,
}

async fn setup() -> Setup {
    let mut config = BrokerConfig { listen: ([127, 0, 0, 1], 0).into(), ..BrokerConfig::default() };
    config.timing.drain = Duration::from_millis(100);
    // What is given back does not come again within a test.
    config.delay_levels = vec![Duration::from_secs(3_600); 18];
    let broker = Broker::start(config).await.unwrap();
    let name_server = broker.local_addr().to_string();
    let client = ClientConfig { name_servers: name_server.clone(), ..ClientConfig::default() };
    let client = ClientInstance::start(client).await.unwrap();
    let settings = TopicSettings { read_queue_nums: 1, write_queue_nums: 1, ..TopicSettings::default() };
    client.create_topic(TOPIC, &settings).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let mut config =
        GantryConfig { name_server, plugins: directory.path().into(), ..GantryConfig::default() };
    config.admin.enabled = false;
    config.consumer.consume_from_where = Some(ConsumeFrom::FirstOffset);
    let host = Host::start(config, Arc::new(Unobserved)).await.unwrap();
    let ((waiting, waits), (release, released)) = (mpsc::channel(), mpsc::channel());
    let (waiting, released) = (Mutex::new(waiting), Mutex::new(released));
    host.add_native(Obedient { waiting, released }).await.unwrap();
    let operator = Client::new(RemotingSettings::default(), Arc::new(RefuseRequests));
    Setup { broker, client, operator, host, _directory: directory, waits, release }
}

impl Setup {
    async fn send(&self, bodies: &[&'static str]) -> Vec<SendReceipt> {
        let producer = Producer::new(
            self.client.clone(),
            ProducerConfig { send_timeout: BOUND, ..ProducerConfig::default() },
        );
        let mut receipts = Vec::new();
        for body in bodies {
            receipts.push(producer.send(&OutgoingMessage::new(TOPIC, *body)).await.unwrap());
        }
        receipts
    }

    async fn ask(&self, request: RemotingCommand) -> RemotingCommand {
        let addr: Arc<str> = self.broker.local_addr().to_string().into();
        self.operator.invoke(&addr, request, BOUND).await.unwrap()
    }

    async fn running_info(&self) -> ConsumerRunningInfo {
        let header = GetConsumerRunningInfoRequestHeader {
            consumer_group: GROUP.to_owned(),
            client_id: self.host.status().client_id,
            jstack_enable: Some(true),
        };
        let asked = self.ask(RemotingCommand::request(RequestCode::GET_CONSUMER_RUNNING_INFO, &header)).await;
        assert_eq!(asked.response_code(), ResponseCode::SUCCESS, "{asked:?}");
        fastjson::from_slice(&asked.body).unwrap()
    }

    async fn directly(&self, message: &SendReceipt) -> RemotingCommand {
        let header = ConsumeMessageDirectlyRequestHeader {
            consumer_group: GROUP.to_owned(),
            client_id: Some(self.host.status().client_id),
            msg_id: Some(message.offset_msg_id.clone()),
            ..ConsumeMessageDirectlyRequestHeader::default()
        };
        self.ask(RemotingCommand::request(RequestCode::CONSUME_MESSAGE_DIRECTLY, &header)).await
    }

    fn settled(&self) -> u64 {
        let outcomes = self.host.status().plugins[0].outcomes;
        outcomes.succeeded + outcomes.reconsumed + outcomes.dead_lettered
    }

    fn commit_offset(&self) -> Option<i64> {
        let groups = self.host.status().groups;
        groups[0].queues.iter().find(|queue| queue.topic == TOPIC)?.commit_offset
    }

    async fn until(&self, what: &str, done: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + BOUND;
        while !done(self) {
            assert!(Instant::now() < deadline, "{what}: {:?}", self.host.status());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn end(self) {
        assert!(self.host.stop().await.graceful);
        self.operator.close().await;
        self.client.close().await;
        self.broker.stop().await;
    }
}

fn queue(setup: &Setup) -> MessageQueue {
    let queue = setup.host.status().groups[0].queues.iter().find(|q| q.topic == TOPIC).unwrap().clone();
    MessageQueue::new(queue.topic, queue.broker_name, queue.queue_id)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_running_info_shows_queues_subscriptions_rates_and_what_plugins_work_on() {
    let setup = setup().await;
    setup.send(&["a", "b", "later", "wait"]).await;
    tokio::task::block_in_place(|| setup.waits.recv_timeout(BOUND)).unwrap();
    setup
        .until("the others are settled", |setup| setup.settled() == 3 && setup.commit_offset() == Some(3))
        .await;
    let info = setup.running_info().await;
    let window = &info.mq_table[&queue(&setup)];
    assert_eq!((window.commit_offset, window.cached_msg_count, window.droped), (3, 1, false));
    assert_eq!((window.cached_msg_min_offset, window.cached_msg_max_offset), (3, 3));
    let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    assert!((now - 300_000..=now).contains(&window.last_pull_timestamp), "{window:?} at {now}");
    let topics: Vec<_> = info.subscription_set.iter().map(|subscription| &*subscription.topic).collect();
    assert_eq!(topics, ["%RETRY%asked", TOPIC]);
    let jstack = info.jstack.unwrap();
    assert!(jstack.starts_with("plugin obedient: 1 messages of"), "{jstack}");
    let status = &info.status_table[TOPIC];
    assert!(status.consume_ok_tps > status.consume_failed_tps && status.pull_tps > 0.0, "{status:?}");
    assert_eq!(status.consume_failed_msgs, 1);
    let expected = [
        ("PROP_CONSUME_TYPE", "CONSUME_PASSIVELY"),
        ("PROP_CONSUMEORDERLY", "false"),
        ("PROP_THREADPOOL_CORE_SIZE", "20"),
        ("PROP_NAMESERVER_ADDR", &format!("{};", setup.broker.local_addr())),
        ("messageModel", "CLUSTERING"),
        ("consumeFromWhere", "CONSUME_FROM_FIRST_OFFSET"),
        ("messageListener", "obedient"),
        ("pullThresholdForTopic", "-1"),
    ];
    for (name, value) in expected {
        assert_eq!(info.properties.get(name).map(String::as_str), Some(value), "{name}");
    }
    setup.release.send(()).unwrap();
    setup.until("the last is settled", |setup| setup.commit_offset() == Some(4)).await;
    setup.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_is_how_far_each_queue_of_the_topic_is() {
    let setup = setup().await;
    setup.send(&["a", "b"]).await;
    setup.until("both are settled", |setup| setup.commit_offset() == Some(2)).await;
    let asked = async |topic: &str| {
        let (topic, group) = (topic.to_owned(), GROUP.to_owned());
        let header = GetConsumerStatusRequestHeader { topic, group, client_addr: None };
        let request = RemotingCommand::request(RequestCode::INVOKE_BROKER_TO_GET_CONSUMER_STATUS, &header);
        let body: GetConsumerStatusBody = fastjson::from_slice(&setup.ask(request).await.body).unwrap();
        body.consumer_table[&setup.host.status().client_id].0.clone()
    };
    assert_eq!(asked(TOPIC).await, [(queue(&setup), 2)].into());
    assert!(asked("another").await.is_empty());
    setup.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_consumed_directly_and_nothing_else_changes() {
    let setup = setup().await;
    let sent = setup.send(&["fine", "later", "dead", "panic"]).await;
    setup.until("all are settled", |setup| setup.commit_offset() == Some(4)).await;
    let settled = setup.settled();
    let expected = [
        (Directly::Success, None),
        (Directly::Later, None),
        (Directly::Later, Some("to the dead-letter topic: rotten")),
        (Directly::ThrowException, Some("the listener failed: it panicked: as the test wants it")),
    ];
    for (message, (result, remark)) in sent.iter().zip(expected) {
        let answer = setup.directly(message).await;
        assert_eq!(answer.response_code(), ResponseCode::SUCCESS, "{answer:?}");
        let answer: ConsumeMessageDirectlyResult = fastjson::from_slice(&answer.body).unwrap();
        assert_eq!((answer.consume_result, answer.remark.as_deref()), (result, remark));
        assert!(answer.auto_commit && !answer.order);
    }
    assert_eq!((setup.settled(), setup.commit_offset()), (settled, Some(4)));
    setup.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_no_plugin_wants_is_refused_with_the_reason() {
    let setup = setup().await;
    setup.until("the group has its queue", |setup| setup.commit_offset().is_some()).await;
    let producer = Producer::new(
        setup.client.clone(),
        ProducerConfig { send_timeout: BOUND, ..ProducerConfig::default() },
    );
    let other = producer.send(&OutgoingMessage::new("elsewhere", "x").with_tag("red")).await.unwrap();
    let answer = setup.directly(&other).await;
    let remark = answer.remark.unwrap_or_default();
    assert!(
        remark.contains("no plugin of group asked wants a message of topic elsewhere with the tag red"),
        "{remark}"
    );
    setup.end().await;
}
