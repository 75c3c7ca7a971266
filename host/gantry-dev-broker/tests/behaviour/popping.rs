//! POP: messages are hidden for a while, settled one by one, and come back when they are not.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use gantry_dev_broker::{Broker, BrokerConfig, FsyncPolicy, Limits, Storage, Timing};
use gantry_protocol::body::{AckBits, BatchAck, BatchAckMessageRequestBody};
use gantry_protocol::header::{
    AckMessageRequestHeader, ChangeInvisibleTimeRequestHeader, NotificationRequestHeader,
    PopMessageRequestHeader,
};
use gantry_protocol::pop::{PopHandle, PopRetry, parse_offset_info};
use gantry_protocol::{MessageExt, RemotingCommand, RequestCode, ResponseCode};

use crate::client::{Client, bodies, broker_with, eventually, field, in_memory, messages, reply};

const SECOND: Duration = Duration::from_secs(1);

fn reviving_at_once() -> BrokerConfig {
    let timing = Timing { pop_revive: Duration::from_millis(20), ..Timing::default() };
    BrokerConfig { timing, ..in_memory() }
}

async fn world(queues: i32) -> (Broker, Client) {
    let (broker, client) = broker_with(reviving_at_once()).await;
    client.create_topic("t", queues).await;
    (broker, client)
}

/// A pop of up to 8 messages of any queue, hidden for 30 s, not waiting.
fn pop_of(group: &str, topic: &str) -> PopMessageRequestHeader {
    PopMessageRequestHeader {
        consumer_group: group.to_owned(),
        topic: topic.to_owned(),
        queue_id: -1,
        max_msg_nums: 8,
        invisible_time: 30_000,
        born_time: i64::MAX / 2,
        expression_type: Some("TAG".to_owned()),
        expression: Some("*".to_owned()),
        ..PopMessageRequestHeader::default()
    }
}

fn waiting(header: PopMessageRequestHeader) -> RemotingCommand {
    let header = PopMessageRequestHeader { poll_time: 15_000, ..header };
    RemotingCommand::request(RequestCode::POP_MESSAGE, &header)
}

async fn popped(client: &Client, header: &PopMessageRequestHeader) -> Popped {
    Popped::of(client.ask(RequestCode::POP_MESSAGE, header).await, &header.consumer_group)
}

/// What a pop was answered, with a handle for each message, made as clients make it.
struct Popped {
    reply: RemotingCommand,
    group: String,
    messages: Vec<(MessageExt, PopHandle)>,
}

impl Popped {
    fn of(reply: RemotingCommand, group: &str) -> Self {
        let code = reply.response_code();
        assert!([ResponseCode::SUCCESS, ResponseCode::POLLING_TIMEOUT].contains(&code), "{:?}", reply.remark);
        let starts = parse_offset_info(field(&reply, "startOffsetInfo")).unwrap();
        let with_handle = |message: MessageExt| {
            let handle = match message.property("POP_CK") {
                Some(handle) => PopHandle::parse(handle).unwrap(),
                None => {
                    let of_queue = |start: &&_| matches!(start, &&gantry_protocol::pop::QueueOffsets { retry: PopRetry::Normal, queue_id, .. } if queue_id == message.queue_id());
                    PopHandle {
                        check_point_offset: starts.iter().find(of_queue).unwrap().offsets[0],
                        pop_time: field(&reply, "popTime").parse().unwrap(),
                        invisible_time: field(&reply, "invisibleTime").parse().unwrap(),
                        revive_queue_id: field(&reply, "reviveQid").parse().unwrap(),
                        retry: PopRetry::Normal,
                        broker_name: "gantry-broker".to_owned(),
                        queue_id: message.queue_id(),
                        offset: Some(message.queue_offset()),
                    }
                }
            };
            (message, handle)
        };
        let messages = messages(&reply).into_iter().map(with_handle).collect();
        Self { reply, group: group.to_owned(), messages }
    }

