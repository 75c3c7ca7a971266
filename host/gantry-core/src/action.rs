//! What the core asks of its driver.

use std::sync::Arc;
use std::time::Duration;

use gantry_protocol::pop::PopReceipt;
use gantry_protocol::{MessageExt, MessageQueue};

use crate::event::Event;
use crate::id::{
    AckId, AllocateId, BatchId, ChangeId, ListenerId, LockId, OffsetQueryId, PersistId, PopId, PullId,
    SendBackId, UnlockId,
};
use crate::messages::Messages;
use crate::settled::QueueJournal;
use crate::status::TerminationReport;
use crate::subscription::TopicSubscription;
use crate::which_node::PullFrom;

/// Something to do for the group. The driver takes actions until there is none, starts each in the order given, does
/// not wait for one before it starts the next (but see [`Action::Unregister`]), and reports each answer by the
/// `handle_*` method named with the action.
#[derive(Debug, Clone)]
pub enum Action {
    /// Ask a name server for the topic's route (GET_ROUTEINFO_BY_TOPIC) and report it by
    /// [`handle_route`](crate::ConsumerGroup::handle_route). The core asks on its own clock: at the start, every
    /// `poll_name_server_interval`, and soon again while a topic is missing.
    RefreshRoute {
        /// The topic, which may be the group's retry topic.
        topic: Arc<str>,
    },
    /// Send HEART_BEAT to every broker (each address of each broker) of the group's topics, those it has just dropped
    /// included, and report it by [`handle_heartbeat`](crate::ConsumerGroup::handle_heartbeat).
    Heartbeat(Heartbeat),
    /// Ask one broker of the topic for the group's members (GET_CONSUMER_LIST_BY_GROUP) and report them by
    /// [`handle_members`](crate::ConsumerGroup::handle_members).
    QueryMembers {
        /// The topic whose brokers to ask.
        topic: Arc<str>,
    },
    /// Ask for the group's stored offset (QUERY_CONSUMER_OFFSET, without `setZeroIfNotFound`) and report it by
    /// [`handle_offset`](crate::ConsumerGroup::handle_offset).
    QueryOffset {
        /// To be handed back with the answer.
        id: OffsetQueryId,
        /// The queue.
        mq: MessageQueue,
    },
    /// Ask for the queue's end (GET_MAX_OFFSET); reported like [`Action::QueryOffset`].
    QueryMaxOffset {
        /// To be handed back with the answer.
        id: OffsetQueryId,
        /// The queue.
        mq: MessageQueue,
    },
    /// Ask for the first offset stored at or after a time (SEARCH_OFFSET_BY_TIMESTAMP, boundary LOWER); reported like
    /// [`Action::QueryOffset`].
    SearchOffset {
        /// To be handed back with the answer.
        id: OffsetQueryId,
        /// The queue.
        mq: MessageQueue,
        /// Milliseconds since the Unix epoch.
        timestamp: u64,
    },
    /// Pull (PULL_MESSAGE) and report it by [`handle_pulled`](crate::ConsumerGroup::handle_pulled).
    Pull(PullRequest),
    /// Hand a batch to its listener and report the results by
    /// [`handle_consumed`](crate::ConsumerGroup::handle_consumed), or give the batch back untouched by
    /// [`handle_returned`](crate::ConsumerGroup::handle_returned). Of a batch of several calls, what some of them came to
    /// may be reported before the others ([`handle_consumed_part`](crate::ConsumerGroup::handle_consumed_part),
    /// [`handle_returned_part`](crate::ConsumerGroup::handle_returned_part)): each message once.
    Consume(Batch),
    /// Give a message back to its broker (CONSUMER_SEND_MSG_BACK, 5 s) and report it by
    /// [`handle_sent_back`](crate::ConsumerGroup::handle_sent_back).
    SendBack(SendBackRequest),
    /// Store an offset at the queue's broker (UPDATE_CONSUMER_OFFSET) and report it by
    /// [`handle_persisted`](crate::ConsumerGroup::handle_persisted). Brokers store what comes last, be it smaller, so the
    /// offsets of one queue must reach the broker in the order of the actions.
    PersistOffset {
        /// To be handed back with the answer.
        id: PersistId,
        /// The queue.
        mq: MessageQueue,
        /// The offset of the first message not known to be settled.
        offset: i64,
        /// Whether the answer is waited for.
        mode: PersistMode,
    },
    /// Ask a strategy that is not this program's own for the queues of every member, and report them by
    /// [`handle_allocated`](crate::ConsumerGroup::handle_allocated).
    Allocate(Allocate),
    /// Lock queues at their broker, or renew their locks (LOCK_BATCH_MQ, 1 s), and report which are locked by
    /// [`handle_locked`](crate::ConsumerGroup::handle_locked).
    Lock(LockRequest),
    /// End a client's locks (UNLOCK_BATCH_MQ, 1 s), and report it by
    /// [`handle_unlocked`](crate::ConsumerGroup::handle_unlocked) where the request has an id.
    Unlock(UnlockRequest),
    /// Keep this for the next life of this host, in place of what was kept of the queue
    /// ([`with_settled`](crate::ConsumerGroup::with_settled)). Nothing waits for it; what is lost is done again.
    Journal(QueueJournal),
    /// Ask one broker of the topic which of its queues this member is to pop (QUERY_ASSIGNMENT), and report it by
    /// [`handle_assignment`](crate::PopConsumerGroup::handle_assignment).
    QueryAssignment {
        /// The topic.
        topic: Arc<str>,
    },
    /// Pop (POP_MESSAGE) and report it by [`handle_popped`](crate::PopConsumerGroup::handle_popped).
    Pop(PopRequest),
    /// Settle popped messages (ACK_MESSAGE, or BATCH_ACK_MESSAGE for more than one) and report it by
    /// [`handle_acked`](crate::PopConsumerGroup::handle_acked).
    Ack(AckRequest),
    /// Change a popped message's invisible time (CHANGE_MESSAGE_INVISIBLETIME) and report it by
    /// [`handle_changed`](crate::PopConsumerGroup::handle_changed).
    ChangeInvisibleTime(ChangeRequest),
    /// Something an operator may want to know.
    Event(Event),
    /// Leave the group at every broker (UNREGISTER_CLIENT). It is tried once; start nothing that follows until it is
    /// done or has failed. Every offset has been answered for before this comes.
    Unregister,
    /// The group is done: this is the last action, and later inputs have no effect.
    Terminated(TerminationReport),
}

