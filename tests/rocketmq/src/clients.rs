//! RocketMQ's clients, typed: a member of a consumer group, and a producer that is administrator too.

use crate::driver::{ClientProgram, Driver, DriverError};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// One queue of a topic (RocketMQ: `MessageQueue`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Queue {
    /// Its topic.
    pub topic: String,
    /// The name of its broker.
    pub broker: String,
    /// Its number, from 0.
    pub queue_id: i32,
}

/// A stored message as the client sees it (RocketMQ: `MessageExt`).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stored {
    /// The topic it was found in; for a message given back, the original one.
    pub topic: String,
    /// The broker it came from; absent for a message in a topic that was read.
    pub broker: Option<String>,
    /// Its queue.
    pub queue_id: i32,
    /// Its offset in that queue.
    pub offset: i64,
    /// The producer's unique id.
    pub msg_id: String,
    /// Its keys, separated by spaces.
    pub keys: Option<String>,
    /// Its tag.
    pub tags: Option<String>,
    /// How often it was given back.
    pub reconsume_times: i32,
    /// When the broker stored it, in milliseconds since the Unix epoch.
    pub store_timestamp: i64,
    /// Its body, as UTF-8.
    pub body: String,
    /// Every property, RocketMQ's own included.
    pub properties: BTreeMap<String, String>,
    /// The rest of it; Java only.
    pub more: Option<More>,
}

/// What few look at in a stored message, as the Java client sees it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct More {
    /// FNV-1a of the body's bytes, as 16 hexadecimal digits.
    pub body_hash: String,
    /// Bytes of the body.
    pub body_length: usize,
    /// Checksum of the body as it is stored.
    pub body_crc: i32,
    /// The sender's own flag.
    pub flag: i32,
    /// Such as that the body is stored compressed.
    pub sys_flag: i32,
    /// When the producer made it, in milliseconds since the Unix epoch.
    pub born_timestamp: i64,
    /// The producer's address.
    pub born_host: String,
    /// The broker's address.
    pub store_host: String,
    /// Its place in the broker's commit log.
    pub physical_offset: i64,
    /// The broker's id of it; none of one that is kept within a batch.
    pub offset_msg_id: Option<String>,
}

/// What a member of a consumer group is started with (RocketMQ: `DefaultMQPushConsumer`).
#[derive(Debug, Clone)]
pub struct ConsumerOptions {
    settings: Vec<(&'static str, String)>,
}

impl ConsumerOptions {
    /// A member of `group`, subscribed to every message of `topic` from the first offset on.
    pub fn new(group: &str, topic: &str) -> Self {
        Self { settings: vec![("group", group.to_owned()), ("topic", topic.to_owned())] }
    }

    /// Only messages with these tags, joined by `||`. Default: `*`.
    #[must_use]
    pub fn tags(self, tags: &str) -> Self {
        self.set("tags", tags)
    }

    /// Only messages that fulfil this SQL92 expression, which the broker evaluates. Default: by tags.
    #[must_use]
    pub fn sql(self, expression: &str) -> Self {
        self.set("sql", expression)
    }

    /// The first part of its client id, by which members are put in order. Default: `127.0.0.1`. The Go client takes
    /// an address of the machine instead.
    #[must_use]
    pub fn client_ip(self, address: &str) -> Self {
        self.set("clientIP", address)
    }

    /// The second part of its client id. Default: `java` or `go`.
    #[must_use]
    pub fn instance(self, name: &str) -> Self {
        self.set("instance", name)
    }

    /// Its topics and groups are in this namespace (RocketMQ: `namespace`). What it tells of queues has the names that
    /// brokers know, of messages the plain ones. Java only.
    #[must_use]
    pub fn namespace(self, name: &str) -> Self {
        self.set("namespace", name)
    }

    /// Its requests name this namespace (RocketMQ: `namespaceV2`). Java only.
    #[must_use]
    pub fn namespace_v2(self, name: &str) -> Self {
        self.set("namespaceV2", name)
    }