    fn bodies(&self) -> Vec<String> {
        let all: Vec<_> = self.messages.iter().map(|(message, _)| message.clone()).collect();
        let mut bodies = bodies(&all);
        bodies.sort_unstable();
        bodies
    }

    fn ack_of(&self, at: usize) -> AckMessageRequestHeader {
        let (message, handle) = &self.messages[at];
        AckMessageRequestHeader {
            consumer_group: self.group.clone(),
            topic: handle.retry.topic(&self.group, message.topic()),
            queue_id: handle.queue_id,
            extra_info: handle.to_string(),
            offset: handle.offset.unwrap(),
            broker_name: None,
        }
    }

    async fn ack(&self, client: &Client, at: usize) {
        let reply = client.ask(RequestCode::ACK_MESSAGE, &self.ack_of(at)).await;
        assert_eq!(reply.response_code(), ResponseCode::SUCCESS, "{:?}", reply.remark);
    }

    async fn ack_all(&self, client: &Client) {
        for at in 0..self.messages.len() {
            self.ack(client, at).await;
        }
    }

    async fn hide(&self, client: &Client, at: usize, invisible_time: i64) -> RemotingCommand {
        let ack = self.ack_of(at);
        let header = ChangeInvisibleTimeRequestHeader {
            consumer_group: ack.consumer_group,
            topic: ack.topic,
            queue_id: ack.queue_id,
            extra_info: ack.extra_info,
            offset: ack.offset,
            invisible_time,
            ..ChangeInvisibleTimeRequestHeader::default()
        };
        let reply = client.ask(RequestCode::CHANGE_MESSAGE_INVISIBLETIME, &header).await;
        assert_eq!(reply.response_code(), ResponseCode::SUCCESS, "{:?}", reply.remark);
        reply
    }
}

/// Pops until something is there.
async fn popped_at_last(client: &Client, header: &PopMessageRequestHeader) -> Popped {
    let request = waiting(header.clone());
    let found = Popped::of(client.call(request).await, &header.consumer_group);
    assert!(!found.messages.is_empty(), "nothing came");
    found
}

async fn offset(client: &Client, group: &str, topic: &str, queue: &str) -> String {
    let fields = [("consumerGroup", group), ("topic", topic), ("queueId", queue)];
    field(&client.ask_with(RequestCode::QUERY_CONSUMER_OFFSET, &fields).await, "offset").to_owned()
}

#[tokio::test]
async fn popped_messages_are_hidden_and_settled_ones_never_come_back() {
    let (broker, client) = world(2).await;
    for number in 0..4 {
        client.sent("t", number % 2, "", &format!("m{number}")).await;
    }
    let first = popped(&client, &pop_of("g", "t")).await;
    assert_eq!(first.bodies(), ["m0", "m1", "m2", "m3"]);
    assert_eq!((first.reply.remark.as_deref(), field(&first.reply, "restNum")), (Some("FOUND"), "0"));
    let infos = parse_offset_info(field(&first.reply, "msgOffsetInfo")).unwrap();
    let places: BTreeSet<_> = infos.iter().map(|of| (of.queue_id, of.offsets.clone())).collect();
    assert_eq!(places, [(0, vec![0, 1]), (1, vec![0, 1])].into());
    let second = popped(&client, &pop_of("g", "t")).await;
    assert_eq!(second.reply.response_code(), ResponseCode::POLLING_TIMEOUT);
    assert_eq!((field(&second.reply, "startOffsetInfo"), field(&second.reply, "restNum")), ("", "0"));
    // Another group is not concerned.
    assert_eq!(popped(&client, &pop_of("h", "t")).await.bodies().len(), 4);
    first.ack_all(&client).await;
    broker.advance_clock(31 * SECOND);
    client.sent("t", 0, "", "after").await;
    eventually("the other group's come back", async || {
        popped(&client, &pop_of("h", "t"))
            .await
            .messages
            .iter()
            .any(|(message, _)| message.reconsume_times() == 1)
    })
    .await;
    assert_eq!(popped_at_last(&client, &pop_of("g", "t")).await.bodies(), ["after"]);
}

