//! Sending (RocketMQ: DefaultMQProducer, the synchronous part).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use gantry_protocol::batch::{self, BatchItem};
use gantry_protocol::header::{SendMessageRequestHeaderV2, SendMessageResponseHeader};
use gantry_protocol::message_id::{UniqueKeyGenerator, parse_offset_msg_id};
use gantry_protocol::names::{AUTO_CREATE_TOPIC, is_retry};
use gantry_protocol::properties::{self, keys};
use gantry_protocol::trace::{DEFAULT_REGION, MessageKind, Published, TraceBody};
use gantry_protocol::{MessageQueue, RemotingCommand, RequestCode, ResponseCode, compression};
use gantry_remoting::InvokeError;
use tokio::time::{Instant, sleep};

use super::ClientInstance;
use super::error::{CallError, RouteError, SendError};
use super::message::{Delay, OutgoingMessage};
use super::route::TopicRoute;
use super::trace::TraceDispatcher;

/// Settings of a [`Producer`], with RocketMQ's defaults.
#[derive(Debug, Clone)]
pub struct ProducerConfig {
    /// The producer group. Default `GANTRY_PRODUCER`.
    pub group: String,
    /// How long a send may take, its repetitions included (`sendMsgTimeout`). Default 3 s.
    pub send_timeout: Duration,
    /// How often a failed send is repeated, at another broker where there is one (`retryTimesWhenSendFailed`).
    /// Default 2. A message whose answer was lost may then be stored twice.
    pub retry_times_when_send_failed: u32,
    /// Bodies of so many bytes and more are compressed (`compressMsgBodyOverHowmuch`). Default 4,096.
    pub compress_msg_body_over_howmuch: usize,
    /// The longest body (`maxMessageSize`), in bytes. Default 4 MiB.
    pub max_message_size: usize,
    /// Queues per broker of a topic that brokers create by themselves (`defaultTopicQueueNums`). Default 4.
    pub default_topic_queue_nums: i32,
    /// Where sends are told (`enableTrace`). Default: nowhere.
    pub traces: Option<TraceDispatcher>,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        Self {
            group: "GANTRY_PRODUCER".to_owned(),
            send_timeout: Duration::from_secs(3),
            retry_times_when_send_failed: 2,
            compress_msg_body_over_howmuch: compression::DEFAULT_THRESHOLD,
            max_message_size: 4 * 1_024 * 1_024,
            default_topic_queue_nums: 4,
            traces: None,
        }
    }
}

/// How well a sent message is kept (RocketMQ: SendStatus). It is at the broker in every case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendStatus {
    /// As well as the broker is configured to.
    Ok,
    /// Not on the broker's disk in time.
    FlushDiskTimeout,
    /// Not at a slave in time.
    FlushSlaveTimeout,
    /// There is no slave.
    SlaveNotAvailable,
}

/// A broker's word that it has a message (RocketMQ: SendResult).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendReceipt {
    /// How well the message is kept.
    pub status: SendStatus,
    /// The message's id as its consumers see it (`UNIQ_KEY`); of a batch, all of them, separated by commas.
    pub message_id: String,
    /// The id that names the place of the message at the broker; of a batch, all of them, separated by commas.
    pub offset_msg_id: String,
    /// The queue it is in.
    pub queue: MessageQueue,
    /// Its offset there; of a batch, that of the first message.
    pub queue_offset: i64,
}

/// Sends messages of one producer group. Cheap to clone; clones share the turn of the queues.
#[derive(Debug, Clone)]
pub struct Producer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    instance: ClientInstance,
    config: ProducerConfig,
    unique_keys: UniqueKeyGenerator,
    turn: AtomicUsize,
}

/// A request whose queue is still to be chosen.
struct Prepared {
    code: RequestCode,
    header: SendMessageRequestHeaderV2,
    body: Bytes,
    message_id: String,
}

impl Prepared {
    /// The request that puts it into this queue.
    fn request(&self, queue: &MessageQueue) -> RemotingCommand {
        let header = SendMessageRequestHeaderV2 {
            queue_id: queue.queue_id,
            broker_name: Some(queue.broker_name.to_string()),
            ..self.header.clone()
        };
        RemotingCommand::request(self.code, &header).with_body(self.body.clone())
    }
}

