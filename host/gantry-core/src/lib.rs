//! The RocketMQ consumer as a pure machine.
//!
//! The crate's one idea: everything a consumer group decides (what to pull and when, who gets which message, what an
//! answer settles, which offset is safe to store, which queues to take and how to let them go) is a function of what it
//! was told and of the time it is told. [`ConsumerGroup`], which pulls, and [`PopConsumerGroup`], which pops, take inputs by
//! `handle_*`, give out [`Action`]s, and say when they want to be looked at again. Random choices come from a seed.
//!
//! It deliberately does not know sockets, threads, tasks, clocks, name servers' addresses, or what a listener is: calling
//! one is an action like any other, so it never sees WebAssembly. It does not decode frames either; messages reach it
//! decoded, and it does not look at their bodies.
//!
//! What it keeps, come what may: an offset is never stored past a message that is not settled, unless the broker itself
//! moved it; a message is settled once by one ownership of its queue; every table, wait and cache has a bound.

#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::disallowed_methods,
        reason = "tests, which need some instant to start from"
    )
)]

mod action;
pub mod allocate;
mod backoff;
mod config;
mod event;
pub mod fault;
mod flow_control;
mod group;
mod heartbeat;
mod id;
mod input;
mod lanes;
mod listener;
mod lock;
mod messages;
mod offset;
mod places;
mod pop;
mod process_queue;
mod pull;
mod queue;
mod ramp;
mod rebalance;
mod retry;
mod roster;
mod route;
mod running;
pub mod select;
mod settled;
mod start_offset;
mod status;
mod subscription;
mod timer;
mod together;
mod which_node;

pub use action::{
    AckRequest, Action, Allocate, Batch, ChangeRequest, Heartbeat, LockRequest, PersistMode, PopRequest,
    PullRequest, SendBackRequest, UnlockRequest,
};
pub use allocate::{AllocateError, AllocateMessageQueueAveragely, AllocateMessageQueueStrategy};
pub use config::{
    ConfigError, ConsumeFromWhere, ConsumeMode, DEFAULT_CONSUMER_GROUP, DEFAULT_MAX_RECONSUME_TIMES,
    GroupConfig, MessageModel, RebalanceMode,
};
pub use event::{Event, Severity, StuckCause};
pub use flow_control::{CACHE_FLOW_CONTROL_DELAY, Gate};
pub use group::{ConsumerGroup, HaltDecision};
pub use id::{
    AckId, AllocateId, BatchId, ChangeId, ListenerId, LockId, OffsetQueryId, PersistId, PopId, PullId,
    SendBackId, UnlockId,
};
pub use input::{
    Assignment, HeartbeatOutcome, LockFailure, OffsetAnswer, PopOutcome, PoppedMessage, PullAnswer,
    PullOutcome, PullStatus, RetryDelay, Route, Settlement,
};
pub use listener::{FilterExpression, ListenerSpec, SUB_ALL, Subscription, SubscriptionError};
pub use messages::Messages;
pub use pop::PopConsumerGroup;
pub use settled::{QueueJournal, SettledOffsets};
pub use status::{BatchStatus, GroupStats, QueuePhase, QueueStatus, TerminationReport};
pub use subscription::TopicSubscription;
pub use which_node::PullFrom;