#[tokio::test]
async fn what_is_not_settled_in_time_comes_back_as_a_retry() {
    let (broker, client) = world(1).await;
    client.sent("t", 0, "TAGS\u{1}A\u{2}KEYS\u{1}k\u{2}", "work").await;
    let first = popped(&client, &pop_of("g", "t")).await;
    broker.advance_clock(31 * SECOND);
    let again = popped_at_last(&client, &pop_of("g", "t")).await;
    let (message, handle) = &again.messages[0];
    assert_eq!((message.topic(), message.reconsume_times()), ("t", 1));
    assert_eq!((message.tags(), message.keys(), handle.retry), (Some("A"), Some("k"), PopRetry::RetryV1));
    assert_eq!(message.property("ORIGIN_GROUP"), Some("g"));
    assert_eq!(message.property("1ST_POP_TIME"), Some(field(&first.reply, "popTime")));
    assert_eq!(field(&again.reply, "msgOffsetInfo"), "1 0 0");
    // The first handle's time is up: it settles nothing, and that is no error.
    first.ack(&client, 0).await;
    broker.advance_clock(31 * SECOND);
    let third = popped_at_last(&client, &pop_of("g", "t")).await;
    assert_eq!(third.messages[0].0.reconsume_times(), 2);
    assert_eq!(third.messages[0].0.property("1ST_POP_TIME"), Some(field(&first.reply, "popTime")));
    third.ack(&client, 0).await;
    broker.advance_clock(31 * SECOND);
    client.sent("t", 0, "", "after").await;
    assert_eq!(popped_at_last(&client, &pop_of("g", "t")).await.bodies(), ["after"]);
}

#[tokio::test]
async fn a_message_can_be_hidden_for_longer_or_less_and_then_only_the_new_handle_counts() {
    let (broker, client) = world(1).await;
    client.sent("t", 0, "", "work").await;
    let first = popped(&client, &pop_of("g", "t")).await;
    broker.advance_clock(SECOND);
    let changed = first.hide(&client, 0, 5_000).await;
    assert_eq!(field(&changed, "invisibleTime"), "5000");
    assert_eq!(field(&changed, "reviveQid"), field(&first.reply, "reviveQid"));
    assert_ne!(field(&changed, "popTime"), field(&first.reply, "popTime"));
    first.ack(&client, 0).await;
    broker.advance_clock(6 * SECOND);
    let again = popped_at_last(&client, &pop_of("g", "t")).await;
    assert_eq!(again.messages[0].0.reconsume_times(), 1);
    let changed = again.hide(&client, 0, 60_000).await;
    let mut renewed = again.ack_of(0);
    let handle = PopHandle {
        pop_time: field(&changed, "popTime").parse().unwrap(),
        invisible_time: 60_000,
        ..again.messages[0].1.clone()
    };
    renewed.extra_info = handle.to_string();
    broker.advance_clock(31 * SECOND);
    assert_eq!(client.ask(RequestCode::ACK_MESSAGE, &renewed).await.code, 0);
    broker.advance_clock(60 * SECOND);
    client.sent("t", 0, "", "after").await;
    assert_eq!(popped_at_last(&client, &pop_of("g", "t")).await.bodies(), ["after"]);
}

