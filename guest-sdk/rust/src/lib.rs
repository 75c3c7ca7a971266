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
//! A plugin may also say which queues of a topic are whose: see [`Strategy`] and [`export_strategy!`]; and to which queue a
//! message is sent: see [`Selector`] and [`export_selector!`]. Whatever its roles, [`Lifecycle`] and [`export_lifecycle!`] let it
//! begin and end each instance's life.
//!
//! Compiled for `wasm32-unknown-unknown` as a `cdylib`, [`export_listener!`] exports the WIT world
//! `gantry:rocketmq/message-listener-packed`; compiled for anything else it exports nothing, so a plugin's logic has
//! ordinary unit tests, with messages from [`testing`].
//!
//! This crate deliberately knows nothing of how messages reach the plugin: queues, offsets, retries and rebalance are
//! the host's.

mod context;
mod description;
mod export;
mod lifecycle;
mod listener;
mod message;
mod packed;
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

#[doc(hidden)]
#[rustfmt::skip]
#[allow(
    missing_docs, unsafe_code, unreachable_pub, rust_2018_idioms, dead_code, clippy::all, clippy::pedantic,
    clippy::allow_attributes_without_reason, clippy::indexing_slicing, clippy::unwrap_used, clippy::panic,
    reason = "generated from wit/ by `cargo xtask bindings`"
)]
pub mod strategy_bindings;

#[doc(hidden)]
#[rustfmt::skip]
#[allow(
    missing_docs, unsafe_code, unreachable_pub, rust_2018_idioms, dead_code, clippy::all, clippy::pedantic,
    clippy::allow_attributes_without_reason, clippy::indexing_slicing, clippy::unwrap_used, clippy::panic,
    reason = "generated from wit/ by `cargo xtask bindings`"
)]
pub mod packed_bindings;

#[doc(hidden)]
#[rustfmt::skip]
#[allow(
    missing_docs, unsafe_code, unreachable_pub, rust_2018_idioms, dead_code, clippy::all, clippy::pedantic,
    clippy::allow_attributes_without_reason, clippy::indexing_slicing, clippy::unwrap_used, clippy::panic,
    reason = "generated from wit/ by `cargo xtask bindings`"
)]
pub mod selector_bindings;

#[doc(hidden)]
#[rustfmt::skip]
#[allow(
    missing_docs, unsafe_code, unreachable_pub, rust_2018_idioms, dead_code, clippy::all, clippy::pedantic,
    clippy::allow_attributes_without_reason, clippy::indexing_slicing, clippy::unwrap_used, clippy::panic,
    reason = "generated from wit/ by `cargo xtask bindings`"
)]
pub mod lifecycle_bindings;

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
    pub use crate::bindings::exports::gantry::rocketmq::listener::Guest;
    pub use crate::bindings::gantry::rocketmq::types::{
        ConsumeContext, ConsumeResult, ListenerDescription, Message,
    };
    pub use crate::export::{consume, consume_packed, describe};
    pub use crate::lifecycle_bindings::exports::gantry::rocketmq::lifecycle::Guest as LifecycleGuest;
    pub use crate::packed_bindings::exports::gantry::rocketmq::packed_listener::Guest as PackedGuest;
    pub use crate::selector::describe as describe_selector;
    pub use crate::selector_bindings::exports::gantry::rocketmq::selector::{
        Guest as SelectorGuest, SelectorDescription as WitSelectorDescription,
    };
    pub use crate::strategy::describe as describe_strategy;
    pub use crate::strategy_bindings::exports::gantry::rocketmq::strategy::{
        Guest as StrategyGuest, StrategyDescription as WitStrategyDescription,
    };
}