    /// Its heartbeats are of the second form (RocketMQ: `useHeartbeatV2`). Java only.
    #[must_use]
    pub fn heartbeat_v2(self) -> Self {
        self.set("heartbeatV2", true)
    }

    /// Begin at the end of a queue where the group has no offset.
    #[must_use]
    pub fn from_last(self) -> Self {
        self.set("from", "last")
    }

    /// Begin with the first message of this second or later where the group has no offset; in milliseconds since the
    /// Unix epoch (RocketMQ: `CONSUME_FROM_TIMESTAMP`). Java only.
    #[must_use]
    pub fn from_time(self, millis: i64) -> Self {
        self.set("from", millis)
    }

    /// Most messages in one call of the listener. Default: 1.
    #[must_use]
    pub fn batch(self, messages: u32) -> Self {
        self.set("batch", messages)
    }

    /// How long the listener takes for one call, in whole milliseconds. Default: 0.
    #[must_use]
    pub fn pause(self, pause: Duration) -> Self {
        self.set("pauseMillis", pause.as_millis())
    }

    /// How much longer it may take, by chance, in whole milliseconds. Default: 0. Java only.
    #[must_use]
    pub fn pause_spread(self, spread: Duration) -> Self {
        self.set("pauseSpreadMillis", spread.as_millis())
    }

    /// Threads that run the listener (RocketMQ: `consumeThreadMin`, `consumeThreadMax`). Default: RocketMQ's, 20. Java only.
    #[must_use]
    pub fn threads(self, threads: u32) -> Self {
        self.set("threads", threads)
    }

    /// Appends a line for each consumed message to this file, before the listener answers, instead of telling it: when it
    /// was consumed and when stored, in microseconds since the Unix epoch; its queue, 9999 for one that came back; the number
    /// at the end of its body. With leading zeros, 50 bytes in all. Java only.
    #[must_use]
    pub fn ledger(self, file: &Path) -> Self {
        self.set("ledger", file.display())
    }

    /// Retries before a message goes to the dead-letter topic. Default: RocketMQ's, 16.
    #[must_use]
    pub fn max_reconsume_times(self, times: i32) -> Self {
        self.set("maxReconsumeTimes", times)
    }

    /// Consume each queue in its order (RocketMQ: `MessageListenerOrderly`); what is given back stays in front.
    #[must_use]
    pub fn orderly(self) -> Self {
        self.set("listener", "orderly")
    }

    /// Poll, as a `DefaultLitePullConsumer` does, from the first offset on, in place of a listener: what was polled is done
    /// with the next poll. Only the topic, the tags, and the client's id are heeded. Java only.
    #[must_use]
    pub fn polling(self) -> Self {
        self.set("listener", "poll")
    }

    /// Every member consumes every message (RocketMQ: `MessageModel.BROADCASTING`).
    #[must_use]
    pub fn broadcasting(self) -> Self {
        self.set("model", "broadcasting")
    }

    /// The delay level at which a message given back comes again. Default: 0, which leaves it to the broker.
    #[must_use]
    pub fn retry_level(self, level: u8) -> Self {
        self.set("retryLevel", level)
    }

    /// Pop the topic instead of pulling it (RocketMQ: `MessageRequestMode.POP`, with the broker's allocation). Java only.
    #[must_use]
    pub fn popping(self) -> Self {
        self.set("popping", true)
    }

    /// Answer each message as a request message, with `re: ` and its body.
    #[must_use]
    pub fn replying(self) -> Self {
        self.set("replying", true)
    }

