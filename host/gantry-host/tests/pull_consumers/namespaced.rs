//! Both consumers in a namespace: plain names here, wrapped ones at the broker.

use std::collections::BTreeMap;

use gantry_host::client_instance::{
    ClientInstance, OutgoingMessage, Producer, ProducerConfig, PullStatus, TopicSettings,
};
use gantry_host::pull_consumer::{
    LitePullConsumer, LitePullConsumerConfig, OffsetStore, PullConsumer, PullConsumerConfig,
    PullConsumerError,
};
use gantry_protocol::body::ConsumeFromWhere;
use gantry_protocol::{MessageQueue, Namespace};

use super::support::{GROUP, SECOND, Setup, TOPIC, bodies, eventually, every};

const WIRE_TOPIC: &str = "INST%Orders";
const WIRE_GROUP: &str = "INST%Readers";

/// A client in the namespace, and its topic with one message in its only queue.
async fn prepared(setup: &Setup) -> ClientInstance {
    let client = setup.client_in(&Namespace::new("INST").unwrap()).await;
    let settings = TopicSettings { read_queue_nums: 1, write_queue_nums: 1, ..TopicSettings::default() };
    setup.client.create_topic(WIRE_TOPIC, &settings).await.unwrap();
    let producer = Producer::new(
        client.clone(),
        ProducerConfig { send_timeout: 60 * SECOND, ..ProducerConfig::default() },
    );
    let receipt = producer.send(&OutgoingMessage::new(TOPIC, "x")).await.unwrap();
    assert_eq!(&*receipt.queue.topic, TOPIC);
    client
}

/// The queue as brokers know it.
async fn wire_queue(setup: &Setup) -> MessageQueue {
    setup.client.refresh_route(WIRE_TOPIC).await.unwrap().subscribe_queues[0].clone()
}

#[tokio::test]
async fn a_pull_consumer_has_plain_names_and_the_broker_wrapped_ones() {
    let setup = Setup::new().await;
    let client = prepared(&setup).await;
    let consumer = PullConsumer::start(client.clone(), PullConsumerConfig::new(GROUP)).await.unwrap();
    let queues = consumer.fetch_subscribe_message_queues(TOPIC).await.unwrap();
    let [mq] = &queues[..] else { panic!("{queues:?}") };
    assert_eq!(&*mq.topic, TOPIC);
    let pulled = consumer.pull(mq, &every(), 0, 10).await.unwrap();
    assert_eq!((pulled.status, bodies(&pulled.messages)), (PullStatus::Found, vec!["x".to_owned()]));
    assert_eq!((consumer.min_offset(mq).await.unwrap(), consumer.max_offset(mq).await.unwrap()), (0, 1));
    consumer.update_consume_offset(mq, 1);
    consumer.persist().await.unwrap();
    let wire = wire_queue(&setup).await;
    assert_eq!(setup.client.query_offset(WIRE_GROUP, &wire).await.unwrap(), Some(1));
    assert_eq!(consumer.stored_consume_offset(mq).await.unwrap(), Some(1));
    let online = setup.client.group_connection(WIRE_GROUP).await.unwrap().unwrap();
    assert_eq!(online.subscription_table.keys().collect::<Vec<_>>(), [WIRE_TOPIC]);
    consumer.send_message_back(mq, &pulled.messages[0], 1).await.unwrap();
    let retry = consumer.fetch_subscribe_message_queues("%RETRY%Readers").await.unwrap().remove(0);
    assert_eq!(&*retry.topic, "%RETRY%Readers");
    eventually("it comes again", || async { consumer.max_offset(&retry).await.unwrap() == 1 }).await;
    let again = consumer.pull(&retry, &every(), 0, 10).await.unwrap();
    assert_eq!(again.messages[0].origin_topic(), WIRE_TOPIC, "messages are as they are stored");

    let missing = consumer.fetch_subscribe_message_queues("Nothing").await.unwrap_err().to_string();
    assert!(missing.contains("topic Nothing does not exist"), "{missing}");
    let twice = PullConsumer::start(client.clone(), PullConsumerConfig::new(GROUP)).await;
    let Err(PullConsumerError::GroupTaken { group }) = twice else { panic!("it is a member already") };
    assert_eq!(group, GROUP);
    consumer.shutdown().await.unwrap();
    client.close().await;
    setup.end().await;
}

#[tokio::test]
async fn a_lite_pull_consumer_subscribes_polls_and_commits_plain_names() {
    let setup = Setup::new().await;
    let client = prepared(&setup).await;
    let config = LitePullConsumerConfig {
        consume_from_where: ConsumeFromWhere::FirstOffset,
        auto_commit: false,
        rebalance_interval: SECOND,
        ..LitePullConsumerConfig::new(GROUP)
    };
    let consumer = LitePullConsumer::start(client.clone(), config).await.unwrap();
    consumer.subscribe(TOPIC, &every()).await.unwrap();
    let polled = consumer.poll(20 * SECOND).await.unwrap().unwrap();
    assert_eq!((&*polled.queue.topic, bodies(&polled.messages)), (TOPIC, vec!["x".to_owned()]));
    assert_eq!(consumer.assignment(), std::slice::from_ref(&polled.queue));
    consumer.commit_offsets(&BTreeMap::from([(polled.queue.clone(), 1)])).await.unwrap();
    let wire = wire_queue(&setup).await;
    assert_eq!(setup.client.query_offset(WIRE_GROUP, &wire).await.unwrap(), Some(1));
    let info = setup.client.get_consumer_list(WIRE_GROUP, WIRE_TOPIC).await.unwrap();
    assert_eq!(info, [client.client_id()]);
    consumer.seek(&polled.queue, 0).await.unwrap();
    assert_eq!(bodies(&consumer.poll(20 * SECOND).await.unwrap().unwrap().messages), ["x"]);
    consumer.unsubscribe(TOPIC).await.unwrap();
    assert!(consumer.assignment().is_empty());
    consumer.shutdown().await.unwrap();
    client.close().await;
    setup.end().await;
}

/// As Java's LocalFileOffsetStore, which knows queues by the names brokers have.
#[tokio::test]
async fn a_file_of_offsets_has_the_names_of_brokers() {
    let setup = Setup::new().await;
    let client = prepared(&setup).await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("offsets.json");
    let config = PullConsumerConfig {
        offset_store: OffsetStore::File(path.clone()),
        join_group: false,
        ..PullConsumerConfig::new(GROUP)
    };
    let consumer = PullConsumer::start(client.clone(), config).await.unwrap();
    let mq = consumer.fetch_subscribe_message_queues(TOPIC).await.unwrap().remove(0);
    consumer.update_consume_offset(&mq, 1);
    consumer.persist().await.unwrap();
    assert!(std::fs::read_to_string(&path).unwrap().contains("\"topic\":\"INST%Orders\""));
    assert_eq!(consumer.fetch_consume_offset(&mq).await.unwrap(), Some(1));
    consumer.shutdown().await.unwrap();
    client.close().await;
    setup.end().await;
}
