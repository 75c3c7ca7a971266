//! The client instance against a scripted cluster: what takes several brokers, a slave, or a broker that misbehaves.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use gantry_core::fault::FaultLevel;
use gantry_dev_broker::BrokerConfig;
use gantry_host::client_instance::{
    CallError, ClientConfig, ClientInstance, GroupListener, OutgoingMessage, Producer, ProducerConfig,
    PullStatus, RouteError, SendError, SendStatus,
};
use gantry_protocol::body::{
    BrokerData, ConsumerData, HeartbeatData, QueueData, SubscriptionData, TopicRouteData,
};
use gantry_protocol::header::{
    HeartbeatResponseHeader, PullMessageRequestHeader, PullMessageResponseHeader, SendMessageRequestHeaderV2,
    SendMessageResponseHeader,
};
use gantry_protocol::{
    FrameDecoder, MessageQueue, Namespace, RemotingCommand, RequestCode, ResponseCode, fastjson, sys_flag,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const PATIENCE: Duration = Duration::from_secs(90);

/// What a scripted server answers; `None` closes the connection instead.
type Script = dyn Fn(&RemotingCommand) -> Option<RemotingCommand> + Send + Sync;

/// A server that answers by a script and remembers what it was asked.
struct Server {
    addr: String,
    asked: Arc<Mutex<Vec<RemotingCommand>>>,
}

impl Server {
    async fn start(
        script: impl Fn(&RemotingCommand) -> Option<RemotingCommand> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        let asked = Arc::<Mutex<Vec<_>>>::default();
        let (script, log): (Arc<Script>, _) = (Arc::new(script), Arc::clone(&asked));
        spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (script, log) = (Arc::clone(&script), Arc::clone(&log));
                spawn(async move { serve(stream, &*script, &log).await });
            }
        });
        Self { addr, asked }
    }

    /// The requests with this code so far.
    fn asked(&self, code: RequestCode) -> Vec<RemotingCommand> {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|request| request.request_code() == code).cloned().collect()
    }
}

#[expect(clippy::disallowed_methods, reason = "a scripted server ends with its test")]
fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(task);
}

async fn serve(mut stream: TcpStream, script: &Script, log: &Mutex<Vec<RemotingCommand>>) {
    let (decoder, mut buffer) = (FrameDecoder::default(), BytesMut::new());
    loop {
        while let Some(request) = decoder.decode(&mut buffer).unwrap() {
            let reply = script(&request);
            log.lock().unwrap().push(request.clone());
            let Some(reply) = reply else { return };
            let mut frame = BytesMut::new();
            reply.reply_to(&request).encode(&mut frame).unwrap();
            if stream.write_all(&frame).await.is_err() {
                return;
            }
        }
        if stream.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
            return;
        }
    }
}

fn ok() -> RemotingCommand {
    RemotingCommand::response(ResponseCode::SUCCESS)
}

fn refused(code: ResponseCode) -> RemotingCommand {
    RemotingCommand::response(code).with_remark("so the script says")
}

/// A broker of the route: its name, and its servers by id.
type Broker<'a> = (&'a str, &'a [(i64, &'a str)]);

