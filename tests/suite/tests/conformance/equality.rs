//! One message, two clients: what Java sends a listener sees as Java's consumers do, whichever form it takes its batch in;
//! and what Gantry sends Java's consumers see as it was sent.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gantry_apache::{Client, Consumer, ConsumerOptions, DriverError, More, Outgoing, Stored};
use gantry_host::SettledAs;
use gantry_host::client_instance::{Delay, OutgoingMessage, SendError, SendReceipt};
use gantry_protocol::{MessageExt, sys_flag};
use gantry_suite::{HostUnderTest, World, eventually, installation, that};

gantry_suite::scenarios! {
    listeners_see_of_javas_messages_what_java_sees,
    java_sees_of_gantrys_messages_what_was_sent,
}

/// The longest body brokers take.
const LONGEST_BODY: usize = 4 << 20;
/// Java compresses what does not get shorter by it too, and may so make it too long: this one has room for that.
const LONGEST_NOISE_OF_JAVA: usize = LONGEST_BODY - 8_192;
/// A value that leaves room in the 32,767 bytes of properties for those the brokers add.
const LONG_VALUE: usize = 32_000;
/// The names of properties that are the senders' own here.
const USERS: [&str; 5] = ["größe", "名前", "spaced name", "long", "empty"];
/// What Java's consumers add to a message's properties.
const ADDED_BY_JAVA: [&str; 3] = ["MIN_OFFSET", "MAX_OFFSET", "CONSUME_START_TIME"];

async fn listeners_see_of_javas_messages_what_java_sees(world: World) {
    let Some(installation) = installation() else { return };
    let topic = longest_topic(&world).await;
    let address = world.cluster.address();
    let mut java = tokio::task::block_in_place(|| Client::start(&installation, address)).unwrap();
    let sent = tokio::task::block_in_place(|| send_by_java(&mut java, &topic));
    for (rule, javas, gantrys) in refused(&topic) {
        let refusal = tokio::task::block_in_place(|| java.send(&javas));
        assert!(matches!(refusal, Err(DriverError::Refused { .. })), "{rule}: {refusal:?}");
        let refusal = world.cluster.producer().send(&gantrys).await;
        assert!(matches!(refusal, Err(SendError::Invalid { .. })), "{rule}: {refusal:?}");
    }
    let gantrys = world.cluster.readable(&topic, sent).await;
    let javas = tokio::task::block_in_place(|| java.read(&topic)).unwrap();
    assert_eq!(javas.len(), sent);
    for message in &javas {
        let same = |other: &&MessageExt| other.message_id() == message.msg_id;
        let gantrys = gantrys.iter().find(same).unwrap_or_else(|| panic!("only Java sees {message:?}"));
        assert_eq!(numbers_of(gantrys), numbers(message), "{}", beginning(&message.body));
        assert_eq!(properties_of(gantrys), properties(message));
    }

    let mut host = world.host();
    for stem in ["tells", "tells-packed", "tells-records"] {
        let group = world.name(stem);
        host = host.plugin(stem, &group, &[(&topic, "*")]).with_file(stem, stem);
    }
    let host = host.start().await;
    for stem in ["tells", "tells-packed", "tells-records"] {
        let told = all_told(&host, stem, sent).await;
        for message in &javas {
            let seen = seen(message);
            assert!(told.contains(&seen), "{stem} does not see {seen} but {told:#?}");
        }
        // Filed as dead letters, they are still what they were.
        let letters = world.cluster.readable(&format!("%DLQ%{}", world.name(stem)), sent).await;
        let bodies = |messages: &[MessageExt]| {
            messages.iter().map(|message| number(&message.body().unwrap())).collect::<BTreeSet<_>>()
        };
        assert_eq!(bodies(&letters), bodies(&gantrys), "{stem}");
    }
    host.stop().await;
    tokio::task::block_in_place(|| java.quit()).unwrap();
    world.cluster.end().await;
}

/// A topic whose name has the 127 characters that brokers allow.
async fn longest_topic(world: &World) -> String {
    let topic = world.topic(&"x".repeat(127 - world.name("").len()), 2).await;
    assert_eq!(topic.len(), 127);
    topic
}

/// Sends messages of all kinds; how many they were.
fn send_by_java(java: &mut Client, topic: &str) -> usize {
    let new = |body: &str| Outgoing::new(topic, body);
    let bytes = |body: &[u8]| new("").body_base64(&STANDARD.encode(body));
    let mut messages = vec![
        new("plain"),
        new("tags and keys").tags("Straße").keys("schlüssel 鍵 🔑"),
        new("properties").property("größe", "ü€😀").property("名前", "a=b;c").property("spaced name", " x "),
        new("empty value").property("empty", "").property("größe", "1"),
        new("long properties").property("long", &"ü".repeat(LONG_VALUE / 2)),
        new("flag").flag(-7),
        new("later").delay_level(1),
        new("timer").delay(Duration::from_secs(1)),
        bytes(&[0, 1, 2, 0xFF, 0xFE, 0xC0]),
        bytes(&noise(LONGEST_NOISE_OF_JAVA)),
    ];
    for kind in ["LZ4", "ZSTD", "ZLIB"] {
        messages.push(new(&format!("{kind} again and again ").repeat(2_000)).compression(kind).tags(kind));
        messages.push(bytes(&noise(10_000)).compression(kind));
    }
    for message in &messages {
        let sent = java.send(message).unwrap();
        assert_eq!(sent.status, "SEND_OK");
    }
    let batch =
        [new("batch 0").tags("größe"), new("batch 1").keys("a b"), new("batch 2").property("名前", "値")];
    let sent = java.send_batch(&batch).unwrap();
    assert_eq!(sent.status, "SEND_OK");
    messages.len() + batch.len()
}

