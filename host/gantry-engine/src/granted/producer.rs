//! The host's side of `gantry:rocketmq/producer`.

use std::time::Instant;

use wasmtime::component::{ComponentType, Lift, Linker, Lower};

use super::Store;
use crate::{
    guest::GuestState,
    wit::{OutgoingMessage, PRODUCER_INTERFACE},
};

/// How the broker took a message (`send-status`, RocketMQ: SendStatus). It has it in every case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(enum)]
#[repr(u8)]
pub enum SendStatus {
    /// As well as the broker is configured to.
    #[component(name = "send-ok")]
    SendOk,
    /// Not on the broker's disk in time.
    #[component(name = "flush-disk-timeout")]
    FlushDiskTimeout,
    /// Not at a slave in time.
    #[component(name = "flush-slave-timeout")]
    FlushSlaveTimeout,
    /// There is no slave.
    #[component(name = "slave-not-available")]
    SlaveNotAvailable,
}

/// A message the broker has (`send-receipt`, RocketMQ: SendResult).
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(record)]
pub struct SendReceipt {
    /// How the broker took it.
    #[component(name = "send-status")]
    pub send_status: SendStatus,
    /// The unique id it was given (UNIQ_KEY).
    #[component(name = "message-id")]
    pub message_id: String,
    /// The broker's own id of it (offsetMsgId); empty where it gave none.
    #[component(name = "offset-message-id")]
    pub offset_message_id: String,
    /// The broker that has it.
    #[component(name = "broker-name")]
    pub broker_name: String,
    /// Its queue there.
    #[component(name = "queue-id")]
    pub queue_id: u32,
    /// Its offset in the queue.
    #[component(name = "queue-offset")]
    pub queue_offset: u64,
}

/// Why a message was not sent (`send-error`).
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(variant)]
pub enum SendError {
    /// It breaks a rule, which is named.
    #[component(name = "invalid")]
    Invalid(String),
    /// No broker takes messages of the topic now.
    #[component(name = "no-route")]
    NoRoute(String),
    /// Brokers refused it.
    #[component(name = "refused")]
    Refused(String),
    /// No answer in time. The broker may have it.
    #[component(name = "timeout")]
    Timeout,
    /// The host sends too much already, or is stopping.
    #[component(name = "unavailable")]
    Unavailable(String),
}

/// Which queue an ordered message goes to (`message-queue-selector`, RocketMQ: MessageQueueSelector).
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(variant)]
pub enum MessageQueueSelector {
    /// The same for the same argument while the number of queues stays (RocketMQ: SelectMessageQueueByHash).
    #[component(name = "by-hash")]
    ByHash,
    /// Any (RocketMQ: SelectMessageQueueByRandom).
    #[component(name = "by-random")]
    ByRandom,
    /// As the selector plugin of this name says.
    #[component(name = "plugin")]
    Plugin(String),
}

/// Sends messages for a plugin. What a message holds is a guest's word and is to be checked.
///
/// The functions are called on a guest's thread and may block, up to `deadline`, which is that of the call the guest is in,
/// and not beyond. They must not panic.
pub trait Producer: Send + Sync + 'static {
    /// Sends and waits for the broker's answer.
    ///
    /// # Errors
    /// See [`SendError`].
    fn send(&self, message: OutgoingMessage, deadline: Instant) -> Result<SendReceipt, SendError>;

    /// Hands the message to a connection and waits for no answer.
    ///
    /// # Errors
    /// See [`SendError`].
    fn send_one_way(&self, message: OutgoingMessage, deadline: Instant) -> Result<(), SendError>;

    /// Sends to the queue that `selector` chooses by `arg`, and to no other, and waits for the broker's answer.
    ///
    /// # Errors
    /// See [`SendError`].
    fn send_ordered(
        &self,
        message: OutgoingMessage,
        selector: MessageQueueSelector,
        arg: &str,
        deadline: Instant,
    ) -> Result<SendReceipt, SendError>;
}

fn with<T>(
    state: &GuestState,
    send: impl FnOnce(&dyn Producer, Instant) -> Result<T, SendError>,
) -> Result<T, SendError> {
    match &state.grants.producer {
        Some(producer) => send(&**producer, state.deadline),
        None => Err(SendError::Unavailable("sending is not granted to this plugin".to_owned())),
    }
}

pub(super) fn add_to_linker(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    let mut interface = linker.instance(PRODUCER_INTERFACE)?;
    interface.func_wrap("send", |store: Store<'_>, (message,): (OutgoingMessage,)| {
        Ok((with(store.data(), |producer, deadline| producer.send(message, deadline)),))
    })?;
    interface.func_wrap("send-one-way", |store: Store<'_>, (message,): (OutgoingMessage,)| {
        Ok((with(store.data(), |producer, deadline| producer.send_one_way(message, deadline)),))
    })?;
    interface.func_wrap(
        "send-ordered",
        |store: Store<'_>, (message, selector, arg): (OutgoingMessage, MessageQueueSelector, String)| {
            Ok((with(store.data(), |producer, deadline| {
                producer.send_ordered(message, selector, &arg, deadline)
            }),))
        },
    )
}
