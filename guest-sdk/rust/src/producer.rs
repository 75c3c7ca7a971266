//! Sending messages to the host's cluster (RocketMQ: `DefaultMQProducer`). Granted by `"producer"` in the plugin's `grants`.
//!
//! A send ends with the call it is made in, at the latest. A send that fails is a value; with `?` the message at hand is
//! reconsumed later, so what was sent before in the same call is sent again then: consumers must expect that.
//!
//! ```
//! use gantry_guest::producer::{self, OutgoingMessage};
//!
//! let message = OutgoingMessage::new("orders-enriched", "{}").key("A-17").tag("paid");
//! producer::send(&message).unwrap();
//! assert_eq!(producer::testing::sent(), [message]);
//! ```

use std::fmt;
use std::time::Duration;

use crate::Message;

/// A message on its way to the broker (RocketMQ: Message).
#[derive(Debug, Clone, PartialEq)]
pub struct OutgoingMessage {
    /// The topic.
    pub topic: String,
    /// One tag, which consumers filter by.
    pub tag: Option<String>,
    /// Keys for looking the message up; none holds white space.
    pub keys: Vec<String>,
    /// The body, which brokers refuse where it is empty.
    pub body: Vec<u8>,
    /// The plugin's own properties; names RocketMQ uses for itself are refused.
    pub properties: Vec<(String, String)>,
    /// When consumers see it.
    pub delivery: Delivery,
}

/// When a message becomes visible to consumers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Delivery {
    /// At once.
    #[default]
    AtOnce,
    /// After a delay level, 1 (1 s) to 18 (2 h).
    Level(u8),
    /// After this long, where the broker has RocketMQ 5's timers.
    After(Duration),
    /// At this time, in milliseconds since the Unix epoch, by the same timers.
    At(u64),
}

/// A message the broker has (RocketMQ: SendResult).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Receipt {
    /// The unique id it was given.
    pub message_id: String,
    /// The broker's own id of it; empty where it gave none.
    pub offset_message_id: String,
    /// The broker.
    pub broker_name: String,
    /// The queue there.
    pub queue_id: u32,
    /// The offset in the queue; with a delay, that of the delay queue.
    pub queue_offset: u64,
    /// Whether it is kept as well as the broker is configured to; `false` where its disk or its slave was late.
    pub fully_kept: bool,
}

/// Why a message was not sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendError {
    /// It breaks a rule, which is named: trying again will not mend it.
    Invalid(String),
    /// The topic does not exist, or no broker takes messages for it now.
    NoRoute(String),
    /// Every broker that might take it refused.
    Refused(String),
    /// No answer within the time there was. The broker may have it.
    Timeout,
    /// The host sends too much already, or is stopping.
    Unavailable(String),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(why) => write!(f, "not sent, for it breaks a rule: {why}"),
            Self::NoRoute(why) => write!(f, "not sent, for there is nowhere to send it: {why}"),
            Self::Refused(why) => write!(f, "not sent, for the broker refused it: {why}"),
            Self::Timeout => f.write_str("the broker did not answer in time, and may have the message"),
            Self::Unavailable(why) => write!(f, "not sent: {why}"),
        }
    }
}

impl std::error::Error for SendError {}

/// Which queue an ordered message goes to (RocketMQ: MessageQueueSelector).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// The same queue for the same argument while the number of queues stays.
    ByHash,
    /// Any.
    ByRandom,
    /// As the selector plugin in the file of this name, without `.wasm`, says.
    Plugin(String),
}

impl Selector {
    /// The selector plugin in the file `name`.wasm.
    pub fn plugin(name: impl Into<String>) -> Self {
        Self::Plugin(name.into())
    }
}

impl OutgoingMessage {
    /// A message with nothing but a topic and a body.
    pub fn new(topic: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        Self {
            topic: topic.into(),
            tag: None,
            keys: Vec::new(),
            body: body.into(),
            properties: Vec::new(),
            delivery: Delivery::AtOnce,
        }
    }

    /// The answer to a request message (RocketMQ: `MessageUtil.createReplyMessage`): sent, it reaches the client that waits
    /// for it.
    ///
    /// ```
    /// use gantry_guest::producer::OutgoingMessage;
    /// use gantry_guest::testing::MessageBuilder;
    ///
    /// let request = MessageBuilder::new("EUR/USD").property("CLUSTER", "c").property("CORRELATION_ID", "7");
    /// let request = request.property("REPLY_TO_CLIENT", "asker").build();
    /// let reply = OutgoingMessage::reply_to(&request, "1.09").unwrap();
    /// assert_eq!(reply.topic, "c_REPLY_TOPIC");
    /// assert!(OutgoingMessage::reply_to(&MessageBuilder::new("no request").build(), "1.09").is_err());
    /// ```
    ///
    /// # Errors
    /// [`SendError::Invalid`]: the message is no request.
    pub fn reply_to(request: &Message, body: impl Into<Vec<u8>>) -> Result<Self, SendError> {
        let property = |name: &str| {
            let missing =
                || SendError::Invalid(format!("its reply needs property {name} of a request message"));
            request.property(name).ok_or_else(missing)
        };
        let topic = format!("{}_REPLY_TOPIC", property("CLUSTER")?);
        let mut reply = Self::new(topic, body).property("MSG_TYPE", "reply");
        for name in ["CORRELATION_ID", "REPLY_TO_CLIENT"] {
            reply = reply.property(name, property(name)?);
        }
        Ok(match request.property("TTL") {
            Some(ttl) => reply.property("TTL", ttl),
            None => reply,
        })
    }

