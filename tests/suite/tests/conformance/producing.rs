//! The producer: what it sends as Java reads it, delays, selectors, questions and replies both ways, brokers that are down.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use gantry_apache::{Client, Consumer, ConsumerOptions, Outgoing, Stored};
use gantry_host::FilterExpression;
use gantry_host::client_instance::{
    ClientConfig, ClientInstance, Delay, OutgoingMessage, Producer, ProducerConfig, RecallError,
    RequestError, SelectMessageQueueByHash, SelectMessageQueueByRoundRobin, SendError, TopicSettings,
};
use gantry_host::pull_consumer::{LitePullConsumer, LitePullConsumerConfig};
use gantry_protocol::body::ConsumeFromWhere;
use gantry_protocol::compression::CompressionType;
use gantry_protocol::{MessageExt, ResponseCode};
use gantry_suite::{World, eventually, eventually_within, installation, that};

gantry_suite::scenarios! {
    java_reads_what_gantry_sends,
    delayed_messages_come_when_they_are_due,
    a_recalled_message_never_comes,
    messages_of_one_key_stay_in_one_queue_and_in_order,
    java_replies_to_gantry,
    gantry_replies_to_java,
    a_question_that_nobody_answers_ends_at_its_time,
    many_sends_at_once_wait_for_their_turn,
}

/// For the members of a group to have found each other, and Java's classes to be loaded.
const PATIENCE: Duration = Duration::from_secs(180);

fn java(world: &World) -> Option<Client> {
    let installation = installation()?;
    let address = world.cluster.address();
    Some(tokio::task::block_in_place(|| Client::start(&installation, address)).unwrap())
}

fn producer(world: &World, config: ProducerConfig) -> Producer {
    Producer::new(world.cluster.client().clone(), ProducerConfig { send_timeout: PATIENCE, ..config })
}

/// What Java reads of a topic once so many messages can be read.
async fn read_by_java(world: &World, java: &mut Client, topic: &str, count: usize) -> Vec<Stored> {
    world.cluster.readable(topic, count).await;
    tokio::task::block_in_place(|| java.read(topic)).unwrap()
}

/// Compressed in three ways, in a batch, in one way only, with tag, keys and properties beyond ASCII.
async fn java_reads_what_gantry_sends(world: World) {
    let Some(mut java) = java(&world) else { return };
    let topic = world.topic("t", 2).await;
    let mut sent = BTreeSet::new();
    for compress_type in [CompressionType::Zlib, CompressionType::Lz4, CompressionType::Zstd] {
        let producer = producer(&world, ProducerConfig { compress_type, ..ProducerConfig::default() });
        let body = format!("{compress_type:?} ü€😀 ").repeat(2_000);
        producer.send(&OutgoingMessage::new(&topic, body.clone())).await.unwrap();
        sent.insert(body);
    }
    assert!(world.cluster.readable(&topic, 3).await.iter().all(MessageExt::is_compressed));
    let producer = producer(&world, ProducerConfig::default());
    let batch: Vec<_> = (0..10)
        .map(|number| OutgoingMessage::new(&topic, format!("batch {number}")).with_key(format!("k{number}")))
        .collect();
    let receipt = producer.send_batch(&batch).await.unwrap();
    sent.extend((0..10).map(|number| format!("batch {number}")));
    let full = OutgoingMessage::new(&topic, "grüße").with_tag("größe").with_key("schlüssel-1");
    let full = full.with_key("schlüssel-2").with_property("farbe", "grün");
    let whole = producer.send(&full).await.unwrap();
    producer.send_one_way(&OutgoingMessage::new(&topic, "one way")).await.unwrap();
    sent.extend(["grüße".to_owned(), "one way".to_owned()]);

    let read = read_by_java(&world, &mut java, &topic, sent.len()).await;
    assert_eq!(read.iter().map(|message| message.body.clone()).collect::<BTreeSet<_>>(), sent);
    let of = |id: &str| read.iter().find(|message| message.msg_id == id).unwrap();
    for (number, id) in receipt.message_id.split(',').enumerate() {
        let message = of(id);
        let expected = (format!("batch {number}"), Some(format!("k{number}")));
        assert_eq!((message.body.clone(), message.keys.clone()), expected);
        let place = (message.queue_id, message.offset - i64::try_from(number).unwrap());
        assert_eq!(place, (receipt.queue.queue_id, receipt.queue_offset));
    }
    let message = of(&whole.message_id);
    assert_eq!(
        (message.tags.as_deref(), message.keys.as_deref()),
        (Some("größe"), Some("schlüssel-1 schlüssel-2"))
    );
    assert_eq!(message.properties["farbe"], "grün");
    world.cluster.end().await;
}

