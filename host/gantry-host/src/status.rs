//! What a host says of itself: the admin API's and the CLI's JSON.

mod life;

use serde::Serialize;

use crate::plugins::Selections;
pub use life::{
    BreakerStatus, CandidateStatus, HeldBack, PluginDetail, Quarantined, ShadowDifference, ShadowStatus,
    VersionLine,
};

/// The whole host at one moment.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HostStatus {
    /// The client id the brokers of the default cluster know it by.
    pub client_id: String,
    /// The name servers of the default cluster, as they are configured.
    pub name_server: String,
    /// Every cluster, the default one first.
    pub clusters: Vec<ClusterStatus>,
    /// Whether every plugin found at the start is serving or rejected, and every serving group has its routes.
    pub ready: bool,
    /// Snapshots of settled messages that could not be written so far; none where no journal is kept.
    pub journal_failures: Option<u64>,
    /// Every plugin file seen, by name.
    pub plugins: Vec<PluginStatus>,
    /// Every consumer group, by name.
    pub groups: Vec<GroupStatus>,
}

/// One cluster, as the host sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterStatus {
    /// Its name: `default`, or that of its `[clusters.NAME]`.
    pub cluster: String,
    /// The client id its brokers know the host by.
    pub client_id: String,
    /// Its name servers now; those of an address server change.
    pub name_servers: Vec<String>,
    /// Whether one of them answered the last time one was asked.
    pub name_servers_reachable: bool,
}

/// One plugin file.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PluginStatus {
    /// The file's name without `.wasm`.
    pub name: String,
    /// Its state: `active`, `rejected`, ...
    pub state: String,
    /// Why the newest content was rejected, if it was; the version named here serves on.
    pub rejected: Option<String>,
    /// The serving version as it describes itself.
    pub version: Option<String>,
    /// The content hash of the serving version.
    pub hash: Option<String>,
    /// What the serving version is: any of `listener`, `strategy`, `selector`.
    pub roles: Vec<String>,
    /// The consumer group it serves, as brokers know it.
    pub consumer_group: Option<String>,
    /// The cluster of that group, if it is not the default one.
    pub cluster: Option<String>,
    /// What it subscribes to, as `topic: tags`.
    pub subscriptions: Vec<String>,
    /// Times a new version took over.
    pub swaps: u64,
    /// What its selector was asked, where it is one.
    pub selections: Option<Selections>,
    /// The number of the generation that serves: 1 for the first since its listener joined its group.
    pub generation: Option<u64>,
    /// Times a version was rejected.
    pub rejections: u64,
    /// Why the newest content of the file does not serve though nothing is wrong with it: a pin, a rollback, quarantine.
    pub held: Option<String>,
    /// The version on trial beside the one that serves.
    pub candidate: Option<CandidateStatus>,
    /// Whether it is given its messages.
    pub breaker: Option<BreakerStatus>,
    /// Messages settled, by how.
    pub outcomes: Outcomes,
}

/// Messages a plugin settled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcomes {
    /// Answered with success.
    pub succeeded: u64,
    /// Given back for a later time.
    pub reconsumed: u64,
    /// Sent to the dead-letter topic.
    pub dead_lettered: u64,
    /// Failed in a broadcasting group, and so neither given back nor tried again.
    pub dropped: u64,
    /// Of these, messages whose listener trapped, ran out of time or memory, or broke its contract.
    pub failed: u64,
}

/// One consumer group.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupStatus {
    /// The name the group has in this host: that of the consumer group, with `@CLUSTER` outside the default cluster.
    pub group: String,
    /// Its cluster, if it is not the default one.
    pub cluster: Option<String>,
    /// Whether its topics were looked up and, where they exist, its brokers know of it.
    pub ready: bool,
    /// The queues this host owns.
    pub queues: Vec<QueueLine>,
    /// Counts since the group started.
    pub counts: GroupCounts,
    /// Divisions of a topic's queues that the strategy's fallback made, because the plugin gave no sound answer.
    pub strategy_fallbacks: u64,
    /// What other members of the group do otherwise than this host though all must do it alike: a sentence each. Empty
    /// when all is well, and for some seconds after it no longer is.
    pub clashes: Vec<String>,
    /// SQL92 subscriptions that the brokers cannot read, a sentence each: messages of these topics wait.
    pub refused_subscriptions: Vec<String>,
}

impl GroupStatus {
    /// A group that has only just begun.
    pub fn starting(group: &str, cluster: Option<&str>) -> Self {
        Self {
            group: group.to_owned(),
            cluster: cluster.map(str::to_owned),
            ready: false,
            queues: Vec::new(),
            counts: GroupCounts::default(),
            strategy_fallbacks: 0,
            clashes: Vec::new(),
            refused_subscriptions: Vec::new(),
        }
    }
}

/// What a group has done since it started, in messages unless it says otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupCounts {
    /// Pulled.
    pub pulled: u64,
    /// Handed to listeners.
    pub delivered: u64,
    /// Skipped because an earlier life of this host had settled them.
    pub skipped: u64,
    /// Kept in an orderly queue to come again in place, in times.
    pub retried_in_place: u64,
    /// Results that came after their queue had been let go, and were ignored.
    pub late_results: u64,
    /// Queues taken.
    pub queues_assigned: u64,
    /// Queues let go.
    pub queues_released: u64,
    /// Locks another member got before this one had let go.
    pub locks_lost: u64,
    /// Alarms of queues without progress.
    pub stuck_alarms: u64,
    /// Popped messages whose invisible time ended before they were settled: the broker delivers them again.
    pub expired: u64,
    /// Times a popped message's invisible time was lengthened because its listener was still at work.
    pub lengthened: u64,
}

impl From<gantry_core::GroupStats> for GroupCounts {
    fn from(stats: gantry_core::GroupStats) -> Self {
        Self {
            pulled: stats.pulled,
            delivered: stats.delivered,
            skipped: stats.skipped,
            retried_in_place: stats.retried_in_place,
            late_results: stats.late_results,
            queues_assigned: stats.queues_assigned,
            queues_released: stats.queues_released,
            locks_lost: stats.locks_lost,
            stuck_alarms: stats.stuck_alarms,
            expired: stats.expired,
            lengthened: stats.lengthened,
        }
    }
}

/// One queue of a group, as this host sees it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueLine {
    /// The topic.
    pub topic: String,
    /// The broker's name.
    pub broker_name: String,
    /// The queue's id.
    pub queue_id: i32,
    /// Where it stands: `locking`, `locating`, `consuming`, `halted`, `correcting`, `draining`, `storing` or `unlocking`.
    pub phase: &'static str,
    /// Whether it is pulled and consumed right now.
    pub consuming: bool,
    /// Whether its broker lock is held; none where it needs none.
    pub locked: Option<bool>,
    /// Everything before this offset is settled.
    pub commit_offset: Option<i64>,
    /// The end of the queue as the broker last told it.
    pub max_offset: Option<i64>,
    /// Messages in the window: pulled, not yet settled.
    pub cached_messages: usize,
    /// Bytes of these.
    pub cached_bytes: u64,
    /// Offset of the newest less offset of the oldest of these.
    pub span: u64,
    /// How long the oldest of these has been here, in milliseconds.
    pub head_age_ms: Option<u64>,
    /// How long the longest-running batch of the queue has been at its listener, in milliseconds.
    pub longest_running_ms: Option<u64>,
    /// For how long the queue has had messages to consume and made no progress, in milliseconds, once that was an alarm.
    pub stuck_ms: Option<u64>,
    /// Why flow control does not let it be pulled, if so.
    pub held_by: Option<String>,
}
