use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use gantry_protocol::message_id::UniqueKeyGenerator;
use gantry_protocol::names::{self, AUTO_CREATE_TOPIC, SCHEDULE_TOPIC, TRANS_HALF_TOPIC};
use gantry_protocol::perm;
use tokio::net::TcpListener;

use crate::background;
use crate::clock::Clock;
use crate::config::BrokerConfig;
use crate::core::Core;
use crate::error::StartError;
use crate::server::{self, Gate, ServerCounters};
use crate::state::groups::Groups;
use crate::state::held::HeldPulls;
use crate::state::keys::Keys;
use crate::state::locks::Locks;
use crate::state::offsets::Offsets;
use crate::state::popping::Popping;
use crate::state::producers::Producers;
use crate::state::settings::SettingsTable;
use crate::state::topics::{TIMER_TOPIC, Topics, new_topic};
use crate::store::{Recovered, Store};
use crate::tasks::Tasks;

/// Longest [`Broker::stop`] waits for tasks beyond the configured drain.
const STOP_GRACE: Duration = Duration::from_secs(10);

/// A running embedded name server and broker. Stop it with [`Self::stop`]; dropping it closes the connections but
/// may lose the last second of consumer offsets, as a crash would.
pub struct Broker {
    core: Arc<Core>,
    local_addr: SocketAddr,
}

/// What the broker counted since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BrokerStats {
    /// Connections open now.
    pub connections: usize,
    /// Connections accepted.
    pub accepted: u64,
    /// Connections turned away because there were too many.
    pub turned_away: u64,
    /// Connections closed because what came was not a frame.
    pub bad_frames: u64,
    /// Connections closed because the client did not read.
    pub slow_readers: u64,
    /// Connections closed because nothing came for too long.
    pub silent: u64,
    /// Messages stored, delivered scheduled ones included.
    pub messages_stored: u64,
    /// Writes refused, because the store was full or failed.
    pub writes_refused: u64,
    /// Pulls and pops held now.
    pub held_pulls: usize,
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker").field("local_addr", &self.local_addr).finish_non_exhaustive()
    }
}