impl Producer {
    /// A producer over the connections of `instance`.
    pub fn new(instance: ClientInstance, config: ProducerConfig) -> Self {
        let identity = instance.identity();
        // Drawn anew: several producers of one instance must not make the same keys.
        let unique_keys = UniqueKeyGenerator::new(identity.ip, identity.pid, fastrand::u32(..));
        Self(Arc::new(Inner {
            instance,
            config,
            unique_keys,
            turn: AtomicUsize::new(fastrand::usize(..1_024)),
        }))
    }

    /// Sends a message to the topic's queues in turn and waits until the broker has it (SEND_MESSAGE_V2). A topic
    /// that does not exist is sent to where the template topic TBW102 is, whose brokers create topics by themselves.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn send(&self, message: &OutgoingMessage) -> Result<SendReceipt, SendError> {
        let prepared = self.prepare(message)?;
        let began = Began::now();
        let receipt = self.send_prepared(&prepared, &message.topic).await?;
        self.trace(message, &receipt, began);
        Ok(receipt)
    }

    /// Sends a message to one queue, which is tried once.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn send_to(
        &self,
        queue: &MessageQueue,
        message: &OutgoingMessage,
    ) -> Result<SendReceipt, SendError> {
        if *queue.topic != *message.topic {
            return Err(message.invalid(format!("{queue} is of another topic")));
        }
        let prepared = self.prepare(message)?;
        let began = Began::now();
        let sent = self.send_once(&prepared, queue, self.0.config.send_timeout).await;
        let receipt = sent.map_err(|last| SendError::Failed { attempts: 1, last })?;
        self.trace(message, &receipt, began);
        Ok(receipt)
    }

    fn trace(&self, message: &OutgoingMessage, receipt: &SendReceipt, began: Began) {
        let config = &self.0.config;
        if let Some(traces) = &config.traces {
            traces.tell(published(&config.group, message, receipt, began));
        }
    }

    /// Hands a message for one of the topic's queues, in turn, to the connection and waits for no answer.
    ///
    /// # Errors
    /// See [`SendError`]. Without one the message may be lost all the same.
    pub async fn send_one_way(&self, message: &OutgoingMessage) -> Result<(), SendError> {
        let prepared = self.prepare(message)?;
        let route = self.publish_route(&message.topic).await?;
        let queue = self.pick(&route, None).ok_or_else(|| no_queue(&message.topic))?;
        let instance = &self.0.instance;
        let failed = |last| SendError::Failed { attempts: 1, last };
        let addr = instance.master(&queue.topic, &queue.broker_name).await.map_err(failed)?;
        let request = prepared.request(queue);
        instance.tell(&addr, request).await.map_err(failed)
    }

    /// The topic's writable queues, sorted: what a selector chooses from.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn queues(&self, topic: &str) -> Result<Vec<MessageQueue>, SendError> {
        let route = self.publish_route(topic).await?;
        if route.publish_queues.is_empty() { Err(no_queue(topic)) } else { Ok(route.publish_queues.clone()) }
    }

    /// Sends messages of one topic together, into one queue (SEND_BATCH_MESSAGE). They are not compressed, cannot be
    /// delayed, and are stored all or none.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn send_batch(&self, messages: &[OutgoingMessage]) -> Result<SendReceipt, SendError> {
        let Some(first) = messages.first() else {
            return Err(OutgoingMessage::default().invalid("the batch is empty".to_owned()));
        };
        let prepared = self.prepare_batch(first, messages)?;
        self.send_prepared(&prepared, &first.topic).await
    }

    fn prepare(&self, message: &OutgoingMessage) -> Result<Prepared, SendError> {
        let config = &self.0.config;
        message.check(config.max_message_size)?;
        let message_id = self.next_unique_key();
        let properties = message.property_text(&message_id)?;
        let (body, sys_flag) = message.stored_body(config.compress_msg_body_over_howmuch);
        let header = SendMessageRequestHeaderV2 {
            sys_flag,
            flag: message.flag,
            ..self.header(&message.topic, properties)
        };
        Ok(Prepared { code: RequestCode::SEND_MESSAGE_V2, header, body, message_id })
    }

    fn prepare_batch(
        &self,
        first: &OutgoingMessage,
        messages: &[OutgoingMessage],
    ) -> Result<Prepared, SendError> {
        let max_size = self.0.config.max_message_size;
        if is_retry(&first.topic) {
            return Err(first.invalid("brokers take no batches for retry topics".to_owned()));
        }
        let (mut items, mut ids) = (Vec::with_capacity(messages.len()), Vec::with_capacity(messages.len()));
        for message in messages {
            message.check(max_size)?;
            if message.topic != first.topic {
                return Err(
                    message.invalid(format!("the batch is for {}; send one batch per topic", first.topic))
                );
            }
            if message.delay != Delay::None {
                return Err(
                    message.invalid("messages of a batch cannot be delayed; send it alone".to_owned())
                );
            }
            let id = self.next_unique_key();
            let properties = message.property_text(&id)?.into();
            items.push(BatchItem { flag: message.flag, body: message.body.clone(), properties });
            ids.push(id);
        }
        let mut body = BytesMut::new();
        batch::encode(&items, &mut body).map_err(|error| first.invalid(error.to_string()))?;
        if body.len() > max_size {
            let length = body.len();
            return Err(first
                .invalid(format!("the batch of {length} bytes is longer than max_message_size {max_size}")));
        }
        let properties =
            properties::encode([(keys::UNIQUE_KEY, self.next_unique_key()), (keys::WAIT, "true".into())]);
        let header =
            SendMessageRequestHeaderV2 { batch: Some(true), ..self.header(&first.topic, properties) };
        Ok(Prepared {
            code: RequestCode::SEND_BATCH_MESSAGE,
            header,
            body: body.freeze(),
            message_id: ids.join(","),
        })
    }

    fn header(&self, topic: &str, properties: String) -> SendMessageRequestHeaderV2 {
        let config = &self.0.config;
        SendMessageRequestHeaderV2 {
            producer_group: config.group.clone(),
            topic: topic.to_owned(),
            default_topic: AUTO_CREATE_TOPIC.to_owned(),
            default_topic_queue_nums: config.default_topic_queue_nums,
            born_timestamp: i64::try_from(now_ms()).unwrap_or(i64::MAX),
            properties: Some(properties),
            reconsume_times: Some(0),
            unit_mode: Some(false),
            batch: Some(false),
            ..SendMessageRequestHeaderV2::default()
        }
    }

    async fn send_prepared(&self, prepared: &Prepared, topic: &str) -> Result<SendReceipt, SendError> {
        let deadline = Instant::now() + self.0.config.send_timeout;
        let route = self.publish_route(topic).await?;
        let mut attempts = 0;
        let mut avoid: Option<Arc<str>> = None;
        loop {
            let Some(queue) = self.pick(&route, avoid.as_deref()) else {
                return Err(no_queue(topic));
            };
            attempts += 1;
            let left = deadline.saturating_duration_since(Instant::now());
            let last = match self.send_once(prepared, queue, left).await {
                Ok(receipt) => return Ok(receipt),
                Err(error) => error,
            };
            let pause = pause(&last);
            let again = is_worth_repeating(&last)
                && attempts <= self.0.config.retry_times_when_send_failed
                && Instant::now() + pause < deadline;
            if !again {
                return Err(SendError::Failed { attempts, last });
            }
            tracing::debug!(topic, broker = %queue.broker_name, error = %last, "a send failed and is repeated");
            let elsewhere = route.publish_queues.iter().any(|other| other.broker_name != queue.broker_name);
            if !elsewhere {
                sleep(pause).await;
            }
            avoid = Some(Arc::clone(&queue.broker_name));
        }
    }

    async fn send_once(
        &self,
        prepared: &Prepared,
        queue: &MessageQueue,
        timeout: Duration,
    ) -> Result<SendReceipt, CallError> {
        let instance = &self.0.instance;
        let addr = instance.master(&queue.topic, &queue.broker_name).await?;
        let answer = instance.ask(&addr, prepared.request(queue), timeout).await?;
        let Some(status) = status(answer.code()) else { return Err(answer.refusal()) };
        let header: SendMessageResponseHeader = answer.header()?;
        Ok(SendReceipt {
            status,
            message_id: prepared.message_id.clone(),
            offset_msg_id: header.msg_id,
            queue: MessageQueue { queue_id: header.queue_id, ..queue.clone() },
            queue_offset: header.queue_offset,
        })
    }

    /// The topic's route, or the one it will have once a broker has created it.
    async fn publish_route(&self, topic: &str) -> Result<Arc<TopicRoute>, RouteError> {
        let instance = &self.0.instance;
        let missing = match instance.route(topic).await {
            Err(error @ RouteError::Missing { .. }) => error,
            other => return other,
        };
        match instance.route(AUTO_CREATE_TOPIC).await {
            Ok(template) => {
                let most = self.0.config.default_topic_queue_nums;
                Ok(Arc::new(template.for_new_topic(&topic.into(), most)))
            }
            Err(RouteError::Missing { .. }) => Err(missing),
            Err(error) => Err(error),
        }
    }

    /// The next queue in turn, at another broker than `avoid` if there is one.
    fn pick<'a>(&self, route: &'a TopicRoute, avoid: Option<&str>) -> Option<&'a MessageQueue> {
        let queues = &route.publish_queues;
        let turn = self.0.turn.fetch_add(1, Relaxed) % queues.len().max(1);
        let mut in_turn = queues.iter().cycle().skip(turn).take(queues.len());
        let elsewhere = in_turn.clone().find(|queue| avoid.is_none_or(|avoid| *queue.broker_name != *avoid));
        elsewhere.or_else(|| in_turn.next())
    }

    fn next_unique_key(&self) -> String {
        self.0.unique_keys.next(now_ms()).to_string()
    }
}

