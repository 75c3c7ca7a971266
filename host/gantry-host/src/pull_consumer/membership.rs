//! A pull consumer's membership in its group: what heartbeats say of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gantry_protocol::body::{ConsumeFromWhere, ConsumeType, ConsumerData, MessageModel, SubscriptionData};

use super::error::PullConsumerError;
use super::plain::PlainClient;
use crate::client_instance::GroupListener;

/// A place in a group, which ends with this value at the latest.
pub(super) struct Membership {
    client: PlainClient,
    data: ConsumerData,
    listener: Arc<dyn GroupListener>,
    left: AtomicBool,
}

impl Membership {
    /// Makes the client a member, from its first subscription on.
    pub(super) fn begin(
        client: PlainClient,
        message_model: MessageModel,
        consume_from_where: ConsumeFromWhere,
        listener: Arc<dyn GroupListener>,
    ) -> Result<Self, PullConsumerError> {
        let data = ConsumerData {
            group_name: client.wire_group().to_owned(),
            unit_mode: client.instance().unit_mode(),
            consume_type: ConsumeType::Actively,
            message_model,
            consume_from_where,
            ..ConsumerData::default()
        };
        let membership = Self { client, data, listener, left: AtomicBool::new(true) };
        membership.register(membership.data.clone())?;
        Ok(membership)
    }

    fn register(&self, data: ConsumerData) -> Result<(), PullConsumerError> {
        if !self.client.instance().register_group(data, Arc::clone(&self.listener)) {
            return Err(PullConsumerError::GroupTaken { group: self.plain_group() });
        }
        self.left.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Says what is subscribed from now on to every broker that has one of the topics. A broker that does not take it now
    /// is told with the next heartbeat. Who subscribes nothing is no member, so that nobody waits for it.
    pub(super) async fn subscribe(
        &self,
        subscriptions: Vec<SubscriptionData>,
    ) -> Result<(), PullConsumerError> {
        if subscriptions.is_empty() {
            self.leave().await;
            return Ok(());
        }
        let subscriptions = subscriptions.into_iter().map(|data| self.client.wrap_subscription(data));
        let data = ConsumerData { subscription_data_set: subscriptions.collect(), ..self.data.clone() };
        if self.left.load(Ordering::Relaxed) {
            self.register(data)?;
        } else {
            self.client.instance().update_group(data);
        }
        self.client.instance().heartbeat_group(&self.data.group_name).await;
        Ok(())
    }

    fn plain_group(&self) -> String {
        self.client.namespace().unwrap(&self.data.group_name).into_owned()
    }

    /// Leaves the group and tells its brokers; once left, the name may be another consumer's.
    pub(super) async fn leave(&self) {
        if !self.left.swap(true, Ordering::Relaxed) {
            self.client.instance().unregister_group(&self.data.group_name).await;
        }
    }
}

impl Drop for Membership {
    /// Without a farewell brokers count the client as a member for as long as they wait for a heartbeat.
    fn drop(&mut self) {
        if !self.left.load(Ordering::Relaxed) {
            tracing::warn!(group = self.plain_group(), "a pull consumer was dropped and not shut down");
            self.client.instance().forget_group(&self.data.group_name);
        }
    }
}
