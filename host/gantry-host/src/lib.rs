//! The host: drives the consumer machines over tokio.
//!
//! It owns what the machines may not: sockets and clocks (through `client_instance`), the plugins directory, guest
//! threads, configuration, the admin API. It deliberately does not know the command line or the embedded broker, and it
//! makes none of the consumer's decisions: those are `gantry-core`'s.

#![forbid(unsafe_code)]
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

mod admin;
mod background;
pub mod client_instance;
mod clusters;
pub mod config;
mod filter;
mod granted;
mod group;
mod host;
mod metrics;
mod native;
mod observer;
mod plugins;
pub mod pull_consumer;
mod runtime;
mod state;
pub mod status;
mod tasks;

pub use admin::AdminError;
pub use filter::FilterMessageHook;
pub use gantry_engine::{
    ConsumeContext, ConsumeFromWhere, ConsumeMode, ConsumeResult, FilterExpression, ListenerDescription,
    MessageBatch, MessageModel, MessageView, RetryDelay, Subscription,
};
pub use group::{NativeListener, stored_batch};
pub use host::{Host, StartError, StopReport};
pub use native::NativeError;
pub use observer::{Observer, PluginChange, Settled, SettledAs, SharedObserver, Unobserved};
pub use plugins::{DirectoryError, MAX_FILE, Selections, Selectors};
pub use runtime::runtime;
pub use state::StateError;
