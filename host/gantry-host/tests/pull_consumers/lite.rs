//! LitePullConsumer: polling, committing, seeking, pausing, sharing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gantry_host::client_instance::ClientInstance;
use gantry_host::pull_consumer::{
    LitePullConsumer, LitePullConsumerConfig, MessageQueueListener, OffsetStore, PullConsumerError,
    TopicMessageQueueChangeListener,
};
use gantry_protocol::MessageQueue;
use gantry_protocol::body::{ConsumeFromWhere, ConsumeType, MessageModel};

use super::support::{GROUP, SECOND, Setup, TOPIC, bodies, eventually, every, numbers, tags};

const PATIENCE: Duration = Duration::from_secs(90);

fn config() -> LitePullConsumerConfig {
    LitePullConsumerConfig {
        consume_from_where: ConsumeFromWhere::FirstOffset,
        auto_commit_interval: SECOND,
        rebalance_interval: SECOND,
        topic_metadata_check_interval: SECOND / 10,
        ..LitePullConsumerConfig::new(GROUP)
    }
}

async fn start(client: &ClientInstance, config: LitePullConsumerConfig) -> LitePullConsumer {
    LitePullConsumer::start(client.clone(), config).await.unwrap()
}

fn by_hand() -> LitePullConsumerConfig {
    LitePullConsumerConfig { auto_commit: false, ..config() }
}

/// Bodies of the next poll.
async fn polled(consumer: &LitePullConsumer) -> Vec<String> {
    bodies(&consumer.poll(PATIENCE).await.unwrap().unwrap().messages)
}

/// Polls until so many messages have come.
async fn poll_all(consumer: &LitePullConsumer, count: usize) -> Vec<String> {
    let mut all = Vec::new();
    while all.len() < count {
        all.extend(polled(consumer).await);
    }
    all
}

#[tokio::test]
async fn assigned_queues_are_read_in_order_and_committed_up_to_what_was_returned() {
    let setup = Setup::new().await;
    let mq = &setup.topic(2).await[1];
    setup.send(mq, 0..25).await;
    let consumer = start(&setup.client, by_hand()).await;
    assert_eq!(consumer.fetch_message_queues(TOPIC).await.unwrap().len(), 2);
    consumer.assign(std::slice::from_ref(mq)).await.unwrap();
    assert_eq!(polled(&consumer).await, numbers(0..10));
    consumer.commit_sync().await.unwrap();
    assert_eq!(consumer.committed(mq).await.unwrap(), Some(10));
    assert_eq!(polled(&consumer).await, numbers(10..20));
    assert_eq!(consumer.position(mq).unwrap(), Some(20));
    let refused = consumer.commit_offsets(&BTreeMap::from([(mq.clone(), 21)])).await;
    assert!(matches!(refused, Err(PullConsumerError::NotReturned { returned: 20, .. })), "{refused:?}");
    consumer.commit_offsets(&BTreeMap::from([(mq.clone(), 15)])).await.unwrap();
    assert_eq!(consumer.committed(mq).await.unwrap(), Some(15));
    consumer.shutdown().await.unwrap();
    assert!(matches!(consumer.poll(SECOND).await, Err(PullConsumerError::Closed { .. })));

    let next = start(&setup.client, by_hand()).await;
    next.assign(std::slice::from_ref(mq)).await.unwrap();
    assert_eq!(poll_all(&next, 10).await, numbers(15..25));
    assert!(next.poll(SECOND / 10).await.unwrap().is_none());
    next.shutdown().await.unwrap();
    setup.end().await;
}

