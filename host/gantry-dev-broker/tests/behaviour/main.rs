//! What clients see of the embedded broker, over its sockets.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests"
)]

mod accounts;
mod admin;
mod batches;
mod captured;
mod client;
mod durability;
mod files;
mod filters;
mod groups;
mod inventory;
mod locks;
mod popping;
mod pulling;
mod replies;
mod resets;
mod retry;
mod robustness;
mod sending;
mod timers;
mod tls;
mod transactions;
