//! Offsets, queries, topics, and what mqadmin asks for.

use gantry_dev_broker::BrokerConfig;
use gantry_protocol::body::{GetConsumerStatusBody, QueueMap};
use gantry_protocol::{MessageQueue, RemotingCommand, RequestCode, ResponseCode, fastjson};
use serde_json::Value;

use crate::client::{Client, bodies, broker, broker_with, field, in_memory, messages, reply};

async fn filled(client: &Client) {
    client.create_topic("t", 2).await;
    client.pull("g", "t", 0, 0).await;
    for number in 0..3 {
        client
            .sent(
                "t",
                0,
                &format!("KEYS\u{1}k{number} all\u{2}UNIQ_KEY\u{1}u{number}\u{2}"),
                &number.to_string(),
            )
            .await;
    }
}

fn query(
    group: &'static str,
    topic: &'static str,
    queue_id: &'static str,
) -> [(&'static str, &'static str); 3] {
    [("consumerGroup", group), ("topic", topic), ("queueId", queue_id)]
}

#[tokio::test]
async fn a_group_without_offsets_starts_a_young_queue_at_its_beginning() {
    let (_broker, client) = broker().await;
    filled(&client).await;
    let young = client.ask_with(RequestCode::QUERY_CONSUMER_OFFSET, &query("g", "t", "0")).await;
    assert_eq!(field(&young, "offset"), "0");
    // What is sent to an empty queue while a group starts is the group's, too.
    let empty = client.ask_with(RequestCode::QUERY_CONSUMER_OFFSET, &query("g", "t", "1")).await;
    assert_eq!(field(&empty, "offset"), "0");
    for (topic, queue_id) in [("t", "99"), ("nowhere", "0")] {
        let missing = client.ask_with(RequestCode::QUERY_CONSUMER_OFFSET, &query("g", topic, queue_id)).await;
        assert_eq!(missing.response_code(), ResponseCode::QUERY_NOT_FOUND);
    }
    let mut strict = query("g", "t", "0").to_vec();
    strict.push(("setZeroIfNotFound", "false"));
    let missing = client.ask_with(RequestCode::QUERY_CONSUMER_OFFSET, &strict).await;
    assert_eq!(missing.response_code(), ResponseCode::QUERY_NOT_FOUND);
    assert_eq!(missing.remark.as_deref(), Some("Not found, do not set to zero, maybe this group boot first"));
}

#[tokio::test]
async fn a_group_without_offsets_begins_where_it_likes_once_much_was_stored_after_the_first_message() {
    let config = BrokerConfig { tail_cache_bytes: 1000, ..in_memory() };
    let (_broker, client) = broker_with(config).await;
    filled(&client).await;
    let young = client.ask_with(RequestCode::QUERY_CONSUMER_OFFSET, &query("g", "t", "0")).await;
    assert_eq!(field(&young, "offset"), "0");
    client.sent("t", 1, "", &"elsewhere".repeat(100)).await;
    client.sent("t", 1, "", "last").await;
    let old = client.ask_with(RequestCode::QUERY_CONSUMER_OFFSET, &query("g", "t", "0")).await;
    assert_eq!(old.response_code(), ResponseCode::QUERY_NOT_FOUND);
    assert!(old.remark.unwrap().contains("maybe this group consumer boot first"));
}

#[tokio::test]
async fn a_commit_is_kept_even_when_smaller() {
    let (_broker, client) = broker().await;
    filled(&client).await;
    for offset in ["3", "1"] {
        let mut commit = query("g", "t", "0").to_vec();
        commit.push(("commitOffset", offset));
        let reply = client.ask_with(RequestCode::UPDATE_CONSUMER_OFFSET, &commit).await;
        assert_eq!(reply.response_code(), ResponseCode::SUCCESS);
    }
    let stored = client.ask_with(RequestCode::QUERY_CONSUMER_OFFSET, &query("g", "t", "0")).await;
    assert_eq!(field(&stored, "offset"), "1");
}

