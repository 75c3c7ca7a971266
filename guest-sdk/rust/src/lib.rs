//! Write a Gantry plugin in Rust: say which topic you want, and answer for each message.
//!
//! ```
//! use gantry_guest::{Failure, Message};
//!
//! #[gantry_guest::listener(name = "minimal", group = "greetings-group", topic = "greetings")]
//! fn consume(message: &Message) -> Result<(), Failure> {
//!     if message.body().is_empty() {
//!         return Err(Failure::dead_letter("a greeting without words"));
//!     }
//!     Ok(())
//! }
//! ```
//!
//! `Ok(())` is success: the offset may move past the message. A [`Failure`] is RocketMQ's `RECONSUME_LATER`, with a delay
//! of your choosing, or the dead-letter topic at once. Any other error met with `?` is `RECONSUME_LATER` too, as an
//! exception is in a Java listener; [`OrDeadLetter`] turns one that will never go away into a dead letter.
//!
//! What [`listener`](macro@listener) writes is an implementation of [`Listener`]; one of your own, with [`export_listener!`],
//! has the batch as a whole to answer for. A plugin may also say which queues of a topic are whose: see
//! [`strategy`](macro@strategy), or [`Strategy`] and [`export_strategy!`]; and to which queue a message is sent: see
//! [`Selector`] and [`export_selector!`]. Whatever its roles, [`Lifecycle`] and [`export_lifecycle!`] let it begin and end
//! each instance's life.
//!
//! What an operator grants in `gantry.toml`, a plugin may use: [`producer`], [`mod@config`], [`keyvalue`], [`logging`] and
//! [`metrics`]. A plugin that calls nothing of them imports nothing of them.
//!
//! Compiled for `wasm32-unknown-unknown` as a `cdylib`, a listener exports the WIT world
//! `gantry:rocketmq/message-listener-lean`; compiled for anything else it exports nothing, so a plugin's logic has
//! ordinary unit tests, with messages from [`testing`].
//!
//! This crate deliberately knows nothing of how messages reach the plugin: queues, offsets, retries and rebalance are
//! the host's.

pub mod config;
mod context;
mod description;
mod export;
pub mod keyvalue;
mod lifecycle;
mod listener;
pub mod logging;
mod message;
pub mod metrics;
mod packed;
pub mod producer;
mod result;
mod selector;
mod strategy;
pub mod testing;

#[doc(hidden)]
#[rustfmt::skip]
#[allow(
    missing_docs, unsafe_code, unreachable_pub, rust_2018_idioms, dead_code, clippy::all, clippy::pedantic,
    clippy::allow_attributes_without_reason, clippy::indexing_slicing, clippy::unwrap_used, clippy::panic,
    reason = "generated from wit/ by `cargo xtask bindings`"
)]
pub mod bindings;

/// Makes a function the plugin's listener: for each message the host calls it, with its [`Context`] or without.
///
/// ```
/// use gantry_guest::{Context, Failure, Message};
///
/// #[gantry_guest::listener(group = "orders-group", topic = "orders", tags = "created || paid", batch = 32, timeout = "5s")]
/// fn consume(context: &Context, message: &Message) -> Result<(), Failure> {
///     if message.keys().next().is_none() {
///         return Err(Failure::dead_letter(format!("an order of {} without a key", context.topic())));
///     }
///     Ok(())
/// }
/// ```
///
/// Once per crate, at module level. The function stays what it is, to be called by unit tests. What the attribute says
/// is what [`Description`] says, with the same defaults and rules:
///
/// | argument | what |
/// |---|---|
/// | `group = "orders-group"` | the consumer group; needed |
/// | `topic = "orders"` | a topic; needed, once for each |
/// | `tags = "a \|\| b"` or `sql = "amount > 100"` | which messages of the topic before it; left out, all |
/// | `name = "orders"`, `version = "2"` | left out, those of the package |
/// | `batch = 32` | most messages in one call, 1 to 1024; left out, 1 |
/// | `max_reconsume_times = 3` | retries before the dead-letter topic; left out, 16 |
/// | `timeout = "5s"` | how long one call may take, in ms, s, m or h; left out, the host's |
/// | `from = "first-offset"` | where a group without a stored offset begins: `"first-offset"`, `"last-offset"`, or milliseconds since 1970; left out, the last |
/// | `orderly` | each queue in its order; left out, concurrently |
/// | `broadcasting` | each member gets every message; left out, clustering |
///
/// What breaks a rule does not compile:
///
/// ```compile_fail
/// #[gantry_guest::listener(group = "orders group", topic = "orders")]
/// fn consume(_: &gantry_guest::Message) -> Result<(), gantry_guest::Failure> {
///     Ok(())
/// }
/// ```
pub use gantry_guest_macros::listener;
/// Makes a function the plugin's allocation strategy, as [`Strategy::allocate`] is asked.
///
/// ```
/// use gantry_guest::MessageQueue;
///
/// /// Queue by queue, round the members.
/// #[gantry_guest::strategy(name = "round")]
/// fn allocate(_group: &str, me: &str, queues: &[MessageQueue], members: &[String]) -> Result<Vec<MessageQueue>, String> {
///     let place = members.iter().position(|member| member == me).ok_or("not a member")?;
///     Ok(queues.iter().skip(place).step_by(members.len()).cloned().collect())
/// }
/// ```
///
/// Once per crate, at module level; a listener may be beside it. `name` and `version` are the package's where left out.
pub use gantry_guest_macros::strategy;

pub use context::Context;
pub use description::{ConsumeFromWhere, ConsumeMode, Description, MessageModel};
pub use lifecycle::Lifecycle;
pub use listener::Listener;
pub use message::Message;
pub use result::{ConsumeResult, Failure, OrDeadLetter, RetryDelay};
pub use selector::{DeliveryTime, OutgoingMessage, Selector, SelectorDescription};
pub use strategy::{MessageQueue, Strategy, StrategyDescription};

#[doc(hidden)]
pub mod __private {
    pub use crate::bindings::lean::exports::gantry::rocketmq::lean_listener::Guest as LeanGuest;
    pub use crate::bindings::lifecycle::exports::gantry::rocketmq::lifecycle::Guest as LifecycleGuest;
    pub use crate::bindings::listener::exports::gantry::rocketmq::listener::Guest;
    pub use crate::bindings::listener::gantry::rocketmq::types::{
        ConsumeContext, ConsumeResult, ListenerDescription, Message,
    };
    pub use crate::bindings::packed::exports::gantry::rocketmq::packed_listener::Guest as PackedGuest;
    pub use crate::bindings::selector::exports::gantry::rocketmq::selector::{
        Guest as SelectorGuest, SelectorDescription as WitSelectorDescription,
    };
    pub use crate::bindings::strategy::exports::gantry::rocketmq::strategy::{
        Guest as StrategyGuest, StrategyDescription as WitStrategyDescription,
    };
    pub use crate::export::{consume, consume_batches, consume_packed, describe};
    pub use crate::selector::describe as describe_selector;
    pub use crate::strategy::describe as describe_strategy;
}
