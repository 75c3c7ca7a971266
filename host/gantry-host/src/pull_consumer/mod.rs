//! Consumers that pull: the program decides what is read, when, and from which offset.
//!
//! There are two, as in RocketMQ. [`PullConsumer`] (`DefaultMQPullConsumer`) is asked for one queue at a time and tells
//! which of the four statuses a pull had; where to go on from is the caller's to keep, with the consumer's offset store
//! at hand. [`LitePullConsumer`] (`DefaultLitePullConsumer`) reads ahead from queues that are assigned to it, or that it
//! shares with its group, and hands messages out by [`LitePullConsumer::poll`].
//!
//! Both belong to a [`ClientInstance`](crate::client_instance::ClientInstance), which several may share and which
//! outlives them, and are members of their group (CONSUME_ACTIVELY): `mqadmin consumerConnection` shows them. A group is
//! either one of pull consumers or one of push consumers; brokers tell its members one from the other by nothing but the
//! last heartbeat.
//!
//! They know nothing of plugins and windows of messages that are settled one by one: what a host does for its listeners
//! is the business of `group`.

mod consumer;
mod error;
mod lite;
mod membership;
mod offsets;
mod plain;
mod puller;

pub use consumer::{PullConsumer, PullConsumerConfig};
pub use error::PullConsumerError;
pub use lite::{
    LitePullConsumer, LitePullConsumerConfig, MessageQueueListener, PolledMessages,
    TopicMessageQueueChangeListener,
};
pub use offsets::OffsetStore;
pub use puller::PullResult;