#[tokio::test]
async fn a_commit_of_a_group_nobody_has_seen_or_a_topic_that_is_not_there_is_refused() {
    let (_broker, client) = broker().await;
    filled(&client).await;
    let cases = [
        ("stranger", "t", ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST),
        ("g", "nowhere", ResponseCode::TOPIC_NOT_EXIST),
    ];
    for (group, topic, code) in cases {
        let mut commit = query(group, topic, "0").to_vec();
        commit.push(("commitOffset", "3"));
        let reply = client.ask_with(RequestCode::UPDATE_CONSUMER_OFFSET, &commit).await;
        assert_eq!(reply.response_code(), code, "{group} {topic}");
    }
    client.heartbeat("c", "stranger", &[("t", "*", 1)]).await;
    let mut commit = query("stranger", "t", "0").to_vec();
    commit.push(("commitOffset", "3"));
    let reply = client.ask_with(RequestCode::UPDATE_CONSUMER_OFFSET, &commit).await;
    assert_eq!(reply.response_code(), ResponseCode::SUCCESS);
}

#[tokio::test]
async fn offsets_of_a_queue_and_of_a_time_are_found() {
    let (_broker, client) = broker().await;
    filled(&client).await;
    let of = [("topic", "t"), ("queueId", "0")];
    assert_eq!(field(&client.ask_with(RequestCode::GET_MAX_OFFSET, &of).await, "offset"), "3");
    assert_eq!(field(&client.ask_with(RequestCode::GET_MIN_OFFSET, &of).await, "offset"), "0");
    let stored = messages(&client.pull("g", "t", 0, 0).await);
    let earliest = client.ask_with(RequestCode::GET_EARLIEST_MSG_STORETIME, &of).await;
    assert_eq!(field(&earliest, "timestamp"), stored[0].store_timestamp().to_string());
    let future = (stored[2].store_timestamp() + 3_600_000).to_string();
    let cases = [("0", "LOWER", "0"), (&future, "LOWER", "3"), ("0", "UPPER", "0"), (&future, "UPPER", "2")];
    for (timestamp, boundary, offset) in cases {
        let fields = [("topic", "t"), ("queueId", "0"), ("timestamp", timestamp), ("boundaryType", boundary)];
        let found = client.ask_with(RequestCode::SEARCH_OFFSET_BY_TIMESTAMP, &fields).await;
        assert_eq!(field(&found, "offset"), offset, "{timestamp} {boundary}");
    }
}

#[tokio::test]
async fn messages_are_found_by_id_by_unique_key_and_by_key() {
    let (_broker, client) = broker().await;
    filled(&client).await;
    let stored = messages(&client.pull("g", "t", 0, 0).await);
    let physical = stored[1].physical_offset().to_string();
    let viewed = client.ask_with(RequestCode::VIEW_MESSAGE_BY_ID, &[("offset", &physical)]).await;
    assert_eq!(bodies(&messages(&viewed)), ["1"]);
    let missing = client.ask_with(RequestCode::VIEW_MESSAGE_BY_ID, &[("offset", "16777215")]).await;
    assert_eq!(missing.response_code(), ResponseCode::SYSTEM_ERROR);
    let by = |key: &'static str, unique: &'static str| {
        [
            ("topic", "t"),
            ("key", key),
            ("maxNum", "32"),
            ("beginTimestamp", "0"),
            ("endTimestamp", "9223372036854775807"),
            ("_UNIQUE_KEY_QUERY", unique),
        ]
    };
    let unique = client.ask_with(RequestCode::QUERY_MESSAGE, &by("u2", "true")).await;
    assert_eq!(bodies(&messages(&unique)), ["2"]);
    assert_eq!(field(&unique, "indexLastUpdatePhyoffset"), stored[2].physical_offset().to_string());
    let all = client.ask_with(RequestCode::QUERY_MESSAGE, &by("all", "false")).await;
    assert_eq!(messages(&all).len(), 3);
    for (key, unique) in [("none", "false"), ("all", "true")] {
        let missing = client.ask_with(RequestCode::QUERY_MESSAGE, &by(key, unique)).await;
        assert_eq!(missing.response_code(), ResponseCode::QUERY_NOT_FOUND);
        assert_eq!(field(&missing, "indexLastUpdateTimestamp"), "0");
    }
}

