//! The client instance against the embedded broker: every typed call, and what happens when the broker goes away.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use gantry_dev_broker::{Broker, BrokerConfig, FsyncPolicy, Storage};
use gantry_host::client_instance::{
    CallError, ClientConfig, ClientInstance, Delay, GroupListener, OutgoingMessage, Producer, ProducerConfig,
    PullAnswer, PullStatus, RequestError, RouteError, RouteState, SendError, SendStatus, StartError,
    TopicSettings,
};
use gantry_protocol::body::{ConsumerData, SubscriptionData};
use gantry_protocol::header::{ConsumerSendMsgBackRequestHeader, PullMessageRequestHeader};
use gantry_protocol::names::retry_topic;
use gantry_protocol::{MessageQueue, ResponseCode, sys_flag};

const SECOND: Duration = Duration::from_secs(1);
const GROUP: &str = "Group";

struct Setup {
    broker: Broker,
    client: ClientInstance,
}

async fn broker(listen: SocketAddr, directory: Option<&Path>) -> Broker {
    let storage = match directory {
        Some(path) => Storage::Directory { path: path.to_owned(), fsync: FsyncPolicy::default() },
        None => Storage::InMemory,
    };
    let mut config = BrokerConfig { listen, storage, ..BrokerConfig::default() };
    config.timing.drain = SECOND / 10;
    Broker::start(config).await.unwrap()
}

fn anywhere() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

async fn client(addr: SocketAddr) -> ClientInstance {
    let config = ClientConfig {
        name_servers: addr.to_string(),
        poll_name_server_interval: SECOND / 10,
        heartbeat_broker_interval: SECOND / 5,
        ..ClientConfig::default()
    };
    ClientInstance::start(config).await.unwrap()
}

/// A client whose heartbeats are hours apart.
fn without_heartbeats(addr: SocketAddr) -> ClientConfig {
    ClientConfig {
        name_servers: addr.to_string(),
        heartbeat_broker_interval: 3_600 * SECOND,
        ..ClientConfig::default()
    }
}

async fn setup() -> Setup {
    let broker = broker(anywhere(), None).await;
    let client = client(broker.local_addr()).await;
    Setup { broker, client }
}

impl Setup {
    /// A topic with `queues` queues.
    async fn topic(&self, topic: &str, queues: i32) -> Vec<MessageQueue> {
        let settings =
            TopicSettings { read_queue_nums: queues, write_queue_nums: queues, ..TopicSettings::default() };
        self.client.create_topic(topic, &settings).await.unwrap();
        self.client.refresh_route(topic).await.unwrap().subscribe_queues.clone()
    }

    fn producer(&self) -> Producer {
        Producer::new(
            self.client.clone(),
            ProducerConfig { send_timeout: 60 * SECOND, ..ProducerConfig::default() },
        )
    }

    async fn end(self) {
        self.client.close().await;
        self.broker.stop().await;
    }
}

/// Counts what it is told.
#[derive(Default)]
struct Told(AtomicUsize);

impl GroupListener for Told {
    fn members_changed(&self) {
        self.0.fetch_add(1, Relaxed);
    }
}

fn consumer(topic: &str, expression: &str) -> ConsumerData {
    let retry = retry_topic(GROUP);
    let subscriptions = [(topic, expression), (retry.as_str(), "*")];
    let subscriptions = subscriptions.map(|(topic, tags)| SubscriptionData::by_tags(topic, tags, 1).unwrap());
    ConsumerData {
        group_name: GROUP.to_owned(),
        subscription_data_set: subscriptions.to_vec(),
        ..ConsumerData::default()
    }
}

/// Joins the group with one subscription.
async fn join(client: &ClientInstance, topic: &str, expression: &str) -> Arc<Told> {
    let told = Arc::new(Told::default());
    client.route(topic).await.unwrap();
    assert!(client.register_group(consumer(topic, expression), told.clone()));
    let round = client.heartbeat_group(GROUP).await;
    assert!(round.is_complete(), "{round:?}");
    told
}

