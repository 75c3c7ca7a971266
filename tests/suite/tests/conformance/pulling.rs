//! Pull consumers: statuses, waiting, polling, and what RocketMQ's own tools and producers have to do with them.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use gantry_apache::{Client, Consumer, ConsumerOptions, Outgoing};
use gantry_host::FilterExpression;
use gantry_host::client_instance::{ClientConfig, ClientInstance, OutgoingMessage, PullStatus};
use gantry_host::pull_consumer::{
    LitePullConsumer, LitePullConsumerConfig, PullConsumer, PullConsumerConfig, PullResult,
};
use gantry_protocol::body::ConsumeFromWhere;
use gantry_protocol::{MessageExt, MessageQueue};
use gantry_suite::{World, eventually, eventually_within, installation, that};

gantry_suite::scenarios! {
    each_pull_has_one_of_four_statuses_and_one_that_waits_is_woken,
    what_java_sent_is_pulled_as_java_reads_it,
    a_topic_that_was_made_anew_is_read_from_its_begin,
    a_poller_seeks_pauses_and_commits_what_it_returned,
    pollers_share_a_topic_and_take_over_what_one_leaves,
    java_and_gantry_poll_in_one_group,
    mqadmin_shows_pollers_and_moves_their_offsets,
}

const PATIENCE: Duration = Duration::from_secs(120);
/// What a broker does to a queue is seen with the queue's next pull, and the one before may be held for 20 s.
const RESETTING: Duration = Duration::from_secs(180);

fn every() -> FilterExpression {
    FilterExpression::Tag("*".to_owned())
}

async fn puller(world: &World, group: &str) -> PullConsumer {
    PullConsumer::start(world.cluster.client().clone(), PullConsumerConfig::new(group)).await.unwrap()
}

async fn poller(client: &ClientInstance, group: &str) -> LitePullConsumer {
    let config = LitePullConsumerConfig {
        consume_from_where: ConsumeFromWhere::FirstOffset,
        auto_commit: false,
        rebalance_interval: Duration::from_secs(2),
        ..LitePullConsumerConfig::new(group)
    };
    LitePullConsumer::start(client.clone(), config).await.unwrap()
}

fn body(message: &MessageExt) -> String {
    String::from_utf8(message.body().unwrap().to_vec()).unwrap()
}

fn bodies(messages: &[MessageExt]) -> Vec<String> {
    messages.iter().map(body).collect()
}

/// Bodies of polls until so many messages have come.
async fn polled(consumer: &LitePullConsumer, count: usize) -> Vec<String> {
    let mut all = Vec::new();
    while all.len() < count {
        let polled = consumer.poll(PATIENCE).await.unwrap();
        all.extend(bodies(&polled.unwrap_or_else(|| panic!("{} of {count}", all.len())).messages));
    }
    all
}

/// Sends `ok N` of these numbers to the queues in turn.
async fn send_each(world: &World, topic: &str, numbers: Range<usize>) {
    let bodies: Vec<_> = numbers.map(|number| format!("ok {number}")).collect();
    world.cluster.send(topic, &bodies.iter().map(String::as_str).collect::<Vec<_>>()).await;
}

async fn pull(consumer: &PullConsumer, mq: &MessageQueue, offset: i64) -> PullResult {
    consumer.pull(mq, &every(), offset, 32).await.unwrap()
}