#[tokio::test]
async fn a_batch_of_acks_settles_those_whose_bits_are_set() {
    let (broker, client) = world(1).await;
    for number in 0..4 {
        client.sent("t", 0, "", &format!("m{number}")).await;
    }
    let first = popped(&client, &pop_of("g", "t")).await;
    let handle = &first.messages[0].1;
    let ack = BatchAck {
        consumer_group: "g".to_owned(),
        topic: "t".to_owned(),
        retry: "0".to_owned(),
        start_offset: handle.check_point_offset,
        queue_id: 0,
        revive_queue_id: handle.revive_queue_id,
        pop_time: handle.pop_time,
        invisible_time: handle.invisible_time,
        bits: AckBits::from_iter([0, 2, 900]),
    };
    let body = BatchAckMessageRequestBody { broker_name: "gantry-broker".to_owned(), acks: vec![ack] };
    let body = serde_json::to_vec(&body).unwrap();
    let request = RemotingCommand::bare_request(RequestCode::BATCH_ACK_MESSAGE).with_body(body);
    assert_eq!(client.call(request).await.code, 0);
    broker.advance_clock(31 * SECOND);
    let mut back = BTreeSet::new();
    eventually("the others come back", async || {
        back.extend(popped(&client, &pop_of("g", "t")).await.bodies());
        back.len() == 2
    })
    .await;
    assert_eq!(back, ["m1".to_owned(), "m3".to_owned()].into());
}

#[tokio::test]
async fn a_waiting_pop_is_answered_when_a_message_arrives_or_the_time_is_up() {
    let (broker, client) = world(2).await;
    let held = client.start(waiting(pop_of("g", "t"))).await;
    let other = client.start(waiting(pop_of("h", "t"))).await;
    let only_b = PopMessageRequestHeader { expression: Some("B".to_owned()), ..pop_of("i", "t") };
    let filtered = client.start(waiting(only_b)).await;
    eventually("three pops are held", async || broker.stats().held_pulls == 3).await;
    let info = [("consumerGroup", "g"), ("topic", "t"), ("queueId", "-1")];
    let polling = client.ask_with(RequestCode::POLLING_INFO, &info).await;
    assert_eq!(field(&polling, "pollingNum"), "1");
    client.sent("t", 1, "TAGS\u{1}A\u{2}", "work").await;
    for receiver in [held, other] {
        assert_eq!(bodies(&messages(&reply(receiver).await)), ["work"]);
    }
    eventually("one is held still", async || broker.stats().held_pulls == 1).await;
    client.sent("t", 1, "TAGS\u{1}B\u{2}", "for B").await;
    assert_eq!(bodies(&messages(&reply(filtered).await)), ["for B"]);

    let only_c = PopMessageRequestHeader { expression: Some("C".to_owned()), ..pop_of("g", "t") };
    let held = client.start(waiting(only_c)).await;
    eventually("a pop is held", async || broker.stats().held_pulls == 1).await;
    broker.advance_clock(16 * SECOND);
    assert_eq!(reply(held).await.response_code(), ResponseCode::POLLING_TIMEOUT);
}

#[tokio::test]
async fn a_waiting_pop_ends_with_its_connection() {
    let (broker, client) = world(1).await;
    let gone = Client::connect(broker.local_addr()).await;
    let held = gone.start(waiting(pop_of("g", "t"))).await;
    eventually("the pop is held", async || broker.stats().held_pulls == 1).await;
    gone.shut_down().await;
    drop(held);
    eventually("nobody waits any more", async || broker.stats().held_pulls == 0).await;
    client.sent("t", 0, "", "work").await;
    assert_eq!(popped(&client, &pop_of("g", "t")).await.bodies(), ["work"]);
}