async fn delayed_messages_come_when_they_are_due(world: World) {
    let Some(mut java) = java(&world) else { return };
    let topic = world.topic("t", 1).await;
    let producer = producer(&world, ProducerConfig::default());
    let began = gantry_suite::now() / 1_000;
    let delays = [
        ("level", Delay::Level(2), 5_000),
        ("after", Delay::Millis(3_000), 3_000),
        ("at", Delay::At(began + 20_000), 20_000),
        ("past", Delay::At(began - 7_000), 0),
    ];
    for (body, delay, _) in delays {
        let receipt = producer.send(&OutgoingMessage::new(&topic, body).with_delay(delay)).await.unwrap();
        assert_eq!(receipt.recall_handle.is_some(), matches!(body, "after" | "at"), "{receipt:?}");
    }
    let read = read_by_java(&world, &mut java, &topic, delays.len()).await;
    for (body, _, millis) in delays {
        let message = read.iter().find(|message| message.body == body).unwrap();
        // Timers are due in the whole second.
        let earliest = i64::try_from(began + millis).unwrap() - if body == "level" { 0 } else { 1_000 };
        assert!(message.store_timestamp >= earliest, "{body} {} {earliest}", message.store_timestamp);
    }
    world.cluster.end().await;
}

async fn a_recalled_message_never_comes(world: World) {
    let topic = world.topic("t", 1).await;
    let producer = producer(&world, ProducerConfig::default());
    let timer = |body: &str, seconds: u64| {
        OutgoingMessage::new(&topic, body.to_owned()).with_delay(Delay::Millis(seconds * 1_000))
    };
    let recalled = producer.send(&timer("recalled", 20)).await.unwrap();
    producer.send(&timer("kept", 21)).await.unwrap();
    let handle = recalled.recall_handle.unwrap();
    assert_eq!(producer.recall(&topic, &handle).await.unwrap(), recalled.message_id);
    assert!(matches!(producer.recall("Other", &handle).await, Err(RecallError::Topic { .. })));
    assert!(matches!(producer.recall(&topic, "nonsense").await, Err(RecallError::Handle(_))));
    let read = world.cluster.readable(&topic, 1).await;
    assert_eq!(body(&read[0]), "kept", "it is due after the other");
    let late = producer.recall(&topic, &handle).await.unwrap_err();
    let RecallError::Call(late) = late else { panic!("{late}") };
    assert_eq!(late.code(), Some(ResponseCode::ILLEGAL_OPERATION), "its time is over");
    world.cluster.end().await;
}

fn body(message: &MessageExt) -> String {
    String::from_utf8(message.body().unwrap().to_vec()).unwrap()
}

async fn messages_of_one_key_stay_in_one_queue_and_in_order(world: World) {
    let Some(mut java) = java(&world) else { return };
    let topic = world.topic("t", 4).await;
    let producer = producer(&world, ProducerConfig::default());
    for number in 0..40 {
        let key = format!("order-{}", number % 5);
        let message = OutgoingMessage::new(&topic, number.to_string()).with_key(&key);
        producer.send_by(&SelectMessageQueueByHash, &key, &message).await.unwrap();
    }
    let in_turn = SelectMessageQueueByRoundRobin::default();
    let mut queues = Vec::new();
    for _ in 0..4 {
        let message = OutgoingMessage::new(&topic, "in turn");
        queues.push(producer.send_by(&in_turn, "", &message).await.unwrap().queue.queue_id);
    }
    assert_eq!(queues, [0, 1, 2, 3]);

    let mut of_key: BTreeMap<String, Vec<(i32, i64, u32)>> = BTreeMap::new();
    for message in read_by_java(&world, &mut java, &topic, 44).await {
        if let (Some(key), Ok(number)) = (message.keys, message.body.parse()) {
            of_key.entry(key).or_default().push((message.queue_id, message.offset, number));
        }
    }
    // "order-0".hashCode() to "order-4".hashCode() are -1207111311 to -1207111307.
    for (key, queue) in [("order-0", 3), ("order-1", 2), ("order-2", 1), ("order-3", 0), ("order-4", 3)] {
        let messages = of_key.get_mut(key).unwrap();
        messages.sort_by_key(|(_, offset, _)| *offset);
        assert!(messages.iter().all(|(queue_id, ..)| *queue_id == queue), "{key} {messages:?}");
        let numbers: Vec<_> = messages.iter().map(|(.., number)| *number).collect();
        assert!(numbers.is_sorted() && numbers.len() == 8, "{key} {numbers:?}");
    }
    let nowhere = |_: &[_], _: &OutgoingMessage, _: &str| Err("it is closed".to_owned());
    let unselected = producer.send_by(&nowhere, "", &OutgoingMessage::new(&topic, "x")).await;
    assert!(matches!(unselected, Err(SendError::Unselected { .. })), "{unselected:?}");
    world.cluster.end().await;
}