/// What a heartbeat tells the brokers of this group (RocketMQ: ConsumerData).
#[derive(Debug, Clone)]
pub struct Heartbeat {
    /// The union of what the group's listeners want, with the retry topic. Brokers drop a topic that is not in it.
    pub subscriptions: Arc<[Arc<TopicSubscription>]>,
}

/// One question to a strategy of somebody else's (RocketMQ: AllocateMessageQueueStrategy), for the whole group, so that the
/// answers can be held against each other.
#[derive(Debug, Clone)]
pub struct Allocate {
    /// To be handed back with the answers.
    pub id: AllocateId,
    /// The strategy's name, as [`with_asked_strategy`](crate::ConsumerGroup::with_asked_strategy) was given it.
    pub strategy: Arc<str>,
    /// The topic.
    pub topic: Arc<str>,
    /// Its queues, sorted.
    pub queues: Arc<[MessageQueue]>,
    /// The client ids to be asked for, sorted.
    pub members: Arc<[String]>,
}

/// One LOCK_BATCH_MQ (RocketMQ: LockBatchRequestBody), for queues of one broker.
#[derive(Debug, Clone)]
pub struct LockRequest {
    /// To be handed back with the answer.
    pub id: LockId,
    /// The name the locks are kept under: the group's, or in a group of concurrent listeners a companion's, since brokers
    /// count a group with locks of its own as orderly.
    pub group: Arc<str>,
    /// At least one.
    pub mqs: Vec<MessageQueue>,
    /// While the route names no master, its replica with the smallest id may be asked. It knows nothing of the master's
    /// locks, so this is for what outlives two owners for a moment: not for the order of messages.
    pub replica_will_do: bool,
}

/// One UNLOCK_BATCH_MQ (RocketMQ: UnlockBatchRequestBody), for queues of one broker.
#[derive(Debug, Clone)]
pub struct UnlockRequest {
    /// To be handed back with the answer; none where nobody waits for it.
    pub id: Option<UnlockId>,
    /// The name the locks are kept under.
    pub group: Arc<str>,
    /// Whose locks end: this client's, or those of a member that is gone.
    pub client_id: String,
    /// At least one.
    pub mqs: Vec<MessageQueue>,
}

/// One PULL_MESSAGE (RocketMQ: PullMessageRequestHeader).
#[derive(Debug, Clone)]
pub struct PullRequest {
    /// To be handed back with the answer.
    pub id: PullId,
    /// The queue.
    pub mq: MessageQueue,
    /// Where to read (queueOffset).
    pub offset: i64,
    /// Whether the broker is likely to answer at once: unless its last answer reached the queue's end.
    pub expects_messages: bool,
    /// Most messages to answer with (maxMsgNums).
    pub max_msg_nums: u32,
    /// Most bytes to answer with (maxMsgBytes).
    pub max_msg_bytes: u32,
    /// The offset to store on the way (sysFlag 0x1). To be left out when the broker asked is not the master (id 0).
    pub commit_offset: Option<i64>,
    /// How long the broker may hold the pull when there is nothing new (sysFlag 0x2, suspendTimeoutMillis).
    pub suspend_timeout: Duration,
    /// How long to wait for the answer; longer than `suspend_timeout`.
    pub timeout: Duration,
    /// The subscription this pull is made under: its version, and its expression where it is to be sent along.
    pub subscription: Arc<TopicSubscription>,
    /// Send the expression along (sysFlag 0x4): `post_subscription_when_pull`.
    pub post_subscription: bool,
    /// Which broker of that name to ask.
    pub from: PullFrom,
}

