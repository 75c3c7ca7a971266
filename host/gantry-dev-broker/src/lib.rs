//! An embedded RocketMQ name server and broker in one process, on one port.
//!
//! The crate's one idea: what a developer, a demo or a test needs of a RocketMQ cluster, without one. Stock Java
//! and Go clients use it as they use Apache RocketMQ 5; so does Gantry. It sees nothing of Gantry but the protocol
//! crate, so that it cannot share a mistake with Gantry's client.
//!
//! # What it keeps
//! One SQLite database (or memory): messages in RocketMQ's own stored layout, topics, consumer groups' settings and
//! offsets, the schedule of delays and timers, transactions that have not ended, popped messages that are not settled,
//! in order or not.
//! One thread writes, gathering what waits into one transaction; what it stores of a queue is one run, a row. A run of
//! 16 KiB or more is in a file beside the database, which has its place and checksum. A send is answered after its
//! commit, so an acknowledged message survives the death of the process, and with [`FsyncPolicy::EveryCommit`] a power
//! failure; without, what one kept from the disk is found and left out at the next start. Such a file goes when the
//! last topic with messages in it is deleted. Pops
//! are hidden in the transaction in which the group's offset passes them, so a kill at any instant neither loses one nor
//! brings a settled one back. Group membership, queue locks, held pulls and replies on their way live in memory.
//!
//! # What is deliberately absent
//! - Several brokers, slaves, replication, and registration of other brokers: it is its own and only cluster.
//! - Compaction, cold data control, lite topics: code 3, or the code RocketMQ has for a broker without them.
//! - A POP handle whose time is up changes nothing, where RocketMQ's CHANGE_MESSAGE_INVISIBLETIME would have the message
//!   come twice.
//! - Of inner batches: the property INNER_BASE, which clients do not read. A subscription by tags gets every inner batch,
//!   for its client to choose from; RocketMQ's broker compares the tags of the batch, which has none.
//! - A prepared message stays where it is while its producers are asked about it; RocketMQ writes it anew each time.
//! - Permissions by topic or group: an account may do everything, and without accounts everybody may. It listens on
//!   loopback unless told otherwise.
//! - Expiry of old messages: they stay until their topic is deleted; [`BrokerConfig::max_store_bytes`] is the bound.
//! - Rates in statistics (given as 0), and most of `mqadmin` beyond topics, groups, their members and their offsets.
//!
//! Everything it does not know is answered REQUEST_CODE_NOT_SUPPORTED (3) with the number in the remark.

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

mod background;
mod broker;
mod clock;
mod config;
mod core;
mod error;
mod filter;
mod handlers;
mod props;
mod server;
mod state;
mod store;
mod sync;
mod tasks;

pub use broker::{Broker, BrokerStats};
pub use config::{BrokerConfig, FsyncPolicy, Limits, Storage, Timing, TlsFiles};
pub use error::StartError;
