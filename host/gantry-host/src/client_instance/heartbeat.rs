//! Heartbeats: what tells brokers that this client is there, and which groups it is in.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use gantry_protocol::body::{ConsumerData, HeartbeatData, ProducerData};
use gantry_protocol::header::UnregisterClientRequestHeader;
use gantry_protocol::{RemotingCommand, RequestCode};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::Instrument as _;

use super::ClientInstance;
use super::call::with_json;
use super::error::CallError;
use super::groups::GroupListener;

/// How a round of heartbeats went.
#[derive(Debug, Default)]
pub struct HeartbeatRound {
    /// Brokers that took it.
    pub accepted: usize,
    /// What the others ended with.
    pub failed: Vec<CallError>,
}

impl HeartbeatRound {
    /// Whether there was a broker to ask and every one took it.
    pub fn is_complete(&self) -> bool {
        self.accepted > 0 && self.failed.is_empty()
    }
}

impl ClientInstance {
    /// Makes this client a member of a consumer group from the next heartbeat on. `data` names all its
    /// subscriptions, the one of the retry topic included. `listener` is told of what brokers say of the group.
    /// False, and nothing changes, when the group is registered already.
    pub fn register_group(&self, data: ConsumerData, listener: Arc<dyn GroupListener>) -> bool {
        self.0.groups.add(data, listener)
    }

    /// Replaces what heartbeats say of a registered group; brokers drop the subscriptions it does not name. False
    /// when there is no such group.
    pub fn update_group(&self, data: ConsumerData) -> bool {
        self.0.groups.update(data)
    }

    /// What heartbeats say of a registered group.
    pub fn registered_group(&self, group: &str) -> Option<Arc<ConsumerData>> {
        self.0.groups.consumer(group)
    }

    /// Sends the group's heartbeat to every broker, master or not, that the routes of its topics name, all at a
    /// time. Nothing is sent for an unknown group or without routes.
    pub async fn heartbeat_group(&self, group: &str) -> HeartbeatRound {
        let Some(consumer) = self.0.groups.consumer(group) else { return HeartbeatRound::default() };
        let addrs = self.brokers_of(&consumer);
        let round = self.send_heartbeats(addrs, &self.beat(&[consumer], Vec::new())).await;
        if round.is_complete() {
            self.0.groups.beaten(group, Instant::now());
        }
        for error in &round.failed {
            tracing::debug!(group, %error, "a heartbeat was not taken");
        }
        round
    }

    /// Leaves a consumer group: no more heartbeats and no more notices, and UNREGISTER_CLIENT to every broker that
    /// knows it. Tried once; brokers forget a silent client by themselves after 120 s.
    pub async fn unregister_group(&self, group: &str) -> HeartbeatRound {
        let Some(consumer) = self.0.groups.remove(group) else { return HeartbeatRound::default() };
        let header = UnregisterClientRequestHeader {
            client_id: self.client_id().to_owned(),
            producer_group: None,
            consumer_group: Some(group.to_owned()),
        };
        self.unregister(header, self.brokers_of(&consumer)).await
    }

    /// Leaves a consumer group without a word: brokers forget this member after 120 s.
    pub(crate) fn forget_group(&self, group: &str) {
        self.0.groups.remove(group);
    }

    /// Tells every master of the cluster that this client is a producer of the group, now and with heartbeats from now on.
    ///
    /// # Errors
    /// The masters are not known, or none took it.
    pub(super) async fn register_producer(&self, group: &str) -> Result<(), CallError> {
        let addrs: BTreeSet<_> = self.masters().await?.into_values().collect();
        self.0.producers.add(group, addrs.clone());
        let round = self.send_heartbeats(addrs, &self.beat(&[], vec![group.to_owned()])).await;
        if round.is_complete() {
            self.0.producers.beaten(group, Instant::now());
        }
        let failed = round.failed.into_iter().next();
        if round.accepted == 0 { Err(failed.unwrap_or(CallError::NoMaster)) } else { Ok(()) }
    }