async fn each_pull_has_one_of_four_statuses_and_one_that_waits_is_woken(world: World) {
    let (topic, group) = (world.topic("t", 1).await, world.name("g"));
    let consumer = puller(&world, &group).await;
    let mq = &consumer.fetch_subscribe_message_queues(&topic).await.unwrap()[0];
    let nothing = pull(&consumer, mq, 0).await;
    assert_eq!((nothing.status, nothing.next_begin_offset), (PullStatus::NoNewMsg, 0));

    let messages = ["red", "red", "blue"].map(|tag| OutgoingMessage::new(&topic, tag).with_tag(tag));
    let expression = every();
    let sending = async {
        // Whether it is held already cannot be seen from here; it is woken either way.
        tokio::time::sleep(Duration::from_millis(300)).await;
        world.cluster.send_messages(&messages[..1]).await;
    };
    let waiting = consumer.pull_block_if_not_found(mq, &expression, 0, 32);
    let (woken, ()) = tokio::join!(waiting, sending);
    assert_eq!(bodies(&woken.unwrap().messages), ["red"]);

    world.cluster.send_messages(&messages[1..]).await;
    world.cluster.readable(&topic, 3).await;
    let found = pull(&consumer, mq, 0).await;
    assert_eq!((found.status, bodies(&found.messages)), (PullStatus::Found, bodies_of(&messages)));
    assert_eq!((found.next_begin_offset, found.min_offset, found.max_offset), (3, 0, 3));
    let tag = |tags: &str| FilterExpression::Tag(tags.to_owned());
    let unmatched = consumer.pull(mq, &tag("green"), 0, 32).await.unwrap();
    assert_eq!((unmatched.status, unmatched.next_begin_offset), (PullStatus::NoMatchedMsg, 3));
    let blue = consumer.pull(mq, &tag("green || blue"), 0, 32).await.unwrap();
    assert_eq!((blue.status, bodies(&blue.messages)), (PullStatus::Found, vec!["blue".to_owned()]));
    let end = pull(&consumer, mq, 3).await;
    assert_eq!((end.status, end.next_begin_offset), (PullStatus::NoNewMsg, 3));
    let illegal = pull(&consumer, mq, 100).await;
    assert_eq!((illegal.status, illegal.next_begin_offset), (PullStatus::OffsetIllegal, 3));

    consumer.update_consume_offset(mq, 2);
    consumer.shutdown().await.unwrap();
    assert_eq!(world.cluster.offsets(&group, &topic).await[&0], 2);
    world.cluster.end().await;
}

fn bodies_of(messages: &[OutgoingMessage]) -> Vec<String> {
    messages.iter().map(|message| String::from_utf8(message.body.to_vec()).unwrap()).collect()
}

/// Compressed, in batches, with keys and properties beyond ASCII.
async fn what_java_sent_is_pulled_as_java_reads_it(world: World) {
    let Some(installation) = installation() else { return };
    let (topic, group) = (world.topic("t", 2).await, world.name("g"));
    let address = world.cluster.address();
    let mut java = tokio::task::block_in_place(|| Client::start(&installation, address)).unwrap();
    let large = "compressible ü€😀 ".repeat(2_000);
    let javas = tokio::task::block_in_place(|| {
        let message = Outgoing::new(&topic, &large).tags("größe").keys("schlüssel-1 schlüssel-2");
        java.send(&message.property("farbe", "grün")).unwrap();
        java.send_many(&topic, "batch", "b", 40, 10).unwrap();
        java.send_many(&topic, "single", "s", 5, 1).unwrap();
        java.read(&topic).unwrap()
    });
    world.cluster.readable(&topic, 46).await;
    assert!(world.cluster.read(&topic).await.iter().any(MessageExt::is_compressed));

    let consumer = puller(&world, &group).await;
    let mut read = 0;
    for mq in consumer.fetch_subscribe_message_queues(&topic).await.unwrap() {
        let mut offset = consumer.min_offset(&mq).await.unwrap();
        loop {
            let result = pull(&consumer, &mq, offset).await;
            for message in &result.messages {
                let same = |java: &&gantry_apache::Stored| {
                    (java.queue_id, java.offset) == (mq.queue_id, message.queue_offset())
                };
                let java = javas.iter().find(same).unwrap();
                assert_eq!((&java.msg_id, &java.body), (&message.message_id(), &body(message)));
                assert_eq!((java.tags.as_deref(), java.keys.as_deref()), (message.tags(), message.keys()));
                assert_eq!(java.property("farbe"), message.property("farbe"));
                assert_eq!(java.store_timestamp, message.store_timestamp());
                read += 1;
            }
            offset = result.next_begin_offset;
            if result.status == PullStatus::NoNewMsg {
                break;
            }
        }
    }
    assert_eq!((read, javas.len()), (46, 46));
    consumer.shutdown().await.unwrap();

    let consumer = poller(world.cluster.client(), &group).await;
    consumer.subscribe(&topic, &every()).await.unwrap();
    let polled: BTreeSet<_> = polled(&consumer, 46).await.into_iter().collect();
    assert_eq!(polled, javas.into_iter().map(|java| java.body).collect());
    consumer.shutdown().await.unwrap();
    world.cluster.end().await;
}