fn pull_header(mq: &MessageQueue, offset: i64) -> PullMessageRequestHeader {
    PullMessageRequestHeader {
        consumer_group: GROUP.to_owned(),
        topic: mq.topic.to_string(),
        queue_id: mq.queue_id,
        queue_offset: offset,
        max_msg_nums: 32,
        sub_version: 1,
        ..PullMessageRequestHeader::default()
    }
}

async fn pull(client: &ClientInstance, mq: &MessageQueue, offset: i64) -> Result<PullAnswer, CallError> {
    client.pull(&mq.broker_name, 0, pull_header(mq, offset), 10 * SECOND).await
}

async fn held_pull(client: &ClientInstance, mq: &MessageQueue, offset: i64) -> PullAnswer {
    let mut header = pull_header(mq, offset);
    header.sys_flag = sys_flag::PULL_SUSPEND;
    header.suspend_timeout_millis = 15_000;
    client.pull(&mq.broker_name, 0, header, 30 * SECOND).await.unwrap()
}

/// Tries until it holds.
async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let until = Instant::now() + 90 * SECOND;
    while !holds().await {
        assert!(Instant::now() < until, "{what}");
        tokio::time::sleep(SECOND / 50).await;
    }
}

#[tokio::test]
async fn a_created_topic_is_routed_and_listed() {
    let setup = setup().await;
    let queues = setup.topic("Orders", 3).await;
    assert_eq!(queues.iter().map(|mq| mq.queue_id).collect::<Vec<_>>(), [0, 1, 2]);
    let route = setup.client.route("Orders").await.unwrap();
    assert_eq!(route.publish_queues, queues);
    assert_eq!(route.masters().count(), 1);
    assert!(setup.client.topic_list().await.unwrap().contains(&"Orders".to_owned()));
    let refused = setup.client.create_topic("not a topic", &TopicSettings::default()).await;
    assert!(matches!(refused, Err(CallError::Refused { .. })), "{refused:?}");
    setup.end().await;
}

#[tokio::test]
async fn a_topic_that_does_not_exist_is_missing_until_it_does() {
    let setup = setup().await;
    let mut watch = setup.client.watch_route("Later");
    let missing = setup.client.refresh_route("Later").await;
    assert!(matches!(missing, Err(RouteError::Missing { .. })), "{missing:?}");
    assert_eq!(*watch.borrow_and_update(), RouteState::Missing);
    let other = client(setup.broker.local_addr()).await;
    other.create_topic("Later", &TopicSettings::default()).await.unwrap();
    let found =
        tokio::time::timeout(90 * SECOND, watch.wait_for(|state| matches!(state, RouteState::Found(_))))
            .await;
    let RouteState::Found(route) = found.unwrap().unwrap().clone() else { panic!() };
    assert_eq!(route.subscribe_queues.len(), 8);
    other.close().await;
    setup.end().await;
}

#[tokio::test]
async fn sent_messages_are_pulled_with_everything_they_carried() {
    let setup = setup().await;
    let queues = setup.topic("Orders", 1).await;
    join(&setup.client, "Orders", "*").await;
    let message = OutgoingMessage::new("Orders", "hello").with_tag("TagA").with_key("k1").with_key("k2");
    let message = OutgoingMessage { flag: 7, ..message.with_property("größe", "ü€😀") };
    let receipt = setup.producer().send(&message).await.unwrap();
    assert_eq!((receipt.status, receipt.queue_offset, &receipt.queue), (SendStatus::Ok, 0, &queues[0]));
    let large = OutgoingMessage::new("Orders", "x".repeat(5_000));
    setup.producer().send_to(&queues[0], &large).await.unwrap();

    let answer = pull(&setup.client, &queues[0], 0).await.unwrap();
    assert_eq!((answer.status, answer.next_begin_offset), (PullStatus::Found, 2));
    assert_eq!((answer.min_offset, answer.max_offset, answer.suggest_which_broker_id), (0, 2, 0));
    let pulled = answer.messages().unwrap();
    let first = &pulled[0];
    assert_eq!((first.tags(), first.keys(), first.flag()), (Some("TagA"), Some("k1 k2"), 7));
    assert_eq!((first.property("größe"), &first.body().unwrap()[..]), (Some("ü€😀"), &b"hello"[..]));
    assert_eq!((first.message_id(), first.offset_msg_id()), (receipt.message_id, receipt.offset_msg_id));
    assert!(pulled[1].is_compressed() && pulled[1].stored_size() < 1_000);
    assert_eq!(pulled[1].body().unwrap(), large.body);
    setup.end().await;
}