    /// Sends every group's heartbeat to every broker concerned.
    pub(super) async fn heartbeat_all(&self) {
        self.beat_due(Duration::ZERO).await;
    }

    /// Sends the heartbeats of the groups whose last is this long ago.
    pub(super) async fn beat_due(&self, interval: Duration) {
        for group in self.0.groups.due(interval, Instant::now()) {
            self.heartbeat_group(&group).await;
        }
        for group in self.0.producers.due(interval, Instant::now()) {
            if let Err(error) = self.register_producer(&group).await {
                tracing::debug!(group, %error, "no broker knows the producer group");
            }
        }
    }

    /// Sends one broker the heartbeat of all groups that have to do with it.
    pub(super) async fn heartbeat_broker(&self, addr: &Arc<str>) {
        let mut consumers = self.0.groups.consumers();
        consumers.retain(|consumer| self.brokers_of(consumer).contains(addr));
        let producers = self.0.producers.at(addr);
        if consumers.is_empty() && producers.is_empty() {
            return;
        }
        let round = self.send_heartbeats([Arc::clone(addr)].into(), &self.beat(&consumers, producers)).await;
        match round.failed.first() {
            None => tracing::info!(%addr, "the returned broker knows this client again"),
            Some(error) => tracing::warn!(%addr, %error, "the returned broker took no heartbeat yet"),
        }
    }

    pub(super) fn brokers_of(&self, consumer: &ConsumerData) -> BTreeSet<Arc<str>> {
        let topics = consumer.subscription_data_set.iter().map(|subscription| subscription.topic.as_str());
        let routes = topics.filter_map(|topic| self.0.routes.route(topic, Instant::now()));
        routes.flat_map(|route| route.addresses().cloned().collect::<Vec<_>>()).collect()
    }

    /// What a heartbeat of these groups says.
    fn beat(&self, consumers: &[Arc<ConsumerData>], producers: Vec<String>) -> HeartbeatData {
        HeartbeatData {
            client_id: self.client_id().to_owned(),
            consumer_data_set: consumers.iter().map(|consumer| ConsumerData::clone(consumer)).collect(),
            producer_data_set: producers.into_iter().map(|group_name| ProducerData { group_name }).collect(),
            ..HeartbeatData::default()
        }
    }

    async fn send_heartbeats(&self, addrs: BTreeSet<Arc<str>>, data: &HeartbeatData) -> HeartbeatRound {
        let mut asked = JoinSet::new();
        for addr in addrs {
            let (instance, data) = (self.clone(), data.clone());
            let span = tracing::debug_span!("heartbeat", %addr);
            let beat = async move {
                let request = with_json(&addr, RequestCode::HEART_BEAT, &data)?;
                instance.ask(&addr, request, instance.api_timeout()).await?.success()
            };
            asked.spawn(beat.instrument(span));
        }
        collect(asked).await
    }

    async fn unregister(
        &self,
        header: UnregisterClientRequestHeader,
        addrs: BTreeSet<Arc<str>>,
    ) -> HeartbeatRound {
        let mut asked = JoinSet::new();
        for addr in addrs {
            let request = RemotingCommand::request(RequestCode::UNREGISTER_CLIENT, &header);
            let (instance, span) = (self.clone(), tracing::debug_span!("unregister", %addr));
            let leave = async move { instance.ask(&addr, request, instance.api_timeout()).await?.success() };
            asked.spawn(leave.instrument(span));
        }
        collect(asked).await
    }
}

/// The tasks of a round end with it: each has a deadline, and a round that is given up takes them along.
async fn collect<T: 'static>(mut asked: JoinSet<Result<T, CallError>>) -> HeartbeatRound {
    let mut round = HeartbeatRound::default();
    while let Some(ended) = asked.join_next().await {
        match ended {
            Ok(Ok(_)) => round.accepted += 1,
            Ok(Err(error)) => round.failed.push(error),
            Err(error) => tracing::error!(%error, "a heartbeat's task failed"),
        }
    }
    round
}
