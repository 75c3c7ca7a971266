//! The whole product against the embedded broker and against Apache RocketMQ: what a user may rely on.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and prints what it counted"
)]

mod admin;
mod broadcasting;
mod clashing;
mod consuming;
mod crashing;
mod deploying;
mod equality;
mod failing;
mod faults;
mod filtering;
mod granting;
mod groups;
mod heartbeats;
mod languages;
mod lies;
mod members;
mod mixed;
mod namespaces;
mod ordering;
mod outage;
mod popping;
mod producing;
mod pulling;
mod rebalancing;
mod refusing;
mod retrying;
mod roles;
mod size;
mod swapping;
mod tools;
mod tracing;
mod versions;
