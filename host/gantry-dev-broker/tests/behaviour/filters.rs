//! SQL92 subscriptions, which the broker evaluates on messages' properties.

use std::time::Duration;

use gantry_dev_broker::{Broker, BrokerConfig, Timing};
use gantry_protocol::header::PullMessageRequestHeader;
use gantry_protocol::{RemotingCommand, RequestCode, ResponseCode};
use serde_json::{Value, json};

use crate::client::{
    Client, bodies, broker, broker_with, eventually, field, heartbeat_body, in_memory, messages, pull_header,
    reply,
};

/// A heartbeat that subscribes to `t` by an SQL92 expression.
async fn subscribe(client: &Client, group: &str, expression: &str, version: i64) {
    let body = heartbeat_body("c", group, "CLUSTERING", &[("t", expression, version)]);
    let mut body: Value = serde_json::from_slice(&body).unwrap();
    body["consumerDataSet"][0]["subscriptionDataSet"][0]["expressionType"] = json!("SQL92");
    let heartbeat = RemotingCommand::bare_request(RequestCode::HEART_BEAT).with_body(body.to_string());
    assert_eq!(client.call(heartbeat).await.response_code(), ResponseCode::SUCCESS);
}

/// A pull by the heartbeat's subscription.
fn by_heartbeat(offset: i64, sys_flag: i32) -> RemotingCommand {
    let header = PullMessageRequestHeader {
        sys_flag,
        subscription: None,
        expression_type: Some("SQL92".to_owned()),
        sub_version: 1,
        ..pull_header("g", "t", 0, offset)
    };
    RemotingCommand::request(RequestCode::PULL_MESSAGE, &header)
}

/// A pull that carries its own subscription.
fn carrying(kind: &str, expression: Option<&str>) -> RemotingCommand {
    let header = PullMessageRequestHeader {
        subscription: expression.map(str::to_owned),
        expression_type: Some(kind.to_owned()),
        ..pull_header("g", "t", 0, 0)
    };
    RemotingCommand::request(RequestCode::PULL_MESSAGE, &header)
}

const CHEAP_AND_RED: &str = "price BETWEEN 1 AND 10 AND colour = 'red'";

async fn filled(client: &Client) {
    client.create_topic("t", 1).await;
    for (body, properties) in [
        ("cheap", "price\u{1}5\u{2}colour\u{1}red\u{2}"),
        ("dear", "price\u{1}50\u{2}colour\u{1}red\u{2}"),
        ("blue", "price\u{1}5\u{2}colour\u{1}blue\u{2}"),
        ("unpriced", "colour\u{1}red\u{2}"),
        ("worded", "price\u{1}five\u{2}colour\u{1}red\u{2}"),
        ("free", "price\u{1}1\u{2}colour\u{1}red\u{2}"),
    ] {
        client.sent("t", 0, properties, body).await;
    }
}

#[tokio::test]
async fn a_subscription_by_sql_gets_the_messages_that_fulfil_it() {
    let (_broker, client) = broker().await;
    filled(&client).await;
    subscribe(&client, "g", CHEAP_AND_RED, 1).await;
    let found = client.call(by_heartbeat(0, 0)).await;
    assert_eq!(bodies(&messages(&found)), ["cheap", "free"]);
    assert_eq!(field(&found, "nextBeginOffset"), "6");
    let own = client.call(carrying("SQL92", Some("colour <> 'red' OR price IS NULL"))).await;
    assert_eq!(bodies(&messages(&own)), ["blue", "unpriced"]);
    let one = PullMessageRequestHeader {
        max_msg_nums: 1,
        sys_flag: 0,
        sub_version: 1,
        ..pull_header("g", "t", 0, 0)
    };
    let one = client.ask(RequestCode::PULL_MESSAGE, &one).await;
    assert_eq!((bodies(&messages(&one)), field(&one, "nextBeginOffset")), (vec!["cheap".to_owned()], "5"));
}

#[tokio::test]
async fn what_no_message_fulfils_is_passed_over() {
    let (_broker, client) = broker().await;
    filled(&client).await;
    subscribe(&client, "g", "price > 100", 1).await;
    let none = client.call(by_heartbeat(1, 2)).await;
    assert_eq!(none.response_code(), ResponseCode::PULL_RETRY_IMMEDIATELY);
    assert_eq!(none.remark.as_deref(), Some("NO_MATCHED_MESSAGE"));
    assert_eq!((field(&none, "nextBeginOffset"), field(&none, "maxOffset")), ("6", "6"));
}

#[tokio::test]
async fn records_that_left_the_cache_are_evaluated_too() {
    let (_broker, client) = broker_with(BrokerConfig { tail_cache_bytes: 1, ..in_memory() }).await;
    filled(&client).await;
    subscribe(&client, "g", CHEAP_AND_RED, 1).await;
    let found = client.call(by_heartbeat(0, 0)).await;
    assert_eq!(
        (bodies(&messages(&found)), field(&found, "nextBeginOffset")),
        (vec!["cheap".into(), "free".into()], "6")
    );
    let one = PullMessageRequestHeader {
        max_msg_nums: 1,
        sys_flag: 0,
        sub_version: 1,
        ..pull_header("g", "t", 0, 0)
    };
    let one = client.ask(RequestCode::PULL_MESSAGE, &one).await;
    assert_eq!((bodies(&messages(&one)), field(&one, "nextBeginOffset")), (vec!["cheap".to_owned()], "5"));
}