#[tokio::test]
async fn a_pull_has_four_statuses() {
    let setup = setup().await;
    let queues = setup.topic("Orders", 1).await;
    join(&setup.client, "Orders", "TagA").await;
    let producer = setup.producer();
    producer.send(&OutgoingMessage::new("Orders", "a").with_tag("TagA")).await.unwrap();
    producer.send(&OutgoingMessage::new("Orders", "b").with_tag("TagB")).await.unwrap();
    let mut seen = Vec::new();
    for offset in [0, 1, 2, 1_000] {
        let answer = pull(&setup.client, &queues[0], offset).await.unwrap();
        seen.push((answer.status, answer.next_begin_offset, answer.body.is_empty()));
    }
    use PullStatus::{Found, NoMatchedMsg, NoNewMsg, OffsetIllegal};
    assert_eq!(seen[0].0, Found);
    assert_eq!(seen[1..], [(NoMatchedMsg, 2, true), (NoNewMsg, 2, true), (OffsetIllegal, 2, true)]);
    setup.end().await;
}

#[tokio::test]
async fn a_pull_before_the_heartbeat_is_refused_with_the_brokers_code() {
    let setup = setup().await;
    let queues = setup.topic("Orders", 1).await;
    setup.producer().send(&OutgoingMessage::new("Orders", "x")).await.unwrap();
    let refused = pull(&setup.client, &queues[0], 0).await.unwrap_err();
    assert_eq!(refused.code(), Some(ResponseCode::SUBSCRIPTION_NOT_EXIST), "{refused}");
    setup.end().await;
}

#[tokio::test]
async fn a_held_pull_is_answered_by_the_next_message() {
    let setup = setup().await;
    let queues = setup.topic("Orders", 1).await;
    join(&setup.client, "Orders", "*").await;
    let sending = async {
        eventually("the pull is held", || async { setup.broker.stats().held_pulls == 1 }).await;
        setup.producer().send(&OutgoingMessage::new("Orders", "wakes")).await.unwrap();
    };
    let (answer, ()) = tokio::join!(held_pull(&setup.client, &queues[0], 0), sending);
    assert_eq!(&answer.messages().unwrap()[0].body().unwrap()[..], b"wakes");
    setup.end().await;
}

#[tokio::test]
async fn offsets_are_stored_and_found() {
    let setup = setup().await;
    let (client, mq) = (&setup.client, &setup.topic("Orders", 1).await[0]);
    join(client, "Orders", "*").await;
    assert_eq!(client.query_offset(GROUP, mq).await.unwrap(), Some(0), "a queue without a message");
    let no_queue = MessageQueue { queue_id: 7, ..mq.clone() };
    assert_eq!(client.query_offset(GROUP, &no_queue).await.unwrap(), None);
    let before = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    for _ in 0..5 {
        setup.producer().send(&OutgoingMessage::new("Orders", "x")).await.unwrap();
    }
    assert_eq!((client.min_offset(mq).await.unwrap(), client.max_offset(mq).await.unwrap()), (0, 5));
    assert_eq!(client.search_offset(mq, before).await.unwrap(), 0);
    assert_eq!(client.search_offset(mq, before + 3_600_000).await.unwrap(), 5);
    client.update_offset(GROUP, mq, 3).await.unwrap();
    assert_eq!(client.query_offset(GROUP, mq).await.unwrap(), Some(3));
    client.update_offset_oneway(GROUP, mq, 4).await.unwrap();
    eventually("the oneway update arrives", || async {
        client.query_offset(GROUP, mq).await.unwrap() == Some(4)
    })
    .await;
    let unknown = MessageQueue::new("Orders", "no-such-broker", 0);
    let error = client.max_offset(&unknown).await.unwrap_err();
    assert!(matches!(error, CallError::UnknownBroker { .. }), "{error}");
    setup.end().await;
}