trait Property {
    fn property(&self, name: &str) -> Option<&str>;
}

impl Property for gantry_apache::Stored {
    fn property(&self, name: &str) -> Option<&str> {
        self.properties.get(name).map(String::as_str)
    }
}

/// Its messages are gone, and so are the offsets that somebody has.
async fn a_topic_that_was_made_anew_is_read_from_its_begin(world: World) {
    let Some(installation) = installation() else { return };
    let (topic, group) = (world.topic("t", 1).await, world.name("g"));
    let address = world.cluster.address();
    let mut java = tokio::task::block_in_place(|| Client::start(&installation, address)).unwrap();
    world.cluster.send(&topic, &["old 0", "old 1", "old 2"]).await;
    let consumer = poller(world.cluster.client(), &group).await;
    let queues = consumer.fetch_message_queues(&topic).await.unwrap();
    consumer.assign(&queues).await.unwrap();
    assert_eq!(polled(&consumer, 3).await, ["old 0", "old 1", "old 2"]);

    tokio::task::block_in_place(|| java.delete_topic(&topic)).unwrap();
    world.cluster.create_topic(&topic, 1).await;
    let plain = puller(&world, &world.name("plain")).await;
    let illegal = pull(&plain, &queues[0], 3).await;
    assert_eq!((illegal.status, illegal.next_begin_offset), (PullStatus::OffsetIllegal, 0));
    eventually_within(RESETTING, "the poller begins anew", async || {
        let position = consumer.position(&queues[0]).unwrap();
        that(position == Some(0), || format!("it is at {position:?}"))
    })
    .await;
    world.cluster.send(&topic, &["new 0"]).await;
    assert_eq!(polled(&consumer, 1).await, ["new 0"]);
    consumer.commit_sync().await.unwrap();
    assert_eq!(consumer.committed(&queues[0]).await.unwrap(), Some(1));
    plain.shutdown().await.unwrap();
    consumer.shutdown().await.unwrap();
    world.cluster.end().await;
}

async fn a_poller_seeks_pauses_and_commits_what_it_returned(world: World) {
    let (topic, group) = (world.topic("t", 1).await, world.name("g"));
    let sent: Vec<_> = (0..12).map(|number| format!("ok {number}")).collect();
    let bodies: Vec<_> = sent.iter().map(String::as_str).collect();
    world.cluster.send(&topic, &bodies).await;
    world.cluster.readable(&topic, 12).await;
    let consumer = poller(world.cluster.client(), &group).await;
    let queues = consumer.fetch_message_queues(&topic).await.unwrap();
    let mq = &queues[0];
    consumer.assign(&queues).await.unwrap();
    let first = polled(&consumer, 1).await;
    assert_eq!(first, bodies[..first.len()]);
    consumer.commit_sync().await.unwrap();
    assert_eq!(consumer.committed(mq).await.unwrap(), Some(first.len() as i64));

    consumer.seek(mq, 11).await.unwrap();
    assert_eq!(polled(&consumer, 1).await, bodies[11..]);
    consumer.seek_to_begin(mq).await.unwrap();
    assert_eq!(polled(&consumer, 12).await, bodies);
    consumer.pause(&queues);
    consumer.seek_to_begin(mq).await.unwrap();
    assert!(consumer.poll(Duration::from_millis(500)).await.unwrap().is_none());
    consumer.resume(&queues);
    assert_eq!(polled(&consumer, 12).await, bodies);
    consumer.seek_to_end(mq).await.unwrap();
    world.cluster.send(&topic, &["last"]).await;
    assert_eq!(polled(&consumer, 1).await, ["last"]);
    consumer.seek_to_time(mq, 0).await.unwrap();
    assert_eq!(polled(&consumer, 13).await.len(), 13);
    consumer.commit_sync().await.unwrap();
    consumer.shutdown().await.unwrap();
    world.cluster.all_committed(&group, &topic).await;
    world.cluster.end().await;
}