fn no_queue(topic: &str) -> SendError {
    SendError::NoQueue { topic: topic.into() }
}

/// When a send began, for its trace.
#[derive(Clone, Copy)]
struct Began {
    timestamp: u64,
    instant: Instant,
}

impl Began {
    fn now() -> Self {
        Self { timestamp: now_ms(), instant: Instant::now() }
    }
}

/// The trace of a send that the broker took.
fn published(group: &str, message: &OutgoingMessage, receipt: &SendReceipt, began: Began) -> TraceBody {
    let store_host = parse_offset_msg_id(&receipt.offset_msg_id).map(|(host, _)| host.to_string());
    let mut body = TraceBody::default();
    body.published(&Published {
        timestamp: began.timestamp,
        region: DEFAULT_REGION,
        group,
        topic: &message.topic,
        message_id: &receipt.message_id,
        tags: message.tag.as_deref().unwrap_or_default(),
        keys: &message.keys.join(" "),
        store_host: &store_host.unwrap_or_default(),
        body_length: message.body.len(),
        cost: u64::try_from(began.instant.elapsed().as_millis()).unwrap_or(u64::MAX),
        kind: if message.delay == Delay::None { MessageKind::Normal } else { MessageKind::Delay },
        offset_message_id: &receipt.offset_msg_id,
        success: true,
    });
    body
}