    fn set(mut self, name: &'static str, value: impl ToString) -> Self {
        self.settings.push((name, value.to_string()));
        self
    }
}

/// A member of a consumer group in Java or Go. It succeeds with every message, but gives one whose body begins with `later` back
/// the first time.
///
/// Dropped, it is killed, which leaves its membership to time out at the broker; [`Consumer::quit`] leaves in order.
#[derive(Debug)]
pub struct Consumer {
    driver: Driver,
    client_id: String,
}

impl Consumer {
    /// Starts it, and returns when the consumer's own `start` has.
    ///
    /// # Errors
    /// What the client says, or that it did not start.
    pub fn start(
        program: &impl ClientProgram,
        name_server: SocketAddr,
        options: &ConsumerOptions,
    ) -> Result<Self, DriverError> {
        let (driver, started) = Driver::start(program, "consumer", name_server, &options.settings)?;
        Ok(Self { driver, client_id: field(&started, "clientId")? })
    }

    /// Its client id, such as `127.0.0.1@java`; of a Go member the part after the `@`, the other it does not tell.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// The operating system's id of its process.
    pub fn process_id(&self) -> u32 {
        self.driver.id()
    }

    /// The queues it owns now, its retry topic's included, in RocketMQ's order.
    ///
    /// # Errors
    /// That it has ended or does not answer.
    pub fn queues(&mut self) -> Result<Vec<Queue>, DriverError> {
        field(&self.driver.ask(&json!({ "op": "queues" }))?, "queues")
    }

    /// How many messages it has fetched and not yet settled.
    ///
    /// # Errors
    /// That it has ended or does not answer.
    pub fn pending(&mut self) -> Result<u64, DriverError> {
        field(&self.driver.ask(&json!({ "op": "pending" }))?, "pending")
    }

    /// The next message it consumed, if there is one within `wait`.
    ///
    /// # Errors
    /// That it has ended.
    pub fn consumed(&mut self, wait: Duration) -> Result<Option<Stored>, DriverError> {
        self.driver.consumed(wait)?.map(read).transpose()
    }

    /// Leaves the group in order (`shutdown()`), and returns what it consumed that was not taken yet.
    ///
    /// # Errors
    /// That it has ended before or does not answer.
    pub fn quit(self) -> Result<Vec<Stored>, DriverError> {
        self.driver.quit()?.into_iter().map(read).collect()
    }
}

/// A message to send.
#[derive(Debug, Clone)]
pub struct Outgoing {
    request: Value,
}

impl Outgoing {
    /// A message for `topic`.
    pub fn new(topic: &str, body: &str) -> Self {
        Self { request: json!({ "op": "send", "topic": topic, "body": body }) }
    }

    /// These bytes, in Base64, in place of the body; Java only.
    #[must_use]
    pub fn body_base64(self, bytes: &str) -> Self {
        self.set("bodyBase64", bytes)
    }

    /// How bodies of 4 KiB and more are compressed from now on: `ZLIB`, which is the default, `LZ4` or `ZSTD`; Java only.
    #[must_use]
    pub fn compression(self, kind: &str) -> Self {
        self.set("compression", kind)
    }

    /// The sender's own flag; Java only.
    #[must_use]
    pub fn flag(self, flag: i32) -> Self {
        self.set("flag", flag)
    }

    /// Its tag.
    #[must_use]
    pub fn tags(self, tags: &str) -> Self {
        self.set("tags", tags)
    }

    /// Its keys, separated by spaces.
    #[must_use]
    pub fn keys(self, keys: &str) -> Self {
        self.set("keys", keys)
    }

    /// Deliver it after this delay level, 1 to 18.
    #[must_use]
    pub fn delay_level(self, level: u8) -> Self {
        self.set("delayLevel", level)
    }

    /// Deliver it after this delay, in whole milliseconds (RocketMQ: `TIMER_DELAY_MS`).
    #[must_use]
    pub fn delay(self, delay: Duration) -> Self {
        self.set("delayMillis", u64::try_from(delay.as_millis()).unwrap_or(u64::MAX))
    }

