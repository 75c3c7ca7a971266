//! The bounds and times of a client's connections.

use std::{sync::Arc, time::Duration};

use gantry_protocol::{Credentials, MAX_FRAME, SerializeType};

/// Bounds and times of a [`Client`](crate::Client)'s connections. The defaults are RocketMQ's where it has the
/// setting (`NettyClientConfig`), and otherwise what its own clients amount to.
#[derive(Clone, Debug)]
pub struct RemotingSettings {
    /// How long one attempt to connect may take (`connectTimeoutMillis`). Default 3 s.
    pub connect_timeout: Duration,
    /// How long a oneway command may wait for a connection and for room in the output queue. Default 3 s.
    pub oneway_timeout: Duration,
    /// The longest frame accepted, in bytes (`com.rocketmq.remoting.frameMaxLength`). Default 16 MiB.
    pub max_frame: usize,
    /// Calls of one connection that may await their answer at a time. Default 65,535 (`clientAsyncSemaphoreValue`).
    pub max_pending: usize,
    /// Frames that may wait in one connection's output queue; senders wait beyond it. Default 1,024.
    pub output_frames: usize,
    /// Bytes that may wait in one connection's output queue; senders wait beyond it. Default 32 MiB.
    pub output_bytes: usize,
    /// Requests of one peer that may be processed at a time; further ones are answered SYSTEM_BUSY. Default 64.
    pub max_inbound: usize,
    /// Connections to one address that calls may be spread over ([`Client::ask`](crate::Client::ask)), at least 1; each is made
    /// when it is needed. Default 4.
    pub lanes: usize,
    /// Addresses the client keeps at a time. Default 1,024.
    pub max_peers: usize,
    /// The wait after the first failed attempt to connect. Default 100 ms.
    pub backoff_min: Duration,
    /// The longest wait between two attempts to connect. Default 10 s.
    pub backoff_max: Duration,
    /// A peer that answers nothing and takes no bytes for so long, while calls time out, is given up. Default 10 s.
    pub silence_limit: Duration,
    /// How long calls in flight may still be answered after the peer said GO_AWAY. Default 5 s.
    pub drain_limit: Duration,
    /// How long frames already queued may take to leave when the client closes. Default 1 s.
    pub flush_limit: Duration,
    /// The header serialization of what this side originates (`rocketmq.serialize.type`). Default JSON, because
    /// binary headers cannot carry every code.
    pub serialize_type: SerializeType,
    /// What requests of this side are signed with (`AclClientRPCHook`). Default: nothing.
    pub credentials: Option<Arc<Credentials>>,
    /// The namespace requests of this side name in fields of their own, `ns` and `nsd`, and are signed with
    /// (`NamespaceRpcHook`). Default: none.
    pub namespace_v2: Option<Arc<str>>,
}

impl Default for RemotingSettings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(3),
            oneway_timeout: Duration::from_secs(3),
            max_frame: MAX_FRAME,
            max_pending: 65_535,
            output_frames: 1_024,
            output_bytes: 32 * 1_024 * 1_024,
            max_inbound: 64,
            lanes: 4,
            max_peers: 1_024,
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(10),
            silence_limit: Duration::from_secs(10),
            drain_limit: Duration::from_secs(5),
            flush_limit: Duration::from_secs(1),
            serialize_type: SerializeType::Json,
            credentials: None,
            namespace_v2: None,
        }
    }
}