#[tokio::test]
async fn members_come_and_go_and_the_others_are_told() {
    let setup = setup().await;
    setup.topic("Orders", 2).await;
    let told = join(&setup.client, "Orders", "*").await;
    let other = client(setup.broker.local_addr()).await;
    let before = told.0.load(Relaxed);
    join(&other, "Orders", "*").await;
    eventually("the first is told of the second", || async { told.0.load(Relaxed) > before }).await;
    let mut members = setup.client.get_consumer_list(GROUP, "Orders").await.unwrap();
    members.sort();
    let mut expected = [setup.client.client_id().to_owned(), other.client_id().to_owned()];
    expected.sort();
    assert_eq!(members, expected);

    let before = told.0.load(Relaxed);
    let round = other.unregister_group(GROUP).await;
    assert!(round.is_complete(), "{round:?}");
    eventually("the first is told of the leaving", || async { told.0.load(Relaxed) > before }).await;
    assert_eq!(setup.client.get_consumer_list(GROUP, "Orders").await.unwrap(), [setup.client.client_id()]);
    other.close().await;
    setup.end().await;
}

#[tokio::test]
async fn members_see_each_others_connections_and_ask_each_other_through_the_broker() {
    let setup = setup().await;
    setup.topic("Orders", 2).await;
    let error = setup.client.consumer_connection(GROUP).await.unwrap_err();
    assert!(matches!(error, CallError::NoBroker { .. }), "{error}");
    join(&setup.client, "Orders", "TagA").await;
    let other = client(setup.broker.local_addr()).await;
    join(&other, "Orders", "TagA").await;
    let view = setup.client.consumer_connection(GROUP).await.unwrap();
    let mut ids: Vec<_> = view.connection_set.iter().map(|connection| &*connection.client_id).collect();
    ids.sort_unstable();
    let mut expected = [setup.client.client_id(), other.client_id()];
    expected.sort_unstable();
    assert_eq!(ids, expected);
    assert_eq!(view.subscription_table["Orders"].sub_string, "TagA");
    // This member's listener answers nothing, as one that is gone.
    let refused = setup.client.consumer_running_info(GROUP, other.client_id()).await.unwrap_err();
    assert_eq!(refused.code(), Some(ResponseCode::SYSTEM_ERROR));
    assert!(
        refused.to_string().contains("The Consumer Group <Group> not exist in this consumer"),
        "{refused}"
    );
    let unknown = setup.client.consumer_running_info(GROUP, "nobody").await.unwrap_err();
    assert!(unknown.to_string().contains("not online"), "{unknown}");
    other.close().await;
    setup.end().await;
}

#[tokio::test]
async fn a_group_is_registered_once_and_heartbeats_say_what_was_updated() {
    let setup = setup().await;
    let queues = setup.topic("Orders", 1).await;
    join(&setup.client, "Orders", "TagA").await;
    assert!(!setup.client.register_group(consumer("Orders", "*"), Arc::new(Told::default())));
    setup.producer().send(&OutgoingMessage::new("Orders", "b").with_tag("TagB")).await.unwrap();
    assert_eq!(pull(&setup.client, &queues[0], 0).await.unwrap().status, PullStatus::NoMatchedMsg);
    let mut wider = consumer("Orders", "TagA || TagB");
    wider.subscription_data_set[0].sub_version = 2;
    assert!(setup.client.update_group(wider));
    eventually("the upkeep's heartbeat brings the update", || async {
        pull(&setup.client, &queues[0], 0).await.is_ok_and(|answer| answer.status == PullStatus::Found)
    })
    .await;
    setup.end().await;
}