fn status(code: ResponseCode) -> Option<SendStatus> {
    match code {
        ResponseCode::SUCCESS => Some(SendStatus::Ok),
        ResponseCode::FLUSH_DISK_TIMEOUT => Some(SendStatus::FlushDiskTimeout),
        ResponseCode::FLUSH_SLAVE_TIMEOUT => Some(SendStatus::FlushSlaveTimeout),
        ResponseCode::SLAVE_NOT_AVAILABLE => Some(SendStatus::SlaveNotAvailable),
        _ => None,
    }
}

/// RocketMQ's `retryResponseCodes`, and everything that is not the broker's considered word.
fn is_worth_repeating(error: &CallError) -> bool {
    match error {
        CallError::Invoke(InvokeError::Encode { .. }) => false,
        CallError::Invoke(_)
        | CallError::UnknownBroker { .. }
        | CallError::MasterAway { .. }
        | CallError::Route(_) => true,
        CallError::Refused { code, .. } => matches!(
            *code,
            ResponseCode::TOPIC_NOT_EXIST
                | ResponseCode::SERVICE_NOT_AVAILABLE
                | ResponseCode::SYSTEM_ERROR
                | ResponseCode::SYSTEM_BUSY
                | ResponseCode::NO_PERMISSION
                | ResponseCode::NO_BUYER_ID
                | ResponseCode::NOT_IN_CURRENT_UNIT
        ),
        CallError::NoMaster
        | CallError::NoBroker { .. }
        | CallError::BadHeader { .. }
        | CallError::BadBody { .. } => false,
    }
}

/// A broker that cannot be reached is not asked again before the connection may be tried again.
fn pause(error: &CallError) -> Duration {
    match error {
        CallError::Invoke(InvokeError::Connect { retry_in, .. }) => *retry_in,
        _ => Duration::ZERO,
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
