//! One queue at a time, from the offset the caller names (RocketMQ: DefaultMQPullConsumer).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gantry_protocol::body::{ConsumeFromWhere, MessageModel, SubscriptionData};
use gantry_protocol::header::ConsumerSendMsgBackRequestHeader;
use gantry_protocol::names::check_group;
use gantry_protocol::{MessageExt, MessageQueue};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::error::PullConsumerError;
use super::membership::Membership;
use super::offsets::{OffsetStore, Offsets};
use super::plain::PlainClient;
use super::puller::{Filter, PullResult, Puller, Wanted, unix_millis};
use crate::FilterExpression;
use crate::client_instance::{ClientInstance, GroupListener};
use crate::tasks::Tasks;

/// How long the consumer's task may take to end.
const CLOSE_GRACE: Duration = Duration::from_secs(5);
/// The shortest time between persists.
const LEAST_INTERVAL: Duration = Duration::from_millis(10);

/// Settings of a [`PullConsumer`], with RocketMQ's defaults.
#[derive(Debug, Clone)]
pub struct PullConsumerConfig {
    /// The group (`consumerGroup`).
    pub consumer_group: String,
    /// How long a broker may hold a pull that waits (`brokerSuspendMaxTimeMillis`). Default 20 s.
    pub broker_suspend_max_time: Duration,
    /// How long such a pull may take in all (`consumerTimeoutMillisWhenSuspend`). Default 30 s.
    pub consumer_timeout_when_suspend: Duration,
    /// How long a pull may take that does not wait (`consumerPullTimeoutMillis`). Default 10 s.
    pub consumer_pull_timeout: Duration,
    /// How often a message may be sent back before it is a dead letter (`maxReconsumeTimes`). Default 16.
    pub max_reconsume_times: i32,
    /// How often offsets go from memory to their place, 10 ms at least (`persistConsumerOffsetInterval`). Default 5 s.
    pub persist_consumer_offset_interval: Duration,
    /// Where offsets are kept (`offsetStore`). Default: at the brokers.
    pub offset_store: OffsetStore,
    /// Whether brokers are told of this member. Default `true`, as in RocketMQ. With `false` the consumer leaves no trace
    /// but the group's name on its pulls, so it can read beside the members of a group that others share.
    pub join_group: bool,
}

impl PullConsumerConfig {
    /// The defaults for a group.
    pub fn new(consumer_group: impl Into<String>) -> Self {
        Self {
            consumer_group: consumer_group.into(),
            broker_suspend_max_time: Duration::from_secs(20),
            consumer_timeout_when_suspend: Duration::from_secs(30),
            consumer_pull_timeout: Duration::from_secs(10),
            max_reconsume_times: 16,
            persist_consumer_offset_interval: Duration::from_secs(5),
            offset_store: OffsetStore::Broker,
            join_group: true,
        }
    }

    fn check(&self) -> Result<(), PullConsumerError> {
        check_group(&self.consumer_group)?;
        if self.consumer_timeout_when_suspend <= self.broker_suspend_max_time {
            return Err(PullConsumerError::Setting {
                setting: "consumer_timeout_when_suspend",
                value: format!("{:?}", self.consumer_timeout_when_suspend),
                expected: "more than broker_suspend_max_time",
            });
        }
        Ok(())
    }
}

/// A consumer that is asked for each pull (RocketMQ: DefaultMQPullConsumer).
///
/// ```no_run
/// # use gantry_host::client_instance::{ClientConfig, ClientInstance, PullStatus};
/// # use gantry_host::pull_consumer::{PullConsumer, PullConsumerConfig};
/// # use gantry_host::FilterExpression;
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let client = ClientInstance::start(ClientConfig::default()).await?;
/// let consumer = PullConsumer::start(client.clone(), PullConsumerConfig::new("readers")).await?;
/// let every = FilterExpression::Tag("*".to_owned());
/// for queue in consumer.fetch_subscribe_message_queues("orders").await? {
///     let mut offset = consumer.fetch_consume_offset(&queue).await?.unwrap_or(0);
///     loop {
///         let result = consumer.pull(&queue, &every, offset, 32).await?;
///         for message in &result.messages {
///             println!("{} {:?}", message.message_id(), message.body()?);
///         }
///         offset = result.next_begin_offset;
///         consumer.update_consume_offset(&queue, offset);
///         if result.status == PullStatus::NoNewMsg {
///             break;
///         }
///     }
/// }
/// consumer.shutdown().await?;
/// client.close().await;
/// # Ok(())
/// # }
/// ```
///
/// In the namespace of its client, group, topics and queues have their plain names here; messages are as they are stored, so
/// that their topic has the namespace.
///
/// It has to be [shut down](Self::shutdown): what was set and not persisted is lost otherwise, and brokers go on counting
/// it as a member for two minutes.
pub struct PullConsumer {
    client: PlainClient,
    config: PullConsumerConfig,
    puller: Puller,
    offsets: Arc<Offsets>,
    membership: Option<Membership>,
    /// What was pulled from so far, by topic.
    subscribed: Mutex<BTreeMap<Arc<str>, SubscriptionData>>,
    tasks: Tasks,
    _ends_tasks: DropGuard,
}