#[tokio::test]
async fn a_message_handed_back_comes_again_through_the_retry_topic() {
    let setup = setup().await;
    let mq = &setup.topic("Orders", 1).await[0];
    join(&setup.client, "Orders", "*").await;
    setup.producer().send(&OutgoingMessage::new("Orders", "again")).await.unwrap();
    let message = pull(&setup.client, mq, 0).await.unwrap().messages().unwrap().remove(0);
    let header = ConsumerSendMsgBackRequestHeader {
        offset: message.physical_offset(),
        group: GROUP.to_owned(),
        delay_level: 1,
        origin_msg_id: Some(message.message_id()),
        origin_topic: Some("Orders".to_owned()),
        max_reconsume_times: Some(16),
        ..ConsumerSendMsgBackRequestHeader::default()
    };
    setup.client.send_message_back("Orders", &mq.broker_name, header.clone()).await.unwrap();
    let retry = setup.client.route(&retry_topic(GROUP)).await.unwrap().subscribe_queues[0].clone();
    let again = held_pull(&setup.client, &retry, 0).await.messages().unwrap().remove(0);
    assert_eq!((again.reconsume_times(), again.origin_topic()), (1, "Orders"));
    assert_eq!(&again.body().unwrap()[..], b"again");
    let bad = ConsumerSendMsgBackRequestHeader { offset: 1 << 40, ..header };
    let refused = setup.client.send_message_back("Orders", &mq.broker_name, bad).await.unwrap_err();
    assert_eq!(refused.code(), Some(ResponseCode::SYSTEM_ERROR), "{refused}");
    setup.end().await;
}

#[tokio::test]
async fn a_locked_queue_is_nobody_elses_until_it_is_given_up() {
    let setup = setup().await;
    let queues = setup.topic("Orders", 2).await;
    let (first, name) = (&setup.client, &queues[0].broker_name);
    let second = client(setup.broker.local_addr()).await;
    second.refresh_route("Orders").await.unwrap();
    assert_eq!(first.lock_batch(GROUP, name, queues[..1].to_vec(), false).await.unwrap(), queues[..1]);
    assert_eq!(second.lock_batch(GROUP, name, queues.clone(), false).await.unwrap(), queues[1..]);
    // A survivor may give up what a member that is gone had locked.
    second.unlock_batch(GROUP, first.client_id(), name, queues[..1].to_vec()).await.unwrap();
    let mut held = second.lock_batch(GROUP, name, queues.clone(), false).await.unwrap();
    held.sort();
    assert_eq!(held, queues);
    second.close().await;
    setup.end().await;
}

#[tokio::test]
async fn a_batch_is_stored_together_in_order() {
    let setup = setup().await;
    let queues = setup.topic("Orders", 1).await;
    join(&setup.client, "Orders", "*").await;
    let batch: Vec<_> =
        (0..3).map(|i| OutgoingMessage::new("Orders", format!("batch {i}")).with_tag("T")).collect();
    let receipt = setup.producer().send_batch(&batch).await.unwrap();
    assert_eq!((receipt.queue_offset, receipt.message_id.split(',').count()), (0, 3));
    let pulled = pull(&setup.client, &queues[0], 0).await.unwrap().messages().unwrap();
    let bodies: Vec<_> = pulled.iter().map(|message| message.body().unwrap()).collect();
    assert_eq!(bodies, ["batch 0", "batch 1", "batch 2"]);
    assert_eq!(pulled.iter().map(|m| m.message_id()).collect::<Vec<_>>().join(","), receipt.message_id);

    let mut mixed = batch.clone();
    mixed[1].topic = "Other".to_owned();
    assert!(matches!(setup.producer().send_batch(&mixed).await, Err(SendError::Invalid { .. })));
    mixed = batch;
    mixed[2].delay = Delay::Level(1);
    assert!(matches!(setup.producer().send_batch(&mixed).await, Err(SendError::Invalid { .. })));
    assert!(matches!(setup.producer().send_batch(&[]).await, Err(SendError::Invalid { .. })));
    setup.end().await;
}

