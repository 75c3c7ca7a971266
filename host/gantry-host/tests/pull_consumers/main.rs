//! Pull consumers against the embedded broker.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod lite;
mod namespaced;
mod plain;
mod support;