#[tokio::test]
async fn routes_and_cluster_are_standard_json_whatever_the_version() {
    let (broker, client) = broker().await;
    client.create_topic("t", 2).await;
    let mut request = crate::client::with_fields(RequestCode::GET_ROUTEINFO_BY_TOPIC, &[("topic", "t")]);
    request.version = 0;
    let route: Value = serde_json::from_slice(&client.call(request).await.body).unwrap();
    let address = broker.local_addr().to_string();
    assert_eq!(route["brokerDatas"][0]["brokerAddrs"]["0"], address);
    assert_eq!(route["brokerDatas"][0]["cluster"], "DefaultCluster");
    assert_eq!(route["queueDatas"][0]["readQueueNums"], 2);
    let missing = client.ask_with(RequestCode::GET_ROUTEINFO_BY_TOPIC, &[]).await;
    assert_eq!(missing.response_code(), ResponseCode::TOPIC_NOT_EXIST);
    assert!(missing.remark.unwrap().contains("for the topic: null"));
    let cluster = client.call(RemotingCommand::bare_request(RequestCode::GET_BROKER_CLUSTER_INFO)).await;
    let cluster: Value = serde_json::from_slice(&cluster.body).unwrap();
    assert_eq!(cluster["brokerAddrTable"]["gantry-broker"]["brokerAddrs"]["0"], address);
    assert_eq!(cluster["clusterAddrTable"]["DefaultCluster"][0], "gantry-broker");
}

#[tokio::test]
async fn bad_topics_are_not_created_and_changed_queues_are_told() {
    let (_broker, mut client) = broker().await;
    let create = |topic: &'static str, queues: &'static str| {
        [
            ("topic", topic),
            ("readQueueNums", queues),
            ("writeQueueNums", queues),
            ("perm", "6"),
            ("defaultTopic", "TBW102"),
        ]
    };
    for (topic, queues) in [("bad topic", "1"), ("t", "-1"), ("t", "100000"), ("SCHEDULE_TOPIC_XXXX", "1")] {
        let refused = client.ask_with(RequestCode::UPDATE_AND_CREATE_TOPIC, &create(topic, queues)).await;
        assert_eq!(refused.response_code(), ResponseCode::INVALID_PARAMETER, "{topic} {queues}");
    }
    client.create_topic("t", 1).await;
    client.heartbeat("c", "g", &[("t", "*", 1)]).await;
    client.pushed().await;
    client.create_topic("t", 3).await;
    assert_eq!(field(&client.pushed().await, "consumerGroup"), "g");
    let config = client.ask_with(RequestCode::GET_TOPIC_CONFIG, &[("topic", "t")]).await;
    let config: Value = serde_json::from_slice(&config.body).unwrap();
    assert_eq!((config["readQueueNums"].clone(), config["perm"].clone()), (3.into(), 6.into()));
}

#[tokio::test]
async fn a_deleted_topic_is_gone_with_its_messages_and_offsets() {
    let (_broker, client) = broker().await;
    filled(&client).await;
    let last = messages(&client.pull("g", "t", 0, 0).await).pop().unwrap().physical_offset();
    let mut commit = query("g", "t", "0").to_vec();
    commit.push(("commitOffset", "2"));
    client.ask_with(RequestCode::UPDATE_CONSUMER_OFFSET, &commit).await;
    client.ask_with(RequestCode::DELETE_TOPIC_IN_BROKER, &[("topic", "t")]).await;
    assert_eq!(client.pull("g", "t", 0, 0).await.response_code(), ResponseCode::TOPIC_NOT_EXIST);
    client.create_topic("t", 1).await;
    let gone = client.ask_with(RequestCode::QUERY_CONSUMER_OFFSET, &query("g", "t", "0")).await;
    assert_eq!(field(&gone, "offset"), "0");
    let again = client.sent("t", 0, "", "new").await;
    assert_eq!(field(&again, "queueOffset"), "0");
    let new = messages(&client.pull("g", "t", 0, 0).await).remove(0);
    assert!(new.physical_offset() > last);
}

