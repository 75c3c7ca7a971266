//! Sending (RocketMQ: DefaultMQProducer).
//!
//! A [`Producer`] belongs to a [`ClientInstance`], which several may share and which outlives it. Every way to send is a
//! future, so there is no callback: what Java calls an asynchronous send is a `send` that is not awaited at once, such as
//! one of many in a `tokio::task::JoinSet`. However many there are, only so many are under way
//! (`back_pressure_for_async_send_num` and `_size`); the others wait, and what they wait counts as time of their sends.
//! A send whose future is dropped may have been sent or not.
//!
//! At least once: a send that ends with an error may have been stored all the same, where an answer was lost.

mod attempts;
mod config;
mod message;
mod prepare;
mod recall;
mod receipt;
mod request;
mod selector;
mod traced;

use std::borrow::Cow;
use std::fmt;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};

use gantry_core::fault::FaultStrategy;
use gantry_protocol::message_id::UniqueKeyGenerator;
use gantry_protocol::{MessageQueue, Namespace};
use tokio::sync::OnceCell;

use super::ClientInstance;
use super::error::SendError;
use super::route::TopicRoute;
use attempts::{Deadline, Room, no_queue};
use prepare::Prepared;
use traced::Began;

pub use config::ProducerConfig;
pub use message::{Delay, OutgoingMessage};
pub use recall::RecallError;
pub use receipt::{SendReceipt, SendStatus};
pub use request::RequestError;
pub use selector::{
    MessageQueueSelector, SelectMessageQueueByHash, SelectMessageQueueByMachineRoom,
    SelectMessageQueueByRandom, SelectMessageQueueByRoundRobin,
};

/// Sends messages of one producer group (RocketMQ: DefaultMQProducer). Cheap to clone; clones share the turn of the queues
/// and the bounds on what is under way. In the namespace of its client, group, topics, queues and receipts have their plain
/// names here.
#[derive(Clone)]
pub struct Producer(Arc<Inner>);

struct Inner {
    instance: ClientInstance,
    namespace: Namespace,
    config: ProducerConfig,
    unique_keys: UniqueKeyGenerator,
    turn: AtomicUsize,
    room: Room,
    /// There where slow brokers are passed over.
    faults: Option<Mutex<FaultStrategy>>,
    /// Set once brokers know this client as a producer, which only requests need.
    registered: OnceCell<()>,
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").field("config", &self.0.config).finish_non_exhaustive()
    }
}

impl Producer {
    /// A producer over the connections of `instance`.
    pub fn new(instance: ClientInstance, config: ProducerConfig) -> Self {
        let namespace = instance.namespace().clone();
        Self::in_namespace(instance, namespace, config)
    }

    /// The same in another namespace than its client's.
    pub(super) fn in_namespace(
        instance: ClientInstance,
        namespace: Namespace,
        config: ProducerConfig,
    ) -> Self {
        let identity = instance.identity();
        // Drawn anew: several producers of one instance must not make the same keys.
        let unique_keys = UniqueKeyGenerator::new(identity.ip, identity.pid, fastrand::u32(..));
        Self(Arc::new(Inner {
            unique_keys,
            turn: AtomicUsize::new(fastrand::usize(..1_024)),
            room: Room::new(&config),
            faults: attempts::faults(&config),
            registered: OnceCell::new(),
            instance,
            namespace,
            config,
        }))
    }