fn route(brokers: &[Broker<'_>]) -> TopicRouteData {
    let broker_datas = brokers.iter().map(|(name, servers)| BrokerData {
        broker_addrs: servers.iter().map(|&(id, addr)| (id, addr.to_owned())).collect(),
        broker_name: (*name).to_owned(),
        ..BrokerData::default()
    });
    let queue_datas = brokers.iter().map(|(name, _)| QueueData {
        broker_name: (*name).to_owned(),
        perm: 6,
        read_queue_nums: 2,
        write_queue_nums: 2,
        topic_sys_flag: 0,
    });
    TopicRouteData {
        broker_datas: broker_datas.collect(),
        queue_datas: queue_datas.collect(),
        ..Default::default()
    }
}

/// A name server whose one route can be exchanged.
async fn name_server(route: &Arc<Mutex<TopicRouteData>>) -> Server {
    let route = Arc::clone(route);
    Server::start(move |request| {
        assert_eq!(request.request_code(), RequestCode::GET_ROUTEINFO_BY_TOPIC);
        Some(ok().with_body(fastjson::to_vec(&*route.lock().unwrap()).unwrap()))
    })
    .await
}

async fn client(name_server: &Server) -> ClientInstance {
    let config = ClientConfig { name_servers: name_server.addr.clone(), ..ClientConfig::default() };
    ClientInstance::start(config).await.unwrap()
}

async fn client_for(brokers: &[Broker<'_>]) -> (ClientInstance, Arc<Mutex<TopicRouteData>>) {
    let route = Arc::new(Mutex::new(route(brokers)));
    (client(&name_server(&route).await).await, route)
}

fn sent(request: &RemotingCommand) -> Option<RemotingCommand> {
    let asked: SendMessageRequestHeaderV2 = request.header().unwrap();
    let msg_id = "7F000001000051AF0000000000000000".to_owned();
    let header = SendMessageResponseHeader { msg_id, queue_id: asked.queue_id, ..Default::default() };
    Some(ok().with_header(&header))
}

fn producer(client: &ClientInstance) -> Producer {
    Producer::new(client.clone(), ProducerConfig { send_timeout: PATIENCE, ..ProducerConfig::default() })
}

fn message() -> OutgoingMessage {
    OutgoingMessage::new("T", "x")
}

#[tokio::test]
async fn a_send_that_a_broker_refuses_for_now_goes_to_another_one() {
    let busy = Server::start(|_| Some(refused(ResponseCode::SYSTEM_BUSY))).await;
    let good = Server::start(sent).await;
    let (client, _) = client_for(&[("a", &[(0, &busy.addr)]), ("b", &[(0, &good.addr)])]).await;
    let producer = producer(&client);
    for _ in 0..8 {
        assert_eq!(&*producer.send(&message()).await.unwrap().queue.broker_name, "b");
    }
    assert!(!busy.asked(RequestCode::SEND_MESSAGE_V2).is_empty(), "it had its turns");
    client.close().await;
}

#[tokio::test]
async fn a_send_goes_on_to_another_broker_when_one_breaks_the_connection() {
    let broken = Server::start(|_| None).await;
    let good = Server::start(sent).await;
    let (client, _) = client_for(&[("a", &[(0, &broken.addr)]), ("b", &[(0, &good.addr)])]).await;
    let producer = producer(&client);
    for _ in 0..8 {
        assert_eq!(&*producer.send(&message()).await.unwrap().queue.broker_name, "b");
    }
    client.close().await;
}

#[tokio::test]
async fn a_send_is_repeated_twice_and_then_fails_with_the_last_reason() {
    let busy = Server::start(|_| Some(refused(ResponseCode::SYSTEM_BUSY))).await;
    let (client, _) = client_for(&[("a", &[(0, &busy.addr)])]).await;
    let failed = producer(&client).send(&message()).await;
    let Err(SendError::Failed { attempts: 3, last }) = failed else { panic!("{failed:?}") };
    assert_eq!(last.code(), Some(ResponseCode::SYSTEM_BUSY));
    assert!(last.to_string().contains("so the script says"), "{last}");
    let asked = busy.asked(RequestCode::SEND_MESSAGE_V2);
    let keys: Vec<_> =
        asked.iter().map(|r| r.header::<SendMessageRequestHeaderV2>().unwrap().properties).collect();
    assert_eq!(keys.len(), 3);
    assert!(keys.iter().all(|key| *key == keys[0]), "the same message, under the same unique key");
    client.close().await;
}

#[tokio::test]
async fn a_refusal_that_would_stay_is_not_repeated() {
    let strict = Server::start(|_| Some(refused(ResponseCode::MESSAGE_ILLEGAL))).await;
    let (client, _) = client_for(&[("a", &[(0, &strict.addr)])]).await;
    let failed = producer(&client).send(&message()).await;
    assert!(matches!(failed, Err(SendError::Failed { attempts: 1, .. })), "{failed:?}");
    client.close().await;
}

#[tokio::test]
async fn which_refusals_are_repeated_is_a_setting() {
    let strict = Server::start(|_| Some(refused(ResponseCode::MESSAGE_ILLEGAL))).await;
    let (client, _) = client_for(&[("a", &[(0, &strict.addr)])]).await;
    let config = ProducerConfig {
        retry_response_codes: vec![ResponseCode::MESSAGE_ILLEGAL],
        retry_times_when_send_failed: 4,
        ..ProducerConfig::default()
    };
    let failed = Producer::new(client.clone(), config).send(&message()).await;
    assert!(matches!(failed, Err(SendError::Failed { attempts: 5, .. })), "{failed:?}");
    client.close().await;
}

/// A broker that has the message, but on no slave.
fn kept_badly(request: &RemotingCommand) -> Option<RemotingCommand> {
    let RemotingCommand { ext_fields, .. } = sent(request)?;
    Some(RemotingCommand { ext_fields, ..RemotingCommand::response(ResponseCode::SLAVE_NOT_AVAILABLE) })
}

#[tokio::test]
async fn what_is_not_kept_well_is_sent_to_another_broker_where_that_is_wanted() {
    let (bad, good) = (Server::start(kept_badly).await, Server::start(sent).await);
    let (client, shared) = client_for(&[("a", &[(0, &bad.addr)]), ("b", &[(0, &good.addr)])]).await;
    let plain = producer(&client);
    let wanting =
        ProducerConfig { retry_another_broker_when_not_store_ok: true, ..ProducerConfig::default() };
    let wanting = Producer::new(client.clone(), wanting);
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(plain.send(&message()).await.unwrap().status);
        assert_eq!(wanting.send(&message()).await.unwrap().status, SendStatus::Ok);
    }
    assert!(statuses.contains(&SendStatus::SlaveNotAvailable), "it is content with it: {statuses:?}");
    *shared.lock().unwrap() = route(&[("a", &[(0, &bad.addr)])]);
    client.refresh_route("T").await.unwrap();
    let before = bad.asked(RequestCode::SEND_MESSAGE_V2).len();
    let receipt = wanting.send(&message()).await.unwrap();
    assert_eq!(receipt.status, SendStatus::SlaveNotAvailable, "no broker did better, and it is stored");
    assert_eq!(bad.asked(RequestCode::SEND_MESSAGE_V2).len() - before, 3);
    client.close().await;
}

#[tokio::test]
async fn a_broker_that_fails_is_passed_over_for_a_while_where_that_is_wanted() {
    let busy = Server::start(|_| Some(refused(ResponseCode::SYSTEM_BUSY))).await;
    let good = Server::start(sent).await;
    let (client, _) = client_for(&[("a", &[(0, &busy.addr)]), ("b", &[(0, &good.addr)])]).await;
    // Only failures are to count, however slow the machine is.
    let forever = Duration::from_secs(3_600);
    let fault_levels =
        vec![FaultLevel { latency_max: Duration::from_secs(10), not_available_duration: forever }];
    let config =
        ProducerConfig { send_latency_fault_enable: true, fault_levels, ..ProducerConfig::default() };
    let producer = Producer::new(client.clone(), config);
    for _ in 0..20 {
        assert_eq!(&*producer.send(&message()).await.unwrap().queue.broker_name, "b");
    }
    assert_eq!(busy.asked(RequestCode::SEND_MESSAGE_V2).len(), 1, "it is asked once");
    client.close().await;
}

/// Two brokers of the embedded kind behind a scripted name server, one of which stops.
#[tokio::test]
async fn sends_go_to_the_other_broker_when_one_of_two_is_down() {
    let broker = |name: &str| {
        let listen = "127.0.0.1:0".parse().unwrap();
        gantry_dev_broker::Broker::start(BrokerConfig {
            listen,
            broker_name: name.to_owned(),
            ..BrokerConfig::default()
        })
    };
    let (a, b) = (broker("a").await.unwrap(), broker("b").await.unwrap());
    let (addr_a, addr_b) = (a.local_addr().to_string(), b.local_addr().to_string());
    let (client, _) = client_for(&[("a", &[(0, &addr_a)]), ("b", &[(0, &addr_b)])]).await;
    let config = |enabled| ProducerConfig {
        send_latency_fault_enable: enabled,
        send_timeout: PATIENCE,
        ..ProducerConfig::default()
    };
    let producers = [false, true].map(|enabled| Producer::new(client.clone(), config(enabled)));
    let used = async |producer: &Producer| {
        let mut brokers = BTreeSet::new();
        for _ in 0..12 {
            brokers.insert(producer.send(&message()).await.unwrap().queue.broker_name.to_string());
        }
        brokers.into_iter().collect::<Vec<_>>()
    };
    for producer in &producers {
        assert_eq!(used(producer).await, ["a", "b"]);
    }
    a.stop().await;
    for producer in &producers {
        assert_eq!(used(producer).await, ["b"]);
    }
    client.close().await;
    b.stop().await;
}

#[tokio::test]
async fn a_topic_without_a_master_cannot_be_sent_to() {
    let (client, _) = client_for(&[("a", &[(1, "127.0.0.1:1")])]).await;
    let failed = producer(&client).send(&message()).await;
    assert!(matches!(failed, Err(SendError::NoQueue { .. })), "{failed:?}");
    client.close().await;
}

fn pulled(_: &RemotingCommand) -> Option<RemotingCommand> {
    let header =
        PullMessageResponseHeader { suggest_which_broker_id: 1, next_begin_offset: 5, ..Default::default() };
    Some(refused(ResponseCode::PULL_NOT_FOUND).with_header(&header))
}

fn pull_header() -> PullMessageRequestHeader {
    PullMessageRequestHeader {
        consumer_group: "G".to_owned(),
        topic: "T".to_owned(),
        sys_flag: sys_flag::PULL_COMMIT_OFFSET | sys_flag::PULL_SUSPEND,
        ..PullMessageRequestHeader::default()
    }
}

#[tokio::test]
async fn a_suggested_slave_is_pulled_from_without_committing_there() {
    let (master, slave) = (Server::start(pulled).await, Server::start(pulled).await);
    let (client, _) = client_for(&[("a", &[(0, &master.addr), (1, &slave.addr)])]).await;
    let mut suggested = 0;
    for _ in 0..2 {
        let answer = client.pull(&"a".into(), suggested, pull_header(), PATIENCE).await.unwrap();
        assert_eq!((answer.status, answer.next_begin_offset), (PullStatus::NoNewMsg, 5));
        suggested = answer.suggest_which_broker_id;
    }
    let flags = |server: &Server| {
        let asked = server.asked(RequestCode::PULL_MESSAGE);
        asked.iter().map(|r| r.header::<PullMessageRequestHeader>().unwrap().sys_flag).collect::<Vec<_>>()
    };
    assert_eq!(flags(&master), [sys_flag::PULL_COMMIT_OFFSET | sys_flag::PULL_SUSPEND]);
    assert_eq!(flags(&slave), [sys_flag::PULL_SUSPEND]);
    client.pull(&"a".into(), 7, pull_header(), PATIENCE).await.unwrap();
    assert_eq!(flags(&master).len(), 2, "an id that no route names means the master");
    client.close().await;
}

/// A slave: its pulls end with PULL_RETRY_IMMEDIATELY at offset 9 and this remark, everything else with success.
async fn slave(remark: &'static str) -> Server {
    Server::start(move |request| match request.request_code() {
        RequestCode::PULL_MESSAGE => {
            let header = PullMessageResponseHeader { next_begin_offset: 9, ..Default::default() };
            let answer = RemotingCommand::response(ResponseCode::PULL_RETRY_IMMEDIATELY).with_remark(remark);
            Some(answer.with_header(&header))
        }
        RequestCode::LOCK_BATCH_MQ => Some(ok().with_body(&br#"{"lockOKMQSet":[]}"#[..])),
        _ => Some(ok()),
    })
    .await
}

#[tokio::test]
async fn a_slave_passes_over_what_does_not_match_and_over_nothing_it_has_not_got() {
    for (remark, next) in [("NO_MATCHED_MESSAGE", 9), ("OFFSET_TOO_SMALL", 0), ("OFFSET_OVERFLOW_ONE", 0)] {
        let slave = slave(remark).await;
        let (client, _) = client_for(&[("a", &[(0, "127.0.0.1:1"), (1, &slave.addr)])]).await;
        client.refresh_route("T").await.unwrap();
        let answer = client.pull_from_replica(&"a".into(), pull_header(), PATIENCE).await.unwrap();
        assert_eq!((answer.broker_id, answer.next_begin_offset), (1, next), "{remark}");
        client.close().await;
    }
}

#[tokio::test]
async fn while_there_is_no_master_a_slave_is_read_and_may_lock_and_is_told_no_offset() {
    let (slave, name) = (slave("NO_MATCHED_MESSAGE").await, Arc::from("a"));
    let (client, route_now) = client_for(&[("a", &[(1, &slave.addr)])]).await;
    let queue = MessageQueue::new("T", Arc::clone(&name), 0);
    let answer = client.pull(&name, 0, pull_header(), PATIENCE).await.unwrap();
    assert_eq!(answer.broker_id, 1);
    let queues = || vec![queue.clone()];
    client.lock_batch("G", &name, queues(), true).await.unwrap();
    let no_master = [
        client.lock_batch("G", &name, queues(), false).await.map(drop),
        client.update_offset("G", &queue, 5).await,
        client.update_offset_oneway("G", &queue, 5).await,
    ];
    for error in no_master.map(Result::unwrap_err) {
        assert!(error.to_string().contains("broker a has no master at present"), "{error}");
    }
    assert!(slave.asked(RequestCode::UPDATE_CONSUMER_OFFSET).is_empty());
    assert_eq!(slave.asked(RequestCode::LOCK_BATCH_MQ).len(), 1);

    let master = Server::start(|_| Some(ok())).await;
    *route_now.lock().unwrap() = route(&[("a", &[(0, &master.addr), (1, &slave.addr)])]);
    let deadline = Instant::now() + PATIENCE;
    while let Err(error) = client.update_offset("G", &queue, 5).await {
        assert!(Instant::now() < deadline, "{error}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(master.asked(RequestCode::UPDATE_CONSUMER_OFFSET).len(), 1, "the route was asked for again");
    client.close().await;
}

#[tokio::test]
async fn an_answer_that_lacks_a_field_is_an_error_that_names_it() {
    let broken = Server::start(|_| Some(ok())).await;
    let (client, _) = client_for(&[("a", &[(0, &broken.addr)])]).await;
    let error = client.pull(&"a".into(), 0, pull_header(), PATIENCE).await.unwrap_err();
    assert!(matches!(error, CallError::BadHeader { .. }), "{error}");
    assert!(
        error.to_string().contains("suggestWhichBrokerId") && error.to_string().contains(&broken.addr),
        "{error}"
    );
    let error = client.get_consumer_list("G", "T").await.unwrap_err();
    assert!(matches!(error, CallError::BadBody { .. }), "{error}");
    client.close().await;
}

#[tokio::test]
async fn a_name_server_that_talks_nonsense_is_an_error_and_not_an_empty_route() {
    let server = Server::start(|_| Some(ok().with_body("<html>"))).await;
    let client = client(&server).await;
    let error = client.refresh_route("T").await.unwrap_err();
    assert!(matches!(error, RouteError::Malformed { .. }), "{error}");
    client.close().await;
}

struct Deaf;

impl GroupListener for Deaf {
    fn members_changed(&self) {}
}

#[tokio::test]
async fn heartbeats_go_to_every_server_of_every_broker_and_failures_are_told() {
    let taking = || Server::start(|_| Some(ok()));
    let (master, slave) = (taking().await, taking().await);
    let refusing = Server::start(|_| Some(refused(ResponseCode::SYSTEM_ERROR))).await;
    let brokers: [Broker<'_>; 2] =
        [("a", &[(0, &master.addr), (1, &slave.addr)]), ("b", &[(0, &refusing.addr)])];
    let (client, _) = client_for(&brokers).await;
    let data = ConsumerData {
        group_name: "G".to_owned(),
        subscription_data_set: vec![SubscriptionData::by_tags("T", "*", 1).unwrap()],
        ..ConsumerData::default()
    };
    client.register_group(data, Arc::new(Deaf));
    assert_eq!(client.heartbeat_group("G").await.accepted, 0, "no route is known yet");
    client.refresh_route("T").await.unwrap();
    let round = client.heartbeat_group("G").await;
    assert_eq!((round.accepted, round.failed.len(), round.is_complete()), (2, 1, false));
    for server in [&master, &slave, &refusing] {
        assert!(!server.asked(RequestCode::HEART_BEAT).is_empty());
    }
    client.close().await;
}

/// What a heartbeat said: how many subscriptions, and whether it stands for those of before.
fn said(request: &RemotingCommand) -> (usize, bool) {
    let data: HeartbeatData = fastjson::from_slice(&request.body).unwrap();
    assert_ne!(data.heartbeat_fingerprint, 0, "it is of the second form");
    (data.consumer_data_set[0].subscription_data_set.len(), data.without_sub)
}

#[tokio::test]
async fn subscriptions_that_a_broker_knows_are_not_told_again_until_it_asks_for_them() {
    let changed = Arc::new(AtomicBool::new(false));
    let asks = Arc::clone(&changed);
    let broker = Server::start(move |_| {
        let sub_change = Some(asks.load(Relaxed));
        let header = HeartbeatResponseHeader { support_heart_beat_v2: Some(true), sub_change };
        Some(ok().with_header(&header))
    })
    .await;
    let route = Arc::new(Mutex::new(route(&[("a", &[(0, &broker.addr)])])));
    let names = name_server(&route).await;
    // Its own heartbeats do not come between.
    let config = ClientConfig {
        name_servers: names.addr.clone(),
        use_heartbeat_v2: true,
        heartbeat_broker_interval: Duration::from_secs(3_600),
        ..ClientConfig::default()
    };
    let client = ClientInstance::start(config).await.unwrap();
    client.refresh_route("T").await.unwrap();
    let data = |tags: &str| ConsumerData {
        group_name: "G".to_owned(),
        subscription_data_set: vec![SubscriptionData::by_tags("T", tags, 1).unwrap()],
        ..ConsumerData::default()
    };
    // The first look at what is due comes a moment after the start, and is to find nothing.
    tokio::time::sleep(Duration::from_millis(100)).await;
    client.register_group(data("a"), Arc::new(Deaf));
    let beats = async |count: usize| {
        let before = broker.asked(RequestCode::HEART_BEAT).len();
        for _ in 0..count {
            assert!(client.heartbeat_group("G").await.is_complete());
        }
        broker.asked(RequestCode::HEART_BEAT)[before..].iter().map(said).collect::<Vec<_>>()
    };
    let (whole, short) = ((1, false), (0, true));
    assert_eq!(beats(3).await, [whole, short, short]);
    client.update_group(data("b"));
    assert_eq!(beats(2).await, [whole, short]);
    changed.store(true, Relaxed);
    assert_eq!(beats(2).await, [short, whole, whole], "what was asked for is told at once");
    changed.store(false, Relaxed);
    assert_eq!(beats(2).await, [whole, short]);
    client.close().await;
}

#[tokio::test]
async fn a_broker_that_does_not_know_the_second_form_is_told_everything_each_time() {
    let broker = Server::start(|_| Some(ok())).await;
    let route = Arc::new(Mutex::new(route(&[("a", &[(0, &broker.addr)])])));
    let names = name_server(&route).await;
    let config =
        ClientConfig { name_servers: names.addr.clone(), use_heartbeat_v2: true, ..ClientConfig::default() };
    let client = ClientInstance::start(config).await.unwrap();
    client.refresh_route("T").await.unwrap();
    let data = ConsumerData {
        group_name: "G".to_owned(),
        subscription_data_set: vec![SubscriptionData::by_tags("T", "*", 1).unwrap()],
        ..ConsumerData::default()
    };
    client.register_group(data, Arc::new(Deaf));
    for _ in 0..2 {
        assert!(client.heartbeat_group("G").await.is_complete());
    }
    let asked = broker.asked(RequestCode::HEART_BEAT);
    assert!(asked.len() >= 2 && asked.iter().all(|request| said(request) == (1, false)));
    client.close().await;
}

#[tokio::test]
async fn a_producer_in_a_namespace_wraps_what_it_sends_and_unwraps_what_it_tells() {
    let broker = Server::start(sent).await;
    let route = Arc::new(Mutex::new(route(&[("a", &[(0, &broker.addr)])])));
    let names = name_server(&route).await;
    let config = ClientConfig {
        name_servers: names.addr.clone(),
        namespace: Namespace::new("INST").unwrap(),
        unit_mode: true,
        ..ClientConfig::default()
    };
    let client = ClientInstance::start(config).await.unwrap();
    let producer = producer(&client);
    let queues = producer.queues("T").await.unwrap();
    assert!(queues.len() == 2 && queues.iter().all(|queue| &*queue.topic == "T"), "{queues:?}");
    assert_eq!(&*producer.send(&message()).await.unwrap().queue.topic, "T");
    assert_eq!(producer.send_to(&queues[1], &message()).await.unwrap().queue, queues[1]);
    let asked = broker.asked(RequestCode::SEND_MESSAGE_V2);
    for request in &asked {
        let header: SendMessageRequestHeaderV2 = request.header().unwrap();
        assert_eq!((header.topic.as_str(), header.unit_mode), ("INST%T", Some(true)));
        assert_eq!(header.producer_group, "INST%GANTRY_PRODUCER");
    }
    assert_eq!(asked.len(), 2);
    let long = OutgoingMessage::new("t".repeat(125), "x");
    let error = producer.send(&long).await.unwrap_err().to_string();
    assert!(error.contains("130 characters; at most 127"), "with its namespace it is too long: {error}");
    client.close().await;
}

#[tokio::test]
async fn a_broker_that_moved_is_found_at_its_new_address_and_the_old_connection_ends() {
    let (old, new) = (Server::start(pulled).await, Server::start(pulled).await);
    let (client, shared) = client_for(&[("a", &[(0, &old.addr)])]).await;
    client.pull(&"a".into(), 0, pull_header(), PATIENCE).await.unwrap();
    assert!(client.connected().iter().any(|addr| **addr == *old.addr));
    *shared.lock().unwrap() = route(&[("a", &[(0, &new.addr)])]);
    client.refresh_route("T").await.unwrap();
    client.pull(&"a".into(), 0, pull_header(), PATIENCE).await.unwrap();
    assert_eq!(new.asked(RequestCode::PULL_MESSAGE).len(), 1);
    let until = Instant::now() + PATIENCE;
    while client.connected().iter().any(|addr| **addr == *old.addr) {
        assert!(Instant::now() < until, "the old connection ends");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    client.close().await;
}