    /// Deliver it at this time, in milliseconds since the Unix epoch (RocketMQ: `TIMER_DELIVER_MS`).
    #[must_use]
    pub fn deliver_at(self, millis: i64) -> Self {
        self.set("deliverAt", millis)
    }

    /// To this queue. Default: one after the other.
    #[must_use]
    pub fn queue_id(self, queue_id: i32) -> Self {
        self.set("queueId", queue_id)
    }

    /// One more user property.
    #[must_use]
    pub fn property(mut self, name: &str, value: &str) -> Self {
        if let Some(request) = self.request.as_object_mut() {
            let properties = request.entry("properties").or_insert_with(|| json!({}));
            if let Some(properties) = properties.as_object_mut() {
                properties.insert(name.to_owned(), value.into());
            }
        }
        self
    }

    fn set(mut self, name: &str, value: impl Into<Value>) -> Self {
        if let Some(request) = self.request.as_object_mut() {
            request.insert(name.to_owned(), value.into());
        }
        self
    }
}

/// What became of a message that was sent (RocketMQ: `SendResult`).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sent {
    /// `SEND_OK`, or what went wrong after it was stored.
    pub status: String,
    /// The producer's unique id.
    pub msg_id: String,
    /// The broker's id of the stored message.
    pub offset_msg_id: String,
    /// The broker that stored it.
    pub broker: String,
    /// Its queue.
    pub queue_id: i32,
    /// Its offset in that queue.
    pub offset: i64,
    /// What recalls a timer message; Java only.
    pub recall_handle: Option<String>,
}

/// How a transaction ends, or that it is not yet known (RocketMQ: `LocalTransactionState`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionState {
    /// The message is delivered.
    Commit,
    /// The message is dropped.
    Rollback,
    /// The broker is to ask.
    Unknown,
}

impl TransactionState {
    fn name(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Rollback => "rollback",
            Self::Unknown => "unknown",
        }
    }
}

/// How far a group has come in one queue (RocketMQ: `OffsetWrapper`).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// The queue.
    #[serde(flatten)]
    pub queue: Queue,
    /// The offset the next message stored will have.
    pub broker_offset: i64,
    /// The offset the group has committed.
    pub consumer_offset: i64,
}

/// Where a member is in one of its queues, by its own word (RocketMQ: `GetConsumerStatusBody`).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Position {
    /// The member.
    pub client_id: String,
    /// The queue.
    #[serde(flatten)]
    pub queue: Queue,
    /// The offset the member would commit.
    pub offset: i64,
}

/// A producer and administrator (RocketMQ: `DefaultMQProducer`, `DefaultMQAdminExt`) in one process. In Go
/// it can send and create topics.
#[derive(Debug)]
pub struct Client {
    driver: Driver,
}

impl Client {
    /// Starts it.
    ///
    /// # Errors
    /// What the client says, or that it did not start.
    pub fn start(program: &impl ClientProgram, name_server: SocketAddr) -> Result<Self, DriverError> {
        Driver::start(program, "client", name_server, &[]).map(|(driver, _)| Self { driver })
    }

    /// Starts it with a producer whose topics are in this namespace (RocketMQ: `namespace`). Java only.
    ///
    /// # Errors
    /// What the client says, or that it did not start.
    pub fn in_namespace(
        program: &impl ClientProgram,
        name_server: SocketAddr,
        namespace: &str,
    ) -> Result<Self, DriverError> {
        let settings = [("namespace", namespace.to_owned())];
        Driver::start(program, "client", name_server, &settings).map(|(driver, _)| Self { driver })
    }

    /// Sends one message and waits until the broker has stored it.
    ///
    /// # Errors
    /// What the client says.
    pub fn send(&mut self, message: &Outgoing) -> Result<Sent, DriverError> {
        self.driver.ask(&message.request).and_then(read)
    }