/// Messages no broker takes, by the rule they break.
fn refused(topic: &str) -> [(&'static str, Outgoing, OutgoingMessage); 4] {
    let (topic_of_128, long) = ("x".repeat(128), "x".repeat(32_768));
    let too_long = vec![b'x'; LONGEST_BODY + 1];
    let (java, gantry) = (Outgoing::new(topic, "x"), OutgoingMessage::new(topic, "x"));
    [
        ("no body", Outgoing::new(topic, ""), OutgoingMessage::new(topic, "")),
        ("a topic of 128", Outgoing::new(&topic_of_128, "x"), OutgoingMessage::new(topic_of_128, "x")),
        ("long properties", java.clone().property("long", &long), gantry.with_property("long", long)),
        ("a long body", java.body_base64(&STANDARD.encode(&too_long)), OutgoingMessage::new(topic, too_long)),
    ]
}

/// What the listener in this file was told of each message, once it is as many.
async fn all_told(host: &HostUnderTest, stem: &str, count: usize) -> BTreeSet<String> {
    eventually(&format!("{stem} has all"), async || {
        let mut told = BTreeSet::new();
        for record in host.observed.records().into_iter().filter(|record| record.plugin == stem) {
            let SettledAs::DeadLetter { reason } = record.how else { return Err(format!("{record:?}")) };
            let (seen, _) = reason.split_once(" also ").ok_or(reason.clone())?;
            told.insert(seen.to_owned());
        }
        that(told.len() >= count, || format!("{} of {count}: {:?}", told.len(), host.plugin(stem)))?;
        Ok(told)
    })
    .await
}

/// What the guests `tells`, `tells-packed` and `tells-records` say of a message that is to them what it is to Java.
fn seen(message: &Stored) -> String {
    let more = more(message);
    let lines = |wanted: &dyn Fn(&str) -> bool| {
        let all = properties(message).into_iter().filter(|(name, _)| wanted(name));
        number(all.map(|(name, value)| format!("{name}={value}\n")).collect::<String>().as_bytes())
    };
    format!(
        "queue={}/{} offset={} id={} offset-id={} tags={} keys={} times={} born={}@{} stored={}@{} body={}:{} \
         properties={} user={}",
        message.broker.as_deref().unwrap_or("broker-a"),
        message.queue_id,
        message.offset,
        message.msg_id,
        more.offset_msg_id.as_deref().unwrap_or_default(),
        number(message.tags.as_deref().unwrap_or_default().as_bytes()),
        number(message.keys.as_deref().unwrap_or_default().as_bytes()),
        message.reconsume_times,
        more.born_timestamp,
        more.born_host,
        message.store_timestamp,
        more.store_host,
        more.body_length,
        more.body_hash,
        lines(&|_| true),
        lines(&|name| USERS.contains(&name)),
    )
}

/// What a message has besides its properties, as Java sees it.
fn numbers(message: &Stored) -> String {
    let more = more(message);
    let Stored { topic, queue_id, offset, msg_id, reconsume_times, store_timestamp, .. } = message;
    let More { body_hash, body_crc, flag, sys_flag, .. } = more;
    let More { born_timestamp, born_host, store_host, physical_offset, offset_msg_id, .. } = more;
    format!(
        "{topic} {queue_id} {offset} {msg_id} {reconsume_times} {store_timestamp} {body_hash} {body_crc} {flag} \
         {sys_flag} {born_timestamp} {born_host} {store_host} {physical_offset} {}",
        offset_msg_id.as_deref().unwrap_or_default()
    )
}

/// The same as Gantry sees it. Java inflates a body on its way in and then no longer says that it is compressed, only how.
fn numbers_of(message: &MessageExt) -> String {
    format!(
        "{} {} {} {} {} {} {} {} {} {} {} {} {} {} {}",
        message.topic(),
        message.queue_id(),
        message.queue_offset(),
        message.message_id(),
        message.reconsume_times(),
        message.store_timestamp(),
        number(&message.body().unwrap()),
        message.body_crc(),
        message.flag(),
        message.sys_flag() & !sys_flag::COMPRESSED,
        message.born_timestamp(),
        message.born_host(),
        message.store_host(),
        message.physical_offset(),
        message.offset_msg_id(),
    )
}

fn properties(message: &Stored) -> BTreeMap<&str, &str> {
    let all = message.properties.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    all.filter(|(name, _)| !ADDED_BY_JAVA.contains(name)).collect()
}

fn properties_of(message: &MessageExt) -> BTreeMap<&str, &str> {
    message.properties().collect()
}

fn more(message: &Stored) -> &More {
    message.more.as_ref().expect("Java tells it")
}

async fn java_sees_of_gantrys_messages_what_was_sent(world: World) {
    let Some(installation) = installation() else { return };
    let topic = longest_topic(&world).await;
    let messages = gantrys(&topic);
    let mut sent: Vec<(OutgoingMessage, SendReceipt)> = Vec::new();
    for message in messages {
        let receipt = world.cluster.patient_producer().send(&message).await.unwrap();
        sent.push((message, receipt));
    }
    let batch: Vec<_> = (0..3)
        .map(|n| OutgoingMessage::new(&topic, format!("batch {n}")).with_tag("größe").with_key("k"))
        .collect();
    let receipt = world.cluster.patient_producer().send_batch(&batch).await.unwrap();
    let (ids, offset_ids) = (receipt.message_id.split(','), receipt.offset_msg_id.split(','));
    for (((message, id), offset_id), index) in batch.into_iter().zip(ids).zip(offset_ids).zip(0..) {
        let own = SendReceipt {
            message_id: id.to_owned(),
            offset_msg_id: offset_id.to_owned(),
            queue_offset: receipt.queue_offset + index,
            ..receipt.clone()
        };
        sent.push((message, own));
    }

    let group = world.name("g");
    let options = ConsumerOptions::new(&group, &topic).instance(&group);
    let address = world.cluster.address();
    let mut java = tokio::task::block_in_place(|| Consumer::start(&installation, address, &options)).unwrap();
    let mut seen = BTreeMap::new();
    eventually("Java has all", async || {
        let next = tokio::task::block_in_place(|| java.consumed(Duration::from_millis(500))).unwrap();
        seen.extend(next.map(|message| (message.msg_id.clone(), message)));
        that(seen.len() == sent.len(), || format!("{} of {}", seen.len(), sent.len()))
    })
    .await;
    for (message, receipt) in &sent {
        let what = beginning(&String::from_utf8_lossy(&message.body));
        let seen = seen.get(&receipt.message_id).unwrap_or_else(|| panic!("Java does not see {what}"));
        let more = more(seen);
        assert_eq!(seen.topic, topic);
        assert_eq!(
            (more.body_length, &more.body_hash),
            (message.body.len(), &number(&message.body)),
            "{what}"
        );
        assert_eq!((seen.tags.as_ref(), more.flag), (message.tag.as_ref(), message.flag), "{what}");
        assert_eq!(seen.keys.as_deref().unwrap_or_default(), message.keys.join(" "), "{what}");
        let users: BTreeMap<_, _> =
            properties(seen).into_iter().filter(|(name, _)| USERS.contains(name)).collect();
        let sent: BTreeMap<_, _> =
            message.properties.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(users, sent, "{what}");
        let compressed = more.sys_flag & sys_flag::COMPRESSION_TYPE_MASK != 0;
        assert_eq!(compressed, what.starts_with("again and again"), "{what}");
        // One that waited is stored a second time, where its receipt does not point.
        if message.delay == Delay::None {
            let place = (seen.queue_id, seen.offset, more.offset_msg_id.as_deref().unwrap_or_default());
            let told = (receipt.queue.queue_id, receipt.queue_offset, receipt.offset_msg_id.as_str());
            assert_eq!(place, told, "{what}");
        }
    }
    tokio::task::block_in_place(|| java.quit()).unwrap();
    world.cluster.end().await;
}

fn gantrys(topic: &str) -> Vec<OutgoingMessage> {
    let new = |body: &str| OutgoingMessage::new(topic, body.to_owned());
    vec![
        new("plain"),
        new("tags and keys").with_tag("Straße").with_key("schlüssel").with_key("鍵").with_key("🔑"),
        new("properties").with_property("größe", "ü€😀").with_property("spaced name", " x "),
        new("long properties").with_property("long", "ü".repeat(LONG_VALUE / 2)),
        OutgoingMessage { flag: -7, ..new("flag") },
        OutgoingMessage { delay: Delay::Level(1), ..new("later") },
        OutgoingMessage { delay: Delay::Millis(1_000), ..new("timer") },
        OutgoingMessage::new(topic, vec![0, 1, 2, 0xFF, 0xFE, 0xC0]),
        new(&"again and again ".repeat(2_000)),
        OutgoingMessage::new(topic, noise(LONGEST_BODY)),
    ]
}

/// Bytes no compression makes shorter, the same each time.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

/// FNV-1a, as the guests and the Java driver count it.
fn number(bytes: &[u8]) -> String {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01B3_u64);
    format!("{:016x}", bytes.iter().fold(0xCBF2_9CE4_8422_2325, step))
}

fn beginning(body: &str) -> String {
    body.chars().take(40).collect()
}