#[tokio::test]
async fn an_ordered_queue_waits_for_what_was_popped_last() {
    let (broker, client) = world(1).await;
    for number in 0..3 {
        client.sent("t", 0, "", &format!("m{number}")).await;
    }
    let pop = |attempt: &str| PopMessageRequestHeader {
        max_msg_nums: 2,
        order: Some(true),
        attempt_id: Some(attempt.to_owned()),
        ..pop_of("g", "t")
    };
    let first = popped(&client, &pop("a1")).await;
    assert_eq!(first.bodies(), ["m0", "m1"]);
    assert_eq!((field(&first.reply, "reviveQid"), field(&first.reply, "orderCountInfo")), ("999", "0 0 0"));
    let blocked = popped(&client, &pop("a2")).await;
    assert_eq!((blocked.messages.len(), field(&blocked.reply, "orderCountInfo")), (0, ""));
    // The client did not get the answer, and asks again.
    assert_eq!(popped(&client, &pop("a1")).await.bodies(), ["m0", "m1"]);

    broker.advance_clock(31 * SECOND);
    let again = popped(&client, &pop("a3")).await;
    assert_eq!(again.bodies(), ["m0", "m1"]);
    assert_eq!(field(&again.reply, "orderCountInfo"), "0 qo0%0 1;0 qo0%1 1;0 0 1");
    first.ack(&client, 0).await;
    assert_eq!(offset(&client, "g", "t", "0").await, "0", "the first pop's handle counts no more");
    let next = client.start(waiting(pop("a4"))).await;
    again.ack(&client, 0).await;
    assert_eq!(offset(&client, "g", "t", "0").await, "1");
    again.hide(&client, 1, 90_000).await;
    again.ack(&client, 1).await;
    let next = Popped::of(reply(next).await, "g");
    assert_eq!(
        (next.bodies(), offset(&client, "g", "t", "0").await),
        (vec!["m2".to_owned()], "2".to_owned())
    );
}

#[tokio::test]
async fn only_messages_of_the_tags_are_popped_but_every_retry() {
    let (broker, client) = world(1).await;
    client.sent("t", 0, "TAGS\u{1}A\u{2}", "a").await;
    client.sent("t", 0, "TAGS\u{1}B\u{2}", "b").await;
    let only_b = PopMessageRequestHeader { expression: Some("B".to_owned()), ..pop_of("g", "t") };
    assert_eq!(popped(&client, &only_b).await.bodies(), ["b"]);
    broker.advance_clock(31 * SECOND);
    let only_a = PopMessageRequestHeader { expression: Some("A".to_owned()), ..pop_of("g", "t") };
    assert_eq!(popped_at_last(&client, &only_a).await.bodies(), ["b"]);
}

#[tokio::test]
async fn popping_and_settling_survive_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let storage = Storage::Directory { path: directory.path().into(), fsync: FsyncPolicy::Os };
    let config = BrokerConfig { storage, ..reviving_at_once() };
    let (broker, client) = broker_with(config.clone()).await;
    client.create_topic("t", 1).await;
    for number in 0..3 {
        client.sent("t", 0, "", &format!("m{number}")).await;
    }
    let two = PopMessageRequestHeader { max_msg_nums: 2, ..pop_of("g", "t") };
    let first = popped(&client, &two).await;
    first.ack(&client, 0).await;
    broker.stop().await;

    let (broker, client) = broker_with(config).await;
    assert_eq!(popped(&client, &pop_of("g", "t")).await.bodies(), ["m2"]);
    broker.advance_clock(31 * SECOND);
    let mut back = BTreeSet::new();
    eventually("the open ones come back", async || {
        back.extend(popped(&client, &pop_of("g", "t")).await.bodies());
        back.len() == 2
    })
    .await;
    assert_eq!(back, ["m1".to_owned(), "m2".to_owned()].into());
    broker.stop().await;
}

#[tokio::test]
async fn clients_that_pop_at_once_share_the_messages() {
    let (broker, client) = world(3).await;
    for number in 0..300 {
        client.sent("t", number % 3, "", &format!("m{number}")).await;
    }
    let address = broker.local_addr();
    let worker = async move || {
        let client = Client::connect(address).await;
        let mut got = Vec::new();
        loop {
            let found = popped(&client, &pop_of("g", "t")).await;
            if found.messages.is_empty() {
                return got;
            }
            found.ack_all(&client).await;
            got.extend(found.bodies());
        }
    };
    let (one, two, three, four) = tokio::join!(worker(), worker(), worker(), worker());
    let all = [one, two, three, four].concat();
    let distinct: BTreeSet<_> = all.iter().cloned().collect();
    assert_eq!((all.len(), distinct.len()), (300, 300));
}

