use std::net::SocketAddr;
use std::sync::Arc;

use gantry_protocol::body::TopicConfig;
use gantry_protocol::header::NotifyConsumerIdsChangedRequestHeader;
use gantry_protocol::message_id::UniqueKeyGenerator;
use gantry_protocol::{RemotingCommand, RequestCode, ResponseCode, names, perm};

use crate::clock::Clock;
use crate::config::BrokerConfig;
use crate::error::StoreError;
use crate::server::{Gate, Peer, ServerCounters};
use crate::state::groups::Groups;
use crate::state::held::HeldPulls;
use crate::state::keys::Keys;
use crate::state::locks::Locks;
use crate::state::offsets::Offsets;
use crate::state::popping::Popping;
use crate::state::producers::Producers;
use crate::state::settings::SettingsTable;
use crate::state::topics::{Topics, check_name, new_topic};
use crate::store::{Settings, Store};
use crate::tasks::Tasks;

/// The running broker: what every handler works on.
pub(crate) struct Core {
    pub(crate) config: BrokerConfig,
    /// Told to clients in routes, and the store host of messages.
    pub(crate) address: SocketAddr,
    pub(crate) clock: Arc<Clock>,
    pub(crate) store: Store,
    pub(crate) topics: Topics,
    pub(crate) groups: Groups,
    pub(crate) producers: Producers,
    pub(crate) settings: SettingsTable,
    pub(crate) keys: Keys,
    pub(crate) offsets: Offsets,
    pub(crate) locks: Locks,
    pub(crate) held: HeldPulls,
    pub(crate) popping: Popping,
    pub(crate) unique_keys: UniqueKeyGenerator,
    pub(crate) gate: Gate,
    pub(crate) server: ServerCounters,
    pub(crate) tasks: Tasks,
}

/// A request the broker does not carry out, with what the client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: ResponseCode,
    pub(crate) remark: String,
}

impl Refusal {
    pub(crate) fn new(code: ResponseCode, remark: impl Into<String>) -> Self {
        Self { code, remark: remark.into() }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        let code = match error {
            StoreError::Full | StoreError::Closed => ResponseCode::SERVICE_NOT_AVAILABLE,
            StoreError::Database(_) => ResponseCode::SYSTEM_ERROR,
        };
        Self::new(code, error.to_string())
    }
}

impl From<gantry_protocol::HeaderError> for Refusal {
    fn from(error: gantry_protocol::HeaderError) -> Self {
        Self::new(ResponseCode::SYSTEM_ERROR, error.to_string())
    }
}

impl Core {
    /// Creates or changes a topic; it is there for others once it is safe.
    pub(crate) async fn put_topic(&self, config: TopicConfig) -> Result<Arc<TopicConfig>, Refusal> {
        let full = || {
            let remark = format!("the broker has its {} topics already", self.config.limits.topics);
            Refusal::new(ResponseCode::SYSTEM_ERROR, remark)
        };
        if !self.topics.has_room_for(&config.topic_name) {
            return Err(full());
        }
        let text = serde_json::to_string(&config)
            .map_err(|error| Refusal::new(ResponseCode::SYSTEM_ERROR, error.to_string()))?;
        self.store.put(Settings::Topic, config.topic_name.clone(), text).await?;
        if self.topics.put(config.clone()) { Ok(Arc::new(config)) } else { Err(full()) }
    }

    /// The topic, made with `queues` queues when it is not there yet.
    pub(crate) async fn ensure_topic(&self, topic: &str, queues: i32) -> Result<Arc<TopicConfig>, Refusal> {
        if let Some(config) = self.topics.get(topic) {
            return Ok(config);
        }
        // The name may come from a group's, which nobody has checked yet.
        check_name(topic)
            .map_err(|error| Refusal::new(ResponseCode::INVALID_PARAMETER, error.to_string()))?;
        self.put_topic(new_topic(topic, queues, perm::READ | perm::WRITE)).await
    }

    /// The retry topic of a group, made when it is not there yet.
    pub(crate) async fn ensure_retry_topic(&self, group: &str) -> Result<Arc<TopicConfig>, Refusal> {
        let queues = self.settings.of(group).retry_queue_nums.max(1);
        self.ensure_topic(&names::retry_topic(group), queues).await
    }

    /// Tells every member of a group that its members or topics changed.
    pub(crate) fn notify_group(&self, group: &str) {
        if !self.settings.of(group).notify_consumer_ids_changed_enable {
            return;
        }
        let header = NotifyConsumerIdsChangedRequestHeader { consumer_group: group.to_owned() };
        for peer in self.groups.to_notify(group) {
            peer.push(RemotingCommand::request(RequestCode::NOTIFY_CONSUMER_IDS_CHANGED, &header));
        }
    }

    /// A connection ended: it leaves its groups, and nobody waits for messages on it any more.
    pub(crate) fn peer_gone(&self, peer: &Peer) {
        self.held.forget(peer.id);
        self.producers.leave_all(peer.id);
        for group in self.groups.leave_all(peer.id) {
            self.notify_group(&group);
        }
    }

    /// Writes consumer offsets that changed; what cannot be written is tried again with the next.
    pub(crate) async fn flush_offsets(&self) {
        let rows = self.offsets.take_dirty();
        if let Err(error) = self.store.save_offsets(rows.clone()).await {
            tracing::warn!(%error, offsets = rows.len(), "consumer offsets were not written; trying again");
            self.offsets.mark_dirty(rows);
        }
    }
}
