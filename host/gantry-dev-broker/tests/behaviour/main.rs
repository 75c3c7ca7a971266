//! What clients see of the embedded broker, over its sockets.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests"
)]

mod admin;
mod client;
mod groups;
mod pulling;
mod retry;
mod sending;