async fn pollers_share_a_topic_and_take_over_what_one_leaves(world: World) {
    let (topic, group) = (world.topic("t", 4).await, world.name("g"));
    let config = ClientConfig { name_servers: world.cluster.name_server(), ..ClientConfig::default() };
    let other_client = ClientInstance::start(config).await.unwrap();
    let one = poller(world.cluster.client(), &group).await;
    let other = poller(&other_client, &group).await;
    for consumer in [&one, &other] {
        consumer.subscribe(&topic, &every()).await.unwrap();
    }
    owns(&one, 2).await;
    owns(&other, 2).await;
    send_each(&world, &topic, 0..200).await;
    let mut read = BTreeSet::new();
    eventually("all is read by the two", async || {
        for consumer in [&one, &other] {
            while let Some(polled) = consumer.poll(Duration::from_millis(200)).await.unwrap() {
                read.extend(bodies(&polled.messages));
            }
        }
        that(read.len() == 200, || format!("{} of 200 are", read.len()))
    })
    .await;
    one.commit_sync().await.unwrap();
    other.commit_sync().await.unwrap();
    world.cluster.all_committed(&group, &topic).await;
    other.shutdown().await.unwrap();
    owns(&one, 4).await;
    // What was committed does not come again.
    send_each(&world, &topic, 200..220).await;
    let next = polled(&one, 20).await;
    assert!(next.iter().all(|body| !read.contains(body)), "{next:?}");
    one.shutdown().await.unwrap();
    other_client.close().await;
    world.cluster.end().await;
}

async fn owns(consumer: &LitePullConsumer, count: usize) {
    eventually_within(RESETTING, "the queues are divided", async || {
        let queues = consumer.assignment();
        that(queues.len() == count, || format!("{queues:?}"))
    })
    .await;
}

/// Java is alone, Gantry joins, Java leaves. After each change every queue has one owner, and nothing is missed.
async fn java_and_gantry_poll_in_one_group(world: World) {
    let Some(installation) = installation() else { return };
    let (topic, group) = (world.topic("t", 4).await, world.name("g"));
    let options = ConsumerOptions::new(&group, &topic).instance(&group).polling();
    let address = world.cluster.address();
    let mut java = tokio::task::block_in_place(|| Consumer::start(&installation, address, &options)).unwrap();
    shares(Some(&mut java), None, (4, 0)).await;
    let consumer = poller(world.cluster.client(), &group).await;
    consumer.subscribe(&topic, &every()).await.unwrap();
    shares(Some(&mut java), Some(&consumer), (2, 2)).await;
    send_each(&world, &topic, 0..200).await;
    let (mut javas, mut gantrys) = (BTreeSet::new(), BTreeSet::new());
    eventually_within(RESETTING, "all is read by the two", async || {
        while let Some(message) = tokio::task::block_in_place(|| java.consumed(Duration::ZERO)).unwrap() {
            javas.insert(message.body);
        }
        while let Some(polled) = consumer.poll(Duration::from_millis(100)).await.unwrap() {
            gantrys.extend(bodies(&polled.messages));
        }
        let all = javas.union(&gantrys).count();
        that(all == 200, || format!("{all} of 200 are"))
    })
    .await;
    assert!(!javas.is_empty() && !gantrys.is_empty() && javas.is_disjoint(&gantrys));
    consumer.commit_sync().await.unwrap();
    tokio::task::block_in_place(|| java.quit()).unwrap();
    shares(None, Some(&consumer), (0, 4)).await;
    send_each(&world, &topic, 200..240).await;
    let mut read = gantrys.clone();
    eventually_within(RESETTING, "the rest is read by Gantry", async || {
        let polled = consumer.poll(Duration::from_secs(1)).await.unwrap();
        read.extend(polled.iter().flat_map(|polled| bodies(&polled.messages)));
        let rest = (200..240).filter(|number| read.contains(&format!("ok {number}"))).count();
        that(rest == 40, || format!("{rest} of 40 are"))
    })
    .await;
    consumer.commit_sync().await.unwrap();
    world.cluster.all_committed(&group, &topic).await;
    consumer.shutdown().await.unwrap();
    world.cluster.end().await;
}

