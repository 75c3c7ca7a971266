use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;
use std::time::Duration;

use gantry_protocol::Credentials;

/// Everything that can be set about the embedded broker. Defaults are RocketMQ's where it has one.
#[derive(Clone, Debug)]
pub struct BrokerConfig {
    /// Where to listen; both roles, name server and broker, share this port. Default 127.0.0.1:9876.
    /// Port 0 picks a free one, see [`crate::Broker::local_addr`].
    pub listen: SocketAddr,
    /// Address told to clients in routes and written as a message's store host, when it is not the one the
    /// broker listens on (RocketMQ: brokerIP1). Default: the listen address.
    pub advertise: Option<SocketAddr>,
    /// Where messages live. Default: in memory.
    pub storage: Storage,
    /// Name of the broker in routes (RocketMQ: brokerName). Default `gantry-broker`.
    pub broker_name: String,
    /// Name of the cluster (RocketMQ: brokerClusterName). Default `DefaultCluster`, RocketMQ's.
    pub cluster: String,
    /// Whether a send to an unknown topic creates it after the template TBW102
    /// (RocketMQ: autoCreateTopicEnable). Default true.
    pub auto_create_topics: bool,
    /// Queues of the template TBW102 (RocketMQ: defaultTopicQueueNums). Default 8.
    pub default_topic_queue_nums: i32,
    /// Longest message body in bytes (RocketMQ: maxMessageSize). Default 4 MiB.
    pub max_message_size: usize,
    /// Most messages one pull returns (RocketMQ: maxTransferCountOnMessageInMemory). Default 32.
    pub max_pull_count: usize,
    /// Most bytes one pull returns, though always one message (RocketMQ: maxTransferBytesOnMessageInMemory).
    /// Default 256 KiB.
    pub max_pull_bytes: usize,
    /// Most bytes the store may take; sends past it are refused. `None` is the default: until the disk is full.
    pub max_store_bytes: Option<u64>,
    /// Bytes of recent records kept in memory over all queues, so that live pulls need no disk. A group without an
    /// offset begins a queue at 0, whatever it asks for, while the queue's first record is no older than these
    /// bytes. Default 64 MiB.
    pub tail_cache_bytes: usize,
    /// Whether the broker itself resets a group's offsets when an administrator asks for it, or tells the group's
    /// members to do it, as brokers before 5.0 do (RocketMQ: useServerSideResetOffset). Default true.
    pub server_side_reset: bool,
    /// Whether popped messages that were not settled in time go to retry topics of the second form, `%RETRY%group+topic`,
    /// instead of the first, `%RETRY%group_topic` (RocketMQ: enableRetryTopicV2). Both are read. Default false.
    pub pop_retry_topic_v2: bool,
    /// The 18 delay levels, level 1 first (RocketMQ: messageDelayLevel). Default 1 s .. 2 h.
    pub delay_levels: Vec<Duration>,
    /// TLS beside plain TCP on the same port, or instead of it (RocketMQ: tls.server.mode). Default: none.
    pub tls: Option<TlsFiles>,
    /// Accounts; where there is one, every request must be signed by one of them (RocketMQ: aclEnable), and may then do
    /// everything. Default: none, and signatures are not looked at.
    pub accounts: Vec<Credentials>,
    /// Bounds of what clients can make the broker hold.
    pub limits: Limits,
    /// Intervals and leases.
    pub timing: Timing,
}

/// What the broker proves its name with, and to whom it speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// A PEM file with the broker's certificate and those between it and its authority.
    pub cert_file: PathBuf,
    /// A PEM file with its private key, not encrypted.
    pub key_file: PathBuf,
    /// A PEM file with the authorities clients must have a certificate of (mutual TLS). `None` asks for none.
    pub client_ca_file: Option<PathBuf>,
    /// Turns plain connections away (RocketMQ: `enforcing`; else `permissive`).
    pub enforcing: bool,
}

/// Where the embedded broker keeps messages, offsets, topics and the delay schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Storage {
    /// A database in this directory, which one broker at a time may use.
    Directory {
        /// Created when it does not exist.
        path: PathBuf,
        /// When an acknowledged message is safe.
        fsync: FsyncPolicy,
    },
    /// Gone when the broker stops.
    InMemory,
}

