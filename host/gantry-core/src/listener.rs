//! What a listener wants, as a host says it.

use gantry_protocol::names::NameError;
use thiserror::Error;

use crate::config::ConfigError;
use crate::id::ListenerId;

/// The tag expression that wants every message (RocketMQ: SubscriptionData.SUB_ALL).
pub const SUB_ALL: &str = "*";

/// Which messages of a topic are wanted (RocketMQ: ExpressionType and subString).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FilterExpression {
    /// Tags joined by `||`; `*` or nothing is every message.
    Tag(String),
    /// A SQL92 condition, evaluated by the broker.
    Sql92(String),
}

impl FilterExpression {
    /// RocketMQ's word for its kind: `TAG` or `SQL92`.
    pub fn kind(&self) -> &'static str {
        match self {
            FilterExpression::Tag(_) => "TAG",
            FilterExpression::Sql92(_) => "SQL92",
        }
    }

    /// The expression as it goes to the broker (subString).
    pub fn text(&self) -> &str {
        match self {
            FilterExpression::Tag(text) | FilterExpression::Sql92(text) => text,
        }
    }
}

/// One topic a listener wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The topic.
    pub topic: String,
    /// Which of its messages.
    pub expression: FilterExpression,
}

/// One listener of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerSpec {
    /// The host's name for it.
    pub id: ListenerId,
    /// What it wants: at least one topic, each once.
    pub subscriptions: Vec<Subscription>,
    /// Most messages in one batch, 1 to 1024. None: the group's `consume_message_batch_max_size`.
    pub batch_max_size: Option<u32>,
    /// Retries before the dead-letter topic. None: the group's `max_reconsume_times`.
    pub max_reconsume_times: Option<u32>,
    /// Start paused: its messages wait in the window until
    /// [`resume_listener`](crate::ConsumerGroup::resume_listener).
    pub paused: bool,
}

impl ListenerSpec {
    /// A listener with the group's settings, not paused.
    pub fn new(id: ListenerId, subscriptions: Vec<Subscription>) -> Self {
        Self { id, subscriptions, batch_max_size: None, max_reconsume_times: None, paused: false }
    }
}

/// Why a set of listeners cannot be served.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SubscriptionError {
    /// Two listeners have one id.
    #[error("{id} is named twice; each listener of a group needs its own id")]
    ListenerTwice {
        /// The id.
        id: ListenerId,
    },
    /// A listener wants nothing.
    #[error("{id} subscribes to no topic; a listener needs at least one")]
    NoTopic {
        /// The listener.
        id: ListenerId,
    },
    /// A listener names a topic more than once.
    #[error("{id} subscribes to topic {topic} twice; join its tags with || instead")]
    TopicTwice {
        /// The listener.
        id: ListenerId,
        /// The topic.
        topic: String,
    },
    /// A topic's name breaks RocketMQ's rule.
    #[error("{id}: {error}")]
    BadTopic {
        /// The listener.
        id: ListenerId,
        /// The rule.
        error: NameError,
    },
    /// The group's own retry topic is named; every group is subscribed to its own.
    #[error(
        "{id} subscribes to {topic}, which the group reads anyway; name the topics its messages were sent to"
    )]
    OwnRetryTopic {
        /// The listener.
        id: ListenerId,
        /// The retry topic.
        topic: String,
    },
    /// An expression names nothing.
    #[error(
        "{id} subscribes to topic {topic} with the {kind} expression {text:?}, which selects nothing; * selects all"
    )]
    EmptyExpression {
        /// The listener.
        id: ListenerId,
        /// The topic.
        topic: String,
        /// TAG or SQL92.
        kind: &'static str,
        /// The expression.
        text: String,
    },
    /// Two listeners of the group filter one topic in ways no single subscription can express.
    #[error(
        "{first} and {second} filter topic {topic} in ways one group cannot combine; a group has one subscription per \
         topic: use tags in both, the same SQL92 condition, or two groups"
    )]
    Irreconcilable {
        /// The listener named first.
        first: ListenerId,
        /// The other.
        second: ListenerId,
        /// The topic.
        topic: String,
    },
    /// A setting of a listener breaks its rule.
    #[error("{id}: {error}")]
    Setting {
        /// The listener.
        id: ListenerId,
        /// The setting and its rule.
        error: ConfigError,
    },
}