#[tokio::test]
async fn statistics_show_queues_progress_and_connections() {
    let (_broker, client) = broker().await;
    filled(&client).await;
    client.heartbeat("c", "g", &[("t", "A || B", 7)]).await;
    let mut commit = query("g", "t", "0").to_vec();
    commit.push(("commitOffset", "2"));
    client.ask_with(RequestCode::UPDATE_CONSUMER_OFFSET, &commit).await;
    let queue = MessageQueue::new("t", "gantry-broker", 0);
    let topic = client.ask_with(RequestCode::GET_TOPIC_STATS_INFO, &[("topic", "t")]).await;
    let topic: gantry_protocol::body::TopicStatsTable = fastjson::from_slice(&topic.body).unwrap();
    assert_eq!((topic.offset_table.len(), topic.offset_table[&queue].max_offset), (2, 3));
    let group = client.ask_with(RequestCode::GET_CONSUME_STATS, &[("consumerGroup", "g")]).await;
    let group: gantry_protocol::body::ConsumeStats = fastjson::from_slice(&group.body).unwrap();
    let progress = group.offset_table[&queue];
    assert_eq!((progress.broker_offset, progress.consumer_offset), (3, 2));
    assert!(progress.last_timestamp > 0);
    let connections =
        client.ask_with(RequestCode::GET_CONSUMER_CONNECTION_LIST, &[("consumerGroup", "g")]).await;
    let connections: Value = serde_json::from_slice(&connections.body).unwrap();
    assert_eq!(connections["connectionSet"][0]["clientId"], "c");
    assert_eq!(connections["connectionSet"][0]["language"], "RUST");
    assert_eq!(connections["subscriptionTable"]["t"]["codeSet"], serde_json::json!([65, 66]));
    let nobody = client.ask_with(RequestCode::GET_CONSUMER_CONNECTION_LIST, &[("consumerGroup", "h")]).await;
    assert_eq!(nobody.response_code(), ResponseCode::CONSUMER_NOT_ONLINE);
}

#[tokio::test]
async fn questions_for_a_client_are_relayed_and_its_answer_comes_back() {
    let (broker, admin) = broker().await;
    let mut member = Client::connect(broker.local_addr()).await;
    filled(&admin).await;
    member.heartbeat("c", "g", &[("t", "*", 1)]).await;
    member.pushed().await;
    let ask = [("consumerGroup", "g"), ("clientId", "c"), ("jstackEnable", "false")];
    let asked = admin.start(crate::client::with_fields(RequestCode::GET_CONSUMER_RUNNING_INFO, &ask)).await;
    let question = member.pushed().await;
    assert_eq!(question.request_code(), RequestCode::GET_CONSUMER_RUNNING_INFO);
    let answer = RemotingCommand::response(ResponseCode::SUCCESS).with_body(&b"{\"mqTable\":{}}"[..]);
    member.answer(&question, answer).await;
    assert_eq!(&reply(asked).await.body[..], b"{\"mqTable\":{}}");
    let offline = [("consumerGroup", "g"), ("clientId", "x")];
    let refused = admin.ask_with(RequestCode::GET_CONSUMER_RUNNING_INFO, &offline).await;
    assert_eq!(refused.remark.as_deref(), Some("The Consumer <g> <x> not online"));

    let stored = messages(&admin.pull("g", "t", 0, 0).await);
    let id = stored[1].offset_msg_id();
    let ask = [("consumerGroup", "g"), ("clientId", "c"), ("msgId", &id), ("topic", "t")];
    let asked = admin.start(crate::client::with_fields(RequestCode::CONSUME_MESSAGE_DIRECTLY, &ask)).await;
    let question = member.pushed().await;
    assert_eq!(bodies(&messages(&question)), ["1"]);
    member.answer(&question, RemotingCommand::response(ResponseCode::SUCCESS)).await;
    assert_eq!(reply(asked).await.response_code(), ResponseCode::SUCCESS);
}

/// What a member answers when it is asked where it is.
fn position(offset: i64) -> QueueMap<i64> {
    [(MessageQueue::new("t", "gantry-broker", 0), offset)].into_iter().collect()
}

async fn tell_position(member: &mut Client, offset: i64) {
    let question = member.pushed().await;
    assert_eq!(question.request_code(), RequestCode::GET_CONSUMER_STATUS_FROM_CLIENT);
    assert_eq!((field(&question, "topic"), question.ext_fields.get("clientAddr")), ("t", None));
    let body =
        GetConsumerStatusBody { message_queue_table: position(offset), ..GetConsumerStatusBody::default() };
    let body = fastjson::to_vec(&body).unwrap();
    member.answer(&question, RemotingCommand::response(ResponseCode::SUCCESS).with_body(body)).await;
}

