//! A tiny client over the protocol crate: one connection, replies by opaque, pushes apart.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::BytesMut;
use gantry_dev_broker::{Broker, BrokerConfig, Storage};
use gantry_protocol::header::{PullMessageRequestHeader, SendMessageRequestHeaderV2};
use gantry_protocol::{
    CommandHeader, FrameDecoder, MAX_FRAME, MessageExt, RemotingCommand, RequestCode, ResponseCode,
    decode_all,
};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::{mpsc, oneshot};

pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

pub(crate) fn in_memory() -> BrokerConfig {
    BrokerConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        storage: Storage::InMemory,
        ..BrokerConfig::default()
    }
}

pub(crate) async fn broker() -> (Broker, Client) {
    broker_with(in_memory()).await
}

pub(crate) async fn broker_with(config: BrokerConfig) -> (Broker, Client) {
    let broker = Broker::start(config).await.unwrap();
    let client = Client::connect(broker.local_addr()).await;
    (broker, client)
}

type Waiting = Arc<Mutex<HashMap<i32, oneshot::Sender<RemotingCommand>>>>;

pub(crate) struct Client {
    writing: tokio::sync::Mutex<OwnedWriteHalf>,
    waiting: Waiting,
    pushes: mpsc::UnboundedReceiver<RemotingCommand>,
    opaque: AtomicI32,
    closed: tokio_util::sync::CancellationToken,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let (mut reading, writing) = TcpStream::connect(address).await.unwrap().into_split();
        let waiting = Waiting::default();
        let (sender, pushes) = mpsc::unbounded_channel();
        let answers = Arc::clone(&waiting);
        let closed = tokio_util::sync::CancellationToken::new();
        let ended = closed.clone();
        tokio::task::spawn(async move {
            let mut buffer = BytesMut::new();
            let decoder = FrameDecoder::new(MAX_FRAME);
            loop {
                while let Some(command) = decoder.decode(&mut buffer).unwrap() {
                    if command.is_response() {
                        let waiting = answers.lock().unwrap().remove(&command.opaque);
                        waiting.expect("a reply nobody asked for").send(command).ok();
                    } else {
                        sender.send(command).ok();
                    }
                }
                if reading.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
                    answers.lock().unwrap().clear();
                    return ended.cancel();
                }
            }
        });
        let writing = tokio::sync::Mutex::new(writing);
        Self { writing, waiting, pushes, opaque: AtomicI32::new(1), closed }
    }

    pub(crate) async fn write(&self, bytes: &[u8]) {
        self.writing.lock().await.write_all(bytes).await.unwrap();
    }

    /// Sends the request and leaves its reply to be awaited.
    pub(crate) async fn start(&self, request: RemotingCommand) -> oneshot::Receiver<RemotingCommand> {
        let opaque = self.opaque.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        self.waiting.lock().unwrap().insert(opaque, sender);
        let mut frame = BytesMut::new();
        RemotingCommand { opaque, ..request }.encode(&mut frame).unwrap();
        self.write(&frame).await;
        receiver
    }

    /// As [`Self::start`], or `None` when the connection is gone.
    pub(crate) async fn try_start(
        &self,
        request: RemotingCommand,
    ) -> Option<oneshot::Receiver<RemotingCommand>> {
        let opaque = self.opaque.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        self.waiting.lock().unwrap().insert(opaque, sender);
        let mut frame = BytesMut::new();
        RemotingCommand { opaque, ..request }.encode(&mut frame).unwrap();
        let written = self.writing.lock().await.write_all(&frame).await;
        // The reader may have given up on everything just before this one was noted.
        if written.is_err() || self.closed.is_cancelled() {
            return None;
        }
        Some(receiver)
    }

    pub(crate) async fn call(&self, request: RemotingCommand) -> RemotingCommand {
        reply(self.start(request).await).await
    }

    pub(crate) async fn ask(&self, code: RequestCode, header: &impl CommandHeader) -> RemotingCommand {
        self.call(RemotingCommand::request(code, header)).await
    }

    /// Asks with fields given by name.
    pub(crate) async fn ask_with(&self, code: RequestCode, fields: &[(&str, &str)]) -> RemotingCommand {
        self.call(with_fields(code, fields)).await
    }

    pub(crate) async fn oneway(&self, request: RemotingCommand) {
        let mut frame = BytesMut::new();
        request.into_oneway().encode(&mut frame).unwrap();
        self.write(&frame).await;
    }

    /// The next request of the broker.
    pub(crate) async fn pushed(&mut self) -> RemotingCommand {
        tokio::time::timeout(PATIENCE, self.pushes.recv()).await.expect("no push in time").expect("closed")
    }

    pub(crate) fn nothing_pushed(&mut self) -> bool {
        self.pushes.try_recv().is_err()
    }

    pub(crate) async fn answer(&self, request: &RemotingCommand, response: RemotingCommand) {
        let mut frame = BytesMut::new();
        response.reply_to(request).encode(&mut frame).unwrap();
        self.write(&frame).await;
    }

    /// Ends the connection from this side.
    pub(crate) async fn shut_down(&self) {
        self.writing.lock().await.shutdown().await.unwrap();
    }

    /// Waits until the broker has closed the connection.
    pub(crate) async fn closed(&self) {
        tokio::time::timeout(PATIENCE, self.closed.cancelled()).await.expect("the connection stays open");
    }

    pub(crate) async fn send(
        &self,
        topic: &str,
        queue_id: i32,
        properties: &str,
        body: &str,
    ) -> RemotingCommand {
        self.call(send_request(topic, queue_id, properties, body)).await
    }

    /// Sends and expects it to be stored.
    pub(crate) async fn sent(
        &self,
        topic: &str,
        queue_id: i32,
        properties: &str,
        body: &str,
    ) -> RemotingCommand {
        let reply = self.send(topic, queue_id, properties, body).await;
        assert_eq!(reply.response_code(), ResponseCode::SUCCESS, "{:?}", reply.remark);
        reply
    }

    pub(crate) async fn create_topic(&self, topic: &str, queues: i32) {
        let queues = queues.to_string();
        let reply = self
            .ask_with(
                RequestCode::UPDATE_AND_CREATE_TOPIC,
                &[
                    ("topic", topic),
                    ("readQueueNums", &queues),
                    ("writeQueueNums", &queues),
                    ("perm", "6"),
                    ("defaultTopic", "TBW102"),
                ],
            )
            .await;
        assert_eq!(reply.response_code(), ResponseCode::SUCCESS, "{:?}", reply.remark);
    }

    /// Pulls at once, with the subscription `*` in the request.
    pub(crate) async fn pull(&self, group: &str, topic: &str, queue_id: i32, offset: i64) -> RemotingCommand {
        self.ask(RequestCode::PULL_MESSAGE, &pull_header(group, topic, queue_id, offset)).await
    }

    /// The messages of queue 0 from `offset` on, waiting until there are `count`.
    pub(crate) async fn wait_for(&self, topic: &str, offset: i64, count: usize) -> Vec<MessageExt> {
        let waited = async {
            loop {
                let reply = self.pull("waiter", topic, 0, offset).await;
                let messages = messages(&reply);
                if messages.len() >= count {
                    return messages;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waited).await.expect("the messages do not come")
    }

    /// A heartbeat of one consumer, each subscription a topic, its expression and version.
    pub(crate) async fn heartbeat(
        &self,
        client_id: &str,
        group: &str,
        topics: &[(&str, &str, i64)],
    ) -> RemotingCommand {
        let body = heartbeat_body(client_id, group, "CLUSTERING", topics);
        self.call(RemotingCommand::bare_request(RequestCode::HEART_BEAT).with_body(body)).await
    }
}

pub(crate) async fn reply(receiver: oneshot::Receiver<RemotingCommand>) -> RemotingCommand {
    tokio::time::timeout(PATIENCE, receiver)
        .await
        .expect("no reply in time")
        .expect("the connection was closed")
}

pub(crate) fn with_fields(code: RequestCode, fields: &[(&str, &str)]) -> RemotingCommand {
    let mut request = RemotingCommand::bare_request(code);
    fields.iter().for_each(|(name, value)| request.ext_fields.insert(name, value));
    request
}

pub(crate) fn send_header(topic: &str, queue_id: i32, properties: &str) -> SendMessageRequestHeaderV2 {
    SendMessageRequestHeaderV2 {
        producer_group: "p".to_owned(),
        topic: topic.to_owned(),
        default_topic: "TBW102".to_owned(),
        default_topic_queue_nums: 4,
        queue_id,
        born_timestamp: 1_700_000_000_000,
        properties: Some(properties.to_owned()),
        ..SendMessageRequestHeaderV2::default()
    }
}

pub(crate) fn send_request(topic: &str, queue_id: i32, properties: &str, body: &str) -> RemotingCommand {
    RemotingCommand::request(RequestCode::SEND_MESSAGE_V2, &send_header(topic, queue_id, properties))
        .with_body(body.as_bytes().to_vec())
}

pub(crate) fn pull_header(group: &str, topic: &str, queue_id: i32, offset: i64) -> PullMessageRequestHeader {
    PullMessageRequestHeader {
        consumer_group: group.to_owned(),
        topic: topic.to_owned(),
        queue_id,
        queue_offset: offset,
        max_msg_nums: 32,
        sys_flag: 4,
        suspend_timeout_millis: 15_000,
        subscription: Some("*".to_owned()),
        expression_type: Some("TAG".to_owned()),
        ..PullMessageRequestHeader::default()
    }
}

pub(crate) fn heartbeat_body(
    client_id: &str,
    group: &str,
    model: &str,
    topics: &[(&str, &str, i64)],
) -> Vec<u8> {
    let subscription = |(topic, expression, version): &(&str, &str, i64)| {
        json!({"classFilterMode": false, "codeSet": [], "expressionType": "TAG", "subString": expression,
               "subVersion": version, "tagsSet": [], "topic": topic})
    };
    json!({"clientID": client_id, "heartbeatFingerprint": 0, "withoutSub": false, "producerDataSet": [],
           "consumerDataSet": [{"consumeFromWhere": "CONSUME_FROM_LAST_OFFSET", "consumeType": "CONSUME_PASSIVELY",
               "groupName": group, "messageModel": model, "unitMode": false,
               "subscriptionDataSet": topics.iter().map(subscription).collect::<Vec<_>>()}]})
    .to_string()
    .into_bytes()
}

pub(crate) fn messages(reply: &RemotingCommand) -> Vec<MessageExt> {
    decode_all(reply.body.clone()).map(|message| message.unwrap()).collect()
}

pub(crate) fn bodies(messages: &[MessageExt]) -> Vec<String> {
    messages.iter().map(|message| String::from_utf8(message.body().unwrap().to_vec()).unwrap()).collect()
}

pub(crate) fn field<'a>(reply: &'a RemotingCommand, name: &str) -> &'a str {
    reply.ext_fields.get(name).unwrap_or_else(|| panic!("no {name} in {reply:?}"))
}

/// Polls until the condition holds.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waited = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waited).await.unwrap_or_else(|_| panic!("never: {what}"));
}