#[tokio::test]
async fn messages_go_to_all_queues_in_turn() {
    let setup = setup().await;
    let queues = setup.topic("Orders", 4).await;
    let producer = setup.producer();
    for _ in 0..8 {
        producer.send(&OutgoingMessage::new("Orders", "x")).await.unwrap();
    }
    for mq in &queues {
        assert_eq!(setup.client.max_offset(mq).await.unwrap(), 2);
    }
    setup.end().await;
}

#[tokio::test]
async fn a_topic_is_created_by_its_first_message_where_brokers_do_that() {
    let setup = setup().await;
    setup.producer().send(&OutgoingMessage::new("Fresh", "x")).await.unwrap();
    assert_eq!(setup.client.refresh_route("Fresh").await.unwrap().publish_queues.len(), 4);
    setup.end().await;
}

#[tokio::test]
async fn a_message_to_a_missing_topic_fails_where_brokers_create_none() {
    let config = BrokerConfig { listen: anywhere(), auto_create_topics: false, ..BrokerConfig::default() };
    let broker = Broker::start(config).await.unwrap();
    let client = client(broker.local_addr()).await;
    let sent = Producer::new(client.clone(), ProducerConfig::default())
        .send(&OutgoingMessage::new("Fresh", "x"))
        .await;
    let Err(SendError::Route(RouteError::Missing { topic })) = sent else { panic!("{sent:?}") };
    assert_eq!(&*topic, "Fresh");
    Setup { broker, client }.end().await;
}

#[tokio::test]
async fn an_unreachable_name_server_is_asked_until_it_is_there() {
    // Bound but not listening, it keeps the port from everybody but who names it.
    let reserved = tokio::net::TcpSocket::new_v4().unwrap();
    reserved.set_reuseaddr(true).unwrap();
    reserved.bind(anywhere()).unwrap();
    let addr = reserved.local_addr().unwrap();
    let client = client(addr).await;
    let mut watch = client.watch_route("TBW102");
    let error = client.refresh_route("TBW102").await.unwrap_err();
    assert!(matches!(error, RouteError::Unreachable(_)), "{error}");
    assert!(error.to_string().contains(&addr.to_string()), "{error}");
    assert!(!client.name_servers_reachable());
    let broker = broker(addr, None).await;
    let found =
        tokio::time::timeout(90 * SECOND, watch.wait_for(|state| matches!(state, RouteState::Found(_))))
            .await;
    assert!(found.unwrap().is_ok());
    assert!(client.name_servers_reachable());
    Setup { broker, client }.end().await;
}

#[tokio::test]
async fn a_broker_that_comes_back_knows_the_members_again_and_routes_outlive_its_absence() {
    let directory = tempfile::tempdir().unwrap();
    let first = broker(anywhere(), Some(directory.path())).await;
    let addr = first.local_addr();
    let config = without_heartbeats(addr);
    let setup = Setup { broker: first, client: ClientInstance::start(config).await.unwrap() };
    let queues = setup.topic("Orders", 1).await;
    join(&setup.client, "Orders", "*").await;
    let producer = setup.producer();
    producer.send(&OutgoingMessage::new("Orders", "before")).await.unwrap();
    let Setup { broker: first, client } = setup;
    first.stop().await;

    eventually("the loss is noticed", || async { client.connected().is_empty() }).await;
    let lost = pull(&client, &queues[0], 0).await.unwrap_err();
    assert!(matches!(lost, CallError::Invoke(_)), "{lost}");
    assert!(client.refresh_route("Orders").await.is_err());
    assert_eq!(client.route("Orders").await.unwrap().subscribe_queues, queues);
    assert!(matches!(
        producer.send(&OutgoingMessage::new("Orders", "x")).await,
        Err(SendError::Failed { .. })
    ));

    let again = broker(addr, Some(directory.path())).await;
    // No heartbeat is due: what makes the pull succeed is the one that greets the returned broker.
    eventually("the returned broker knows the group", || async {
        pull(&client, &queues[0], 0).await.is_ok_and(|answer| answer.status == PullStatus::Found)
    })
    .await;
    assert_eq!(client.get_consumer_list(GROUP, "Orders").await.unwrap(), [client.client_id()]);
    Setup { broker: again, client }.end().await;
}

