//! Apache RocketMQ itself, for tests: its name server, brokers, and Java and Go clients as child processes on loopback.
//!
//! [`Installation::prepare`] gets the jars through Maven, once; [`Cluster::start`] starts servers on free ports and
//! returns when they serve; [`Client`] and [`Consumer`] drive the Java client, or the Go client that [`GoClient`] builds. Whatever was started dies with the value
//! that started it, also when the process that owns it is killed.
//!
//! It deliberately knows nothing of Gantry: what is compared with RocketMQ must not be asked how RocketMQ works.
//! Everything blocks; in asynchronous tests call it from a blocking thread.

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

mod clients;
mod cluster;
mod configuration;
mod driver;
mod go;
mod installation;
mod ports;
mod process;
mod route;

pub use clients::{
    Client, Consumer, ConsumerOptions, More, Outgoing, Position, Progress, Queue, Sent, Stored,
    TransactionState,
};
pub use cluster::{Broker, Cluster, Options, StartError};
pub use driver::{ClientProgram, DriverError};
pub use go::GoClient;
pub use installation::{Installation, PrepareError};

/// The release the tests run against.
pub const VERSION: &str = "5.5.0";

/// A release that still has the access control of RocketMQ 4, by `plain_acl.yml`.
pub const PLAIN_ACL_VERSION: &str = "5.1.4";

/// The environment variable that makes RocketMQ required where it would otherwise be skipped for want of Java or Maven.
pub const REQUIRED: &str = "GANTRY_REQUIRE_ROCKETMQ";

/// The environment variable that makes the Go client required where it would otherwise be skipped for want of Go.
pub const GO_REQUIRED: &str = "GANTRY_REQUIRE_GO";
