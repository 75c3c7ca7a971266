//! WebAssembly components as RocketMQ message listeners, allocation strategies and queue selectors.
//!
//! The crate's one idea: a listener is untrusted code that is lent a batch for a bounded time, with bounded memory and
//! no authority it was not granted, and whatever it does (answers, fails, traps, spins, hoards) every message of the
//! batch leaves with exactly one outcome.
//!
//! It deliberately does not know RocketMQ's protocol (a batch is a [`MessageBatch`] view that the host implements),
//! consumer groups, offsets or retries (an outcome is handed back, not acted on), the plugins directory, or any
//! asynchronous runtime: guests run on their own threads ([`GuestThreads`]).
//!
//! The way of a batch: the host takes a [`Lease`] of the serving [`Generation`] from a [`Slot`], submits a
//! [`ConsumeJob`], or several calls as one ([`Calls`]), to the [`GuestThreads`], which call [`consume_isolated`], which checks
//! instances out of the [`ListenerModule`]'s pool; the [`BatchReport`] comes back through the job's callback, or stays with
//! whoever handed the calls over. A [`StrategyModule`] and a
//! [`SelectorModule`] are asked on any thread that may block.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        reason = "tests"
    )
)]

mod bounded_io;
mod cache;
mod config;
mod delivery;
mod description;
mod engine;
mod failure;
mod granted;
mod guest;
mod hash;
mod imports;
mod instance;
mod isolate;
mod lifecycle;
mod limits;
mod listener;
mod load;
mod message;
mod messaging;
mod module;
mod output;
mod packing;
mod pool;
mod record;
mod selector;
mod series;
mod slot;
mod state;
mod strategy;
mod surface;
mod threads;
mod ticker;
mod wasi;
mod wit;

pub use config::EngineConfig;
pub use description::UnsoundDescription;
pub use engine::{Engine, EngineError};
pub use failure::{FailureKind, GuestFailure, InstantiateError};
pub use granted::{
    Change, Directory, Grant, Grants, HttpGrant, HttpHost, KeyValue, KeyValueError, KeysFrom,
    MAX_LABEL_VALUE, MessageQueueSelector, Metrics, PluginLog, Producer, SendError, SendReceipt, SendStatus,
    Suppressed, UnknownGrant, UnsoundHost, Versioned,
};
pub use hash::ContentHash;
pub use imports::RefusedImport;
pub use isolate::{BatchReport, Cause, InHand, Order, Outcome, consume_isolated};
pub use load::{LoadError, MAX_COMPONENT_BYTES, Plugin};
pub use message::{MessageBatch, MessageView, OwnedMessage};
pub use module::{Instance, ListenerModule};
pub use pool::PoolStats;
pub use record::{Fault, Figures, Record};
pub use selector::{SelectorFailure, SelectorModule};
pub use series::Series;
pub use slot::{Generation, Lease, Retired, Slot};
pub use state::PluginState;
pub use strategy::{StrategyFailure, StrategyModule};
pub use surface::{ComponentImport, ComponentSurface, Footprint, ImportNeeds, surface};
pub use threads::{
    Calls, ConsumeJob, GuestThreads, Job, Panics, QUICK, Rejected, ShutdownReport, ThreadsStats,
};
pub use wit::{
    ConsumeContext, ConsumeFromWhere, ConsumeMode, ConsumeResult, DELIVERY_INTERFACE, DeliveryTime,
    FilterExpression, LEAN_LISTENER_INTERFACE, LIFECYCLE_INTERFACE, LISTENER_INTERFACE, ListenerDescription,
    MESSAGING_HANDLER_INTERFACE, MessageModel, MessageQueue, OutgoingMessage, PACKED_LISTENER_INTERFACE,
    RetryDelay, SELECTOR_INTERFACE, STRATEGY_INTERFACE, SelectorDescription, StrategyDescription,
    Subscription,
};