/// Waits until Java and Gantry own so many of the four queues, and each queue has one owner.
async fn shares(
    mut java: Option<&mut Consumer>,
    gantry: Option<&LitePullConsumer>,
    (at_java, at_gantry): (usize, usize),
) {
    eventually_within(RESETTING, "every queue has one owner", async || {
        let java = java.as_mut().map(|java| tokio::task::block_in_place(|| java.queues()).unwrap());
        let javas: Vec<_> = java.unwrap_or_default().iter().map(|queue| queue.queue_id).collect();
        let gantrys = gantry.map(LitePullConsumer::assignment).unwrap_or_default();
        let gantrys: Vec<_> = gantrys.iter().map(|mq| mq.queue_id).collect();
        let all: BTreeSet<_> = javas.iter().chain(&gantrys).collect();
        let settled = (javas.len(), gantrys.len(), all.len()) == (at_java, at_gantry, 4);
        that(settled, || format!("Java owns {javas:?}, Gantry {gantrys:?}"))
    })
    .await;
}

async fn mqadmin_shows_pollers_and_moves_their_offsets(world: World) {
    let Some(installation) = installation() else { return };
    let (topic, group) = (world.topic("t", 1).await, world.name("g"));
    let address = world.cluster.address();
    let mut java = tokio::task::block_in_place(|| Client::start(&installation, address)).unwrap();
    let mut says = |arguments: &[&str]| tokio::task::block_in_place(|| java.mqadmin(arguments)).unwrap();
    let consumer = poller(world.cluster.client(), &group).await;
    consumer.subscribe(&topic, &every()).await.unwrap();
    world.cluster.send(&topic, &["a", "b", "c"]).await;
    assert_eq!(polled(&consumer, 3).await, ["a", "b", "c"]);
    consumer.commit_sync().await.unwrap();

    let client_id = world.cluster.client().client_id().to_owned();
    let connection = says(&["consumerConnection", "-g", &group]);
    for part in [&client_id, "CONSUME_ACTIVELY", &topic] {
        assert!(connection.contains(part), "no {part}: {connection}");
    }
    let progress = says(&["consumerProgress", "-g", &group]);
    assert!(progress.contains("Diff Total: 0"), "{progress}");
    let status = says(&["consumerStatus", "-g", &group, "-i", &client_id]);
    assert!(status.contains("CONSUME_ACTIVELY") && status.contains(&topic), "{status}");

    says(&["resetOffsetByTime", "-g", &group, "-t", &topic, "-s", "0"]);
    let again = eventually_within(RESETTING, "the messages come again", async || {
        let polled = consumer.poll(Duration::from_secs(1)).await.unwrap();
        polled.ok_or_else(|| "nothing is polled".to_owned())
    })
    .await;
    assert_eq!(body(&again.messages[0]), "a");
    consumer.shutdown().await.unwrap();
    world.cluster.end().await;
}
