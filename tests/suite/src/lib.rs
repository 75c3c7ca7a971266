//! The harness of the conformance suite: the whole product, run against the embedded broker and against Apache RocketMQ.
//!
//! A scenario is an async function of a [`World`]: a cluster, and names no other test uses. [`scenarios!`] makes two
//! tests of each, `embedded::name` and `apache::name`, which differ in the broker only. It deliberately uses nothing
//! of the product but what any user of the `gantry-host` library has: configuration, files, status, the observer.
//! A harness has one way to report: it panics, which fails the test.

#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod apache;
mod cluster;
mod component;
mod embedded;
mod feed;
mod host;
mod host_process;
mod ledger;
mod liar;
mod load;
mod logged;
mod observed;
mod scenario;
mod sequences;
mod sleeper;
mod tally;
mod wait;

pub use apache::{guarded_access, start_guarded, start_plainly_guarded};
pub use cluster::{BrokerKind, TestCluster};
pub use component::{built, component, program, versioned};
pub use feed::fed;
pub use host::{HostSetup, HostUnderTest};
pub use host_process::{HostProcess, HostProcessSetup};
pub use ledger::{Consumed, Entry, Ledger, Scribe, now};
pub use liar::{Liar, Lie, frame};
pub use load::Load;
pub use logged::warned;
pub use observed::{Observed, Record};
pub use scenario::{Needs, World, installation, run};
pub use sequences::{Sequences, out_of_order};
pub use sleeper::Sleeper;
pub use tally::Tally;
pub use wait::{eventually, eventually_within, that};
