//! Request-reply: SEND_REPLY_MESSAGE_V2 325 and PUSH_REPLY_MESSAGE_TO_CLIENT 326.

use gantry_protocol::header::SendMessageRequestHeaderV2;
use gantry_protocol::{RemotingCommand, RequestCode, ResponseCode};
use serde_json::json;

use crate::client::{Client, bodies, broker, field, messages, reply, send_header};

const REPLIES: &str = "DefaultCluster_REPLY_TOPIC";

fn answer(to: &str) -> RemotingCommand {
    let properties = format!("MSG_TYPE\u{1}reply\u{2}CORRELATION_ID\u{1}c1\u{2}{to}");
    let header = SendMessageRequestHeaderV2 { born_timestamp: 5, ..send_header(REPLIES, 0, &properties) };
    RemotingCommand::request(RequestCode::SEND_REPLY_MESSAGE_V2, &header).with_body("the answer")
}

async fn requester(address: std::net::SocketAddr) -> Client {
    let client = Client::connect(address).await;
    let body = json!({"clientID": "asks", "producerDataSet": [{"groupName": "p"}]}).to_string();
    client.call(RemotingCommand::bare_request(RequestCode::HEART_BEAT).with_body(body)).await;
    client
}

#[tokio::test]
async fn a_reply_is_brought_to_the_client_that_asked() {
    let (broker, replier) = broker().await;
    let mut requester = requester(broker.local_addr()).await;
    let sent = replier.start(answer("REPLY_TO_CLIENT\u{1}asks\u{2}")).await;
    let pushed = requester.pushed().await;
    assert_eq!(pushed.request_code(), RequestCode::PUSH_REPLY_MESSAGE_TO_CLIENT);
    assert_eq!((field(&pushed, "topic"), field(&pushed, "bornTimestamp")), (REPLIES, "5"));
    assert_eq!(&pushed.body[..], b"the answer");
    assert!(field(&pushed, "properties").contains("CORRELATION_ID\u{1}c1\u{2}"));
    assert!(field(&pushed, "properties").contains("PUSH_REPLY_TIME\u{1}"));
    requester.answer(&pushed, RemotingCommand::response(ResponseCode::SUCCESS)).await;
    let sent = reply(sent).await;
    assert_eq!((sent.response_code(), field(&sent, "queueOffset")), (ResponseCode::SUCCESS, "0"));
    assert_eq!(bodies(&messages(&replier.pull("g", REPLIES, 0, 0).await)), ["the answer"]);
}

#[tokio::test]
async fn a_reply_that_cannot_be_brought_is_an_error_that_says_why() {
    let (broker, replier) = broker().await;
    let nobody = replier.call(answer("")).await;
    let said = "reply message properties[REPLY_TO_CLIENT] is null";
    assert_eq!((nobody.response_code(), nobody.remark.as_deref()), (ResponseCode::SYSTEM_ERROR, Some(said)));
    let absent = replier.call(answer("REPLY_TO_CLIENT\u{1}asks\u{2}")).await;
    let said = "push reply message fail, channel of <asks> not found.";
    assert_eq!((absent.response_code(), absent.remark.as_deref()), (ResponseCode::SYSTEM_ERROR, Some(said)));

    let mut requester = requester(broker.local_addr()).await;
    let sent = replier.start(answer("REPLY_TO_CLIENT\u{1}asks\u{2}")).await;
    let pushed = requester.pushed().await;
    requester.answer(&pushed, RemotingCommand::response(ResponseCode::SYSTEM_ERROR)).await;
    assert_eq!(reply(sent).await.response_code(), ResponseCode::SYSTEM_ERROR);
}

#[tokio::test]
async fn a_requester_that_left_gets_no_replies() {
    let (broker, replier) = broker().await;
    let requester = requester(broker.local_addr()).await;
    let leave = [("clientID", "asks"), ("producerGroup", "p")];
    assert_eq!(requester.ask_with(RequestCode::UNREGISTER_CLIENT, &leave).await.code, 0);
    let absent = replier.call(answer("REPLY_TO_CLIENT\u{1}asks\u{2}")).await;
    assert_eq!(absent.response_code(), ResponseCode::SYSTEM_ERROR);
}
