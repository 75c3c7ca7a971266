//! Sockets to `RemotingCommand`s and back.
//!
//! The crate's one idea: an address is a pipelined connection that both sides may ask through. A [`Client`] keeps
//! one connection per address, made when first needed and made again with back-off when it is lost; calls are
//! matched to answers by their opaque number, in any order, each with its own deadline; what a broker asks on its
//! own account goes to a [`RequestProcessor`]. [`NameServers`] walks a list of such addresses.
//!
//! It deliberately knows nothing of consumers, groups, queues or offsets: what a code means, when a call is worth
//! repeating and what to do with an error answer is decided by whoever calls. It does not look at an answer's code
//! either, with one exception: GO_AWAY, which is about the connection itself.
//!
//! Every wait has an end: a call has a deadline, the pending table, the output queue and the number of requests
//! being processed are bounded, and [`Client::close`] returns when no task of the crate is left.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        reason = "a test fails by panicking"
    )
)]
#![forbid(unsafe_code)]

mod backoff;
mod calls;
mod client;
mod connection;
mod counters;
mod endpoint;
mod error;
mod frames;
mod name_servers;
mod processor;
mod read_buffer;
mod reader;
mod settings;
mod silence;
mod tasks;
mod tls;
mod transport;
mod writer;

pub use client::{Client, ConnectionEvent, ConnectionState};
pub use counters::Stats;
pub use error::{CloseReason, ConnectFailure, InvokeError, NameServerListError, NameServersError};
pub use name_servers::{NameServers, parse_addresses};
pub use processor::{RefuseRequests, Reply, RequestProcessor};
pub use settings::RemotingSettings;
pub use tls::{TlsDialer, TlsError, TlsSettings};
pub use transport::{Dial, Dialer, Halves, TcpDialer};