async fn holding(sweep: Duration) -> (Broker, Client, tokio::sync::oneshot::Receiver<RemotingCommand>) {
    let timing = Timing { hold_sweep: sweep, ..Timing::default() };
    let (broker, client) = broker_with(BrokerConfig { timing, ..in_memory() }).await;
    client.create_topic("t", 1).await;
    subscribe(&client, "g", "price > 10", 1).await;
    let held = client.start(by_heartbeat(0, 2)).await;
    eventually("the pull is held", async || broker.stats().held_pulls == 1).await;
    (broker, client, held)
}

#[tokio::test]
async fn only_an_arrival_that_fulfils_it_wakes_a_held_pull() {
    let (broker, client, held) = holding(Duration::from_secs(3600)).await;
    client.sent("t", 0, "price\u{1}9\u{2}", "cheap").await;
    client.sent("t", 0, "price\u{1}dear\u{2}", "worded").await;
    client.sent("t", 0, "", "bare").await;
    assert_eq!(broker.stats().held_pulls, 1);
    client.sent("t", 0, "price\u{1}11\u{2}", "dear").await;
    let found = reply(held).await;
    assert_eq!(
        (bodies(&messages(&found)), found.response_code()),
        (vec!["dear".to_owned()], ResponseCode::SUCCESS)
    );
}

#[tokio::test]
async fn a_held_pull_passed_by_other_messages_is_moved_on_by_the_sweep() {
    let (_broker, client, held) = holding(Duration::from_millis(50)).await;
    client.sent("t", 0, "price\u{1}9\u{2}", "cheap").await;
    let none = reply(held).await;
    assert_eq!(none.response_code(), ResponseCode::PULL_RETRY_IMMEDIATELY);
    assert_eq!(field(&none, "nextBeginOffset"), "1");
}

#[tokio::test]
async fn a_subscription_that_is_no_sql_has_no_messages_until_it_is_mended() {
    let (_broker, client) = broker().await;
    filled(&client).await;
    subscribe(&client, "g", "price >", 1).await;
    let refused = client.call(by_heartbeat(0, 0)).await;
    assert_eq!(refused.response_code(), ResponseCode::FILTER_DATA_NOT_EXIST);
    assert!(refused.remark.unwrap().contains("a property or a constant is expected at column 8"));
    subscribe(&client, "g", "price > 10", 2).await;
    assert_eq!(bodies(&messages(&client.call(by_heartbeat(0, 0)).await)), ["dear"]);
}

#[tokio::test]
async fn bad_sql_in_a_pull_itself_lets_everything_through_as_it_does_in_rocketmq() {
    let (_broker, client) = broker().await;
    filled(&client).await;
    for (kind, expression) in [("SQL92", "price >"), ("XPATH", "/price")] {
        assert_eq!(messages(&client.call(carrying(kind, Some(expression))).await).len(), 6, "{kind}");
    }
    for expression in [None, Some("")] {
        let refused = client.call(carrying("SQL92", expression)).await;
        assert_eq!(refused.response_code(), ResponseCode::SUBSCRIPTION_PARSE_FAILED, "{expression:?}");
    }
    let refused = client.call(carrying("TAG", Some("||"))).await;
    assert_eq!(refused.response_code(), ResponseCode::SUBSCRIPTION_PARSE_FAILED);
}

#[tokio::test]
async fn expressions_are_checked_before_a_client_subscribes() {
    let (_broker, client) = broker().await;
    let check = async |kind: &str, expression: &str| {
        let body = json!({"clientId": "c", "group": "g", "subscriptionData": {"expressionType": kind, "topic": "t",
            "subString": expression, "classFilterMode": false, "codeSet": [], "tagsSet": [], "subVersion": 1}});
        let request =
            RemotingCommand::bare_request(RequestCode::CHECK_CLIENT_CONFIG).with_body(body.to_string());
        let reply = client.call(request).await;
        (reply.response_code(), reply.remark.unwrap_or_default())
    };
    assert_eq!(check("TAG", "A || B").await.0, ResponseCode::SUCCESS);
    assert_eq!(check("SQL92", CHEAP_AND_RED).await.0, ResponseCode::SUCCESS);
    let cases = [
        ("SQL92", "price >", "a property or a constant is expected at column 8, not the end"),
        ("SQL92", "colour LIKE 'r%'", "it should end before LIKE at column 8"),
        ("XPATH", "/price", "there are no expressions of type \"XPATH\""),
    ];
    for (kind, expression, words) in cases {
        let (code, remark) = check(kind, expression).await;
        assert_eq!(code, ResponseCode::SUBSCRIPTION_PARSE_FAILED, "{expression}");
        assert!(remark.contains(words), "{expression}: {remark}");
    }
}
