//! What a client instance needs to know before it starts.

use std::time::Duration;

use gantry_protocol::Namespace;
use gantry_remoting::{RemotingSettings, TlsSettings};

/// Settings of one [`ClientInstance`](super::ClientInstance) (RocketMQ: `ClientConfig`), with RocketMQ's defaults.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// The name servers, `host:port` separated by `;` (`namesrvAddr`), or the URL of an address server whose page is such a
    /// list, `http://…` (RocketMQ: TopAddressing). Default `127.0.0.1:9876`.
    pub name_servers: String,
    /// How often an address server is asked (RocketMQ: fetchNameServerAddr). Default 2 min.
    pub fetch_name_server_interval: Duration,
    /// The client id. Default: `ip@gantry#<unique>`, never the same twice. Two clients with one id take the same
    /// share of the queues, so set it only to something as unique.
    pub client_id: Option<String>,
    /// A name for the default client id, `ip@gantry#name-<unique>` (`instanceName`). Default: none, as Java's `DEFAULT`.
    pub instance_name: Option<String>,
    /// The unit this client is in, at the end of the default client id: `ip@gantry#<unique>@unit` (`unitName`).
    pub unit_name: Option<String>,
    /// Whether the groups and sends of this client are those of a unit (`unitMode`). Default `false`.
    pub unit_mode: bool,
    /// What the topics and groups of this client's users are called at the brokers (`namespace`). Default: as they are.
    ///
    /// The calls of [`ClientInstance`](super::ClientInstance) take and give names as brokers have them; whoever stands
    /// between it and users wraps and unwraps, as [`Producer`](super::Producer) does.
    pub namespace: Namespace,
    /// Whether all but pulls and heartbeats goes to the brokers' VIP channel, two ports below their own
    /// (`vipChannelEnabled`). Default `false`.
    pub vip_channel_enabled: bool,
    /// How old a route may get before it is asked for again (`pollNameServerInterval`). Default 30 s.
    pub poll_name_server_interval: Duration,
    /// How long after a heartbeat the next one is due (`heartbeatBrokerInterval`). Default 30 s; brokers forget a
    /// client after 120 s of silence.
    pub heartbeat_broker_interval: Duration,
    /// Whether a broker that knows a group's subscriptions is only told their fingerprint (`useHeartbeatV2`), which brokers
    /// understand since 5.1.1. Default `false`.
    pub use_heartbeat_v2: bool,
    /// How long a broker or name server may take to answer an ordinary question (`mqClientApiTimeout`). Default 3 s.
    pub mq_client_api_timeout: Duration,
    /// Bounds and times of the connections, and what requests are signed with.
    pub remoting: RemotingSettings,
    /// How connections are encrypted (`useTLS`). Default: they are not.
    pub tls: Option<TlsSettings>,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            name_servers: "127.0.0.1:9876".to_owned(),
            fetch_name_server_interval: Duration::from_secs(120),
            client_id: None,
            instance_name: None,
            unit_name: None,
            unit_mode: false,
            namespace: Namespace::default(),
            vip_channel_enabled: false,
            poll_name_server_interval: Duration::from_secs(30),
            heartbeat_broker_interval: Duration::from_secs(30),
            use_heartbeat_v2: false,
            mq_client_api_timeout: Duration::from_secs(3),
            remoting: RemotingSettings::default(),
            tls: None,
        }
    }
}