    /// The same message with a tag.
    #[must_use]
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tag = Some(tag.into());
        self
    }

    /// The same message with one key more.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.keys.push(key.into());
        self
    }

    /// The same message with one property more.
    #[must_use]
    pub fn property(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.properties.push((name.into(), value.into()));
        self
    }

    /// The same message, visible after this long where the broker has timers; see [`Delivery`] for the other ways.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delivery = Delivery::After(delay);
        self
    }

    /// The same message, visible after a delay level, 1 (1 s) to 18 (2 h).
    #[must_use]
    pub fn delay_level(mut self, level: u8) -> Self {
        self.delivery = Delivery::Level(level);
        self
    }
}

/// Sends and waits for the broker's answer. A broker that fails is passed over for another, up to twice.
///
/// # Errors
/// See [`SendError`].
pub fn send(message: &OutgoingMessage) -> Result<Receipt, SendError> {
    answer::send(message)
}

/// Hands the message to the connection and does not wait: it may be lost.
///
/// # Errors
/// See [`SendError`].
pub fn send_one_way(message: &OutgoingMessage) -> Result<(), SendError> {
    answer::send_one_way(message)
}

/// Sends to the queue that the selector chooses by `arg`, and to no other, and waits for the broker's answer.
///
/// # Errors
/// See [`SendError`].
pub fn send_ordered(message: &OutgoingMessage, selector: &Selector, arg: &str) -> Result<Receipt, SendError> {
    answer::send_ordered(message, selector, arg)
}

/// The host answers.
#[cfg(target_arch = "wasm32")]
mod answer {
    use super::{Delivery, OutgoingMessage, Receipt, Selector, SendError};
    use crate::bindings::granted::gantry::rocketmq::producer as host;
    use crate::bindings::granted::gantry::rocketmq::types::{self, DeliveryTime};

    fn lowered(message: &OutgoingMessage) -> types::OutgoingMessage {
        let OutgoingMessage { topic, tag, keys, body, properties, delivery } = message.clone();
        let delivery_time = match delivery {
            Delivery::AtOnce => DeliveryTime::AtOnce,
            Delivery::Level(level) => DeliveryTime::Level(level),
            Delivery::After(delay) => {
                DeliveryTime::Milliseconds(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX))
            }
            Delivery::At(ms) => DeliveryTime::Timestamp(ms),
        };
        types::OutgoingMessage { topic, tags: tag, keys, body, properties, delivery_time }
    }

    fn lifted(receipt: host::SendReceipt) -> Receipt {
        Receipt {
            message_id: receipt.message_id,
            offset_message_id: receipt.offset_message_id,
            broker_name: receipt.broker_name,
            queue_id: receipt.queue_id,
            queue_offset: receipt.queue_offset,
            fully_kept: receipt.send_status == host::SendStatus::SendOk,
        }
    }

    fn failed(error: host::SendError) -> SendError {
        match error {
            host::SendError::Invalid(why) => SendError::Invalid(why),
            host::SendError::NoRoute(why) => SendError::NoRoute(why),
            host::SendError::Refused(why) => SendError::Refused(why),
            host::SendError::Timeout => SendError::Timeout,
            host::SendError::Unavailable(why) => SendError::Unavailable(why),
        }
    }

    pub(super) fn send(message: &OutgoingMessage) -> Result<Receipt, SendError> {
        host::send(&lowered(message)).map(lifted).map_err(failed)
    }

    pub(super) fn send_one_way(message: &OutgoingMessage) -> Result<(), SendError> {
        host::send_one_way(&lowered(message)).map_err(failed)
    }

    pub(super) fn send_ordered(
        message: &OutgoingMessage,
        selector: &Selector,
        arg: &str,
    ) -> Result<Receipt, SendError> {
        let selector = match selector {
            Selector::ByHash => host::MessageQueueSelector::ByHash,
            Selector::ByRandom => host::MessageQueueSelector::ByRandom,
            Selector::Plugin(name) => host::MessageQueueSelector::Plugin(name.clone()),
        };
        host::send_ordered(&lowered(message), &selector, arg).map(lifted).map_err(failed)
    }
}

/// The test answers.
#[cfg(not(target_arch = "wasm32"))]
mod answer {
    use super::{OutgoingMessage, Receipt, Selector, SendError, testing};

    pub(super) fn send(message: &OutgoingMessage) -> Result<Receipt, SendError> {
        testing::take(message)
    }

    pub(super) fn send_one_way(message: &OutgoingMessage) -> Result<(), SendError> {
        testing::take(message).map(drop)
    }

    pub(super) fn send_ordered(
        message: &OutgoingMessage,
        _: &Selector,
        _: &str,
    ) -> Result<Receipt, SendError> {
        testing::take(message)
    }
}

/// The producer in a plugin's own unit tests: each thread, and so each test, has its own.
#[cfg(not(target_arch = "wasm32"))]
pub mod testing {
    use super::{OutgoingMessage, Receipt, SendError};
    use std::cell::RefCell;

    thread_local! {
        static SENT: RefCell<Vec<OutgoingMessage>> = const { RefCell::new(Vec::new()) };
        static FAILS: RefCell<Option<SendError>> = const { RefCell::new(None) };
    }

    /// What was sent so far.
    pub fn sent() -> Vec<OutgoingMessage> {
        SENT.with_borrow(Clone::clone)
    }

    /// Lets every send from now on fail with this error, or succeed again.
    pub fn fail_with(error: impl Into<Option<SendError>>) {
        FAILS.set(error.into());
    }

    pub(super) fn take(message: &OutgoingMessage) -> Result<Receipt, SendError> {
        if let Some(error) = FAILS.with_borrow(Clone::clone) {
            return Err(error);
        }
        let number = SENT.with_borrow_mut(|sent| {
            sent.push(message.clone());
            sent.len()
        });
        Ok(Receipt { message_id: format!("test-{number}"), fully_kept: true, ..Receipt::default() })
    }
}
