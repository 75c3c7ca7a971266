//! Queues read ahead and handed out by poll (RocketMQ: DefaultLitePullConsumer).
//!
//! Every assigned queue has a task that pulls within the thresholds ([`fetch`]) into its state ([`queue`]), from where
//! [`LitePullConsumer::poll`] takes it. An offset that is committed never passes a message that poll has not returned; with
//! `auto_commit` not even one of the last poll, until poll is called again.

mod answers;
mod assignment;
mod fetch;
mod positions;
mod queue;
mod settings;
mod shared;
mod subscribing;
mod table;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use gantry_core::allocate;
use gantry_protocol::{MessageExt, MessageQueue};
use tokio::time::Instant;
use tokio_util::sync::DropGuard;

use super::error::PullConsumerError;
use super::membership::Membership;
use super::offsets::Offsets;
use super::plain::PlainClient;
use crate::client_instance::ClientInstance;
use answers::Answers;
use assignment::{rebalance_service, watch_topics};
use shared::Shared;

pub use assignment::{MessageQueueListener, TopicMessageQueueChangeListener};
pub use settings::LitePullConsumerConfig;

/// How long the consumer's tasks may take to end.
const CLOSE_GRACE: Duration = Duration::from_secs(5);

/// Messages of one queue that poll returned.
#[derive(Debug, Clone)]
pub struct PolledMessages {
    /// The queue.
    pub queue: MessageQueue,
    /// The messages, in the order of their offsets; at least one.
    pub messages: Vec<MessageExt>,
}

/// A consumer that is polled (RocketMQ: DefaultLitePullConsumer).
///
/// ```no_run
/// # use std::time::Duration;
/// # use gantry_host::client_instance::{ClientConfig, ClientInstance};
/// # use gantry_host::pull_consumer::{LitePullConsumer, LitePullConsumerConfig};
/// # use gantry_host::FilterExpression;
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let client = ClientInstance::start(ClientConfig::default()).await?;
/// let consumer = LitePullConsumer::start(client.clone(), LitePullConsumerConfig::new("pollers")).await?;
/// consumer.subscribe("orders", &FilterExpression::Tag("paid || sent".to_owned())).await?;
/// for _ in 0..100 {
///     if let Some(polled) = consumer.poll(Duration::from_secs(5)).await? {
///         for message in &polled.messages {
///             println!("{} {:?}", message.message_id(), message.body()?);
///         }
///     }
/// }
/// consumer.commit_sync().await?;
/// consumer.shutdown().await?;
/// client.close().await;
/// # Ok(())
/// # }
/// ```
///
/// In the namespace of its client, group, topics and queues have their plain names here; messages are as they are stored, so
/// that their topic has the namespace.
///
/// Every method may be called from any task, but with `auto_commit` one task should poll: a poll says that all that was
/// returned before is done. It has to be [shut down](Self::shutdown); brokers go on counting it as a member for two minutes
/// otherwise.
pub struct LitePullConsumer {
    shared: Arc<Shared>,
    membership: Membership,
    _ends_tasks: DropGuard,
}

impl fmt::Debug for LitePullConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LitePullConsumer").field("config", &self.shared.config).finish_non_exhaustive()
    }
}

impl LitePullConsumer {
    /// Starts a consumer that reads nothing yet.
    ///
    /// # Errors
    /// The configuration is unsound, or this client is a member of the group already.
    pub async fn start(
        client: ClientInstance,
        config: LitePullConsumerConfig,
    ) -> Result<Self, PullConsumerError> {
        config.check()?;
        let strategy = allocate::by_name(&config.allocate_message_queue_strategy)
            .unwrap_or_else(|| Box::new(gantry_core::AllocateMessageQueueAveragely));
        let client = PlainClient::new(client, &config.consumer_group);
        let offsets = Offsets::open(client.clone(), &config.consumer_group, &config.offset_store).await;
        let shared = Arc::new(Shared::new(client, config, offsets, strategy));
        let (config, answers) = (&shared.config, Arc::new(Answers::new(Arc::downgrade(&shared))));
        let membership = Membership::begin(
            shared.client.clone(),
            config.message_model,
            config.consume_from_where,
            answers,
        )?;
        let tasks = &shared.tasks;
        tasks.spawn("rebalance", rebalance_service(Arc::clone(&shared)));
        tasks.spawn("topics", watch_topics(Arc::clone(&shared)));
        tasks.spawn("commits", commit_every(Arc::clone(&shared)));
        let ends_tasks = tasks.token().drop_guard();
        Ok(Self { shared, membership, _ends_tasks: ends_tasks })
    }

    /// The queues of a topic that may be read, sorted (`fetchMessageQueues`). Asks a name server.
    ///
    /// # Errors
    /// There is no such topic, or no name server answers.
    pub async fn fetch_message_queues(&self, topic: &str) -> Result<Vec<MessageQueue>, PullConsumerError> {
        Ok(self.shared.client.refreshed_queues(topic).await?)
    }

    /// The queues this consumer reads now, sorted (`assignment`).
    pub fn assignment(&self) -> Vec<MessageQueue> {
        self.shared.table().assigned().cloned().collect()
    }

    /// Messages of one queue, `pull_batch_size` at most, queues in turn; none when there are none within `timeout`. With
    /// `auto_commit` a call says that all that was returned before is done.
    ///
    /// # Errors
    /// The consumer was shut down.
    pub async fn poll(&self, timeout: Duration) -> Result<Option<PolledMessages>, PullConsumerError> {
        let deadline = Instant::now() + timeout;
        if self.shared.config.auto_commit {
            self.shared.table().finish_last();
        }
        let ended = self.shared.tasks.token();
        loop {
            self.open()?;
            if let Some(polled) = self.shared.table().take(self.shared.config.pull_batch_size) {
                // There may be more, for somebody else who polls.
                self.shared.arrived.notify_one();
                return Ok(Some(polled));
            }
            tokio::select! {
                () = ended.cancelled() => {}
                () = self.shared.arrived.notified() => {}
                () = tokio::time::sleep_until(deadline) => return Ok(None),
            }
        }
    }

    /// Ends the consumer and leaves the group: polls that wait return an error. With `auto_commit` what polls returned before
    /// the last one is committed; to have the last one committed too, call [`Self::commit_sync`] before. The client stays
    /// open.
    ///
    /// # Errors
    /// An offset could not be stored; the group is left all the same.
    pub async fn shutdown(&self) -> Result<(), PullConsumerError> {
        self.shared.tasks.finish(CLOSE_GRACE).await;
        if self.shared.config.auto_commit {
            self.shared.set_finished();
        }
        let persisted = self.shared.offsets.persist().await;
        self.membership.leave().await;
        persisted
    }

    fn open(&self) -> Result<(), PullConsumerError> {
        match self.shared.tasks.token().is_cancelled() {
            false => Ok(()),
            true => Err(PullConsumerError::Closed { group: self.shared.group().to_owned() }),
        }
    }
}

/// Commits what is done, and tries again what could not be stored.
async fn commit_every(shared: Arc<Shared>) {
    let stop = shared.tasks.token();
    while stop.run_until_cancelled(tokio::time::sleep(shared.config.auto_commit_interval)).await.is_some() {
        if shared.config.auto_commit {
            shared.set_finished();
        }
        shared.persist_or_warn().await;
    }
}