async fn java_replies_to_gantry(world: World) {
    let Some(installation) = installation() else { return };
    let (topic, group) = (world.topic("t", 1).await, world.name("g"));
    let address = world.cluster.address();
    let options = ConsumerOptions::new(&group, &topic).instance(&group).replying();
    let replier = tokio::task::block_in_place(|| Consumer::start(&installation, address, &options)).unwrap();
    let producer = producer(&world, ProducerConfig::default());
    // The first may wait for the replier to own the queue.
    let first = producer.request(&OutgoingMessage::new(&topic, "grüße"), PATIENCE).await.unwrap();
    assert_eq!(body(&first), "re: grüße");
    assert!(first.topic().ends_with("_REPLY_TOPIC"), "{}", first.topic());
    let questions: Vec<_> = (0..20).map(|number| OutgoingMessage::new(&topic, number.to_string())).collect();
    let mut asked = tokio::task::JoinSet::new();
    for question in questions {
        let producer = producer.clone();
        asked.spawn(async move { (question.clone(), producer.request(&question, PATIENCE).await.unwrap()) });
    }
    for (question, reply) in asked.join_all().await {
        assert_eq!(body(&reply), format!("re: {}", String::from_utf8_lossy(&question.body)));
    }
    tokio::task::block_in_place(|| replier.quit()).unwrap();
    world.cluster.end().await;
}