    /// Sends messages of one topic together, into one queue; Java only.
    ///
    /// # Errors
    /// What the client says.
    pub fn send_batch(&mut self, messages: &[Outgoing]) -> Result<Sent, DriverError> {
        let messages: Vec<_> = messages.iter().map(|message| &message.request).collect();
        self.driver.ask(&json!({ "op": "sendBatch", "messages": messages })).and_then(read)
    }

    /// Sends a message in a transaction that ends with `state`, and where the broker asks with `when_asked`.
    ///
    /// # Errors
    /// What the client says.
    pub fn transact(
        &mut self,
        message: &Outgoing,
        state: TransactionState,
        when_asked: TransactionState,
    ) -> Result<Sent, DriverError> {
        let message = message.clone().set("op", "transact").set("state", state.name());
        self.driver.ask(&message.set("whenAsked", when_asked.name()).request).and_then(read)
    }

    /// How often the broker asked about transactions, by the messages' bodies.
    ///
    /// # Errors
    /// That the process has ended or does not answer.
    pub fn checks(&mut self) -> Result<BTreeMap<String, u32>, DriverError> {
        field(&self.driver.ask(&json!({ "op": "checks" }))?, "checks")
    }

    /// Sends a request message and waits for the body of its reply.
    ///
    /// # Errors
    /// What the client says, such as that no reply came in time.
    pub fn request(&mut self, message: &Outgoing, timeout: Duration) -> Result<String, DriverError> {
        let timeout = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        let message = message.clone().set("op", "request").set("timeoutMillis", timeout);
        field(&self.driver.ask(&message.request)?, "body")
    }

    /// Recalls a timer message, and returns its id. Java only.
    ///
    /// # Errors
    /// What the client says, such as that the message was delivered already.
    pub fn recall(&mut self, topic: &str, handle: &str) -> Result<String, DriverError> {
        field(&self.driver.ask(&json!({ "op": "recall", "topic": topic, "handle": handle }))?, "msgId")
    }

    /// Sends `count` messages whose keys and bodies are `<prefix>-0`, `<prefix>-1` and so on, one after the other or in
    /// batches of `batch`.
    ///
    /// # Errors
    /// What the client says; what was sent before stays sent.
    pub fn send_many(
        &mut self,
        topic: &str,
        tags: &str,
        prefix: &str,
        count: u32,
        batch: u32,
    ) -> Result<(), DriverError> {
        let request = json!({
            "op": "sendMany", "topic": topic, "tags": tags, "prefix": prefix, "count": count, "batch": batch,
        });
        self.driver.ask(&request).map(drop)
    }

    /// Creates or changes a topic at every broker, with this many queues at each.
    ///
    /// # Errors
    /// What the client says.
    pub fn create_topic(&mut self, topic: &str, queues: u32) -> Result<(), DriverError> {
        self.driver.ask(&json!({ "op": "createTopic", "topic": topic, "queues": queues })).map(drop)
    }

    /// Deletes a topic everywhere.
    ///
    /// # Errors
    /// What the client says.
    pub fn delete_topic(&mut self, topic: &str) -> Result<(), DriverError> {
        self.driver.ask(&json!({ "op": "deleteTopic", "topic": topic })).map(drop)
    }

    /// Creates or changes a consumer group at every broker.
    ///
    /// # Errors
    /// What the client says.
    pub fn create_group(&mut self, group: &str, retry_max_times: u32) -> Result<(), DriverError> {
        let request = json!({ "op": "createGroup", "group": group, "retryMaxTimes": retry_max_times });
        self.driver.ask(&request).map(drop)
    }

    /// How far a group has come in each queue (mqadmin: `consumerProgress`).
    ///
    /// # Errors
    /// What the client says, such as that the group has no offsets yet.
    pub fn progress(&mut self, group: &str) -> Result<Vec<Progress>, DriverError> {
        field(&self.driver.ask(&json!({ "op": "progress", "group": group }))?, "queues")
    }