/// What an acknowledged message survives (RocketMQ: flushDiskType).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FsyncPolicy {
    /// The death of the process, at any instant, but not a power failure: written pages are the operating
    /// system's (RocketMQ: ASYNC_FLUSH, its default).
    #[default]
    Os,
    /// A power failure too: each group of messages is flushed before it is acknowledged (RocketMQ: SYNC_FLUSH).
    EveryCommit,
}

/// Bounds of what clients can make the broker hold.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Most connections at once; one more is closed at once. Default 4096.
    pub connections: usize,
    /// Bytes waiting for one slow reader before its connection is closed. Default 64 MiB.
    pub output_bytes: usize,
    /// Frames waiting for one slow reader before its connection is closed. Default 16384.
    pub output_frames: usize,
    /// Pulls held at once; one more is answered at once. Default 65536.
    pub held_pulls: usize,
    /// Topics. Default 16384.
    pub topics: usize,
    /// Members of all consumer groups together. Default 16384.
    pub members: usize,
    /// Queues locked by all consumer groups together. Default 65536.
    pub locks: usize,
    /// Offsets stored for all consumer groups together. Default 1,048,576.
    pub offsets: usize,
    /// Bytes of messages waiting to be stored; a connection that sends more is not read meanwhile. Default 64 MiB.
    pub pending_store_bytes: usize,
}

/// Intervals and leases. Tests shorten them; users have no reason to.
#[derive(Clone, Debug)]
pub struct Timing {
    /// How often held pulls are looked at (RocketMQ: PullRequestHoldService, 5 s).
    pub hold_sweep: Duration,
    /// A member silent for this long is dropped (RocketMQ: channelExpiredTimeout, 120 s).
    pub member_expiry: Duration,
    /// How often silent members are looked for (RocketMQ: 10 s).
    pub member_sweep: Duration,
    /// A queue lock not renewed for this long is free (RocketMQ: rebalance.lockMaxLiveTime, 60 s).
    pub lock_lease: Duration,
    /// How often changed consumer offsets are written (RocketMQ: flushConsumerOffsetInterval, 5 s). Default 1 s.
    pub offset_flush: Duration,
    /// A transaction open for this long is asked about (RocketMQ: transactionTimeOut, 6 s).
    pub transaction_timeout: Duration,
    /// How often open transactions are looked for (RocketMQ: transactionCheckInterval, 30 s).
    pub transaction_check: Duration,
    /// How often a transaction is asked about before it is given up (RocketMQ: transactionCheckMax, 15).
    pub transaction_checks: i32,
    /// How often popped messages are looked for that were not settled in time (RocketMQ: reviveInterval, 1 s).
    pub pop_revive: Duration,
    /// How long [`crate::Broker::stop`] waits for connections to take their last replies. Default 2 s.
    pub drain: Duration,
}

impl Default for BrokerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9876)),
            advertise: None,
            storage: Storage::InMemory,
            broker_name: "gantry-broker".to_owned(),
            cluster: "DefaultCluster".to_owned(),
            auto_create_topics: true,
            default_topic_queue_nums: 8,
            max_message_size: 4 * 1024 * 1024,
            max_pull_count: 32,
            max_pull_bytes: 256 * 1024,
            max_store_bytes: None,
            tail_cache_bytes: 64 * 1024 * 1024,
            server_side_reset: true,
            pop_retry_topic_v2: false,
            delay_levels: default_delay_levels(),
            tls: None,
            accounts: Vec::new(),
            limits: Limits::default(),
            timing: Timing::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            output_bytes: 64 * 1024 * 1024,
            output_frames: 16 * 1024,
            held_pulls: 64 * 1024,
            topics: 16 * 1024,
            members: 16 * 1024,
            locks: 64 * 1024,
            offsets: 1024 * 1024,
            pending_store_bytes: 64 * 1024 * 1024,
        }
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            hold_sweep: Duration::from_secs(5),
            member_expiry: Duration::from_secs(120),
            member_sweep: Duration::from_secs(10),
            lock_lease: Duration::from_secs(60),
            offset_flush: Duration::from_secs(1),
            transaction_timeout: Duration::from_secs(6),
            transaction_check: Duration::from_secs(30),
            transaction_checks: 15,
            pop_revive: Duration::from_secs(1),
            drain: Duration::from_secs(2),
        }
    }
}

fn default_delay_levels() -> Vec<Duration> {
    const SECONDS: [u64; 18] =
        [1, 5, 10, 30, 60, 120, 180, 240, 300, 360, 420, 480, 540, 600, 1200, 1800, 3600, 7200];
    SECONDS.map(Duration::from_secs).to_vec()
}
