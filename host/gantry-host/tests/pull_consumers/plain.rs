//! PullConsumer: statuses, waiting, offsets, giving back, membership.

use gantry_host::client_instance::PullStatus;
use gantry_host::pull_consumer::{
    OffsetStore, PullConsumer, PullConsumerConfig, PullConsumerError, PullResult,
};
use gantry_protocol::MessageQueue;
use gantry_protocol::body::ConsumeType;
use gantry_protocol::names::retry_topic;

use super::support::{GROUP, Setup, TOPIC, bodies, eventually, every, numbers, tags};

async fn start(setup: &Setup) -> PullConsumer {
    PullConsumer::start(setup.client.clone(), PullConsumerConfig::new(GROUP)).await.unwrap()
}

async fn pull(consumer: &PullConsumer, mq: &MessageQueue, offset: i64) -> PullResult {
    consumer.pull(mq, &every(), offset, 10).await.unwrap()
}

#[tokio::test]
async fn each_pull_has_one_of_the_four_statuses() {
    let setup = Setup::new().await;
    let mq = &setup.topic(1).await[0];
    setup.send(mq, 0..15).await;
    setup.send_tagged(mq, "paid", Some("paid")).await;
    let consumer = start(&setup).await;
    assert_eq!(consumer.fetch_subscribe_message_queues(TOPIC).await.unwrap(), std::slice::from_ref(mq));

    let found = pull(&consumer, mq, 0).await;
    assert_eq!((found.status, found.next_begin_offset), (PullStatus::Found, 10));
    assert_eq!((found.min_offset, found.max_offset, bodies(&found.messages)), (0, 16, numbers(0..10)));
    let unmatched = consumer.pull(mq, &tags("sent"), 0, 10).await.unwrap();
    assert_eq!((unmatched.status, unmatched.messages.len()), (PullStatus::NoMatchedMsg, 0));
    assert!((1..=16).contains(&unmatched.next_begin_offset), "{unmatched:?}");
    let matched = consumer.pull(mq, &tags("sent || paid"), 0, 10).await.unwrap();
    assert_eq!((matched.status, bodies(&matched.messages)), (PullStatus::Found, vec!["paid".to_owned()]));
    let nothing = pull(&consumer, mq, 16).await;
    assert_eq!((nothing.status, nothing.next_begin_offset), (PullStatus::NoNewMsg, 16));
    let illegal = pull(&consumer, mq, 1_000).await;
    assert_eq!((illegal.status, illegal.next_begin_offset), (PullStatus::OffsetIllegal, 16));
    assert_eq!((consumer.min_offset(mq).await.unwrap(), consumer.max_offset(mq).await.unwrap()), (0, 16));
    assert_eq!(consumer.search_offset(mq, 0).await.unwrap(), 0);

    consumer.shutdown().await.unwrap();
    let closed = consumer.pull(mq, &every(), 0, 10).await;
    assert!(matches!(closed, Err(PullConsumerError::Closed { .. })), "{closed:?}");
    setup.end().await;
}

#[tokio::test]
async fn tags_are_compared_exactly() {
    let setup = Setup::new().await;
    let mq = &setup.topic(1).await[0];
    // Two tags with one hash, which is all a broker compares.
    setup.send_tagged(mq, "other", Some("BB")).await;
    let consumer = start(&setup).await;
    let result = consumer.pull(mq, &tags("Aa"), 0, 10).await.unwrap();
    assert_eq!((result.status, result.next_begin_offset), (PullStatus::NoMatchedMsg, 1));
    let unsound = consumer.pull(mq, &tags("||"), 0, 10).await;
    assert!(matches!(unsound, Err(PullConsumerError::Expression(_))), "{unsound:?}");
    consumer.shutdown().await.unwrap();
    setup.end().await;
}

#[tokio::test]
async fn a_pull_that_waits_is_woken_by_a_message() {
    let setup = Setup::new().await;
    let mq = &setup.topic(1).await[0];
    let consumer = start(&setup).await;
    let sending = async {
        let held = || async { setup.broker.stats().held_pulls == 1 };
        eventually("the pull is held", held).await;
        setup.send(mq, 7..8).await;
    };
    let expression = every();
    let (woken, ()) = tokio::join!(consumer.pull_block_if_not_found(mq, &expression, 0, 10), sending);
    assert_eq!(bodies(&woken.unwrap().messages), ["7"]);
    consumer.shutdown().await.unwrap();
    setup.end().await;
}