impl fmt::Debug for PullConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PullConsumer").field("config", &self.config).finish_non_exhaustive()
    }
}

/// A pull consumer has nothing to rebalance.
struct Unmoved;

impl GroupListener for Unmoved {
    fn members_changed(&self) {}
}

impl PullConsumer {
    /// Starts a consumer. Brokers learn of it with the first pull from a topic of theirs.
    ///
    /// # Errors
    /// The configuration is unsound, or this client is a member of the group already.
    pub async fn start(
        client: ClientInstance,
        config: PullConsumerConfig,
    ) -> Result<Self, PullConsumerError> {
        config.check()?;
        let group = config.consumer_group.as_str();
        let client = PlainClient::new(client, group);
        let begin = |client| {
            let (model, from) = (MessageModel::Clustering, ConsumeFromWhere::default());
            Membership::begin(client, model, from, Arc::new(Unmoved))
        };
        let membership = config.join_group.then(|| begin(client.clone())).transpose()?;
        let offsets = Arc::new(Offsets::open(client.clone(), group, &config.offset_store).await);
        let tasks = Tasks::default();
        let interval = config.persist_consumer_offset_interval.max(LEAST_INTERVAL);
        tasks.spawn("offsets", persist_every(interval, Arc::clone(&offsets), tasks.token()));
        Ok(Self {
            puller: Puller::new(client.clone(), false),
            subscribed: Mutex::default(),
            _ends_tasks: tasks.token().drop_guard(),
            client,
            config,
            offsets,
            membership,
            tasks,
        })
    }

    /// The queues of a topic that may be read, sorted (`fetchSubscribeMessageQueues`). Asks a name server.
    ///
    /// # Errors
    /// There is no such topic, or no name server answers.
    pub async fn fetch_subscribe_message_queues(
        &self,
        topic: &str,
    ) -> Result<Vec<MessageQueue>, PullConsumerError> {
        Ok(self.client.refreshed_queues(topic).await?)
    }

    /// Pulls messages from `offset` on, `max` at most; a stock broker gives 32 at most. Returns at once, whatever there is
    /// (`pull`). Tags are compared exactly, SQL92 conditions by the broker alone.
    ///
    /// # Errors
    /// The expression names no tag, the broker does not answer or refuses, or its messages cannot be read.
    pub async fn pull(
        &self,
        mq: &MessageQueue,
        expression: &FilterExpression,
        offset: i64,
        max: u32,
    ) -> Result<PullResult, PullConsumerError> {
        self.pull_held(mq, expression, offset, max, None).await
    }

    /// As [`Self::pull`], but where nothing is new the broker waits for a message, `broker_suspend_max_time` at most
    /// (`pullBlockIfNotFound`).
    ///
    /// # Errors
    /// As [`Self::pull`].
    pub async fn pull_block_if_not_found(
        &self,
        mq: &MessageQueue,
        expression: &FilterExpression,
        offset: i64,
        max: u32,
    ) -> Result<PullResult, PullConsumerError> {
        self.pull_held(mq, expression, offset, max, Some(self.config.broker_suspend_max_time)).await
    }

    async fn pull_held(
        &self,
        mq: &MessageQueue,
        expression: &FilterExpression,
        offset: i64,
        max: u32,
        hold: Option<Duration>,
    ) -> Result<PullResult, PullConsumerError> {
        if self.tasks.token().is_cancelled() {
            return Err(PullConsumerError::Closed { group: self.config.consumer_group.clone() });
        }
        let filter = Filter::new(expression)?;
        self.subscribe(&mq.topic).await?;
        let timeout = match hold {
            Some(_) => self.config.consumer_timeout_when_suspend,
            None => self.config.consumer_pull_timeout,
        };
        self.puller.pull(Wanted { mq, filter: &filter, offset, max, hold, timeout }).await
    }

