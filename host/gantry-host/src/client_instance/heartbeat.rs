//! Heartbeats: what tells brokers that this client is there, and which groups it is in.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use gantry_protocol::body::{ConsumerData, HeartbeatData, ProducerData};
use gantry_protocol::header::{HeartbeatResponseHeader, UnregisterClientRequestHeader};
use gantry_protocol::{RemotingCommand, RequestCode};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::Instrument as _;

use super::ClientInstance;
use super::call::{Answer, with_json};
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

/// What one heartbeat is of.
enum Beat {
    Consumer(Arc<ConsumerData>),
    /// Producer groups.
    Producers(Vec<String>),
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
        let round = self
            .send_heartbeats(addrs.into_iter().map(|addr| (addr, Beat::Consumer(Arc::clone(&consumer)))))
            .await;
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
        let beats = addrs.into_iter().map(|addr| (addr, Beat::Producers(vec![group.to_owned()])));
        let round = self.send_heartbeats(beats).await;
        if round.is_complete() {
            self.0.producers.beaten(group, Instant::now());
        }
        let failed = round.failed.into_iter().next();
        if round.accepted == 0 { Err(failed.unwrap_or(CallError::NoMaster)) } else { Ok(()) }
    }

    /// Sends every group's heartbeat to every broker concerned, any of which may have been started anew.
    pub(super) async fn heartbeat_all(&self) {
        self.0.groups.forget_taken(None);
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

    /// Sends a broker that may have been started anew the heartbeats of all groups that have to do with it.
    pub(super) async fn heartbeat_broker(&self, addr: &Arc<str>) {
        self.0.groups.forget_taken(Some(addr));
        let mut consumers = self.0.groups.consumers();
        consumers.retain(|consumer| self.brokers_of(consumer).contains(addr));
        let producers = self.0.producers.at(addr);
        if consumers.is_empty() && producers.is_empty() {
            return;
        }
        let beats = consumers.into_iter().map(Beat::Consumer);
        let beats = beats.chain((!producers.is_empty()).then_some(Beat::Producers(producers)));
        let round = self.send_heartbeats(beats.map(|beat| (Arc::clone(addr), beat))).await;
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

    async fn send_heartbeats(&self, beats: impl Iterator<Item = (Arc<str>, Beat)>) -> HeartbeatRound {
        let mut asked = JoinSet::new();
        for (addr, beat) in beats {
            let instance = self.clone();
            let span = tracing::debug_span!("heartbeat", %addr);
            let beat = async move {
                match beat {
                    Beat::Consumer(consumer) if instance.0.config.use_heartbeat_v2 => {
                        instance.beat_v2(&addr, &consumer).await
                    }
                    Beat::Consumer(consumer) => {
                        instance.beat(&addr, instance.heartbeat_data(&consumer)).await.map(drop)
                    }
                    Beat::Producers(groups) => {
                        instance.beat(&addr, instance.producers_data(groups)).await.map(drop)
                    }
                }
            };
            asked.spawn(beat.instrument(span));
        }
        collect(asked).await
    }

    fn heartbeat_data(&self, consumer: &ConsumerData) -> HeartbeatData {
        HeartbeatData {
            client_id: self.client_id().to_owned(),
            consumer_data_set: vec![consumer.clone()],
            ..HeartbeatData::default()
        }
    }

    fn producers_data(&self, groups: Vec<String>) -> HeartbeatData {
        HeartbeatData {
            client_id: self.client_id().to_owned(),
            producer_data_set: groups.into_iter().map(|group_name| ProducerData { group_name }).collect(),
            ..HeartbeatData::default()
        }
    }

    /// A heartbeat of the second form (RocketMQ: sendHeartbeatToBrokerV2): a broker that knows what the fingerprint stands for
    /// is not told the subscriptions again. One that has heard something else of the group meanwhile is told them at once.
    async fn beat_v2(&self, addr: &Arc<str>, consumer: &Arc<ConsumerData>) -> Result<(), CallError> {
        let (groups, group) = (&self.0.groups, &consumer.group_name);
        let mut whole = self.heartbeat_data(consumer);
        whole.heartbeat_fingerprint = whole.compute_heartbeat_fingerprint();
        if groups.is_taken(addr, consumer) {
            let mut short = HeartbeatData { without_sub: true, ..whole.clone() };
            short.consumer_data_set.iter_mut().for_each(|data| data.subscription_data_set.clear());
            let answer = self.beat(addr, short).await.and_then(|answer| answer.header());
            let answer: Result<HeartbeatResponseHeader, _> = answer;
            if answer.as_ref().is_ok_and(|answer| answer.sub_change != Some(true)) {
                return Ok(());
            }
            groups.taken(addr, group, None);
            answer?;
        }
        let answer: HeartbeatResponseHeader = self.beat(addr, whole).await?.header()?;
        let knows = answer.support_heart_beat_v2 == Some(true) && answer.sub_change != Some(true);
        groups.taken(addr, group, knows.then(|| Arc::clone(consumer)));
        Ok(())
    }

    async fn beat(&self, addr: &Arc<str>, data: HeartbeatData) -> Result<Answer, CallError> {
        let request = with_json(addr, RequestCode::HEART_BEAT, &data)?;
        self.ask(addr, request, self.api_timeout()).await?.success()
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
