//! Write a Gantry plugin in Rust: say which topic you want, and answer for each message.
//!
//! ```
//! use gantry_guest::{Context, Description, Failure, Listener, Message};
//!
//! struct Greetings;
//!
//! impl Listener for Greetings {
//!     fn describe() -> Description {
//!         Description::new("minimal", "greetings-group").subscribe("greetings", "*")
//!     }
//!     fn consume(_: &Context, message: &Message) -> Result<(), Failure> {
//!         if message.body().is_empty() {
//!             return Err(Failure::dead_letter("a greeting without words"));
//!         }
//!         Ok(())
//!     }
//! }
//!
//! gantry_guest::export_listener!(Greetings);
//! ```
//!
//! `Ok(())` is success: the offset may move past the message. A [`Failure`] is RocketMQ's `RECONSUME_LATER`, with a delay
//! of your choosing, or the dead-letter topic at once. Any other error met with `?` is `RECONSUME_LATER` too, as an
//! exception is in a Java listener; [`OrDeadLetter`] turns one that will never go away into a dead letter.
//!
//! A plugin may also say which queues of a topic are whose: see [`Strategy`] and [`export_strategy!`].
//!
//! What an operator grants in `gantry.toml`, a plugin may use: [`producer`], [`config`], [`keyvalue`], [`logging`] and
//! [`metrics`]. A plugin that calls nothing of them imports nothing of them.
//!
//! Compiled for `wasm32-unknown-unknown` as a `cdylib`, [`export_listener!`] exports the WIT world
//! `gantry:rocketmq/message-listener`; compiled for anything else it exports nothing, so a plugin's logic has
//! ordinary unit tests, with messages from [`testing`].
//!
//! This crate deliberately knows nothing of how messages reach the plugin: queues, offsets, retries and rebalance are
//! the host's.

pub mod config;
mod context;
mod description;
mod export;
pub mod keyvalue;
mod listener;
pub mod logging;
mod message;
pub mod metrics;
pub mod producer;
mod result;
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

#[doc(hidden)]
#[rustfmt::skip]
#[allow(
    missing_docs, unsafe_code, unreachable_pub, rust_2018_idioms, dead_code, clippy::all, clippy::pedantic,
    clippy::allow_attributes_without_reason, clippy::indexing_slicing, clippy::unwrap_used, clippy::panic,
    reason = "generated from wit/ by `cargo xtask bindings`"
)]
pub mod strategy_bindings;

#[rustfmt::skip]
#[allow(
    missing_docs, unsafe_code, unreachable_pub, rust_2018_idioms, dead_code, clippy::all, clippy::pedantic,
    clippy::allow_attributes_without_reason, clippy::indexing_slicing, clippy::unwrap_used, clippy::panic,
    reason = "generated from wit/ by `cargo xtask bindings`"
)]
#[cfg(target_arch = "wasm32")]
mod granted_bindings;

#[rustfmt::skip]
#[allow(
    missing_docs, unsafe_code, unreachable_pub, rust_2018_idioms, dead_code, clippy::all, clippy::pedantic,
    clippy::allow_attributes_without_reason, clippy::indexing_slicing, clippy::unwrap_used, clippy::panic,
    reason = "generated from wit/ by `cargo xtask bindings`"
)]
#[cfg(target_arch = "wasm32")]
mod config_bindings;

#[rustfmt::skip]
#[allow(
    missing_docs, unsafe_code, unreachable_pub, rust_2018_idioms, dead_code, clippy::all, clippy::pedantic,
    clippy::allow_attributes_without_reason, clippy::indexing_slicing, clippy::unwrap_used, clippy::panic,
    reason = "generated from wit/ by `cargo xtask bindings`"
)]
#[cfg(target_arch = "wasm32")]
mod keyvalue_bindings;

#[rustfmt::skip]
#[allow(
    missing_docs, unsafe_code, unreachable_pub, rust_2018_idioms, dead_code, clippy::all, clippy::pedantic,
    clippy::allow_attributes_without_reason, clippy::indexing_slicing, clippy::unwrap_used, clippy::panic,
    reason = "generated from wit/ by `cargo xtask bindings`"
)]
#[cfg(target_arch = "wasm32")]
mod logging_bindings;

pub use context::Context;
pub use description::{ConsumeFromWhere, ConsumeMode, Description, MessageModel};
pub use listener::Listener;
pub use message::Message;
pub use result::{ConsumeResult, Failure, OrDeadLetter, RetryDelay};
pub use strategy::{MessageQueue, Strategy, StrategyDescription};

#[doc(hidden)]
pub mod __private {
    pub use crate::bindings::exports::gantry::rocketmq::listener::Guest;
    pub use crate::bindings::gantry::rocketmq::types::{
        ConsumeContext, ConsumeResult, ListenerDescription, Message,
    };
    pub use crate::export::{consume, describe};
    pub use crate::strategy::describe as describe_strategy;
    pub use crate::strategy_bindings::exports::gantry::rocketmq::strategy::{
        Guest as StrategyGuest, StrategyDescription as WitStrategyDescription,
    };
}