#[tokio::test]
async fn a_broker_that_comes_back_brings_replies_again() {
    let directory = tempfile::tempdir().unwrap();
    let first = broker(anywhere(), Some(directory.path())).await;
    let addr = first.local_addr();
    // No heartbeat is due: what makes the broker know the producer again is the one that greets it.
    let config = without_heartbeats(addr);
    let setup = Setup { client: ClientInstance::start(config).await.unwrap(), broker: first };
    let queues = setup.topic("Orders", 1).await;
    let producer = setup.producer();
    let asked = producer.request(&OutgoingMessage::new("Orders", "who?"), 10 * SECOND).await;
    assert!(matches!(asked, Err(RequestError::NoReply { .. })), "{asked:?}");
    join(&setup.client, "Orders", "*").await;
    let question = pull(&setup.client, &queues[0], 0).await.unwrap().messages().unwrap().remove(0);
    producer.reply(&question, "me").await.expect("the broker knows who asked");

    let Setup { broker: first, client } = setup;
    first.stop().await;
    eventually("the loss is noticed", || async { client.connected().is_empty() }).await;
    let again = broker(addr, Some(directory.path())).await;
    eventually("the broker knows who asked again", || async {
        producer.reply(&question, "me").await.is_ok()
    })
    .await;
    Setup { broker: again, client }.end().await;
}

#[tokio::test]
async fn a_send_outlives_a_short_absence_of_its_only_broker() {
    let directory = tempfile::tempdir().unwrap();
    let first = broker(anywhere(), Some(directory.path())).await;
    let addr = first.local_addr();
    let setup = Setup { client: client(addr).await, broker: first };
    setup.topic("Orders", 1).await;
    let config = ProducerConfig {
        send_timeout: 90 * SECOND,
        retry_times_when_send_failed: 1_000,
        ..ProducerConfig::default()
    };
    let producer = Producer::new(setup.client.clone(), config);
    let Setup { broker: first, client } = setup;
    first.stop().await;
    eventually("the loss is noticed", || async { client.connected().is_empty() }).await;
    let returning = async {
        eventually("an attempt has failed", || async { client.remoting_stats().connect_failures >= 2 }).await;
        broker(addr, Some(directory.path())).await
    };
    let message = OutgoingMessage::new("Orders", "x");
    let (sent, again) = tokio::join!(producer.send(&message), returning);
    assert_eq!(sent.unwrap().queue_offset, 0);
    Setup { broker: again, client }.end().await;
}

#[tokio::test]
async fn a_client_that_makes_no_sense_does_not_start() {
    let bad = |name_servers: &str, client_id: Option<&str>| ClientConfig {
        name_servers: name_servers.to_owned(),
        client_id: client_id.map(str::to_owned),
        ..ClientConfig::default()
    };
    assert!(matches!(ClientInstance::start(bad("", None)).await, Err(StartError::NameServers(_))));
    assert!(matches!(ClientInstance::start(bad("host", None)).await, Err(StartError::NameServers(_))));
    assert!(matches!(ClientInstance::start(bad("h:1", Some(""))).await, Err(StartError::ClientId(_))));
}

#[tokio::test]
async fn a_message_that_breaks_a_rule_is_refused_before_it_is_sent() {
    let setup = setup().await;
    let producer = setup.producer();
    let other = MessageQueue::new("Other", "b", 0);
    for sent in [
        producer.send(&OutgoingMessage::new("Orders", "")).await,
        producer.send(&OutgoingMessage::new("", "x")).await,
        producer.send_to(&other, &OutgoingMessage::new("Orders", "x")).await,
    ] {
        assert!(matches!(sent, Err(SendError::Invalid { .. })), "{sent:?}");
    }
    assert_eq!(setup.client.remoting_stats().frames_out, 0);
    setup.end().await;
}