    /// The client ids of a group's members (mqadmin: `consumerConnection`).
    ///
    /// # Errors
    /// What the client says, such as that the group is not online.
    pub fn members(&mut self, group: &str) -> Result<Vec<String>, DriverError> {
        field(&self.driver.ask(&json!({ "op": "members", "group": group }))?, "members")
    }

    /// What a member says of itself, asked through its broker (mqadmin: `consumerStatus`): its queues, and all of it as
    /// mqadmin prints it.
    ///
    /// # Errors
    /// What the client says.
    pub fn running_info(
        &mut self,
        group: &str,
        client_id: &str,
    ) -> Result<(Vec<Queue>, String), DriverError> {
        let answer =
            self.driver.ask(&json!({ "op": "runningInfo", "group": group, "clientId": client_id }))?;
        Ok((field(&answer, "queues")?, field(&answer, "text")?))
    }

    /// Where the members of a group are in a topic, or the one named, asked through their broker (RocketMQ:
    /// `MQAdminExt.getConsumeStatus`).
    ///
    /// # Errors
    /// What the client says.
    pub fn positions(
        &mut self,
        group: &str,
        topic: &str,
        client_id: Option<&str>,
    ) -> Result<Vec<Position>, DriverError> {
        let client_id = client_id.unwrap_or_default();
        let request = json!({ "op": "consumeStatus", "group": group, "topic": topic, "clientId": client_id });
        field(&self.driver.ask(&request)?, "queues")
    }

    /// Sets a group's offsets to the first message stored at or after a time, in milliseconds since the Unix epoch
    /// (mqadmin: `resetOffsetByTime`).
    ///
    /// # Errors
    /// What the client says.
    pub fn reset_offset(&mut self, group: &str, topic: &str, timestamp: i64) -> Result<(), DriverError> {
        let request = json!({ "op": "resetOffset", "group": group, "topic": topic, "timestamp": timestamp });
        self.driver.ask(&request).map(drop)
    }

    /// Every message of a topic, such as `%DLQ%group`, queue by queue.
    ///
    /// # Errors
    /// What the client says, such as that there is no such topic.
    pub fn read(&mut self, topic: &str) -> Result<Vec<Stored>, DriverError> {
        field(&self.driver.ask(&json!({ "op": "read", "topic": topic }))?, "messages")
    }

    /// At least `count` messages of a topic as the group's only member (RocketMQ: `DefaultLitePullConsumer`), unless there are
    /// fewer for a minute; what was polled is committed. A client polls for one group and topic. Java only.
    ///
    /// # Errors
    /// What the client says.
    pub fn poll(&mut self, group: &str, topic: &str, count: u32) -> Result<Vec<Stored>, DriverError> {
        let request = json!({ "op": "poll", "group": group, "topic": topic, "count": count });
        field(&self.driver.ask(&request)?, "messages")
    }

    /// What an mqadmin command prints; `arguments` are as on its command line. One whose arguments mqadmin cannot parse ends
    /// the process.
    ///
    /// # Errors
    /// That the process has ended or does not answer.
    pub fn mqadmin(&mut self, arguments: &[&str]) -> Result<String, DriverError> {
        field(&self.driver.ask(&json!({ "op": "mqadmin", "arguments": arguments }))?, "text")
    }

    /// Shuts the clients down in order.
    ///
    /// # Errors
    /// That the process has ended before or does not answer.
    pub fn quit(self) -> Result<(), DriverError> {
        self.driver.quit().map(drop)
    }
}

fn read<T: DeserializeOwned>(answer: Value) -> Result<T, DriverError> {
    T::deserialize(&answer).map_err(|source| DriverError::Unexpected { answer, source })
}

fn field<T: DeserializeOwned>(answer: &Value, name: &str) -> Result<T, DriverError> {
    let value = answer.get(name).unwrap_or(&Value::Null);
    T::deserialize(value).map_err(|source| DriverError::Unexpected { answer: answer.clone(), source })
}