#[tokio::test]
async fn auto_commit_waits_until_poll_is_called_again() {
    let setup = Setup::new().await;
    let mq = &setup.topic(1).await[0];
    setup.send(mq, 0..25).await;
    let consumer = start(&setup.client, config()).await;
    consumer.assign(std::slice::from_ref(mq)).await.unwrap();
    assert_eq!(polled(&consumer).await, numbers(0..10));
    // The first commit is where the queue begins: what poll returned is still being worked on.
    let committed = async |expected| {
        eventually("it is committed", || async {
            let offset = consumer.committed(mq).await.unwrap();
            assert!(offset.unwrap_or(0) <= expected, "{offset:?} is past {expected}");
            offset == Some(expected)
        })
        .await;
    };
    committed(0).await;
    assert_eq!(polled(&consumer).await, numbers(10..20));
    committed(10).await;
    consumer.shutdown().await.unwrap();
    assert_eq!(consumer.committed(mq).await.unwrap(), Some(10));
    setup.end().await;
}

#[tokio::test]
async fn seeks_go_to_begin_end_offset_and_time() {
    let setup = Setup::new().await;
    let queues = setup.topic(2).await;
    let (mq, other) = (&queues[0], &queues[1]);
    setup.send(mq, 0..5).await;
    let consumer = start(&setup.client, by_hand()).await;
    consumer.assign(std::slice::from_ref(mq)).await.unwrap();
    assert_eq!(poll_all(&consumer, 5).await, numbers(0..5));
    consumer.seek(mq, 3).await.unwrap();
    assert_eq!(consumer.position(mq).unwrap(), Some(3));
    assert_eq!(poll_all(&consumer, 2).await, numbers(3..5));
    consumer.seek_to_begin(mq).await.unwrap();
    assert_eq!(poll_all(&consumer, 5).await, numbers(0..5));
    consumer.commit_sync().await.unwrap();
    consumer.seek_to_begin(mq).await.unwrap();
    consumer.commit_sync().await.unwrap();
    assert_eq!(consumer.committed(mq).await.unwrap(), Some(0));
    consumer.seek_to_end(mq).await.unwrap();
    setup.send(mq, 5..6).await;
    assert_eq!(polled(&consumer).await, numbers(5..6));
    let an_hour = 3_600_000;
    let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    consumer.seek_to_time(mq, now - an_hour).await.unwrap();
    assert_eq!(poll_all(&consumer, 6).await, numbers(0..6));
    assert_eq!(consumer.offset_for_timestamp(mq, now + an_hour).await.unwrap(), 6);
    let refused = consumer.seek(mq, 7).await;
    assert!(matches!(refused, Err(PullConsumerError::OutOfRange { min: 0, max: 6, .. })), "{refused:?}");
    let refused = consumer.seek(other, 0).await;
    assert!(matches!(refused, Err(PullConsumerError::NotAssigned { .. })), "{refused:?}");
    consumer.shutdown().await.unwrap();
    setup.end().await;
}

#[tokio::test]
async fn a_paused_queue_is_not_polled_until_it_is_resumed() {
    let setup = Setup::new().await;
    let queues = setup.topic(2).await;
    setup.send(&queues[0], 0..30).await;
    let consumer = start(&setup.client, by_hand()).await;
    consumer.assign(&queues).await.unwrap();
    assert_eq!(polled(&consumer).await, numbers(0..10));
    consumer.pause(&queues[..1]);
    setup.send(&queues[1], 100..105).await;
    assert_eq!(poll_all(&consumer, 5).await, numbers(100..105));
    assert!(consumer.poll(SECOND / 5).await.unwrap().is_none());
    consumer.resume(&queues[..1]);
    assert_eq!(poll_all(&consumer, 20).await, numbers(10..30));
    consumer.shutdown().await.unwrap();
    setup.end().await;
}

#[tokio::test]
async fn a_queue_in_use_does_not_starve_the_others() {
    let setup = Setup::new().await;
    let queues = setup.topic(3).await;
    for mq in &queues {
        setup.send(mq, 0..30).await;
    }
    let consumer = start(&setup.client, by_hand()).await;
    consumer.assign(&queues).await.unwrap();
    eventually("all is read ahead", || async { cached(&setup).await == 90 }).await;
    let mut turns = Vec::new();
    for _ in 0..6 {
        turns.push(consumer.poll(PATIENCE).await.unwrap().unwrap().queue.queue_id);
    }
    assert_eq!(turns, [0, 1, 2, 0, 1, 2]);
    consumer.shutdown().await.unwrap();
    setup.end().await;
}