async fn gantry_replies_to_java(world: World) {
    let Some(mut java) = java(&world) else { return };
    let (topic, group) = (world.topic("t", 1).await, world.name("g"));
    let config = LitePullConsumerConfig {
        consume_from_where: ConsumeFromWhere::FirstOffset,
        ..LitePullConsumerConfig::new(&group)
    };
    let consumer = LitePullConsumer::start(world.cluster.client().clone(), config).await.unwrap();
    consumer.subscribe(&topic, &FilterExpression::Tag("*".to_owned())).await.unwrap();
    let producer = producer(&world, ProducerConfig::default());
    let large = "x".repeat(10_000);
    // A stock broker may forget the way to a client for good: a connection of it that closes takes along the entry its
    // next connection made (ProducerManager). Who asks and hears nothing asks again then, as another client.
    let asking = async {
        for _ in 0..4 {
            let (asked, back) = tokio::task::spawn_blocking({
                let question = Outgoing::new(&topic, &large);
                move || (java.request(&question, PATIENCE / 4), java)
            })
            .await
            .unwrap();
            match asked {
                Ok(answer) => return answer,
                Err(error) => tracing::warn!("asked in vain: {error}"),
            }
            drop(back);
            java = self::java(&world).expect("it was there before");
        }
        panic!("four clients asked in vain");
    };
    let answering = async {
        loop {
            let Some(mut polled) = consumer.poll(Duration::from_millis(100)).await.unwrap() else { continue };
            let question = polled.messages.remove(0);
            let answer = format!("you said {}", body(&question));
            // The broker may not know yet who asks: Java's first heartbeat may come after its question.
            let began = Instant::now();
            while let Err(error) = producer.reply(&question, answer.clone()).await {
                if began.elapsed() > PATIENCE / 4 {
                    tracing::warn!("not answered: {error}");
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    };
    let answer = tokio::select! {
        answer = asking => answer,
        never = answering => never,
    };
    assert_eq!(answer, format!("you said {large}"), "compressed on its way");
    consumer.shutdown().await.unwrap();
    world.cluster.end().await;
}

async fn a_question_that_nobody_answers_ends_at_its_time(world: World) {
    let topic = world.topic("t", 1).await;
    let producer = producer(&world, ProducerConfig::default());
    let asked = producer.request(&OutgoingMessage::new(&topic, "anyone?"), Duration::from_secs(15)).await;
    assert!(matches!(asked, Err(RequestError::NoReply { .. })), "{asked:?}");
    let question = &world.cluster.readable(&topic, 1).await[0];
    for (name, expected) in [("TTL", "15000"), ("REPLY_TO_CLIENT", world.cluster.client().client_id())] {
        assert_eq!(question.property(name), Some(expected));
    }
    producer.reply(question, "too late").await.expect("the client takes it, though nobody waits");
    world.cluster.send(&topic, &["no question"]).await;
    let all = world.cluster.readable(&topic, 2).await;
    let unasked = all.iter().find(|message| body(message) == "no question").unwrap();
    let reply = producer.reply(unasked, "what?").await;
    assert!(matches!(reply, Err(SendError::Invalid { .. })), "{reply:?}");
    world.cluster.end().await;
}

async fn many_sends_at_once_wait_for_their_turn(world: World) {
    let topic = world.topic("t", 4).await;
    let config = ProducerConfig { back_pressure_for_async_send_num: 8, ..ProducerConfig::default() };
    let producer = producer(&world, config);
    let mut sends = tokio::task::JoinSet::new();
    for number in 0..1_000 {
        let (producer, message) = (producer.clone(), OutgoingMessage::new(&topic, number.to_string()));
        sends.spawn(async move { producer.send(&message).await.unwrap() });
    }
    assert_eq!(sends.join_all().await.len(), 1_000);
    let read = world.cluster.readable(&topic, 1_000).await;
    assert_eq!(read.iter().map(body).collect::<BTreeSet<_>>().len(), 1_000);
    world.cluster.end().await;
}

/// Apache RocketMQ with two brokers, one of which is killed: sends go to the other, whatever they were at.
mod two_brokers {
    use gantry_apache::{Cluster, Options};

    use super::*;

    #[test]
    fn sends_go_to_the_other_when_one_is_down() {
        let Some(installation) = installation() else { return };
        let directory = tempfile::tempdir().unwrap();
        let mut cluster = Cluster::start(&installation, Options::new(directory.path()).brokers(2)).unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let client = runtime.block_on(async {
            let name_servers = cluster.name_server().to_string();
            let config = ClientConfig { name_servers, ..ClientConfig::default() };
            let client = ClientInstance::start(config).await.unwrap();
            client.create_topic("t", &TopicSettings::default()).await.unwrap();
            eventually("both brokers have the topic", async || {
                let route = client.refresh_route("t").await.map_err(|error| error.to_string())?;
                that(route.masters().count() == 2, || format!("{route:?}"))
            })
            .await;
            client
        });
        // With a long time, for what is tried at the broker that is down may take a while to fail.
        let config = ProducerConfig { send_timeout: PATIENCE, ..ProducerConfig::default() };
        let plain = Producer::new(client.clone(), config.clone());
        let avoiding =
            Producer::new(client.clone(), ProducerConfig { send_latency_fault_enable: true, ..config });
        let brokers = |producer: &Producer| {
            runtime.block_on(async {
                let mut brokers = BTreeSet::new();
                for _ in 0..40 {
                    let sent = producer.send(&OutgoingMessage::new("t", "x")).await.unwrap();
                    brokers.insert(sent.queue.broker_name.to_string());
                }
                brokers
            })
        };
        let both = BTreeSet::from(["broker-a".to_owned(), "broker-b".to_owned()]);
        assert_eq!((brokers(&plain), brokers(&avoiding)), (both.clone(), both.clone()));
        cluster.kill_broker(0);
        let other = BTreeSet::from(["broker-b".to_owned()]);
        assert_eq!((brokers(&plain), brokers(&avoiding)), (other.clone(), other));
        cluster.start_broker(0).unwrap();
        runtime.block_on(async {
            let mut used = BTreeSet::new();
            eventually_within(PATIENCE, "the broker that is back has its share again", async || {
                let sent = avoiding.send(&OutgoingMessage::new("t", "x")).await.map_err(|e| e.to_string())?;
                used.insert(sent.queue.broker_name.to_string());
                that(used == both, || format!("{used:?}"))
            })
            .await;
            client.close().await;
        });
    }
}