    /// Sends a message to the topic's queues in turn and waits until the broker has it (SEND_MESSAGE_V2). A topic
    /// that does not exist is sent to where the template topic TBW102 is, whose brokers create topics by themselves.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn send(&self, message: &OutgoingMessage) -> Result<SendReceipt, SendError> {
        let began = Began::now();
        let receipt = self.send_within(message, self.deadline()).await?;
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
        of_topic(queue, message)?;
        let (began, prepared) = (Began::now(), self.prepare(message)?);
        let queue = self.0.namespace.wrap_queue(queue);
        let receipt = self.send_prepared_to(&queue, &prepared, self.deadline()).await?;
        self.trace(message, &receipt, began);
        Ok(receipt)
    }

    /// Sends a message to the queue that `selector` chooses by `arg`, which is tried once: messages of one `arg` stay in
    /// their order as long as each is awaited before the next.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn send_by(
        &self,
        selector: &dyn MessageQueueSelector,
        arg: &str,
        message: &OutgoingMessage,
    ) -> Result<SendReceipt, SendError> {
        let (began, prepared, deadline) = (Began::now(), self.prepare(message)?, self.deadline());
        let queue = self.selected(selector, arg, message, prepared.topic(), deadline).await?;
        let receipt = self.send_prepared_to(&queue, &prepared, deadline).await?;
        self.trace(message, &receipt, began);
        Ok(receipt)
    }

    /// Hands a message for one of the topic's queues, in turn, to the connection and waits for no answer.
    ///
    /// # Errors
    /// See [`SendError`]. Without one the message may be lost all the same.
    pub async fn send_one_way(&self, message: &OutgoingMessage) -> Result<(), SendError> {
        let (prepared, deadline) = (self.prepare(message)?, self.deadline());
        let route = self.route_within(prepared.topic(), deadline).await?;
        let queue = self.pick(&route.publish_queues, None).ok_or_else(|| no_queue(&message.topic))?;
        self.tell(queue, &prepared, deadline).await
    }

    /// Hands a message for one queue to the connection and waits for no answer.
    ///
    /// # Errors
    /// See [`SendError`]. Without one the message may be lost all the same.
    pub async fn send_one_way_to(
        &self,
        queue: &MessageQueue,
        message: &OutgoingMessage,
    ) -> Result<(), SendError> {
        of_topic(queue, message)?;
        let queue = self.0.namespace.wrap_queue(queue);
        self.tell(&queue, &self.prepare(message)?, self.deadline()).await
    }

    /// Sends messages of one topic together, into one queue (SEND_BATCH_MESSAGE). They are not compressed, cannot be
    /// delayed, and are stored all or none; together they are no longer than `max_message_size`.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn send_batch(&self, messages: &[OutgoingMessage]) -> Result<SendReceipt, SendError> {
        let (prepared, deadline) = (self.prepare_batch(messages)?, self.deadline());
        let _place = self.enter(&prepared, deadline).await?;
        self.send_in_turn(&prepared, deadline).await
    }

    /// Sends messages together to one queue of their topic, which is tried once; see [`Producer::send_batch`].
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn send_batch_to(
        &self,
        queue: &MessageQueue,
        messages: &[OutgoingMessage],
    ) -> Result<SendReceipt, SendError> {
        messages.first().map_or(Ok(()), |first| of_topic(queue, first))?;
        let queue = self.0.namespace.wrap_queue(queue);
        self.send_prepared_to(&queue, &self.prepare_batch(messages)?, self.deadline()).await
    }

    /// The topic's writable queues, sorted: what a selector chooses from.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn queues(&self, topic: &str) -> Result<Vec<MessageQueue>, SendError> {
        let route = self.route_within(&self.0.namespace.wrap(topic), self.deadline()).await?;
        if route.publish_queues.is_empty() {
            Err(no_queue(topic))
        } else {
            Ok(self.plain_queues(&route).into_owned())
        }
    }

    fn deadline(&self) -> Deadline {
        Deadline::after(self.0.config.send_timeout)
    }

    async fn send_within(
        &self,
        message: &OutgoingMessage,
        deadline: Deadline,
    ) -> Result<SendReceipt, SendError> {
        let prepared = self.prepare(message)?;
        let _place = self.enter(&prepared, deadline).await?;
        self.send_in_turn(&prepared, deadline).await
    }

    async fn send_prepared_to(
        &self,
        queue: &MessageQueue,
        prepared: &Prepared,
        deadline: Deadline,
    ) -> Result<SendReceipt, SendError> {
        let _place = self.enter(prepared, deadline).await?;
        let sent = self.attempt(prepared, queue, deadline, false).await;
        sent.map_err(|last| SendError::Failed { attempts: 1, last })
    }

    async fn tell(
        &self,
        queue: &MessageQueue,
        prepared: &Prepared,
        deadline: Deadline,
    ) -> Result<(), SendError> {
        let _place = self.enter(prepared, deadline).await?;
        let failed = |last| SendError::Failed { attempts: 1, last };
        let instance = &self.0.instance;
        let told = async {
            let addr = instance.master(&queue.topic, &queue.broker_name).await?;
            instance.tell(&addr, prepared.request(queue)).await
        };
        deadline.bound(&self.0.namespace.unwrap(&queue.topic), "the connection", told).await?.map_err(failed)
    }

    /// The queues of a route as users name them.
    fn plain_queues<'a>(&self, route: &'a TopicRoute) -> Cow<'a, [MessageQueue]> {
        let (queues, namespace) = (&route.publish_queues, &self.0.namespace);
        if namespace.is_none() {
            return queues.into();
        }
        queues.iter().map(|queue| namespace.unwrap_queue(queue)).collect()
    }

    /// The queue, by its name on the wire, that `selector` chooses of `topic`, the message's by its name there.
    async fn selected(
        &self,
        selector: &dyn MessageQueueSelector,
        arg: &str,
        message: &OutgoingMessage,
        topic: &str,
        deadline: Deadline,
    ) -> Result<MessageQueue, SendError> {
        let route = self.route_within(topic, deadline).await?;
        let queues = &self.plain_queues(&route);
        if queues.is_empty() {
            return Err(no_queue(&message.topic));
        }
        let unselected = |reason| SendError::Unselected { topic: message.topic.as_str().into(), reason };
        let index = selector.select(queues, message, arg).map_err(unselected)?;
        route.publish_queues.get(index).cloned().ok_or_else(|| {
            let queues = queues.len();
            unselected(format!("the selector chose queue {index} where there are {queues}, counted from 0"))
        })
    }
}

fn of_topic(queue: &MessageQueue, message: &OutgoingMessage) -> Result<(), SendError> {
    if *queue.topic == *message.topic {
        Ok(())
    } else {
        Err(message.invalid(format!("{queue} is of another topic")))
    }
}