#[tokio::test]
async fn a_new_group_begins_where_it_asks_to() {
    let config = BrokerConfig { tail_cache_bytes: 1, ..reviving_at_once() };
    let (_broker, client) = broker_with(config).await;
    client.create_topic("t", 1).await;
    client.sent("t", 0, "", "old").await;
    client.sent("t", 0, "", "last").await;
    let from_end = PopMessageRequestHeader { init_mode: 1, ..pop_of("g", "t") };
    assert_eq!(popped(&client, &from_end).await.bodies(), ["last"]);
    assert_eq!(popped(&client, &pop_of("h", "t")).await.bodies(), ["last", "old"]);
}

#[tokio::test]
async fn what_breaks_a_rule_is_refused_as_by_java() {
    let (_broker, client) = world(1).await;
    client.sent("t", 0, "", "work").await;
    let cases = [
        (
            PopMessageRequestHeader { topic: "none".to_owned(), ..pop_of("g", "t") },
            ResponseCode::TOPIC_NOT_EXIST,
        ),
        (PopMessageRequestHeader { queue_id: 9, ..pop_of("g", "t") }, ResponseCode::INVALID_PARAMETER),
        (PopMessageRequestHeader { max_msg_nums: 33, ..pop_of("g", "t") }, ResponseCode::SYSTEM_ERROR),
        (
            PopMessageRequestHeader {
                expression_type: Some("SQL92".to_owned()),
                expression: Some("a >".to_owned()),
                ..pop_of("g", "t")
            },
            ResponseCode::SUBSCRIPTION_PARSE_FAILED,
        ),
    ];
    for (header, code) in cases {
        let refused = client.ask(RequestCode::POP_MESSAGE, &header).await;
        assert_eq!(refused.response_code(), code, "{header:?}: {:?}", refused.remark);
    }
    let first = popped(&client, &pop_of("g", "t")).await;
    let beyond = AckMessageRequestHeader { offset: 999, ..first.ack_of(0) };
    let refused = client.ask(RequestCode::ACK_MESSAGE, &beyond).await;
    let said = "offset is illegal, key:t@0, commit:999, store:0~1";
    assert_eq!((refused.response_code(), refused.remark.as_deref()), (ResponseCode::NO_MESSAGE, Some(said)));
    let no_handle = AckMessageRequestHeader { extra_info: "x".to_owned(), ..first.ack_of(0) };
    let refused = client.ask(RequestCode::ACK_MESSAGE, &no_handle).await;
    assert_eq!(refused.response_code(), ResponseCode::SYSTEM_ERROR);
    let no_queue = AckMessageRequestHeader { queue_id: 7, ..first.ack_of(0) };
    let refused = client.ask(RequestCode::ACK_MESSAGE, &no_queue).await;
    assert_eq!(refused.response_code(), ResponseCode::MESSAGE_ILLEGAL);
}

#[tokio::test]
async fn a_look_at_what_there_is_pops_nothing() {
    let (_broker, client) = world(1).await;
    let notify = NotificationRequestHeader {
        consumer_group: "g".to_owned(),
        topic: "t".to_owned(),
        queue_id: -1,
        ..NotificationRequestHeader::default()
    };
    let none = client.ask(RequestCode::NOTIFICATION, &notify).await;
    assert_eq!((field(&none, "hasMsg"), field(&none, "pollingFull")), ("false", "false"));
    let patient = NotificationRequestHeader { poll_time: 15_000, born_time: i64::MAX / 2, ..notify.clone() };
    let told = client.start(RemotingCommand::request(RequestCode::NOTIFICATION, &patient)).await;
    client.sent("t", 0, "", "work").await;
    assert_eq!(field(&reply(told).await, "hasMsg"), "true");
    let peek = [("consumerGroup", "g"), ("topic", "t"), ("queueId", "0"), ("maxMsgNums", "2")];
    for _ in 0..2 {
        let peeked = client.ask_with(RequestCode::PEEK_MESSAGE, &peek).await;
        assert_eq!(bodies(&messages(&peeked)), ["work"]);
    }
    assert_eq!(popped(&client, &pop_of("g", "t")).await.bodies(), ["work"]);
    let peeked = client.ask_with(RequestCode::PEEK_MESSAGE, &peek).await;
    assert_eq!(peeked.response_code(), ResponseCode::PULL_NOT_FOUND);
    assert_eq!((field(&peeked, "popTime"), field(&peeked, "restNum")), ("0", "0"));
}