#[tokio::test]
async fn offsets_are_kept_at_the_broker() {
    let setup = Setup::new().await;
    let queues = setup.topic(2).await;
    let consumer = start(&setup).await;
    // Brokers keep offsets of groups they have seen; that of a queue without a message is its begin.
    pull(&consumer, &queues[0], 0).await;
    assert_eq!(consumer.fetch_consume_offset(&queues[0]).await.unwrap(), Some(0));
    consumer.update_consume_offset(&queues[0], 5);
    assert_eq!(consumer.fetch_consume_offset(&queues[0]).await.unwrap(), Some(5));
    assert_eq!(consumer.stored_consume_offset(&queues[0]).await.unwrap(), Some(0));
    consumer.persist().await.unwrap();
    assert_eq!(consumer.stored_consume_offset(&queues[0]).await.unwrap(), Some(5));
    consumer.update_consume_offset(&queues[0], 3);
    consumer.update_consume_offset(&queues[1], 8);
    consumer.shutdown().await.unwrap();
    let next = start(&setup).await;
    assert_eq!(next.fetch_consume_offset(&queues[0]).await.unwrap(), Some(3));
    assert_eq!(next.fetch_consume_offset(&queues[1]).await.unwrap(), Some(8));
    next.shutdown().await.unwrap();
    setup.end().await;
}

#[tokio::test]
async fn offsets_are_kept_in_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("offsets.json");
    let setup = Setup::new().await;
    let mq = &setup.topic(1).await[0];
    let config = || PullConsumerConfig {
        offset_store: OffsetStore::File(file.clone()),
        ..PullConsumerConfig::new(GROUP)
    };
    let consumer = PullConsumer::start(setup.client.clone(), config()).await.unwrap();
    consumer.update_consume_offset(mq, 5);
    assert!(!file.exists());
    consumer.shutdown().await.unwrap();
    let next = PullConsumer::start(setup.client.clone(), config()).await.unwrap();
    assert_eq!(next.fetch_consume_offset(mq).await.unwrap(), Some(5));
    assert_eq!(setup.client.query_offset(GROUP, mq).await.unwrap(), Some(0));
    next.shutdown().await.unwrap();
    // What cannot be written is said.
    let unwritable = PullConsumerConfig {
        offset_store: OffsetStore::File(file.join("below-a-file")),
        ..PullConsumerConfig::new(GROUP)
    };
    let consumer = PullConsumer::start(setup.client.clone(), unwritable).await.unwrap();
    consumer.update_consume_offset(mq, 6);
    let failed = consumer.persist().await.unwrap_err().to_string();
    assert!(failed.contains("below-a-file") && failed.contains("cannot be written"), "{failed}");
    assert!(consumer.shutdown().await.is_err());
    setup.end().await;
}

#[tokio::test]
async fn a_message_sent_back_comes_again_in_the_retry_topic() {
    let setup = Setup::new().await;
    let mq = &setup.topic(1).await[0];
    setup.send(mq, 0..1).await;
    let consumer = start(&setup).await;
    let message = pull(&consumer, mq, 0).await.messages.remove(0);
    consumer.send_message_back(mq, &message, 1).await.unwrap();
    let retries = consumer.fetch_subscribe_message_queues(&retry_topic(GROUP)).await.unwrap();
    let again = consumer.pull_block_if_not_found(&retries[0], &every(), 0, 10).await.unwrap();
    assert_eq!((again.messages[0].reconsume_times(), bodies(&again.messages)), (1, numbers(0..1)));
    consumer.shutdown().await.unwrap();
    setup.end().await;
}

#[tokio::test]
async fn brokers_know_the_member_while_it_is_one() {
    let setup = Setup::new().await;
    let mq = &setup.topic(1).await[0];
    let consumer = start(&setup).await;
    let twice = PullConsumer::start(setup.client.clone(), PullConsumerConfig::new(GROUP)).await;
    assert!(matches!(twice, Err(PullConsumerError::GroupTaken { .. })), "{twice:?}");
    pull(&consumer, mq, 0).await;
    let view = setup.client.consumer_connection(GROUP).await.unwrap();
    assert_eq!((view.consume_type, view.connection_set.len()), (ConsumeType::Actively, 1));
    assert_eq!(view.subscription_table[TOPIC].sub_string, "*");
    consumer.shutdown().await.unwrap();
    assert!(setup.client.get_consumer_list(GROUP, TOPIC).await.unwrap_or_default().is_empty());

    let unseen = PullConsumerConfig { join_group: false, ..PullConsumerConfig::new(GROUP) };
    let consumer = PullConsumer::start(setup.client.clone(), unseen).await.unwrap();
    pull(&consumer, mq, 0).await;
    assert!(setup.client.get_consumer_list(GROUP, TOPIC).await.unwrap_or_default().is_empty());
    consumer.shutdown().await.unwrap();
    setup.end().await;
}

#[tokio::test]
async fn a_topic_that_does_not_exist_is_said() {
    let setup = Setup::new().await;
    let consumer = start(&setup).await;
    let error = consumer.fetch_subscribe_message_queues("Nothing").await.unwrap_err().to_string();
    assert!(error.contains("Nothing does not exist"), "{error}");
    let queue = MessageQueue::new("Nothing", "no-broker", 0);
    let error = consumer.pull(&queue, &every(), 0, 1).await.unwrap_err().to_string();
    assert!(error.contains("Nothing does not exist"), "{error}");
    consumer.shutdown().await.unwrap();
    setup.end().await;
}