/// Messages the member has read ahead, by its own word through the broker.
async fn cached(setup: &Setup) -> i32 {
    let info = setup.client.consumer_running_info(GROUP, setup.client.client_id()).await.unwrap();
    info.mq_table.0.values().map(|queue| queue.cached_msg_count).sum()
}

#[tokio::test]
async fn what_is_read_ahead_is_bounded() {
    let setup = Setup::new().await;
    let queues = setup.topic(2).await;
    for mq in &queues {
        setup.send(mq, 0..100).await;
    }
    let of_queue = LitePullConsumerConfig { pull_threshold_for_queue: 15, ..by_hand() };
    let of_all = LitePullConsumerConfig { pull_threshold_for_all: 35, ..by_hand() };
    for (config, most) in [(of_queue, 40), (of_all, 50)] {
        let consumer = start(&setup.client, config).await;
        consumer.assign(&queues).await.unwrap();
        eventually("as much as may be is read ahead", || async { cached(&setup).await >= 30 }).await;
        tokio::time::sleep(SECOND / 5).await;
        assert!(cached(&setup).await <= most, "{} are", cached(&setup).await);
        assert_eq!(poll_all(&consumer, 200).await.len(), 200);
        consumer.shutdown().await.unwrap();
    }
    setup.end().await;
}

#[tokio::test]
async fn an_offset_the_broker_does_not_have_is_corrected() {
    let setup = Setup::new().await;
    let mq = &setup.topic(1).await[0];
    setup.send(mq, 0..5).await;
    let consumer = start(&setup.client, by_hand()).await;
    consumer.assign(std::slice::from_ref(mq)).await.unwrap();
    assert_eq!(poll_all(&consumer, 5).await, numbers(0..5));
    consumer.assign(&[]).await.unwrap();
    setup.client.update_offset(GROUP, mq, 500).await.unwrap();
    consumer.assign(std::slice::from_ref(mq)).await.unwrap();
    eventually("the queue goes on at its end", || async { consumer.position(mq).unwrap() == Some(5) }).await;
    setup.send(mq, 5..6).await;
    assert_eq!(polled(&consumer).await, numbers(5..6));
    consumer.commit_sync().await.unwrap();
    assert_eq!(consumer.committed(mq).await.unwrap(), Some(6));
    consumer.shutdown().await.unwrap();
    setup.end().await;
}

#[tokio::test]
async fn messages_nobody_wants_are_passed_by() {
    let setup = Setup::new().await;
    let mq = &setup.topic(1).await[0];
    setup.send(mq, 0..20).await;
    setup.send_tagged(mq, "paid", Some("paid")).await;
    setup.send(mq, 21..25).await;
    let consumer = start(&setup.client, config()).await;
    consumer.set_sub_expression_for_assign(TOPIC, &tags("paid")).unwrap();
    consumer.assign(std::slice::from_ref(mq)).await.unwrap();
    assert_eq!(polled(&consumer).await, ["paid"]);
    assert!(consumer.poll(SECOND / 10).await.unwrap().is_none());
    eventually("it is committed to the end", || async { consumer.committed(mq).await.unwrap() == Some(25) })
        .await;
    consumer.shutdown().await.unwrap();
    setup.end().await;
}

/// Writes down what it is told.
#[derive(Default)]
struct Told(Mutex<Vec<usize>>);

impl Told {
    fn last(&self) -> Option<usize> {
        self.0.lock().unwrap().last().copied()
    }
}