#[tokio::test]
async fn names_of_any_length_come_back_too() {
    let (broker, client) = broker_with(reviving_at_once()).await;
    let (group, topic) = ("G".repeat(115), "T".repeat(127));
    client.create_topic(&topic, 1).await;
    client.sent(&topic, 0, "", "long").await;
    assert_eq!(popped(&client, &pop_of(&group, &topic)).await.bodies(), ["long"]);
    broker.advance_clock(31 * SECOND);
    let again = popped_at_last(&client, &pop_of(&group, &topic)).await;
    assert_eq!((again.messages[0].0.topic(), again.messages[0].0.reconsume_times()), (topic.as_str(), 1));
    again.ack(&client, 0).await;
    let retries = client.pull("h", &format!("%RETRY%{group}_{topic}"), 0, 0).await;
    assert!(messages(&retries)[0].is_version_2());
}

#[tokio::test]
async fn groups_that_pop_have_a_bound_too() {
    let limits = Limits { offsets: 1, ..Limits::default() };
    let (_broker, client) = broker_with(BrokerConfig { limits, ..reviving_at_once() }).await;
    client.create_topic("t", 1).await;
    client.sent("t", 0, "", "work").await;
    assert_eq!(popped(&client, &pop_of("g", "t")).await.bodies(), ["work"]);
    let refused = client.ask(RequestCode::POP_MESSAGE, &pop_of("h", "t")).await;
    assert_eq!(refused.response_code(), ResponseCode::SYSTEM_ERROR);
    client.sent("t", 0, "", "more").await;
    assert_eq!(popped(&client, &pop_of("g", "t")).await.bodies(), ["more"]);
}

#[tokio::test]
async fn a_reset_moves_a_popping_group() {
    let (_broker, client) = world(1).await;
    client.sent("t", 0, "", "work").await;
    popped(&client, &pop_of("g", "t")).await.ack_all(&client).await;
    let reset = [("topic", "t"), ("group", "g"), ("timestamp", "0"), ("isForce", "true")];
    assert_eq!(client.ask_with(RequestCode::INVOKE_BROKER_TO_RESET_OFFSET, &reset).await.code, 0);
    assert_eq!(popped(&client, &pop_of("g", "t")).await.bodies(), ["work"]);
    assert!(popped(&client, &pop_of("g", "t")).await.messages.is_empty());
}