#[tokio::test]
async fn members_say_where_they_are_and_one_that_cannot_is_left_out() {
    let (broker, admin) = broker().await;
    filled(&admin).await;
    let mut members = Vec::new();
    for id in ["one", "two"] {
        let mut member = Client::connect(broker.local_addr()).await;
        member.heartbeat(id, "g", &[("t", "*", 1)]).await;
        member.pushed().await;
        members.push(member);
    }
    let ask = |client_id: &'static str| {
        let fields = [("topic", "t"), ("group", "g"), ("clientAddr", client_id)];
        crate::client::with_fields(RequestCode::INVOKE_BROKER_TO_GET_CONSUMER_STATUS, &fields)
    };
    let [one, two] = &mut members[..] else { panic!("two members") };
    one.pushed().await;
    let asked = admin.start(ask("")).await;
    let ((), asked_two) = tokio::join!(tell_position(one, 3), two.pushed());
    two.answer(&asked_two, RemotingCommand::response(ResponseCode::REQUEST_CODE_NOT_SUPPORTED)).await;
    let status: GetConsumerStatusBody = fastjson::from_slice(&reply(asked).await.body).unwrap();
    assert_eq!(status.consumer_table, [("one".to_owned(), position(3))].into());

    let asked = admin.start(ask("two")).await;
    tell_position(two, 5).await;
    let status: GetConsumerStatusBody = fastjson::from_slice(&reply(asked).await.body).unwrap();
    assert_eq!(status.consumer_table, [("two".to_owned(), position(5))].into());
    assert!(one.nothing_pushed());
}

#[tokio::test]
async fn an_unknown_request_is_answered_with_its_number() {
    let (_broker, client) = broker().await;
    let reply = client.ask_with(RequestCode(9999), &[]).await;
    assert_eq!(reply.response_code(), ResponseCode::REQUEST_CODE_NOT_SUPPORTED);
    assert!(reply.remark.unwrap().contains("9999"));
}

#[tokio::test]
async fn an_offset_by_time_is_exact_to_the_millisecond() {
    let (_broker, client) = broker().await;
    client.create_topic("t", 1).await;
    for number in 0..40 {
        client.sent("t", 0, "", &number.to_string()).await;
        // Some messages share a millisecond, some do not.
        tokio::time::sleep(std::time::Duration::from_millis(number % 3)).await;
    }
    let mut stored: Vec<i64> = Vec::new();
    while stored.len() < 40 {
        let pulled = client.pull("g", "t", 0, stored.len() as i64).await;
        stored.extend(messages(&pulled).iter().map(|message| message.store_timestamp()));
    }
    let times: std::collections::BTreeSet<i64> =
        stored.iter().flat_map(|time| [time - 1, *time, time + 1]).collect();
    for time in times {
        let first = stored.iter().filter(|stored| **stored < time).count();
        let last = stored.iter().filter(|stored| **stored <= time).count().saturating_sub(1);
        for (boundary, expected) in [("LOWER", first), ("UPPER", last)] {
            let at = time.to_string();
            let fields = [("topic", "t"), ("queueId", "0"), ("timestamp", &at), ("boundaryType", boundary)];
            let found = client.ask_with(RequestCode::SEARCH_OFFSET_BY_TIMESTAMP, &fields).await;
            assert_eq!(field(&found, "offset"), expected.to_string(), "{boundary} {time} in {stored:?}");
        }
    }
}

#[tokio::test]
async fn groups_of_a_topic_and_settings_of_groups_are_listed() {
    let (_broker, client) = broker().await;
    filled(&client).await;
    client.heartbeat("c", "online", &[("t", "*", 1)]).await;
    let mut commit = query("g", "t", "0").to_vec();
    commit.push(("commitOffset", "2"));
    client.ask_with(RequestCode::UPDATE_CONSUMER_OFFSET, &commit).await;
    for (topic, groups) in [("t", vec!["g", "online"]), ("nowhere", vec![])] {
        let reply = client.ask_with(RequestCode::QUERY_TOPIC_CONSUME_BY_WHO, &[("topic", topic)]).await;
        let body: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(body["groupList"], serde_json::json!(groups), "{topic}");
    }
    let settings = serde_json::json!({"groupName": "configured", "retryMaxTimes": 3}).to_string();
    let request = RemotingCommand::bare_request(RequestCode::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP);
    client.call(request.with_body(settings)).await;
    let all = client.call(RemotingCommand::bare_request(RequestCode::GET_ALL_SUBSCRIPTIONGROUP_CONFIG)).await;
    let all: Value = serde_json::from_slice(&all.body).unwrap();
    assert_eq!(all["subscriptionGroupTable"]["configured"]["retryMaxTimes"], 3);
    assert_eq!(all["subscriptionGroupTable"]["g"]["retryMaxTimes"], 16);
}