impl MessageQueueListener for Told {
    fn message_queue_changed(&self, topic: &str, all: &[MessageQueue], assigned: &[MessageQueue]) {
        assert!(topic == TOPIC && all.len() == 4);
        self.0.lock().unwrap().push(assigned.len());
    }
}

impl TopicMessageQueueChangeListener for Told {
    fn on_changed(&self, topic: &str, queues: &[MessageQueue]) {
        assert_eq!(topic, TOPIC);
        self.0.lock().unwrap().push(queues.len());
    }
}

#[tokio::test]
async fn members_share_a_topics_queues_and_take_over_what_one_leaves() {
    let setup = Setup::new().await;
    let queues = setup.topic(4).await;
    let other_client = setup.client().await;
    let (one, other) = (start(&setup.client, by_hand()).await, start(&other_client, by_hand()).await);
    let (told, told_other) = (Arc::<Told>::default(), Arc::<Told>::default());
    one.subscribe_with_listener(TOPIC, &every(), told.clone()).await.unwrap();
    eventually("the first has all queues", || async { told.last() == Some(4) }).await;
    other.subscribe_with_listener(TOPIC, &every(), told_other.clone()).await.unwrap();
    let halves = || async { (told.last(), told_other.last()) == (Some(2), Some(2)) };
    eventually("each has half of the queues", halves).await;
    let all: BTreeSet<_> = one.assignment().into_iter().chain(other.assignment()).collect();
    assert_eq!(all.into_iter().collect::<Vec<_>>(), queues);
    let view = setup.client.consumer_connection(GROUP).await.unwrap();
    assert_eq!((view.consume_type, view.connection_set.len()), (ConsumeType::Actively, 2));

    for (number, mq) in queues.iter().enumerate() {
        setup.send(mq, number..number + 1).await;
    }
    let mut read = poll_all(&one, 2).await;
    read.extend(poll_all(&other, 2).await);
    read.sort();
    assert_eq!(read, numbers(0..4));
    one.commit_sync().await.unwrap();
    // Not committed: the messages come again at whoever takes over.
    let uncommitted: BTreeSet<_> = other.assignment().into_iter().map(|mq| mq.queue_id.to_string()).collect();
    other.shutdown().await.unwrap();
    eventually("the one that stays has all queues", || async { told.last() == Some(4) }).await;
    let again: BTreeSet<_> = poll_all(&one, 2).await.into_iter().collect();
    assert_eq!(again, uncommitted);
    one.unsubscribe(TOPIC).await.unwrap();
    assert!(one.assignment().is_empty());
    assert!(setup.client.get_consumer_list(GROUP, TOPIC).await.unwrap_or_default().is_empty());
    one.subscribe(TOPIC, &every()).await.unwrap();
    eventually("it reads again", || async { one.assignment().len() == 4 }).await;
    one.shutdown().await.unwrap();
    other_client.close().await;
    setup.end().await;
}

#[tokio::test]
async fn broadcasting_members_each_read_everything_and_keep_their_offsets_in_files() {
    let directory = tempfile::tempdir().unwrap();
    let setup = Setup::new().await;
    let queues = setup.topic(2).await;
    setup.send(&queues[0], 0..3).await;
    setup.send(&queues[1], 3..5).await;
    let clients = [setup.client.clone(), setup.client().await];
    let alone = |name: &str| LitePullConsumerConfig {
        message_model: MessageModel::Broadcasting,
        offset_store: OffsetStore::File(directory.path().join(name)),
        ..by_hand()
    };
    for (client, name) in clients.iter().zip(["one", "two"]) {
        let consumer = start(client, alone(name)).await;
        consumer.subscribe(TOPIC, &every()).await.unwrap();
        let mut read = poll_all(&consumer, 5).await;
        read.sort();
        assert_eq!(read, numbers(0..5));
        consumer.commit_sync().await.unwrap();
        assert_eq!(consumer.committed(&queues[0]).await.unwrap(), Some(3));
        consumer.shutdown().await.unwrap();
    }
    setup.send(&queues[1], 5..6).await;
    let again = start(&clients[1], alone("two")).await;
    again.subscribe(TOPIC, &every()).await.unwrap();
    assert_eq!(polled(&again).await, ["5"]);
    again.shutdown().await.unwrap();
    clients[1].close().await;
    setup.end().await;
}