/// Messages of one queue for one listener, in the order of their offsets.
#[derive(Debug, Clone)]
pub struct Batch {
    /// To be handed back with the results.
    pub id: BatchId,
    /// Who is to have it.
    pub listener: ListenerId,
    /// The topic the listener subscribed to; for a message that comes back through the retry topic, the one it was
    /// first sent to. The same for every message of the batch.
    pub topic: Arc<str>,
    /// The queue the messages were pulled from, which may be one of the retry topic; of popped messages their topic's, also
    /// where they come again.
    pub mq: MessageQueue,
    /// At least one, at most the listener's `batch_max_size`; or so many for each of several calls, where
    /// [`calls_together`](crate::GroupConfig::calls_together) are allowed and the listener is quick.
    pub messages: Messages,
    /// Most messages in one call (the listener's `batch_max_size`): the first so many are those of the first call, and so on.
    pub call_size: usize,
    /// How often the first of them has come again in place, in an orderly group: to be added to the `reconsume_times` it
    /// was stored with.
    pub head_retries: u32,
    /// The listener is to stop at the first message that is no success: what follows is given out again.
    pub in_order: bool,
}

/// One CONSUMER_SEND_MSG_BACK (RocketMQ: ConsumerSendMsgBackRequestHeader).
#[derive(Debug, Clone)]
pub struct SendBackRequest {
    /// To be handed back with the answer.
    pub id: SendBackId,
    /// The queue the message was pulled from: its broker is to be asked.
    pub mq: MessageQueue,
    /// The message: its physical offset is what the broker finds it by, its unique key is `originMsgId`.
    pub message: MessageExt,
    /// The topic it was first sent to. Brokers need it for the dead-letter topic.
    pub origin_topic: Arc<str>,
    /// −1: to the dead-letter topic; 0: by attempts; 1 to 18: that level.
    pub delay_level: i32,
    /// How often it may come back before the broker files it in the dead-letter topic.
    pub max_reconsume_times: i32,
}

/// One POP_MESSAGE (RocketMQ: PopMessageRequestHeader).
#[derive(Debug, Clone)]
pub struct PopRequest {
    /// To be handed back with the answer.
    pub id: PopId,
    /// The queue; −1 is any of the broker's.
    pub mq: MessageQueue,
    /// Most messages to answer with (maxMsgNums).
    pub max_msg_nums: u32,
    /// How long they stay hidden from the group's other members (invisibleTime).
    pub invisible_time: Duration,
    /// A group without an offset begins at the oldest message (initMode 0), not at the end (1).
    pub from_first: bool,
    /// How long the broker may hold the request when there is nothing (pollTime).
    pub poll_time: Duration,
    /// How long to wait for the answer; longer than `poll_time`.
    pub timeout: Duration,
    /// The subscription to send along (expType, exp).
    pub subscription: Arc<TopicSubscription>,
}

/// Popped messages of one broker that are settled (RocketMQ: BatchAckMessageRequestBody).
#[derive(Debug, Clone)]
pub struct AckRequest {
    /// To be handed back with the answer.
    pub id: AckId,
    /// The broker they were popped from.
    pub broker_name: Arc<str>,
    /// At least one, each with the topic it was first sent to.
    pub acks: Vec<(Arc<str>, PopReceipt)>,
}

/// One CHANGE_MESSAGE_INVISIBLETIME (RocketMQ: ChangeInvisibleTimeRequestHeader).
#[derive(Debug, Clone)]
pub struct ChangeRequest {
    /// To be handed back with the answer.
    pub id: ChangeId,
    /// The broker the message was popped from.
    pub broker_name: Arc<str>,
    /// The topic it was first sent to.
    pub topic: Arc<str>,
    /// What settles it.
    pub receipt: PopReceipt,
    /// How long it stays hidden from now on.
    pub invisible_time: Duration,
    /// That it comes again counts as no attempt, where the broker knows of that (5.5): no listener has had it.
    pub suspend: bool,
}

/// How an offset goes to the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PersistMode {
    /// Nothing waits for it; report only what is known to have failed.
    Oneway,
    /// The core waits for the answer before it lets the queue go.
    Sync,
}