    /// Makes a topic known as one the member reads; the filter is each pull's own.
    async fn subscribe(&self, topic: &Arc<str>) -> Result<(), PullConsumerError> {
        let Some(membership) = &self.membership else { return Ok(()) };
        let subscriptions = {
            let mut subscribed = self.subscribed.lock().unwrap_or_else(PoisonError::into_inner);
            if subscribed.contains_key(topic) {
                return Ok(());
            }
            subscribed.insert(Arc::clone(topic), SubscriptionData::by_tags(topic, "*", unix_millis())?);
            subscribed.values().cloned().collect()
        };
        // Without the route nobody knows which brokers are to hear of it; the pull will say what is wrong.
        _ = self.client.queues(topic).await;
        membership.subscribe(subscriptions).await
    }

    /// Sets the group's offset of a queue: the next message to read (`updateConsumeOffset`). It goes to its place within
    /// `persist_consumer_offset_interval`, with [`Self::persist`], and with the shutdown.
    pub fn update_consume_offset(&self, mq: &MessageQueue, offset: i64) {
        self.offsets.set(mq, offset);
    }

    /// The group's offset of a queue as it was set here last, else as it is stored; none where there is none
    /// (`fetchConsumeOffset`).
    ///
    /// # Errors
    /// The broker does not answer.
    pub async fn fetch_consume_offset(&self, mq: &MessageQueue) -> Result<Option<i64>, PullConsumerError> {
        Ok(self.offsets.get(mq).await?)
    }

    /// The group's offset of a queue as it is stored (`fetchConsumeOffset` with `fromStore`).
    ///
    /// # Errors
    /// The broker does not answer.
    pub async fn stored_consume_offset(&self, mq: &MessageQueue) -> Result<Option<i64>, PullConsumerError> {
        Ok(self.offsets.stored(mq).await?)
    }

    /// Brings offsets that were set to their place, and waits until they are there.
    ///
    /// # Errors
    /// The first failure; what failed is tried again with the next time.
    pub async fn persist(&self) -> Result<(), PullConsumerError> {
        self.offsets.persist().await
    }

    /// The smallest offset of a queue (`minOffset`).
    ///
    /// # Errors
    /// The broker does not answer.
    pub async fn min_offset(&self, mq: &MessageQueue) -> Result<i64, PullConsumerError> {
        Ok(self.client.min_offset(mq).await?)
    }

    /// The offset after the last message of a queue (`maxOffset`).
    ///
    /// # Errors
    /// The broker does not answer.
    pub async fn max_offset(&self, mq: &MessageQueue) -> Result<i64, PullConsumerError> {
        Ok(self.client.max_offset(mq).await?)
    }

    /// The offset of the first message stored at or after `timestamp`, in milliseconds since the epoch (`searchOffset`).
    ///
    /// # Errors
    /// The broker does not answer.
    pub async fn search_offset(&self, mq: &MessageQueue, timestamp: i64) -> Result<i64, PullConsumerError> {
        Ok(self.client.search_offset(mq, timestamp).await?)
    }

    /// Gives a message back: it comes again in the group's retry topic, `%RETRY%group`, after the time of `delay_level`,
    /// 1 to 18, or of the broker's choice with 0; as a dead letter with less (`sendMessageBack`). `mq` is the queue it was
    /// pulled from.
    ///
    /// # Errors
    /// The broker does not answer or refuses; it may have taken the message all the same.
    pub async fn send_message_back(
        &self,
        mq: &MessageQueue,
        message: &MessageExt,
        delay_level: i32,
    ) -> Result<(), PullConsumerError> {
        let header = ConsumerSendMsgBackRequestHeader {
            offset: message.physical_offset(),
            delay_level,
            origin_msg_id: Some(message.message_id()),
            origin_topic: Some(message.origin_topic().to_owned()),
            max_reconsume_times: Some(self.config.max_reconsume_times),
            ..ConsumerSendMsgBackRequestHeader::default()
        };
        Ok(self.client.send_message_back(mq, header).await?)
    }

    /// Persists the offsets and leaves the group. The client stays open.
    ///
    /// # Errors
    /// An offset could not be stored; the group is left all the same.
    pub async fn shutdown(&self) -> Result<(), PullConsumerError> {
        self.tasks.finish(CLOSE_GRACE).await;
        let persisted = self.offsets.persist().await;
        if let Some(membership) = &self.membership {
            membership.leave().await;
        }
        persisted
    }
}

/// Persists what was set, until the consumer is shut down.
async fn persist_every(interval: Duration, offsets: Arc<Offsets>, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(interval)).await.is_some() {
        if let Err(error) = offsets.persist().await {
            tracing::warn!("offsets are not stored yet: {error}");
        }
    }
}