#[tokio::test]
async fn queues_are_assigned_or_topics_subscribed() {
    let setup = Setup::new().await;
    let queues = setup.topic(1).await;
    let consumer = start(&setup.client, config()).await;
    consumer.assign(&queues).await.unwrap();
    let refused = consumer.subscribe(TOPIC, &every()).await;
    assert!(matches!(refused, Err(PullConsumerError::AssignedAndSubscribed)), "{refused:?}");
    consumer.assign(&[]).await.unwrap();
    consumer.subscribe(TOPIC, &every()).await.unwrap();
    let refused = consumer.assign(&queues).await;
    assert!(matches!(refused, Err(PullConsumerError::AssignedAndSubscribed)), "{refused:?}");
    consumer.shutdown().await.unwrap();
    setup.end().await;
}

#[tokio::test]
async fn a_change_of_a_topics_queues_is_told_and_followed() {
    let setup = Setup::new().await;
    setup.topic(2).await;
    let consumer = start(&setup.client, config()).await;
    let told = Arc::<Told>::default();
    consumer.register_topic_message_queue_change_listener(TOPIC, told.clone()).await.unwrap();
    consumer.subscribe(TOPIC, &every()).await.unwrap();
    eventually("it reads both queues", || async { consumer.assignment().len() == 2 }).await;
    assert_eq!(told.last(), None);
    setup.topic(5).await;
    eventually("it is told", || async { told.last() == Some(5) }).await;
    eventually("it reads the new queues too", || async { consumer.assignment().len() == 5 }).await;
    consumer.shutdown().await.unwrap();
    setup.end().await;
}

#[tokio::test]
async fn a_poll_that_waits_ends_with_the_consumer() {
    let setup = Setup::new().await;
    let queues = setup.topic(1).await;
    let consumer = start(&setup.client, config()).await;
    consumer.assign(&queues).await.unwrap();
    let ending = async {
        eventually("the pull is held", || async { setup.broker.stats().held_pulls == 1 }).await;
        consumer.shutdown().await.unwrap();
    };
    let (polled, ()) = tokio::join!(consumer.poll(PATIENCE), ending);
    assert!(matches!(polled, Err(PullConsumerError::Closed { .. })), "{polled:?}");
    setup.end().await;
}

#[tokio::test]
async fn a_consumer_outlives_an_absence_of_its_broker() {
    let directory = tempfile::tempdir().unwrap();
    let setup = Setup::durable(directory.path()).await;
    let mq = setup.topic(1).await.remove(0);
    setup.send(&mq, 0..15).await;
    let consumer = start(&setup.client, by_hand()).await;
    consumer.subscribe(TOPIC, &every()).await.unwrap();
    assert_eq!(poll_all(&consumer, 10).await, numbers(0..10));
    let setup = setup.restart(directory.path()).await;
    // Whether it was read ahead before or is read now: it comes once, and in order.
    assert_eq!(poll_all(&consumer, 5).await, numbers(10..15));
    eventually("messages can be sent and offsets stored again", || async {
        consumer.commit_sync().await.is_ok()
    })
    .await;
    assert_eq!(consumer.committed(&mq).await.unwrap(), Some(15));
    setup.send(&mq, 15..18).await;
    assert_eq!(poll_all(&consumer, 3).await, numbers(15..18));
    assert_eq!(setup.client.get_consumer_list(GROUP, TOPIC).await.unwrap().len(), 1);
    consumer.shutdown().await.unwrap();
    setup.end().await;
}