impl Broker {
    /// Opens the store, listens, and serves until it is stopped. Needs a tokio runtime.
    ///
    /// # Errors
    /// See [`StartError`]: a setting out of its bounds, a data directory that is unusable or in use, a damaged
    /// store, an address that cannot be listened on. Nothing is left running then.
    pub async fn start(config: BrokerConfig) -> Result<Self, StartError> {
        check(&config)?;
        let gate = Gate::new(config.tls.as_ref())?;
        let clock = Arc::new(Clock::new());
        let refused = |source| StartError::Listen { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(refused)?;
        let local_addr = listener.local_addr().map_err(refused)?;
        let opened = {
            let (config, clock) = (config.clone(), Arc::clone(&clock));
            tokio::task::spawn_blocking(move || Store::open(&config, clock)).await
        };
        let interrupted = |error: tokio::task::JoinError| StartError::Thread {
            name: "gantry-broker-open",
            source: std::io::Error::other(error),
        };
        let (store, recovered) = opened.map_err(interrupted)??;
        let core = Arc::new(core(config, local_addr, clock, store, recovered, gate));
        background::start(&core);
        core.tasks.spawn("accept", server::accept(Arc::clone(&core), listener));
        tracing::info!(address = %local_addr, "embedded broker and name server listening");
        Ok(Self { core, local_addr })
    }

    /// Where the broker listens; with port 0 in the configuration, the port it got.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// What was counted so far.
    pub fn stats(&self) -> BrokerStats {
        let (server, store) = (&self.core.server, &self.core.store.shared.counters);
        BrokerStats {
            connections: server.open.load(Ordering::Relaxed),
            accepted: server.accepted.load(Ordering::Relaxed),
            turned_away: server.turned_away.load(Ordering::Relaxed),
            bad_frames: server.bad_frames.load(Ordering::Relaxed),
            slow_readers: server.slow_readers.load(Ordering::Relaxed),
            silent: server.silent.load(Ordering::Relaxed),
            messages_stored: store.messages_stored.load(Ordering::Relaxed),
            writes_refused: store.writes_refused.load(Ordering::Relaxed),
            held_pulls: self.core.held.count() + self.core.popping.count(),
        }
    }

    /// Lets the broker's time jump forward, so that a test sees leases and memberships end.
    #[doc(hidden)]
    pub fn advance_clock(&self, by: Duration) {
        self.core.clock.advance(by);
    }

    /// Stops: accepts no more, lets connections take their last replies for the configured drain, writes consumer
    /// offsets and closes the store.
    pub async fn stop(self) {
        self.core.tasks.stopping.cancel();
        let patience = self.core.config.timing.drain * 2 + STOP_GRACE;
        if tokio::time::timeout(patience, self.core.tasks.ended()).await.is_err() {
            tracing::warn!("some tasks of the embedded broker did not end in time");
        }
        self.core.flush_offsets().await;
        self.core.store.close().await;
        tracing::info!(address = %self.local_addr, "embedded broker stopped");
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.core.tasks.stopping.cancel();
    }
}

fn check(config: &BrokerConfig) -> Result<(), StartError> {
    let broken = |setting, rule: &str| Err(StartError::Config { setting, rule: rule.to_owned() });
    if config.delay_levels.is_empty() {
        return broken("delay_levels", "there must be at least one delay level");
    }
    if config.broker_name.trim().is_empty() || config.cluster.trim().is_empty() {
        return broken("broker_name", "broker and cluster need names");
    }
    if !(1..=1024).contains(&config.default_topic_queue_nums) {
        return broken("default_topic_queue_nums", "a topic has 1 to 1024 queues");
    }
    if config.max_pull_count == 0 || config.max_pull_bytes == 0 {
        return broken("max_pull_count", "a pull must be allowed one message and one byte");
    }
    if config.limits.output_frames == 0 {
        return broken("limits.output_frames", "a connection needs room for one frame");
    }
    let timing = &config.timing;
    let intervals = [
        timing.hold_sweep,
        timing.member_sweep,
        timing.offset_flush,
        timing.transaction_check,
        timing.pop_revive,
    ];
    if intervals.iter().any(Duration::is_zero) {
        return broken("timing", "an interval must be longer than nothing");
    }
    Ok(())
}

fn core(
    config: BrokerConfig,
    local_addr: SocketAddr,
    clock: Arc<Clock>,
    store: Store,
    recovered: Recovered,
    gate: Gate,
) -> Core {
    let address = config.advertise.unwrap_or(local_addr);
    let limits = config.limits.clone();
    let ip = if address.ip().is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { address.ip() };
    let own = [&config.cluster, &config.broker_name].map(Clone::clone);
    let own = own.into_iter().chain([names::reply_topic(&config.cluster)]).collect();
    let topics = Topics::new(limits.topics, own);
    let settings = SettingsTable::default();
    for topic in recovered.topics.iter().filter_map(|(_, text)| serde_json::from_str(text).ok()) {
        topics.put(topic);
    }
    for group in recovered.groups.iter().filter_map(|(_, text)| serde_json::from_str(text).ok()) {
        settings.put(group, limits.topics);
    }
    for mode in recovered.request_modes.iter().filter_map(|(_, text)| serde_json::from_str(text).ok()) {
        settings.put_mode(mode, limits.topics);
    }
    let keys = Keys::new(limits.topics);
    for (namespace, text) in &recovered.keys {
        let of_namespace: BTreeMap<String, String> = serde_json::from_str(text).unwrap_or_default();
        for (key, value) in &of_namespace {
            keys.put(namespace, key, value);
        }
    }
    add_system_topics(&topics, &config);
    let orders = recovered.orders.into_iter().filter_map(|(group, topic, queue_id, state)| {
        Some((group, topic, queue_id, serde_json::from_str(&state).ok()?))
    });
    let orders = orders.collect();
    Core {
        address,
        topics,
        settings,
        groups: Groups::new(limits.members),
        producers: Producers::new(limits.members),
        keys,
        offsets: Offsets::new(recovered.offsets, limits.offsets),
        locks: Locks::new(config.timing.lock_lease, limits.locks),
        held: HeldPulls::new(limits.held_pulls),
        popping: Popping::new(limits.locks, limits.held_pulls, orders),
        unique_keys: UniqueKeyGenerator::new(ip, low_half(std::process::id()), fastrand::u32(..)),
        gate,
        server: ServerCounters::default(),
        tasks: Tasks::default(),
        clock,
        store,
        config,
    }
}

/// Topics that are the broker's own follow its settings, not what was stored.
fn add_system_topics(topics: &Topics, config: &BrokerConfig) {
    const BOTH: i32 = perm::READ | perm::WRITE;
    /// Queues a topic has in RocketMQ when nobody says how many (RocketMQ: TopicConfig.defaultReadQueueNums).
    const CLUSTER_QUEUES: i32 = 16;
    let levels = i32::try_from(config.delay_levels.len()).unwrap_or(1);
    topics.put(new_topic(SCHEDULE_TOPIC, levels, BOTH));
    topics.put(new_topic(TIMER_TOPIC, 1, BOTH));
    topics.put(new_topic(TRANS_HALF_TOPIC, 1, BOTH));
    topics.put(new_topic(&names::reply_topic(&config.cluster), 1, BOTH));
    // Clients that create a topic ask first who is behind the name of the cluster or broker they create it in.
    topics.put(new_topic(&config.cluster, CLUSTER_QUEUES, BOTH | perm::INHERIT));
    topics.put(new_topic(&config.broker_name, 1, BOTH | perm::INHERIT));
    if config.auto_create_topics {
        topics.put(new_topic(AUTO_CREATE_TOPIC, config.default_topic_queue_nums, BOTH | perm::INHERIT));
    } else {
        topics.remove(AUTO_CREATE_TOPIC);
    }
}

fn low_half(id: u32) -> u16 {
    u16::try_from(id & 0xFFFF).unwrap_or(0)
}
