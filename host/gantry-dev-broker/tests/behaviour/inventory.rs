//! What administrators list: topics, settings, producers, offsets, keys.

use gantry_dev_broker::{BrokerConfig, FsyncPolicy, Storage};
use gantry_protocol::{RemotingCommand, RequestCode, ResponseCode};
use serde_json::{Value, json};

use crate::client::{Client, broker, broker_with, field, in_memory};

async fn asked(client: &Client, code: i32, fields: &[(&str, &str)]) -> RemotingCommand {
    client.ask_with(RequestCode(code), fields).await
}

async fn answered(client: &Client, code: i32, fields: &[(&str, &str)]) -> Value {
    let reply = asked(client, code, fields).await;
    assert_eq!(reply.response_code(), ResponseCode::SUCCESS, "{:?}", reply.remark);
    serde_json::from_slice(&reply.body).unwrap()
}

fn names(list: &Value) -> Vec<&str> {
    list["topicList"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect()
}

async fn commit(client: &Client, group: &str, queue_id: &str, offset: &str) {
    client.pull(group, "t", 0, 0).await;
    let fields = [("consumerGroup", group), ("topic", "t"), ("queueId", queue_id), ("commitOffset", offset)];
    assert_eq!(client.ask_with(RequestCode::UPDATE_CONSUMER_OFFSET, &fields).await.code, 0);
}

#[tokio::test]
async fn topics_are_listed_with_their_settings_and_by_cluster() {
    let (_broker, client) = broker().await;
    client.create_topic("t", 3).await;
    let configs = answered(&client, 21, &[]).await;
    assert_eq!(configs["topicConfigTable"]["t"]["readQueueNums"], 3);
    assert!(names(&answered(&client, 224, &[("cluster", "DefaultCluster")]).await).contains(&"t"));
    assert!(names(&answered(&client, 224, &[("cluster", "other")]).await).is_empty());
    let system = answered(&client, 305, &[]).await;
    assert!(names(&system).contains(&"SCHEDULE_TOPIC_XXXX") && !names(&system).contains(&"t"), "{system}");
    assert!(names(&answered(&client, 304, &[]).await).contains(&"gantry-broker"));
    let settings = asked(&client, 26, &[]).await;
    let text = String::from_utf8(settings.body.to_vec()).unwrap();
    assert!(
        text.contains("brokerName=gantry-broker\n") && text.contains("transactionTimeOut=6000\n"),
        "{text}"
    );
}

#[tokio::test]
async fn producers_are_listed_while_they_are_there() {
    let (broker, client) = broker().await;
    let producer = Client::connect(broker.local_addr()).await;
    let body = json!({"clientID": "c", "producerDataSet": [{"groupName": "p"}]}).to_string();
    producer.call(RemotingCommand::bare_request(RequestCode::HEART_BEAT).with_body(body)).await;
    let connections = answered(&client, 204, &[("producerGroup", "p")]).await;
    assert_eq!(connections["connectionSet"][0]["clientId"], "c");
    assert_eq!(answered(&client, 328, &[]).await["data"]["p"][0]["clientId"], "c");
    let leave = [("clientID", "c"), ("producerGroup", "p")];
    producer.ask_with(RequestCode::UNREGISTER_CLIENT, &leave).await;
    let gone = asked(&client, 204, &[("producerGroup", "p")]).await;
    assert_eq!(gone.response_code(), ResponseCode::SYSTEM_ERROR);
}

#[tokio::test]
async fn offsets_are_listed_cloned_and_compared() {
    let (_broker, client) = broker().await;
    client.create_topic("t", 2).await;
    commit(&client, "g", "0", "7").await;
    commit(&client, "h", "0", "9").await;
    commit(&client, "h", "1", "2").await;
    assert_eq!(answered(&client, 43, &[]).await["offsetTable"]["t@h"], json!({"0": 9, "1": 2}));
    assert_eq!(names(&answered(&client, 343, &[("group", "h")]).await), ["t"]);
    let compared = [("topic", "t"), ("filterGroups", "x"), ("compareGroup", "h")];
    let corrected = answered(&client, 308, &compared).await;
    assert_eq!(corrected["correctionOffsets"], json!({"0": i64::MAX, "1": 2}));
    let clone = [("srcGroup", "h"), ("destGroup", "n"), ("topic", "t"), ("offline", "false")];
    assert_eq!(asked(&client, 314, &clone).await.code, 0);
    assert_eq!(answered(&client, 43, &[]).await["offsetTable"]["t@n"], json!({"0": 9, "1": 2}));
    let nobody = asked(&client, 314, &[("srcGroup", "nobody"), ("destGroup", "n")]).await;
    assert_eq!(nobody.response_code(), ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST);
}

#[tokio::test]
async fn a_group_is_shown_with_its_settings_and_subscription() {
    let (_broker, client) = broker().await;
    client.create_topic("t", 1).await;
    client.heartbeat("c", "g", &[("t", "A", 5)]).await;
    let shown = answered(&client, 345, &[("group", "g"), ("topic", "t")]).await;
    assert_eq!(shown["subscriptionData"]["subString"], "A");
    let none = answered(&client, 345, &[("group", "g"), ("topic", "u")]).await;
    assert_eq!(none["subscriptionData"], Value::Null);
    client.pull("g", "t", 0, 0).await;
    assert_eq!(answered(&client, 352, &[("group", "g")]).await["retryMaxTimes"], 16);
    let unknown = asked(&client, 352, &[("group", "nobody")]).await;
    assert_eq!(unknown.response_code(), ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST);
    let stats = asked(&client, 315, &[("statsName", "TOPIC_PUT_NUMS"), ("statsKey", "t")]).await;
    assert_eq!(stats.remark.as_deref(), Some("The stats <TOPIC_PUT_NUMS> <t> not exist"));
    for nothing_to_clean in [306, 316, 329] {
        assert_eq!(asked(&client, nothing_to_clean, &[]).await.code, 0);
    }
}

#[tokio::test]
async fn keys_of_the_name_server_survive_a_restart_and_order_topics_are_in_routes() {
    let directory = tempfile::tempdir().unwrap();
    let storage = Storage::Directory { path: directory.path().into(), fsync: FsyncPolicy::Os };
    let config = BrokerConfig { storage, ..in_memory() };
    let (broker, client) = broker_with(config.clone()).await;
    client.create_topic("t", 1).await;
    let place = |key| [("namespace", "ORDER_TOPIC_CONFIG"), ("key", key)];
    let mut put = place("t").to_vec();
    put.push(("value", "gantry-broker:1"));
    assert_eq!(asked(&client, 100, &put).await.code, 0);
    put[1].1 = "u";
    assert_eq!(asked(&client, 100, &put).await.code, 0);
    assert_eq!(asked(&client, 102, &place("u")).await.code, 0);
    broker.stop().await;

    let (broker, client) = broker_with(config).await;
    assert_eq!(field(&asked(&client, 101, &place("t")).await, "value"), "gantry-broker:1");
    assert_eq!(asked(&client, 101, &place("u")).await.response_code(), ResponseCode::QUERY_NOT_FOUND);
    let listed = answered(&client, 219, &[("namespace", "ORDER_TOPIC_CONFIG")]).await;
    assert_eq!(listed["table"], json!({"t": "gantry-broker:1"}));
    let route = answered(&client, 105, &[("topic", "t")]).await;
    assert_eq!(route["orderTopicConf"], "gantry-broker:1");
    broker.stop().await;
}

#[tokio::test]
async fn a_topic_keeps_the_attributes_it_can_have_here() {
    let (_broker, client) = broker().await;
    let create = async |attributes: &str| {
        let fields = [
            ("topic", "t"),
            ("readQueueNums", "1"),
            ("writeQueueNums", "1"),
            ("perm", "6"),
            ("defaultTopic", "TBW102"),
            ("attributes", attributes),
        ];
        client.ask_with(RequestCode::UPDATE_AND_CREATE_TOPIC, &fields).await.response_code()
    };
    assert_eq!(create("+message.type=TRANSACTION,+queue.type=SimpleCQ").await, ResponseCode::SUCCESS);
    assert_eq!(create("+message.type=FIFO").await, ResponseCode::SUCCESS);
    let attributes = answered(&client, 351, &[("topic", "t")]).await["attributes"].clone();
    assert_eq!(attributes, json!({"message.type": "FIFO", "queue.type": "SimpleCQ"}));
    for refused in
        ["-queue.type", "+queue.type=BatchCQ", "+message.type=ODD", "+other=1", "message.type=FIFO"]
    {
        assert_eq!(create(refused).await, ResponseCode::SYSTEM_ERROR, "{refused}");
    }
    assert_eq!(create("+message.type=MIXED").await, ResponseCode::INVALID_PARAMETER);
}

#[tokio::test]
async fn the_cluster_and_the_broker_have_topics_of_their_names_which_are_their_own() {
    let (_broker, client) = broker().await;
    // Java's clients ask for the route of the cluster's name when they create a topic in it.
    for (topic, queues) in [("DefaultCluster", 16), ("gantry-broker", 1)] {
        let route = answered(&client, 105, &[("topic", topic)]).await;
        let of_topic = &route["queueDatas"][0];
        assert_eq!((&of_topic["writeQueueNums"], &of_topic["perm"]), (&json!(queues), &json!(7)));
        let system = answered(&client, 305, &[]).await;
        assert!(names(&system).contains(&topic), "{system}");
        let refused = asked(&client, 215, &[("topic", topic)]).await;
        let said = format!("The topic[{topic}] is conflict with system topic.");
        assert_eq!(refused.remark, Some(said));
    }
}

#[tokio::test]
async fn a_group_is_shown_with_the_times_it_has_come_to() {
    let (_broker, client) = broker().await;
    client.create_topic("t", 2).await;
    for body in ["one", "two", "three"] {
        client.sent("t", 0, "", body).await;
    }
    let stored = crate::client::messages(&client.pull("g", "t", 0, 0).await);
    let times: Vec<i64> = stored.iter().map(|message| message.store_timestamp()).collect();
    commit(&client, "g", "0", "2").await;
    let spans = answered(&client, 303, &[("topic", "t"), ("group", "g")]).await;
    let (first, second) = (&spans["consumeTimeSpanSet"][0], &spans["consumeTimeSpanSet"][1]);
    assert_eq!(first["messageQueue"], json!({"brokerName": "gantry-broker", "queueId": 0, "topic": "t"}));
    assert_eq!((&first["minTimeStamp"], &first["maxTimeStamp"]), (&json!(times[0]), &json!(times[2])));
    assert_eq!(first["consumeTimeStamp"], json!(times[1]));
    assert!(first["delayTime"].as_i64().unwrap() >= 0, "{first}");
    assert_eq!((&second["minTimeStamp"], &second["delayTime"]), (&json!(-1), &json!(0)));
    let none = asked(&client, 303, &[("topic", "none"), ("group", "g")]).await;
    assert_eq!(none.response_code(), ResponseCode::TOPIC_NOT_EXIST);
    // The keys of the table are queues, which only fastjson reads.
    let all = asked(&client, 317, &[("isOrder", "false")]).await;
    let text = String::from_utf8(all.body.to_vec()).unwrap();
    assert!(text.contains(r#""totalDiff":1"#) && text.contains(r#""consumerOffset":2"#), "{text}");
}

#[tokio::test]
async fn topics_and_groups_are_made_many_at_once() {
    let (_broker, client) = broker().await;
    let make = async |code: i32, body: Value| {
        let request = RemotingCommand::bare_request(RequestCode(code)).with_body(body.to_string());
        client.call(request).await.response_code()
    };
    let topic = |name: &str| {
        json!({"topicName": name, "readQueueNums": 2, "writeQueueNums": 2, "perm": 6,
               "attributes": {"+message.type": "FIFO"}})
    };
    let two = json!({"topicConfigList": [topic("one"), topic("two")]});
    assert_eq!(make(18, two).await, ResponseCode::SUCCESS);
    let config = answered(&client, 351, &[("topic", "two")]).await;
    assert_eq!(
        (&config["readQueueNums"], &config["attributes"]["message.type"]),
        (&json!(2), &json!("FIFO"))
    );
    let bad = json!({"topicConfigList": [topic("bad topic!")]});
    assert_eq!(make(18, bad).await, ResponseCode::INVALID_PARAMETER);
    let groups = json!({"groupConfigList": [{"groupName": "a", "retryMaxTimes": 3}, {"groupName": "b"}]});
    assert_eq!(make(225, groups).await, ResponseCode::SUCCESS);
    assert_eq!(answered(&client, 352, &[("group", "a")]).await["retryMaxTimes"], 3);
}