#[tokio::test]
async fn the_broker_allocates_as_it_was_told_and_remembers_it() {
    let directory = tempfile::tempdir().unwrap();
    let storage = Storage::Directory { path: directory.path().into(), fsync: FsyncPolicy::Os };
    let config = BrokerConfig { storage, ..in_memory() };
    let (broker, client) = broker_with(config.clone()).await;
    client.create_topic("t", 2).await;
    let mode = r#"{"consumerGroup":"g","mode":"POP","popShareQueueNum":0,"topic":"t"}"#;
    let set = |body: &str| {
        RemotingCommand::bare_request(RequestCode::SET_MESSAGE_REQUEST_MODE).with_body(body.to_owned())
    };
    assert_eq!(client.call(set(mode)).await.code, 0);
    let of_retry = mode.replace("\"t\"", "\"%RETRY%g\"");
    assert_eq!(client.call(set(&of_retry)).await.response_code(), ResponseCode::NO_PERMISSION);
    broker.stop().await;

    let (broker, client) = broker_with(config).await;
    let client = Arc::new(client);
    client.heartbeat("c1", "g", &[("t", "*", 1)]).await;
    let query = async |topic: &str, client_id: &str| {
        let body = format!(
            r#"{{"clientId":"{client_id}","consumerGroup":"g","messageModel":"CLUSTERING","strategyName":"AVG","topic":"{topic}"}}"#
        );
        let request = RemotingCommand::bare_request(RequestCode::QUERY_ASSIGNMENT).with_body(body);
        String::from_utf8(client.call(request).await.body.to_vec()).unwrap()
    };
    let expected = r#"{"messageQueueAssignments":[{"messageQueue":{"brokerName":"gantry-broker","queueId":-1,"topic":"t"},"mode":"POP"}]}"#;
    assert_eq!(query("t", "c1").await, expected);
    let expected = r#"{"messageQueueAssignments":[{"messageQueue":{"brokerName":"gantry-broker","queueId":0,"topic":"%RETRY%g"},"mode":"PULL"}]}"#;
    assert_eq!(query("%RETRY%g", "c1").await, expected);
    assert_eq!(query("t", "stranger").await, "{}");
    broker.stop().await;
}

#[tokio::test]
async fn retries_of_both_forms_of_topics_come_back() {
    let directory = tempfile::tempdir().unwrap();
    let storage = Storage::Directory { path: directory.path().into(), fsync: FsyncPolicy::Os };
    let mut config = BrokerConfig { storage, ..reviving_at_once() };
    for (second_form, retry, topic) in
        [(true, PopRetry::RetryV2, "%RETRY%g+t"), (false, PopRetry::RetryV1, "%RETRY%g_t")]
    {
        config.pop_retry_topic_v2 = second_form;
        let (broker, client) = broker_with(config.clone()).await;
        client.create_topic("t", 1).await;
        client.sent("t", 0, "", "work").await;
        popped(&client, &pop_of("g", "t")).await;
        broker.advance_clock(31 * SECOND);
        let again = popped_at_last(&client, &pop_of("g", "t")).await;
        let (message, handle) = &again.messages[0];
        assert_eq!((message.topic(), message.reconsume_times(), handle.retry), ("t", 1, retry));
        assert_eq!(again.ack_of(0).topic, topic);
        again.ack(&client, 0).await;
        // Left for the other form of the setting, which finds it all the same.
        client.sent("t", 0, "", "left").await;
        let left = popped(&client, &pop_of("g", "t")).await;
        assert_eq!(left.bodies(), ["left"]);
        broker.advance_clock(31 * SECOND);
        eventually("it is filed for another try", async || {
            let fields = [("topic", topic), ("queueId", "0")];
            field(&client.ask_with(RequestCode::GET_MAX_OFFSET, &fields).await, "offset") == "2"
        })
        .await;
        broker.stop().await;
        config.pop_retry_topic_v2 = !second_form;
        let (broker, client) = broker_with(config.clone()).await;
        let found = popped_at_last(&client, &pop_of("g", "t")).await;
        assert_eq!((found.bodies(), found.messages[0].1.retry), (vec!["left".to_owned()], retry));
        found.ack(&client, 0).await;
        broker.stop().await;
    }
}

#[tokio::test]
async fn a_popped_message_that_is_sent_on_leaves_its_handle_behind() {
    let (_broker, client) = world(1).await;
    client.sent("t", 0, "POP_CK\u{1}0 1 60000 0 0 gantry-broker 0 7\u{2}k\u{1}v\u{2}", "on").await;
    let found = popped(&client, &pop_of("g", "t")).await;
    let (message, handle) = &found.messages[0];
    assert_eq!((message.property("POP_CK"), message.property("k")), (None, Some("v")));
    assert_eq!(handle.offset, Some(0));
}
